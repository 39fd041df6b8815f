//! Several nodes over one store: whatever dies, is cut off, joins and leaves, every event is delivered, no
//! ceiling is passed, the order of actions is kept, and only what was in flight is repeated.
//!
//! Each world comes from a seed, which is printed if it fails; `POSTRIDER_SIM_SEED` runs one seed,
//! `POSTRIDER_SIM_SEEDS` more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use postrider::attempt::{Exchange, Outcome, SentRequest};
use postrider::clock::{Clock, ScriptedClock, Timestamp};
use postrider::cluster::{Keeper, KeeperSettings, Load, MemoryLeases, NodeReport, Roles};
use postrider::delivery::StateName;
use postrider::dispatcher::{Dispatcher, DispatcherSettings};
use postrider::event::EventData;
use postrider::id::{DeliveryId, NodeId, SubscriptionId};
use postrider::queue::{Account, Actor, DeliveryQuery, IncomingEvent, Queue};
use postrider::request::send::{Outgoing, Scripted, ScriptedTransport, Transport};
use postrider::rng::{Rng, SeededRng, mix};
use postrider::secret::{MasterKeys, Vault};
use postrider::store::{EmbeddedStore, MemoryKv, Store, StoreOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::shared::{Link, Shared};
use super::world::most_within;

const TTL: Duration = Duration::from_secs(15);
/// Longer than everything between a request's end and the note of it, if nothing is cut.
const SLACK: Duration = Duration::from_millis(50);

/// A clock that shows another time than the others', and runs as fast.
#[derive(Debug)]
struct Skewed {
    clock: ScriptedClock,
    ahead: Duration,
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.clock.now().after(self.ahead)
    }

    fn instant(&self) -> Instant {
        self.clock.instant()
    }
}

/// A request, as the receivers' auditor saw it.
#[derive(Debug, Clone)]
struct Seen {
    life: usize,
    at: Instant,
    over: Option<Instant>,
    host: String,
    action: String,
    number: u64,
}

/// What the auditor knows.
#[derive(Debug, Default)]
struct Audit {
    seen: Mutex<Vec<Seen>>,
    /// When a node's life was disturbed, and until when.
    faults: Mutex<Vec<(usize, Instant, Instant)>>,
}

/// A node's transport; the auditor stands behind it.
#[derive(Debug)]
struct Audited {
    life: usize,
    inner: ScriptedTransport,
    clock: ScriptedClock,
    audit: Arc<Audit>,
}

#[async_trait]
impl Transport for Audited {
    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let url = url::Url::parse(&outgoing.request.url).unwrap();
        let value = |name: &str| url.query_pairs().find(|(other, _)| other == name).unwrap().1.into_owned();
        let host = url.host_str().unwrap().trim_end_matches(".example").to_owned();
        let (action, number) = (value("id"), value("n").parse().unwrap());
        let seen = Seen { life: self.life, at: self.clock.instant(), over: None, host, action, number };
        let place = {
            let mut all = self.audit.seen.lock().unwrap();
            all.push(seen);
            all.len() - 1
        };
        let exchange = self.inner.send(outgoing).await;
        self.audit.seen.lock().unwrap()[place].over = Some(self.clock.instant());
        exchange
    }
}

struct Life {
    number: usize,
    id: NodeId,
    queue: Arc<Queue>,
    link: Arc<Link>,
    cut_at: Option<Instant>,
    stop: CancellationToken,
    dispatcher: JoinHandle<()>,
    keeper: JoinHandle<()>,
}

struct Cluster {
    clock: ScriptedClock,
    shared: Arc<Shared>,
    transport: ScriptedTransport,
    audit: Arc<Audit>,
    lanes: Vec<SubscriptionId>,
    ceilings: HashMap<String, usize>,
    lives: Vec<Life>,
    born: usize,
    emitted: u64,
    accepted: usize,
}

