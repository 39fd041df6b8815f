//! Group commit: one thread that decides and writes for all callers.
//!
//! The thread takes one change, then what is there, and writes it as one batch. How changes wait and
//! which of them make a group is in [`super::waiting`].
//!
//! ```text
//! accepts ──▶ ┌───────┐  decide   write   ┌ relaxed: answer          ┌ durable: answer
//!             │ group │ ───────▶ ───────▶ ┤                   sync ──▶┤
//! others  ──▶ └───────┘                   └ (synced 50 ms later)     └
//! ```
//!
//! Where the engine can sync beside writes, [`super::syncer`] does so and the writer goes on; where it
//! cannot, the writer syncs after each group.
//!
//! When a write or a sync fails, nothing is acknowledged any more, not even if a later sync succeeds:
//! an operating system may report a failed write-back once and then forget it.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::StoreError;
use super::health::Health;
use super::kv::{Kv, KvError, Tree};
use super::layout::MetaName;
use super::ledger::{Durability, Ledger};
use super::notices::{CommitNotices, LaneNotice};
use super::record::{self, MetaRecord};
use super::syncer::{Syncer, UNSYNCED_MAX};
use super::waiting::{Answer, Ending, Job, Queues, Taken};
use crate::id::{DeliveryId, SubscriptionId};

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
