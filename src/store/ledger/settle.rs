//! Settling: an attempt goes on record and decides, or does not decide, what follows.

use super::Decision;
use super::state::Ledger;
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, DeliveryState, Next, OrderKey};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::kv::{KvError, Tree};
use crate::store::record::{self, AttemptRecord, DeliveryRecord, OrderRecord, StateRecord};
use crate::store::{DueRow, Settlement, StoreError, layout};

impl Ledger {
    /// Records an attempt and what follows it; none if the delivery is gone.
    ///
    /// If a person rescheduled the delivery while it was in flight, its due time is no longer the one
    /// that was leased: then only a success ends it, and any other end leaves it due when the person
    /// said. If it was cancelled, or is dead, meanwhile, only a success changes that. An attempt that
    /// is on record already is not recorded again.
    pub(in crate::store) fn settle(&mut self, settlement: Settlement) -> Decision<Option<Delivery>, StoreError> {
        let Settlement { delivery: id, subscription, leased_due_at, mut attempt, next, at, epoch: _ } = settlement;
        let Some(mut record) = self.read_delivery(subscription, id)? else {
            // A row without its record would be leased for ever.
            self.remove_due(subscription, id, leased_due_at);
            return Ok(Ok(None));
        };
        if attempt.number <= record.attempts && self.is_recorded(id, attempt.number, attempt.id.raw())? {
            return Ok(Ok(record.delivery(id, subscription).ok()));
        }
        let state = record.state;
        record.attempts += 1;
        // What is not known of the attempt before may be that it arrived.
        attempt.possible_repeat |= record.last_outcome == Some(record::outcome_number(Outcome::Unknown));
        record.last_outcome = Some(record::outcome_number(attempt.outcome));
        self.counts_of(subscription, &record.account).attempts += 1;
        match (state, next) {
            (StateRecord::Pending { due_at }, next) => {
                let due_at = Timestamp::from_unix_ms(due_at);
                self.settle_pending(subscription, id, &mut record, Settled { due_at, leased_due_at, next, at })?;
            }
            (StateRecord::Dead { .. } | StateRecord::Cancelled { .. }, Next::Delivered) => {
                record.state = StateRecord::Delivered { at: at.unix_ms() };
            }
            (StateRecord::Delivered { .. } | StateRecord::Dead { .. } | StateRecord::Cancelled { .. }, _) => {}
        }
        self.recategorise(subscription, &record.account, state, record.state);
        self.put_delivery(subscription, id, &record);

        attempt.number = record.attempts;
        attempt.next_due_at = match record.state {
            StateRecord::Pending { due_at } => Some(Timestamp::from_unix_ms(due_at)),
            _ => None,
        };
        self.put(Tree::Attempts, &layout::attempt_key(id, attempt.number), &AttemptRecord::of(&attempt));
        Ok(Ok(record.delivery(id, subscription).ok()))
    }

    fn settle_pending(
        &mut self,
        subscription: SubscriptionId,
        id: DeliveryId,
        record: &mut DeliveryRecord,
        settled: Settled,
    ) -> Result<(), KvError> {
        let Settled { due_at, leased_due_at, next, at } = settled;
        let rescheduled = due_at != leased_due_at;
        let decided = match next {
            Next::Delivered => DeliveryState::Delivered { at },
            Next::Dead(reason) if !rescheduled => DeliveryState::Dead { at, reason },
            Next::RetryAt(retry_at) if !rescheduled => {
                self.reschedule(subscription, id, record, due_at, retry_at);
                self.notice(subscription).note_due(retry_at);
                return Ok(());
            }
            Next::Dead(_) | Next::RetryAt(_) => {
                self.reschedule(subscription, id, record, due_at, due_at);
                self.notice(subscription).note_due(due_at);
                return Ok(());
            }
        };
        self.remove_due(subscription, id, due_at);
        record.state = StateRecord::of(decided);
        self.leave_order(subscription, id, record, at)
    }

    /// Moves the due row of a pending delivery; with it its order row, if it has one.
    pub(super) fn reschedule(
        &mut self,
        subscription: SubscriptionId,
        id: DeliveryId,
        record: &mut DeliveryRecord,
        from: Timestamp,
        to: Timestamp,
    ) {
        record.state = StateRecord::Pending { due_at: to.unix_ms() };
        if !record.parked {
            if from != to {
                self.remove_due(subscription, id, from);
            }
            self.put_due(subscription, id, to, record);
        }
        if let Some(order) = &record.order
            && from != to
        {
            let key = layout::order_row_key(subscription, order, id);
            self.put(Tree::Order, &key, &OrderRecord { due_at: to.unix_ms() });
        }
    }

    /// Takes a delivery that was decided out of its order, and lets the next one go if this was the first.
    pub(super) fn leave_order(
        &mut self,
        subscription: SubscriptionId,
        id: DeliveryId,
        record: &mut DeliveryRecord,
        now: Timestamp,
    ) -> Result<(), KvError> {
        let Some(order) = record.order.take() else { return Ok(()) };
        self.overlay.remove(Tree::Order, layout::order_row_key(subscription, &order, id));
        if std::mem::take(&mut record.parked) { Ok(()) } else { self.release_next(subscription, &order, now) }
    }

    /// Gives the first delivery in an order its due row.
    pub(super) fn release_next(&mut self, subscription: SubscriptionId, order: &OrderKey, now: Timestamp) -> Result<(), KvError> {
        let prefix = layout::order_prefix(subscription, order);
        while let Some((key, _)) = self.overlay.rows(Tree::Order, &prefix, 1)?.pop() {
            let id = layout::last_id(&key).map(DeliveryId::from_raw);
            let waiting = match id {
                Some(id) => self.read_delivery(subscription, id)?.map(|record| (id, record)),
                None => None,
            };
            if let Some((id, mut record)) = waiting
                && let StateRecord::Pending { due_at } = record.state
            {
                if record.parked {
                    record.parked = false;
                    self.release(subscription, id, &mut record, Timestamp::from_unix_ms(due_at), now);
                }
                return Ok(());
            }
            // A row that stands for nothing must not keep the others waiting.
            self.overlay.remove(Tree::Order, key);
        }
        Ok(())
    }

    fn release(&mut self, subscription: SubscriptionId, id: DeliveryId, record: &mut DeliveryRecord, due_at: Timestamp, now: Timestamp) {
        let release_at = due_at.max(now);
        self.reschedule(subscription, id, record, due_at, release_at);
        self.put_due(subscription, id, release_at, record);
        self.put_delivery(subscription, id, record);
        if release_at <= now {
            let row = DueRow {
                delivery: id,
                due_at: release_at,
                attempts: record.attempts,
                template_version: record.template_version,
                event: self.parts.cache.get(id.event()),
            };
            self.notice_fresh(subscription, row);
        } else {
            self.notice(subscription).note_due(release_at);
        }
    }

    fn is_recorded(&mut self, id: DeliveryId, number: u32, attempt: u128) -> Result<bool, KvError> {
        let key = layout::attempt_key(id, number);
        let Some(value) = self.overlay.get(Tree::Attempts, &key)? else { return Ok(false) };
        Ok(record::decode::<AttemptRecord<'_>>(Tree::Attempts, &key, &value).is_ok_and(|record| record.id == attempt.to_be_bytes()))
    }
}

/// How an attempt of a pending delivery ended.
struct Settled {
    due_at: Timestamp,
    leased_due_at: Timestamp,
    next: Next,
    at: Timestamp,
}
