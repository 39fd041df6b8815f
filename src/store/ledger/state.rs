//! The ledger's state: batch, counts, ids, notices; and the reads and writes that every change shares.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::overlay::Overlay;
use crate::clock::{Clock, Timestamp};
use crate::event::AccountId;
use crate::id::{DeliveryId, EventId, IdSource, SubscriptionId};
use crate::store::cache::EventCache;
use crate::store::kv::{Batch, Direction, KeyRange, Kv, KvError, Tree};
use crate::store::layout::{self, MetaName};
use crate::store::options::StoreOptions;
use crate::store::record::{self, CountsRecord, DeliveryRecord, DueRecord, EventRecord, MetaRecord, Record, StateRecord};
use crate::store::{Counts, DueRow, FRESH_ROWS_MAX, LaneNotice, SubscriptionCounts};

/// How often the free space is looked at.
const FREE_SPACE_EVERY: Duration = Duration::from_secs(1);

/// Largest body of an event that is handed to a lane with its row.
const FRESH_BODY_BYTES_MAX: usize = 16 * 1_024;

/// Whether a change is answered after the sync, or after the write already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Durability {
    /// After the sync.
    Durable,
    /// After the write.
    Relaxed,
}

/// What a ledger shares with the readers.
#[derive(Debug, Clone)]
pub(in crate::store) struct LedgerParts {
    pub(in crate::store) kv: Arc<dyn Kv>,
    pub(in crate::store) cache: Arc<EventCache>,
    pub(in crate::store) quarantined: Arc<AtomicU64>,
}

/// Decides changes; see the module.
#[derive(Debug)]
pub(in crate::store) struct Ledger {
    pub(super) overlay: Overlay,
    pub(super) options: StoreOptions,
    pub(super) ids: IdSource,
    /// Subscriptions that were removed since the store was opened. An accept that was prepared before
    /// a removal can only be one of this process, so that nothing of this needs to be stored.
    pub(super) removed: HashSet<SubscriptionId>,
    /// What the present batch changes in that: whether each was removed before.
    changed_removals: Vec<(SubscriptionId, bool)>,
    /// Where the last step of retention ended.
    pub(super) pruned_up_to: EventId,
    pub(super) parts: LedgerParts,
    tallies: HashMap<SubscriptionId, Tally>,
    changed_tallies: Vec<SubscriptionId>,
    notices: HashMap<SubscriptionId, LaneNotice>,
    free_space: Option<(Instant, bool)>,
}

#[derive(Debug)]
struct Tally {
    account: AccountId,
    counts: Balance,
    /// As it was when the present batch was begun, if the batch changes it.
    before: Option<Balance>,
}

/// Counts while they change. Where several nodes count, one may take out what another has put in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Balance {
    pub(in crate::store) waiting: i64,
    pub(in crate::store) delivered: i64,
    pub(in crate::store) dead: i64,
    pub(in crate::store) cancelled: i64,
    pub(in crate::store) attempts: i64,
}

impl From<Counts> for Balance {
    fn from(counts: Counts) -> Self {
        let Counts { waiting, delivered, dead, cancelled, attempts } = counts;
        let [waiting, delivered, dead, cancelled, attempts] = [waiting, delivered, dead, cancelled, attempts].map(u64::cast_signed);
        Self { waiting, delivered, dead, cancelled, attempts }
    }
}

impl Balance {
    /// The counts; what is short of zero is none.
    pub(in crate::store) fn counts(self) -> Counts {
        let Self { waiting, delivered, dead, cancelled, attempts } = self;
        let [waiting, delivered, dead, cancelled, attempts] =
            [waiting, delivered, dead, cancelled, attempts].map(|count| u64::try_from(count).unwrap_or(0));
        Counts { waiting, delivered, dead, cancelled, attempts }
    }

    /// What was added to `earlier`.
    pub(in crate::store) const fn since(self, earlier: Self) -> Self {
        Self {
            waiting: self.waiting - earlier.waiting,
            delivered: self.delivered - earlier.delivered,
            dead: self.dead - earlier.dead,
            cancelled: self.cancelled - earlier.cancelled,
            attempts: self.attempts - earlier.attempts,
        }
    }
}

/// What a batch does to the counts of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct CountChange {
    pub(in crate::store) subscription: SubscriptionId,
    pub(in crate::store) account: AccountId,
    pub(in crate::store) change: Balance,
}

impl Ledger {
    /// Reads what a ledger needs to know beforehand: the newest id and the counts.
    pub(in crate::store) fn load(parts: LedgerParts, options: StoreOptions) -> Result<Self, KvError> {
        let newest = newest_id(&*parts.kv)?;
        let mut ledger = Self::new(parts, options, newest);
        ledger.load_counts()?;
        Ok(ledger)
    }

