//! A store of any engine with a clock that the test moves, and short words for what tests say often.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postrider::attempt::{Attempt, Outcome, ReceivedResponse, SentRequest};
use postrider::clock::{Clock, SystemClock, Timestamp};
use postrider::delivery::{DeadReason, Delivery, DeliveryState, Next, OrderKey, StateName};
use postrider::event::{EventData, IdempotencyKey, fingerprint};
use postrider::id::{AttemptId, DeliveryId, SubscriptionId};
use postrider::store::{
    Accepted, Counts, DeliveryQuery, Direction, DocumentKind, DocumentQuery, DuePage, DueRow, EmbeddedStore, Engine, EventQuery,
    FolderLock, KeyRange, Kv, MemoryKv, NewDelivery, NewEvent, NewKey, Settlement, Store, StoreOptions, Tree, open, open_folder,
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::database::Database;

/// The engines that the suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    MemoryInline,
    Memory,
    Sled,
    Redb,
    Postgres,
    /// The same behind a pooler in transaction mode.
    Pooled,
}

/// Runs each test on each engine.
macro_rules! on_every_engine {
    ($($name:ident),* $(,)?) => {
        crate::store::world::on_every_embedded_engine!($($name),*);
        crate::store::world::on_engine!(@ postgres Postgres, $($name),*);
    };
}
pub(crate) use on_every_engine;

/// Runs each test on each engine, and on a database behind a pooler too.
macro_rules! on_every_engine_and_pooled {
    ($($name:ident),* $(,)?) => {
        crate::store::world::on_every_engine!($($name),*);
        crate::store::world::on_engine!(@ pooled Pooled, $($name),*);
    };
}
pub(crate) use on_every_engine_and_pooled;

/// Runs each test on each engine of keys and values.
macro_rules! on_every_embedded_engine {
    ($($name:ident),* $(,)?) => {
        crate::store::world::on_engine!(@ memory_inline MemoryInline, $($name),*);
        crate::store::world::on_engine!(@ memory Memory, $($name),*);
        crate::store::world::on_engine!(@ sled Sled, $($name),*);
        crate::store::world::on_engine!(@ redb Redb, $($name),*);
    };
}
pub(crate) use on_every_embedded_engine;

macro_rules! on_engine {
    (@ $module:ident $kind:ident, $($name:ident),*) => {
        mod $module {
            use crate::store::world::{Kind, World};
            $(#[tokio::test]
            async fn $name() {
                super::$name(World::new(Kind::$kind)).await;
            })*
        }
    };
}
pub(crate) use on_engine;

/// 22 November 2024, about midnight.
pub const START: Timestamp = Timestamp::from_unix_ms(1_732_233_600_000);

/// Seconds after [`START`].
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(START.unix_ms() + seconds * 1_000)
}

/// A clock that stands until the test moves it.
#[derive(Debug)]
pub struct TestClock {
    started: Instant,
    passed: Mutex<Duration>,
}

impl TestClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { started: SystemClock.instant(), passed: Mutex::default() })
    }

    pub fn advance(&self, by: Duration) {
        *self.passed.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        START.after(*self.passed.lock().unwrap())
    }

    fn instant(&self) -> Instant {
        self.started + *self.passed.lock().unwrap()
    }
}

#[derive(Debug)]
pub struct World {
    pub kind: Kind,
    pub clock: Arc<TestClock>,
    pub options: StoreOptions,
    pub folder: TempDir,
    memory: MemoryKv,
    store: Option<Box<dyn Store>>,
    lock: Option<FolderLock>,
    pub database: Option<Database>,
}

impl World {
    pub fn new(kind: Kind) -> Self {
        Self::with(kind, |_| ())
    }

    /// A world whose store has other options.
    pub fn with(kind: Kind, change: impl FnOnce(&mut StoreOptions)) -> Self {
        let clock = TestClock::new();
        let mut options = StoreOptions { tag: 7, clock: clock.clone(), node: Some("test".into()), ..StoreOptions::default() };
        change(&mut options);
        let folder = tempfile::tempdir().unwrap();
        let database = matches!(kind, Kind::Postgres | Kind::Pooled).then(Database::create);
        let mut world = Self { kind, clock, options, folder, memory: MemoryKv::default(), store: None, lock: None, database };
        world.open();
        world
    }

