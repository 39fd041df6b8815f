//! Whole behaviour in virtual time: what the dispatcher does with what the queue owes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "sim/channel.rs"]
mod channel;
#[path = "sim/health.rs"]
mod health;
#[path = "sim/ledger.rs"]
mod ledger;
#[path = "sim/nodes.rs"]
mod nodes;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/replay.rs"]
mod replay;
#[path = "sim/shared.rs"]
mod shared;
#[path = "sim/stats.rs"]
mod stats;
#[path = "sim/world.rs"]
mod world;

use std::time::Duration;

use postrider::attempt::{FailureKind, Outcome};
use postrider::delivery::{DeadReason, DeliveryState, StateName};
use postrider::queue::Actor;
use postrider::request::send::Scripted;
use serde_json::json;
use world::{World, most_within};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn a_503_then_a_200_is_two_attempts_and_one_delivery() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(503), Scripted::status(200)]);
    world.subscribe("a", json!({})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.advance(seconds(9)).await;
    assert_eq!(world.state(id).await, StateName::Pending);
    world.advance(seconds(2)).await;
    assert_eq!(world.outcomes(id).await, [Outcome::UnexpectedResponse, Outcome::Delivered]);
    assert_eq!(world.state(id).await, StateName::Delivered);
    assert_eq!(world.handed_over("a"), [0, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_made_by_the_default_schedule_and_then_it_is_dead() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(500)]);
    world.subscribe("a", json!({})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.advance(seconds(4 * 86_400)).await;
    let waits = [10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800, 43_200, 86_400];
    let times = world.handed_over("a");
    let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000).collect();
    assert_eq!(gaps, waits);
    assert!(matches!(world.delivery(id).await.state, DeliveryState::Dead { reason: DeadReason::Exhausted, .. }));
    assert_eq!(world.attempts(id).await.len(), 16);
}

#[tokio::test(start_paused = true)]
async fn g6_the_ceiling_holds_over_every_second_and_is_used() {
    let world = World::new().await;
    world.subscribe("a", json!({"max_requests_per_second": 500})).await;
    world.emit_many(10_000).await;
    world.advance(seconds(30)).await;
    let times = world.handed_over("a");
    assert_eq!(times.len(), 10_000);
    assert!(most_within(&times, 1_000) <= 500, "{}", most_within(&times, 1_000));
    let span = times[9_999] - times[0];
    assert!(span < 10_000 * 1_000 / 500 * 100 / 95, "10,000 requests took {span} ms");
}

