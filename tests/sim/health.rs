//! Receivers that fail, relapse and come back, and what is told about them.

use std::time::Duration;

use postrider::attempt::{FailureKind, Outcome};
use postrider::delivery::StateName;
use postrider::dispatcher::{DispatcherSettings, FailingRule};
use postrider::event::EventType;
use postrider::queue::{Actor, EventQuery};
use postrider::request::send::Scripted;
use serde_json::json;

use super::seconds;
use super::world::{World, most_within};

/// The times of requests to `a` from a moment on, in milliseconds.
fn since(world: &World, from_ms: u64) -> Vec<u64> {
    world.handed_over("a").into_iter().filter(|at| *at >= from_ms).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failing_receiver_with_ten_thousand_waiting_gets_one_request_per_interval() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(500)]);
    let id = world.subscribe("a", json!({})).await;
    world.emit_many(10_000).await;
    world.advance(seconds(5)).await;
    let health = world.queue.endpoint(id);
    assert!(health.failing_since.is_some() && health.last_outcome == Some(Outcome::UnexpectedResponse));
    assert!(world.handed_over("a").len() <= 64, "it was not stormed before: {}", world.handed_over("a").len());
    world.advance(seconds(3_600)).await;
    let probes = since(&world, 5_000);
    assert_eq!(probes.len(), 60);
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] == 60_000), "{probes:?}");
    let deliveries = world.deliveries().await;
    assert!(deliveries.iter().all(|delivery| delivery.state.name() == StateName::Pending), "the backlog is kept");
    let untouched = deliveries.iter().filter(|delivery| delivery.attempts == 0).count();
    assert!(untouched >= 10_000 - world.handed_over("a").len(), "attempts are not used up beyond probes");
    assert_eq!(world.queue.endpoint(id).next_probe_at, Some(world.now().after(seconds(55))));
}

#[tokio::test(start_paused = true)]
async fn the_first_success_makes_it_healthy_and_the_backlog_ramps_up() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::failure(FailureKind::Connection)]);
    let id = world.subscribe("a", json!({})).await;
    world.emit_many(2_000).await;
    world.advance(seconds(300)).await;
    assert!(world.queue.endpoint(id).failing_since.is_some());
    world.transport.on("https://a.example/", [Scripted::status(200).after(Duration::from_millis(100))]);
    let mended_at = 300_000;
    world.advance(seconds(120)).await;
    let health = world.queue.endpoint(id);
    assert_eq!((health.failing_since, health.consecutive_failures, health.next_probe_at), (None, 0, None));
    let times = since(&world, mended_at);
    assert!(most_within(&times[..4], 100) <= 2, "it begins with one, then two: {:?}", &times[..8]);
    assert_eq!(most_within(&times, 100), 32, "and comes to its cap");
    assert!(world.deliveries().await.iter().all(|delivery| delivery.state.name() == StateName::Delivered));
}

