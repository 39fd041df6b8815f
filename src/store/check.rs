//! Whether records, indexes and counts of an embedded store tell the same story.
//!
//! Nothing is changed. For a store that nobody writes to; beside a running server a change between two
//! looks would be reported as a fault.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::kv::{Direction, KeyRange, KvError, Tree};
use super::reader::{Reader, read_document};
use super::record::{self, CountsRecord, DeliveryRecord, DueRecord, EventRecord, KeyRecord, OrderRecord, StateRecord};
use super::{Counts, layout};
use crate::clock::Timestamp;
use crate::id::{DeliveryId, EventId, SubscriptionId};

/// Most faults that are described; more are only counted.
const FAULTS_DESCRIBED_MAX: usize = 100;

/// A key and its value.
type Row = (Vec<u8>, Vec<u8>);

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Rows by tree, in the order of their documentation.
    pub rows: Vec<(&'static str, u64)>,
    /// How many faults there are.
    pub faults: u64,
    /// The first hundred of them.
    pub described: Vec<String>,
}

impl CheckReport {
    fn fault(&mut self, text: impl FnOnce() -> String) {
        self.faults += 1;
        if self.described.len() < FAULTS_DESCRIBED_MAX {
            self.described.push(text());
        }
    }
}

impl Reader {
    /// Looks at every row and at what belongs to it.
    pub(super) fn check(&mut self) -> Result<CheckReport, KvError> {
        let mut report = CheckReport::default();
        let mut counted: HashMap<SubscriptionId, Counts> = HashMap::new();
        for tree in Tree::ALL {
            let mut rows = 0;
            let mut after: Option<Vec<u8>> = None;
            // In portions, since an engine must not be asked from within a scan.
            loop {
                let portion = self.portion(tree, after.as_deref())?;
                let Some((last, _)) = portion.last() else { break };
                after = Some([last.as_slice(), &[0]].concat());
                rows += portion.len() as u64;
                for (key, value) in portion {
                    self.check_row(tree, &key, &value, &mut report, &mut counted)?;
                }
            }
            report.rows.push((tree.name(), rows));
        }
        self.check_counts(&counted, &mut report)?;
        Ok(report)
    }

