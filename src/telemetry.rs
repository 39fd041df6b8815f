//! Logs: one line per happening, readable by people or as JSON, to standard error.
//!
//! Lines are written by a thread of their own. Whoever reads them may stop reading; then lines are
//! dropped and counted, and nothing waits for them.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::reload;

use crate::config::LogFormat;

/// Why logging was not set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter `{0}` cannot be read; write a level like `info`, or `module=level` pairs with commas")]
    Filter(String),
    /// The thread that writes the lines did not start.
    #[error("the log did not start; the operating system gives no more threads")]
    Thread(#[source] io::Error),
}

/// Most lines that wait to be written.
const LINES_WAITING_MAX: usize = 8_192;
/// How long the end of the program waits for the last lines.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Keeps the log; dropped, it waits a moment until the lines so far are written.
#[must_use]
pub struct Log {
    lines: Lines,
    filter: Option<SetFilter>,
}

/// Changes the filter of a log that has started.
type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Log {
    /// Logs by another filter from now on. A log that was not the first in its process has no filter of its own.
    ///
    /// # Errors
    /// [`TelemetryError::Filter`] if `filter` is no list of levels; the present one holds.
    pub fn set_filter(&self, filter: &str) -> Result<(), TelemetryError> {
        let wrong = || TelemetryError::Filter(filter.to_owned());
        let parsed = EnvFilter::try_new(filter).map_err(|_| wrong())?;
        self.filter.as_ref().map_or(Ok(()), |set| set(parsed).map_err(|_| wrong()))
    }
}

/// Checks the text of a filter.
///
/// # Errors
/// [`TelemetryError::Filter`] if it is no list of levels.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    EnvFilter::try_new(filter).map(drop).map_err(|_| TelemetryError::Filter(filter.to_owned()))
}

/// Starts logging for this process; a second call changes nothing.
///
/// # Errors
/// [`TelemetryError::Filter`] if `filter` is no list of levels, [`TelemetryError::Thread`] if there is no thread for it.
pub fn start(format: LogFormat, filter: &str) -> Result<Log, TelemetryError> {
    let filter = EnvFilter::try_new(filter).map_err(|_| TelemetryError::Filter(filter.to_owned()))?;
    let lines = Lines::start(io::stderr()).map_err(TelemetryError::Thread)?;
    let builder = fmt().with_env_filter(filter).with_writer(lines.clone()).with_target(false);
    // A second server in the same process logs by the first one's rule.
    let filter: Option<SetFilter> = match format {
        LogFormat::Text => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let builder = builder.with_ansi(terminal && !plain).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().ok().map(|()| -> SetFilter { Box::new(move |filter| handle.reload(filter)) })
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().ok().map(|()| -> SetFilter { Box::new(move |filter| handle.reload(filter)) })
        }
    };
    Ok(Log { lines, filter })
}

impl Drop for Log {
    fn drop(&mut self) {
        let (written, heard) = sync_channel(1);
        // Where lines wait because nobody reads, there is nothing to wait for.
        if self.lines.sender.try_send(Message::Flush(written)).is_ok() {
            let _ = heard.recv_timeout(FLUSH_MAX);
        }
    }
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where lines are handed over.
#[derive(Debug, Clone)]
struct Lines {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(LINES_WAITING_MAX);
        let lines = Self { sender, dropped: Arc::default() };
        let dropped = Arc::clone(&lines.dropped);
        std::thread::Builder::new().name("log".into()).spawn(move || write_lines(&receiver, out, &dropped))?;
        Ok(lines)
    }
}

fn write_lines(receiver: &Receiver<Message>, mut out: impl Write, dropped: &AtomicU64) {
    for message in receiver {
        match message {
            // Whoever read the lines has gone; the program goes on without.
            Message::Line(line) => drop(out.write_all(&line).and_then(|()| out.flush())),
            // Whoever asked has stopped waiting.
            Message::Flush(written) => drop(written.send(())),
        }
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            tracing::warn!(count, "log lines were dropped, since they were not read fast enough");
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    /// Takes a whole line or drops it. The formatter writes each line at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Message::Line(bytes.to_vec())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that has stopped reading until it is told to go on.
    struct Blocked(Receiver<()>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn g17_lines_that_nobody_reads_are_dropped_and_counted() {
        let (_hold, held) = sync_channel(0);
        let mut lines = Lines::start(Blocked(held)).unwrap();
        for _ in 0..LINES_WAITING_MAX + 100 {
            lines.write_all(b"line\n").unwrap();
        }
        // One may have been taken and is being written.
        assert!((99..=100).contains(&lines.dropped.load(Ordering::Relaxed)));
        drop(Log { lines, filter: None });
    }

    #[test]
    fn the_end_waits_for_the_last_line() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::start(writer).unwrap();
        lines.write_all(b"last\n").unwrap();
        drop(Log { lines, filter: None });
        let text: Vec<_> = io::BufRead::lines(io::BufReader::new(reader)).map(Result::unwrap).collect();
        assert_eq!(text, ["last"]);
    }
}