    /// The engine alone; the lock is kept until the next call.
    pub fn kv(&mut self) -> Arc<dyn Kv> {
        let engine = match self.kind {
            Kind::MemoryInline | Kind::Memory => return Arc::new(self.memory.clone()),
            Kind::Sled => Engine::Sled,
            Kind::Redb => Engine::Redb,
            Kind::Postgres | Kind::Pooled => panic!("a database has no keys and values; ask it for its rows"),
        };
        self.lock = None;
        let (kv, lock) = open_folder(engine, &self.folder.path().join("data"), 8 << 20).unwrap();
        self.lock = Some(lock);
        kv
    }

    fn open(&mut self) {
        let options = self.options.clone();
        if let Some(database) = &self.database {
            let url = if self.kind == Kind::Pooled { database.pooled_url() } else { database.url.clone() };
            self.store = Some(open(&url, options).unwrap());
            return;
        }
        let kv = Shared(self.kv());
        let store = if self.kind == Kind::MemoryInline { EmbeddedStore::inline(kv, options) } else { EmbeddedStore::threaded(kv, options) };
        self.store = Some(Box::new(store.unwrap()));
    }

    /// How many rows of a tree, or of the table that takes its place, are stored.
    pub async fn rows(&mut self, tree: Tree) -> usize {
        if let Some(database) = &self.database {
            let table = match tree {
                Tree::KeyExpiry => "keys",
                Tree::Order => "orders",
                other => other.name(),
            };
            return database.run(&format!("SELECT count(*) FROM postrider.{table}"))[0].parse().unwrap();
        }
        self.close().await;
        let kv = self.kv();
        let mut rows = 0;
        kv.scan(tree, KeyRange::ALL, Direction::Forward, &mut |_, _| {
            rows += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        kv.close().unwrap();
        drop(kv);
        self.reopen().await;
        rows
    }

    /// Stops the store as a kill would.
    pub fn kill(&mut self) {
        self.store = None;
    }

    /// Closes the store if it is open.
    pub async fn close(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().await.unwrap();
        }
    }

    pub async fn reopen(&mut self) {
        self.close().await;
        self.open();
    }

    pub fn reopen_after_kill(&mut self) {
        self.kill();
        self.open();
    }

    pub fn store(&self) -> &dyn Store {
        &**self.store.as_ref().unwrap()
    }

    pub async fn accept(&self, event: NewEvent) -> Accepted {
        self.store().accept(vec![event]).await.unwrap().remove(0)
    }

    /// Accepts an event that owes one delivery to `to`, due at once; answers its id.
    pub async fn owe(&self, to: u128) -> DeliveryId {
        self.accept(event().to(to)).await.deliveries[0]
    }

    pub async fn delivery(&self, id: DeliveryId) -> Delivery {
        self.store().delivery(id).await.unwrap().unwrap()
    }

    pub async fn state(&self, id: DeliveryId) -> StateName {
        self.delivery(id).await.state.name()
    }

    /// What is due for `to` at `until`.
    pub async fn page(&self, to: u128, until: Timestamp, skip: &[DeliveryId], limit: usize) -> DuePage {
        let skip: HashSet<DeliveryId> = skip.iter().copied().collect();
        self.store().due(sub(to), until, &skip, limit).await.unwrap()
    }

    /// The deliveries that are due for `to` at `until`.
    pub async fn due(&self, to: u128, until: Timestamp) -> Vec<DeliveryId> {
        self.page(to, until, &[], 1_000).await.rows.iter().map(|row| row.delivery).collect()
    }

    /// The row of a delivery that is due some time.
    pub async fn row(&self, to: u128, id: DeliveryId) -> DueRow {
        let page = self.page(to, Timestamp::from_unix_ms(i64::MAX), &[], 10_000).await;
        page.rows.into_iter().find(|row| row.delivery == id).unwrap()
    }

    /// Settles a delivery as a lane does: with the due time of its row.
    pub async fn settle(&self, to: u128, id: DeliveryId, next: Next, when: Timestamp) -> Option<Delivery> {
        let row = self.row(to, id).await;
        self.settle_row(to, &row, next, when).await
    }

    pub async fn settle_row(&self, to: u128, row: &DueRow, next: Next, when: Timestamp) -> Option<Delivery> {
        self.store().settle(settlement(to, row, next, when)).await.unwrap()
    }

    pub async fn counts(&self, of: u128) -> Counts {
        let all = self.store().counts().await.unwrap();
        all.into_iter().find(|counts| counts.subscription == sub(of)).map_or_else(Counts::default, |counts| counts.counts)
    }

    /// Fails unless the counts are what the stored deliveries add up to.
    pub async fn check_counts(&self) {
        let mut stored = self.store().counts().await.unwrap();
        for entry in &mut stored {
            let query = DeliveryQuery { subscription: Some(entry.subscription), limit: 100_000, ..DeliveryQuery::default() };
            let page = self.store().deliveries(&query).await.unwrap();
            assert_eq!(page.next, None, "too many to count in a test");
            assert_eq!(entry.counts, counted(&page.items), "{:?}", entry.subscription);
        }
    }

    /// All that can be read, for comparing before and after.
    pub async fn everything(&self) -> String {
        let store = self.store();
        let events = store.events(&EventQuery { limit: 1_000, ..EventQuery::default() }).await.unwrap().items;
        let deliveries = store.deliveries(&DeliveryQuery { limit: 1_000, ..DeliveryQuery::default() }).await.unwrap().items;
        let mut text = format!("{events:?}\n{deliveries:?}\n");
        for delivery in deliveries {
            text += &format!("{:?}\n", store.attempts(delivery.id).await.unwrap());
        }
        for counts in store.counts().await.unwrap() {
            let page = store.due(counts.subscription, Timestamp::from_unix_ms(i64::MAX), &HashSet::new(), 1_000).await.unwrap();
            let rows: Vec<_> = page.rows.iter().map(|row| (row.delivery, row.due_at, row.attempts, row.template_version)).collect();
            text += &format!("{counts:?} {rows:?}\n");
        }
        for kind in DocumentKind::ALL {
            let query =
                DocumentQuery { kind, prefix: String::new(), after: None, before: None, direction: Direction::Forward, limit: 1_000 };
            text += &format!("{:?}\n", store.documents(&query).await.unwrap());
        }
        text + &format!("{:?}", store.configuration().await.unwrap())
    }
}

fn counted(deliveries: &[Delivery]) -> Counts {
    let mut counts = Counts::default();
    for delivery in deliveries {
        counts.attempts += u64::from(delivery.attempts);
        match delivery.state {
            DeliveryState::Pending { .. } | DeliveryState::Leased { .. } => counts.waiting += 1,
            DeliveryState::Delivered { .. } => counts.delivered += 1,
            DeliveryState::Dead { .. } => counts.dead += 1,
            DeliveryState::Cancelled { .. } => counts.cancelled += 1,
        }
    }
    counts
}

/// An engine behind a pointer.
#[derive(Debug)]
pub struct Shared(pub Arc<dyn Kv>);

impl Kv for Shared {
    fn get(&self, tree: postrider::store::Tree, key: &[u8]) -> Result<Option<Vec<u8>>, postrider::store::KvError> {
        self.0.get(tree, key)
    }
    fn scan(
        &self,
        tree: postrider::store::Tree,
        range: postrider::store::KeyRange<'_>,
        direction: postrider::store::Direction,
        visit: &mut postrider::store::Visit<'_>,
    ) -> Result<(), postrider::store::KvError> {
        self.0.scan(tree, range, direction, visit)
    }
    fn write(&self, batch: postrider::store::Batch) -> Result<(), postrider::store::KvError> {
        self.0.write(batch)
    }
    fn sync(&self) -> Result<(), postrider::store::KvError> {
        self.0.sync()
    }
    fn writes_max(&self) -> usize {
        self.0.writes_max()
    }
    fn close(&self) -> Result<(), postrider::store::KvError> {
        self.0.close()
    }
}

pub fn sub(number: u128) -> SubscriptionId {
    SubscriptionId::from_raw(number)
}

pub fn order(number: u8) -> OrderKey {
    [number; 16]
}

/// An event of account `acme` that came in at [`START`] and owes nothing to anybody.
pub fn event() -> NewEvent {
    NewEvent {
        account: "acme".parse().unwrap(),
        event_type: "action.tracked".parse().unwrap(),
        key: None,
        occurred_at: START,
        received_at: START,
        data: EventData::parse(r#"{"ActionId":"1000.1","Payout":5.00}"#).unwrap().into(),
        deliveries: Vec::new(),
        documents: Vec::new(),
    }
}

/// What tests change of an event.
pub trait Build {
    fn to(self, subscription: u128) -> Self;
    fn to_later(self, subscription: u128, due_at: Timestamp) -> Self;
    fn to_in_order(self, subscription: u128, key: u8) -> Self;
    fn data(self, text: &str) -> Self;
    fn key(self, text: &str) -> Self;
    fn received(self, moment: Timestamp) -> Self;
    fn account(self, account: &str) -> Self;
    fn event_type(self, event_type: &str) -> Self;
}

impl Build for NewEvent {
    fn to(self, subscription: u128) -> Self {
        let due_at = self.received_at;
        self.to_later(subscription, due_at)
    }

    fn to_later(mut self, subscription: u128, due_at: Timestamp) -> Self {
        self.deliveries.push(NewDelivery { subscription: sub(subscription), template_version: 1, due_at, order_key: None });
        self
    }

    fn to_in_order(mut self, subscription: u128, key: u8) -> Self {
        let due_at = self.received_at;
        self.deliveries.push(NewDelivery { subscription: sub(subscription), template_version: 1, due_at, order_key: Some(order(key)) });
        self
    }

    fn data(self, text: &str) -> Self {
        Self { data: EventData::parse(text).unwrap().into(), ..self }
    }

    /// With this key, for 30 days. Comes last: it depends on the content.
    fn key(self, text: &str) -> Self {
        let text: IdempotencyKey = text.parse().unwrap();
        let digest = text.digest(&self.account);
        let fingerprint = fingerprint(&self.event_type, None, &self.data);
        let expires_at = self.received_at.after(Duration::from_secs(30 * 86_400));
        Self { key: Some(NewKey { text, digest, fingerprint, expires_at }), ..self }
    }

    fn received(self, moment: Timestamp) -> Self {
        Self { occurred_at: moment, received_at: moment, ..self }
    }

    fn account(self, account: &str) -> Self {
        Self { account: account.parse().unwrap(), ..self }
    }

    fn event_type(self, event_type: &str) -> Self {
        Self { event_type: event_type.parse().unwrap(), ..self }
    }
}

/// The next attempt of a leased row, with this end.
pub fn settlement(to: u128, row: &DueRow, next: Next, when: Timestamp) -> Settlement {
    let number = row.attempts + 1;
    let attempt = Attempt {
        id: AttemptId::from_raw(row.delivery.raw() << 8 | u128::from(number)),
        number,
        started_at: when,
        duration_ms: 12,
        outcome: if next == Next::Delivered { Outcome::Delivered } else { Outcome::UnexpectedResponse },
        reason: "status 200".into(),
        request: Some(SentRequest {
            method: "POST".into(),
            url: "https://example.com/postback?a=1".into(),
            headers: vec![("accept".into(), "*/*".into())],
            body: b"a=1".to_vec(),
        }),
        response: Some(ReceivedResponse {
            status: 200,
            headers: vec![("server".into(), "x".into())],
            body: b"OK".to_vec(),
            truncated: false,
        }),
        possible_repeat: false,
        next_due_at: None,
    };
    Settlement { delivery: row.delivery, subscription: sub(to), leased_due_at: row.due_at, attempt, next, at: when, epoch: None }
}

pub const EXHAUSTED: Next = Next::Dead(DeadReason::Exhausted);
