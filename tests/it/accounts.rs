//! Accounts over HTTP: kinds and what they may have, changes, and accounts that go with all they have.

use std::sync::Arc;
use std::time::Duration;

use postrider::clock::{ScriptedClock, Timestamp};
use postrider::config::AccountKindFamilies;
use postrider::event::EventData;
use postrider::queue::{Account, Actor, IncomingEvent, Queue};
use postrider::rng::SystemRng;
use postrider::secret::{MasterKeys, Vault};
use postrider::store::{EmbeddedStore, MemoryKv, StoreOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::receiver::Receiver;
use super::server::Running;

const NOWHERE: &str = "http://127.0.0.1:9/?i={ActionId}&s={Status}";

/// A server on which partners may have life-cycle events and those of the family `loyalty`.
async fn with_kinds() -> Running {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.account_kinds =
            AccountKindFamilies { partner: Some(vec!["action_life_cycle".into(), "loyalty".into()]), ..AccountKindFamilies::default() };
    })
    .await;
    let partner = json!({"id": "partner", "name": "Partner", "kind": "partner"});
    assert_eq!(running.client.post("/v1/accounts", partner).await.status, 201);
    running
}

fn spec(account: &str, event_types: Value) -> Value {
    json!({"account": account, "name": "x", "event_types": event_types, "state": "paused", "request": {"url": NOWHERE}})
}

async fn delete(running: &Running, path: &str) -> u16 {
    running.client.send("DELETE", path, &[], b"").await.status
}

#[tokio::test]
async fn an_account_subscribes_only_to_families_of_its_kind() {
    let running = with_kinds().await;
    running.client.post("/v1/event-types", json!({"type": "coupon.redeemed", "family": "loyalty"})).await;
    for (event_types, refused) in [
        (json!(["action.tracked"]), None),
        (json!(["coupon.*"]), None),
        (json!(["*"]), None),
        (json!(["test.ping", "delivery.dead"]), None),
        (json!(["action.cleared"]), Some("/event_types/0")),
        (json!(["action.tracked", "click.recorded"]), Some("/event_types/1")),
        (json!(["action.*"]), Some("/event_types/0")),
    ] {
        let answer = running.client.post("/v1/subscriptions", spec("partner", event_types.clone())).await;
        match refused {
            None => assert_eq!(answer.status, 201, "{event_types}: {}", answer.body),
            Some(pointer) => {
                let error = answer.json()["errors"][0].clone();
                assert_eq!(
                    (answer.status, &error["code"], &error["pointer"]),
                    (422, &json!("event_type_not_allowed"), &json!(pointer)),
                    "{event_types}"
                );
                assert!(error["detail"].as_str().unwrap().contains("kind `partner`"), "{error}");
            }
        }
        assert_eq!(running.client.post("/v1/subscriptions", spec("acme", event_types)).await.status, 201, "acme has no kind");
    }
}

#[tokio::test]
async fn a_star_means_what_the_account_may_have() {
    let running = with_kinds().await;
    running.client.post("/v1/subscriptions", spec("partner", json!(["*"]))).await;
    for (event_type, deliveries) in [("action.tracked", 1), ("action.cleared", 0), ("click.recorded", 0)] {
        let event = json!({"account": "partner", "type": event_type, "data": {}});
        let accepted = running.client.post("/v1/events", event).await;
        assert_eq!((accepted.status, accepted.json()["deliveries"].as_array().unwrap().len()), (202, deliveries), "{event_type}");
        let routing = running.client.get(&format!("/v1/events/{}/routing", accepted.json()["id"].as_str().unwrap())).await.json();
        let entry = &routing["data"][0];
        let expected = if deliveries == 1 { ("sent", true) } else { ("not_allowed", false) };
        assert_eq!((entry["code"].as_str().unwrap(), entry["sent"].as_bool().unwrap()), expected, "{entry}");
    }
}

