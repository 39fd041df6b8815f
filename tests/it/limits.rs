//! Limits of size per account: the oldest decided events go, undecided ones stay and are told about.

use std::sync::Arc;
use std::time::Duration;

use postrider::clock::{Clock, ScriptedClock, Timestamp};
use postrider::cluster::Turn;
use postrider::event::EventData;
use postrider::id::EventId;
use postrider::queue::{Account, AccountLimits, Actor, EventQuery, IncomingEvent, Queue, RetentionSettings, sweep};
use postrider::rng::SystemRng;
use postrider::secret::{MasterKeys, Vault};
use postrider::store::{EmbeddedStore, MemoryKv, StoreOptions};
use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

const DAY: Duration = Duration::from_secs(86_400);

/// A queue in virtual time, with the accounts `small` and `large`.
async fn queue(store: Arc<EmbeddedStore>, clock: Arc<ScriptedClock>) -> Arc<Queue> {
    let vault = Vault::new(MasterKeys::draw(&SystemRng), Arc::new(SystemRng));
    let queue = Arc::new(Queue::open(store, clock, 7, DAY, vault).await.unwrap());
    for id in ["small", "large"] {
        if queue.registry().account(&id.parse().unwrap()).is_none() {
            queue.create_account(&Actor::server(), Account::new(id.parse().unwrap(), id, Timestamp::default())).await.unwrap();
        }
    }
    queue
}