#[tokio::test(start_paused = true)]
async fn the_ceiling_also_counts_what_fails_and_what_is_slow() {
    let world = World::patient().await;
    world.transport.on("https://a.example/", [Scripted::status(500).after(Duration::from_millis(35))]);
    world.subscribe("a", json!({"max_requests_per_second": 50, "retry": {"attempts": 3, "schedule_s": [0.1], "jitter": 0}})).await;
    world.emit_many(200).await;
    world.advance(seconds(20)).await;
    let times = world.handed_over("a");
    assert_eq!(times.len(), 600);
    assert!(most_within(&times, 1_000) <= 50);
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_below_one_is_one_request_in_so_many_seconds() {
    let world = World::new().await;
    world.subscribe("a", json!({"max_requests_per_second": 0.1})).await;
    world.emit_many(4).await;
    world.advance(seconds(60)).await;
    let times = world.handed_over("a");
    assert_eq!(times.len(), 4);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 10_000), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_on_retries_lets_first_attempts_pass() {
    let world = World::patient().await;
    world.transport.on("https://a.example/", [Scripted::status(500)]);
    let retry = json!({"attempts": 2, "schedule_s": [1], "jitter": 0});
    world.subscribe("a", json!({"max_requests_per_second": 10, "rate_scope": "retries", "retry": retry})).await;
    world.emit_many(100).await;
    world.advance(Duration::from_millis(900)).await;
    assert_eq!(world.handed_over("a").len(), 100, "first attempts are not held back");
    world.advance(seconds(3)).await;
    let late = world.emit("late", 1).await.deliveries[0];
    world.advance(Duration::from_millis(50)).await;
    assert_eq!(world.attempts(late).await.len(), 1, "a first attempt overtakes retries that wait for their ceiling");
    world.advance(seconds(20)).await;
    let retries: Vec<u64> = world.handed_over("a").into_iter().filter(|at| *at >= 1_000).collect();
    assert_eq!(retries.len(), 102);
    assert!(most_within(&retries, 1_000) <= 11, "ten retries and the one late first attempt");
}

#[tokio::test(start_paused = true)]
async fn g8_a_changed_ceiling_holds_from_the_change_on_and_gives_no_burst() {
    let world = World::new().await;
    let id = world.subscribe("a", json!({"max_requests_per_second": 100})).await;
    world.emit_many(1_000).await;
    world.advance(seconds(2)).await;
    world.change(id, json!({"max_requests_per_second": 20})).await;
    let before = world.handed_over("a").len();
    world.advance(seconds(5)).await;
    let times = world.handed_over("a");
    // What had been prepared under the earlier ceiling still goes at its pace.
    assert!(most_within(&times[before + 3..], 1_000) <= 20, "{:?}", &times[before..]);
    assert!(times.len() - before >= 95);
}

#[tokio::test(start_paused = true)]
async fn g1_a_receiver_that_hangs_does_not_slow_the_others() {
    let world = World::new().await;
    world.transport.on("https://hangs.example/", [Scripted::silence()]);
    world.subscribe("hangs", json!({})).await;
    world.emit_many(10_000).await;
    world.advance(seconds(1)).await;
    for host in ["a", "b", "c"] {
        world.subscribe(host, json!({})).await;
    }
    for number in 0..200 {
        world.emit(&format!("x{number}"), number).await;
        world.advance(Duration::from_millis(10)).await;
    }
    for host in ["a", "b", "c"] {
        let times = world.handed_over(host);
        let delays: Vec<u64> = times.iter().enumerate().map(|(number, at)| at - 1_000 - 10 * number as u64).collect();
        assert_eq!(delays, vec![0; 200], "every first attempt starts at once");
    }
    assert!(world.handed_over("hangs").len() <= 64, "a receiver that hangs is probed, not stormed");
}

#[tokio::test(start_paused = true)]
async fn one_lane_holds_no_more_than_its_cap() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(200).after(seconds(1))]);
    world.subscribe("a", json!({})).await;
    world.emit_many(100).await;
    world.advance(Duration::from_millis(500)).await;
    assert_eq!(world.transport.in_flight(), 32);
    world.advance(seconds(5)).await;
    assert_eq!((world.handed_over("a").len(), world.transport.in_flight_max()), (100, 32));
}

#[tokio::test(start_paused = true)]
async fn the_minimum_delay_counts_from_the_event_and_holds_for_the_first_attempt() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(503), Scripted::status(200)]);
    world.subscribe("a", json!({"minimum_delay_s": 60})).await;
    let mut late = world.event("1", 1);
    late.occurred_at = Some(("2026-11-22T11:59:30Z".into(), "2026-11-22T11:59:30Z".parse().unwrap()));
    world.queue.accept(vec![late]).await.unwrap();
    world.advance(seconds(45)).await;
    assert_eq!(world.handed_over("a"), [30_000, 40_000], "30 s were over at receipt; the retry does not wait for the delay again");
    let mut old = world.event("2", 2);
    old.occurred_at = Some(("2026-11-01T00:00:00Z".into(), "2026-11-01T00:00:00Z".parse().unwrap()));
    world.queue.accept(vec![old]).await.unwrap();
    world.advance(Duration::from_millis(1)).await;
    assert_eq!(world.handed_over("a").len(), 3, "an event that comes late is sent at once");
}

