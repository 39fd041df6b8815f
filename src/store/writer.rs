//! Group commit: one thread that decides and writes for all callers.
//!
//! The thread takes one change, then what is there, and writes it as one batch. Changes wait in two
//! bounded queues. Accepts go first, because a caller waits for each, but leave a quarter of every group
//! to the others, so that attempts are settled under any load. A group is small enough, counted in
//! writes, that what comes after it waits for milliseconds.
//!
//! ```text
//! accepts ──▶ ┌───────┐  decide   write   ┌ relaxed: answer          ┌ durable: answer
//!             │ group │ ───────▶ ───────▶ ┤                   sync ──▶┤
//! others  ──▶ └───────┘                   └ (synced 50 ms later)     └
//! ```
//!
//! A few settlements wait a millisecond for more, since each write of the engine has its price, and for
//! an accept, with which they are written at once.
//!
//! Where the engine can sync beside writes, [`super::syncer`] does so and the writer goes on; where it
//! cannot, the writer syncs after each group.
//!
//! When a write or a sync fails, nothing is acknowledged any more, not even if a later sync succeeds:
//! an operating system may report a failed write-back once and then forget it.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::Instant;

use super::StoreError;
use super::kv::{Kv, KvError, Tree};
use super::layout::MetaName;
use super::ledger::{Durability, Ledger};
use super::notices::{CommitNotices, LaneNotice};
use super::record::{self, MetaRecord};
use super::syncer::{Syncer, UNSYNCED_MAX};
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
enum Ending {
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
enum Taken {
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
    fn take(&self, wait: Option<Duration>, writes_max: usize) -> Taken {
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

/// Whether the store has failed, and why.
#[derive(Debug)]
pub(super) struct Health(watch::Sender<Option<StoreError>>);

impl Health {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The failure, if there was one.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.0.borrow().clone()
    }

    /// Notes the first failure; later ones only follow from it.
    pub(super) fn fail(&self, error: &KvError) -> StoreError {
        let failure = StoreError::Failed { action: error.action, detail: error.detail.clone() };
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                tracing::error!(error = %failure, "the store has failed and acknowledges nothing any more");
                *first = Some(failure.clone());
            }
            is_first
        });
        self.failure().unwrap_or(failure)
    }

    /// Calls the engine, unless it has failed before. A panic of the engine is a failure like any other.
    pub(super) fn guarded<T>(&self, action: &'static str, act: impl FnOnce() -> Result<T, KvError>) -> Result<T, KvError> {
        if let Some(failure) = self.failure() {
            return Err(KvError::new(action, failure));
        }
        catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(KvError::new(action, panic_text(&*panic))))
    }

    /// Waits for a failure.
    pub(super) async fn failed(&self) -> StoreError {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(failure) = changes.borrow_and_update().clone() {
                return failure;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Writes what a ledger decides.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) ledger: Ledger,
    pub(super) kv: Arc<dyn Kv>,
    pub(super) notices: Arc<CommitNotices>,
    pub(super) health: Arc<Health>,
    syncing: Syncing,
}

/// Who syncs.
#[derive(Debug)]
enum Syncing {
    /// The writer, between its writes.
    Between { unsynced_since: Option<Instant> },
    /// A thread of its own.
    Beside(Syncer),
}

/// Changes that are decided and not answered.
#[derive(Default)]
pub(super) struct Decided {
    answers: Vec<Answer>,
    notices: HashMap<SubscriptionId, LaneNotice>,
}

impl std::fmt::Debug for Decided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decided").field("answers", &self.answers.len()).field("notices", &self.notices).finish()
    }
}