impl Cluster {
    /// A store with these subscriptions (host and patch), and no node.
    async fn new(seed: u64, transport: ScriptedTransport, subscriptions: &[(&str, Value)]) -> Self {
        let clock = ScriptedClock::starting_at("2026-11-22T12:00:00Z".parse().unwrap());
        let options = StoreOptions { tag: 1, clock: Arc::new(clock), ..StoreOptions::default() };
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::inline(MemoryKv::default(), options).unwrap());
        let leases = Arc::new(MemoryLeases::new(TTL, Arc::new(clock)));
        let queue = open_queue(store.clone(), Arc::new(clock), 1).await;
        let account = Account { fields: vec!["Number".into()], ..Account::new("acme".parse().unwrap(), "Acme", clock.now()) };
        queue.create_account(&Actor::server(), account).await.unwrap();
        let (mut lanes, mut ceilings) = (Vec::new(), HashMap::new());
        for (host, patch) in subscriptions {
            let mut spec = json!({
                "account": "acme",
                "name": host,
                "event_types": ["action.*"],
                "request": {"url": format!("https://{host}.example/?id={{ActionId}}&n={{Number}}")},
                "retry": {"attempts": 30, "schedule_s": [1], "jitter": 0},
            });
            for (name, value) in patch.as_object().unwrap() {
                spec[name] = value.clone();
            }
            ceilings.extend(patch["max_requests_per_second"].as_u64().map(|ceiling| ((*host).to_owned(), ceiling as usize)));
            let created = queue.create_subscription(&Actor::server(), serde_json::from_value(spec).unwrap()).await.unwrap();
            lanes.push(created.subscription.id);
        }
        let shared = Shared::new(store, leases, seed);
        let audit = Arc::default();
        Self { clock, shared, transport, audit, lanes, ceilings, lives: Vec::new(), born: 0, emitted: 0, accepted: 0 }
    }

    async fn advance(&self, span: Duration) {
        let _ = tokio::time::timeout(span, std::future::pending::<()>()).await;
    }

    async fn join(&mut self) -> usize {
        self.born += 1;
        let number = self.born;
        let (store, leases, link) = self.shared.join();
        let clock: Arc<dyn Clock> = Arc::new(Skewed { clock: self.clock, ahead: Duration::from_millis(137 * number as u64 % 1_000) });
        let queue = open_queue(Arc::new(store), clock.clone(), 100 + number as u64).await;
        let id = NodeId::from_raw(queue.next_id(clock.now()));
        let busy = queue.clone();
        let (keeper, membership) = Keeper::new(KeeperSettings {
            leases: Arc::new(leases),
            clock: clock.clone(),
            node: NodeReport {
                id,
                address: format!("node-{number}"),
                roles: Roles::ALL,
                version: "1".into(),
                lanes: 0,
                in_flight: 0,
                leaving: false,
            },
            load: Arc::new(move || Load { lanes: 0, in_flight: busy.in_flight().count() }),
        });
        let transport = Audited { life: number, inner: self.transport.clone(), clock: self.clock, audit: self.audit.clone() };
        let dispatcher =
            Dispatcher::new(queue.clone(), Arc::new(transport), clock, DispatcherSettings::default()).with_membership(membership);
        let stop = CancellationToken::new();
        let (dispatcher, keeper) = (tokio::spawn(dispatcher.run(stop.clone())), tokio::spawn(keeper.run(stop.clone())));
        self.lives.push(Life { number, id, queue, link, cut_at: None, stop, dispatcher, keeper });
        number
    }

    /// Ends a node as a kill does.
    async fn kill(&mut self, place: usize) {
        self.mend(place);
        let life = self.lives.remove(place);
        let now = self.clock.instant();
        self.audit.faults.lock().unwrap().push((life.number, now, now));
        for task in [life.keeper, life.dispatcher] {
            task.abort();
            let _ = task.await;
        }
        life.link.cut();
    }

    /// Has a node stop in order.
    async fn leave(&mut self, place: usize) {
        self.mend(place);
        let life = self.lives.remove(place);
        life.stop.cancel();
        life.dispatcher.await.unwrap();
        life.keeper.await.unwrap();
        assert!(self.lanes.iter().all(|lane| self.shared.leases.owner(*lane).is_none_or(|(owner, _)| owner != life.id)));
    }

    fn cut(&mut self, place: usize) {
        let life = &mut self.lives[place];
        life.link.cut();
        life.cut_at.get_or_insert(self.clock.instant());
    }

    fn mend(&mut self, place: usize) {
        let life = &mut self.lives[place];
        if let Some(since) = life.cut_at.take() {
            self.audit.faults.lock().unwrap().push((life.number, since, self.clock.instant()));
            self.shared.mend(&life.link, &self.lanes);
        }
    }

    /// Reports an event about one of a few actions to a node; one that is cut off does not take it.
    async fn emit(&mut self, place: usize, action: u64) {
        self.emitted += 1;
        let data = json!({"ActionId": format!("action-{action}"), "Number": self.emitted}).to_string();
        let event = IncomingEvent {
            account: "acme".parse().unwrap(),
            event_type: "action.tracked".parse().unwrap(),
            key: Some(format!("key-{}", self.emitted).parse().unwrap()),
            occurred_at: None,
            data: EventData::parse(&data).unwrap(),
        };
        if let Ok(accepted) = self.lives[place].queue.accept(vec![event]).await {
            self.accepted += accepted[0].deliveries.len();
        }
    }

    fn owned(&self) -> Vec<usize> {
        let of =
            |id: NodeId| self.lanes.iter().filter(|lane| self.shared.leases.owner(**lane).is_some_and(|(owner, _)| owner == id)).count();
        self.lives.iter().map(|life| of(life.id)).collect()
    }

    fn assert_even(&self) {
        let owned = self.owned();
        assert_eq!(owned.iter().sum::<usize>(), self.lanes.len(), "every lane has an owner: {owned:?}");
        assert!(owned.iter().max().unwrap() - owned.iter().min().unwrap() <= 1, "lanes are spread evenly: {owned:?}");
    }

    fn seen(&self) -> Vec<Seen> {
        self.audit.seen.lock().unwrap().clone()
    }

    /// Holds what was seen against the promises.
    async fn check(&self) {
        self.check_ceilings();
        self.check_order();
        self.check_repeats();
        let store = &self.shared.store;
        let mut query = DeliveryQuery { limit: 200, ..DeliveryQuery::default() };
        let mut count = 0;
        loop {
            let page = store.deliveries(&query).await.unwrap();
            for delivery in &page.items {
                assert_eq!(delivery.state.name(), StateName::Delivered, "{} is lost", delivery.id);
                let attempts = store.attempts(delivery.id).await.unwrap();
                assert!(attempts.iter().enumerate().all(|(place, attempt)| attempt.number as usize == place + 1), "numbered without gaps");
                assert_eq!(attempts.len(), delivery.attempts as usize);
                assert!(attempts.iter().any(|attempt| attempt.outcome == Outcome::Delivered));
            }
            count += page.items.len();
            match page.next {
                Some(next) => query.before = Some(DeliveryId::from_raw(next)),
                None => break,
            }
        }
        assert!(count >= self.accepted, "{count} of {} are there", self.accepted);
        let attempts: u64 = store.counts().await.unwrap().iter().map(|counts| counts.counts.attempts).sum();
        assert!(attempts >= self.seen().len() as u64, "what was sent is on record: {attempts} of {}", self.seen().len());
    }

    fn check_ceilings(&self) {
        for (host, ceiling) in &self.ceilings {
            let start = self.clock.instant() - self.clock.now().since("2026-11-22T12:00:00Z".parse().unwrap());
            let of_host = self.seen().into_iter().filter(|seen| seen.host == *host);
            let times: Vec<u64> = of_host.map(|seen| seen.at.duration_since(start).as_millis() as u64).collect();
            let most = most_within(&times, 1_000);
            assert!(most <= *ceiling, "{most} requests to {host} within a second, at most {ceiling} are allowed");
        }
    }

    /// Of one action's deliveries a later one is first seen after the first answer to the earlier one.
    fn check_order(&self) {
        let mut first: HashMap<(String, String), Vec<u64>> = HashMap::new();
        let mut answered: HashMap<(String, u64), Instant> = HashMap::new();
        for seen in self.seen().iter().filter(|seen| seen.host.starts_with("ordered")) {
            if let Some(over) = seen.over {
                let earliest = answered.entry((seen.host.clone(), seen.number)).or_insert(over);
                *earliest = over.min(*earliest);
            }
        }
        for seen in self.seen().iter().filter(|seen| seen.host.starts_with("ordered")) {
            let numbers = first.entry((seen.host.clone(), seen.action.clone())).or_default();
            if numbers.contains(&seen.number) {
                continue;
            }
            if let Some(earlier) = numbers.last() {
                assert!(*earlier < seen.number, "{}: {earlier} was sent before {}", seen.host, seen.number);
                let answer = answered.get(&(seen.host.clone(), *earlier));
                assert!(
                    answer.is_some_and(|answer| *answer <= seen.at),
                    "{}: {} was sent before {earlier} was answered",
                    seen.host,
                    seen.number
                );
            }
            numbers.push(seen.number);
        }
    }

    /// What is sent again was in flight when its node was disturbed.
    fn check_repeats(&self) {
        let faults = self.audit.faults.lock().unwrap();
        let mut last: HashMap<(String, u64), Seen> = HashMap::new();
        for seen in self.seen().into_iter().filter(|seen| !seen.host.contains("flaky")) {
            if let Some(before) = last.insert((seen.host.clone(), seen.number), seen.clone()) {
                let over = before.over.map(|over| over + SLACK);
                let excused = |(life, from, until): &(usize, Instant, Instant)| {
                    *life == before.life && *until + SLACK >= before.at && over.is_none_or(|over| *from <= over)
                };
                assert!(faults.iter().any(excused), "{} {} was sent again without need: {before:?} {seen:?}", seen.host, seen.number);
            }
        }
    }
}

