//! Several nodes on Postgres, beside one server on the other stores and a plain queue in a table.
//!
//! All are measured in turn, round after round, and the medians of the rounds are shown: what disturbs the
//! machine for a while then disturbs all of them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;

use super::throughput::{SETTLED_AFTER, TIMEOUT};
use super::{ARRIVAL_PATIENCE, Setting, cpu_each, location, median};
use crate::cli::bench::database::{DatabaseUse, count_of, usage};
use crate::cli::bench::engine::Engine;
use crate::cli::bench::load::{self, Load, Target, call_all};
use crate::cli::bench::process::Child;
use crate::cli::bench::receiver::Receiver;
use crate::cli::bench::report::{Row, Unit};
use crate::cli::bench::subject::{Subject, counts_in};
use crate::cli::bench::worker;
use crate::clock::{Clock, SystemClock};
use crate::store::Counts;

/// Subscriptions that full cycles are spread over, so that each node has lanes.
const LANES: u64 = 12;
/// Callers of full cycles, and of accepts.
const CYCLE_CALLERS: usize = 64;
const ACCEPT_CALLERS: usize = 256;
/// Most nodes.
const NODES_MAX: usize = 3;
/// How long nodes may take to have spread their lanes; two thirds of a lease, and what a busy machine needs.
const SPREAD_MAX: Duration = Duration::from_secs(40);
const SPREAD_LOOK: Duration = Duration::from_millis(200);

const YARDSTICK: &str = "SKIP LOCKED worker";

/// Who is measured.
#[derive(Debug, Clone)]
enum Contender {
    /// The plain queue.
    Worker,
    /// One server on an embedded store.
    Embedded(Engine),
    /// This many nodes on Postgres.
    Nodes(usize, Engine),
}

/// What one round came to.
#[derive(Debug, Clone, Copy)]
struct Measured {
    cycles: Rate,
    accepts: Rate,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: f64,
    /// Of the servers' own processes.
    cpu_us: f64,
    /// What the database used, and for how many operations.
    database: Option<(DatabaseUse, u64)>,
}

/// One of the two.
type Part = fn(&Measured) -> Rate;

pub(super) async fn nodes(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let mut contenders = vec![Contender::Worker];
    let embedded = setting.plan.engines.iter().filter(|engine| !matches!(engine, Engine::Postgres(_)));
    contenders.extend(embedded.cloned().map(Contender::Embedded));
    contenders.extend((1..=NODES_MAX).map(|count| Contender::Nodes(count, setting.engine.clone())));
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); contenders.len()];
    for round in 0..setting.plan.rounds {
        for (place, contender) in contenders.iter().enumerate() {
            eprintln!("  round {} of {}: {}", round + 1, setting.plan.rounds, contender.name());
            let name = format!("{round}-{place}");
            measured[place].push(contender.measure(setting, &name).await.with_context(|| contender.name())?);
            if let Some(databases) = setting.databases {
                databases.drop_all().await?;
            }
        }
    }
    Ok(rows(&contenders, &measured))
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Self::Worker => YARDSTICK.to_owned(),
            Self::Embedded(_) => "1 server".to_owned(),
            Self::Nodes(1, _) => "1 node".to_owned(),
            Self::Nodes(count, _) => format!("{count} nodes"),
        }
    }

    const fn store(&self) -> &'static str {
        match self {
            Self::Worker => "postgres",
            Self::Embedded(engine) | Self::Nodes(_, engine) => engine.name(),
        }
    }

    async fn measure(&self, setting: &Setting<'_>, name: &str) -> anyhow::Result<Measured> {
        match self {
            Self::Worker => measure_worker(setting, name).await,
            Self::Embedded(engine) => measure_servers(setting, engine, 1, name).await,
            Self::Nodes(count, engine) => measure_servers(setting, engine, *count, name).await,
        }
    }
}