#[tokio::test(start_paused = true)]
async fn c16_retry_after_holds_back_the_delivery_and_the_lane() {
    let world = World::new().await;
    let slow_down = Scripted::status(429).with_header("Retry-After", "120");
    world.transport.on("https://a.example/", [slow_down, Scripted::status(200)]);
    world.subscribe("a", json!({})).await;
    let first = world.emit("1", 1).await.deliveries[0];
    world.advance(seconds(1)).await;
    assert_eq!(world.outcomes(first).await, [Outcome::Throttled]);
    world.emit("2", 2).await;
    world.advance(seconds(118)).await;
    assert_eq!(world.handed_over("a").len(), 1, "the lane waits as well");
    world.advance(seconds(2)).await;
    assert_eq!(world.handed_over("a").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn c21_a_failure_of_our_own_side_is_no_attempt_and_burns_no_budget() {
    let world = World::new().await;
    // More failures than there are attempts, and then it works again.
    let mut script = vec![Scripted::failure(FailureKind::Local); 40];
    script.extend([Scripted::status(503), Scripted::status(200)]);
    world.transport.on("https://a.example/", script);
    world.subscribe("a", json!({"retry": {"attempts": 2, "schedule_s": [10.0], "jitter": 0}})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.advance(seconds(31 * 60)).await;
    assert_eq!((world.state(id).await, world.outcomes(id).await), (StateName::Pending, vec![]));
    let waits: Vec<_> = world.handed_over("a").windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60], "the wait grows");
    assert!(waits[8..].iter().all(|wait| *wait == 60), "to a limit: {waits:?}");
    world.advance(seconds(10 * 60)).await;
    assert_eq!(world.outcomes(id).await, [Outcome::UnexpectedResponse, Outcome::Delivered]);
    assert_eq!(world.delivery(id).await.attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn c22_everything_waits_for_our_own_side_and_nothing_storms_on_its_return() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::failure(FailureKind::Local)]);
    world.subscribe("a", json!({})).await;
    world.subscribe("b", json!({})).await;
    world.emit_many(500).await;
    world.advance(seconds(3600)).await;
    let tried = world.transport.requests_to("https://a.example/").len();
    assert!(tried < 32 + 16 + 8 + 100, "one delivery a minute is tried, not each: {tried}");
    assert_eq!(world.transport.requests_to("https://b.example/").len(), 500, "the others go on");
    world.transport.on("https://a.example/", [Scripted::status(200).after(seconds(1))]);
    let before = tried;
    world.advance(seconds(62)).await;
    let most = most_within(&world.handed_over("a")[before..], 1_000);
    assert!(most <= 32, "{most}");
    world.advance(seconds(60)).await;
    let deliveries = world.deliveries().await;
    assert_eq!(deliveries.len(), 1_000);
    assert!(deliveries.iter().all(|delivery| delivery.state.name() == StateName::Delivered && delivery.attempts == 1));
}

#[tokio::test(start_paused = true)]
async fn a15_a_fault_of_the_program_is_an_attempt() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::failure(FailureKind::Internal)]);
    world.subscribe("a", json!({"retry": {"attempts": 2, "schedule_s": [10.0], "jitter": 0}})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.advance(seconds(60)).await;
    assert_eq!((world.state(id).await, world.outcomes(id).await), (StateName::Dead, vec![Outcome::Unreachable; 2]));
}

#[tokio::test(start_paused = true)]
async fn deliveries_of_one_action_go_one_after_the_other() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(500), Scripted::status(500), Scripted::status(200)]);
    world.subscribe("a", json!({"order": "action"})).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(world.emit("same", number).await.deliveries[0]);
    }
    world.emit("other", 9).await;
    world.advance(seconds(1)).await;
    assert_eq!(world.sent("a", "n"), ["1", "9"], "another action does not wait");
    world.advance(seconds(120)).await;
    let of_the_action: Vec<_> = world.sent("a", "n").into_iter().filter(|number| number != "9").collect();
    assert_eq!(of_the_action, ["1", "1", "2", "3"], "also while the first waits to be retried");
    for id in ids {
        assert_eq!(world.state(id).await, StateName::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_of_an_action_goes_when_the_first_is_dead_or_cancelled() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(404), Scripted::status(503), Scripted::status(200)]);
    world.subscribe("a", json!({"order": "action"})).await;
    let first = world.emit("same", 1).await.deliveries[0];
    let second = world.emit("same", 2).await.deliveries[0];
    let third = world.emit("same", 3).await.deliveries[0];
    world.advance(seconds(1)).await;
    assert_eq!((world.state(first).await, world.state(second).await), (StateName::Dead, StateName::Pending));
    assert_eq!(world.sent("a", "n"), ["1", "2"]);
    world.queue.cancel(&Actor::server(), second).await.unwrap();
    world.advance(seconds(1)).await;
    assert_eq!(world.sent("a", "n"), ["1", "2", "3"]);
    assert_eq!(world.state(third).await, StateName::Delivered);
    world.queue.retry(&Actor::server(), first).await.unwrap();
    world.advance(seconds(1)).await;
    assert_eq!(world.state(first).await, StateName::Delivered, "a dead one that a person retries goes at once");
}

