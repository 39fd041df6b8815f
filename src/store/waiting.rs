//! Where changes wait for the writer: two bounded queues, and how a group is taken from them.
//!
//! Accepts go first, because a caller waits for each, but leave a quarter of every group to the others, so
//! that attempts are settled under any load. A group is small enough, counted in writes, that what comes
//! after it waits for milliseconds. A few settlements wait a millisecond for more, since each write of the
//! engine has its price, and for an accept, with which they are written at once.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::StoreError;
use super::kv::KvError;
use super::ledger::{Durability, Ledger};
use crate::id::{DeliveryId, SubscriptionId};

/// Most changes that are written together.
const GROUP_CHANGES_MAX: usize = 1_024;
/// Bytes of changes above which no more are added to a group.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// The share of a group that accepts leave to other changes.
const OTHERS_SHARE: usize = GROUP_CHANGES_MAX / 4;
/// Most accepts that wait for the writer; more wait at the door.
const ACCEPTS_WAITING_MAX: usize = 4_096;
/// Most other changes that wait for the writer.
const OTHERS_WAITING_MAX: usize = 8_192;
/// How long settlements wait for more to be written with them, unless an accept comes.
const GATHER_MAX: Duration = Duration::from_millis(1);
/// How many settlements need not wait for more.
const GATHER_CHANGES: usize = 16;

/// Sends the answer of a change. Dropped unsent, it tells the caller that the store failed.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

/// Decides a change in the writer.
pub(super) type Decide = Box<dyn FnOnce(&mut Ledger) -> Result<Answer, KvError> + Send>;

/// A change on its way to the writer.
pub(super) struct Job {
    pub(super) terms: Terms,
    pub(super) decide: Decide,
}

/// What the writer has to know of a change beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) queue: QueueName,
    pub(super) durability: Durability,
    /// About how many bytes it writes.
    pub(super) bytes: usize,
    /// About how many keys it writes.
    pub(super) writes: usize,
    /// The delivery that it settles.
    pub(super) settles: Option<(SubscriptionId, DeliveryId)>,
}

/// The two queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueName {
    Accepts,
    Others,
}

/// How the writer is to end.
#[derive(Debug)]
pub(super) enum Ending {
    /// After all that waits: sync, mark the stop as clean.
    Clean(oneshot::Sender<Result<(), StoreError>>),
    /// At once, as a kill would.
    Abandon,
}

/// Where changes wait for the writer.
#[derive(Debug)]
pub(super) struct Queues {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    accepts: Semaphore,
    others: Semaphore,
}

#[derive(Default)]
struct Waiting {
    accepts: VecDeque<Job>,
    others: VecDeque<Job>,
    ending: Option<Ending>,
    /// The writer takes nothing any more.
    ended: bool,
    sleep: Sleep,
}

/// Whether the writer sleeps, and until when. Waking it is a system call, which is spared while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sleep {
    #[default]
    Awake,
    /// Until there is a change.
    UntilAny,
    /// Until there are more than a few settlements.
    UntilMany,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (accepts, others) = (self.accepts.len(), self.others.len());
        f.debug_struct("Waiting").field("accepts", &accepts).field("others", &others).field("ending", &self.ending).finish()
    }
}

/// What the writer got from the queues.
pub(super) enum Taken {
    Group(Vec<Job>),
    Nothing,
    Ended(Ending),
}

