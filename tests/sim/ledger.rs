//! The action ledger on a whole queue: what reports and platforms bring at once, and what partners are sent of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use postrider::clock::{Clock, SystemClock, Timestamp};
use postrider::cluster::Turn;
use postrider::dispatcher::{Dispatcher, DispatcherSettings};
use postrider::event::{Event, EventData};
use postrider::id::EventId;
use postrider::inbound::{ActionState, Click, CustomerChange, CustomerReport, Offer, Outcome, Report, Standing, parse_decimal};
use postrider::queue::{Account, AccountLimits, ActionQuery, Actor, EventQuery, IncomingEvent, LogReport, Queue, RetentionSettings, sweep};
use postrider::request::send::ScriptedTransport;
use postrider::rng::SeededRng;
use postrider::secret::{MasterKeys, Vault};
use postrider::store::{Direction, DocumentChange, DocumentKind, DocumentQuery, EmbeddedStore, Make, MemoryKv, Store, StoreOptions};
use postrider::subscription::SubscriptionSpec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::world::World;

/// A queue over a store in memory with its writer's thread, on the true clock.
struct Network {
    queue: Arc<Queue>,
    store: Arc<dyn Store>,
    transport: ScriptedTransport,
    stop: CancellationToken,
    dispatcher: Option<tokio::task::JoinHandle<()>>,
}

