//! The command, and the parts that it plays in child processes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use super::database::Databases;
use super::engine::Engine;
use super::report::Report;
use super::rows::Bench;
use super::yardstick::ClientKind;
use super::{featureless, subject, worker, yardstick};
use crate::cli::Failure;
use crate::clock::{Clock, SystemClock};

/// Seconds of load for each measurement.
const SECONDS: f64 = 4.0;
const SECONDS_QUICK: f64 = 0.4;
/// Events of which the idle latency is taken.
const SAMPLES: u64 = 500;
const SAMPLES_QUICK: u64 = 300;
/// Waiting deliveries.
const WAITING: u64 = 1_000_000;
const WAITING_QUICK: u64 = 100_000;
/// Waiting deliveries of the row `waiting`.
const ROWS: [u64; 2] = [10_000, 100_000];
/// Rounds of the row `nodes`.
const ROUNDS: usize = 3;
/// Most waiting deliveries of the rows `backlog` and `waiting`.
const WAITING_MAX: u64 = 100_000_000;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Everything runs on this machine: server, receiver, load and yardsticks; read the ratios.\nThe whole run takes about four minutes, with `--quick` about half a minute.\ndocs/benchmarks.md tells what each row measures."
)]
pub(in crate::cli) struct BenchArguments {
    /// Short measurements and few waiting deliveries
    #[arg(long)]
    quick: bool,
    /// Only these rows
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROW,…")]
    only: Vec<RowGroup>,
    /// The stores to measure: `sled`, `redb`, `postgres://USER@HOST/DATABASE`
    #[arg(long, value_delimiter = ',', value_name = "STORE,…", default_values = ["sled", "redb"])]
    store: Vec<Engine>,
    /// Seconds of load for each measurement [default: 4, with --quick 0.4]
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Waiting deliveries of the row `backlog` [default: 1000000, with --quick 100000]
    #[arg(long, value_name = "N")]
    waiting: Option<u64>,
    /// How many deliveries wait when the row `waiting` is measured, ascending [default: 10000,100000]
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    rows: Vec<u64>,
    /// How often the row `nodes` is measured; medians are shown [default: 3, with --quick 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Folder in which stores are put while they are measured [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What the server logs, to a file
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum RowGroup {
    /// Durable accepts of single events by 1, 16 and 256 callers
    Accepts,
    /// Reports of advertisers, and what the action ledger costs the events of platforms
    Inbound,
    /// Full cycles of single events: accept, sync, render, send, settle
    Cycle,
    /// Full cycles of events accepted in batches of 100
    Batch,
    /// Idle latency from the call to the receiver
    Latency,
    /// One of ten receivers hangs
    Hang,
    /// Memory, and time to ready after a kill, with many waiting deliveries. Not with Postgres
    Backlog,
    /// One, two and three nodes on Postgres, beside the other stores and a plain queue in a table. Only with Postgres
    Nodes,
    /// How leasing, starting and accepting change as more deliveries wait. Only if it is named
    Waiting,
}

/// The parts of child processes.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Part {
    /// The server
    #[command(hide = true)]
    Server { store: String, data: PathBuf, log: String },
    /// A bare client loop
    #[command(hide = true)]
    Client { kind: ClientKind, receiver: SocketAddr, seconds: f64 },
    /// The featureless durable server
    #[command(hide = true)]
    Featureless { log: PathBuf, receiver: SocketAddr },
    /// A plain queue in a table of Postgres
    #[command(hide = true)]
    Worker { database: String, receiver: SocketAddr, senders: usize },
    /// The store without HTTP
    #[command(hide = true)]
    Store { location: String, callers: usize, deliveries: usize, seconds: f64 },
}

/// How much is measured.
#[derive(Debug)]
pub(super) struct Plan {
    pub groups: BTreeSet<RowGroup>,
    pub time: Duration,
    /// Events of which the idle latency is taken.
    pub samples: u64,
    pub waiting: u64,
    /// Waiting deliveries of the row `waiting`.
    pub rows: Vec<u64>,
    pub rounds: usize,
    /// All stores of the run.
    pub engines: Vec<Engine>,
    pub log: String,
}