#[tokio::test(start_paused = true)]
async fn a_paused_subscription_keeps_its_deliveries_waiting() {
    let world = World::new().await;
    let id = world.subscribe("a", json!({"state": "paused"})).await;
    world.emit_many(500).await;
    world.advance(seconds(3_600)).await;
    assert_eq!(world.handed_over("a").len(), 0);
    world.change(id, json!({"state": "active"})).await;
    world.advance(seconds(1)).await;
    assert_eq!(world.handed_over("a").len(), 500);
    world.change(id, json!({"state": "paused"})).await;
    world.emit("x", 1).await;
    world.advance(seconds(60)).await;
    assert_eq!(world.handed_over("a").len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_delivery_is_not_sent_and_a_dead_one_can_be_retried() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(404), Scripted::status(200)]);
    world.subscribe("a", json!({"minimum_delay_s": 10})).await;
    let cancelled = world.emit("1", 1).await.deliveries[0];
    let dead = world.emit("2", 2).await.deliveries[0];
    world.queue.cancel(&Actor::server(), cancelled).await.unwrap();
    world.advance(seconds(11)).await;
    assert_eq!(world.sent("a", "n"), ["2"]);
    assert_eq!((world.state(cancelled).await, world.state(dead).await), (StateName::Cancelled, StateName::Dead));
    world.queue.retry(&Actor::server(), dead).await.unwrap();
    world.advance(Duration::from_millis(1)).await;
    assert_eq!(world.outcomes(dead).await, [Outcome::Refused, Outcome::Delivered]);
    assert_eq!(world.attempts(dead).await[1].number, 2, "the counter is kept");
    assert!(world.queue.retry(&Actor::server(), dead).await.is_err(), "what is delivered is not sent again");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_cancelled_at_once_is_not_sent() {
    let world = World::new().await;
    world.subscribe("a", json!({})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.queue.cancel(&Actor::server(), id).await.unwrap();
    world.advance(seconds(60)).await;
    assert_eq!((world.handed_over("a").len(), world.state(id).await), (0, StateName::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_retry_without_a_wait_comes_at_once() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(500), Scripted::status(500), Scripted::status(200)]);
    world.subscribe("a", json!({"retry": {"attempts": 3, "schedule_s": [0], "jitter": 0}})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.advance(Duration::from_millis(5)).await;
    assert_eq!(world.state(id).await, StateName::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_a_person_retries_while_it_is_in_flight_goes_again_at_once() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(500).after(seconds(5)), Scripted::status(200)]);
    world.subscribe("a", json!({})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.advance(seconds(1)).await;
    world.queue.retry(&Actor::server(), id).await.unwrap();
    world.advance(seconds(5)).await;
    assert_eq!(world.outcomes(id).await, [Outcome::UnexpectedResponse, Outcome::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn e12_a_delivery_keeps_the_template_it_was_accepted_with() {
    let world = World::new().await;
    let id = world.subscribe("a", json!({"minimum_delay_s": 10})).await;
    let pinned = world.emit("1", 1).await.deliveries[0];
    world.change(id, json!({"request": {"url": "https://b.example/?n={Number}"}})).await;
    world.emit("2", 2).await;
    world.advance(seconds(11)).await;
    assert_eq!((world.sent("a", "n"), world.sent("b", "n")), (vec!["1".to_owned()], vec!["2".to_owned()]));
    assert_eq!(world.state(pinned).await, StateName::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_retried_delivery_is_rendered_with_the_mended_template() {
    let world = World::new().await;
    let id = world.subscribe("a", json!({"request": {"url": "https://a.example/{ActionId}"}})).await;
    let broken = world.emit("..", 1).await.deliveries[0];
    world.advance(seconds(1)).await;
    assert_eq!(world.outcomes(broken).await, [Outcome::NotRendered]);
    world.change(id, json!({"request": {"url": "https://a.example/?id={ActionId}"}})).await;
    world.queue.retry(&Actor::server(), broken).await.unwrap();
    world.advance(seconds(1)).await;
    assert_eq!(world.state(broken).await, StateName::Delivered);
}

#[tokio::test(start_paused = true)]
async fn deleting_a_subscription_ends_its_deliveries_as_cancelled() {
    let world = World::new().await;
    let id = world.subscribe("a", json!({"minimum_delay_s": 60})).await;
    world.emit_many(2_500).await;
    world.queue.delete_subscription(&Actor::server(), id, None).await.unwrap();
    world.queue.end_orphans().await.unwrap();
    world.advance(seconds(120)).await;
    assert_eq!(world.handed_over("a").len(), 0);
    let deliveries = world.deliveries().await;
    assert_eq!(deliveries.len(), 2_500);
    assert!(deliveries.iter().all(|delivery| delivery.state.name() == StateName::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_in_flight_is_shown_as_leased_and_is_finished_at_a_stop() {
    let mut world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(200).after(seconds(5))]);
    world.subscribe("a", json!({})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.advance(seconds(1)).await;
    assert_eq!(world.state(id).await, StateName::Leased);
    world.stop().await;
    assert_eq!(world.state(id).await, StateName::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_crash_repeats_what_was_in_flight_and_loses_nothing() {
    let mut world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(200).after(seconds(5))]);
    world.subscribe("a", json!({})).await;
    world.emit_many(100).await;
    world.advance(seconds(1)).await;
    assert_eq!(world.handed_over("a").len(), 32);
    world.crash().await;
    world.advance(seconds(60)).await;
    assert!(world.deliveries().await.iter().all(|delivery| delivery.state.name() == StateName::Delivered));
    assert_eq!(world.handed_over("a").len(), 132, "only what was in flight is repeated");
}

#[tokio::test(start_paused = true)]
async fn g5_after_a_start_the_first_request_waits_one_interval() {
    let mut world = World::new().await;
    world.subscribe("a", json!({"max_requests_per_second": 1})).await;
    world.emit_many(10).await;
    world.advance(Duration::from_millis(3_500)).await;
    world.crash().await;
    world.advance(seconds(20)).await;
    let times = world.handed_over("a");
    assert_eq!(times.len(), 10);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn the_exponential_rule_and_the_impact_profile_are_followed() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(502)]);
    world.transport.on("https://b.example/", [Scripted::status(500)]);
    let exponential = json!({"initial_s": 1, "factor": 3, "max_s": 20});
    world.subscribe("a", json!({"retry": {"attempts": 5, "jitter": 0, "exponential": exponential}})).await;
    world.subscribe("b", json!({"retry": {"profile": "impact"}})).await;
    let ids = world.emit("1", 1).await.deliveries;
    world.advance(seconds(100)).await;
    assert_eq!(world.handed_over("a"), [0, 1_000, 4_000, 13_000, 33_000]);
    assert_eq!(world.outcomes(ids[1]).await, [Outcome::Refused]);
}

#[tokio::test(start_paused = true)]
async fn a_trace_is_passed_on_to_whom_asked_for_it() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(503), Scripted::status(200)]);
    world.subscribe("a", json!({"request": {"url": "https://a.example/", "trace_context": true}})).await;
    world.subscribe("b", json!({})).await;
    world.emit("1", 1).await;
    world.advance(seconds(20)).await;
    let traces = |host: &str| -> Vec<String> {
        let requests = world.transport.requests_to(&format!("https://{host}.example/"));
        let of = |(name, value): &(String, String)| (name == "traceparent").then(|| value.clone());
        requests.iter().filter_map(|recorded| recorded.request.headers.iter().find_map(of)).collect()
    };
    let of_a = traces("a");
    assert_eq!((of_a.len(), traces("b").len()), (2, 0));
    assert!(of_a[0][..36] == of_a[1][..36] && of_a[0] != of_a[1], "one trace, two spans: {of_a:?}");
}