impl Decided {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.notices.is_empty()
    }

    fn add(&mut self, answer: Answer, notices: HashMap<SubscriptionId, LaneNotice>) {
        self.answers.push(answer);
        self.add_notices(notices);
    }

    fn add_notices(&mut self, notices: HashMap<SubscriptionId, LaneNotice>) {
        if self.notices.is_empty() {
            self.notices = notices;
        } else {
            for (subscription, notice) in notices {
                self.notices.entry(subscription).or_default().merge(notice);
            }
        }
    }

    /// Adds what was decided later.
    pub(super) fn append(&mut self, later: Self) {
        if self.is_empty() {
            *self = later;
        } else {
            self.answers.extend(later.answers);
            self.add_notices(later.notices);
        }
    }

    /// Takes a delivery that was settled out of the rows that lanes are told of: it must not be leased again.
    pub(super) fn forget_fresh(&mut self, subscription: SubscriptionId, delivery: DeliveryId) {
        if let Some(notice) = self.notices.get_mut(&subscription) {
            notice.fresh.retain(|row| row.delivery != delivery);
        }
    }

    /// Tells the lanes.
    pub(super) fn post(&mut self, notices: &CommitNotices) {
        if !self.notices.is_empty() {
            notices.post(self.notices.drain());
        }
    }

    /// Tells the callers; call it after [`Decided::post`].
    pub(super) fn answer(&mut self) {
        for answer in self.answers.drain(..) {
            answer();
        }
    }
}

impl Writer {
    pub(super) fn new(ledger: Ledger, kv: Arc<dyn Kv>, notices: Arc<CommitNotices>, health: Arc<Health>) -> Self {
        Self { ledger, kv, notices, health, syncing: Syncing::Between { unsynced_since: None } }
    }

    /// Has a thread of its own sync from now on, if the engine can sync beside writes.
    pub(super) fn sync_beside(&mut self) -> Result<(), KvError> {
        if self.kv.syncs_beside_writes() {
            let (kv, notices, health) = (self.kv.clone(), self.notices.clone(), self.health.clone());
            self.syncing = Syncing::Beside(Syncer::start(kv, notices, health, self.ledger.clock_shared())?);
        }
        Ok(())
    }

    /// Serves the queues until they end.
    pub(super) fn run(mut self, queues: &Queues) {
        let writes_max = self.kv.writes_max();
        loop {
            let taken = queues.take(self.until_sync(), writes_max);
            let done = match taken {
                Taken::Group(group) => self.guarded("writing", |writer| writer.commit(group)),
                Taken::Nothing => self.guarded("syncing", Self::sync),
                Taken::Ended(Ending::Abandon) => return,
                Taken::Ended(Ending::Clean(answer)) => {
                    let closed = self.guarded("closing", Self::close).map_err(|error| self.health.fail(&error));
                    // The caller may be gone.
                    let _ = answer.send(closed);
                    return;
                }
            };
            if let Err(error) = done {
                self.health.fail(&error);
            }
        }
    }

    fn guarded<T>(&mut self, action: &'static str, act: impl FnOnce(&mut Self) -> Result<T, KvError>) -> Result<T, KvError> {
        let health = self.health.clone();
        health.guarded(action, || act(self))
    }

    /// How long until the writer must sync; none if nothing is unsynced, or somebody else sees to it.
    fn until_sync(&self) -> Option<Duration> {
        match &self.syncing {
            Syncing::Between { unsynced_since: Some(since) } => {
                Some(UNSYNCED_MAX.saturating_sub(self.ledger.clock().instant().duration_since(*since)))
            }
            Syncing::Between { unsynced_since: None } | Syncing::Beside(_) => None,
        }
    }

    fn commit(&mut self, group: Vec<Job>) -> Result<(), KvError> {
        let mut decided = Group::default();
        for Job { terms, decide } in group {
            let answer = decide(&mut self.ledger)?;
            let notices = self.ledger.take_notices();
            match terms.durability {
                Durability::Durable => decided.durable.add(answer, notices),
                Durability::Relaxed => decided.relaxed.add(answer, notices),
            }
            decided.settled.extend(terms.settles);
            if self.ledger.pending_writes() >= self.kv.writes_max() {
                self.write_decided(&mut decided)?;
            }
        }
        self.write_decided(&mut decided)?;
        if !decided.durable.is_empty() || self.until_sync().is_some_and(|wait| wait.is_zero()) {
            self.sync()?;
        }
        decided.durable.post(&self.notices);
        decided.durable.answer();
        Ok(())
    }

