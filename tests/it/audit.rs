//! The audit log: an entry for every change, none for what was refused, no values, and an end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use postrider::api::{Access, calls};
use postrider::clock::{ScriptedClock, Timestamp};
use postrider::queue::{Account, AccountLimits, Actor, AuditQuery, Queue, RetentionSettings, sweep};
use postrider::rng::SystemRng;
use postrider::secret::{MasterKeys, Vault};
use postrider::store::{EmbeddedStore, MemoryKv, StoreOptions};
use serde_json::{Value, json};

use super::keys::{client_of, create};
use super::server::Running;

/// Calls that change nothing which is configured, although their method may.
const NOT_AUDITED: [&str; 7] = [
    "POST /v1/events",
    "POST /v1/subscriptions/{id}/test",
    "POST /v1/subscriptions/test",
    "POST /v1/clicks",
    "POST /v1/offers/{id}/test-runs",
    "POST /v1/test-runs/{id}/report",
    "POST /v1/test-runs/{id}/finish",
];

/// The newest entry.
async fn newest(running: &Running) -> Value {
    running.client.get("/v1/audit?limit=1").await.json()["data"][0].clone()
}

async fn count(running: &Running) -> usize {
    let page = running.client.get("/v1/audit?limit=200").await.json();
    assert_eq!(page["next_cursor"], Value::Null);
    page["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn every_change_has_an_entry_that_says_who_and_what() {
    let running = Running::start().await;
    let account = newest(&running).await;
    let operator = json!({"key": "key_operator", "name": "operator.key", "address": "127.0.0.1"});
    assert_eq!(
        (&account["action"], &account["account"], &account["object"], &account["actor"], &account["changes"]),
        (&json!("account.created"), &json!("acme"), &json!("acme"), &operator, &json!([]))
    );
    let created = create(&running, json!({"name": "people of acme", "scope": "account", "account": "acme"})).await;
    let holder = client_of(&running, &created);
    let by_holder = json!({"key": created["id"], "name": "people of acme", "address": "127.0.0.1"});
    assert_eq!(newest(&running).await["action"], "key.created");
    let spec = json!({"account": "acme", "name": "n", "event_types": ["action.*"], "request": {"url": "https://t.example/?i={ActionId}"}});
    let id = holder.post("/v1/subscriptions", &spec).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/subscriptions/{id}");
    let mut audited: BTreeSet<String> = ["POST /v1/accounts", "POST /v1/keys", "POST /v1/subscriptions"].map(Into::into).into();
    assert_eq!(
        (newest(&running).await["action"].clone(), newest(&running).await["object"].clone()),
        (json!("subscription.created"), json!(id))
    );
    let mut whole = spec.clone();
    whole["request"]["headers"] = json!([{"name": "X-Token", "value": "canary-secret"}]);
    for (method, suffix, body, action, changes) in [
        ("POST", "/pause", json!(""), "subscription.paused", json!(["/state"])),
        ("POST", "/resume", json!(""), "subscription.resumed", json!(["/state"])),
        ("PUT", "", whole, "subscription.changed", json!(["/request/headers"])),
        ("PATCH", "", json!({"name": "m", "request": {"method": "POST"}}), "subscription.changed", json!(["/name", "/request/method"])),
        ("PATCH", "", json!({"state": "paused"}), "subscription.paused", json!(["/state"])),
        // What is secret is told by where it stands, like everything else.
        (
            "PATCH",
            "",
            json!({"credentials": {"type": "bearer", "token": "canary-secret"}, "signing": {"version": "v1"}}),
            "subscription.changed",
            json!(["/signing", "/credentials", "/signing/secret", "/credentials/token"]),
        ),
        ("PATCH", "", json!({"credentials": {"token": "canary-secret-2"}}), "subscription.changed", json!(["/credentials/token"])),
        (
            "POST",
            "/signing/rotate",
            json!({}),
            "subscription.secret_rotated",
            json!(["/signing/rotated_at", "/signing/previous_until", "/signing/secret"]),
        ),
    ] {
        let answer = holder.send(method, &format!("{path}{suffix}"), &[], body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let entry = newest(&running).await;
        assert_eq!(
            (&entry["action"], &entry["changes"], &entry["object"], &entry["account"], &entry["actor"]),
            (&json!(action), &changes, &json!(id), &json!("acme"), &by_holder)
        );
        audited.insert(format!("{method} /v1/subscriptions/{{id}}{suffix}"));
    }
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "canary-data"}});
    let delivery = holder.post("/v1/events", event).await.json()["deliveries"][0].as_str().unwrap().to_owned();
    for (verb, action) in [("retry", "delivery.retried"), ("cancel", "delivery.cancelled")] {
        assert_eq!(holder.post(&format!("/v1/deliveries/{delivery}/{verb}"), "").await.status, 200);
        let entry = newest(&running).await;
        assert_eq!(
            (&entry["action"], &entry["object"], &entry["account"], &entry["actor"]),
            (&json!(action), &json!(delivery), &json!("acme"), &by_holder)
        );
        audited.insert(format!("POST /v1/deliveries/{{id}}/{verb}"));
    }
    let entries = count(&running).await;
    let body = |dry_run: bool| json!({"subscription": id, "states": ["cancelled"], "dry_run": dry_run});
    assert_eq!((holder.post("/v1/replays", body(true)).await.status, count(&running).await), (200, entries), "a dry run changes nothing");
    let replay = holder.post("/v1/replays", body(false)).await.json()["id"].as_str().unwrap().to_owned();
    for action in ["replay.created", "replay.cancelled"] {
        if action == "replay.cancelled" {
            assert_eq!(holder.post(&format!("/v1/replays/{replay}/cancel"), "").await.status, 200);
        }
        let entry = newest(&running).await;
        assert_eq!(
            (&entry["action"], &entry["object"], &entry["account"], &entry["actor"]),
            (&json!(action), &json!(replay), &json!("acme"), &by_holder)
        );
    }
    audited.extend(["POST /v1/replays".into(), "POST /v1/replays/{id}/cancel".into()]);
    assert_eq!(holder.send("DELETE", &path, &[], b"").await.status, 204);
    assert_eq!(newest(&running).await["action"], "subscription.deleted");
    audited.insert("DELETE /v1/subscriptions/{id}".into());
    let offer = json!({"id": "o", "account": "acme", "name": "canary-offer", "landing_url": "https://shop.example/canary", "currency": "USD",
        "actions": [{"name": "canary-action", "rate": "1"}]});
    assert_eq!(holder.post("/v1/offers", &offer).await.status, 201);
    assert_eq!((&newest(&running).await["action"], &newest(&running).await["object"]), (&json!("offer.created"), &json!("o")));
    let mut whole = offer.clone();
    whole["name"] = json!("canary-2");
    for (method, body, action, changes) in [
        ("PATCH", json!({"state": "paused"}), "offer.paused", json!(["/state"])),
        ("PATCH", json!({"state": "active"}), "offer.resumed", json!(["/state"])),
        ("PUT", whole, "offer.changed", json!(["/name"])),
    ] {
        let answer = holder.send(method, "/v1/offers/o", &[], body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let entry = newest(&running).await;
        assert_eq!((&entry["action"], &entry["changes"], &entry["actor"]), (&json!(action), &changes, &by_holder));
    }
    let inbound = holder.post("/v1/inbound-keys", json!({"account": "acme", "offer": "o", "name": "canary-key"})).await.json();
    assert_eq!((&newest(&running).await["action"], &newest(&running).await["object"]), (&json!("inbound_key.created"), &inbound["id"]));
    let path_of_key = format!("/v1/inbound-keys/{}", inbound["id"].as_str().unwrap());
    assert_eq!(holder.post(&format!("{path_of_key}/rotate"), "").await.status, 201);
    let two = running.client.get("/v1/audit?limit=2").await.json()["data"].clone();
    assert_eq!((&two[0]["action"], &two[1]["action"]), (&json!("inbound_key.created"), &json!("inbound_key.rotated")));
    assert_eq!(holder.send("DELETE", &path_of_key, &[], b"").await.status, 204);
    assert_eq!(newest(&running).await["action"], "inbound_key.deleted");
    assert_eq!(holder.send("DELETE", "/v1/offers/o", &[], b"").await.status, 204);
    let two = running.client.get("/v1/audit?limit=2").await.json()["data"].clone();
    let mut gone = [two[0]["action"].as_str().unwrap(), two[1]["action"].as_str().unwrap()];
    gone.sort_unstable();
    assert_eq!(gone, ["inbound_key.deleted", "offer.deleted"], "the key that was for the offer alone goes with it");
    audited.extend(
        [
            "POST /v1/offers",
            "PUT /v1/offers/{id}",
            "PATCH /v1/offers/{id}",
            "DELETE /v1/offers/{id}",
            "POST /v1/inbound-keys",
            "POST /v1/inbound-keys/{id}/rotate",
            "DELETE /v1/inbound-keys/{id}",
        ]
        .map(String::from),
    );
    let key = format!("/v1/keys/{}", created["id"].as_str().unwrap());
    let successor = running.client.post(&format!("{key}/rotate"), "").await.json();
    let two = running.client.get("/v1/audit?limit=2").await.json()["data"].clone();
    assert_eq!((&two[0]["action"], &two[0]["object"]), (&json!("key.created"), &successor["id"]));
    assert_eq!(
        (&two[1]["action"], &two[1]["object"], &two[1]["changes"]),
        (&json!("key.rotated"), &created["id"], &json!(["/expires_at"]))
    );
    running.client.send("DELETE", &key, &[], b"").await;
    assert_eq!(
        (newest(&running).await["action"].clone(), newest(&running).await["object"].clone()),
        (json!("key.deleted"), created["id"].clone())
    );
    audited.extend(["POST /v1/keys/{id}/rotate".into(), "DELETE /v1/keys/{id}".into()]);
    let renamed = running.client.send("PATCH", "/v1/accounts/acme", &[], br#"{"name": "canary-name", "fields": ["Extra"]}"#).await;
    assert_eq!(renamed.status, 200, "{}", renamed.body);
    let entry = newest(&running).await;
    assert_eq!((&entry["action"], &entry["changes"]), (&json!("account.changed"), &json!(["/name", "/fields"])));
    running.client.post("/v1/accounts", json!({"id": "going"})).await;
    assert_eq!(running.client.send("DELETE", "/v1/accounts/going", &[], b"").await.status, 202);
    let entry = newest(&running).await;
    assert_eq!((&entry["action"], &entry["object"], &entry["account"]), (&json!("account.deleted"), &json!("going"), &json!("going")));
    audited.extend(["PATCH /v1/accounts/{id}".into(), "DELETE /v1/accounts/{id}".into()]);
    let described = json!({"type": "coupon.redeemed", "description": "canary-description"});
    assert_eq!(running.client.post("/v1/event-types", described).await.status, 201);
    assert_eq!(running.client.send("DELETE", "/v1/event-types/coupon.redeemed", &[], b"").await.status, 204);
    let two = running.client.get("/v1/audit?limit=2").await.json()["data"].clone();
    assert_eq!((&two[0]["action"], &two[1]["action"]), (&json!("event_type.deleted"), &json!("event_type.created")));
    assert!(two[0]["object"] == "coupon.redeemed" && two[0]["account"].is_null());
    audited.extend(["POST /v1/event-types".into(), "DELETE /v1/event-types/{type}".into()]);
    let log = running.client.get("/v1/audit?limit=200").await.body;
    assert!(!log.contains("canary"), "a value is in the log: {log}");
    // A call that changes something and is not in this test fails it.
    let changing: BTreeSet<String> = calls()
        .into_iter()
        .filter(|(method, _, access)| method != "GET" && matches!(access, Access::Keyed | Access::Operator))
        .map(|(method, path, _)| format!("{method} {path}"))
        .filter(|call| !NOT_AUDITED.contains(&call.as_str()))
        .collect();
    assert_eq!(audited, changing);
}

#[tokio::test]
async fn what_was_refused_leaves_no_entry() {
    let running = Running::start().await;
    let subscription = running.subscribe("https://t.example/?i={ActionId}", json!({"state": "paused"})).await;
    let path = format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap());
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1"}});
    let delivery = running.client.post("/v1/events", event).await.json()["deliveries"][0].as_str().unwrap().to_owned();
    running.client.post(&format!("/v1/deliveries/{delivery}/cancel"), "").await;
    let reader = client_of(&running, &create(&running, json!({"name": "r", "scope": "read"})).await);
    let before = count(&running).await;
    let zeros = "00000000000000000000000001";
    let refused = [
        running.client.post("/v1/accounts", json!({"id": "acme"})).await,
        running.client.post("/v1/accounts", json!({"id": "a b"})).await,
        running.client.post("/v1/subscriptions", json!({"account": "acme"})).await,
        running.client.send("PATCH", &path, &[("If-Match", "\"9\"")], b"{}").await,
        running.client.send("PATCH", &path, &[], br#"{"timeout_ms":0}"#).await,
        running.client.send("DELETE", &path, &[("If-Match", "\"9\"")], b"").await,
        running.client.send("DELETE", &format!("/v1/subscriptions/sub_{zeros}"), &[], b"").await,
        running.client.post(&format!("/v1/deliveries/{delivery}/retry"), "").await,
        running.client.post(&format!("/v1/deliveries/{delivery}/cancel"), "").await,
        running.client.post(&format!("/v1/deliveries/dlv_{zeros}/cancel"), "").await,
        running.client.post("/v1/keys", json!({"name": "x", "scope": "account", "account": "nobody"})).await,
        running.client.post(&format!("/v1/keys/key_{zeros}/rotate"), "").await,
        running.client.send("DELETE", &format!("/v1/keys/key_{zeros}"), &[], b"").await,
        reader.post("/v1/accounts", json!({"id": "new"})).await,
        reader.post(&format!("{path}/resume"), "").await,
    ];
    for answer in refused {
        assert!((400..500).contains(&answer.status), "{}", answer.body);
    }
    assert_eq!(count(&running).await, before);
}

#[tokio::test]
async fn the_log_is_filtered_and_paged() {
    let running = Running::start().await;
    let key = create(&running, json!({"name": "of acme", "scope": "account", "account": "acme"})).await;
    let holder = client_of(&running, &key);
    running.client.post("/v1/accounts", json!({"id": "rival"})).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let url = json!({"url": "https://t.example/?i={ActionId}"});
        let spec = json!({"account": "acme", "name": "n", "event_types": ["action.*"], "request": url});
        ids.push(holder.post("/v1/subscriptions", spec).await.json()["id"].as_str().unwrap().to_owned());
    }
    let objects = async |query: &str| -> Vec<String> {
        let page = running.client.get(&format!("/v1/audit?{query}")).await.json();
        page["data"].as_array().unwrap().iter().map(|entry| entry["object"].as_str().unwrap().to_owned()).collect()
    };
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(objects("action=subscription.created").await, newest_first);
    assert_eq!(objects(&format!("actor={}", key["id"].as_str().unwrap())).await, newest_first);
    assert_eq!(objects(&format!("object={}", ids[1])).await, [ids[1].clone()]);
    assert_eq!(objects("account=rival").await, ["rival"]);
    assert_eq!(objects("actor=key_operator&action=account.created").await, ["rival", "acme"]);
    assert_eq!(objects("until=2001-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(objects("since=2999-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(objects("since=2001-01-01T00:00:00Z&until=2999-01-01T00:00:00Z").await.len(), 6);
    let first = running.client.get("/v1/audit?action=subscription.created&limit=2").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = running.client.get(&format!("/v1/audit?action=subscription.created&limit=2&cursor={cursor}")).await.json();
    assert_eq!((second["data"][0]["object"].as_str(), second["next_cursor"].clone()), (Some(ids[0].as_str()), Value::Null));
    let bad = running.client.get("/v1/audit?actor=somebody").await;
    assert_eq!((bad.status, bad.json()["errors"][0]["code"].clone()), (422, json!("invalid_parameter")));
    // An account sees its own entries; from where the operator works is not told.
    let own = holder.get("/v1/audit").await.json();
    let own = own["data"].as_array().unwrap();
    assert!(own.len() == 5 && own.iter().all(|entry| entry["account"] == "acme"), "{own:?}");
    for entry in own {
        let expected = if entry["actor"]["key"] == "key_operator" { Value::Null } else { json!("127.0.0.1") };
        assert_eq!(entry["actor"]["address"], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn entries_are_removed_when_they_are_old_enough() {
    let clock = Arc::new(ScriptedClock::starting_at(Timestamp::from_unix_ms(1_732_233_600_000)));
    let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
    let store = Arc::new(EmbeddedStore::inline(MemoryKv::default(), options).unwrap());
    let vault = Vault::new(MasterKeys::draw(&SystemRng), Arc::new(SystemRng));
    let queue = Arc::new(Queue::open(store, clock.clone(), 7, Duration::from_secs(86_400), vault).await.unwrap());
    let days = |count: u64| Duration::from_secs(count * 86_400);
    let create = async |id: String| {
        let account = Account::new(id.parse().unwrap(), id, Timestamp::default());
        queue.create_account(&Actor::server(), account).await.unwrap();
    };
    // More than one step of the removal takes.
    for number in 0..600 {
        create(format!("old-{number}")).await;
    }
    let retention = RetentionSettings {
        events: days(30),
        audit: days(365),
        actions: days(400),
        clicks: days(90),
        inbound_calls: days(30),
        per_account: AccountLimits::default(),
        interval: Duration::from_secs(3_600),
    };
    let settings = tokio::sync::watch::Sender::new(retention);
    let sweeping = tokio::spawn(sweep(queue.clone(), settings.subscribe(), postrider::cluster::Turn::always()));
    tokio::time::sleep(days(364)).await;
    create("late".into()).await;
    let everything = AuditQuery { limit: 1_000, ..AuditQuery::default() };
    assert_eq!(queue.audit_log(&everything).await.unwrap().items.len(), 601);
    tokio::time::sleep(days(1) + Duration::from_secs(7_200)).await;
    let left = queue.audit_log(&everything).await.unwrap().items;
    assert_eq!(left.iter().filter_map(|entry| entry.object.as_deref()).collect::<Vec<_>>(), ["late"]);
    sweeping.abort();
}
