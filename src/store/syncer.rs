//! The sync beside the writes: one thread that makes safe what the writer has written.
//!
//! The writer hands over durable changes when they are written. A sync covers what was handed over
//! before it began; what comes while it runs waits for the next one. So a slow sync makes accepts wait,
//! and not attempts that are settled.
//!
//! A change that is answered at once may follow one that waits here, so that its news come first. One
//! case of that matters: a lane may have found a row in its index before it is told of it, and have sent
//! and settled it. Told of it afterwards, it would send it again; so a settled delivery is taken out of
//! what lanes are still to be told.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

use super::health::Health;
use super::kv::{Kv, KvError};
use super::notices::CommitNotices;
use super::writer::Decided;
use crate::clock::Clock;
use crate::id::{DeliveryId, SubscriptionId};

/// How long a relaxed change may be unsynced.
pub(super) const UNSYNCED_MAX: Duration = Duration::from_millis(50);

/// The thread. Dropped, it ends with the sync that is under way, and answers nothing any more.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer and the thread share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct State {
    /// Written after the last sync began.
    written: Decided,
    /// Written before the sync that is under way.
    covered: Decided,
    /// When the first write was made that no sync covers.
    unsynced_since: Option<Instant>,
    ending: Option<Ending>,
}

/// How the thread is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// When everything is synced.
    Finished,
    /// At once.
    Abandoned,
}

impl Syncer {
    pub(super) fn start(kv: Arc<dyn Kv>, notices: Arc<CommitNotices>, health: Arc<Health>, clock: Arc<dyn Clock>) -> Result<Self, KvError> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), clock });
        let served = shared.clone();
        let thread = std::thread::Builder::new()
            .name("store-syncer".to_owned())
            .spawn(move || served.run(&*kv, &notices, &health))
            .map_err(|error| KvError::new("starting the syncer's thread", error))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes over durable changes that were just written; or none, if only relaxed ones were written.
    pub(super) fn add(&self, written: Decided) {
        let now = self.shared.clock.instant();
        let mut state = self.shared.lock();
        let news = !written.is_empty() || state.unsynced_since.is_none();
        state.unsynced_since.get_or_insert(now);
        state.written.append(written);
        drop(state);
        if news {
            self.shared.changed.notify_one();
        }
    }

    /// Takes settled deliveries out of what lanes are still to be told.
    pub(super) fn forget_fresh(&self, settled: &[(SubscriptionId, DeliveryId)]) {
        if settled.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        for &(subscription, delivery) in settled {
            state.written.forget_fresh(subscription, delivery);
            state.covered.forget_fresh(subscription, delivery);
        }
    }

    /// Waits until everything is synced and answered, or the store has failed.
    pub(super) fn finish(mut self) {
        self.end(Ending::Finished);
    }

    fn end(&mut self, ending: Ending) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.lock().ending = Some(ending);
        self.shared.changed.notify_one();
        // The thread catches panics; there is nothing to learn from how it ended.
        let _ = thread.join();
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.end(Ending::Abandoned);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, kv: &dyn Kv, notices: &CommitNotices, health: &Health) {
        while self.begin() {
            let synced = health.guarded("syncing", || kv.sync());
            let mut state = self.lock();
            let mut covered = mem::take(&mut state.covered);
            // The writer may have failed meanwhile: then this success is worth nothing either.
            match synced.map_err(|error| health.fail(&error)) {
                Ok(()) if health.failure().is_none() => {
                    // Under the lock, or the writer could settle one of these rows between the two.
                    covered.post(notices);
                    drop(state);
                    covered.answer();
                }
                // Dropped, the answers tell their callers.
                _ => drop(state),
            }
        }
    }

    /// Waits until a sync is needed and notes what it covers; tells whether there is one to be made.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        let mut overdue = false;
        loop {
            let unsynced_for = state.unsynced_since.map(|since| self.clock.instant().duration_since(since));
            match state.ending {
                Some(Ending::Abandoned) => return false,
                Some(Ending::Finished) if unsynced_for.is_none() => return false,
                Some(Ending::Finished) => break,
                None if overdue || !state.written.is_empty() => break,
                None => {}
            }
            state = match unsynced_for {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(unsynced_for) => {
                    let wait = UNSYNCED_MAX.saturating_sub(unsynced_for);
                    let (state, timeout) = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
                    overdue = timeout.timed_out();
                    state
                }
            };
        }
        state.unsynced_since = None;
        state.covered = mem::take(&mut state.written);
        true
    }
}
