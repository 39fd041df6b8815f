//! A whole Postrider without network, disk or wall clock: an inline store in memory, a scripted
//! transport, and a clock that moves only when the test waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postrider::attempt::{Attempt, Outcome};
use postrider::clock::{Clock, ScriptedClock, Timestamp};
use postrider::cluster::Turn;
use postrider::delivery::{Delivery, StateName};
use postrider::dispatcher::{Dispatcher, DispatcherSettings, FailingRule, Heartbeat};
use postrider::event::EventData;
use postrider::id::{DeliveryId, SubscriptionId};
use postrider::queue::{Accepted, Account, Actor, DeliveryQuery, IncomingEvent, Queue, run_replays};
use postrider::request::send::ScriptedTransport;
use postrider::rng::SeededRng;
use postrider::secret::{MasterKeys, Vault};
use postrider::store::{EmbeddedStore, MemoryKv, Store, StoreOptions};
use postrider::subscription::SubscriptionSpec;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub struct World {
    pub clock: Arc<ScriptedClock>,
    pub transport: ScriptedTransport,
    pub queue: Arc<Queue>,
    pub settings: DispatcherSettings,
    store: Arc<dyn Store>,
    dispatcher: Option<(JoinHandle<()>, CancellationToken)>,
    replays: Option<JoinHandle<()>>,
    /// How often the dispatcher has shown that it is alive.
    pub beats: Arc<AtomicUsize>,
    adjust: Option<watch::Sender<DispatcherSettings>>,
    lives: u64,
}

impl World {
    /// A world with the account `acme` and a running dispatcher, at noon of a day.
    pub async fn new() -> Self {
        Self::with(DispatcherSettings::default(), ScriptedTransport::new()).await
    }

    /// A world in which no receiver ever counts as failing.
    pub async fn patient() -> Self {
        let failing = FailingRule { after: 0, ..FailingRule::default() };
        Self::with(DispatcherSettings { failing, ..DispatcherSettings::default() }, ScriptedTransport::new()).await
    }

