//! Clocks that jump, and times that nobody meant, in virtual time.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use postrider::attempt::{FailureKind, Outcome};
use postrider::clock::{Clock, ScriptedClock, Timestamp};
use postrider::delivery::DeliveryState;
use postrider::dispatcher::{Dispatcher, DispatcherSettings, FailingRule};
use postrider::event::EventData;
use postrider::queue::{Account, Actor, DeliveryQuery, IncomingEvent, Queue};
use postrider::request::send::{Scripted, ScriptedTransport};
use postrider::rng::SeededRng;
use postrider::secret::{MasterKeys, Vault};
use postrider::store::{EmbeddedStore, MemoryKv, Store, StoreOptions};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::World;

const DAY: Duration = Duration::from_secs(86_400);

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A wall clock that somebody sets; the monotonic one goes on.
#[derive(Debug)]
struct SetClock {
    clock: ScriptedClock,
    offset_ms: AtomicI64,
}

impl SetClock {
    fn jump(&self, by_s: i64) {
        self.offset_ms.fetch_add(by_s * 1_000, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now().unix_ms() + self.offset_ms.load(Ordering::SeqCst))
    }

    fn instant(&self) -> Instant {
        self.clock.instant()
    }
}

/// A queue and its dispatcher on such a clock, with one subscription.
struct Town {
    clock: Arc<SetClock>,
    queue: Arc<Queue>,
    transport: ScriptedTransport,
    stop: CancellationToken,
}

impl Town {
    async fn new(transport: ScriptedTransport, retry: serde_json::Value) -> Self {
        let clock =
            Arc::new(SetClock { clock: ScriptedClock::starting_at("2026-11-22T12:00:00Z".parse().unwrap()), offset_ms: AtomicI64::new(0) });
        let options = StoreOptions { tag: 1, clock: clock.clone(), ..StoreOptions::default() };
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::inline(MemoryKv::default(), options).unwrap());
        let vault = Vault::new(MasterKeys::draw(&SeededRng::new(7)), Arc::new(SeededRng::new(1)));
        let queue = Arc::new(Queue::open(store, clock.clone(), 1, DAY, vault).await.unwrap());
        queue.create_account(&Actor::server(), Account::new("acme".parse().unwrap(), "Acme", clock.now())).await.unwrap();
        let spec = json!({"account": "acme", "name": "x", "event_types": ["action.*"], "retry": retry,
            "request": {"url": "https://a.example/?i={ActionId}&s={Status}"}});
        queue.create_subscription(&Actor::server(), serde_json::from_value(spec).unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        // Five hundred attempts are to fail here without the receiver being taken for a failing one.
        let failing = FailingRule { after: 0, ..FailingRule::default() };
        let settings = DispatcherSettings { failing, ..DispatcherSettings::default() };
        let dispatcher = Dispatcher::new(queue.clone(), Arc::new(transport.clone()), clock.clone(), settings);
        tokio::spawn(dispatcher.run(stop.clone()));
        Self { clock, queue, transport, stop }
    }

    async fn emit(&self, count: usize) {
        let event = |number: usize| IncomingEvent {
            account: "acme".parse().unwrap(),
            event_type: "action.tracked".parse().unwrap(),
            key: None,
            occurred_at: None,
            data: EventData::parse(&json!({"ActionId": number.to_string()}).to_string()).unwrap(),
        };
        self.queue.accept((0..count).map(event).collect()).await.unwrap();
    }

    async fn advance(&self, span: Duration) {
        let _ = tokio::time::timeout(span, std::future::pending::<()>()).await;
    }