    /// A ledger that knows no counts yet; its ids come after `newest`.
    pub(in crate::store) fn new(parts: LedgerParts, options: StoreOptions, newest: u128) -> Self {
        Self {
            overlay: Overlay::new(parts.kv.clone()),
            ids: IdSource::new(options.tag, newest),
            options,
            removed: HashSet::new(),
            changed_removals: Vec::new(),
            pruned_up_to: EventId::from_raw(0),
            parts,
            tallies: HashMap::new(),
            changed_tallies: Vec::new(),
            notices: HashMap::new(),
            free_space: None,
        }
    }

    /// Takes over counts that were read elsewhere. Only between two batches.
    pub(in crate::store) fn set_counts(&mut self, all: Vec<SubscriptionCounts>) {
        let tally =
            |read: SubscriptionCounts| (read.subscription, Tally { account: read.account, counts: read.counts.into(), before: None });
        self.tallies = all.into_iter().map(tally).collect();
    }

    /// Forgets everything that was decided since the last batch was handed out, and reads from `kv` from
    /// here on. Ids that were given are not given again.
    pub(in crate::store) fn begin_anew(&mut self, kv: Arc<dyn Kv>) {
        self.overlay = Overlay::new(kv);
        self.notices.clear();
        for subscription in std::mem::take(&mut self.changed_tallies) {
            if let Some(tally) = self.tallies.get_mut(&subscription)
                && let Some(before) = tally.before.take()
            {
                tally.counts = before;
            }
        }
        for (subscription, was_removed) in std::mem::take(&mut self.changed_removals).into_iter().rev() {
            if was_removed {
                self.removed.insert(subscription)
            } else {
                self.removed.remove(&subscription)
            };
        }
    }

    /// Makes every later id come after this one.
    pub(in crate::store) fn raise_ids(&mut self, known: u128) {
        self.ids.raise(known);
    }

    /// Hands out the present batch, with what it does to the counts beside it. Either [`Self::keep`] or
    /// [`Self::begin_anew`] must follow: it was written, or it was not.
    pub(in crate::store) fn decided(&mut self) -> (Batch, Vec<CountChange>) {
        let change = |subscription: &SubscriptionId| {
            let tally = self.tallies.get(subscription)?;
            let change = tally.counts.since(tally.before?);
            (change != Balance::default()).then(|| CountChange { subscription: *subscription, account: tally.account.clone(), change })
        };
        let changes = self.changed_tallies.iter().filter_map(change).collect();
        (self.overlay.take(), changes)
    }

    /// Takes it that what was decided has been written.
    pub(in crate::store) fn keep(&mut self) {
        self.changed_removals.clear();
        for subscription in std::mem::take(&mut self.changed_tallies) {
            if let Some(tally) = self.tallies.get_mut(&subscription) {
                tally.before = None;
            }
        }
    }

    /// Keeps in mind whether a subscription was removed.
    pub(super) fn set_removed(&mut self, subscription: SubscriptionId, removed: bool) {
        let was_removed = self.removed.contains(&subscription);
        if was_removed != removed {
            self.changed_removals.push((subscription, was_removed));
            if removed {
                self.removed.insert(subscription)
            } else {
                self.removed.remove(&subscription)
            };
        }
    }

    fn load_counts(&mut self) -> Result<(), KvError> {
        for (key, value) in self.overlay.rows(Tree::Counts, &[], usize::MAX)? {
            let Some(subscription) = layout::first_id(&key).map(SubscriptionId::from_raw) else { continue };
            match record::decode::<CountsRecord>(Tree::Counts, &key, &value) {
                Ok(record) => {
                    let tally = Tally { counts: record.counts().into(), account: record.account, before: None };
                    self.tallies.insert(subscription, tally);
                }
                Err(error) => {
                    self.quarantine(Tree::Counts, &key, value, error);
                    self.recount(subscription)?;
                }
            }
        }
        Ok(())
    }

    /// Counts the stored deliveries of a subscription whose counts are lost.
    fn recount(&mut self, subscription: SubscriptionId) -> Result<(), KvError> {
        for (key, value) in self.overlay.rows(Tree::Deliveries, &layout::subscription_key(subscription), usize::MAX)? {
            if let Ok(delivery) = record::decode::<DeliveryRecord>(Tree::Deliveries, &key, &value) {
                let counts = self.counts_of(subscription, &delivery.account);
                *counter(counts, delivery.state) += 1;
                counts.attempts += i64::from(delivery.attempts);
            }
        }
        Ok(())
    }

    /// The wall clock.
    pub(in crate::store) fn clock(&self) -> &dyn Clock {
        &*self.options.clock
    }

