//! The live run: a real server, receivers that do what hostile ones do, and healthy ones beside them.

use std::time::Duration;

use serde_json::{Value, json};

use super::process::{Served, eventually};
use crate::program::{Files, Listener};
use crate::villain::{Receiver, Script, ok};
use crate::wire::PATIENCE;

/// Events per phase, and the ceiling of a healthy subscription: a phase takes two seconds by design.
const EVENTS: usize = 60;
const CEILING: usize = 30;
/// Deliveries to each hostile receiver, all of them in flight at once.
const HOSTILE: usize = 10;
/// How long the deliveries have that end by time, and the others, also on a busy machine.
const SHORT_MS: u64 = 2_000;
const LONG_MS: u64 = 30_000;

fn subscription(name: &str, event_type: &str, url: &str, more: &Value) -> Value {
    let mut spec = json!({"account": "acme", "name": name, "event_types": [event_type], "retry": {"attempts": 1},
        "request": {"url": url, "method": "POST", "body_format": "json", "body": "{\"id\": \"{ActionId}\", \"status\": \"{Status}\"}"}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

async fn report(served: &Served, event_type: &str, count: usize) {
    let event = json!({"account": "acme", "type": event_type, "data": {"ActionId": "1", "Status": "PENDING"}}).to_string();
    let lines = vec![event; count].join("\n");
    let answer = served.client.send("POST", "/v1/events", &[("Content-Type", "application/x-ndjson")], lines.as_bytes()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
}

/// Lets the healthy receivers get a phase's events; tells from the first to the last arrival of each.
async fn phase(served: &Served, healthy: &[Receiver], before: usize) -> Vec<Duration> {
    report(served, "action.tracked", EVENTS).await;
    let mut spans = Vec::new();
    for receiver in healthy {
        let arrived = tokio::time::timeout(PATIENCE, receiver.arrived(before + EVENTS)).await;
        assert!(arrived.is_ok(), "only {} of {} arrived at a healthy receiver", receiver.requests().len() - before, EVENTS);
        let requests = receiver.requests();
        spans.push(requests[before + EVENTS - 1].at.duration_since(requests[before].at));
    }
    spans
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_c3_c4_c5_c6_c7_c8_c9_c12_hostile_receivers_harm_nobody_else() {
    let files = Files::new();
    let folder = tempfile::tempdir().unwrap();
    let authority = files.path("authority.pem").display().to_string();
    let inside = Receiver::start(Script::always(ok())).await.unwrap();
    let redirect = format!("redirect = \"{}\"", inside.url("/secret"));
    // What each does, the outcome of every one of its deliveries, and what the reason says.
    let table: [(&str, &str, &str, &str); 9] = [
        ("drip", "body = \"a long time coming\"\nbody_bytes_per_s = 1", "timed_out", "not complete"),
        ("hang", "fault = \"hang_before_head\"", "timed_out", "no answer"),
        ("bomb", "fault = \"gzip_bomb\"", "delivered", "200"),
        ("endless", "fault = \"endless_body\"", "delivered", "200"),
        ("endless head", "fault = \"endless_head\"", "unreachable", "too large"),
        ("reset", "fault = \"reset_mid_body\"\nbody = \"half of this\"", "unreachable", "reset"),
        ("garbage", "fault = \"garbage\"", "unreachable", "no valid HTTP"),
        ("redirect", &redirect, "unexpected_response", "302"),
        ("tls", "body = \"OK\"", "unreachable", "expired"),
    ];
    let mut villains = Vec::new();
    for (name, lines, ..) in &table {
        let script = files.write(name, &format!("[[answer]]\n{lines}\n"));
        let tls: &[&str] = if *name == "tls" { &["--tls-authority", &authority, "--tls", "expired"] } else { &[] };
        villains.push(Listener::start(&[&["--json", "--script", &script], tls].concat()));
    }
    let variables = [("POSTRIDER_LOG", "warn"), ("SSL_CERT_FILE", authority.as_str()), ("SSL_CERT_DIR", "/nonexistent")];
    let served = Served::start(folder.path(), &variables).await;
    let mut hostile = Vec::new();
    for ((name, _, outcome, _), villain) in table.iter().zip(&villains) {
        let scheme = if *name == "tls" { "https" } else { "http" };
        let url = format!("{scheme}://{}/pb", villain.address);
        hostile.push(
            served
                .subscribe(subscription(
                    name,
                    "action.reversed",
                    &url,
                    &json!({"timeout_ms": if *outcome == "timed_out" { SHORT_MS } else { LONG_MS }}),
                ))
                .await,
        );
    }
    let mut healthy = Vec::new();
    for number in 0..3 {
        let receiver = Receiver::start(Script::always(ok())).await.unwrap();
        let spec = subscription(
            &format!("healthy {number}"),
            "action.tracked",
            &receiver.url("/pb"),
            &json!({"max_requests_per_second": CEILING}),
        );
        served.subscribe(spec).await;
        healthy.push(receiver);
    }

    let quiet = phase(&served, &healthy, 0).await;
    let memory_before = served.memory_kb("VmHWM");
    report(&served, "action.reversed", HOSTILE).await;
    let loud = phase(&served, &healthy, EVENTS).await;

    for ((name, _, outcome, says), id) in table.iter().zip(&hostile) {
        eventually(&format!("the end of every delivery to {name}"), async || {
            let listed = |state: &str| format!("/v1/deliveries?subscription={id}&limit=200&state={state}");
            let (delivered, dead) = (served.client.get(&listed("delivered")).await.json(), served.client.get(&listed("dead")).await.json());
            delivered["data"].as_array().unwrap().len() + dead["data"].as_array().unwrap().len() == HOSTILE
        })
        .await;
        let page = served.client.get(&format!("/v1/deliveries?subscription={id}&limit=200")).await.json();
        for delivery in page["data"].as_array().unwrap() {
            assert_eq!((&delivery["last_outcome"], &delivery["attempts"]), (&json!(outcome), &json!(1)), "{name}: {delivery}");
        }
        let shown = served.client.get(&format!("/v1/deliveries/{}", page["data"][0]["id"].as_str().unwrap())).await.json();
        let attempt = &shown["attempt_log"][0];
        assert!(attempt["reason"].as_str().unwrap().contains(says), "{name}: {}", attempt["reason"]);
        let kept = attempt["response"]["body"].as_str().map_or(0, str::len);
        assert!(kept <= 3 * 8 * 1024, "{name}: {kept} bytes of a body are kept");
    }
    assert_eq!(inside.connections(), 0, "a redirect inside was followed");

    // A ceiling makes a phase take as long as it takes; on a busy machine it may take longer, not for ever.
    for (quiet, loud) in quiet.iter().zip(&loud) {
        let planned = Duration::from_millis(1_000 * (EVENTS as u64 - 1) / CEILING as u64);
        assert!(*quiet + Duration::from_millis(50) >= planned, "the ceiling was not held: {quiet:?}");
        assert!(*loud < *quiet * 3, "beside hostile receivers a healthy one got its {EVENTS} in {loud:?}, alone in {quiet:?}");
    }
    // Ten bombs of 10 MiB, unpacked, would be 100 MiB.
    let grown_mb = (served.memory_kb("VmHWM") - memory_before) / 1_024;
    assert!(grown_mb < 64, "the server grew by {grown_mb} MiB");
    eprintln!("healthy receivers: alone {quiet:?}, beside hostile ones {loud:?}; memory grew by {grown_mb} MiB");
}
