//! How it stands a backlog: memory with many waiting deliveries, and the time to ready after a kill.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::{Advice, fadvise};

use super::Setting;
use crate::cli::bench::load::{self, Load, call};
use crate::cli::bench::report::{Goal, Row, Unit};
use crate::clock::{Clock, SystemClock};
use std::time::Duration;

/// Paused subscriptions that each event is owed to.
const SUBSCRIPTIONS: u64 = 4;
/// Events in one call, and callers.
const BATCH: u64 = 100;
const CALLERS: usize = 8;
/// Longest time for filling; what is waiting then has to do.
const FILL_MAX: Duration = Duration::from_secs(75);

const BYTES_PER_MB: f64 = 1e6;

pub(super) async fn backlog(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let server = setting.server("server").await?;
    server.create_account("backlog").await?;
    for _ in 0..SUBSCRIPTIONS {
        server.subscribe("backlog", "http://127.0.0.1:9/", "paused", Duration::from_secs(10)).await?;
    }
    let calls_max = setting.plan.waiting.div_ceil(BATCH * SUBSCRIPTIONS);
    let load = Load { calls_max, ..Load::closed(CALLERS, FILL_MAX) };
    let stopwatch = setting.stopwatch;
    let called = call(&server.events, load, move |number| load::batch("backlog", number, BATCH, stopwatch).into()).await?;
    let waiting = called.calls * BATCH * SUBSCRIPTIONS;
    let filled = server.usage()?;
    eprintln!("  {waiting} deliveries are waiting; killing the server");
    server.kill();

    let folder = setting.folder.join("server");
    forget_cached(&folder)?;
    let started = SystemClock.instant();
    let server = setting.server("server").await?;
    let ready_after = SystemClock.instant().duration_since(started);
    let restarted = server.usage()?;
    let kept = server.stop().await?.waiting;
    if kept != waiting {
        bail!("{waiting} deliveries were acknowledged before the kill and {kept} are in the store");
    }
    let bytes = bytes_below(&folder.join("store"))?;
    let memory_goal = || setting.goal(Goal::AtMost(350.0), Goal::AtMost(300.0));
    let of = |what: &str| format!("{waiting} waiting: {what}");
    let megabytes = |what: &str, bytes: u64| Row::new(of(what), bytes as f64 / BYTES_PER_MB, Unit::Megabytes);
    Ok(vec![
        Row::new(of("deliveries written while filling"), called.per_second() * (BATCH * SUBSCRIPTIONS) as f64, Unit::PerSecond)
            .cpu_us(filled.cpu.as_secs_f64() * 1e6 / waiting.max(1) as f64),
        megabytes("memory, most while filling", filled.memory_peak_bytes).goal(memory_goal()),
        megabytes("memory after the restart", restarted.memory_bytes).goal(memory_goal()),
        Row::new(of("ready after kill -9, files not cached"), ready_after.as_secs_f64(), Unit::Seconds)
            .goal(setting.goal(Goal::AtMost(3.0), Goal::AtMost(2.0))),
        megabytes("files of the store", bytes),
    ])
}

/// Has the kernel forget what it has cached of the files in `folder`, as after a start of the machine.
fn forget_cached(folder: &Path) -> anyhow::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget_cached(&entry.path())?;
        } else {
            let file = File::open(entry.path()).with_context(|| format!("`{}` cannot be read", entry.path().display()))?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
