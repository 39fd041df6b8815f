//! Whether it costs more to lease, to start and to accept when more deliveries wait.
//!
//! One store is filled step by step by [`Store::accept`](crate::store::Store::accept), so that its rows are those
//! that a server writes, and measured at each step. What waits is spread over a thousand subscriptions, each
//! with a ceiling of one request in 100 seconds: their lanes are owned, looked after and scanned, and as
//! good as nothing is sent.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use super::responsiveness::one_at_a_time;
use super::throughput::TIMEOUT;
use super::{Setting, median, percentile};
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

/// An account with what is owed its events.
type Owed = (AccountId, Vec<SubscriptionId>);

pub(super) async fn waiting(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let (receiver, slow) = (Receiver::start(setting.stopwatch).await?, Receiver::start(setting.stopwatch).await?);
    let owed = prepare(setting, &receiver, &slow).await?;
    let location = setting.location("server").await?;
    let (mut rows, mut first): (Vec<Row>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut waiting = 0;
    for &wanted in &setting.plan.rows {
        let (began, before) = (SystemClock.instant(), waiting);
        waiting += fill(&location, &owed, wanted.saturating_sub(waiting)).await?;
        let filled = SystemClock.instant().duration_since(began);
        eprintln!("  {waiting} deliveries are waiting after {:.0} s", filled.as_secs_f64());
        let mut figures = vec![("filling, deliveries", (waiting - before) as f64 / filled.as_secs_f64(), Unit::PerSecond)];
        figures.extend(leasing(&location, &owed).await?);
        figures.extend(serving(setting, &receiver).await?);
        if matches!(setting.engine, Engine::Postgres(_)) {
            figures.push(("files of the store", usage(&location).await?.bytes as f64 / BYTES_PER_MB, Unit::Megabytes));
        }
        let kept = counts_in(&location).await?.waiting;
        // The lanes may have sent their first ones in a run that takes long.
        if kept > waiting || kept + waiting / 100 < waiting {
            bail!("{waiting} deliveries were stored and {kept} are waiting");
        }
        for (place, (what, figure, unit)) in figures.into_iter().enumerate() {
            let row = Row::new(format!("{waiting} waiting: {what}"), figure, unit);
            match first.get(place) {
                Some(&yardstick) => rows.push(row.against("the first", yardstick)),
                None => {
                    first.push(figure);
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
async fn leasing(location: &str, owed: &[Owed]) -> anyhow::Result<Vec<(&'static str, f64, Unit)>> {
    let store = open(location).await?;
    let lanes: Vec<SubscriptionId> = owed.iter().flat_map(|(_, subscriptions)| subscriptions).copied().collect();
    let node = NodeId::from_raw(u128::from(SystemRng.bits()));
    let leases = store.lane_leases(LEASE);
    let claims = match &leases {
        Some(leases) => {
            let claims = leases.claim(node, &lanes, lanes.len()).await?;
            anyhow::ensure!(claims.len() == lanes.len(), "{} of {} lanes were free", claims.len(), lanes.len());
            claims
        }
        None => Vec::new(),
    };
    let (mut first, mut window, mut lease) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..LEASES {
        // Another lane each time, not in the order in which they were made.
        let lane = lanes[number * 617 % lanes.len()];
        let now = SystemClock.now();
        let began = SystemClock.instant();
        let page = store.due(lane, now, &HashSet::new(), FIRST_ROWS).await?;
        first.push(ns_since(began));
        let began = SystemClock.instant();
        store.due(lane, now, &HashSet::new(), WINDOW_ROWS).await?;
        window.push(ns_since(began));
        let row = page.rows.first().context("a lane has nothing due")?;
        let Some(claim) = claims.iter().find(|claim| claim.lane == lane) else { continue };
        let attempt = AttemptId::from_raw(u128::from(SystemRng.bits()));
        let noted =
            Lease { delivery: row.delivery, subscription: lane, epoch: claim.epoch, due_at: row.due_at, attempt, number: 1, at: now };
        let began = SystemClock.instant();
        anyhow::ensure!(store.lease(&noted).await?, "a delivery that is due was not leased");
        lease.push(ns_since(began));
        store.let_go(&noted).await?;
    }
    if let Some(leases) = leases {
        leases.release(node, &claims).await?;
    }
    store.close().await?;
    let mut figures = vec![
        ("10 due rows of a lane, p50", percentile(&mut first, 0.5) / NS_PER_MS, Unit::Milliseconds),
        ("10 due rows of a lane, p99", percentile(&mut first, 0.99) / NS_PER_MS, Unit::Milliseconds),
        ("up to 256 due rows of a lane, p50", percentile(&mut window, 0.5) / NS_PER_MS, Unit::Milliseconds),
        ("up to 256 due rows of a lane, p99", percentile(&mut window, 0.99) / NS_PER_MS, Unit::Milliseconds),
    ];
    if !lease.is_empty() {
        figures.push(("lease, p50", percentile(&mut lease, 0.5) / NS_PER_MS, Unit::Milliseconds));
        figures.push(("lease, p99", percentile(&mut lease, 0.99) / NS_PER_MS, Unit::Milliseconds));
    }
    Ok(figures)
}

fn ns_since(began: tokio::time::Instant) -> u64 {
    u64::try_from(SystemClock.instant().duration_since(began).as_nanos()).unwrap_or(u64::MAX)
}

/// How long a server takes to be ready, and then for single events.
async fn serving(setting: &Setting<'_>, receiver: &Receiver) -> anyhow::Result<Vec<(&'static str, f64, Unit)>> {
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
    Ok(vec![
        ("start to ready", median(&mut starts), Unit::Seconds),
        ("accept, p50", percentile(&mut latencies.to_answer, 0.5) / NS_PER_MS, Unit::Milliseconds),
        ("accept, p99", percentile(&mut latencies.to_answer, 0.99) / NS_PER_MS, Unit::Milliseconds),
        ("call to receiver, p50", percentile(&mut latencies.to_receiver, 0.5) / NS_PER_MS, Unit::Milliseconds),
        ("call to receiver, p99", percentile(&mut latencies.to_receiver, 0.99) / NS_PER_MS, Unit::Milliseconds),
    ])
}