    /// The clock, for another thread.
    pub(in crate::store) fn clock_shared(&self) -> Arc<dyn Clock> {
        self.options.clock.clone()
    }

    /// How many keys the present batch writes.
    pub(in crate::store) fn pending_writes(&self) -> usize {
        self.overlay.batch().len()
    }

    /// Hands out the present batch, with the counts that changed.
    pub(in crate::store) fn take_batch(&mut self) -> Batch {
        self.changed_removals.clear();
        for subscription in std::mem::take(&mut self.changed_tallies) {
            let Some(tally) = self.tallies.get_mut(&subscription) else { continue };
            tally.before = None;
            let (key, counts) = (layout::subscription_key(subscription), tally.counts.counts());
            if counts == Counts::default() {
                self.tallies.remove(&subscription);
                self.overlay.remove(Tree::Counts, key);
            } else {
                let record = CountsRecord::of(tally.account.clone(), counts);
                self.overlay.put(Tree::Counts, key, record::encode(Tree::Counts, &key, &record));
            }
        }
        self.overlay.take()
    }

    /// Hands out the notices of the changes decided since the last call.
    pub(in crate::store) fn take_notices(&mut self) -> HashMap<SubscriptionId, LaneNotice> {
        std::mem::take(&mut self.notices)
    }

    pub(super) fn notice(&mut self, subscription: SubscriptionId) -> &mut LaneNotice {
        self.notices.entry(subscription).or_default()
    }

    /// Tells the lane of a row that was due when it was written.
    pub(super) fn notice_fresh(&mut self, subscription: SubscriptionId, mut row: DueRow) {
        row.event = row.event.filter(|event| event.data.text().len() <= FRESH_BODY_BYTES_MAX);
        let notice = self.notice(subscription);
        if notice.fresh.len() < FRESH_ROWS_MAX {
            notice.fresh.push(row);
        } else {
            notice.note_due(row.due_at);
        }
    }

    /// The counts of a subscription, to be changed.
    pub(super) fn counts_of(&mut self, subscription: SubscriptionId, account: &AccountId) -> &mut Balance {
        let tally = self.tallies.entry(subscription).or_insert_with(|| Tally {
            account: account.clone(),
            counts: Balance::default(),
            before: None,
        });
        if tally.before.is_none() {
            tally.before = Some(tally.counts);
            self.changed_tallies.push(subscription);
        }
        &mut tally.counts
    }

    /// How many deliveries of a subscription are undecided.
    pub(super) fn waiting(&self, subscription: SubscriptionId) -> u64 {
        self.tallies.get(&subscription).map_or(0, |tally| tally.counts.counts().waiting)
    }

    /// The subscriptions that have deliveries.
    pub(super) fn subscriptions(&self) -> Vec<SubscriptionId> {
        self.tallies.keys().copied().collect()
    }

    /// Moves a delivery from one count to another.
    pub(super) fn recategorise(&mut self, subscription: SubscriptionId, account: &AccountId, from: StateRecord, to: StateRecord) {
        let counts = self.counts_of(subscription, account);
        *counter(counts, from) -= 1;
        *counter(counts, to) += 1;
    }

    /// Whether too little space is left to take anything new.
    pub(super) fn storage_full(&mut self) -> bool {
        let Some(free_space) = self.options.free_space.clone() else { return false };
        let now = self.clock().instant();
        match self.free_space {
            Some((looked_at, full)) if now.duration_since(looked_at) < FREE_SPACE_EVERY => full,
            before => {
                // A disk that does not tell is treated as it was before; the write itself will fail.
                let full =
                    free_space.free_bytes().map_or(before.is_some_and(|(_, full)| full), |free| free < self.options.free_space_floor);
                if full != before.is_some_and(|(_, full)| full) {
                    tracing::warn!(storage.full = full, "free space on the store's disk crossed its floor");
                }
                self.free_space = Some((now, full));
                full
            }
        }
    }

    /// Reads a record; a damaged one is quarantined, and rebuilt where other records tell what it was.
    pub(super) fn read<R: for<'a> Record<'a>>(&mut self, tree: Tree, key: &[u8]) -> Result<Option<R>, KvError> {
        for _ in 0..2 {
            let Some(value) = self.overlay.get(tree, key)? else { return Ok(None) };
            match record::decode(tree, key, &value) {
                Ok(record) => return Ok(Some(record)),
                Err(error) => self.repair(tree, key, value, error)?,
            }
        }
        Ok(None)
    }

    pub(super) fn put<'a, R: Record<'a>>(&mut self, tree: Tree, key: &[u8], record: &R) {
        self.overlay.put(tree, key, record::encode(tree, key, record));
    }

    /// The deliveries of an event with their subscriptions, by number; none if the event is not there.
    pub(super) fn deliveries_of(&mut self, event: EventId) -> Result<Option<Vec<(SubscriptionId, DeliveryId)>>, KvError> {
        self.of_event(event, |record| record.deliveries(event))
    }