async fn open_queue(store: Arc<dyn Store>, clock: Arc<dyn Clock>, tag: u64) -> Arc<Queue> {
    let vault = Vault::new(MasterKeys::draw(&SeededRng::new(7)), Arc::new(SeededRng::new(tag)));
    Arc::new(Queue::open(store, clock, tag, Duration::from_secs(86_400), vault).await.unwrap())
}

fn lanes() -> Vec<(&'static str, Value)> {
    vec![
        ("plain", json!({})),
        ("plain-slow", json!({})),
        ("paced", json!({"max_requests_per_second": 5})),
        ("paced-slow", json!({"max_requests_per_second": 20})),
        ("paced-one", json!({"max_requests_per_second": 1})),
        ("ordered", json!({"order": "action"})),
        ("ordered-slow", json!({"order": "action"})),
        ("ordered-paced", json!({"order": "action", "max_requests_per_second": 10})),
        ("flaky", json!({"max_requests_per_second": 50})),
        ("delayed", json!({"minimum_delay_s": 7})),
    ]
}

/// Answers late where the name says so, and fails now and then where it says so.
fn answer(seed: u64, request: &SentRequest) -> Scripted {
    let url = &request.url;
    let (_, attempt) = request.headers.iter().find(|(name, _)| name == "Postrider-Attempt").unwrap();
    let hash = url.bytes().chain(attempt.bytes()).fold(seed, |hash, byte| mix(hash ^ u64::from(byte)));
    if url.contains("slow") {
        Scripted::status(200).after(Duration::from_millis(300 + hash % 4_000))
    } else if url.contains("flaky") {
        Scripted::status(if mix(hash ^ 1).is_multiple_of(3) { 503 } else { 200 }).after(Duration::from_millis(hash % 200))
    } else {
        Scripted::status(200).after(Duration::from_millis(hash % 40))
    }
}

