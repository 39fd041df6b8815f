//! What a queue tells about itself, in virtual time.

use std::time::Duration;

use postrider::queue::{Stats, StatsQuery};
use postrider::request::send::Scripted;
use serde_json::json;

use super::seconds;
use super::world::World;

async fn last_hour(world: &World) -> Stats {
    let now = world.now();
    let query = StatsQuery { account: None, since: now.before(seconds(3_600)), until: now, step: seconds(60) };
    world.queue.stats(&query).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn counts_latency_and_series_are_those_of_what_happened() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(200).after(Duration::from_millis(100))]);
    world.transport.on("https://b.example/", [Scripted::status(404)]);
    world.subscribe("a", json!({})).await;
    world.advance(seconds(600)).await;
    world.emit_many(10).await;
    world.advance(seconds(60)).await;
    world.subscribe("b", json!({})).await;
    world.emit("late", 1).await;
    world.advance(seconds(59)).await;
    let stats = last_hour(&world).await;
    assert_eq!((stats.counts.delivered, stats.counts.dead, stats.counts.attempts, stats.counts.waiting), (11, 1, 12, 0));
    let of = |value: fn(&postrider::metrics::Tally) -> u64| -> Vec<u64> {
        stats.series.iter().map(|point| value(&point.tally)).filter(|count| *count > 0).collect()
    };
    assert_eq!(of(|tally| tally.events), [10, 1]);
    assert_eq!(of(|tally| tally.accepted), [10, 2]);
    assert_eq!((of(|tally| tally.delivered), of(|tally| tally.dead), of(|tally| tally.failed_attempts)), (vec![10, 1], vec![1], vec![1]));
    assert_eq!(stats.period.latencies.percentile_ms(0.5), Some(103), "a tenth of a second, to the end of its bucket");
    assert_eq!(stats.subscriptions.iter().map(|of| of.attempts_per_minute.ceil() as u64).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_longest_is_told_and_what_is_due_later_is_not() {
    let world = World::new().await;
    let paused = world.subscribe("a", json!({"state": "paused"})).await;
    world.subscribe("later", json!({"minimum_delay_s": 3_600})).await;
    let since = world.now();
    world.emit("1", 1).await;
    world.advance(seconds(5)).await;
    world.emit("2", 1).await;
    world.advance(seconds(5)).await;
    let stats = last_hour(&world).await;
    assert_eq!((stats.oldest_due_at, stats.counts.waiting), (Some(since), 4));
    let due: Vec<_> = stats.subscriptions.iter().map(|of| (of.subscription.id == paused, of.oldest_due_at)).collect();
    assert_eq!(due, [(true, Some(since)), (false, None)]);
    world.change(paused, json!({"state": "active"})).await;
    world.advance(seconds(2)).await;
    assert_eq!(last_hour(&world).await.oldest_due_at, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_counted() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::silence()]);
    world.subscribe("a", json!({})).await;
    world.emit_many(3).await;
    world.advance(seconds(1)).await;
    let stats = last_hour(&world).await;
    assert_eq!((stats.in_flight, stats.counts.waiting), (3, 3));
}