#[tokio::test(start_paused = true)]
async fn c17_a_flapping_receiver_does_not_oscillate() {
    // Up for one minute in four.
    let world = World::new().await;
    watch(&world).await;
    world.subscribe("a", json!({"retry": {"attempts": 100, "schedule_s": [1], "jitter": 0}})).await;
    let mut requests_when_down = 0;
    for minute in 0..240 {
        let answer = if minute % 4 == 0 { Scripted::status(200) } else { Scripted::status(503) };
        world.transport.on("https://a.example/", [answer]);
        for number in 0..4 {
            world.emit(&format!("{minute}"), number).await;
        }
        let before = world.handed_over("a").len();
        world.advance(seconds(60)).await;
        if minute % 4 != 0 {
            requests_when_down += world.handed_over("a").len() - before;
        }
    }
    let turns = told(&world, "subscription.failing").await.len() + told(&world, "subscription.recovered").await.len();
    assert!((2..=12).contains(&turns), "in four hours with 120 changes of the receiver it turned {turns} times");
    assert!(requests_when_down <= 180 + 12 * 20, "a receiver that is down is probed: {requests_when_down}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_forget_who_is_failing() {
    let mut world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(500)]);
    let id = world.subscribe("a", json!({})).await;
    world.emit_many(1_000).await;
    world.advance(seconds(30)).await;
    let (since_before, sent) = (world.queue.endpoint(id).failing_since, world.handed_over("a").len());
    assert!(since_before.is_some());
    world.crash().await;
    assert_eq!(world.queue.endpoint(id).failing_since, since_before);
    world.advance(seconds(59)).await;
    assert_eq!(world.handed_over("a").len(), sent + 1, "one probe at the start");
    world.transport.on("https://a.example/", [Scripted::status(200)]);
    world.advance(seconds(61)).await;
    assert_eq!(world.queue.endpoint(id).failing_since, None);
    world.crash().await;
    assert_eq!(world.queue.endpoint(id).failing_since, None);
    world.queue.delete_subscription(&Actor::server(), id, None).await.unwrap();
    world.advance(seconds(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_person_who_changes_or_resumes_it_brings_the_probe_forward() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(401)]);
    let id = world.subscribe("a", json!({})).await;
    world.emit_many(100).await;
    world.advance(seconds(1)).await;
    assert!(world.queue.endpoint(id).failing_since.is_some(), "401 speaks of us, not of the event");
    let waiting = world.deliveries().await.iter().filter(|delivery| delivery.state.name() == StateName::Pending).count();
    assert!(waiting >= 36, "what was not sent before it was found out is kept: {waiting}");
    let sent = world.handed_over("a").len();
    world.change(id, json!({"state": "paused"})).await;
    world.advance(seconds(1)).await;
    assert_eq!(world.handed_over("a").len(), sent);
    world.change(id, json!({"state": "active"})).await;
    world.advance(seconds(1)).await;
    assert_eq!(world.handed_over("a").len(), sent + 1);
    world.transport.on("https://a.example/", [Scripted::status(200)]);
    world.change(id, json!({"request": {"url": "https://a.example/?token=right&n={Number}&id={ActionId}"}})).await;
    world.advance(seconds(1)).await;
    assert_eq!(world.queue.endpoint(id).failing_since, None);
}

#[tokio::test(start_paused = true)]
async fn c20_gone_suggests_to_pause_and_changes_nothing() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(410)]);
    let id = world.subscribe("a", json!({})).await;
    world.emit("1", 1).await;
    world.advance(seconds(1)).await;
    let health = world.queue.endpoint(id);
    assert!(health.gone && health.failing_since.is_none());
    world.transport.on("https://a.example/", [Scripted::status(200)]);
    let second = world.emit("2", 2).await.deliveries[0];
    world.advance(seconds(1)).await;
    assert_eq!((world.state(second).await, world.queue.endpoint(id).gone), (StateName::Delivered, false));
}

#[tokio::test(start_paused = true)]
async fn refusals_of_single_events_do_not_make_a_receiver_failing() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(404)]);
    let id = world.subscribe("a", json!({})).await;
    world.emit_many(500).await;
    world.advance(seconds(5)).await;
    assert_eq!((world.queue.endpoint(id).failing_since, world.handed_over("a").len()), (None, 500));
}

#[tokio::test(start_paused = true)]
async fn zero_turns_the_state_off() {
    let world = World::patient().await;
    world.transport.on("https://a.example/", [Scripted::status(500)]);
    let id = world.subscribe("a", json!({})).await;
    world.emit_many(500).await;
    world.advance(seconds(5)).await;
    assert_eq!((world.queue.endpoint(id).failing_since, world.handed_over("a").len()), (None, 500));
    assert_eq!(world.queue.endpoint(id).consecutive_failures, 500);
}

/// A subscription that wants every operational event.
async fn watch(world: &World) {
    let types = ["subscription.failing", "subscription.recovered", "delivery.dead"];
    let url = "https://watch.example/?of={SubscriptionName}&d={DeliveryId}&o={Outcome}&n={Attempts}&r={Reason}&a={ActionId}";
    world.subscribe("watch", json!({"event_types": types, "request": {"url": url}})).await;
}

