//! Random worlds: whatever receivers, people and crashes do, the promises hold. Each world comes from
//! a seed, which is printed if it fails; `POSTRIDER_SIM_SEED` runs one seed, `POSTRIDER_SIM_SEEDS` more.

use std::collections::HashMap;
use std::time::Duration;

use postrider::attempt::{FailureKind, Outcome};
use postrider::delivery::StateName;
use postrider::dispatcher::DispatcherSettings;
use postrider::queue::Actor;
use postrider::request::send::{Scripted, ScriptedTransport};
use postrider::rng::{Rng, SeededRng, mix};
use serde_json::json;

use super::world::{World, most_within};

fn answer(bits: u64) -> Scripted {
    match bits % 16 {
        0 => Scripted::status(500),
        1 => Scripted::status(404),
        2 => Scripted::status(429).with_header("Retry-After", "3"),
        3 => Scripted::failure(FailureKind::Connection),
        4 => Scripted::silence(),
        5 => Scripted::status(302),
        more => Scripted::status(200).after(Duration::from_millis(more * 37)),
    }
}

/// Runs a world and gives back what was sent, for comparison.
async fn run(seed: u64) -> Vec<String> {
    let rng = SeededRng::new(seed);
    let below = |limit: u64| rng.bits() % limit;
    let transport = ScriptedTransport::answering(move |request| {
        let hash = request.url.bytes().fold(seed, |hash, byte| mix(hash ^ u64::from(byte)));
        let attempt: u64 =
            request.headers.iter().find(|(name, _)| name == "Postrider-Attempt").map_or(0, |(_, value)| value.parse().unwrap());
        answer(mix(hash ^ attempt))
    });
    let settings = DispatcherSettings { in_flight_max: 16, in_flight_per_subscription_max: 4, ..DispatcherSettings::default() };
    let mut world = World::with(settings, transport).await;
    let retry = json!({"attempts": 6, "schedule_s": [1, 5, 20, 60], "jitter": 0.2});
    let mut subscriptions = Vec::new();
    for (host, patch) in [
        ("plain", json!({"retry": retry})),
        ("paced", json!({"retry": retry, "max_requests_per_second": 5})),
        ("ordered", json!({"retry": retry, "order": "action"})),
        ("delayed", json!({"retry": retry, "minimum_delay_s": 7})),
    ] {
        subscriptions.push(world.subscribe(host, patch).await);
    }
    let mut accepted = Vec::new();
    for number in 0..60 {
        match below(12) {
            0 => world.crash().await,
            1 => {
                let id = subscriptions[below(4) as usize];
                let state = if below(2) == 0 { "paused" } else { "active" };
                world.change(id, json!({"state": state})).await;
            }
            2 if !accepted.is_empty() => {
                let id = accepted[below(accepted.len() as u64) as usize];
                let _ = if below(2) == 0 {
                    world.queue.cancel(&Actor::server(), id).await
                } else {
                    world.queue.retry(&Actor::server(), id).await
                };
            }
            _ => accepted.extend(world.emit(&format!("action-{}", below(5)), number).await.deliveries),
        }
        world.advance(Duration::from_millis(below(2_000))).await;
    }
    for id in &subscriptions {
        world.change(*id, json!({"state": "active"})).await;
    }
    world.advance(Duration::from_secs(3_600)).await;
    check(&world, accepted.len()).await;
    world.transport.requests().iter().map(|recorded| recorded.request.url.clone()).collect()
}

async fn check(world: &World, accepted: usize) {
    let deliveries = world.deliveries().await;
    assert_eq!(deliveries.len(), accepted, "nothing is lost and nothing is invented");
    assert_eq!(world.queue.in_flight().count(), 0);
    for delivery in &deliveries {
        let attempts = world.attempts(delivery.id).await;
        assert!(!delivery.state.is_undecided(), "{} is still {:?} after the faults ended", delivery.id, delivery.state);
        assert_eq!(attempts.len(), delivery.attempts as usize);
        assert!(
            attempts.iter().enumerate().all(|(index, attempt)| attempt.number as usize == index + 1),
            "attempts are numbered without gaps"
        );
        let delivered = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Delivered).count();
        assert_eq!(delivered, usize::from(delivery.state.name() == StateName::Delivered), "{}", delivery.id);
        assert_eq!(attempts.last().map(|attempt| attempt.outcome), delivery.last_outcome);
    }
    assert!(most_within(&world.handed_over("paced"), 1_000) <= 5);
    // Of one action's deliveries, a later one is sent only after the earlier was decided; crashes and
    // retries by a person send an earlier one again, so that only first sights are compared.
    let mut seen: HashMap<String, Vec<usize>> = HashMap::new();
    for (action, number) in world.sent("ordered", "id").into_iter().zip(world.sent("ordered", "n")) {
        let numbers = seen.entry(action).or_default();
        let number: usize = number.parse().unwrap();
        if !numbers.contains(&number) {
            assert!(numbers.iter().all(|earlier| *earlier < number), "{numbers:?} then {number}");
            numbers.push(number);
        }
    }
}

fn in_a_world<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
}

#[test]
fn random_worlds_keep_the_promises() {
    let only = std::env::var("POSTRIDER_SIM_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let count = std::env::var("POSTRIDER_SIM_SEEDS").ok().map_or(60, |count| count.parse::<u64>().unwrap());
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        let ran = std::panic::catch_unwind(|| in_a_world(run(seed)));
        assert!(ran.is_ok(), "seed {seed} failed; run it alone with POSTRIDER_SIM_SEED={seed}");
    }
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    assert_eq!(in_a_world(run(7)), in_a_world(run(7)));
}
