//! Metrics and the id of a request, as a monitoring system and a caller see them.

use postrider::config::MetricsAccess;
use serde_json::json;

use super::http::Client;
use super::keys::{client_of, create};
use super::receiver::Receiver;
use super::server::Running;

/// The value of a sample.
fn sample(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test]
async fn what_happens_is_counted_and_nothing_of_a_tenant_is_shown() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    running.client.post("/v1/accounts", json!({"id": "canary-account", "name": "canary-name"})).await;
    let url = format!("http://{}/canary-path?i={{ActionId}}", receiver.address);
    let created = running.subscribe(&url, json!({"account": "canary-account", "name": "canary-subscription"})).await;
    let event = json!({"account": "canary-account", "type": "action.tracked", "key": "canary-key", "data": {"ActionId": "canary-action"}});
    for _ in 0..2 {
        assert_eq!(running.client.post("/v1/events", &event).await.status, 202);
    }
    running.client.post("/v1/events", json!({"account": "canary-nobody", "type": "action.tracked", "data": {}})).await;
    running.client.get("/v1/events/canary-id?x=canary-query").await;
    running.client.get("/canary-route").await;
    running.client.send("BREW", "/v1/events", &[], b"").await;
    receiver.wait_for(1).await;
    let delivered = "postrider_attempts_total{outcome=\"delivered\",attempt=\"first\"}";
    let counted = async {
        loop {
            let text = running.client.get("/metrics").await.body;
            let due = sample(&text, "postrider_oldest_due_age_seconds{account_kind=\"none\"}");
            if (sample(&text, delivered), due) == (Some(1.0), Some(0.0)) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    let text = tokio::time::timeout(std::time::Duration::from_secs(60), counted).await.expect("the numbers did not come");
    for (series, value) in [
        (delivered, 1.0),
        ("postrider_events_accepted_total{result=\"new\",account_kind=\"none\"}", 1.0),
        ("postrider_events_accepted_total{result=\"duplicate\",account_kind=\"none\"}", 1.0),
        ("postrider_events_refused_total{reason=\"unknown_account\"}", 1.0),
        ("postrider_deliveries_accepted_total{account_kind=\"none\"}", 1.0),
        ("postrider_deliveries_ended_total{state=\"delivered\",account_kind=\"none\"}", 1.0),
        ("postrider_deliveries{state=\"delivered\",account_kind=\"none\"}", 1.0),
        ("postrider_subscriptions{state=\"active\"}", 1.0),
        ("postrider_oldest_due_age_seconds{account_kind=\"none\"}", 0.0),
        ("postrider_render_duration_seconds_count", 1.0),
        ("postrider_send_duration_seconds_count", 1.0),
        ("postrider_first_attempt_lag_seconds_count", 1.0),
        ("postrider_api_requests_total{method=\"POST\",route=\"/v1/events\",status=\"2xx\"}", 2.0),
        ("postrider_api_requests_total{method=\"POST\",route=\"/v1/events\",status=\"4xx\"}", 1.0),
        ("postrider_api_requests_total{method=\"GET\",route=\"/v1/events/{id}\",status=\"4xx\"}", 1.0),
        ("postrider_api_requests_total{method=\"GET\",route=\"none\",status=\"4xx\"}", 1.0),
        ("postrider_ready", 1.0),
    ] {
        assert_eq!(sample(&text, series), Some(value), "{series} in\n{text}");
    }
    for series in ["postrider_store_commit_duration_seconds_count", "postrider_store_sync_duration_seconds_count"] {
        assert!(sample(&text, series).unwrap() >= 4.0, "{series}: an account, a subscription, an event and an attempt were stored");
    }
    assert!(text.contains("method=\"other\"") && sample(&text, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    assert!(!text.contains("canary") && !text.contains(created["id"].as_str().unwrap()) && !text.contains("acme"), "{text}");
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_keys_that_see_all_accounts() {
    let running = Running::start().await;
    let nobody = Client { key: String::new(), ..running.client.clone() };
    let answer = nobody.get("/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/openmetrics-text; version=1.0.0; charset=utf-8")));
    assert!(answer.body.ends_with("# EOF\n"));
    let elsewhere = async |client: &Client| client.send("GET", "/metrics", &[("X-Forwarded-For", "203.0.113.7")], b"").await;
    for (scope, account, status) in
        [("operator", json!(null), 200), ("read", json!(null), 200), ("read", json!("acme"), 403), ("account", json!("acme"), 403)]
    {
        let key = create(&running, json!({"name": "k", "scope": scope, "account": account})).await;
        assert_eq!(elsewhere(&client_of(&running, &key)).await.status, status, "{scope} {account}");
    }
    let refused = elsewhere(&nobody).await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (401, json!("unauthorized")));
    let open = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.metrics = MetricsAccess::Public;
    })
    .await;
    assert_eq!(elsewhere(&Client { key: String::new(), ..open.client.clone() }).await.status, 200);
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_request() {
    let running = Running::start().await;
    let given = running.client.send("GET", "/v1/me", &[("X-Request-Id", "mine-1")], b"").await;
    assert_eq!(given.header("x-request-id"), Some("mine-1"));
    let own = running.client.get("/healthz").await;
    assert!(own.header("x-request-id").unwrap().starts_with("req_"));
    for path in ["/v1/nothing", "/v1/events/evt_x"] {
        let problem = running.client.send("GET", path, &[("X-Request-Id", "mine-2")], b"").await;
        assert_eq!((problem.json()["request_id"].clone(), problem.header("x-request-id")), (json!("mine-2"), Some("mine-2")), "{path}");
    }
    let refused = running.client.send("GET", "/v1/nothing", &[("X-Request-Id", "not\"mine")], b"").await;
    assert!(refused.json()["request_id"].as_str().unwrap().starts_with("req_"), "{}", refused.body);
}