#[tokio::test]
async fn an_account_is_changed_with_care() {
    let running = Running::start().await;
    let shown = running.client.get("/v1/accounts/acme").await;
    assert_eq!(
        (shown.header("etag"), shown.json()["version"].clone(), shown.json()["kind"].clone()),
        (Some("\"1\""), json!(1), json!(null))
    );
    let created = running.subscribe(NOWHERE, json!({"event_types": ["action.*", "click.recorded"], "state": "paused"})).await;
    let patch = async |headers: &[(&str, &str)], body: Value| {
        running.client.send("PATCH", "/v1/accounts/acme", headers, body.to_string().as_bytes()).await
    };
    let allowed =
        patch(&[("If-Match", "\"1\"")], json!({"kind": "cashback", "allowed_event_types": ["action.*"], "fields": ["Extra"]})).await;
    assert_eq!((allowed.status, allowed.header("etag")), (200, Some("\"2\"")), "{}", allowed.body);
    let warning = allowed.json()["warnings"][0].clone();
    assert_eq!((&warning["code"], &warning["pointer"]), (&json!("subscription_asks_for_more"), &json!("/allowed_event_types")));
    assert!(warning["detail"].as_str().unwrap().contains(created["id"].as_str().unwrap()));
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    assert_eq!(running.client.post(&format!("{path}/resume"), "").await.status, 200, "what was saved can still be paused and resumed");
    running.client.post(&format!("{path}/pause"), "").await;
    let wider = running.client.send("PATCH", &path, &[], br#"{"event_types": ["click.*"]}"#).await;
    assert_eq!(wider.json()["errors"][0]["code"], "event_type_not_allowed");
    let click = running.client.post("/v1/events", json!({"account": "acme", "type": "click.recorded", "data": {}})).await.json();
    assert_eq!(click["deliveries"], json!([]), "it takes effect at once");
    let stale = patch(&[("If-Match", "\"1\"")], json!({"name": "late"})).await;
    assert_eq!((stale.status, stale.json()["code"].clone()), (412, json!("version_mismatch")));
    let wide_open = patch(&[], json!({"kind": null, "allowed_event_types": null, "version": 77, "id": "other"})).await.json();
    assert_eq!(
        (&wide_open["kind"], &wide_open["allowed_event_types"], &wide_open["version"], &wide_open["id"]),
        (&json!(null), &json!(null), &json!(3), &json!("acme"))
    );
    let routing = running.client.get(&format!("/v1/events/{}/routing", click["id"].as_str().unwrap())).await.json();
    assert_eq!((&routing["data"][0]["code"], &routing["data"][0]["known"]), (&json!("changed_since"), &json!("now")));
    let used = running.subscribe("https://t.example/?x={Extra}&s={Status}&i={ActionId}", json!({})).await;
    let in_use = patch(&[], json!({"fields": []})).await;
    assert_eq!((in_use.status, in_use.json()["code"].clone()), (409, json!("field_in_use")));
    delete(&running, &format!("/v1/subscriptions/{}", used["id"].as_str().unwrap())).await;
    assert_eq!(patch(&[], json!({"fields": []})).await.status, 200);
}

#[tokio::test]
async fn every_bad_account_is_named_with_its_place() {
    let running = Running::start().await;
    for (body, code, pointer) in [
        (json!({"id": "x", "kind": "publisher"}), "invalid_value", "/kind"),
        (json!({"id": "x", "allowed_event_types": ["Action"]}), "invalid_value", "/allowed_event_types/0"),
        (json!({"id": "x", "allowed_event_types": []}), "no_event_types", "/allowed_event_types"),
        (json!({"id": "x", "allowed_event_types": vec!["a.b"; 201]}), "out_of_range", "/allowed_event_types"),
        (json!({"id": "x", "fields": ["a b"]}), "invalid_field_name", "/fields/0"),
        (json!({"id": "x", "name": ""}), "invalid_name", "/name"),
        (json!({"id": "x", "version": 2}), "unknown_field", "/version"),
    ] {
        let created = running.client.post("/v1/accounts", &body).await;
        assert_eq!(
            (created.status, &created.json()["errors"][0]["code"], &created.json()["errors"][0]["pointer"]),
            (422, &json!(code), &json!(pointer)),
            "{body}"
        );
        if code == "unknown_field" {
            continue;
        }
        let patched = running.client.send("PATCH", "/v1/accounts/acme", &[], body.to_string().as_bytes()).await;
        assert_eq!((patched.status, &patched.json()["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}");
    }
    for (method, path) in [("PATCH", "/v1/accounts/none"), ("DELETE", "/v1/accounts/none")] {
        assert_eq!(running.client.send(method, path, &[], b"{}").await.status, 404);
    }
    let stale = running.client.send("DELETE", "/v1/accounts/acme", &[("If-Match", "\"9\"")], b"").await;
    assert_eq!(stale.status, 412);
}

/// A receiver that answers when it is told to.
struct Slow(TcpListener);

impl Slow {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Waits for a request and gives its connection.
    async fn request(&self) -> TcpStream {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream
    }
}

async fn wait_until_gone(running: &Running, account: &str) {
    for _ in 0..600 {
        if running.client.get(&format!("/v1/accounts/{account}")).await.status == 404 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("account {account} is still there");
}

#[tokio::test]
async fn j5_a_deleted_account_ends_what_is_in_flight_and_leaves_nothing() {
    let running = Running::start().await;
    let (slow, receiver) = (Slow::start().await, Receiver::start().await);
    running.client.post("/v1/accounts", json!({"id": "going"})).await;
    let key = running.client.post("/v1/keys", json!({"name": "k", "scope": "account", "account": "going"})).await.json();
    let own = super::http::Client { key: key["key"].as_str().unwrap().into(), ..running.client.clone() };
    let to_slow = json!({"account": "going", "name": "slow", "event_types": ["action.*"], "max_requests_per_second": 1, "order": "action",
        "request": {"url": format!("http://{}/?i={{ActionId}}&s={{Status}}", slow.0.local_addr().unwrap())}});
    let subscription = running.client.post("/v1/subscriptions", to_slow).await.json()["id"].as_str().unwrap().to_owned();
    let kept = running.subscribe(&format!("http://{}/?i={{ActionId}}&s={{Status}}", receiver.address), json!({})).await;
    let event = |account: &str| json!({"account": account, "type": "action.tracked", "key": "same", "data": {"ActionId": "1"}});
    let first = running.client.post("/v1/events", event("going")).await.json();
    let mut in_flight = slow.request().await;
    for _ in 0..5 {
        running.client.post("/v1/events", json!({"account": "going", "type": "action.tracked", "data": {"ActionId": "1"}})).await;
    }
    running.client.post("/v1/events", event("acme")).await;

    let deleted = running.client.send("DELETE", "/v1/accounts/going", &[], b"").await;
    assert_eq!(deleted.status, 202, "{}", deleted.body);
    assert!(deleted.json()["deleting_since"].is_string());
    assert_eq!(own.get("/v1/me").await.status, 401, "its keys are not taken any more");
    assert_eq!(running.client.get(&format!("/v1/subscriptions/{subscription}")).await.status, 404);
    assert_eq!(running.client.post("/v1/events", event("going")).await.json()["code"], "unknown_account");
    assert_eq!(running.client.post("/v1/subscriptions", spec("going", json!(["*"]))).await.json()["code"], "unknown_account");
    let reused = running.client.post("/v1/accounts", json!({"id": "going"})).await;
    assert_eq!((reused.status, reused.json()["code"].clone()), (409, json!("account_being_deleted")));
    assert_eq!(delete(&running, "/v1/accounts/going").await, 202, "asked again it goes on");
    assert_eq!(running.client.get("/v1/accounts/going").await.status, 200, "it is shown while a request of it is in flight");

    in_flight.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK").await.unwrap();
    wait_until_gone(&running, "going").await;
    let of_it = first["deliveries"][0].as_str().unwrap();
    for path in [format!("/v1/events/{}", first["id"].as_str().unwrap()), format!("/v1/deliveries/{of_it}")] {
        assert_eq!(running.client.get(&path).await.status, 404, "{path}");
    }
    let left = running.client.get(&format!("/v1/deliveries?subscription={subscription}")).await.json();
    assert_eq!(left["data"], json!([]));
    let events = running.client.get("/v1/events").await.json();
    assert!(events["data"].as_array().unwrap().iter().all(|event| event["account"] == "acme") && events["data"][0]["key"] == "same");
    assert_eq!(receiver.wait_for(1).await.len(), 1, "the other account is unharmed");
    assert_eq!(running.client.get(&format!("/v1/subscriptions/{}", kept["id"].as_str().unwrap())).await.status, 200);
    assert!(tokio::time::timeout(Duration::from_millis(100), slow.0.accept()).await.is_err(), "nothing was sent afterwards");

    assert_eq!(running.client.post("/v1/accounts", json!({"id": "going"})).await.status, 201, "the id is free again");
    let again = running.client.post("/v1/events", event("going")).await.json();
    assert_eq!((again["duplicate"].clone(), again["deliveries"].clone()), (json!(false), json!([])), "nothing is remembered of it");
    assert_eq!(running.client.get("/v1/subscriptions?account=going").await.json()["data"], json!([]));
}

#[tokio::test]
async fn j5_a_deletion_goes_on_after_a_restart() {
    let running = Running::with(|_| {}).await;
    running.client.post("/v1/accounts", json!({"id": "going"})).await;
    running.client.post("/v1/subscriptions", spec("going", json!(["action.*"]))).await;
    let event = r#"{"account":"going","type":"action.tracked","data":{}}"#;
    let many = format!("[{}]", vec![event; 500].join(","));
    let first = running.client.post("/v1/events", many).await.json()["results"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(delete(&running, "/v1/accounts/going").await, 202);
    let running = running.restart(|_| {}).await;
    wait_until_gone(&running, "going").await;
    assert_eq!(running.client.get(&format!("/v1/events/{first}")).await.status, 404);
    assert_eq!(running.client.get("/v1/events").await.json()["data"], json!([]));
    assert_eq!(running.client.get("/v1/deliveries").await.json()["data"], json!([]));
}

#[tokio::test]
async fn the_addresses_that_requests_come_from_are_told() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.egress_addresses = vec!["203.0.113.7".into(), "2001:db8::/32".into()];
    })
    .await;
    let told = running.client.get("/v1/addresses").await.json();
    assert_eq!(told["addresses"], json!(["203.0.113.7", "2001:db8::/32"]));
    let receiver = Receiver::start().await;
    running.subscribe(&format!("http://{}/?i={{ActionId}}&s={{Status}}", receiver.address), json!({})).await;
    running.client.post("/v1/events", json!({"account": "acme", "type": "action.tracked", "data": {}})).await;
    assert_eq!(told["user_agent"], receiver.wait_for(1).await[0].header("user-agent"));
    assert_eq!(running.client.get("/v1/addresses?x=1").await.status, 422);
}

#[tokio::test(start_paused = true)]
async fn j5_data_stay_until_what_is_in_flight_has_ended() {
    let clock = Arc::new(ScriptedClock::starting_at(Timestamp::from_unix_ms(1_732_233_600_000)));
    let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
    let store = Arc::new(EmbeddedStore::inline(MemoryKv::default(), options).unwrap());
    let vault = Vault::new(MasterKeys::draw(&SystemRng), Arc::new(SystemRng));
    let queue = Queue::open(store, clock.clone(), 7, Duration::from_secs(86_400), vault).await.unwrap();
    let (id, by) = ("going".parse().unwrap(), Actor::server());
    queue.create_account(&by, Account::new("going".parse().unwrap(), "Going", Timestamp::default())).await.unwrap();
    let spec = serde_json::from_value(spec("going", json!(["action.*"]))).unwrap();
    let to = queue.create_subscription(&by, spec).await.unwrap().subscription.id;
    let event = IncomingEvent {
        account: "going".parse().unwrap(),
        event_type: "action.tracked".parse().unwrap(),
        key: None,
        occurred_at: None,
        data: EventData::parse("{}").unwrap(),
    };
    let accepted = queue.accept(vec![event]).await.unwrap().remove(0);
    queue.in_flight().begin(accepted.deliveries[0], to, Timestamp::from_unix_ms(1_732_233_700_000));
    queue.delete_account(&by, &id, None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    queue.end_orphans().await.unwrap();
    assert!(queue.remove_deleted_accounts().await.unwrap(), "something is left while a request is in flight");
    assert!(queue.event(accepted.id).await.unwrap().is_some() && queue.registry().deleting_account(&id).is_some());
    queue.in_flight().end(accepted.deliveries[0]);
    assert!(queue.remove_deleted_accounts().await.unwrap(), "another round looks whether an event came in late");
    assert!(queue.event(accepted.id).await.unwrap().is_none());
    assert!(!queue.remove_deleted_accounts().await.unwrap());
    assert!(queue.registry().deleting_account(&id).is_none());
}
