//! What a person does to deliveries: cancel, retry, replay, end all of a subscription.

use super::Decision;
use super::state::Ledger;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, StateName};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::kv::{KvError, Tree};
use crate::store::listing::is_decided_as;
use crate::store::record::{DeliveryRecord, StateRecord};
use crate::store::{ChangeError, Revival, StoreError, layout};

impl Ledger {
    /// Ends a pending or dead delivery as cancelled.
    pub(in crate::store) fn cancel(&mut self, id: DeliveryId, at: Timestamp) -> Decision<Delivery, ChangeError> {
        let Some((subscription, _)) = self.find_delivery(id)? else { return Ok(Err(ChangeError::NotFound(id))) };
        self.cancel_of(subscription, id, at)
    }

    /// The same for a delivery whose subscription is known.
    pub(in crate::store) fn cancel_of(
        &mut self,
        subscription: SubscriptionId,
        id: DeliveryId,
        at: Timestamp,
    ) -> Decision<Delivery, ChangeError> {
        let Some(record) = self.read_delivery(subscription, id)? else { return Ok(Err(ChangeError::NotFound(id))) };
        if let Some(state) = decided(record.state) {
            return Ok(Err(ChangeError::Decided { delivery: id, state }));
        }
        let record = self.cancel_record(subscription, id, record, at)?;
        Ok(record.delivery(id, subscription).map_err(|_| ChangeError::NotFound(id)))
    }

    fn cancel_record(
        &mut self,
        subscription: SubscriptionId,
        id: DeliveryId,
        mut record: DeliveryRecord,
        at: Timestamp,
    ) -> Result<DeliveryRecord, KvError> {
        let before = record.state;
        if let StateRecord::Pending { due_at } = before
            && !record.parked
        {
            self.remove_due(subscription, id, Timestamp::from_unix_ms(due_at));
            self.notice(subscription).note_removed(id);
        }
        record.state = StateRecord::Cancelled { at: at.unix_ms() };
        self.leave_order(subscription, id, &mut record, at)?;
        self.recategorise(subscription, &record.account, before, record.state);
        self.put_delivery(subscription, id, &record);
        Ok(record)
    }

    /// Makes a pending or dead delivery due at `at`.
    ///
    /// A dead one goes outside the order it may have had; a pending one that waits for an earlier one
    /// goes on waiting for it.
    pub(in crate::store) fn retry(
        &mut self,
        id: DeliveryId,
        at: Timestamp,
        template_version: Option<u32>,
    ) -> Decision<Delivery, ChangeError> {
        let Some((subscription, _)) = self.find_delivery(id)? else { return Ok(Err(ChangeError::NotFound(id))) };
        self.retry_of(subscription, id, at, template_version)
    }

    /// The same for a delivery whose subscription is known.
    pub(in crate::store) fn retry_of(
        &mut self,
        subscription: SubscriptionId,
        id: DeliveryId,
        at: Timestamp,
        template_version: Option<u32>,
    ) -> Decision<Delivery, ChangeError> {
        let Some(mut record) = self.read_delivery(subscription, id)? else { return Ok(Err(ChangeError::NotFound(id))) };
        if let Some(state) = decided(record.state) {
            return Ok(Err(ChangeError::Decided { delivery: id, state }));
        }
        if self.removed.contains(&subscription) {
            return Ok(Err(ChangeError::Decided { delivery: id, state: StateName::Cancelled }));
        }
        record.template_version = template_version.unwrap_or(record.template_version);
        let before = record.state;
        match before {
            StateRecord::Pending { due_at } => {
                // The lane may have read the old row ahead. It forgets that and reads the index again.
                if !record.parked {
                    self.notice(subscription).note_removed(id);
                }
                self.reschedule(subscription, id, &mut record, Timestamp::from_unix_ms(due_at), at);
            }
            _ => {
                // The lane may not have heard yet how its last attempt ended.
                self.notice(subscription).note_removed(id);
                self.reschedule(subscription, id, &mut record, at, at);
            }
        }
        self.recategorise(subscription, &record.account, before, record.state);
        self.put_delivery(subscription, id, &record);
        if !record.parked {
            self.notice(subscription).note_due(at);
        }
        Ok(record.delivery(id, subscription).map_err(|_| ChangeError::NotFound(id)))
    }

    /// Makes decided deliveries due again and writes the record that goes with them.
    pub(in crate::store) fn revive(&mut self, revival: Revival) -> Decision<usize, StoreError> {
        let Revival { subscription, deliveries, states, decided_by, at, template_version, record: note } = revival;
        let mut revived = 0;
        for id in deliveries {
            let Some(mut record) = self.read_delivery(subscription, id)? else { continue };
            let before = record.state;
            let asked_for = before.state().is_ok_and(|state| is_decided_as(state, &states, decided_by));
            if !asked_for || self.removed.contains(&subscription) {
                continue;
            }
            record.template_version = template_version;
            self.notice(subscription).note_removed(id);
            self.reschedule(subscription, id, &mut record, at, at);
            self.recategorise(subscription, &record.account, before, record.state);
            self.put_delivery(subscription, id, &record);
            revived += 1;
        }
        if revived > 0 {
            self.notice(subscription).note_due(at);
        }
        self.put_note(Some(note(revived)));
        Ok(Ok(revived))
    }

    /// Ends up to `limit` undecided deliveries of a subscription; answers how many.
    pub(in crate::store) fn end_deliveries(
        &mut self,
        subscription: SubscriptionId,
        at: Timestamp,
        limit: usize,
    ) -> Decision<usize, StoreError> {
        let prefix = layout::subscription_key(subscription);
        loop {
            let mut rows = Vec::new();
            for tree in [Tree::Order, Tree::Due] {
                if rows.len() < limit {
                    let found = self.overlay.rows(tree, &prefix, limit)?;
                    rows.extend(found.into_iter().filter_map(|(key, _)| Some((layout::last_id(&key)?, tree, key))));
                }
            }
            if rows.is_empty() || limit == 0 {
                return Ok(Ok(0));
            }
            // Those that wait in an order before the one they wait for, so that few are released only
            // to be ended in the next step.
            rows.sort_unstable();
            rows.truncate(limit);
            let ended = self.end_rows(subscription, rows, at)?;
            if ended > 0 {
                return Ok(Ok(ended));
            }
        }
    }

    fn end_rows(&mut self, subscription: SubscriptionId, rows: Vec<(u128, Tree, Vec<u8>)>, at: Timestamp) -> Result<usize, KvError> {
        let mut ended = 0;
        for (id, tree, key) in rows.into_iter().rev() {
            let id = DeliveryId::from_raw(id);
            match self.read_delivery(subscription, id)? {
                Some(record) if matches!(record.state, StateRecord::Pending { .. }) => {
                    self.cancel_record(subscription, id, record, at)?;
                    ended += 1;
                }
                // The other row of one that was just ended, or a row that stands for nothing.
                Some(_) | None => self.overlay.remove(tree, key),
            }
        }
        Ok(ended)
    }
}

/// The state of a delivery that nothing changes any more.
const fn decided(state: StateRecord) -> Option<StateName> {
    match state {
        StateRecord::Pending { .. } | StateRecord::Dead { .. } => None,
        StateRecord::Delivered { .. } => Some(StateName::Delivered),
        StateRecord::Cancelled { .. } => Some(StateName::Cancelled),
    }
}