impl RowGroup {
    /// What is measured if nothing is named.
    fn usual() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|group| *group != Self::Waiting).collect()
    }
}

/// Where databases are made, if any are needed.
fn databases(engines: &[Engine]) -> Result<Option<Databases>, Failure> {
    let mut addresses = engines.iter().filter_map(|engine| if let Engine::Postgres(address) = engine { Some(address) } else { None });
    let databases = addresses.next().map(|address| Databases::at(address)).transpose()?;
    if addresses.next().is_some() {
        return Err(Failure::usage("`--store` names more than one server of Postgres".to_owned()));
    }
    Ok(databases)
}

pub(in crate::cli) async fn run(arguments: BenchArguments) -> Result<(), Failure> {
    match arguments.part {
        Some(part) => Ok(play(part).await?),
        None => measure(arguments).await,
    }
}

async fn play(part: Part) -> anyhow::Result<()> {
    match part {
        Part::Server { store, data, log } => subject::serve(store, data, log).await,
        Part::Client { kind, receiver, seconds } => yardstick::client_loop(kind, receiver, Duration::try_from_secs_f64(seconds)?).await,
        Part::Featureless { log, receiver } => featureless::serve(&log, receiver).await,
        Part::Worker { database, receiver, senders } => worker::serve(&database, receiver, senders).await,
        Part::Store { location, callers, deliveries, seconds } => {
            yardstick::store_rate(&location, callers, deliveries, Duration::try_from_secs_f64(seconds)?).await
        }
    }
}

async fn measure(arguments: BenchArguments) -> Result<(), Failure> {
    let seconds = arguments.seconds.unwrap_or(if arguments.quick { SECONDS_QUICK } else { SECONDS });
    if !(0.1..=60.0).contains(&seconds) {
        return Err(Failure::usage(format!("`--seconds {seconds}` is not from 0.1 to 60")));
    }
    let rows = if arguments.rows.is_empty() { ROWS.to_vec() } else { arguments.rows };
    if !rows.is_sorted() || rows.iter().any(|rows| !(1..=WAITING_MAX).contains(rows)) {
        return Err(Failure::usage(format!("`--rows` takes ascending numbers from 1 to {WAITING_MAX}")));
    }
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 1 } else { ROUNDS });
    if !(1..=100).contains(&rounds) {
        return Err(Failure::usage(format!("`--rounds {rounds}` is not from 1 to 100")));
    }
    let databases = databases(&arguments.store)?;
    let groups = if arguments.only.is_empty() { RowGroup::usual() } else { arguments.only };
    let plan = Plan {
        groups: groups.into_iter().collect(),
        time: Duration::from_secs_f64(seconds),
        samples: if arguments.quick { SAMPLES_QUICK } else { SAMPLES },
        waiting: arguments.waiting.unwrap_or(if arguments.quick { WAITING_QUICK } else { WAITING }),
        rows,
        rounds,
        engines: arguments.store.clone(),
        log: arguments.log,
    };
    let parent = arguments.data.unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("postrider-bench-")
        .tempdir_in(&parent)
        .with_context(|| format!("no folder can be made in `{}`", parent.display()))?;
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build; its figures say nothing, build with `--release`");
    }
    let mut report = Report::default();
    if let Some(databases) = &databases {
        report.notes.push(databases.settings().await?);
    }
    let mut bench = Bench::new(plan, folder.path().to_owned(), databases.as_ref(), &mut report);
    let started = SystemClock.instant();
    let measured = tokio::select! {
        measured = bench.run() => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; what was measured until then is printed")),
    };
    drop(bench);
    if let Some(databases) = &databases {
        databases.drop_all().await?;
    }
    eprintln!("took {:.0} s", SystemClock.instant().duration_since(started).as_secs_f64());
    if arguments.json {
        println!("{:#}", report.json())
    } else {
        print!("{}", report.table())
    }
    Ok(measured?)
}
