//! Where changes wait for the writer: accepts in one queue, everything else in another.
//!
//! Both are bounded; callers wait at the door. Accepts go first and leave a quarter of each group to the
//! others, so that attempts are settled under any load.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, oneshot};

use super::fence::Fence;
use super::fetch::ConfigurationUse;
use super::known::Need;
use crate::store::kv::KvError;
use crate::store::ledger::{Decision, Ledger};
use crate::store::{Revision, StoreError};

/// Most changes that are committed together.
const GROUP_CHANGES_MAX: usize = 1_024;
/// Bytes of changes above which no more are added to a group.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// The share of a group that accepts leave to other changes.
const OTHERS_SHARE: usize = GROUP_CHANGES_MAX / 4;
/// Most accepts that wait for the writer; more wait at the door.
const ACCEPTS_WAITING_MAX: usize = 4_096;
/// Most other changes that wait for the writer.
const OTHERS_WAITING_MAX: usize = 8_192;

/// What becomes of a change when the database cannot take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its caller is told at once, and sends it again.
    Accept,
    /// It is kept and tried until it is written, which does it once however often it is tried.
    Settle,
    /// Its caller is told at once.
    Other,
}

/// A change on its way to the writer.
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) configuration: ConfigurationUse,
    /// About how many bytes it writes.
    pub(super) bytes: usize,
    /// What has to be known to decide it, as far as that can be told beforehand.
    pub(super) needs: Vec<Need>,
    /// Set for settlements where lanes are leased.
    pub(super) fence: Option<Arc<Fence>>,
    pub(super) change: Box<dyn Change>,
}

/// A change that can be decided any number of times, and is answered once.
pub(super) trait Change: Send {
    /// Decides it; `revision` is that of the configuration, if the job asked for it.
    fn decide(&mut self, ledger: &mut Ledger, revision: Option<Revision>) -> Result<(), KvError>;

    /// Tells its caller what was decided last.
    fn answer(self: Box<Self>);

    /// Tells its caller that it was not, or perhaps not, made.
    fn refuse(self: Box<Self>, error: StoreError);
}

/// A change with its caller.
pub(super) struct Asked<T, E, F> {
    decide: F,
    decided: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Asked<T, E, F>
where
    F: FnMut(&mut Ledger, Option<Revision>) -> Decision<T, E> + Send,
{
    /// A change, and where its answer arrives.
    pub(super) fn new(decide: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (caller, answer) = oneshot::channel();
        (Self { decide, decided: None, caller }, answer)
    }
}

impl<T, E, F> Change for Asked<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnMut(&mut Ledger, Option<Revision>) -> Decision<T, E> + Send,
{
    fn decide(&mut self, ledger: &mut Ledger, revision: Option<Revision>) -> Result<(), KvError> {
        self.decided = None;
        self.decided = Some((self.decide)(ledger, revision)?);
        Ok(())
    }