    async fn ids(&self) -> Vec<postrider::id::DeliveryId> {
        let page = self.queue.deliveries(&DeliveryQuery { limit: 10_000, ..DeliveryQuery::default() }).await.unwrap();
        page.items.iter().map(|delivery| delivery.id).collect()
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn b1_a_clock_that_jumps_three_days_ahead_starts_no_herd() {
    let transport = ScriptedTransport::new();
    let mut answers = vec![Scripted::status(503); 500];
    answers.push(Scripted::status(200).after(seconds(1)));
    transport.on("https://a.example/", answers);
    let town = Town::new(transport, json!({"schedule_s": [172_800], "jitter": 0})).await;
    town.emit(500).await;
    town.advance(seconds(60)).await;
    assert_eq!(town.transport.requests().len(), 500, "each was tried once and waits two days");
    town.clock.jump(3 * 86_400);
    town.advance(seconds(11)).await;
    assert!(town.transport.requests().len() > 500, "what is due by the new time is noticed");
    town.advance(seconds(120)).await;
    assert_eq!(town.transport.requests().len(), 1_000, "each was sent once more");
    assert!(town.transport.in_flight_max() <= 32, "{} at once", town.transport.in_flight_max());
}

#[tokio::test(start_paused = true)]
async fn b2_a_clock_that_jumps_back_delays_no_more_than_it_jumped_and_repeats_nothing() {
    let transport = ScriptedTransport::new();
    transport.on("https://a.example/", [Scripted::status(503), Scripted::status(200)]);
    let town = Town::new(transport, json!({"schedule_s": [30], "jitter": 0})).await;
    town.emit(1).await;
    town.advance(seconds(5)).await;
    town.clock.jump(-3_600);
    town.emit(100).await;
    town.advance(seconds(20)).await;
    assert_eq!(town.transport.requests().len(), 101, "what comes after the jump goes at once");
    town.advance(seconds(3_600 + 30)).await;
    assert_eq!(town.transport.requests().len(), 102, "the retry goes when the clock is there again, and once");
    let ids = town.ids().await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 101);
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "the order of the list is that of acceptance");
}

#[tokio::test(start_paused = true)]
async fn b6_waits_of_decades_are_cut_and_break_no_timer() {
    let world = World::new().await;
    for (host, name, value, at_most) in [
        ("century", "Retry-After", "3153600000", DAY),
        ("overflow", "Retry-After", "99999999999999999999999999", DAY),
        ("date", "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        ("past", "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT", seconds(10)),
    ] {
        world.transport.on(&format!("https://{host}.example/"), [Scripted::status(503).with_header(name, value), Scripted::status(200)]);
        world.subscribe(host, json!({"minimum_delay_s": 0})).await;
        world.emit(host, 1).await;
        world.advance(at_most + seconds(1)).await;
        assert_eq!(world.handed_over(host).len(), 2, "{host}");
        let subscriptions: Vec<_> = world.queue.registry().subscriptions().map(|subscription| subscription.id).collect();
        for id in subscriptions {
            world.queue.delete_subscription(&Actor::server(), id, None).await.unwrap();
        }
    }
    // An event from the far future, with the longest delay on top, is put off for 60 days at most.
    world.subscribe("later", json!({"minimum_delay_s": 2_592_000})).await;
    let mut event = world.event("1", 1);
    event.occurred_at = Some(("9999-12-30T00:00:00Z".into(), "9999-12-30T00:00:00Z".parse().unwrap()));
    let accepted = world.queue.accept(vec![event]).await.unwrap().remove(0);
    let DeliveryState::Pending { due_at } = world.delivery(accepted.deliveries[0]).await.state else { panic!("it waits") };
    assert_eq!(due_at, world.now().after(60 * DAY));
}

#[tokio::test(start_paused = true)]
async fn b7_times_of_events_are_data_and_only_the_sensible_ones_decide() {
    let world = World::new().await;
    world.subscribe("a", json!({"minimum_delay_s": 60})).await;
    let noon = world.now();
    for (text, wait) in [
        ("0000-01-01T00:00:00Z", Some(0)),
        ("-000001-01-01T00:00:00Z", Some(0)),
        ("1969-12-31T23:59:59.999999999Z", Some(0)),
        ("2026-11-22T12:00:00Z", Some(60)),
        ("2026-11-23T02:00:00+14:00", Some(60)),
        ("2026-11-22T12:00:00+25:00", Some(0)),
        ("2026-11-22T12:00:00+26:00", None),
        ("2026-11-22T00:00:00-12:00", Some(60)),
        ("2026-11-22T11:59:30.5Z", Some(30)),
        ("2016-12-31T23:59:60Z", Some(0)),
        ("2026-02-30T00:00:00Z", None),
        ("2026-11-22T12:00:00", None),
        ("2026-11-22", None),
        ("1700000000", None),
        ("now", None),
    ] {
        let parsed = text.parse::<Timestamp>().ok();
        assert_eq!(parsed.is_some(), wait.is_some(), "{text}");
        let (Some(at), Some(wait)) = (parsed, wait) else { continue };
        let mut event = world.event(text, 1);
        event.occurred_at = Some((text.into(), at));
        let accepted = world.queue.accept(vec![event]).await.unwrap().remove(0);
        let due_at = match world.delivery(accepted.deliveries[0]).await.state {
            DeliveryState::Pending { due_at } => due_at,
            state => panic!("{text}: {state:?}"),
        };
        let after = due_at.since(noon).as_secs();
        assert!((wait..=wait + 1).contains(&after) || (wait == 0 && due_at <= world.now()), "{text}: after {after} s");
    }
}

#[tokio::test(start_paused = true)]
async fn b8_ten_thousand_events_of_one_millisecond_are_told_apart() {
    let world = World::new().await;
    world.subscribe("a", json!({"state": "paused"})).await;
    world.emit_many(10_000).await;
    let ids: Vec<_> = world.deliveries().await.iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 10_000);
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "pages neither repeat nor leave out");
}