async fn emit(queue: &Queue, account: &str, event_type: &str) -> EventId {
    let event = IncomingEvent {
        account: account.parse().unwrap(),
        event_type: event_type.parse().unwrap(),
        key: None,
        occurred_at: None,
        data: EventData::parse(r#"{"ActionId":"1"}"#).unwrap(),
    };
    queue.accept(vec![event]).await.unwrap().remove(0).id
}

async fn kept(queue: &Queue, account: &str) -> Vec<EventId> {
    let query = EventQuery { account: Some(account.parse().unwrap()), limit: 10_000, ..EventQuery::default() };
    let mut ids: Vec<_> = queue.events(&query).await.unwrap().items.iter().map(|event| event.id).collect();
    ids.reverse();
    ids
}

fn sweeping(queue: &Arc<Queue>, per_account: AccountLimits) -> tokio::task::JoinHandle<()> {
    let interval = Duration::from_secs(60);
    let settings = RetentionSettings {
        events: 30 * DAY,
        audit: 30 * DAY,
        actions: 400 * DAY,
        clicks: 90 * DAY,
        inbound_calls: 30 * DAY,
        per_account,
        interval,
    };
    tokio::spawn(sweep(queue.clone(), tokio::sync::watch::Sender::new(settings).subscribe(), Turn::always()))
}

async fn limit(queue: &Queue, account: &str, limits: AccountLimits) {
    let edit = |present: &Account| Ok::<_, postrider::queue::ChangeAccountError>(Account { limits, ..present.clone() });
    queue.change_account(&Actor::server(), &account.parse().unwrap(), None, edit).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_oldest_events_of_an_account_go_and_what_is_undecided_stays() {
    let clock = Arc::new(ScriptedClock::starting_at(Timestamp::from_unix_ms(1_732_233_600_000)));
    let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
    let store = Arc::new(EmbeddedStore::inline(MemoryKv::default(), options).unwrap());
    let queue = queue(store.clone(), clock.clone()).await;
    let paused = json!({"account": "small", "name": "x", "event_types": ["action.cleared"], "state": "paused", "request": {"url": "https://x.example/"}});
    queue.create_subscription(&Actor::server(), serde_json::from_value(paused).unwrap()).await.unwrap();
    let (mut small, mut large) = (Vec::new(), Vec::new());
    let undecided = [emit(&queue, "small", "action.cleared").await, emit(&queue, "small", "action.cleared").await];
    for _ in 0..1_500 {
        small.push(emit(&queue, "small", "action.tracked").await);
        large.push(emit(&queue, "large", "action.tracked").await);
    }
    let task = sweeping(&queue, AccountLimits::default());
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!((kept(&queue, "small").await.len(), kept(&queue, "large").await.len()), (1_502, 1_500), "there is no limit yet");

    limit(&queue, "small", AccountLimits { events_max: Some(1_000), bytes_max: None }).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let expected: Vec<_> = undecided.iter().chain(&small[502..]).copied().collect();
    assert_eq!(kept(&queue, "small").await, expected, "the oldest that are decided");
    assert_eq!(kept(&queue, "large").await, large);

    // What comes in later is counted too; here bytes are the limit, 16 of them an event.
    limit(&queue, "small", AccountLimits { events_max: None, bytes_max: Some(16 * 10) }).await;
    for _ in 0..5 {
        small.push(emit(&queue, "small", "action.tracked").await);
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    let expected: Vec<_> = undecided.iter().chain(&small[small.len() - 8..]).copied().collect();
    assert_eq!(kept(&queue, "small").await, expected);

    let over_limit = |queue: &Queue| queue.metrics().text().contains("postrider_accounts_over_limit 1\n");
    assert!(!over_limit(&queue));
    limit(&queue, "small", AccountLimits { events_max: Some(1), bytes_max: None }).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(kept(&queue, "small").await, undecided, "what is undecided is never removed");
    assert!(over_limit(&queue), "{}", queue.metrics().text());
    assert!(queue.metrics().text().contains("postrider_events_removed_total{reason=\"limit\"} 1505\n"), "{}", queue.metrics().text());

    // Decided, they go within the pause between two passes.
    let delivery = queue.deliveries_of(undecided[0]).await.unwrap()[0].id;
    queue.cancel(&Actor::server(), delivery).await.unwrap();
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(kept(&queue, "small").await, undecided[1..]);
    assert!(!over_limit(&queue));
    task.abort();

    // Another process counts anew, by the limit of the settings.
    let again = self::queue(store, clock.clone()).await;
    let task = sweeping(&again, AccountLimits { events_max: Some(3), bytes_max: None });
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(kept(&again, "large").await, large[1_497..]);
    assert_eq!(kept(&again, "small").await, undecided[1..]);
    assert!(clock.now().unix_ms() > 0);
    task.abort();
}

#[tokio::test]
async fn operators_set_limits_of_an_account() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let created = running.subscribe(&format!("http://{}/?i={{ActionId}}", receiver.address), json!({})).await;
    for number in 0..6 {
        running.emit(json!({"ActionId": number.to_string()})).await;
    }
    running.wait_for_state(created["id"].as_str().unwrap(), "delivered", 6).await;
    let patch = async |body: Value| running.client.send("PATCH", "/v1/accounts/acme", &[], body.to_string().as_bytes()).await;
    for (limits, pointer) in [
        (json!({"events_max": 0}), "/limits/events_max"),
        (json!({"bytes_max": 1e15 + 8.0}), "/limits/bytes_max"),
        (json!({"events_max": 1.5}), "/limits/events_max"),
        (json!({"days_max": 1}), "/limits/days_max"),
    ] {
        let answer = patch(json!({"limits": limits})).await;
        assert_eq!((answer.status, &answer.json()["errors"][0]["pointer"]), (422, &json!(pointer)), "{}", answer.body);
    }
    let changed = patch(json!({"limits": {"events_max": 2}})).await;
    assert_eq!((changed.status, &changed.json()["limits"]), (200, &json!({"events_max": 2, "bytes_max": null})), "{}", changed.body);
    let removed = async {
        while running.client.get("/v1/events").await.json()["data"].as_array().unwrap().len() != 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), removed).await.expect("the oldest events are still there");
    let left = running.client.get("/v1/events").await.json();
    assert_eq!([&left["data"][0]["data"]["ActionId"], &left["data"][1]["data"]["ActionId"]], ["5", "4"]);
    let lifted = patch(json!({"limits": null})).await;
    assert_eq!(lifted.json()["limits"], json!({"events_max": null, "bytes_max": null}));
}
