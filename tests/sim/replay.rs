//! Replays in virtual time: what is sent again, in which order, how fast, and what a crash does to it.

use std::collections::HashMap;
use std::time::Duration;

use postrider::attempt::Outcome;
use postrider::delivery::StateName;
use postrider::id::SubscriptionId;
use postrider::queue::{Actor, Replay, ReplayError, ReplayRequest, ReplayState};
use postrider::request::send::Scripted;
use serde_json::json;

use super::seconds;
use super::world::{World, most_within};

fn of(subscription: SubscriptionId) -> ReplayRequest {
    ReplayRequest { subscription, states: vec![StateName::Dead], since: None, until: None, per_second: None, dry_run: false }
}

/// A subscription to `a` with this many dead deliveries, whose receiver is mended.
async fn with_dead(world: &World, count: usize) -> SubscriptionId {
    world.transport.on("https://a.example/", [Scripted::status(404)]);
    let id = world.subscribe("a", json!({})).await;
    world.emit_many(count).await;
    world.advance(seconds(5)).await;
    assert!(world.deliveries().await.iter().all(|delivery| delivery.state.name() == StateName::Dead));
    world.transport.on("https://a.example/", [Scripted::status(200)]);
    id
}

async fn after(world: &World, replay: &Replay, span: Duration) -> Replay {
    world.advance(span).await;
    world.queue.replay(replay.id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn dead_deliveries_are_sent_again_oldest_first_and_keep_id_and_count() {
    let world = World::new().await;
    let id = with_dead(&world, 300).await;
    let sent_before = world.sent("a", "n").len();
    let replay = world.queue.create_replay(&Actor::server(), of(id)).await.unwrap();
    assert_eq!((replay.state, replay.matched), (ReplayState::Counting, 0));
    let replay = after(&world, &replay, seconds(5)).await;
    assert_eq!((replay.state, replay.matched, replay.done, replay.skipped), (ReplayState::Done, 300, 300, 0));
    assert!(replay.finished_at.is_some());
    let again: Vec<usize> = world.sent("a", "n").split_off(sent_before).iter().map(|number| number.parse().unwrap()).collect();
    assert_eq!(again, (0..300).collect::<Vec<_>>());
    for delivery in world.deliveries().await {
        assert_eq!(world.outcomes(delivery.id).await, [Outcome::Refused, Outcome::Delivered]);
        assert_eq!((delivery.state.name(), delivery.attempts), (StateName::Delivered, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_takes_what_was_asked_for_and_the_present_template() {
    let world = World::new().await;
    let id = world.subscribe("a", json!({})).await;
    world.emit("old", 1).await;
    world.advance(seconds(10)).await;
    let since = world.now();
    let delivered = world.emit("new", 2).await.deliveries[0];
    world.advance(seconds(10)).await;
    let until = world.now();
    world.emit("newest", 3).await;
    world.advance(seconds(10)).await;
    world.change(id, json!({"request": {"url": "https://b.example/?n={Number}"}})).await;
    let request = ReplayRequest { states: vec![StateName::Delivered], since: Some(since), until: Some(until), ..of(id) };
    let replay = world.queue.create_replay(&Actor::server(), request).await.unwrap();
    let replay = after(&world, &replay, seconds(2)).await;
    assert_eq!((replay.matched, replay.done), (1, 1));
    assert_eq!(world.sent("b", "n"), ["2"]);
    assert_eq!(world.delivery(delivered).await.attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_and_sends_nothing() {
    let world = World::new().await;
    let id = with_dead(&world, 20).await;
    let sent_before = world.handed_over("a").len();
    let replay = world.queue.create_replay(&Actor::server(), ReplayRequest { dry_run: true, ..of(id) }).await.unwrap();
    let replay = world.queue.replay_over(replay.id, seconds(5)).await.unwrap();
    assert_eq!((replay.state, replay.matched, replay.done, replay.skipped), (ReplayState::Done, 20, 0, 0));
    world.advance(seconds(60)).await;
    assert_eq!(world.handed_over("a").len(), sent_before);
}

#[tokio::test(start_paused = true)]
async fn g15_a_long_replay_goes_behind_what_is_new() {
    let world = World::new().await;
    let id = with_dead(&world, 3_000).await;
    world.transport.on("https://a.example/", [Scripted::status(200).after(seconds(1))]);
    let replay = world.queue.create_replay(&Actor::server(), of(id)).await.unwrap();
    world.advance(seconds(10)).await;
    for number in 0..5 {
        let new = world.emit("new", 10_000 + number).await.deliveries[0];
        // 128 rows and the portion before them, 32 at a time for a second each.
        world.advance(seconds(8)).await;
        assert_eq!(world.state(new).await, StateName::Delivered);
    }
    let replay = after(&world, &replay, Duration::ZERO).await;
    assert_eq!(replay.state, ReplayState::Running);
    assert!((1_000..2_500).contains(&replay.done), "places that new deliveries leave free are used: {}", replay.done);
    assert_eq!(after(&world, &replay, seconds(90)).await.done, 3_000);
}

#[tokio::test(start_paused = true)]
async fn the_pace_of_a_replay_holds() {
    let world = World::new().await;
    let id = with_dead(&world, 100).await;
    let sent_before = world.handed_over("a").len();
    let replay = world.queue.create_replay(&Actor::server(), ReplayRequest { per_second: Some(10.0), ..of(id) }).await.unwrap();
    let replay = after(&world, &replay, seconds(5)).await;
    assert!((45..=52).contains(&replay.done), "{}", replay.done);
    assert_eq!(after(&world, &replay, seconds(6)).await.state, ReplayState::Done);
    assert!(most_within(&world.handed_over("a")[sent_before..], 1_000) <= 11, "{:?}", &world.handed_over("a")[sent_before..]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_survives_crashes_and_sends_nothing_twice() {
    let mut world = World::new().await;
    let id = with_dead(&world, 1_000).await;
    let sent_before = world.handed_over("a").len();
    let replay = world.queue.create_replay(&Actor::server(), ReplayRequest { per_second: Some(100.0), ..of(id) }).await.unwrap();
    for _ in 0..9 {
        world.advance(Duration::from_millis(977)).await;
        world.crash().await;
    }
    let replay = after(&world, &replay, seconds(10)).await;
    assert_eq!((replay.state, replay.matched, replay.done, replay.skipped), (ReplayState::Done, 1_000, 1_000, 0));
    let mut seen: HashMap<String, usize> = HashMap::new();
    world.sent("a", "n").split_off(sent_before).into_iter().for_each(|number| *seen.entry(number).or_default() += 1);
    assert!(seen.len() == 1_000 && seen.values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_or_decided_later_is_left_alone() {
    let world = World::new().await;
    let id = with_dead(&world, 500).await;
    let replay = world.queue.create_replay(&Actor::server(), ReplayRequest { per_second: Some(50.0), ..of(id) }).await.unwrap();
    world.advance(seconds(2)).await;
    let cancelled = world.queue.cancel_replay(&Actor::server(), replay.id).await.unwrap();
    assert_eq!(cancelled.state, ReplayState::Cancelled);
    let later = after(&world, &replay, seconds(60)).await;
    assert_eq!((later.done, later.state), (cancelled.done, ReplayState::Cancelled));
    assert!((90..=105).contains(&later.done), "{}", later.done);
    assert!(matches!(world.queue.cancel_replay(&Actor::server(), replay.id).await, Err(ReplayError::Over(_))));
    // What a person retries meanwhile is not replayed too.
    world.transport.on("https://a.example/", [Scripted::status(404)]);
    let slow = world.queue.create_replay(&Actor::server(), ReplayRequest { per_second: Some(100.0), ..of(id) }).await.unwrap();
    let newest = world.deliveries().await[0].id;
    world.advance(seconds(1)).await;
    world.queue.retry(&Actor::server(), newest).await.unwrap();
    let done = after(&world, &slow, seconds(30)).await;
    assert_eq!((done.done + 1, done.skipped), (done.matched, 1));
    assert_eq!(world.attempts(newest).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_paused_subscription_holds_its_replay_up_and_a_deleted_one_ends_it() {
    let world = World::new().await;
    let id = with_dead(&world, 50).await;
    world.change(id, json!({"state": "paused"})).await;
    let replay = world.queue.create_replay(&Actor::server(), of(id)).await.unwrap();
    let held = after(&world, &replay, seconds(60)).await;
    assert_eq!((held.state, held.matched, held.done), (ReplayState::Running, 50, 0));
    world.queue.delete_subscription(&Actor::server(), id, None).await.unwrap();
    assert_eq!(after(&world, &replay, seconds(1)).await.state, ReplayState::Cancelled);
    assert!(matches!(world.queue.create_replay(&Actor::server(), of(id)).await, Err(ReplayError::UnknownSubscription(_))));
}

#[tokio::test(start_paused = true)]
async fn replays_are_remembered_up_to_a_limit() {
    let world = World::new().await;
    let id = world.subscribe("a", json!({"state": "paused"})).await;
    for _ in 0..1_050 {
        let replay = world.queue.create_replay(&Actor::server(), ReplayRequest { dry_run: true, ..of(id) }).await.unwrap();
        world.queue.replay_over(replay.id, seconds(5)).await.unwrap();
    }
    assert_eq!(world.queue.replays().len(), 1_000);
    world.emit_many(1).await;
    world.queue.cancel(&Actor::server(), world.deliveries().await[0].id).await.unwrap();
    let stuck = ReplayRequest { states: vec![StateName::Cancelled], ..of(id) };
    for _ in 0..100 {
        world.queue.create_replay(&Actor::server(), stuck.clone()).await.unwrap();
    }
    assert!(matches!(world.queue.create_replay(&Actor::server(), stuck).await, Err(ReplayError::TooMany)));
}

#[tokio::test(start_paused = true)]
async fn j5_an_account_takes_its_replays_with_it() {
    let world = World::new().await;
    let id = with_dead(&world, 3).await;
    let replay = world.queue.create_replay(&Actor::server(), of(id)).await.unwrap();
    world.advance(seconds(5)).await;
    world.queue.delete_account(&Actor::server(), &"acme".parse().unwrap(), None).await.unwrap();
    for _ in 0..100 {
        world.queue.remove_deleted_accounts().await.unwrap();
        world.advance(seconds(60)).await;
    }
    assert_eq!((world.queue.replay(replay.id), world.queue.replays().len()), (None, 0));
}