/// Ids of the events of this type, newest first.
async fn told(world: &World, event_type: &str) -> Vec<postrider::id::EventId> {
    let event_type: EventType = event_type.parse().unwrap();
    let query = EventQuery { event_types: vec![event_type], limit: 200, ..EventQuery::default() };
    world.queue.events(&query).await.unwrap().items.iter().map(|event| event.id).collect()
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_subscription_is_told_to_those_who_name_it() {
    let world = World::new().await;
    watch(&world).await;
    world.transport.on("https://a.example/", [Scripted::status(404), Scripted::status(500)]);
    world.subscribe("a", json!({})).await;
    let dead = world.emit("first", 0).await.deliveries[0];
    world.advance(seconds(1)).await;
    world.emit_many(20).await;
    world.advance(seconds(5)).await;
    world.transport.on("https://a.example/", [Scripted::status(200)]);
    world.advance(seconds(120)).await;
    let sent = |name: &str| world.sent("watch", name);
    assert_eq!(sent("of"), ["a", "a", "a"]);
    assert_eq!(sent("o"), ["refused", "unexpected_response", "delivered"]);
    assert_eq!((sent("d")[0].clone(), sent("a")[0].clone(), sent("n")[0].clone()), (dead.to_string(), "first".into(), "1".into()));
    assert_eq!((sent("r")[1].as_str(), sent("r")[2].as_str()), ("status 500", ""));
    for event_type in ["subscription.failing", "subscription.recovered", "delivery.dead"] {
        assert_eq!(told(&world, event_type).await.len(), 1, "{event_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_who_did_not_ask_and_nothing_is_told_about_what_is_told() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(404)]);
    world.subscribe("a", json!({"event_types": ["*"]})).await;
    world.emit("1", 1).await;
    world.advance(seconds(1)).await;
    assert_eq!(told(&world, "delivery.dead").await.len(), 0, "a wildcard does not name it, and without a reader no event is made");
    watch(&world).await;
    world.subscribe("other", json!({"event_types": ["delivery.dead", "subscription.failing"]})).await;
    world.transport.on("https://watch.example/", [Scripted::status(404)]);
    world.transport.on("https://other.example/", [Scripted::status(500)]);
    world.emit_many(30).await;
    world.advance(seconds(4 * 86_400)).await;
    // Thirty deaths at `a`; the deaths and failures of those who are told of them are told to nobody.
    assert_eq!(told(&world, "delivery.dead").await.len(), 30);
    assert_eq!(told(&world, "subscription.failing").await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn l2_the_loop_itself_shows_that_it_turns_idle_busy_and_while_it_stops() {
    let mut world = World::new().await;
    let beats = |world: &World| world.beats.load(std::sync::atomic::Ordering::Relaxed);
    world.advance(seconds(60)).await;
    assert!((12..=13).contains(&beats(&world)), "{} in an idle minute", beats(&world));
    world.transport.on("https://a.example/", [Scripted::status(200).after(seconds(9))]);
    world.subscribe("a", json!({})).await;
    world.emit_many(500).await;
    let before = beats(&world);
    world.advance(seconds(60)).await;
    assert!((12..=13).contains(&(beats(&world) - before)), "{} in a busy minute", beats(&world) - before);
    let before = beats(&world);
    world.stop().await;
    assert!(beats(&world) > before, "it beats while what is in flight ends");
    let at_the_end = beats(&world);
    world.advance(seconds(60)).await;
    assert_eq!(beats(&world), at_the_end, "nobody else beats for it");
}

#[tokio::test(start_paused = true)]
async fn changed_limits_hold_while_it_runs() {
    let mut world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(200).after(seconds(1))]);
    world.subscribe("a", json!({})).await;
    world.emit_many(1_000).await;
    world.advance(Duration::from_millis(500)).await;
    assert_eq!(world.transport.in_flight(), 32);
    let defaults = DispatcherSettings::default();
    world.adjust(DispatcherSettings { in_flight_per_subscription_max: 4, ..defaults });
    world.advance(seconds(2)).await;
    assert_eq!(world.transport.in_flight(), 4);
    world.adjust(DispatcherSettings { in_flight_per_subscription_max: 100, in_flight_max: 50, ..defaults });
    world.advance(seconds(2)).await;
    assert_eq!(world.transport.in_flight(), 50);
    world.transport.on("https://a.example/", [Scripted::status(500)]);
    world.adjust(DispatcherSettings { failing: FailingRule { after: 3, probe_interval: seconds(7) }, ..defaults });
    world.advance(seconds(10)).await;
    let from = world.handed_over("a").len();
    world.advance(seconds(70)).await;
    assert_eq!(world.handed_over("a").len() - from, 10, "it is probed every seven seconds");
}