    fn answer(self: Box<Self>) {
        if let Some(decided) = self.decided {
            // The caller may be gone; the change stays.
            drop(self.caller.send(decided));
        }
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        drop(self.caller.send(Err(error.into())));
    }
}

/// How the writer is to end.
pub(super) enum Ending {
    /// After all that waits; tells whether everything could be written.
    Clean(oneshot::Sender<Result<(), StoreError>>),
    /// At once, as a kill would.
    Abandon,
}

/// What the writer got.
pub(super) enum Taken {
    Group(Vec<Job>),
    Ended(Ending),
}

/// The two queues.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
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
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.lock();
        f.debug_struct("Inbox").field("accepts", &waiting.accepts.len()).field("others", &waiting.others.len()).finish_non_exhaustive()
    }
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Notify::new(),
            accepts: Semaphore::new(ACCEPTS_WAITING_MAX),
            others: Semaphore::new(OTHERS_WAITING_MAX),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a change to the writer; waits while its queue is full.
    pub(super) async fn push(&self, job: Job) -> Result<(), StoreError> {
        let places = if job.kind == Kind::Accept { &self.accepts } else { &self.others };
        places.acquire().await.map_err(|_| StoreError::Closed)?.forget();
        let mut waiting = self.lock();
        if !waiting.ended {
            if job.kind == Kind::Accept {
                waiting.accepts.push_back(job)
            } else {
                waiting.others.push_back(job)
            };
        }
        // Else dropping the job tells its caller.
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts changes back that could not be written, before everything else that waits.
    pub(super) fn put_back(&self, jobs: Vec<Job>) {
        let mut waiting = self.lock();
        for job in jobs.into_iter().rev() {
            waiting.others.push_front(job);
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
        self.arrived.notify_one();
    }

    /// Waits for something to do. May be dropped at any time.
    pub(super) async fn take(&self) -> Taken {
        loop {
            if let Some(taken) = self.take_now() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    fn take_now(&self) -> Option<Taken> {
        let mut waiting = self.lock();
        if matches!(waiting.ending, Some(Ending::Abandon)) {
            return waiting.end();
        }
        let group = waiting.group();
        if group.is_empty() {
            return if waiting.ending.is_some() { waiting.end() } else { None };
        }
        let accepts = group.iter().filter(|job| job.kind == Kind::Accept).count();
        if waiting.ending.is_none() {
            self.accepts.add_permits(accepts);
            self.others.add_permits(group.len() - accepts);
        }
        Some(Taken::Group(group))
    }

    /// Waits until something arrives or the end is asked for.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes out what need not wait for the database to come back, and the ending, if there is one.
    pub(super) fn take_impatient(&self) -> (Vec<Job>, Option<Ending>) {
        let mut waiting = self.lock();
        let jobs = self.impatient(&mut waiting);
        let ending = waiting.ending.take();
        waiting.ended |= ending.is_some();
        (jobs, ending)
    }

    /// Tells those who need not wait for a database that does not answer that it does not.
    pub(super) fn refuse_impatient(&self, error: &StoreError) {
        let jobs = self.impatient(&mut self.lock());
        jobs.into_iter().for_each(|job| job.change.refuse(error.clone()));
    }

    fn impatient(&self, waiting: &mut Waiting) -> Vec<Job> {
        let (settles, others): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(&mut waiting.others).into_iter().partition(|job| job.kind == Kind::Settle);
        waiting.others = settles;
        let accepts = std::mem::take(&mut waiting.accepts);
        if waiting.ending.is_none() {
            self.accepts.add_permits(accepts.len());
            self.others.add_permits(others.len());
        }
        accepts.into_iter().chain(others).collect()
    }
}

impl Waiting {
    fn end(&mut self) -> Option<Taken> {
        let ending = self.ending.take()?;
        self.ended = true;
        self.accepts.clear();
        self.others.clear();
        Some(Taken::Ended(ending))
    }

    /// The changes of the next group, accepts first.
    fn group(&mut self) -> Vec<Job> {
        let others = self.others.len().min(OTHERS_SHARE);
        let mut group = Vec::new();
        for (queue, changes_max) in [(&mut self.accepts, GROUP_CHANGES_MAX - others), (&mut self.others, GROUP_CHANGES_MAX)] {
            let mut bytes = 0;
            while group.len() < changes_max && bytes < GROUP_BYTES_MAX {
                let Some(job) = queue.pop_front() else { break };
                bytes += job.bytes;
                group.push(job);
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(kind: Kind, bytes: usize) -> Job {
        let (change, _) = Asked::new(|_: &mut Ledger, _| Ok(Ok::<(), StoreError>(())));
        Job { kind, configuration: ConfigurationUse::None, bytes, needs: Vec::new(), fence: None, change: Box::new(change) }
    }

    /// How many accepts and others are in the next group.
    fn taken(accepts: usize, others: usize, bytes: usize) -> (usize, usize) {
        let mut waiting = Waiting::default();
        waiting.accepts.extend((0..accepts).map(|_| job(Kind::Accept, bytes)));
        waiting.others.extend((0..others).map(|_| job(Kind::Settle, bytes)));
        let group = waiting.group();
        let accepts = group.iter().filter(|job| job.kind == Kind::Accept).count();
        (accepts, group.len() - accepts)
    }

    #[test]
    fn accepts_go_first_and_leave_a_share() {
        assert_eq!(taken(3, 0, 1), (3, 0));
        assert_eq!(taken(5_000, 0, 1), (GROUP_CHANGES_MAX, 0));
        assert_eq!(taken(0, 5_000, 1), (0, GROUP_CHANGES_MAX));
        assert_eq!(taken(5_000, 10, 1), (GROUP_CHANGES_MAX - 10, 10));
        assert_eq!(taken(5_000, 5_000, 1), (GROUP_CHANGES_MAX - OTHERS_SHARE, OTHERS_SHARE));
    }

    #[test]
    fn large_changes_make_small_groups_and_starve_nobody() {
        assert_eq!(taken(100, 100, 3 << 20), (2, 2));
    }

    #[tokio::test]
    async fn settlements_stay_while_the_database_is_away() {
        let inbox = Inbox::new();
        for kind in [Kind::Accept, Kind::Settle, Kind::Other, Kind::Settle] {
            inbox.push(job(kind, 1)).await.unwrap();
        }
        let (impatient, ending) = inbox.take_impatient();
        assert_eq!((impatient.len(), ending.is_none()), (2, true));
        let Taken::Group(group) = inbox.take().await else { panic!("two settlements wait") };
        assert!(group.len() == 2 && group.iter().all(|job| job.kind == Kind::Settle));
    }
}
