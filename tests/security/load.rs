//! Receivers that are dead, poisoned deliveries, panics, and responses that are too large to match.

use std::time::Duration;

use postrider::attempt::Outcome;
use postrider::delivery::{DeadReason, DeliveryState, StateName};
use postrider::dispatcher::DispatcherSettings;
use postrider::request::send::{Scripted, ScriptedTransport};
use serde_json::{Value, json};

use crate::server::Running;
use crate::villain::{Receiver, Script, answer};
use crate::world::World;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn a14_a_panic_in_an_attempt_is_an_attempt_that_failed_on_our_side() {
    let transport = ScriptedTransport::answering(|request| {
        assert!(!request.headers.contains(&("Postrider-Attempt".to_owned(), "1".to_owned())), "the first attempt panics");
        Scripted::status(200)
    });
    let world = World::with(DispatcherSettings { in_flight_max: 2, ..DispatcherSettings::default() }, transport).await;
    world.subscribe("a", json!({})).await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(world.emit(&number.to_string(), number).await.deliveries[0]);
    }
    world.advance(seconds(600)).await;
    for id in ids {
        let attempts = world.attempts(id).await;
        let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(outcomes, [Outcome::Unreachable, Outcome::Delivered], "a place in flight is given back");
        assert_eq!(attempts[0].reason, "internal error of the sender");
    }
}

#[tokio::test(start_paused = true)]
async fn e1_j1_a_delivery_that_can_never_be_rendered_ends_at_once_and_nothing_is_sent() {
    let world = World::new().await;
    let request = json!({"url": "https://a.example/?n={Number}", "headers": [{"name": "X-Action", "value": "{ActionId}"}]});
    world.subscribe("a", json!({"request": request})).await;
    for (number, hostile) in ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\rb"].into_iter().enumerate() {
        let id = world.emit(hostile, number).await.deliveries[0];
        world.advance(seconds(5)).await;
        assert_eq!(world.outcomes(id).await, [Outcome::NotRendered], "{hostile:?}");
        assert!(matches!(world.delivery(id).await.state, DeliveryState::Dead { reason: DeadReason::NotSendable, .. }));
    }
    let fine = world.emit("fine", 9).await.deliveries[0];
    world.advance(seconds(5)).await;
    assert_eq!((world.state(fine).await, world.transport.requests().len()), (StateName::Delivered, 1));
}

#[tokio::test(start_paused = true)]
async fn g2_many_dead_receivers_do_not_take_all_places() {
    let transport =
        ScriptedTransport::answering(|request| if request.url.contains("dead") { Scripted::silence() } else { Scripted::status(200) });
    let settings = DispatcherSettings { in_flight_max: 64, ..DispatcherSettings::default() };
    let world = World::with(settings, transport).await;
    for number in 0..100 {
        world.subscribe(&format!("dead{number}"), json!({"retry": {"attempts": 100, "schedule_s": [1], "jitter": 0}})).await;
    }
    // Each of them has a backlog, and has been found dead.
    for number in 0..20 {
        world.emit(&format!("dead-{number}"), number).await;
    }
    world.advance(seconds(300)).await;
    for host in ["a", "b", "c"] {
        world.subscribe(host, json!({})).await;
    }
    let start = world.now();
    let mut started = Vec::new();
    for number in 0..100 {
        started.push(world.now().since(start).as_millis() as u64);
        world.emit(&format!("x{number}"), number).await;
        world.advance(Duration::from_millis(100)).await;
    }
    world.advance(seconds(5)).await;
    for host in ["a", "b", "c"] {
        let times = world.handed_over(host);
        assert_eq!(times.len(), 100);
        let first = times[0];
        let late = times.iter().zip(&started).filter(|(at, emitted)| *at - first > **emitted + 50).count();
        assert_eq!(late, 0, "{host}: {late} of 100 first attempts waited for a place that a dead receiver held");
    }
}

/// What a delivery to a receiver that answers like this comes to.
async fn outcome_of(response: Vec<crate::villain::Step>, rules: Value) -> Value {
    let running = Running::start().await;
    let receiver = Receiver::start(Script::always(response)).await.unwrap();
    let created = running.subscribe(&receiver.url("/?i={ActionId}&s={Status}"), rules).await;
    running.client.post(&format!("/v1/subscriptions/{}/test", created["id"].as_str().unwrap()), "").await.json()
}

#[tokio::test]
async fn f4_rules_look_at_what_was_read_and_the_log_says_that_there_was_more() {
    let late = format!("{}OK", "x".repeat(64 * 1024));
    let tested = outcome_of(answer(200, &[], &late), json!({"success_response": "contains:OK"})).await;
    assert_eq!((&tested["outcome"], &tested["response"]["truncated"]), (&json!("unexpected_response"), &json!(true)));
    assert_eq!(tested["response"]["body"].as_str().unwrap().len(), 8 * 1024, "what is kept is less than what is read");
    let early = format!("OK{}", "x".repeat(1 << 20));
    let tested = outcome_of(answer(200, &[], &early), json!({"success_response": "contains:OK"})).await;
    assert_eq!((&tested["outcome"], &tested["response"]["truncated"]), (&json!("delivered"), &json!(true)));
}