    fn portion(&self, tree: Tree, low: Option<&[u8]>) -> Result<Vec<Row>, KvError> {
        let mut rows = Vec::new();
        let range = KeyRange { low: low.unwrap_or_default(), high: None };
        self.parts.kv.scan(tree, range, Direction::Forward, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            if rows.len() < 512 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(rows)
    }

    fn check_row(
        &self,
        tree: Tree,
        key: &[u8],
        value: &[u8],
        report: &mut CheckReport,
        counted: &mut HashMap<SubscriptionId, Counts>,
    ) -> Result<(), KvError> {
        let unreadable = |report: &mut CheckReport, error: record::BadRecord| {
            report.fault(|| format!("{}: the record {} cannot be read: {error}", tree.name(), hex(key)));
        };
        match tree {
            Tree::Events => {
                let Some(id) = layout::first_id(key).map(EventId::from_raw) else { return Ok(()) };
                match record::decode::<EventRecord<'_>>(tree, key, value).and_then(|record| Ok((record.deliveries(id), record.event(id)?)))
                {
                    Ok((places, _)) => {
                        for (subscription, delivery) in places {
                            if self.parts.kv.get(Tree::Deliveries, &layout::delivery_key(subscription, delivery))?.is_none() {
                                report.fault(|| format!("events: {id} owes {delivery}, which is not there"));
                            }
                        }
                    }
                    Err(error) => unreadable(report, error),
                }
            }
            Tree::Deliveries => match record::decode::<DeliveryRecord>(tree, key, value) {
                Ok(record) => self.check_delivery(key, &record, report, counted)?,
                Err(error) => unreadable(report, error),
            },
            Tree::Due => {
                let place = layout::first_id(key).map(SubscriptionId::from_raw).zip(layout::read_due_key(key));
                let Some((subscription, (due_at, delivery))) = place else { return Ok(()) };
                if let Err(error) = record::decode::<DueRecord>(tree, key, value) {
                    unreadable(report, error);
                }
                let owed = self.delivery_record(subscription, delivery)?;
                if !owed.is_some_and(|record| record.state == pending(due_at) && !record.parked) {
                    report.fault(|| format!("due: {delivery} has a row for {due_at} and is not due then"));
                }
            }
            Tree::Order => {
                let place = layout::first_id(key).zip(layout::last_id(key));
                let Some((subscription, delivery)) = place.map(|(s, d)| (SubscriptionId::from_raw(s), DeliveryId::from_raw(d))) else {
                    return Ok(());
                };
                if let Err(error) = record::decode::<OrderRecord>(tree, key, value) {
                    unreadable(report, error);
                }
                let owed = self.delivery_record(subscription, delivery)?;
                let fits = |record: DeliveryRecord| {
                    matches!(record.state, StateRecord::Pending { .. }) && record.order == layout::read_order_key(key)
                };
                if !owed.is_some_and(fits) {
                    report.fault(|| format!("order: {delivery} has a row and is not undecided in that order"));
                }
            }
            Tree::Keys => match record::decode::<KeyRecord>(tree, key, value) {
                Ok(record) => {
                    let digest = key.try_into().unwrap_or_default();
                    let expiry = layout::key_expiry_key(Timestamp::from_unix_ms(record.expires_at), &digest);
                    if self.parts.kv.get(Tree::KeyExpiry, &expiry)?.is_none() {
                        report.fault(|| format!("keys: the key {} would never expire", hex(key)));
                    }
                }
                Err(error) => unreadable(report, error),
            },
            Tree::Attempts => {
                let id = key.first_chunk::<16>().map(|id| DeliveryId::from_raw(u128::from_be_bytes(*id)));
                if let Err(error) = record::decode::<record::AttemptRecord<'_>>(tree, key, value) {
                    unreadable(report, error);
                } else if let Some(id) = id
                    && self.parts.kv.get(Tree::Events, &layout::event_key(id.event()))?.is_none()
                {
                    report.fault(|| format!("attempts: {id} has an attempt and its event is not there"));
                }
            }
            Tree::Configuration => {
                if let Err(error) = record::decode::<record::ValueRecord<'_>>(tree, key, value) {
                    unreadable(report, error);
                }
            }
            Tree::Documents => {
                if let Err(error) = read_document(key, value) {
                    unreadable(report, error);
                }
            }
            Tree::Quarantine => report.fault(|| format!("quarantine: {} was set aside as damaged", hex(key))),
            Tree::KeyExpiry | Tree::Counts | Tree::Meta => {}
        }
        Ok(())
    }

    fn check_delivery(
        &self,
        key: &[u8],
        record: &DeliveryRecord,
        report: &mut CheckReport,
        counted: &mut HashMap<SubscriptionId, Counts>,
    ) -> Result<(), KvError> {
        let place = layout::first_id(key).zip(layout::last_id(key));
        let Some((subscription, id)) = place.map(|(s, d)| (SubscriptionId::from_raw(s), DeliveryId::from_raw(d))) else {
            return Ok(());
        };
        let counts = counted.entry(subscription).or_default();
        counts.attempts += u64::from(record.attempts);
        match record.state {
            StateRecord::Pending { .. } => counts.waiting += 1,
            StateRecord::Delivered { .. } => counts.delivered += 1,
            StateRecord::Dead { .. } => counts.dead += 1,
            StateRecord::Cancelled { .. } => counts.cancelled += 1,
        }
        let has = |tree, key: &[u8]| self.parts.kv.get(tree, key).map(|value| value.is_some());
        if !has(Tree::Events, &layout::event_key(id.event()))? {
            report.fault(|| format!("deliveries: the event of {id} is not there"));
        }
        if let StateRecord::Pending { due_at } = record.state {
            let due = has(Tree::Due, &layout::due_key(subscription, Timestamp::from_unix_ms(due_at), id))?;
            if due == record.parked {
                let text = if due { "waits for another and is in the due index too" } else { "waits and is not in the due index" };
                report.fault(|| format!("deliveries: {id} {text}"));
            }
            if let Some(order) = &record.order
                && !has(Tree::Order, &layout::order_row_key(subscription, order, id))?
            {
                report.fault(|| format!("deliveries: {id} has an order and no row there"));
            }
        }
        for number in 1..=record.attempts {
            if !has(Tree::Attempts, &layout::attempt_key(id, number))? {
                report.fault(|| format!("deliveries: attempt {number} of {id} is not there"));
            }
        }
        Ok(())
    }

    fn delivery_record(&self, subscription: SubscriptionId, id: DeliveryId) -> Result<Option<DeliveryRecord>, KvError> {
        let key = layout::delivery_key(subscription, id);
        let value = self.parts.kv.get(Tree::Deliveries, &key)?;
        Ok(value.and_then(|value| record::decode(Tree::Deliveries, &key, &value).ok()))
    }

    fn check_counts(&self, counted: &HashMap<SubscriptionId, Counts>, report: &mut CheckReport) -> Result<(), KvError> {
        let mut stored = HashMap::new();
        self.parts.kv.scan(Tree::Counts, KeyRange::ALL, Direction::Forward, &mut |key, value| {
            if let Some(subscription) = layout::first_id(key).map(SubscriptionId::from_raw) {
                stored.insert(subscription, record::decode::<CountsRecord>(Tree::Counts, key, value).map(|record| record.counts()).ok());
            }
            ControlFlow::Continue(())
        })?;
        for (subscription, counts) in counted {
            if stored.remove(subscription).flatten() != Some(*counts) {
                report.fault(|| format!("counts: those of {subscription} are not what its deliveries add up to"));
            }
        }
        for (subscription, counts) in stored {
            if counts != Some(Counts::default()) {
                report.fault(|| format!("counts: {subscription} has counts and no deliveries"));
            }
        }
        Ok(())
    }
}

fn pending(due_at: Timestamp) -> StateRecord {
    StateRecord::Pending { due_at: due_at.unix_ms() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