    pub async fn with(settings: DispatcherSettings, transport: ScriptedTransport) -> Self {
        let clock = Arc::new(ScriptedClock::starting_at("2026-11-22T12:00:00Z".parse().unwrap()));
        let options = StoreOptions { tag: 1, clock: clock.clone(), ..StoreOptions::default() };
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::inline(MemoryKv::default(), options).unwrap());
        let queue = open_queue(&store, &clock, 1).await;
        let mut world = Self {
            clock,
            transport,
            queue,
            settings,
            store,
            dispatcher: None,
            replays: None,
            beats: Arc::default(),
            adjust: None,
            lives: 1,
        };
        let account = Account { fields: vec!["Number".into()], ..Account::new("acme".parse().unwrap(), "Acme", world.now()) };
        world.queue.create_account(&Actor::server(), account).await.unwrap();
        world.start();
        world
    }

    fn start(&mut self) {
        let stop = CancellationToken::new();
        let beats = self.beats.clone();
        let beat = move || {
            beats.fetch_add(1, Ordering::Relaxed);
        };
        let dispatcher = Dispatcher::new(self.queue.clone(), Arc::new(self.transport.clone()), self.clock.clone(), self.settings)
            .with_heartbeat(Heartbeat::new(Duration::from_secs(5), Arc::new(beat)));
        self.adjust = Some(dispatcher.adjust());
        self.dispatcher = Some((tokio::spawn(dispatcher.run(stop.clone())), stop));
        self.replays = Some(tokio::spawn(run_replays(self.queue.clone(), Turn::always())));
    }

    /// Ends the dispatcher with all its attempts, as a crash does, and starts another on the same store.
    pub async fn crash(&mut self) {
        let (dispatcher, _) = self.dispatcher.take().unwrap();
        for task in [Some(dispatcher), self.replays.take()].into_iter().flatten() {
            task.abort();
            let _ = task.await;
        }
        self.lives += 1;
        self.queue = open_queue(&self.store, &self.clock, self.lives).await;
        self.start();
    }

    /// Changes the settings of the running dispatcher.
    pub fn adjust(&mut self, settings: DispatcherSettings) {
        self.settings = settings;
        self.adjust.as_ref().unwrap().send_replace(settings);
    }

    /// Stops the dispatcher in order.
    pub async fn stop(&mut self) {
        let (dispatcher, stop) = self.dispatcher.take().unwrap();
        stop.cancel();
        dispatcher.await.unwrap();
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass; everything that falls due meanwhile happens in its order.
    pub async fn advance(&self, span: Duration) {
        let _ = tokio::time::timeout(span, std::future::pending::<()>()).await;
    }

    /// A subscription of `acme` to `action.*` at `https://<host>.example/`, changed by `patch`.
    pub async fn subscribe(&self, host: &str, patch: Value) -> SubscriptionId {
        let mut spec = json!({
            "account": "acme",
            "name": host,
            "event_types": ["action.*"],
            "request": {"url": format!("https://{host}.example/?id={{ActionId}}&n={{Number}}&s={{Status}}")},
            "retry": {"jitter": 0},
        });
        for (name, value) in patch.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let spec: SubscriptionSpec = serde_json::from_value(spec).unwrap();
        self.queue.create_subscription(&Actor::server(), spec).await.unwrap().subscription.id
    }

    /// Changes fields of a subscription.
    pub async fn change(&self, id: SubscriptionId, patch: Value) {
        self.queue
            .change_subscription(&Actor::server(), id, None, |present| {
                let mut spec = serde_json::to_value(present).unwrap();
                for (name, value) in patch.as_object().unwrap() {
                    spec[name] = value.clone();
                }
                Ok::<_, postrider::queue::ConfigureSubscriptionError>(serde_json::from_value(spec).unwrap())
            })
            .await
            .unwrap();
    }

    pub fn event(&self, action: &str, number: usize) -> IncomingEvent {
        let data = json!({"ActionId": action, "Number": number, "Status": "PENDING"}).to_string();
        IncomingEvent {
            account: "acme".parse().unwrap(),
            event_type: "action.tracked".parse().unwrap(),
            key: None,
            occurred_at: None,
            data: EventData::parse(&data).unwrap(),
        }
    }

    /// Reports one event about an action.
    pub async fn emit(&self, action: &str, number: usize) -> Accepted {
        self.queue.accept(vec![self.event(action, number)]).await.unwrap().remove(0)
    }

    /// Reports `count` events about different actions.
    pub async fn emit_many(&self, count: usize) {
        let events: Vec<_> = (0..count).map(|number| self.event(&format!("action-{number}"), number)).collect();
        for chunk in events.chunks(1_000) {
            self.queue.accept(chunk.to_vec()).await.unwrap();
        }
    }

    /// Virtual milliseconds since the world began at which requests to `host` were handed over.
    pub fn handed_over(&self, host: &str) -> Vec<u64> {
        let start = self.clock.instant() - self.now().since("2026-11-22T12:00:00Z".parse().unwrap());
        self.transport
            .requests_to(&format!("https://{host}.example/"))
            .iter()
            .map(|recorded| u64::try_from(recorded.at.duration_since(start).as_millis()).unwrap())
            .collect()
    }

    /// The query parameter `name` of every request to `host`, in order.
    pub fn sent(&self, host: &str, name: &str) -> Vec<String> {
        self.transport
            .requests_to(&format!("https://{host}.example/"))
            .iter()
            .map(|recorded| {
                let url = url::Url::parse(&recorded.request.url).unwrap();
                url.query_pairs().find(|(parameter, _)| parameter == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
            })
            .collect()
    }

    pub async fn delivery(&self, id: DeliveryId) -> Delivery {
        self.queue.delivery(id).await.unwrap().unwrap()
    }

    pub async fn state(&self, id: DeliveryId) -> StateName {
        self.delivery(id).await.state.name()
    }

    pub async fn outcomes(&self, id: DeliveryId) -> Vec<Outcome> {
        self.attempts(id).await.iter().map(|attempt| attempt.outcome).collect()
    }

    pub async fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        self.queue.attempts(id).await.unwrap()
    }

    /// Every delivery, newest first.
    pub async fn deliveries(&self) -> Vec<Delivery> {
        let mut query = DeliveryQuery { limit: 200, ..DeliveryQuery::default() };
        let mut found = Vec::new();
        loop {
            let page = self.queue.deliveries(&query).await.unwrap();
            found.extend(page.items);
            match page.next {
                Some(next) => query.before = Some(DeliveryId::from_raw(next)),
                None => return found,
            }
        }
    }
}

async fn open_queue(store: &Arc<dyn Store>, clock: &Arc<ScriptedClock>, tag: u64) -> Arc<Queue> {
    // The same keys in every life.
    let vault = Vault::new(MasterKeys::draw(&SeededRng::new(7)), Arc::new(SeededRng::new(tag)));
    Arc::new(Queue::open(store.clone(), clock.clone(), tag, Duration::from_secs(86_400), vault).await.unwrap())
}

/// The most requests within any half-open window of `span_ms`, by the times of the requests.
pub fn most_within(times_ms: &[u64], span_ms: u64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (index, at) in times_ms.iter().enumerate() {
        while at - times_ms[first] >= span_ms {
            first += 1;
        }
        most = most.max(index - first + 1);
    }
    most
}