impl Network {
    async fn new() -> Self {
        let clock = Arc::new(SystemClock);
        let options = StoreOptions { tag: 1, clock: clock.clone(), ..StoreOptions::default() };
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::threaded(MemoryKv::default(), options).unwrap());
        let vault = Vault::new(MasterKeys::draw(&SeededRng::new(7)), Arc::new(SeededRng::new(1)));
        let queue = Arc::new(Queue::open(store.clone(), clock.clone(), 1, Duration::from_secs(86_400), vault).await.unwrap());
        for account in ["acme", "rival", "shop"] {
            let account = Account::new(account.parse().unwrap(), account.to_uppercase(), clock.now());
            queue.create_account(&Actor::server(), account).await.unwrap();
        }
        Self { queue, store, transport: ScriptedTransport::new(), stop: CancellationToken::new(), dispatcher: None }
    }

    async fn subscribe(&self, host: &str, order: &str) {
        let spec = json!({
            "account": "acme", "name": host, "event_types": ["action.*", "action.locked"], "order": order,
            "request": {"url": format!("https://{host}.example/?id={{ActionId}}&n={{EventKind}}&a={{DeltaAmount}}&s={{SubId1}}")},
        });
        let spec: SubscriptionSpec = serde_json::from_value(spec).unwrap();
        self.queue.create_subscription(&Actor::server(), spec).await.unwrap();
    }

    fn dispatch(&mut self) {
        let dispatcher =
            Dispatcher::new(self.queue.clone(), Arc::new(self.transport.clone()), Arc::new(SystemClock), DispatcherSettings::default());
        self.dispatcher = Some(tokio::spawn(dispatcher.run(self.stop.clone())));
    }

    /// Waits until nothing is owed any more.
    async fn drained(&mut self) {
        for _ in 0..1_000 {
            if self.queue.counts().await.unwrap().iter().all(|entry| entry.counts.waiting == 0) {
                self.stop.cancel();
                self.dispatcher.take().unwrap().await.unwrap();
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("deliveries still wait after 10 s");
    }

    async fn report(&self, report: &Report) -> Outcome {
        self.queue.record_report(report, log(report)).await.unwrap()
    }

    async fn row(&self, lead: Uuid) -> ActionState {
        self.queue.lead(lead).await.unwrap().unwrap()
    }

    /// All events, in order of acceptance.
    async fn events(&self) -> Vec<Arc<Event>> {
        let mut query = EventQuery { limit: 200, ..EventQuery::default() };
        let mut events = Vec::new();
        loop {
            let page = self.queue.events(&query).await.unwrap();
            events.extend(page.items);
            let Some(next) = page.next else { break };
            query.before = Some(EventId::from_raw(next));
        }
        events.reverse();
        events
    }

    async fn documents(&self, kind: DocumentKind) -> Vec<(String, Value)> {
        let query =
            DocumentQuery { kind, prefix: String::new(), after: None, before: None, direction: Direction::Forward, limit: usize::MAX };
        let documents = self.store.documents(&query).await.unwrap();
        documents.into_iter().map(|document| (document.id, serde_json::from_str(&document.value).unwrap())).collect()
    }

    /// Ids of actions as a caller would list them, two a page.
    async fn listed(&self, mut query: ActionQuery) -> Vec<String> {
        query.limit = 2;
        let mut listed = Vec::new();
        loop {
            let page = self.queue.actions(&query).await.unwrap();
            assert!(page.items.len() <= 2);
            listed.extend(page.items.into_iter().map(|action| action.action_id));
            let Some(next) = page.next else { return listed };
            query.before = Some(next);
        }
    }
}

fn offer() -> Arc<Offer> {
    let at = Timestamp::default();
    let spec = json!({
        "id": "summer", "account": "shop", "name": "Summer", "landing_url": "https://shop.example/", "currency": "USD", "version": 1,
        "actions": [{"name": "sale", "model": "percent", "rate": "7.5", "partner_percent": "80", "locks": true}],
        "created_at": at, "updated_at": at,
    });
    Arc::new(serde_json::from_value(spec).unwrap())
}

fn click(id: &str, partner: &str) -> Arc<Click> {
    let (account, offer) = (partner.parse().unwrap(), "summer".parse().unwrap());
    let click = Click::unknown(id.into(), account, offer, Timestamp::default());
    Arc::new(Click { unknown: false, sub_id1: Some(format!("sub-{id}")), ..click })
}

/// A report of lead `lead`, which came of click `c<lead>`.
fn report(lead: u128, word: &str, price: Option<&str>) -> Report {
    let offer = offer();
    Report {
        lead: Uuid::from_u128(lead),
        action: offer.spec.actions[0].clone(),
        click: click(&format!("c{lead}"), "acme"),
        request_id: lead.to_string(),
        status: offer.spec.statuses.find(word).unwrap(),
        status_word: word.into(),
        price: price.map(|text| parse_decimal(text).unwrap()),
        customer: None,
        comment: None,
        extra: Vec::new(),
        at: SystemClock.now(),
        offer,
    }
}

/// An entry of the log of calls, each of an id of its own.
fn log_as(id: String) -> LogReport {
    Arc::new(move |outcome| {
        let value = match outcome {
            Outcome::Recorded { lead, events } => json!({"lead": lead, "events": events}),
            Outcome::Repeated { lead } => json!({"lead": lead, "repeated": true}),
            Outcome::Conflict { lead, reason } => json!({"lead": lead, "conflict": reason.code()}),
        };
        DocumentChange { kind: DocumentKind::InboundCall, id: id.clone(), expected: Some(0), make: Make::Put(value.to_string()) }
    })
}

fn log(report: &Report) -> LogReport {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    log_as(format!("{}/inc_{number:08}", report.offer.account))
}

fn platform_event(action: &str, event_type: &str, data: Value) -> IncomingEvent {
    let mut data = data;
    data["ActionId"] = action.into();
    IncomingEvent {
        account: "acme".parse().unwrap(),
        event_type: event_type.parse().unwrap(),
        key: None,
        occurred_at: None,
        data: EventData::parse(&data.to_string()).unwrap(),
    }
}

fn kinds(events: &[Arc<Event>]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_str().trim_start_matches("action.")).collect()
}

