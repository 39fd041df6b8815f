//! Damaged records: set aside, and rebuilt where other records tell what they were.
//!
//! | damaged | what becomes of it |
//! |---|---|
//! | due row, order row | rebuilt from the delivery |
//! | delivery | rebuilt from the event, the due row or order row if it has one, and its attempts if not |
//! | counts | counted again when the store is opened |
//! | event | lost; its deliveries stay and cannot be rendered |
//! | key | lost; a repeat of its event would be taken as new |
//! | attempt, configuration, document | lost |

use super::overlay::Row;
use super::state::Ledger;
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::delivery::{DeadReason, DeliveryState};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::kv::{KeyRange, KvError, Tree, after_prefix};
use crate::store::layout;
use crate::store::reader::read_document;
use crate::store::record::{self, AttemptRecord, BadRecord, DeliveryRecord, DueRecord, EventRecord, OrderRecord, StateRecord};

impl Ledger {
    /// Looks at a record that a reader could not read, and repairs it if it is still damaged.
    pub(in crate::store) fn examine(&mut self, tree: Tree, key: &[u8]) -> Result<(), KvError> {
        let Some(value) = self.overlay.get(tree, key)? else { return Ok(()) };
        match readable(tree, key, &value) {
            Ok(()) => Ok(()),
            Err(error) => self.repair(tree, key, value, error),
        }
    }

    /// Sets a damaged record aside and rebuilds it where that is possible.
    pub(super) fn repair(&mut self, tree: Tree, key: &[u8], value: Vec<u8>, error: BadRecord) -> Result<(), KvError> {
        self.quarantine(tree, key, value, error);
        let place = layout::first_id(key).map(SubscriptionId::from_raw).zip(layout::last_id(key).map(DeliveryId::from_raw));
        match (tree, place) {
            (Tree::Due | Tree::Order, Some((subscription, id))) => self.rebuild_row(tree, key, subscription, id),
            (Tree::Deliveries, Some((subscription, id))) => self.rebuild_delivery(subscription, id),
            _ => Ok(()),
        }
    }

    fn rebuild_row(&mut self, tree: Tree, key: &[u8], subscription: SubscriptionId, id: DeliveryId) -> Result<(), KvError> {
        let Some(record) = self.read_delivery(subscription, id)? else { return Ok(()) };
        let StateRecord::Pending { due_at } = record.state else { return Ok(()) };
        let due_at = Timestamp::from_unix_ms(due_at);
        match tree {
            Tree::Due if !record.parked && layout::due_key(subscription, due_at, id).as_slice() == key => {
                self.put_due(subscription, id, due_at, &record);
                self.notice(subscription).note_due(due_at);
            }
            Tree::Order => self.put(Tree::Order, key, &OrderRecord { due_at: due_at.unix_ms() }),
            _ => {}
        }
        Ok(())
    }

    fn rebuild_delivery(&mut self, subscription: SubscriptionId, id: DeliveryId) -> Result<(), KvError> {
        let event_key = layout::event_key(id.event());
        let Some(event) = self.overlay.get(Tree::Events, &event_key)? else { return Ok(()) };
        let Ok(event) = record::decode::<EventRecord<'_>>(Tree::Events, &event_key, &event) else { return Ok(()) };
        let (Ok(account), Ok(event_type)) = (event.account.parse(), event.event_type.parse()) else { return Ok(()) };
        let due = self.row_of(Tree::Due, subscription, id)?;
        let order = self.row_of(Tree::Order, subscription, id)?;
        let attempts = self.attempts_of(id)?;
        let mut rebuilt = DeliveryRecord {
            state: StateRecord::Cancelled { at: id.unix_ms() },
            attempts: u32::try_from(attempts.len()).unwrap_or(u32::MAX),
            last_outcome: attempts.last().map(|&(outcome, _)| outcome),
            template_version: 1,
            created_after_id_ms: event.received_at.saturating_sub(id.unix_ms()),
            account,
            event_type,
            order: order.as_ref().and_then(|(key, _)| layout::read_order_key(key)),
            parked: due.is_none() && order.is_some(),
        };
        if let Some((key, value)) = &due {
            let due_at = layout::read_due_key(key).map_or(0, |(due_at, _)| due_at.unix_ms());
            rebuilt.state = StateRecord::Pending { due_at };
            if let Ok(row) = record::decode::<DueRecord>(Tree::Due, key, value) {
                rebuilt.template_version = row.template_version;
            }
        } else if let Some((key, value)) = &order {
            let due_at = record::decode::<OrderRecord>(Tree::Order, key, value).map_or(id.unix_ms(), |row| row.due_at);
            rebuilt.state = StateRecord::Pending { due_at };
        } else if let Some(&(outcome, ended_at)) = attempts.last() {
            rebuilt.state = state_after(outcome, ended_at);
        }
        self.put_delivery(subscription, id, &rebuilt);
        Ok(())
    }