async fn run(seed: u64) -> Vec<(usize, String, u64)> {
    let rng = SeededRng::new(seed);
    let below = |limit: u64| rng.bits() % limit;
    let transport = ScriptedTransport::answering(move |request| answer(seed, request));
    let mut cluster = Cluster::new(seed, transport, &lanes()).await;
    for _ in 0..3 {
        cluster.join().await;
    }
    for _ in 0..120 {
        let place = below(cluster.lives.len() as u64) as usize;
        match below(16) {
            0 | 1 => {
                cluster.kill(place).await;
                if below(2) == 0 || cluster.lives.is_empty() {
                    cluster.join().await;
                }
            }
            2 | 3 => cluster.cut(place),
            4 | 5 => cluster.mend(place),
            6 if cluster.lives.len() < 5 => drop(cluster.join().await),
            7 if cluster.lives.len() > 1 => cluster.leave(place).await,
            8 => cluster.advance(Duration::from_secs(below(40))).await,
            _ => {
                for _ in 0..below(8) {
                    cluster.emit(place, below(4)).await;
                }
            }
        }
        cluster.advance(Duration::from_millis(below(3_000))).await;
    }
    for place in 0..cluster.lives.len() {
        cluster.mend(place);
    }
    cluster.advance(Duration::from_secs(1_200)).await;
    cluster.check().await;
    cluster.assert_even();
    cluster.seen().into_iter().map(|seen| (seen.life, seen.host, seen.number)).collect()
}