    /// What `take` takes from the record of an event.
    pub(super) fn of_event<T>(&mut self, event: EventId, take: impl FnOnce(&EventRecord<'_>) -> T) -> Result<Option<T>, KvError> {
        let key = layout::event_key(event);
        let Some(value) = self.overlay.get(Tree::Events, &key)? else { return Ok(None) };
        match record::decode::<EventRecord<'_>>(Tree::Events, &key, &value) {
            Ok(record) => Ok(Some(take(&record))),
            Err(error) => {
                self.repair(Tree::Events, &key, value, error)?;
                Ok(None)
            }
        }
    }

    /// Finds a delivery by its id alone.
    pub(super) fn find_delivery(&mut self, id: DeliveryId) -> Result<Option<(SubscriptionId, DeliveryRecord)>, KvError> {
        let candidates = match self.deliveries_of(id.event())? {
            Some(deliveries) => {
                deliveries.into_iter().filter(|&(_, delivery)| delivery == id).map(|(subscription, _)| subscription).collect()
            }
            // The event is lost: ask every subscription that has deliveries.
            None => self.subscriptions(),
        };
        for subscription in candidates {
            if let Some(record) = self.read_delivery(subscription, id)? {
                return Ok(Some((subscription, record)));
            }
        }
        Ok(None)
    }

    pub(super) fn read_delivery(&mut self, subscription: SubscriptionId, id: DeliveryId) -> Result<Option<DeliveryRecord>, KvError> {
        self.read(Tree::Deliveries, &layout::delivery_key(subscription, id))
    }

    pub(super) fn put_delivery(&mut self, subscription: SubscriptionId, id: DeliveryId, record: &DeliveryRecord) {
        self.put(Tree::Deliveries, &layout::delivery_key(subscription, id), record);
    }

    /// Writes the due row of a pending delivery.
    pub(super) fn put_due(&mut self, subscription: SubscriptionId, id: DeliveryId, due_at: Timestamp, record: &DeliveryRecord) {
        let due = DueRecord { attempts: record.attempts, template_version: record.template_version };
        self.put(Tree::Due, &layout::due_key(subscription, due_at, id), &due);
    }

    pub(super) fn remove_due(&mut self, subscription: SubscriptionId, id: DeliveryId, due_at: Timestamp) {
        self.overlay.remove(Tree::Due, layout::due_key(subscription, due_at, id));
    }

    /// Writes what the store keeps about itself.
    pub(in crate::store) fn put_meta(&mut self, name: MetaName, number: u128) {
        self.put(Tree::Meta, name.key(), &MetaRecord { number });
    }

    pub(in crate::store) fn remove_meta(&mut self, name: MetaName) {
        self.overlay.remove(Tree::Meta, name.key());
    }

    /// Sets a damaged record aside.
    pub(super) fn quarantine(&mut self, tree: Tree, key: &[u8], value: Vec<u8>, error: record::BadRecord) {
        tracing::error!(
            store.tree = tree.name(),
            store.key = %hex(key),
            error = %error,
            "a damaged record was set aside in the tree `quarantine`"
        );
        self.overlay.put(Tree::Quarantine, layout::quarantine_key(tree, key), value);
        self.overlay.remove(tree, key);
        self.parts.quarantined.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counter of a state.
fn counter(counts: &mut Balance, state: StateRecord) -> &mut i64 {
    match state {
        StateRecord::Pending { .. } => &mut counts.waiting,
        StateRecord::Delivered { .. } => &mut counts.delivered,
        StateRecord::Dead { .. } => &mut counts.dead,
        StateRecord::Cancelled { .. } => &mut counts.cancelled,
    }
}

impl Ledger {
    /// Takes a delivery that is removed out of the counts.
    pub(super) fn uncount(&mut self, subscription: SubscriptionId, delivery: &DeliveryRecord) {
        let counts = self.counts_of(subscription, &delivery.account);
        *counter(counts, delivery.state) -= 1;
        counts.attempts -= i64::from(delivery.attempts);
    }
}

fn newest_id(kv: &dyn Kv) -> Result<u128, KvError> {
    let mut newest = match kv.get(Tree::Meta, MetaName::NewestId.key())? {
        Some(value) => record::decode::<MetaRecord>(Tree::Meta, MetaName::NewestId.key(), &value).map_or(0, |record| record.number),
        None => 0,
    };
    kv.scan(Tree::Events, KeyRange::ALL, Direction::Backward, &mut |key, _| {
        newest = newest.max(layout::first_id(key).unwrap_or(0));
        std::ops::ControlFlow::Break(())
    })?;
    Ok(newest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