    /// The row of a delivery in one of the indexes by subscription. Walks the whole range: damage is rare.
    fn row_of(&self, tree: Tree, subscription: SubscriptionId, id: DeliveryId) -> Result<Option<Row>, KvError> {
        let prefix = layout::subscription_key(subscription);
        let high = after_prefix(&prefix);
        let mut row = None;
        self.overlay.scan(tree, KeyRange { low: &prefix, high: high.as_deref() }, &mut |key, value| {
            if layout::last_id(key) == Some(id.raw()) {
                row = Some((key.to_vec(), value.to_vec()));
                return std::ops::ControlFlow::Break(());
            }
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(row)
    }

    /// Outcome and end of each attempt that is on record, first to last.
    fn attempts_of(&self, id: DeliveryId) -> Result<Vec<(u8, i64)>, KvError> {
        let rows = self.overlay.rows(Tree::Attempts, &id.raw().to_be_bytes(), usize::MAX)?;
        let read = |(key, value): &Row| {
            let attempt = record::decode::<AttemptRecord<'_>>(Tree::Attempts, key, value).ok()?;
            Some((attempt.outcome, attempt.started_at.saturating_add(attempt.duration_ms.cast_signed())))
        };
        Ok(rows.iter().filter_map(read).collect())
    }
}

/// The state of a delivery that is not waiting, by its last attempt.
fn state_after(outcome: u8, ended_at: i64) -> StateRecord {
    let at = Timestamp::from_unix_ms(ended_at);
    StateRecord::of(if outcome == record::outcome_number(Outcome::Delivered) {
        DeliveryState::Delivered { at }
    } else {
        DeliveryState::Dead { at, reason: DeadReason::Exhausted }
    })
}

/// Whether a value can be read as what its tree holds.
fn readable(tree: Tree, key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
    match tree {
        Tree::Events => {
            let id = layout::first_id(key).ok_or(BadRecord::Content)?;
            record::decode::<EventRecord<'_>>(tree, key, value)?.event(crate::id::EventId::from_raw(id)).map(drop)
        }
        Tree::Keys => record::decode::<record::KeyRecord>(tree, key, value).map(drop),
        Tree::Deliveries => {
            let record = record::decode::<DeliveryRecord>(tree, key, value)?;
            record.delivery(DeliveryId::from_raw(0), SubscriptionId::from_raw(0)).map(drop)
        }
        Tree::Due => record::decode::<DueRecord>(tree, key, value).map(drop),
        Tree::Order => record::decode::<OrderRecord>(tree, key, value).map(drop),
        Tree::Attempts => record::decode::<AttemptRecord<'_>>(tree, key, value)?.attempt(0).map(drop),
        Tree::Counts => record::decode::<record::CountsRecord>(tree, key, value).map(drop),
        Tree::Configuration => record::decode::<record::ValueRecord<'_>>(tree, key, value).map(drop),
        Tree::Documents => read_document(key, value).map(drop),
        Tree::KeyExpiry | Tree::Meta | Tree::Quarantine => Ok(()),
    }
}
