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
use crate::store::{Counts, DueRow, FRESH_ROWS_MAX, LaneNotice};

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
    counts: Counts,
    changed: bool,
}

impl Ledger {
    /// Reads what a ledger needs to know beforehand: the newest id and the counts.
    pub(in crate::store) fn load(parts: LedgerParts, options: StoreOptions) -> Result<Self, KvError> {
        let newest = newest_id(&*parts.kv)?;
        let mut ledger = Self {
            overlay: Overlay::new(parts.kv.clone()),
            ids: IdSource::new(options.tag, newest),
            options,
            removed: HashSet::new(),
            pruned_up_to: EventId::from_raw(0),
            parts,
            tallies: HashMap::new(),
            changed_tallies: Vec::new(),
            notices: HashMap::new(),
            free_space: None,
        };
        ledger.load_counts()?;
        Ok(ledger)
    }

    fn load_counts(&mut self) -> Result<(), KvError> {
        for (key, value) in self.overlay.rows(Tree::Counts, &[], usize::MAX)? {
            let Some(subscription) = layout::first_id(&key).map(SubscriptionId::from_raw) else { continue };
            match record::decode::<CountsRecord>(Tree::Counts, &key, &value) {
                Ok(record) => {
                    let tally = Tally { counts: record.counts(), account: record.account, changed: false };
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
                counts.attempts += u64::from(delivery.attempts);
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
        for subscription in std::mem::take(&mut self.changed_tallies) {
            let Some(tally) = self.tallies.get_mut(&subscription) else { continue };
            tally.changed = false;
            let key = layout::subscription_key(subscription);
            if tally.counts == Counts::default() {
                self.tallies.remove(&subscription);
                self.overlay.remove(Tree::Counts, key);
            } else {
                let record = CountsRecord::of(tally.account.clone(), tally.counts);
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
    pub(super) fn counts_of(&mut self, subscription: SubscriptionId, account: &AccountId) -> &mut Counts {
        let tally = self.tallies.entry(subscription).or_insert_with(|| Tally {
            account: account.clone(),
            counts: Counts::default(),
            changed: false,
        });
        if !tally.changed {
            tally.changed = true;
            self.changed_tallies.push(subscription);
        }
        &mut tally.counts
    }

    /// How many deliveries of a subscription are undecided.
    pub(super) fn waiting(&self, subscription: SubscriptionId) -> u64 {
        self.tallies.get(&subscription).map_or(0, |tally| tally.counts.waiting)
    }

    /// The subscriptions that have deliveries.
    pub(super) fn subscriptions(&self) -> Vec<SubscriptionId> {
        self.tallies.keys().copied().collect()
    }

    /// Moves a delivery from one count to another.
    pub(super) fn recategorise(&mut self, subscription: SubscriptionId, account: &AccountId, from: StateRecord, to: StateRecord) {
        let counts = self.counts_of(subscription, account);
        let left = counter(counts, from);
        *left = left.saturating_sub(1);
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
fn counter(counts: &mut Counts, state: StateRecord) -> &mut u64 {
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
        let left = counter(counts, delivery.state);
        *left = left.saturating_sub(1);
        counts.attempts = counts.attempts.saturating_sub(u64::from(delivery.attempts));
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