fn rows(contenders: &[Contender], measured: &[Vec<Measured>]) -> Vec<Row> {
    let mut rows = Vec::new();
    let parts: [(&str, Part); 2] = [("full cycles, 64 callers", |one| one.cycles), ("accepts, 256 callers", |one| one.accepts)];
    for (what, part) in parts {
        let figure = |place: usize, of: &dyn Fn(Rate) -> Option<f64>| {
            let mut values: Vec<f64> = measured[place].iter().filter_map(|one| of(part(one))).collect();
            (!values.is_empty()).then(|| median(&mut values))
        };
        let mut add = |what: &str, of: &dyn Fn(Rate) -> Option<f64>, unit: Unit| {
            let yardstick = figure(0, of);
            for (place, contender) in contenders.iter().enumerate() {
                let Some(value) = figure(place, of) else { continue };
                let mut row = Row::new(format!("{what}: {}", contender.name()), value, unit);
                if let (Unit::PerSecond, Some(cpu)) = (unit, figure(place, &|rate| Some(rate.cpu_us))) {
                    row = row.cpu_us(cpu);
                }
                if let (1.., Some(yardstick)) = (place, yardstick) {
                    row = row.against(YARDSTICK, yardstick);
                }
                row.store = contender.store();
                rows.push(row);
            }
        };
        add(what, &|rate| Some(rate.per_second), Unit::PerSecond);
        let each = |of: fn(DatabaseUse) -> Option<f64>| {
            move |rate: Rate| rate.database.and_then(|(used, count)| Some(of(used)? / count.max(1) as f64))
        };
        let kind = what.split(',').next().unwrap_or(what);
        add(&format!("{kind}: CPU of the database"), &each(|used| used.cpu.map(|cpu| cpu.as_secs_f64() * 1e6)), Unit::Microseconds);
        add(&format!("{kind}: write-ahead log"), &each(|used| Some(used.wal_bytes as f64)), Unit::Bytes);
        add(&format!("{kind}: transactions"), &each(|used| Some(used.transactions as f64)), Unit::Count);
        add(&format!("{kind}: size of the database"), &each(|used| Some(used.bytes as f64)), Unit::Bytes);
    }
    rows
}