#[tokio::test(start_paused = true)]
async fn c18_an_answer_after_the_time_limit_leads_to_a_repeat_with_the_same_id() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(200).after(seconds(11)), Scripted::status(200)]);
    world.subscribe("a", json!({"timeout_ms": 10_000})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    world.advance(seconds(60)).await;
    assert_eq!(world.outcomes(id).await, [Outcome::TimedOut, Outcome::Delivered]);
    let key = |request: &postrider::attempt::SentRequest| {
        request.headers.iter().find(|(name, _)| name == "Idempotency-Key").map(|(_, value)| value.clone())
    };
    let keys: Vec<_> = world.transport.requests().iter().map(|recorded| key(&recorded.request)).collect();
    assert_eq!(keys, [Some(id.to_string()), Some(id.to_string())]);
}

#[tokio::test(start_paused = true)]
async fn c17_c22_g4_after_an_outage_the_backlog_ramps_up_and_drains_by_itself() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_down = down.clone();
    let transport = ScriptedTransport::answering(move |_| {
        if is_down.load(Ordering::SeqCst) {
            Scripted::failure(FailureKind::Connection)
        } else {
            Scripted::status(200).after(Duration::from_millis(100))
        }
    });
    let world = World::with(DispatcherSettings::default(), transport).await;
    world.subscribe("a", json!({"retry": {"attempts": 100, "schedule_s": [600], "jitter": 0.2}})).await;
    world.emit_many(300).await;
    world.advance(seconds(3_600)).await;
    let before = world.handed_over("a").len();
    down.store(false, Ordering::SeqCst);
    // Flapping on the way up does not change the end.
    for _ in 0..5 {
        world.advance(seconds(7)).await;
        down.store(true, Ordering::SeqCst);
        world.advance(seconds(3)).await;
        down.store(false, Ordering::SeqCst);
    }
    world.advance(seconds(1_200)).await;
    let delivered = world.deliveries().await.iter().filter(|delivery| matches!(delivery.state, DeliveryState::Delivered { .. })).count();
    assert_eq!(delivered, 300, "the queue drains without help");
    assert!(world.transport.in_flight_max() <= 32);
    let after = world.handed_over("a").split_off(before);
    // The first requests go one by one, since each doubles what may be in flight.
    assert!(after[1] - after[0] >= 50 && crate::world::most_within(&after[..8], 100) <= 4, "{:?}", &after[..8]);
}
