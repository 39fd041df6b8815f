//! `GET /v1/stats` and the health of subscriptions as a dashboard reads them.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

async fn stats_when(running: &Running, done: impl Fn(&Value) -> bool) -> Value {
    let found = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            let stats = running.client.get("/v1/stats").await.json();
            if done(&stats) {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    });
    found.await.expect("the numbers did not come")
}

#[tokio::test]
async fn what_was_delivered_is_in_the_totals_and_in_the_series() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let subscription = running.subscribe(&format!("http://{}/?i={{ActionId}}", receiver.address), json!({})).await;
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1"}});
    running.client.post("/v1/events", json!([event, event])).await;
    receiver.wait_for(2).await;
    let sum_of =
        |stats: &Value, field: &str| stats["series"].as_array().unwrap().iter().map(|point| point[field].as_u64().unwrap()).sum::<u64>();
    let stats = stats_when(&running, |stats| sum_of(stats, "delivered") == 2 && stats["oldest_due_at"].is_null()).await;
    assert_eq!(
        stats["totals"],
        json!({"accepted": 2, "delivered": 2, "dead": 0, "cancelled": 0, "waiting": 0, "in_flight": stats["totals"]["in_flight"], "attempts": 2})
    );
    let sum = |field: &str| sum_of(&stats, field);
    assert_eq!((sum("events"), sum("accepted"), sum("delivered"), sum("failed_attempts")), (2, 2, 2, 0));
    assert_eq!((stats["success_share"].clone(), stats["oldest_due_at"].clone()), (json!(1.0), Value::Null));
    assert!(stats["latency_ms"]["p99"].as_u64() >= stats["latency_ms"]["p50"].as_u64());
    let shown = &stats["subscriptions"][0];
    assert_eq!(
        (shown["id"].clone(), shown["delivered"].clone(), shown["state"].clone()),
        (subscription["id"].clone(), json!(2), json!("active"))
    );
    assert!(shown["attempts_per_minute"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn the_period_and_the_account_are_chosen() {
    let running = Running::start().await;
    assert_eq!(running.client.post("/v1/accounts", json!({"id": "other"})).await.status, 201);
    running.client.post("/v1/events", json!({"account": "acme", "type": "action.tracked", "data": {}})).await;
    for (account, events) in [("acme", 1), ("other", 0)] {
        let stats = running.client.get(&format!("/v1/stats?account={account}&step_s=600")).await.json();
        let seen: u64 = stats["series"].as_array().unwrap().iter().map(|point| point["events"].as_u64().unwrap()).sum();
        assert_eq!(seen, events, "{account}");
        assert!((6..=7).contains(&stats["series"].as_array().unwrap().len()), "an hour in steps of ten minutes");
        assert_eq!((stats["success_share"].clone(), stats["latency_ms"].clone()), (Value::Null, Value::Null));
    }
    assert_eq!(running.client.get("/v1/stats?account=nobody").await.status, 404);
    for (query, parameter) in [
        ("step_s=61", "step_s"),
        ("step_s=0", "step_s"),
        ("step_s=x", "step_s"),
        ("since=2020-01-01T00:00:00Z", "since"),
        ("since=2999-01-01T00:00:00Z", "since"),
        ("until=yesterday", "until"),
    ] {
        let answer = running.client.get(&format!("/v1/stats?{query}")).await;
        assert_eq!((answer.status, answer.json()["errors"][0]["pointer"].clone()), (422, json!(parameter)), "{query}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_down_is_shown_as_failing() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.failing_after = 3;
    })
    .await;
    let created = running.subscribe("http://127.0.0.1:9/?i={ActionId}", json!({})).await;
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    let healthy = json!({"state": "healthy", "since": null, "consecutive_failures": 0, "last_outcome": null, "next_probe_at": null, "suggestion": null});
    assert_eq!(created["health"], healthy);
    let events: Vec<_> = (0..5).map(|number| json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": number}})).collect();
    running.client.post("/v1/events", json!(events)).await;
    let stats = stats_when(&running, |stats| stats["subscriptions"][0]["health"] == "failing").await;
    let of = &stats["subscriptions"][0];
    assert_eq!((of["last_outcome"].clone(), of["waiting"].clone()), (json!("unreachable"), json!(5)));
    let shown = running.client.get(&path).await.json();
    let health = &shown["health"];
    assert!(health["state"] == "failing" && health["since"].is_string() && health["next_probe_at"].is_string(), "{health}");
    assert!(health["consecutive_failures"].as_u64().unwrap() >= 3);
    let written_back = running.client.send("PUT", &path, &[], shown.to_string().as_bytes()).await;
    assert_eq!(written_back.status, 200, "what is read can be written back: {}", written_back.body);
}
