//! Child processes: this program again, in another part, and what the kernel knows of them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::sync::oneshot;

/// Length of a clock tick in `/proc`; the same on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// How long a child may take to get ready, or to end after its input ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child that said it is ready. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    lines: Option<BufReader<ChildStdout>>,
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// CPU time of all its threads, in user and kernel mode.
    pub cpu: Duration,
    /// Memory now, and the most so far.
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
}

impl Child {
    /// Starts this program with `postrider bench <part>`; answers with what it says when it is ready.
    /// Its standard error goes to `log`.
    pub async fn start(part: &[&str], log: &Path) -> anyhow::Result<(Self, Value)> {
        let program = std::env::current_exe().context("this program's own file cannot be found")?;
        let log_file =
            File::options().create(true).append(true).open(log).with_context(|| format!("`{}` cannot be written", log.display()))?;
        let mut process = Command::new(program)
            .arg("bench")
            .args(part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .context("a part of the benchmark cannot be started")?;
        let (input, lines) = (process.stdin.take(), process.stdout.take().map(BufReader::new));
        let mut child = Self { process, input, lines };
        let ready = child.line().await.with_context(|| format!("`bench {}` did not start; see `{}`", part.join(" "), log.display()))?;
        Ok((child, ready))
    }

    /// The next line it says.
    pub async fn line(&mut self) -> anyhow::Result<Value> {
        let mut lines = self.lines.take().context("nothing more can be read from it")?;
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            lines.read_line(&mut line).map(|_| (line, lines))
        });
        let (line, lines) = tokio::time::timeout(PATIENCE, reading).await.context("it said nothing for a minute")???;
        self.lines = Some(lines);
        if line.is_empty() {
            bail!("it ended without a word");
        }
        serde_json::from_str(&line).with_context(|| format!("it said `{}`", line.trim()))
    }

    pub fn usage(&self) -> anyhow::Result<Usage> {
        usage_of(&self.process.id().to_string())
    }

    /// Ends its input and waits until it has stopped in order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        let stopping = tokio::task::spawn_blocking(move || {
            let mut rest = Vec::new();
            let read = self.lines.as_mut().map_or(Ok(0), |lines| lines.read_to_end(&mut rest));
            read.and_then(|_| self.process.wait())
        });
        let status = tokio::time::timeout(PATIENCE, stopping).await.context("a part of the benchmark did not stop")???;
        if !status.success() {
            bail!("a part of the benchmark ended with {status}");
        }
        Ok(())
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(self) {}
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child: resolves when its parent wants it to stop, or is gone. If stopping takes long, the
/// process ends anyway.
pub(super) async fn parent_left() {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // Nothing is ever written to it: it ends, or it breaks.
        let _ = std::io::stdin().read(&mut [0]);
        let _ = sender.send(());
        std::thread::sleep(PATIENCE);
        std::process::exit(1);
    });
    let _ = receiver.await;
}

/// What this process has used.
pub(super) fn own_usage() -> anyhow::Result<Usage> {
    usage_of("self")
}

fn usage_of(process: &str) -> anyhow::Result<Usage> {
    let memory = std::fs::read_to_string(format!("/proc/{process}/status")).context("memory in use cannot be read from /proc")?;
    let kilobytes = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Ok(Usage {
        cpu: ticks(&cpu_ticks(process)?[..2]),
        memory_bytes: 1_024 * kilobytes("VmRSS:"),
        memory_peak_bytes: 1_024 * kilobytes("VmHWM:"),
    })
}

/// User, system, and the same of ended children, in ticks.
fn cpu_ticks(process: &str) -> anyhow::Result<[u64; 4]> {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).context("CPU time cannot be read from /proc")?;
    // The name of the program stands in brackets and may hold blanks.
    let fields: Vec<_> = line.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |place: usize| fields.get(place).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok([field(11), field(12), field(13), field(14)])
}

/// The number of the process that started this one.
fn parent_of(process: &str) -> Option<String> {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    line.rsplit(')').next()?.split_whitespace().nth(1).map(str::to_owned)
}

/// Whether this process of this machine was started by a program of this name.
pub(super) fn is_started_by(name: &str, process: i32) -> bool {
    let parent = parent_of(&process.to_string());
    let found = parent.and_then(|parent| std::fs::read_to_string(format!("/proc/{parent}/comm")).ok());
    found.is_some_and(|found| found.trim() == name)
}

/// CPU time of whoever started this process, and of all that it started, ended ones included.
pub(super) fn cpu_of_family(process: i32) -> anyhow::Result<Duration> {
    let parent = parent_of(&process.to_string()).context("the parent of a process cannot be read from /proc")?;
    let mut cpu = ticks(&cpu_ticks(&parent)?);
    for entry in std::fs::read_dir("/proc").context("/proc cannot be read")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else { continue };
        if parent_of(process).as_deref() == Some(&parent) {
            // It may have ended meanwhile, and is then counted with its parent the next time.
            cpu += cpu_ticks(process).map_or(Duration::ZERO, |counts| ticks(&counts[..2]));
        }
    }
    Ok(cpu)
}

fn ticks(counts: &[u64]) -> Duration {
    TICK.saturating_mul(u32::try_from(counts.iter().sum::<u64>()).unwrap_or(u32::MAX))
}

/// CPU time that the machine has spent, by all processes and by this one with its ended children.
#[derive(Debug, Clone, Copy)]
pub(super) struct MachineUse {
    all: Duration,
    own: Duration,
}

impl MachineUse {
    /// Until this moment. Call it while no child is running: only ended ones are counted as own.
    pub fn so_far() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("CPU time cannot be read from /proc")?;
        let counts: Vec<u64> =
            text.lines().next().unwrap_or_default().split_whitespace().skip(1).map(|text| text.parse().unwrap_or(0)).collect();
        // User, nice, system; idle and waiting for the disk; interrupts; taken by the host.
        let busy: Vec<u64> =
            counts.iter().take(8).enumerate().filter(|(place, _)| ![3, 4].contains(place)).map(|(_, count)| *count).collect();
        Ok(Self { all: ticks(&busy), own: ticks(&cpu_ticks("self")?) })
    }

    /// CPU time since `earlier` that was not this benchmark's, the kernel's own work included.
    pub fn others_since(self, earlier: Self) -> Duration {
        (self.all.saturating_sub(earlier.all)).saturating_sub(self.own.saturating_sub(earlier.own))
    }
}
