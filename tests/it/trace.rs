//! The trace in which an event was reported goes with it, whatever happens in between; and spans for a collector.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use postrider::secret::Secret;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::receiver::Receiver;
use super::server::Running;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Reports an event with these headers and answers with its id.
async fn report(running: &Running, headers: &[(&str, &str)], body: serde_json::Value) -> String {
    let answer = running.client.send("POST", "/v1/events", headers, body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["id"].as_str().or(answer.json()["results"][0]["id"].as_str()).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_can_be_read_is_kept_over_a_restart_and_passed_on() {
    let running = Running::with(|_| {}).await;
    let receiver = Receiver::start().await;
    let url = format!("http://{}/?i={{ActionId}}", receiver.address);
    let request = json!({"url": url, "trace_context": true});
    let created = running.subscribe("http://unused.example/", json!({"request": request, "state": "paused"})).await;
    let event = |number: u32| json!({"account": "acme", "type": "action.tracked", "key": number.to_string(), "data": {"ActionId": number.to_string()}});
    let valid = format!("00-{TRACE}-b7ad6b7169203331-01");
    let first = report(&running, &[("traceparent", &valid)], event(1)).await;
    let other = "00-11111111111111111111111111111111-1111111111111111-00";
    assert_eq!(report(&running, &[("traceparent", other)], event(1)).await, first, "a repeat in another trace is a repeat");
    report(&running, &[("traceparent", "00-none")], event(2)).await;
    report(&running, &[("traceparent", &valid)], json!([event(3)])).await;
    let cloud = json!({"specversion": "1.0", "source": "/s", "id": "4", "type": "action.tracked", "account": "acme",
        "traceparent": format!("00-{TRACE}-00f067aa0ba902b7-00"), "data": {"ActionId": "4"}});
    report(&running, &[("Content-Type", "application/cloudevents+json"), ("traceparent", other)], cloud).await;
    let shown = running.client.get(&format!("/v1/events/{first}")).await.json();
    assert_eq!(shown["data"], json!({"ActionId": "1"}), "the trace is no part of the data");
    let export = running.client.get("/v1/export").await.body;
    assert_eq!(export.matches(TRACE).count(), 3, "an export has it");

    let running = running.restart(|_| {}).await;
    assert_eq!(running.client.post(&format!("/v1/subscriptions/{}/resume", created["id"].as_str().unwrap()), "").await.status, 200);
    let arrived = receiver.wait_for(4).await;
    let of = |number: u32| {
        let request = arrived.iter().find(|request| request.target.contains(&format!("i={number}"))).unwrap();
        let parts: Vec<_> = request.header("traceparent").split('-').map(str::to_owned).collect();
        assert_eq!(parts.len(), 4);
        (parts[1].clone(), parts[3].clone())
    };
    let sampled = (TRACE.to_owned(), "01".to_owned());
    assert_eq!((of(1), of(3), of(4)), (sampled.clone(), sampled, (TRACE.to_owned(), "00".to_owned())));
    assert!(of(2).0 != TRACE && of(2).1 == "00", "without one the trace is the event's own: {:?}", of(2));
}

/// A collector that keeps what it is sent, and answers 503 to the first call.
async fn collector() -> (std::net::SocketAddr, Arc<Mutex<Vec<(HeaderMap, Value)>>>) {
    let (calls, kept) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, taken) = (listener.local_addr().unwrap(), kept.clone());
    let take = move |headers: HeaderMap, body: String| async move {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        taken.lock().unwrap().push((headers, serde_json::from_str(&body).unwrap()));
        StatusCode::OK
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await.unwrap() });
    (address, kept)
}

/// The value of an attribute.
fn attribute<'a>(list: &'a Value, key: &str) -> &'a str {
    let found = list.as_array().unwrap().iter().find(|attribute| attribute["key"] == key);
    let value = found.map_or(&Value::Null, |attribute| &attribute["value"]);
    value["stringValue"].as_str().or(value["intValue"].as_str()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_a_span_for_each_event_and_attempt() {
    let (address, kept) = collector().await;
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.otlp_endpoint = Some(format!("http://{address}/v1/traces"));
        settings.otlp_headers = Some(Secret::new("api-key=geheim"));
        settings.otlp_resource_attributes = Some("deployment.environment.name=test".into());
    })
    .await;
    let receiver = Receiver::start().await;
    let url = format!("http://{}/secret-path?i={{ActionId}}", receiver.address);
    running.subscribe("http://unused.example/", json!({"request": {"url": url, "trace_context": true}})).await;
    let body = |id: &str| json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": id}});
    let first = report(&running, &[("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01"))], body("1")).await;
    report(&running, &[("traceparent", "00-11111111111111111111111111111111-1111111111111111-00")], body("2")).await;
    let third = report(&running, &[], body("3")).await;
    let arrived = receiver.wait_for(3).await;
    let delivered = async {
        while running.client.get("/v1/deliveries?state=delivered").await.json()["data"].as_array().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), delivered).await.expect("not all are delivered");
    // The stop sends what has not been sent.
    running.server.stop().await.unwrap();
    let kept = kept.lock().unwrap();
    let mut spans = Vec::new();
    for (headers, sent) in kept.iter() {
        assert_eq!((&headers["api-key"], &headers["content-type"]), (&"geheim".parse().unwrap(), &"application/json".parse().unwrap()));
        let resource = &sent["resourceSpans"][0]["resource"]["attributes"];
        assert_eq!((attribute(resource, "service.name"), attribute(resource, "deployment.environment.name")), ("postrider", "test"));
        spans.extend(sent["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().iter());
        assert!(!sent.to_string().contains("secret-path"), "{sent}");
    }
    assert_eq!(spans.len(), 4, "two for each event but for the one that its caller does not record: {spans:?}");
    let of = |event: &str, name: &str| {
        *spans.iter().find(|span| span["name"] == name && attribute(&span["attributes"], "postrider.event") == event).unwrap()
    };
    let (accept, send) = (of(&first, "accept"), of(&first, "send"));
    assert_eq!((&accept["traceId"], &accept["parentSpanId"], &accept["kind"]), (&json!(TRACE), &json!("b7ad6b7169203331"), &json!(4)));
    assert_eq!((&send["traceId"], &send["parentSpanId"], &send["kind"]), (&json!(TRACE), &accept["spanId"], &json!(3)));
    let passed_on = arrived.iter().find(|request| request.target.contains("i=1")).unwrap().header("traceparent");
    assert_eq!(passed_on, format!("00-{TRACE}-{}-01", send["spanId"].as_str().unwrap()), "the receiver's spans are below the attempt");
    let attributes = &send["attributes"];
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("postrider.outcome", "delivered"),
        ("postrider.attempt", "1"),
    ] {
        assert_eq!(attribute(attributes, key), value, "{key}");
    }
    let nanoseconds = |key: &str| send[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(nanoseconds("startTimeUnixNano") <= nanoseconds("endTimeUnixNano"));
    let (accept, send) = (of(&third, "accept"), of(&third, "send"));
    assert!(accept["traceId"] == send["traceId"] && accept["parentSpanId"] == "" && send["parentSpanId"] == accept["spanId"]);
    assert_ne!(accept["traceId"], TRACE);
}