    /// Writes what is decided, answers what need not be synced, and hands on what somebody else syncs.
    fn write_decided(&mut self, decided: &mut Group) -> Result<(), KvError> {
        let written = self.write()?;
        if let Syncing::Beside(syncer) = &self.syncing {
            syncer.forget_fresh(&decided.settled);
            decided.settled.clear();
            if written || !decided.durable.is_empty() {
                syncer.add(mem::take(&mut decided.durable));
            }
        }
        // The syncer may have failed meanwhile.
        if let Some(failure) = self.health.failure() {
            return Err(KvError::new("syncing", failure));
        }
        decided.relaxed.post(&self.notices);
        decided.relaxed.answer();
        Ok(())
    }

    /// Decides, writes and syncs one change by itself.
    pub(super) fn commit_one<T>(
        &mut self,
        durability: Durability,
        decide: impl FnOnce(&mut Ledger) -> Result<T, KvError>,
    ) -> Result<T, StoreError> {
        let notices = self.notices.clone();
        let done = self.guarded("writing", |writer| {
            let answer = decide(&mut writer.ledger)?;
            writer.write()?;
            if durability == Durability::Durable {
                writer.sync()?;
            }
            notices.post(writer.ledger.take_notices());
            Ok(answer)
        });
        done.map_err(|error| self.health.fail(&error))
    }

    /// Writes the batch; tells whether there was anything to write.
    fn write(&mut self) -> Result<bool, KvError> {
        let batch = self.ledger.take_batch();
        if batch.is_empty() {
            return Ok(false);
        }
        if let Syncing::Between { unsynced_since } = &mut self.syncing
            && unsynced_since.is_none()
        {
            *unsynced_since = Some(self.ledger.clock().instant());
        }
        self.kv.write(batch)?;
        Ok(true)
    }

    /// Syncs, unless that is done by somebody else.
    fn sync(&mut self) -> Result<(), KvError> {
        if let Syncing::Between { unsynced_since } = &mut self.syncing
            && unsynced_since.is_some()
        {
            self.kv.sync()?;
            *unsynced_since = None;
        }
        Ok(())
    }

    /// Marks the store as running; the mark is found at the next opening unless [`Writer::close`] removed it.
    pub(super) fn mark_running(&mut self) -> Result<(), KvError> {
        let number = u128::from(self.ledger.clock().now().unix_ms().unsigned_abs());
        self.ledger.put_meta(MetaName::Running, number);
        self.ledger.put_meta(MetaName::Layout, u128::from(super::LAYOUT_NUMBER));
        self.write()?;
        self.sync()
    }

    /// Whether an earlier process left the store without closing it.
    pub(super) fn is_marked_running(kv: &dyn Kv) -> Result<bool, KvError> {
        Ok(kv.get(Tree::Meta, MetaName::Running.key())?.is_some())
    }

    /// The number of the layout that the store was written with; none if it is empty or cannot be read.
    pub(super) fn layout_number(kv: &dyn Kv) -> Result<Option<u128>, KvError> {
        let key = MetaName::Layout.key();
        let Some(value) = kv.get(Tree::Meta, key)? else { return Ok(None) };
        Ok(record::decode::<MetaRecord>(Tree::Meta, key, &value).ok().map(|record| record.number))
    }

    pub(super) fn close(&mut self) -> Result<(), KvError> {
        let unsynced_since = Some(self.ledger.clock().instant());
        if let Syncing::Beside(syncer) = mem::replace(&mut self.syncing, Syncing::Between { unsynced_since }) {
            syncer.finish();
            if let Some(failure) = self.health.failure() {
                return Err(KvError::new("closing", failure));
            }
        }
        self.write()?;
        // Everything must be on disk before the mark goes, or a stop between the two would look clean.
        self.sync()?;
        self.ledger.remove_meta(MetaName::Running);
        self.write()?;
        self.sync()?;
        self.kv.close()
    }
}

/// What one group came to.
#[derive(Default)]
struct Group {
    durable: Decided,
    relaxed: Decided,
    /// The deliveries that relaxed changes settled.
    settled: Vec<(SubscriptionId, DeliveryId)>,
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked without a word".to_owned())
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
