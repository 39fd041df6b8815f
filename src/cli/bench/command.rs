//! The command, and the parts that it plays in child processes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use super::report::Report;
use super::rows::Bench;
use super::yardstick::ClientKind;
use super::{featureless, subject, yardstick};
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
    /// The stores to measure
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STORE,…", default_values = ["sled", "redb"])]
    store: Vec<EngineName>,
    /// Seconds of load for each measurement [default: 4, with --quick 0.4]
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Waiting deliveries of the row `backlog` [default: 1000000, with --quick 100000]
    #[arg(long, value_name = "N")]
    waiting: Option<u64>,
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
    /// Memory, and time to ready after a kill, with many waiting deliveries
    Backlog,
}

/// The stores that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineName {
    /// The default
    Sled,
    /// Recommended for heavy loads
    Redb,
}

impl EngineName {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }
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
    pub log: String,
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
    let groups = if arguments.only.is_empty() { RowGroup::value_variants().to_vec() } else { arguments.only };
    let plan = Plan {
        groups: groups.into_iter().collect(),
        time: Duration::from_secs_f64(seconds),
        samples: if arguments.quick { SAMPLES_QUICK } else { SAMPLES },
        waiting: arguments.waiting.unwrap_or(if arguments.quick { WAITING_QUICK } else { WAITING }),
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
    let mut bench = Bench::new(plan, folder.path().to_owned(), &mut report);
    let started = SystemClock.instant();
    let measured = tokio::select! {
        measured = bench.run(&arguments.store) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; what was measured until then is printed")),
    };
    drop(bench);
    eprintln!("took {:.0} s", SystemClock.instant().duration_since(started).as_secs_f64());
    if arguments.json {
        println!("{:#}", report.json())
    } else {
        print!("{}", report.table())
    }
    Ok(measured?)
}
