//! Shows that the loop turns: whoever waits for the beats notices when it hangs, though the process lives.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// What the loop calls, and how often at least.
#[derive(Clone)]
pub struct Heartbeat {
    every: Duration,
    beat: Arc<dyn Fn() + Send + Sync>,
    next: Option<Instant>,
}

impl Heartbeat {
    /// Calls `beat`, which must not wait for anything, in each turn of the loop that comes `every` so long or later.
    #[must_use]
    pub fn new(every: Duration, beat: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { every, beat, next: None }
    }

    /// Beats if it is time to, and tells when it is next.
    pub(super) fn turn(&mut self, instant: Instant) -> Instant {
        match self.next {
            Some(next) if next > instant => next,
            _ => {
                (self.beat)();
                *self.next.insert(instant + self.every)
            }
        }
    }
}

impl std::fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heartbeat").field("every", &self.every).finish_non_exhaustive()
    }
}