/// An event for each subscription in turn.
fn event_of_cycle(setting: &Setting<'_>) -> impl Fn(u64) -> Bytes + Send + Sync + 'static {
    let stopwatch = setting.stopwatch;
    move |number| load::event(&format!("cycle{}", number % LANES), number, stopwatch).into()
}

async fn measure_worker(setting: &Setting<'_>, name: &str) -> anyhow::Result<Measured> {
    let receiver = Receiver::start(setting.stopwatch).await?;
    let (cycles, counted) = run_worker(setting, &format!("{name}-cycle"), &receiver, worker::SENDERS).await?;
    if receiver.arrived() != counted {
        bail!("{counted} deliveries were owed and {} requests arrived", receiver.arrived());
    }
    let (accepts, _) = run_worker(setting, &format!("{name}-accept"), &receiver, 0).await?;
    Ok(Measured { cycles, accepts })
}

/// Has a worker with this many senders take calls, and send what it takes if it has any.
async fn run_worker(setting: &Setting<'_>, name: &str, receiver: &Receiver, senders: usize) -> anyhow::Result<(Rate, u64)> {
    let database = setting.location(name).await?;
    let part = ["worker", &database, &receiver.address.to_string(), &senders.to_string()];
    let (child, ready) = Child::start(&part, &setting.log_of_parts()).await?;
    let address: SocketAddr = ready["address"].as_str().unwrap_or_default().parse()?;
    let target = Target { address, path: "/".into(), key: None };
    let callers = if senders == 0 { ACCEPT_CALLERS } else { CYCLE_CALLERS };
    let (before, started) = (usage(&database).await?, SystemClock.instant());
    let called = call_all(&[target], Load::closed(callers, setting.plan.time), event_of_cycle(setting)).await?;
    if senders > 0 {
        receiver.wait_for(called.calls, ARRIVAL_PATIENCE).await?;
    }
    let elapsed = SystemClock.instant().duration_since(started);
    tokio::time::sleep(SETTLED_AFTER).await;
    let cpu = child.usage()?.cpu;
    child.stop().await?;
    let used = usage(&database).await?.since(before);
    let kept = count_of(&database, if senders == 0 { worker::WAITING } else { worker::DELIVERED }).await?;
    if kept != called.calls {
        bail!("{} calls were answered and {kept} rows are in the table", called.calls);
    }
    let per_second = called.calls as f64 / elapsed.as_secs_f64();
    let cpu_us = cpu_each(Duration::ZERO, cpu, called.calls);
    Ok((Rate { per_second, cpu_us, database: Some((used, called.calls)) }, called.calls))
}

/// Servers that share a store.
struct Fleet {
    nodes: Vec<Subject>,
}

impl Fleet {
    /// Starts `count` servers, each in a folder of its own with the keys of the first.
    async fn start(location: &str, folder: &Path, count: usize, log: &str) -> anyhow::Result<Self> {
        let first = folder.join("node0");
        let mut nodes = Vec::with_capacity(count);
        for number in 0..count {
            let own = folder.join(format!("node{number}"));
            std::fs::create_dir_all(&own)?;
            for key in ["operator.key", "master.key"] {
                if number > 0 && first.join(key).exists() {
                    std::fs::copy(first.join(key), own.join(key))?;
                }
            }
            nodes.push(Subject::start(location, &own, log).await?);
        }
        Ok(Self { nodes })
    }

    fn targets(&self) -> Vec<Target> {
        self.nodes.iter().map(|node| node.events.clone()).collect()
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        self.nodes.iter().map(|node| Ok(node.usage()?.cpu)).sum()
    }

    /// Waits until each node owns its share of the lanes.
    async fn spread(&self) -> anyhow::Result<()> {
        let began = SystemClock.instant();
        loop {
            let lanes = self.nodes[0].lanes().await?;
            let (least, most) = (lanes.iter().min().copied().unwrap_or(0), lanes.iter().max().copied().unwrap_or(0));
            if lanes.len() == self.nodes.len() && most - least <= 1 && lanes.iter().sum::<u64>() == LANES {
                return Ok(());
            }
            if SystemClock.instant().duration_since(began) > SPREAD_MAX {
                bail!("the nodes own {lanes:?} of {LANES} lanes after {SPREAD_MAX:?}");
            }
            tokio::time::sleep(SPREAD_LOOK).await;
        }
    }

    /// Stops them in order, and counts what their store holds then.
    async fn stop(self, location: &str) -> anyhow::Result<Counts> {
        for node in self.nodes {
            node.end().await?;
        }
        counts_in(location).await
    }
}

async fn measure_servers(setting: &Setting<'_>, engine: &Engine, count: usize, name: &str) -> anyhow::Result<Measured> {
    let folder = setting.folder.join(name);
    let location = location(engine, setting.databases, &setting.folder, name).await?;
    let receiver = Receiver::start(setting.stopwatch).await?;
    let fleet = Fleet::start(&location, &folder, count, &setting.plan.log).await?;
    let url = format!("http://{}/", receiver.address);
    for lane in 0..LANES {
        let account = format!("cycle{lane}");
        fleet.nodes[0].create_account(&account).await?;
        fleet.nodes[0].subscribe(&account, &url, "active", TIMEOUT).await?;
    }
    fleet.nodes[0].create_account("paused").await?;
    fleet.nodes[0].subscribe("paused", &url, "paused", TIMEOUT).await?;
    let is_shared = matches!(engine, Engine::Postgres(_));
    if is_shared {
        fleet.spread().await?;
    }
    let used = async || if is_shared { usage(&location).await.map(Some) } else { Ok(None) };

    let (before, cpu_before, started) = (used().await?, fleet.cpu()?, SystemClock.instant());
    let load = Load::closed(CYCLE_CALLERS, setting.plan.time);
    let owed = call_all(&fleet.targets(), load, event_of_cycle(setting)).await?.calls;
    receiver.wait_for(owed, ARRIVAL_PATIENCE).await?;
    let elapsed = SystemClock.instant().duration_since(started);
    tokio::time::sleep(SETTLED_AFTER).await;
    let (between, cpu_between) = (used().await?, fleet.cpu()?);
    let costs = |before: Option<DatabaseUse>, after: Option<DatabaseUse>, count| Some((after?.since(before?), count));
    let cycles = Rate {
        per_second: owed as f64 / elapsed.as_secs_f64(),
        cpu_us: cpu_each(cpu_before, cpu_between, owed),
        database: costs(before, between, owed),
    };

    let stopwatch = setting.stopwatch;
    let load = Load::closed(ACCEPT_CALLERS, setting.plan.time);
    let called = call_all(&fleet.targets(), load, move |number| load::event("paused", number, stopwatch).into()).await?;
    let cpu_us = cpu_each(cpu_between, fleet.cpu()?, called.calls);
    let accepts = Rate { per_second: called.per_second(), cpu_us, database: costs(between, used().await?, called.calls) };

    let kept = fleet.stop(&location).await?;
    if kept.delivered != owed || receiver.arrived() != owed {
        bail!("{owed} deliveries were owed, {} requests arrived and {} were settled as delivered", receiver.arrived(), kept.delivered);
    }
    if kept.waiting != called.calls {
        bail!("{} deliveries were acknowledged and {} are in the store", called.calls, kept.waiting);
    }
    Ok(Measured { cycles, accepts })
}
