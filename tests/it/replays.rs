//! Replays over the API.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

/// The replay as it stands when `done` holds.
async fn replay_when(running: &Running, replay: &Value, done: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    let deadline = std::time::Duration::from_secs(60);
    let found = tokio::time::timeout(deadline, async {
        loop {
            let shown = running.client.get(&path).await.json();
            if done(&shown) {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{path} does not come to what was waited for"))
}

/// A paused subscription with this many cancelled deliveries.
async fn with_cancelled(running: &Running, receiver: &Receiver, count: usize) -> Value {
    let created = running.subscribe(&format!("http://{}/?i={{ActionId}}", receiver.address), json!({"state": "paused"})).await;
    for number in 0..count {
        let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": number.to_string()}});
        let accepted = running.client.post("/v1/events", event).await.json();
        let delivery = accepted["deliveries"][0].as_str().unwrap();
        assert_eq!(running.client.post(&format!("/v1/deliveries/{delivery}/cancel"), "").await.status, 200);
    }
    created
}

#[tokio::test]
async fn what_was_cancelled_by_mistake_is_counted_then_sent() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let created = with_cancelled(&running, &receiver, 3).await;
    let id = created["id"].clone();
    let dry = running.client.post("/v1/replays", json!({"subscription": id, "states": ["cancelled"], "dry_run": true})).await;
    assert_eq!((dry.status, dry.json()["state"].clone(), dry.json()["matched"].clone()), (200, json!("done"), json!(3)));
    running.client.post(&format!("/v1/subscriptions/{}/resume", id.as_str().unwrap()), "").await;
    let replay = running.client.post("/v1/replays", json!({"subscription": id, "states": ["cancelled", "cancelled"]})).await;
    assert_eq!((replay.status, replay.json()["states"].clone()), (201, json!(["cancelled"])));
    let done = replay_when(&running, &replay.json(), |shown| shown["state"] == "done").await;
    assert_eq!((done["matched"].clone(), done["done"].clone(), done["skipped"].clone()), (json!(3), json!(3), json!(0)));
    assert!(done["finished_at"].is_string() && done["account"] == "acme" && done["per_second"].is_null());
    let mut targets: Vec<_> = receiver.wait_for(3).await.into_iter().map(|arrived| arrived.target).collect();
    targets.sort();
    assert_eq!(targets, ["/?i=0", "/?i=1", "/?i=2"]);
    let listed = running.client.get("/v1/replays?limit=1").await.json();
    assert_eq!(listed["data"][0]["id"], done["id"]);
    let next = running.client.get(&format!("/v1/replays?cursor={}", listed["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((next["data"][0]["dry_run"].clone(), next["next_cursor"].clone()), (json!(true), Value::Null));
    let over = running.client.post(&format!("/v1/replays/{}/cancel", done["id"].as_str().unwrap()), "").await;
    assert_eq!((over.status, over.json()["code"].clone()), (409, json!("replay_over")));
    assert_eq!(running.client.get("/v1/replays/rpl_00000000000000000000000001").await.status, 404);
}

#[tokio::test]
async fn a_replay_goes_on_after_a_restart() {
    let receiver = Receiver::start().await;
    let running = Running::with(|settings| settings.store = "sled".into()).await;
    let created = with_cancelled(&running, &receiver, 4).await;
    // Paused, it waits.
    let replay = running.client.post("/v1/replays", json!({"subscription": created["id"], "states": ["cancelled"]})).await.json();
    let waiting = replay_when(&running, &replay, |shown| shown["state"] == "running").await;
    assert_eq!(waiting["done"], 0);
    let running = running.restart(|settings| settings.store = "sled".into()).await;
    running.client.post(&format!("/v1/subscriptions/{}/resume", created["id"].as_str().unwrap()), "").await;
    let done = replay_when(&running, &replay, |shown| shown["state"] == "done").await;
    assert_eq!((done["matched"].clone(), done["done"].clone()), (json!(4), json!(4)));
    assert_eq!(receiver.wait_for(4).await.len(), 4);
}

#[tokio::test]
async fn every_bad_replay_is_named_with_its_place() {
    let running = Running::start().await;
    let id = running.subscribe("http://127.0.0.1:9/?i={ActionId}", json!({"state": "paused"})).await["id"].clone();
    let table = [
        (json!({}), "missing_field", ""),
        (json!({"subscription": "sub_00000000000000000000000001"}), "unknown_subscription", "/subscription"),
        (json!({"subscription": "x"}), "invalid_value", "/subscription"),
        (json!({"subscription": id, "states": []}), "no_states", "/states"),
        (json!({"subscription": id, "states": ["dead", "pending"]}), "state_not_decided", "/states/1"),
        (json!({"subscription": id, "states": ["lost"]}), "invalid_value", "/states/0"),
        (json!({"subscription": id, "per_second": 0}), "out_of_range", "/per_second"),
        (json!({"subscription": id, "since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}), "out_of_range", "/until"),
        (json!({"subscription": id, "since": "soon"}), "invalid_value", "/since"),
        (json!({"subscription": id, "speed": 1}), "unknown_field", "/speed"),
    ];
    for (body, code, pointer) in table {
        let answer = running.client.post("/v1/replays", &body).await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!((answer.status, error["code"].clone(), error["pointer"].clone()), (422, json!(code), json!(pointer)), "{body}");
    }
    assert_eq!(running.client.get("/v1/replays").await.json()["data"], json!([]));
}