impl Queues {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            accepts: Semaphore::new(ACCEPTS_WAITING_MAX),
            others: Semaphore::new(OTHERS_WAITING_MAX),
        }
    }

    /// Hands a change to the writer; waits while its queue is full.
    pub(super) async fn push(&self, job: Job) -> Result<(), StoreError> {
        let places = if job.terms.queue == QueueName::Accepts { &self.accepts } else { &self.others };
        places.acquire().await.map_err(|_| StoreError::Closed)?.forget();
        self.push_now(job);
        Ok(())
    }

    /// Hands a change to the writer if its queue has a place.
    pub(super) fn try_push(&self, job: Job) {
        if let Ok(place) = self.others.try_acquire() {
            place.forget();
            self.push_now(job);
        }
    }

    fn push_now(&self, job: Job) {
        let mut waiting = self.lock();
        if waiting.ended {
            // Dropping the job tells its caller.
            return;
        }
        match job.terms.queue {
            QueueName::Accepts => waiting.accepts.push_back(job),
            QueueName::Others => waiting.others.push_back(job),
        }
        let wake = match waiting.sleep {
            Sleep::Awake => false,
            Sleep::UntilAny => true,
            Sleep::UntilMany => !waiting.is_few(),
        };
        if wake {
            waiting.sleep = Sleep::Awake;
        }
        drop(waiting);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Ends the writer after all that waits; answers when it has ended.
    pub(super) fn close(&self) -> oneshot::Receiver<Result<(), StoreError>> {
        let (sender, receiver) = oneshot::channel();
        self.end(Ending::Clean(sender));
        receiver
    }

    /// Ends the writer at once.
    pub(super) fn abandon(&self) {
        self.end(Ending::Abandon);
    }

    fn end(&self, ending: Ending) {
        self.accepts.close();
        self.others.close();
        self.lock().ending = Some(ending);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for changes, at most for `wait`, and takes about `writes_max` writes of them.
    pub(super) fn take(&self, wait: Option<Duration>, writes_max: usize) -> Taken {
        let mut waiting = self.lock();
        let mut gathered = false;
        loop {
            waiting.sleep = Sleep::Awake;
            if matches!(waiting.ending, Some(Ending::Abandon)) {
                let left = waiting.end();
                drop(waiting);
                drop(left);
                return Taken::Ended(Ending::Abandon);
            }
            if !mem::replace(&mut gathered, !waiting.is_empty()) && waiting.is_few() {
                waiting.sleep = Sleep::UntilMany;
                let few = |waiting: &mut Waiting| waiting.is_few();
                waiting = self.changed.wait_timeout_while(waiting, GATHER_MAX, few).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let group = waiting.group(writes_max);
            if !group.is_empty() {
                drop(waiting);
                self.free_places(&group);
                return Taken::Group(group);
            }
            if let Some(ending) = waiting.ending.take() {
                waiting.end();
                return Taken::Ended(ending);
            }
            waiting.sleep = Sleep::UntilAny;
            waiting = match wait {
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let (waiting, timeout) = self.changed.wait_timeout(waiting, wait).unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() && waiting.is_empty() {
                        return Taken::Nothing;
                    }
                    waiting
                }
            };
        }
    }

    fn free_places(&self, group: &[Job]) {
        let accepts = group.iter().filter(|job| job.terms.queue == QueueName::Accepts).count();
        self.accepts.add_permits(accepts);
        self.others.add_permits(group.len() - accepts);
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.accepts.is_empty() && self.others.is_empty() && self.ending.is_none()
    }

    /// Whether nobody minds if what waits is written a moment later, with more.
    fn is_few(&self) -> bool {
        let relaxed = |job: &Job| job.terms.durability == Durability::Relaxed;
        self.ending.is_none()
            && self.accepts.is_empty()
            && !self.others.is_empty()
            && self.others.len() < GATHER_CHANGES
            && self.others.iter().all(relaxed)
    }

    /// From now on nothing is taken; hands out what was waiting.
    fn end(&mut self) -> (VecDeque<Job>, VecDeque<Job>) {
        self.ended = true;
        (std::mem::take(&mut self.accepts), std::mem::take(&mut self.others))
    }

    /// The changes of the next group, accepts first.
    fn group(&mut self, writes_max: usize) -> Vec<Job> {
        let others = self.others.len().min(OTHERS_SHARE);
        let others_writes = self.others.iter().take(others).map(|job| job.terms.writes).sum::<usize>().min(writes_max / 4);
        let mut group = Vec::new();
        let queues = [
            (&mut self.accepts, GROUP_CHANGES_MAX - others, writes_max - others_writes),
            (&mut self.others, GROUP_CHANGES_MAX, writes_max),
        ];
        let mut written = 0;
        for (queue, changes_max, writes_max) in queues {
            let (mut bytes, mut writes) = (0, 0);
            while group.len() < changes_max && bytes < GROUP_BYTES_MAX && (written < writes_max || writes < others_writes.max(1)) {
                let Some(job) = queue.pop_front() else { break };
                bytes += job.terms.bytes;
                writes += job.terms.writes;
                written += job.terms.writes;
                group.push(job);
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(queue: QueueName, bytes: usize, writes: usize) -> Job {
        let terms = Terms { queue, durability: Durability::Durable, bytes, writes, settles: None };
        Job { terms, decide: Box::new(|_| Ok(Box::new(|| ()))) }
    }

    /// How many accepts and others are in the next group.
    fn taken(accepts: (usize, usize), others: (usize, usize), bytes: usize, writes_max: usize) -> (usize, usize) {
        let mut waiting = Waiting::default();
        waiting.accepts.extend((0..accepts.0).map(|_| job(QueueName::Accepts, bytes, accepts.1)));
        waiting.others.extend((0..others.0).map(|_| job(QueueName::Others, bytes, others.1)));
        let group = waiting.group(writes_max);
        let accepts = group.iter().filter(|job| job.terms.queue == QueueName::Accepts).count();
        (accepts, group.len() - accepts)
    }

    fn sizes(accepts: usize, others: usize, bytes: usize) -> (usize, usize) {
        taken((accepts, 1), (others, 1), bytes, usize::MAX)
    }

    #[test]
    fn accepts_go_first_and_leave_a_share() {
        assert_eq!(sizes(3, 0, 1), (3, 0));
        assert_eq!(sizes(5_000, 0, 1), (GROUP_CHANGES_MAX, 0));
        assert_eq!(sizes(0, 5_000, 1), (0, GROUP_CHANGES_MAX));
        assert_eq!(sizes(5_000, 10, 1), (GROUP_CHANGES_MAX - 10, 10));
        assert_eq!(sizes(5_000, 5_000, 1), (GROUP_CHANGES_MAX - OTHERS_SHARE, OTHERS_SHARE));
        assert_eq!(sizes(100, 5_000, 1), (100, GROUP_CHANGES_MAX - 100));
    }

    #[test]
    fn only_a_few_settlements_wait_for_more() {
        let settles = || {
            let mut settle = job(QueueName::Others, 1, 4);
            settle.terms.durability = Durability::Relaxed;
            settle
        };
        let mut waiting = Waiting::default();
        assert!(!waiting.is_few());
        waiting.others.extend((1..GATHER_CHANGES).map(|_| settles()));
        assert!(waiting.is_few());
        waiting.others.push_back(settles());
        assert!(!waiting.is_few());
        waiting.others.truncate(1);
        waiting.accepts.push_back(job(QueueName::Accepts, 1, 1));
        assert!(!waiting.is_few());
        waiting.accepts.clear();
        waiting.others.push_back(job(QueueName::Others, 1, 1));
        assert!(!waiting.is_few());
    }

    #[test]
    fn large_changes_make_small_groups_and_starve_nobody() {
        assert_eq!(sizes(100, 100, 3 << 20), (2, 2));
    }

    #[test]
    fn changes_of_many_writes_make_small_groups_and_starve_nobody() {
        // Calls of 100 events with one delivery each, beside settlements.
        assert_eq!(taken((64, 500), (0, 4), 1, 1_024), (3, 0));
        assert_eq!(taken((64, 500), (32, 4), 1, 1_024), (2, 32));
        assert_eq!(taken((64, 500), (1_000, 4), 1, 1_024), (2, 64));
        // A single call may be larger than a group.
        assert_eq!(taken((64, 5_000), (32, 4), 1, 1_024), (1, 32));
        assert_eq!(taken((0, 0), (64, 5_000), 1, 1_024), (0, 1));
    }
}