#[tokio::test(start_paused = true)]
async fn random_clusters_keep_the_promises() {
    let seeds: Vec<u64> = match (std::env::var("POSTRIDER_SIM_SEED"), std::env::var("POSTRIDER_SIM_SEEDS")) {
        (Ok(seed), _) => vec![seed.parse().unwrap()],
        (_, Ok(count)) => (0..count.parse().unwrap()).collect(),
        _ => (0..10).collect(),
    };
    for seed in seeds {
        println!("seed {seed}");
        run(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_cluster() {
    let (first, second) = (run(3).await, run(3).await);
    let differs = first.iter().zip(&second).position(|(one, other)| one != other);
    assert_eq!((first.len(), None), (second.len(), differs));
}

/// A cluster of `nodes` with so many plain lanes, settled.
async fn settled(nodes: usize, lanes: usize) -> Cluster {
    let names: Vec<_> = (0..lanes).map(|number| format!("plain-{number}")).collect();
    let subscriptions: Vec<_> = names.iter().map(|name| (name.as_str(), json!({}))).collect();
    let mut cluster = Cluster::new(1, ScriptedTransport::new(), &subscriptions).await;
    for _ in 0..nodes {
        cluster.join().await;
    }
    cluster.advance(Duration::from_secs(11)).await;
    cluster.assert_even();
    cluster
}

#[tokio::test(start_paused = true)]
async fn lanes_spread_evenly_and_a_node_that_joins_has_its_share_within_two_renewals() {
    let mut cluster = settled(2, 100).await;
    cluster.join().await;
    cluster.advance(TTL * 2 / 3).await;
    let mut owned = cluster.owned();
    owned.sort_unstable();
    assert_eq!(owned, [33, 33, 34]);
}

#[tokio::test(start_paused = true)]
async fn four_lanes_on_three_nodes_leave_none_idle() {
    let cluster = settled(3, 4).await;
    let mut owned = cluster.owned();
    owned.sort_unstable();
    assert_eq!(owned, [1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_in_order_hands_over_at_once_and_repeats_nothing() {
    let mut cluster = settled(2, 20).await;
    for action in 0..30 {
        cluster.emit(0, action).await;
    }
    cluster.leave(0).await;
    cluster.advance(Duration::from_millis(200)).await;
    cluster.assert_even();
    cluster.advance(Duration::from_secs(60)).await;
    cluster.check().await;
    assert_eq!(cluster.seen().len(), 600);
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_does_not_hold_up_the_handing_over_of_other_lanes() {
    let transport = ScriptedTransport::new();
    transport.on("https://slow.example/", [Scripted::status(200).after(Duration::from_secs(9))]);
    let mut cluster = Cluster::new(1, transport, &[("slow", json!({})), ("plain", json!({}))]).await;
    cluster.join().await;
    cluster.advance(Duration::from_secs(1)).await;
    cluster.emit(0, 1).await;
    cluster.join().await;
    cluster.advance(Duration::from_secs(1)).await;
    cluster.lives[0].stop.cancel();
    cluster.advance(Duration::from_secs(1)).await;
    assert_eq!(cluster.owned(), [1, 1]);
    cluster.advance(Duration::from_secs(9)).await;
    assert_eq!(cluster.owned(), [0, 2]);
    cluster.lives.remove(0);
    cluster.check().await;
    assert_eq!(cluster.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_lanes_of_a_node_that_dies_go_on_elsewhere_within_the_lease() {
    let mut cluster = settled(3, 30).await;
    cluster.kill(1).await;
    cluster.emit(0, 1).await;
    cluster.advance(TTL + TTL / 3 + Duration::from_secs(1)).await;
    cluster.assert_even();
    cluster.check().await;
    assert_eq!(cluster.seen().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_when_a_node_died_is_recorded_as_unknown_and_sent_again() {
    let transport = ScriptedTransport::answering(|_| Scripted::status(200).after(Duration::from_secs(3)));
    let mut cluster = Cluster::new(1, transport, &[("plain", json!({}))]).await;
    cluster.join().await;
    cluster.advance(Duration::from_secs(1)).await;
    cluster.emit(0, 1).await;
    cluster.advance(Duration::from_secs(1)).await;
    cluster.kill(0).await;
    cluster.join().await;
    cluster.advance(Duration::from_secs(40)).await;
    cluster.check().await;
    let page = cluster.shared.store.deliveries(&DeliveryQuery { limit: 1, ..DeliveryQuery::default() }).await.unwrap();
    let attempts = cluster.shared.store.attempts(page.items[0].id).await.unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_stops_before_its_leases_end_and_records_what_it_delivered_when_it_is_back() {
    let transport = ScriptedTransport::answering(|_| Scripted::status(200).after(Duration::from_secs(8)));
    let mut cluster = Cluster::new(1, transport, &[("plain", json!({}))]).await;
    cluster.join().await;
    cluster.advance(Duration::from_secs(1)).await;
    cluster.emit(0, 1).await;
    cluster.advance(Duration::from_secs(1)).await;
    cluster.cut(0);
    cluster.join().await;
    // The other node owns the lane now and sends again what it takes for unknown.
    cluster.advance(Duration::from_secs(21)).await;
    assert_eq!(cluster.owned(), [0, 1]);
    cluster.mend(0);
    cluster.advance(Duration::from_secs(60)).await;
    cluster.check().await;
    assert_eq!(cluster.seen().len(), 2);
    let page = cluster.shared.store.deliveries(&DeliveryQuery { limit: 1, ..DeliveryQuery::default() }).await.unwrap();
    let attempts = cluster.shared.store.attempts(page.items[0].id).await.unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Delivered, Outcome::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_is_shorter_than_the_lease_and_one_that_nobody_used_move_and_repeat_nothing() {
    let mut cluster = settled(1, 10).await;
    for seconds in [3, 10, 120] {
        for action in 0..10 {
            cluster.emit(0, action).await;
        }
        cluster.cut(0);
        cluster.advance(Duration::from_secs(seconds)).await;
        cluster.mend(0);
        cluster.advance(Duration::from_secs(30)).await;
    }
    cluster.check().await;
    assert_eq!(cluster.seen().len(), 300);
}
