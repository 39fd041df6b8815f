//! Why an event went where it went, and why a delivery is where it is.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

const EVENT: &str = r#"{"account":"acme","type":"action.modified","data":{"ActionId":"1","CampaignId":"1000"}}"#;
const NOWHERE: &str = "http://127.0.0.1:9/?i={ActionId}&s={Status}";

/// The entries of an event's routing by the names of the subscriptions.
async fn routing(running: &Running, event: &str) -> Value {
    let answer = running.client.get(&format!("/v1/events/{event}/routing")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let entries = answer.json()["data"].as_array().unwrap().clone();
    entries.into_iter().map(|entry| (entry["name"].as_str().unwrap_or("deleted").to_owned(), entry)).collect()
}

async fn explained(running: &Running, delivery: &str) -> String {
    running.client.get(&format!("/v1/deliveries/{delivery}")).await.json()["explanation"].as_str().unwrap().to_owned()
}

/// Waits until the explanation contains `part`.
async fn wait_for_explanation(running: &Running, delivery: &str, part: &str) -> String {
    for _ in 0..2_000 {
        let text = explained(running, delivery).await;
        if text.contains(part) {
            return text;
        }
        tokio::task::yield_now().await;
    }
    panic!("`{part}` is not in `{}`", explained(running, delivery).await);
}

async fn accept(running: &Running, event: &str) -> (String, Vec<String>) {
    let accepted = running.client.post("/v1/events", event).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let accepted = accepted.json();
    let deliveries = accepted["deliveries"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    (accepted["id"].as_str().unwrap().to_owned(), deliveries)
}

#[tokio::test]
async fn every_subscription_says_why_the_event_was_or_was_not_sent() {
    let running = Running::start().await;
    let subscribe = async |name: &str, patch: Value| {
        let mut patch = patch;
        patch["name"] = json!(name);
        running.subscribe(NOWHERE, patch).await["id"].as_str().unwrap().to_owned()
    };
    subscribe("wants", json!({"state": "paused"})).await;
    subscribe("clicks", json!({"event_types": ["click.recorded"]})).await;
    subscribe("filtered", json!({"where": {"CampaignId": ["1", "2"]}})).await;
    subscribe("missing", json!({"where": {"PromoCode": "S"}})).await;
    subscribe("event level", json!({"scope": "event"})).await;
    let changed = subscribe("changed", json!({"event_types": ["click.recorded"]})).await;
    let still_not = subscribe("changed otherwise", json!({"event_types": ["click.recorded"]})).await;
    let deleted = subscribe("deleted", json!({"state": "paused"})).await;
    let (event, _) = accept(&running, EVENT).await;
    running.client.send("PATCH", &format!("/v1/subscriptions/{changed}"), &[], br#"{"event_types": ["action.*"]}"#).await;
    running.client.send("PATCH", &format!("/v1/subscriptions/{still_not}"), &[], br#"{"event_types": ["job.completed"]}"#).await;
    running.client.send("DELETE", &format!("/v1/subscriptions/{deleted}"), &[], b"").await;
    subscribe("late", json!({})).await;
    let routing = routing(&running, &event).await;
    let told = |name: &str| (routing[name]["sent"].clone(), routing[name]["code"].clone(), routing[name]["known"].clone());
    let no = |code: &str, known: &str| (json!(false), json!(code), json!(known));
    assert_eq!(told("wants"), (json!(true), json!("sent"), json!("then")));
    assert!(routing["wants"]["why"].as_str().unwrap().contains("the subscription is paused"), "{}", routing["wants"]);
    assert_eq!(told("clicks"), no("type_not_wanted", "then"));
    assert_eq!(told("filtered"), no("filtered", "then"));
    assert_eq!(
        routing["filtered"]["why"],
        "the condition on `CampaignId` does not hold: the event has `1000`, and the subscription wants `1`, `2`"
    );
    assert!(routing["missing"]["why"].as_str().unwrap().contains("the event has no value of it"));
    assert_eq!(told("event level"), no("scope_event", "then"));
    assert_eq!(told("changed"), no("changed_since", "now"), "what it was then is not kept, and the answer does not pretend");
    assert_eq!(told("changed otherwise"), no("type_not_wanted", "now"));
    assert_eq!(told("deleted"), (json!(true), json!("sent"), json!("then")));
    assert_eq!(told("late"), no("created_later", "then"));
    assert_eq!(routing.as_object().unwrap().len(), 9);
}

#[tokio::test]
async fn a_routing_is_paged_and_unknown_events_have_none() {
    let running = Running::start().await;
    for number in 0..3 {
        running.subscribe(NOWHERE, json!({"state": "paused", "name": format!("s{number}")})).await;
    }
    let (event, _) = accept(&running, EVENT).await;
    let first = running.client.get(&format!("/v1/events/{event}/routing?limit=2")).await.json();
    let next = first["next_cursor"].as_str().unwrap();
    let second = running.client.get(&format!("/v1/events/{event}/routing?limit=2&cursor={next}")).await.json();
    assert_eq!((first["data"].as_array().unwrap().len(), second["data"].as_array().unwrap().len()), (2, 1));
    assert!(second["next_cursor"].is_null());
    assert_eq!(running.client.get("/v1/events/evt_00000000000000000000000001/routing").await.status, 404);
}

#[tokio::test]
async fn at_event_level_reversals_are_left_out_unless_named() {
    let running = Running::start().await;
    let level = running.subscribe(NOWHERE, json!({"scope": "event", "state": "paused"})).await;
    let warning = level["warnings"].as_array().unwrap().iter().find(|warning| warning["code"] == "event_level_leaves_out").unwrap();
    assert!(warning["pointer"] == "/scope" && warning["detail"].as_str().unwrap().contains("action.reversed"), "{warning}");
    let named =
        running.subscribe(NOWHERE, json!({"scope": "event", "state": "paused", "event_types": ["action.*", "action.reversed"]})).await;
    let left: Vec<_> = named["warnings"].as_array().unwrap().iter().filter(|warning| warning["code"] == "event_level_leaves_out").collect();
    assert!(left.len() == 1 && !left[0]["detail"].as_str().unwrap().contains("action.reversed"), "{left:?}");
    let global = running.subscribe(NOWHERE, json!({"state": "paused"})).await;
    assert_eq!(global["scope"], "global");
    for (event_type, wanted) in [("action.tracked", 3), ("action.modified", 1), ("action.reversed", 2), ("action.cleared", 3)] {
        let event = format!(r#"{{"account":"acme","type":"{event_type}","data":{{}}}}"#);
        assert_eq!(accept(&running, &event).await.1.len(), wanted, "{event_type}");
    }
    let refused = running.client.post(
        "/v1/subscriptions",
        json!({"account": "acme", "name": "x", "event_types": ["*"], "scope": "all", "request": {"url": "https://t.example/"}}),
    );
    assert_eq!(refused.await.json()["errors"][0]["pointer"], "/scope");
}

#[tokio::test]
async fn waiting_deliveries_say_what_they_wait_for() {
    let running = Running::start().await;
    let only = |id: &str| json!({"where": {"ActionId": id}});
    let subscribe = async |action: &str, patch: Value| {
        let mut all = only(action);
        all.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        running.subscribe(NOWHERE, all).await["id"].as_str().unwrap().to_owned()
    };
    let emit = async |action: &str| {
        accept(&running, &format!(r#"{{"account":"acme","type":"action.tracked","data":{{"ActionId":"{action}"}}}}"#)).await.1.remove(0)
    };
    subscribe("delayed", json!({"minimum_delay_s": 3600})).await;
    let delayed = explained(&running, &emit("delayed").await).await;
    assert!(delayed.starts_with("waits for the minimum delay of 3600 s after the event and is due at 2"), "{delayed}");
    let paused = subscribe("paused", json!({"state": "paused"})).await;
    let waiting = explained(&running, &emit("paused").await).await;
    assert!(
        waiting.starts_with("due since ") && waiting.ends_with("the subscription is paused, so it waits until that is resumed"),
        "{waiting}"
    );
    subscribe("ordered", json!({"order": "action", "state": "paused"})).await;
    let first = emit("ordered").await;
    let second = explained(&running, &emit("ordered").await).await;
    assert!(second.contains(&format!("before it goes {first} of the same action")), "{second}");
    subscribe("slow", json!({"max_requests_per_second": 0.01})).await;
    emit("slow").await;
    let slow = wait_for_explanation(&running, &emit("slow").await, "at most 0.01 requests a second").await;
    assert!(slow.contains("of its deliveries wait"), "{slow}");
    running.client.send("DELETE", &format!("/v1/subscriptions/{paused}"), &[], b"").await;
}

#[tokio::test]
async fn decided_and_retried_deliveries_say_what_happened() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let subscribe = async |action: &str, url: String, patch: Value| {
        let mut all = json!({"where": {"ActionId": action}});
        all.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        running.subscribe(&url, all).await["id"].as_str().unwrap().to_owned()
    };
    let emit = async |action: &str| {
        accept(&running, &format!(r#"{{"account":"acme","type":"action.tracked","data":{{"ActionId":"{action}"}}}}"#)).await.1.remove(0)
    };
    let good = format!("http://{}/?i={{ActionId}}&s={{Status}}", receiver.address);
    subscribe("good", good.clone(), json!({})).await;
    let delivered = wait_for_explanation(&running, &emit("good").await, "delivered at").await;
    assert!(delivered.ends_with("by attempt 1 (status 200)"), "{delivered}");
    subscribe("refused", good.clone(), json!({"error_response": "OK"})).await;
    let dead = emit("refused").await;
    let refused = wait_for_explanation(&running, &dead, "refused for good").await;
    assert!(
        refused.contains("the error response matches") && refused.ends_with(&format!("`POST /v1/deliveries/{dead}/retry` sends it")),
        "{refused}"
    );
    subscribe(
        "exhausted",
        format!("http://{closed}/?i={{ActionId}}&s={{Status}}"),
        json!({"retry": {"attempts": 2, "schedule_s": [0], "jitter": 0}}),
    )
    .await;
    wait_for_explanation(&running, &emit("exhausted").await, "after 2 attempts, the last one ended as `unreachable`").await;
    let retried = subscribe(
        "retried",
        format!("http://{closed}/?i={{ActionId}}&s={{Status}}"),
        json!({"retry": {"attempts": 4, "schedule_s": [3600]}}),
    )
    .await;
    let delivery = emit("retried").await;
    let waiting = wait_for_explanation(&running, &delivery, "retry 1 of 3 is due at").await;
    assert!(waiting.starts_with("attempt 1 ended as `unreachable` ("), "{waiting}");
    running.client.post(&format!("/v1/subscriptions/{retried}/pause"), "").await;
    running.client.post(&format!("/v1/deliveries/{delivery}/retry"), "").await;
    let by_hand = explained(&running, &delivery).await;
    assert!(by_hand.contains("a person made it due again") && by_hand.contains("is paused"), "{by_hand}");
    running.client.post(&format!("/v1/deliveries/{delivery}/cancel"), "").await;
    assert!(explained(&running, &delivery).await.starts_with("cancelled by a person at "));
    let climbing = subscribe("..", "http://127.0.0.1:9/{ActionId}/?s={Status}".into(), json!({})).await;
    let unsent = emit("..").await;
    let not_sendable = wait_for_explanation(&running, &unsent, "no request could be sent").await;
    assert!(not_sendable.contains("the url was not rendered"), "{not_sendable}");
    running.client.send("DELETE", &format!("/v1/subscriptions/{climbing}"), &[], b"").await;
    assert!(explained(&running, &unsent).await.ends_with("its subscription was deleted, so it cannot be sent any more"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_to_a_failing_receiver_says_so_and_when_the_next_request_goes() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.failing_after = 1;
    })
    .await;
    running.subscribe("http://127.0.0.1:9/?i={ActionId}", json!({})).await;
    let first = running.emit(json!({"ActionId": "1"})).await;
    running.attempts(&first, 1).await;
    let explanation = wait_for_explanation(&running, &first, "the receiver has been failing since ").await;
    assert!(
        explanation.contains("retry 1 of 15 is due at") && explanation.contains("one request an interval; the next may go at "),
        "{explanation}"
    );
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "2"}});
    let accepted = running.client.post("/v1/events", event).await.json();
    let routing = running.client.get(&format!("/v1/events/{}/routing", accepted["id"].as_str().unwrap())).await.json();
    let why = routing["data"][0]["why"].as_str().unwrap();
    assert!(why.contains("due since") && why.contains("the receiver has been failing since "), "{why}");
}
