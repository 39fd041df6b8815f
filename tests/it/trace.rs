//! The trace in which an event was reported goes with it, whatever happens in between.

use serde_json::json;

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
