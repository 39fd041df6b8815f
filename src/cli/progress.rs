//! Progress of long commands, on standard error: one line that is rewritten on a terminal, lines of JSON
//! for programs.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};

/// How often a person is told.
const EVERY_FOR_PEOPLE: Duration = Duration::from_millis(200);
/// How often a program is told.
const EVERY_FOR_PROGRAMS: Duration = Duration::from_secs(2);

/// What a command has done so far.
#[derive(Debug)]
pub(super) struct Progress {
    action: &'static str,
    done: u64,
    total: Option<u64>,
    terminal: bool,
    told_at: Instant,
    told: bool,
}

impl Progress {
    /// Nothing yet of `action`, such as `copied`; `total` if it is known.
    pub fn new(action: &'static str, total: Option<u64>) -> Self {
        Self { action, done: 0, total, terminal: std::io::stderr().is_terminal(), told_at: SystemClock.instant(), told: false }
    }

    /// How many there are in all, as far as is known by now.
    pub fn expect(&mut self, total: Option<u64>) {
        self.total = total;
    }

    /// So many more are done.
    pub fn add(&mut self, count: u64) {
        self.set(self.done + count);
    }

    /// So many are done in all.
    pub fn set(&mut self, done: u64) {
        self.done = done;
        let now = SystemClock.instant();
        let every = if self.terminal { EVERY_FOR_PEOPLE } else { EVERY_FOR_PROGRAMS };
        if now.duration_since(self.told_at) >= every {
            self.told_at = now;
            self.tell();
        }
    }

    /// The last word, always told.
    pub fn end(mut self) {
        self.tell();
        if self.terminal && self.told {
            eprintln!();
        }
    }

    fn tell(&mut self) {
        self.told = true;
        let text = if self.terminal { self.line() } else { self.json() };
        // Nobody may be reading; that must not end the command.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn line(&self) -> String {
        match self.total {
            Some(total) if total > 0 => {
                format!("\r\x1b[K{} {} of {total} ({} %)", self.action, self.done, self.done.saturating_mul(100) / total)
            }
            _ => format!("\r\x1b[K{} {}", self.action, self.done),
        }
    }

    fn json(&self) -> String {
        format!("{}\n", serde_json::json!({"progress": self.action, "done": self.done, "total": self.total}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_programs_are_told_the_same() {
        let mut progress = Progress::new("copied", Some(200));
        progress.add(50);
        assert_eq!(progress.line(), "\r\x1b[Kcopied 50 of 200 (25 %)");
        assert_eq!(progress.json(), "{\"progress\":\"copied\",\"done\":50,\"total\":200}\n");
    }
}
