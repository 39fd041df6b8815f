//! Whether it costs more to lease, to start and to accept when more deliveries wait.
//!
//! One store is filled step by step by [`Store::accept`](crate::store::Store::accept), so that its rows are those
//! that a server writes, and measured at each step. What waits is spread over a thousand subscriptions, each
//! with a ceiling of one request in 100 seconds: their lanes are owned, looked after and scanned, and as
//! good as nothing is sent.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use super::responsiveness::one_at_a_time;
use super::throughput::TIMEOUT;
use super::{Setting, cpu_each, median, percentile};
use crate::cli::bench::database::usage;
use crate::cli::bench::engine::Engine;
use crate::cli::bench::load;
use crate::cli::bench::receiver::Receiver;
use crate::cli::bench::report::{Row, Unit};
use crate::cli::bench::subject::{Wish, counts_in};
use crate::clock::{Clock, SystemClock};
use crate::event::{AccountId, EventData, EventType, IdempotencyKey, fingerprint};
use crate::id::{AttemptId, NodeId, SubscriptionId};
use crate::rng::{Rng, SystemRng};
use crate::store::{self, Lease, NewDelivery, NewEvent, NewKey, Store, StoreOptions};

/// Accounts that have something waiting, and the subscriptions of each. An event is owed to all of an account.
const ACCOUNTS: usize = 100;
const SUBSCRIPTIONS: usize = 10;
/// Events stored at once, and how many such calls are under way.
const BATCH: u64 = 50;
const FILLERS: usize = 8;
/// Lanes that are leased from, one after another.
const LEASES: usize = 1_000;
/// What a lane reads at once; and fewer, of which each has as many when 10,000 wait.
const WINDOW_ROWS: usize = 256;
const FIRST_ROWS: usize = 10;
/// Starts of a server; the median is shown.
const STARTS: usize = 3;
/// How long leases of lanes hold that the measurement takes for itself.
const LEASE: Duration = Duration::from_secs(300);
/// How long the store remembers the keys; the server's default.
const KEY_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// The lowest ceiling there is.
const CEILING: f64 = 0.01;

const NS_PER_MS: f64 = 1e6;
const BYTES_PER_MB: f64 = 1e6;

/// One thing that was measured.
struct Figure {
    what: String,
    value: f64,
    unit: Unit,
    /// CPU time of the database for each operation, in microseconds.
    cpu_us: Option<f64>,
}

impl Figure {
    fn new(what: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { what: what.into(), value, unit, cpu_us: None }
    }

    /// The middle and the upper end of times in nanoseconds.
    fn both(what: &str, took: &mut [u64], cpu_us: Option<f64>) -> [Self; 2] {
        let at =
            |name: &str, value: f64, cpu_us| Self { cpu_us, ..Self::new(format!("{what}, {name}"), value / NS_PER_MS, Unit::Milliseconds) };
        [at("p50", percentile(took, 0.5), cpu_us), at("p99", percentile(took, 0.99), None)]
    }
}

/// An account with what is owed its events.
type Owed = (AccountId, Vec<SubscriptionId>);