#[tokio::test]
async fn f8_bodies_in_other_encodings_are_matched_by_one_rule_and_kept_as_bytes() {
    let utf16 = [0xff, 0xfe, b'O', 0, b'K', 0];
    for (body, delivered, is_text) in [
        (&b"OK"[..], true, true),
        (b"\xef\xbb\xbfOK", true, true),
        (b"\xff OK", true, false),
        // A mark at the beginning tells UTF-16; a header does not.
        (&utf16, true, false),
        (b"O\0K\0", false, true),
    ] {
        let tested =
            outcome_of(answer(200, &[("Content-Type", "text/plain; charset=utf-16")], body), json!({"success_response": "contains:OK"}))
                .await;
        assert_eq!(tested["outcome"] == "delivered", delivered, "{body:?}: {tested}");
        assert_eq!(tested["response"]["body_base64"].is_null(), is_text, "{body:?}");
    }
}

#[tokio::test]
async fn f5_f7_f9_hostile_bodies_never_pass_for_a_success() {
    let deep = "[".repeat(60_000);
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><r><status>&b;ok</status></r>";
    let external = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r><status>&x;</status></r>";
    for (body, rules, outcome) in [
        (deep.as_str(), json!({"success_response": "json:/0=1"}), "unexpected_response"),
        (bomb, json!({"success_response": "xml:/r/status=ok"}), "unexpected_response"),
        (external, json!({"success_response": "xml:/r/status"}), "unexpected_response"),
        (r#"{"status":"error","status":"ok"}"#, json!({"success_response": "json:/status=error"}), "unexpected_response"),
        ("NOT OK", json!({"success_response": "contains:OK", "error_response": "contains:NOT"}), "refused"),
    ] {
        let tested = outcome_of(answer(200, &[], body), rules).await;
        assert_eq!(tested["outcome"], outcome, "{body:.60}: {tested:.300}");
    }
}

#[tokio::test]
async fn c15_retry_after_is_honoured_within_reason() {
    for (value, seconds) in [
        ("7", 7..=9),
        ("0", 0..=1),
        ("86400", 86_400..=90_000),
        ("3153600000", 86_400..=90_000),
        ("1.5", 0..=1),
        ("soon", 0..=1),
        ("-5", 0..=1),
    ] {
        let running = Running::start().await;
        let receiver = Receiver::start(Script::always(answer(503, &[("Retry-After", value)], ""))).await.unwrap();
        running
            .subscribe(&receiver.url("/?i={ActionId}&s={Status}"), json!({"retry": {"schedule_s": [0], "attempts": 2, "jitter": 0}}))
            .await;
        let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1"}});
        let id = running.client.post("/v1/events", event).await.json()["deliveries"][0].as_str().unwrap().to_owned();
        receiver.arrived(1).await;
        let attempt = loop {
            let shown = running.client.get(&format!("/v1/deliveries/{id}")).await.json();
            if let Some(first) = shown["attempt_log"].get(0) {
                break first.clone();
            }
            tokio::task::yield_now().await;
        };
        let at = |field: &str| attempt[field].as_str().unwrap().parse::<postrider::clock::Timestamp>().unwrap();
        let wait = at("next_due_at").since(at("started_at")).as_secs();
        assert!(seconds.contains(&wait), "Retry-After: {value} led to a wait of {wait} s");
    }
}

#[tokio::test]
async fn f1_patterns_that_explode_elsewhere_cost_what_the_body_costs() {
    // With an engine that goes back, each of these would take longer than the universe.
    let body = format!("{}!", "a".repeat(60_000));
    for pattern in ["regex:^(a+)+$", "regex:^(a|aa)+$", "regex:^(a|a?)+$", "regex:^(a*)*b$", "regex:(.*a){12}!b"] {
        let tested = outcome_of(answer(200, &[], &body), json!({"success_response": pattern})).await;
        assert_eq!(tested["outcome"], "unexpected_response", "{pattern}");
    }
}

#[tokio::test]
async fn e16_texts_are_compared_byte_by_byte_and_not_by_how_they_look() {
    let running = Running::start().await;
    let keys = ["é", "e\u{301}", "А", "A", "a", "a\u{202e}", "a\u{200b}"];
    for key in keys {
        let event = json!({"account": "acme", "type": "action.tracked", "key": key, "data": {"ActionId": key}});
        let answer = running.client.post("/v1/events", event).await;
        assert_eq!((answer.status, &answer.json()["duplicate"]), (202, &json!(false)), "{key:?}");
    }
    let found = running.client.get("/v1/events?data.ActionId=%C3%A9").await.json();
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
}