#[tokio::test]
async fn a_report_its_events_its_row_and_its_log_entry_are_one_commit() {
    let network = Network::new().await;
    let Outcome::Recorded { events, .. } = network.report(&report(1, "approved", Some("100"))).await else { panic!() };
    let stored = network.events().await;
    assert_eq!(stored.iter().map(|event| event.id).collect::<Vec<_>>(), events);
    assert_eq!(kinds(&stored), ["tracked", "locked", "cleared"]);
    assert_eq!(stored[2].data.scalar("MediaPartnerName").as_deref(), Some("ACME"));
    assert_eq!(stored[2].key.as_ref().unwrap().as_str(), format!("s2s/{}/0/3", Uuid::from_u128(1)));

    let row = network.row(Uuid::from_u128(1)).await;
    assert_eq!((row.state, row.payout.unwrap().to_string()), (Standing::Cleared, "6.00".into()));
    assert_eq!(row.events.events().collect::<Vec<_>>(), events);
    assert_eq!(network.documents(DocumentKind::InboundCall).await[0].1, json!({"lead": Uuid::from_u128(1), "events": events}));

    let conflict = network.report(&report(1, "rejected", None)).await;
    assert!(matches!(conflict, Outcome::Conflict { .. }));
    assert!(matches!(network.report(&report(1, "sold", Some("100.00"))).await, Outcome::Repeated { .. }));
    let codes: Vec<_> =
        network.documents(DocumentKind::InboundCall).await.into_iter().map(|(_, entry)| entry["conflict"].clone()).collect();
    assert_eq!(codes, [Value::Null, "final_status".into(), Value::Null]);
    assert_eq!((network.row(Uuid::from_u128(1)).await.conflicts, network.events().await.len()), (1, 3));
}

#[tokio::test]
async fn what_cannot_be_stored_leaves_nothing() {
    let network = Network::new().await;
    let report = report(1, "hold", Some("1"));
    network.queue.record_report(&report, log_as("shop/inc_1".into())).await.unwrap();
    let other = Report { status: postrider::inbound::ReportedStatus::Approved, ..report };
    // The entry of the log is there already.
    assert!(network.queue.record_report(&other, log_as("shop/inc_1".into())).await.is_err());
    assert_eq!((network.row(other.lead).await.state, network.events().await.len()), (Standing::Pending, 1));
    let gone = Report { lead: Uuid::from_u128(2), click: click("c2", "nobody"), ..other };
    assert!(network.queue.record_report(&gone, log(&gone)).await.is_err());
    assert_eq!(network.queue.lead(gone.lead).await.unwrap(), None);
}

#[tokio::test]
async fn a_lead_stays_with_the_partner_of_its_click() {
    let network = Network::new().await;
    network.report(&report(1, "hold", Some("1"))).await;
    let stolen = Report { click: click("c9", "rival"), ..report(1, "approved", None) };
    let Outcome::Conflict { reason, .. } = network.report(&stolen).await else { panic!() };
    assert_eq!(reason.code(), "other_click");
    assert_eq!(network.documents(DocumentKind::Action).await.len(), 1);
}

#[tokio::test]
async fn actions_are_listed_newest_first_for_partner_and_advertiser() {
    let network = Network::new().await;
    let account = |name: &str| Some(name.parse().unwrap());
    for lead in 1..=3 {
        network.report(&report(lead, if lead == 2 { "approved" } else { "hold" }, Some("1"))).await;
    }
    network.report(&Report { click: click("c9", "rival"), ..report(9, "hold", Some("1")) }).await;
    network.queue.accept(vec![platform_event("1000.1", "action.paid", json!({}))]).await.unwrap();
    network.queue.accept(vec![platform_event("1000.1", "action.reversed", json!({}))]).await.unwrap();

    let lead = |lead: u128| Uuid::from_u128(lead).to_string();
    let all = [String::from("1000.1"), lead(9), lead(3), lead(2), lead(1)];
    assert_eq!(network.listed(ActionQuery::default()).await, all);
    let of = |query: ActionQuery| network.listed(query);
    assert_eq!(of(ActionQuery { account: account("rival"), ..ActionQuery::default() }).await, [lead(9)]);
    assert_eq!(of(ActionQuery { advertiser: account("shop"), ..ActionQuery::default() }).await, all[1..]);
    assert_eq!(of(ActionQuery { seen_by: account("shop"), ..ActionQuery::default() }).await, all[1..]);
    assert_eq!(of(ActionQuery { seen_by: account("rival"), account: account("acme"), ..ActionQuery::default() }).await, [""; 0]);
    assert_eq!(of(ActionQuery { states: vec![Standing::Cleared], ..ActionQuery::default() }).await, [lead(2)]);
    assert_eq!(
        of(ActionQuery { states: vec![Standing::Reversed, Standing::Cleared], ..ActionQuery::default() }).await,
        [all[0].clone(), lead(2)]
    );
    assert_eq!(of(ActionQuery { offer: Some("winter".parse().unwrap()), ..ActionQuery::default() }).await, [""; 0]);
    let first = network.row(Uuid::from_u128(1)).await.created_at;
    let later = Timestamp::from_unix_ms(first.unix_ms() + 3_600_000);
    assert_eq!(of(ActionQuery { since: Some(later), ..ActionQuery::default() }).await, [""; 0]);
    assert_eq!(of(ActionQuery { since: Some(first), until: Some(later), ..ActionQuery::default() }).await, all);
    assert_eq!(of(ActionQuery { until: Some(first), ..ActionQuery::default() }).await, [""; 0]);
}

