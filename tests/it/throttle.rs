//! Guessing keys is slow, and disturbs nobody else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postrider::api::{ApiState, Gate, Inbound, InboundSettings, MetricsReaders, Pulse, Readiness, TrialLimit, router};
use postrider::clock::{Clock, SystemClock, Timestamp};
use postrider::cluster::SoleNode;
use postrider::id::NodeId;
use postrider::queue::{Key, Queue};
use postrider::request::guard::{Guard, GuardSettings};
use postrider::request::send::ScriptedTransport;
use postrider::rng::SystemRng;
use postrider::secret::{MasterKeys, Vault};
use postrider::store::{EmbeddedStore, MemoryKv, StoreOptions};
use serde_json::json;
use tokio::time::Instant;

use super::http::Client;
use super::server::Running;

/// A clock that the test moves.
#[derive(Debug)]
struct TestClock {
    started: Instant,
    passed: Mutex<Duration>,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_732_233_600_000).after(*self.passed.lock().unwrap())
    }

    fn instant(&self) -> Instant {
        self.started + *self.passed.lock().unwrap()
    }
}

/// The API alone, over a store in memory, at the time of `clock`, with an operator's client.
async fn api(clock: Arc<TestClock>) -> Client {
    api_with(clock, Pulse::default()).await
}

/// The same with a dispatcher's pulse.
async fn api_with(clock: Arc<TestClock>, pulse: Pulse) -> Client {
    let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
    let store = Arc::new(EmbeddedStore::inline(MemoryKv::default(), options).unwrap());
    let vault = Vault::new(MasterKeys::draw(&SystemRng), Arc::new(SystemRng));
    let queue = Arc::new(Queue::open(store, clock.clone(), 7, Duration::from_secs(86_400), vault).await.unwrap());
    let key = "a key for this test alone";
    let state = ApiState {
        metrics: MetricsReaders::Loopback,
        pulse,
        gate: Arc::new(Gate::new(Key::of_operator(key, clock.now(), queue.operator_last_use()), 20, Vec::new())),
        queue,
        transport: Arc::new(ScriptedTransport::new()),
        guard: Guard::new(GuardSettings::default()),
        clock,
        rng: Arc::new(SystemRng),
        inbound: Arc::new(Inbound::new(InboundSettings {
            reports_per_second: 100,
            clicks_per_second: 100,
            country_header: None,
            public_url: None,
        })),
        body_bytes_max: 100_000,
        egress_addresses: [].into(),
        body_time_max: Duration::from_secs(60),
        subscriptions_per_account_max: 100,
        trial_limit: Arc::new(TrialLimit::new(60)),
        ready: Readiness::default(),
        leases: Arc::new(SoleNode::new(Arc::new(SystemClock))),
        node: NodeId::from_raw(1),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    Client { address, key: key.into() }
}

#[tokio::test]
async fn h1_guesses_are_turned_away_after_twenty_and_valid_keys_are_not() {
    let clock = Arc::new(TestClock { started: SystemClock.instant(), passed: Mutex::default() });
    let operator = api(clock.clone()).await;
    let guesser = Client { key: "wrong".into(), ..operator.clone() };
    for number in 0..20 {
        assert_eq!(guesser.get("/v1/me").await.status, 401, "guess {number}");
    }
    *clock.passed.lock().unwrap() += Duration::from_secs(18);
    let turned_away = guesser.get("/v1/me").await;
    assert_eq!((turned_away.status, turned_away.json()["code"].clone()), (429, json!("too_many_failures")));
    assert_eq!(turned_away.header("retry-after"), Some("42"));
    assert_eq!(operator.get("/v1/me").await.status, 200, "the same address with a valid key");
    let nobody = Client { key: String::new(), ..operator.clone() };
    assert_eq!(nobody.get("/v1/me").await.status, 401, "who sends no key guesses none");
    *clock.passed.lock().unwrap() += Duration::from_secs(42);
    assert_eq!(guesser.get("/v1/me").await.status, 401, "the minute is over");
    let entries = operator.get("/v1/audit?action=authentication.failed").await.json()["data"].clone();
    let noted: Vec<_> = entries.as_array().unwrap().iter().map(|entry| entry["actor"].clone()).collect();
    let actor = json!({"key": null, "name": null, "address": "127.0.0.1"});
    assert_eq!(noted, [actor.clone(), actor], "one entry a minute and address");
}

#[tokio::test]
async fn a_key_expires_at_its_time() {
    let clock = Arc::new(TestClock { started: SystemClock.instant(), passed: Mutex::default() });
    let operator = api(clock.clone()).await;
    let body = json!({"name": "x", "scope": "read", "expires_at": clock.now().after(Duration::from_secs(10))});
    let created = operator.post("/v1/keys", body).await.json();
    let holder = Client { key: created["key"].as_str().unwrap().to_owned(), ..operator.clone() };
    *clock.passed.lock().unwrap() += Duration::from_millis(9_999);
    assert_eq!(holder.get("/v1/me").await.status, 200);
    *clock.passed.lock().unwrap() += Duration::from_millis(1);
    let refused = holder.get("/v1/me").await;
    assert_eq!((refused.status, refused.json()["detail"].as_str().unwrap().contains("expired")), (401, true));
}

#[tokio::test]
async fn the_address_behind_a_trusted_proxy_is_counted() {
    for (trusted, second) in [(vec!["127.0.0.0/8".parse().unwrap()], 401), (Vec::new(), 429)] {
        let running = Running::with(|settings| {
            settings.store = "memory:".into();
            settings.authentication_failures_per_minute = 1;
            settings.trusted_proxies = trusted;
        })
        .await;
        let guesser = Client { key: "wrong".into(), ..running.client.clone() };
        let from = async |address| guesser.send("GET", "/v1/me", &[("X-Forwarded-For", address)], b"").await.status;
        assert_eq!((from("198.51.100.1").await, from("198.51.100.2").await), (401, second));
        assert_eq!(from("198.51.100.1").await, 429);
    }
}

#[tokio::test]
async fn l2_a_dispatcher_that_hangs_is_told_by_the_liveness() {
    let clock = Arc::new(TestClock { started: SystemClock.instant(), passed: Mutex::default() });
    let pulse = Pulse::default();
    let operator = api_with(clock.clone(), pulse.clone()).await;
    assert_eq!(operator.get("/healthz").await.status, 200, "it has not begun yet");
    pulse.beat(clock.instant());
    *clock.passed.lock().unwrap() += Duration::from_secs(30);
    assert_eq!(operator.get("/healthz").await.status, 200);
    *clock.passed.lock().unwrap() += Duration::from_secs(1);
    assert_eq!(operator.get("/healthz").await.status, 503);
    pulse.beat(clock.instant());
    assert_eq!(operator.get("/healthz").await.status, 200);
}
