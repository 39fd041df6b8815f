//! The run: for each store, group after group, each in a fresh folder and with its own yardsticks.

mod backlog;
mod nodes;
mod responsiveness;
mod throughput;
mod waiting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::Value;

use super::command::{Plan, RowGroup};
use super::database::Databases;
use super::engine::Engine;
use super::process::{Child, MachineUse};
use super::receiver::Stopwatch;
use super::report::{Goal, Report, Row};
use super::subject::Subject;
use crate::clock::{Clock, SystemClock};

/// How long the receivers wait for a request that is owed, before the row is given up.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(15);

/// A run.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    plan: Plan,
    folder: PathBuf,
    stopwatch: Stopwatch,
    databases: Option<&'a Databases>,
    report: &'a mut Report,
}

/// What the rows of one group are measured with.
#[derive(Debug)]
struct Setting<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    /// Where stores and logs are put; removed after the group.
    folder: PathBuf,
    stopwatch: Stopwatch,
    databases: Option<&'a Databases>,
}

impl<'a> Bench<'a> {
    pub fn new(plan: Plan, folder: PathBuf, databases: Option<&'a Databases>, report: &'a mut Report) -> Self {
        Self { plan, folder, stopwatch: Stopwatch::start(), databases, report }
    }

    pub async fn run(&mut self) -> anyhow::Result<()> {
        for engine in self.plan.engines.clone() {
            for group in self.plan.groups.clone() {
                let only = match group {
                    RowGroup::Nodes => Some(true),
                    RowGroup::Backlog => Some(false),
                    _ => None,
                };
                if only.is_some_and(|only| only != matches!(engine, Engine::Postgres(_))) {
                    continue;
                }
                let name = group.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
                eprintln!("{}: {name}", engine.name());
                self.measure(&engine, group, &name)
                    .await
                    .with_context(|| format!("the row `{name}` of {} was not measured", engine.name()))?;
            }
        }
        Ok(())
    }

    async fn measure(&mut self, engine: &Engine, group: RowGroup, name: &str) -> anyhow::Result<()> {
        let folder = self.folder.join(format!("{}-{name}", engine.name()));
        std::fs::create_dir(&folder)?;
        let (plan, stopwatch, databases) = (&self.plan, self.stopwatch, self.databases);
        let setting = Setting { engine, plan, folder: folder.clone(), stopwatch, databases };
        let (used_before, started) = (MachineUse::so_far()?, SystemClock.instant());
        let rows = match group {
            RowGroup::Accepts => throughput::accepts(&setting).await?,
            RowGroup::Inbound => throughput::inbound(&setting).await?,
            RowGroup::Cycle => throughput::cycle(&setting).await?,
            RowGroup::Batch => throughput::batch(&setting).await?,
            RowGroup::Latency => responsiveness::latency(&setting).await?,
            RowGroup::Hang => responsiveness::hang(&setting).await?,
            RowGroup::Backlog => backlog::backlog(&setting).await?,
            RowGroup::Nodes => nodes::nodes(&setting).await?,
            RowGroup::Waiting => waiting::waiting(&setting).await?,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let available = SystemClock.instant().duration_since(started).mul_f64(cores as f64);
        let others = MachineUse::so_far()?.others_since(used_before).as_secs_f64() / available.as_secs_f64();
        let named = |row: &Row| if row.store.is_empty() { engine.name() } else { row.store };
        self.report.rows.extend(rows.into_iter().map(|row| Row { store: named(&row), others, ..row }));
        std::fs::remove_dir_all(folder)?;
        if let Some(databases) = self.databases {
            databases.drop_all().await?;
        }
        Ok(())
    }
}

impl Setting<'_> {
    /// A server on a fresh store of this name.
    async fn server(&self, name: &str) -> anyhow::Result<Subject> {
        Subject::start(&self.location(name).await?, &self.folder.join(name), &self.plan.log).await
    }

    /// Where the store of this name is, in which nothing has to be yet.
    async fn location(&self, name: &str) -> anyhow::Result<String> {
        location(self.engine, self.databases, &self.folder, name).await
    }

    /// A goal that there is for the embedded stores.
    fn goal(&self, sled: Goal, redb: Goal) -> Option<Goal> {
        match self.engine {
            Engine::Sled => Some(sled),
            Engine::Redb => Some(redb),
            Engine::Postgres(_) => None,
        }
    }

    /// The featureless server, sending to `receiver`, and where it listens.
    async fn featureless(&self, receiver: SocketAddr) -> anyhow::Result<(Child, SocketAddr)> {
        let log = self.folder.join("featureless");
        let (child, ready) = Child::start(&["featureless", path_text(&log)?, &receiver.to_string()], &self.log_of_parts()).await?;
        Ok((child, ready["address"].as_str().unwrap_or_default().parse()?))
    }

    /// What a yardstick says that runs by itself for the time of a measurement.
    async fn yardstick(&self, part: &[&str]) -> anyhow::Result<Value> {
        let seconds = self.plan.time.as_secs_f64().to_string();
        let (child, said) = Child::start(&[part, &[&seconds]].concat(), &self.log_of_parts()).await?;
        child.stop().await?;
        Ok(said)
    }

    fn log_of_parts(&self) -> PathBuf {
        self.folder.join("parts.log")
    }
}

/// Where a store of this engine and name is.
async fn location(engine: &Engine, databases: Option<&Databases>, folder: &std::path::Path, name: &str) -> anyhow::Result<String> {
    match engine {
        Engine::Sled | Engine::Redb => {
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder)?;
            Ok(format!("{}:{}", engine.name(), path_text(&folder.join("store"))?))
        }
        Engine::Postgres(_) => {
            let group = folder.file_name().and_then(|name| name.to_str()).unwrap_or("group");
            databases.context("no server for databases was named")?.make(&format!("{group}_{name}")).await
        }
    }
}

fn path_text(path: &std::path::Path) -> anyhow::Result<&str> {
    path.to_str().context("the path of the data folder is no UTF-8")
}

/// The value below which this share of `values` lies. Sorts them.
fn percentile(values: &mut [u64], share: f64) -> f64 {
    values.sort_unstable();
    let place = (values.len() as f64 * share) as usize;
    values.get(place.min(values.len().saturating_sub(1))).map_or(f64::NAN, |&value| value as f64)
}

/// The median. Sorts them.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Microseconds of CPU for each of `count`.
fn cpu_each(before: Duration, after: Duration, count: u64) -> f64 {
    after.saturating_sub(before).as_secs_f64() * 1e6 / count.max(1) as f64
}