#[tokio::test]
async fn a_customer_is_added_and_ended_with_its_log_entry() {
    let network = Network::new().await;
    let report = |change, lead| CustomerReport {
        lead: Uuid::from_u128(lead),
        offer: offer(),
        click: click("c1", "acme"),
        customer: lead.to_string(),
        change,
        at: SystemClock.now(),
    };
    let record =
        async |change, lead: u128, call: &str| network.queue.record_customer(&report(change, lead), log_as(call.into())).await.unwrap();
    let activate = CustomerChange::Activate { price: Some(Decimal::TEN) };
    assert_eq!(record(CustomerChange::Deactivate, 1, "shop/1").await, None);
    assert!(matches!(record(activate, 1, "shop/2").await, Some(Outcome::Recorded { .. })));
    assert!(matches!(record(activate, 1, "shop/3").await, Some(Outcome::Repeated { .. })));
    assert!(matches!(record(CustomerChange::Deactivate, 1, "shop/4").await, Some(Outcome::Recorded { .. })));
    let shop = "shop".parse().unwrap();
    let customer = network.queue.customer(&shop, "1").await.unwrap().unwrap();
    assert_eq!((customer.active, customer.click.as_str(), customer.partner.as_str()), (false, "c1", "acme"));
    assert_eq!(network.queue.customer(&shop, "2").await.unwrap(), None);
    assert_eq!(network.documents(DocumentKind::InboundCall).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_misses_no_event_that_a_platform_emits_meanwhile() {
    let network = Network::new().await;
    let lead = Uuid::from_u128(1);
    network.report(&report(1, "hold", Some("1"))).await;
    let platform = async {
        for number in 0..150 {
            let event = platform_event(&lead.to_string(), "action.modified", json!({"Number": number}));
            network.queue.accept(vec![event]).await.unwrap();
        }
    };
    let advertiser = async {
        for price in 2..100 {
            network.report(&report(1, "hold", Some(&price.to_string()))).await;
        }
    };
    tokio::join!(platform, advertiser);
    let row = network.row(lead).await;
    assert_eq!((row.events.count, network.events().await.len()), (249, 249));
    assert_eq!((row.amount.unwrap(), row.state), (Decimal::from(99), Standing::Pending));
}

#[tokio::test(start_paused = true)]
async fn old_actions_are_removed_with_all_that_finds_them() {
    let world = World::new().await;
    let days = |count: u64| Duration::from_secs(count * 86_400);
    let retention = RetentionSettings {
        events: days(30),
        audit: days(30),
        actions: days(2),
        clicks: days(30),
        inbound_calls: days(30),
        per_account: AccountLimits::default(),
        interval: Duration::from_secs(3_600),
    };
    let (_settings, settings) = watch::channel(retention);
    let sweeping = tokio::spawn(sweep(world.queue.clone(), settings, Turn::always()));
    let record = async |lead: u128, word: &str| {
        let report = Report { at: world.now(), ..report(lead, word, Some("1")) };
        world.queue.record_report(&report, log(&report)).await.unwrap();
    };
    record(1, "hold").await;
    record(2, "hold").await;
    world.queue.accept(vec![platform_event("1000.1", "action.paid", json!({}))]).await.unwrap();
    world.advance(days(1)).await;
    record(2, "approved").await;
    let listed = async |query: ActionQuery| -> Vec<String> {
        let page = world.queue.actions(&ActionQuery { limit: 9, ..query }).await.unwrap();
        page.items.into_iter().map(|action| action.request_id.unwrap_or(action.action_id)).collect()
    };
    assert_eq!(listed(ActionQuery::default()).await, ["1000.1", "2", "1"]);
    world.advance(days(1) + Duration::from_secs(7_200)).await;
    let (acme, shop) = ("acme".parse().unwrap(), "shop".parse().unwrap());
    for query in [
        ActionQuery::default(),
        ActionQuery { account: Some(acme), ..ActionQuery::default() },
        ActionQuery { advertiser: Some(shop), ..ActionQuery::default() },
    ] {
        assert_eq!(listed(query).await, ["2"], "what was changed stays");
    }
    assert_eq!(world.queue.lead(Uuid::from_u128(1)).await.unwrap(), None);
    world.advance(days(1)).await;
    assert_eq!((listed(ActionQuery::default()).await, world.queue.lead(Uuid::from_u128(2)).await.unwrap()), (vec![], None));
    // What comes again begins anew.
    record(1, "approved").await;
    assert_eq!(listed(ActionQuery::default()).await, ["1"]);
    sweeping.abort();
}

#[tokio::test]
async fn a_deleted_account_leaves_no_actions_and_no_lists() {
    let network = Network::new().await;
    for lead in 1..=3 {
        network.report(&report(lead, "hold", Some("1"))).await;
    }
    network.report(&Report { click: click("c9", "rival"), ..report(9, "hold", Some("1")) }).await;
    for account in ["acme", "shop"] {
        network.queue.delete_account(&Actor::server(), &account.parse().unwrap(), None).await.unwrap();
    }
    let mut is_left = true;
    for _ in 0..500 {
        is_left = network.queue.remove_deleted_accounts().await.unwrap();
        if !is_left {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_left);
    assert_eq!(network.listed(ActionQuery::default()).await, [Uuid::from_u128(9).to_string()]);
    assert_eq!(network.documents(DocumentKind::Action).await.len(), 1);
    assert_eq!(network.documents(DocumentKind::ActionLog).await.len(), 2, "the rival's list and that of all");
    assert_eq!(network.documents(DocumentKind::Lead).await.len(), 1);
}

/// What an advertiser may say of which lead.
#[derive(Debug, Clone)]
struct Say {
    lead: u128,
    word: &'static str,
    cents: Option<u32>,
    other_click: bool,
}

fn say() -> impl Strategy<Value = Say> {
    let word = prop_oneof![4 => Just("hold"), 1 => Just("approved"), 1 => Just("rejected")];
    let cents = proptest::option::weighted(0.8, prop_oneof![Just(5_000u32), 1..1_000_000u32]);
    (1..4u128, word, cents, proptest::bool::weighted(0.1)).prop_map(|(lead, word, cents, other_click)| Say {
        lead,
        word,
        cents,
        other_click,
    })
}

/// Several advertisers' servers report at once, and two subscriptions of the partner get what follows.
async fn play(callers: Vec<Vec<Say>>) {
    let mut network = Network::new().await;
    network.subscribe("any", "none").await;
    network.subscribe("ordered", "action").await;
    network.dispatch();
    let network_ref = &network;
    let calls = callers.into_iter().map(|says| async move {
        let mut outcomes = Vec::new();
        for Say { lead, word, cents, other_click } in says {
            // The first one may be any of them, and a percentage needs its price.
            let known = network_ref.queue.lead(Uuid::from_u128(lead)).await.unwrap().is_some();
            let cents = if known { cents } else { cents.or(Some(100)) };
            let price = cents.map(|cents| format!("{}.{:02}", cents / 100, cents % 100));
            let mut report = report(lead, word, price.as_deref());
            if other_click {
                report.click = click("other", "rival");
            }
            outcomes.push(network_ref.report(&report).await);
        }
        outcomes
    });
    let outcomes: Vec<Outcome> = futures_util::future::join_all(calls).await.into_iter().flatten().collect();
    network.drained().await;
    judge(&network, &outcomes).await;
}

async fn judge(network: &Network, outcomes: &[Outcome]) {
    let events = network.events().await;
    let recorded: Vec<EventId> = outcomes
        .iter()
        .flat_map(|outcome| if let Outcome::Recorded { events, .. } = outcome { events.clone() } else { Vec::new() })
        .collect();
    assert_eq!(recorded.len(), events.len());
    assert_eq!(recorded.into_iter().collect::<HashSet<_>>(), events.iter().map(|event| event.id).collect());
    let mut by_action: BTreeMap<String, Vec<Arc<Event>>> = BTreeMap::new();
    for event in &events {
        by_action.entry(event.data.scalar("ActionId").unwrap()).or_default().push(event.clone());
    }
    for (action, events) in &by_action {
        let row = network.row(action.parse().unwrap()).await;
        let sum = |name: &str| events.iter().map(|event| event.data.scalar(name).unwrap().parse::<Decimal>().unwrap()).sum::<Decimal>();
        assert_eq!((row.amount.unwrap(), row.payout.unwrap()), (sum("DeltaAmount"), sum("DeltaPayout")), "{action}");
        assert_eq!(row.events.events().collect::<Vec<_>>(), events.iter().map(|event| event.id).collect::<Vec<_>>());
        let kinds = kinds(events);
        let ends = kinds.iter().filter(|kind| ["cleared", "reversed"].contains(kind)).count();
        assert_eq!((kinds[0], ends), ("tracked", usize::from(row.state != Standing::Pending)), "{kinds:?}");
        let conflicts =
            outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Conflict { lead, .. } if lead.to_string() == *action)).count();
        assert_eq!(row.conflicts, conflicts as u64);
    }
    judge_requests(network, &events, &by_action);
}

fn judge_requests(network: &Network, events: &[Arc<Event>], by_action: &BTreeMap<String, Vec<Arc<Event>>>) {
    for host in ["any", "ordered"] {
        let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let requests = network.transport.requests_to(&format!("https://{host}.example/"));
        // Events that came of a click of the rival are the rival's, who has no subscription.
        let owed = events.iter().filter(|event| event.account.as_str() == "acme").count();
        assert_eq!(requests.len(), owed, "{host}");
        for recorded in requests {
            let url = url::Url::parse(&recorded.request.url).unwrap();
            let value = |name: &str| url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
            assert!(value("s").starts_with("sub-"));
            sent.entry(value("id")).or_default().push(format!("{} {}", value("n"), value("a")));
        }
        for (action, mut sent) in sent {
            let told = |event: &Arc<Event>| {
                format!("{} {}", event.event_type.as_str().trim_start_matches("action."), event.data.scalar("DeltaAmount").unwrap())
            };
            let mut expected: Vec<_> = by_action[&action].iter().map(told).collect();
            if host == "any" {
                sent.sort();
                expected.sort();
            }
            assert_eq!(sent, expected, "{host} {action}");
        }
    }
}

#[test]
fn every_event_is_delivered_once_and_deltas_add_up() {
    let config = Config { cases: 25, failure_persistence: None, max_shrink_iters: 50, ..Config::default() };
    let callers = proptest::collection::vec(proptest::collection::vec(say(), 1..12), 2..5);
    let outcome = TestRunner::new(config).run(&callers, |callers| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(play(callers));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