pub(super) async fn waiting(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let (receiver, slow) = (Receiver::start(setting.stopwatch).await?, Receiver::start(setting.stopwatch).await?);
    let owed = prepare(setting, &receiver, &slow).await?;
    let (location, is_shared) = (setting.location("server").await?, matches!(setting.engine, Engine::Postgres(_)));
    let (mut rows, mut first): (Vec<Row>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut waiting = 0;
    for &wanted in &setting.plan.rows {
        let (began, before) = (SystemClock.instant(), waiting);
        waiting += fill(&location, &owed, wanted.saturating_sub(waiting)).await?;
        let filled = SystemClock.instant().duration_since(began);
        eprintln!("  {waiting} deliveries are waiting after {:.0} s", filled.as_secs_f64());
        let rate = (waiting - before) as f64 / filled.as_secs_f64();
        let mut figures = vec![Figure::new("filling, deliveries", rate, Unit::PerSecond)];
        figures.extend(leasing(&location, is_shared, &owed).await?);
        figures.extend(serving(setting, &receiver).await?);
        if is_shared {
            let bytes = usage(&location).await?.bytes as f64;
            figures.push(Figure::new("files of the store", bytes / BYTES_PER_MB, Unit::Megabytes));
        }
        let kept = counts_in(&location).await?.waiting;
        // The lanes may have sent their first ones in a run that takes long.
        if kept > waiting || kept + waiting / 100 < waiting {
            bail!("{waiting} deliveries were stored and {kept} are waiting");
        }
        for (place, figure) in figures.into_iter().enumerate() {
            let row = Row { cpu_us: figure.cpu_us, ..Row::new(format!("{waiting} waiting: {}", figure.what), figure.value, figure.unit) };
            match first.get(place) {
                Some(&yardstick) => rows.push(row.against("the first", yardstick)),
                None => {
                    first.push(figure.value);
                    rows.push(row);
                }
            }
        }
    }
    Ok(rows)
}

/// Creates accounts and subscriptions, and one that is sent to at once.
async fn prepare(setting: &Setting<'_>, receiver: &Receiver, slow: &Receiver) -> anyhow::Result<Vec<Owed>> {
    let server = setting.server("server").await?;
    let url = format!("http://{}/", slow.address);
    let slow = Wish { url: &url, state: "active", timeout: TIMEOUT, ceiling: Some(CEILING) };
    let mut owed = Vec::with_capacity(ACCOUNTS);
    for number in 0..ACCOUNTS {
        let account = format!("waiting{number}");
        server.create_account(&account).await?;
        let mut subscriptions = Vec::with_capacity(SUBSCRIPTIONS);
        for _ in 0..SUBSCRIPTIONS {
            subscriptions.push(server.subscribe_as(&account, slow).await?);
        }
        owed.push((account.parse()?, subscriptions));
    }
    server.create_account("idle").await?;
    server.subscribe("idle", &format!("http://{}/", receiver.address), "active", TIMEOUT).await?;
    server.end().await?;
    Ok(owed)
}

async fn open(location: &str) -> anyhow::Result<Arc<dyn Store>> {
    let location = location.to_owned();
    let options = StoreOptions { tag: SystemRng.bits(), ..StoreOptions::default() };
    Ok(Arc::from(tokio::task::spawn_blocking(move || store::open(&location, options)).await??))
}

/// Stores events until `wanted` more deliveries wait, or a few more; how many do.
async fn fill(location: &str, owed: &[Owed], wanted: u64) -> anyhow::Result<u64> {
    let store = open(location).await?;
    let text = load::event("bench", 0, super::Stopwatch::start());
    let data = text.split_once(r#""data":"#).map_or("{}", |(_, rest)| rest.strip_suffix('}').unwrap_or(rest));
    let (data, event_type): (_, EventType) = (Arc::new(EventData::parse(data)?), "action.tracked".parse()?);
    let mark = SystemRng.bits();
    let (calls, next) = (wanted.div_ceil(BATCH * SUBSCRIPTIONS as u64), Arc::new(AtomicU64::new(0)));
    let mut filling = JoinSet::new();
    for _ in 0..FILLERS {
        let (store, owed, data, event_type, next) = (store.clone(), owed.to_vec(), data.clone(), event_type.clone(), next.clone());
        filling.spawn(async move {
            loop {
                let call = next.fetch_add(1, Ordering::Relaxed);
                if call >= calls {
                    return anyhow::Ok(());
                }
                let events = (call * BATCH..(call + 1) * BATCH).map(|number| {
                    let (account, subscriptions) = &owed[usize::try_from(number).unwrap_or(0) % owed.len()];
                    event(&format!("{mark:x}.{number}"), account, subscriptions, &event_type, &data)
                });
                store.accept(events.collect::<anyhow::Result<_>>()?).await?;
            }
        });
    }
    while let Some(ended) = filling.join_next().await {
        ended??;
    }
    store.close().await?;
    Ok(calls * BATCH * SUBSCRIPTIONS as u64)
}

fn event(key: &str, account: &AccountId, owed: &[SubscriptionId], kind: &EventType, data: &Arc<EventData>) -> anyhow::Result<NewEvent> {
    let now = SystemClock.now();
    let text: IdempotencyKey = key.parse()?;
    let fingerprint = fingerprint(kind, None, data);
    let key = NewKey { digest: text.digest(account), fingerprint, expires_at: now.after(KEY_LIFETIME), text };
    let delivery =
        |subscription: &SubscriptionId| NewDelivery { subscription: *subscription, template_version: 1, due_at: now, order_key: None };
    Ok(NewEvent {
        account: account.clone(),
        event_type: kind.clone(),
        key: Some(key),
        occurred_at: now,
        received_at: now,
        data: data.clone(),
        deliveries: owed.iter().map(delivery).collect(),
        documents: Vec::new(),
    })
}

/// What it takes to read the first rows that a lane has due, with their events, and to note the first as in flight.
async fn leasing(location: &str, is_shared: bool, owed: &[Owed]) -> anyhow::Result<Vec<Figure>> {
    let store = open(location).await?;
    let lanes: Vec<SubscriptionId> = owed.iter().flat_map(|(_, subscriptions)| subscriptions).copied().collect();
    let node = NodeId::from_raw(u128::from(SystemRng.bits()));
    let leases = store.lane_leases(LEASE);
    let claims: BTreeMap<_, _> = match &leases {
        Some(leases) => leases.claim(node, &lanes, lanes.len()).await?.into_iter().map(|claim| (claim.lane, claim)).collect(),
        None => BTreeMap::new(),
    };
    anyhow::ensure!(claims.len() == lanes.len() || leases.is_none(), "{} of {} lanes were free", claims.len(), lanes.len());
    let cpu = async || if is_shared { usage(location).await.map(|used| used.cpu) } else { Ok(None) };
    // Another lane each time, not in the order in which they were made.
    let next = |number: usize| lanes[number * 617 % lanes.len()];
    let mut figures = Vec::new();
    let mut noted = Vec::with_capacity(LEASES);
    for (what, rows) in [("10 due rows of a lane", FIRST_ROWS), ("up to 256 due rows of a lane", WINDOW_ROWS)] {
        let (mut took, before) = (Vec::with_capacity(LEASES), cpu().await?);
        noted.clear();
        for number in 0..LEASES {
            let (lane, now) = (next(number), SystemClock.now());
            let began = SystemClock.instant();
            let page = store.due(lane, now, &HashSet::new(), rows).await?;
            took.push(ns_since(began));
            let row = page.rows.first().context("a lane has nothing due")?;
            let attempt = AttemptId::from_raw(u128::from(SystemRng.bits()));
            noted.extend(claims.get(&lane).map(|claim| Lease {
                delivery: row.delivery,
                subscription: lane,
                epoch: claim.epoch,
                due_at: row.due_at,
                attempt,
                number: 1,
                at: now,
            }));
        }
        figures.extend(Figure::both(what, &mut took, cpu_between(before, cpu().await?)));
    }
    let (mut took, before) = (Vec::with_capacity(LEASES), cpu().await?);
    for lease in &noted {
        let began = SystemClock.instant();
        anyhow::ensure!(store.lease(lease).await?, "a delivery that is due was not leased");
        took.push(ns_since(began));
    }
    if !took.is_empty() {
        figures.extend(Figure::both("lease", &mut took, cpu_between(before, cpu().await?)));
    }
    for lease in &noted {
        store.let_go(lease).await?;
    }
    if let Some(leases) = leases {
        leases.release(node, &claims.into_values().collect::<Vec<_>>()).await?;
    }
    store.close().await?;
    Ok(figures)
}

/// CPU time of the database for each operation, in microseconds.
fn cpu_between(before: Option<Duration>, after: Option<Duration>) -> Option<f64> {
    Some(cpu_each(before?, after?, u64::try_from(LEASES).unwrap_or(u64::MAX)))
}

fn ns_since(began: tokio::time::Instant) -> u64 {
    u64::try_from(SystemClock.instant().duration_since(began).as_nanos()).unwrap_or(u64::MAX)
}

/// How long a server takes to be ready, and then for single events.
async fn serving(setting: &Setting<'_>, receiver: &Receiver) -> anyhow::Result<Vec<Figure>> {
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 1..STARTS {
        let began = SystemClock.instant();
        let server = setting.server("server").await?;
        starts.push(SystemClock.instant().duration_since(began).as_secs_f64());
        server.end().await?;
    }
    let began = SystemClock.instant();
    let server = setting.server("server").await?;
    starts.push(SystemClock.instant().duration_since(began).as_secs_f64());
    let mut latencies = one_at_a_time(setting, &server.events, receiver).await?;
    server.end().await?;
    let mut figures = vec![Figure::new("start to ready", median(&mut starts), Unit::Seconds)];
    figures.extend(Figure::both("accept", &mut latencies.to_answer, None));
    figures.extend(Figure::both("call to receiver", &mut latencies.to_receiver, None));
    Ok(figures)
}
