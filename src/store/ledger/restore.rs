//! Taking what an archive holds, with indexes and counts made anew.

use super::Decision;
use super::state::Ledger;
use crate::clock::Timestamp;
use crate::delivery::DeliveryState;
use crate::store::archive::{Archived, ArchivedDelivery, ArchivedEvent, ArchivedKey};
use crate::store::kv::{KvError, Tree};
use crate::store::record::{
    AttemptRecord, DeliveryRecord, DocumentRecord, EventRecord, KeyRecord, OrderRecord, StateRecord, ValueRecord, outcome_number,
};
use crate::store::{ConfigurationRecord, Document, StoreError, layout};

impl Ledger {
    /// Stores what is not there yet; answers how much that was. Items must come in the order of the
    /// archive, since a delivery that waits for another is known by the other's row.
    pub(in crate::store) fn restore(&mut self, items: Vec<Archived>) -> Decision<usize, StoreError> {
        if self.storage_full() {
            return Ok(Err(StoreError::StorageFull));
        }
        let mut taken = 0;
        for item in items {
            taken += usize::from(match item {
                Archived::Key(key) => self.restore_key(&key)?,
                Archived::Event(event) => self.restore_event(&event)?,
                Archived::Audit(record) => self.restore_record(&record)?,
                Archived::Document(document) => self.restore_document(&document)?,
            });
        }
        Ok(Ok(taken))
    }

    fn restore_record(&mut self, record: &ConfigurationRecord) -> Result<bool, KvError> {
        let key = layout::configuration_key(record.kind, &record.id);
        let is_new = self.overlay.get(Tree::Configuration, &key)?.is_none();
        if is_new {
            self.put(Tree::Configuration, &key, &ValueRecord { json: &record.value });
        }
        Ok(is_new)
    }

    fn restore_document(&mut self, document: &Document) -> Result<bool, KvError> {
        let key = layout::document_key(document.kind, &document.id);
        let is_new = self.overlay.get(Tree::Documents, &key)?.is_none();
        if is_new {
            self.put(Tree::Documents, &key, &DocumentRecord { revision: document.revision, json: &document.value });
        }
        Ok(is_new)
    }

    fn restore_key(&mut self, key: &ArchivedKey) -> Result<bool, KvError> {
        if self.overlay.get(Tree::Keys, &key.digest)?.is_some() {
            return Ok(false);
        }
        let record = KeyRecord {
            event: key.event.raw().to_be_bytes(),
            deliveries: key.deliveries,
            fingerprint: key.fingerprint,
            expires_at: key.expires_at.unix_ms(),
        };
        self.put(Tree::Keys, &key.digest, &record);
        self.overlay.put(Tree::KeyExpiry, layout::key_expiry_key(key.expires_at, &key.digest), Vec::new());
        Ok(true)
    }

    fn restore_event(&mut self, archived: &ArchivedEvent) -> Result<bool, KvError> {
        let event = &archived.event;
        let key = layout::event_key(event.id);
        if self.overlay.get(Tree::Events, &key)?.is_some() {
            return Ok(false);
        }
        let record = EventRecord {
            account: event.account.as_str(),
            event_type: event.event_type.as_str(),
            key: event.key.as_ref().map(|key| key.as_str()),
            occurred_at: event.occurred_at.unix_ms(),
            received_at: event.received_at.unix_ms(),
            subscriptions: archived.subscriptions.iter().map(|subscription| subscription.raw().to_be_bytes()).collect(),
            data: event.data.stored(),
        };
        self.put(Tree::Events, &key, &record);
        self.ids.raise(event.id.raw());
        for delivery in &archived.deliveries {
            self.restore_delivery(delivery)?;
        }
        Ok(true)
    }

    fn restore_delivery(&mut self, archived: &ArchivedDelivery) -> Result<(), KvError> {
        let ArchivedDelivery { delivery, order_key, attempts } = archived;
        let (id, subscription) = (delivery.id, delivery.subscription);
        let order = order_key.filter(|_| delivery.state.is_undecided());
        let parked = match &order {
            Some(order) => !self.overlay.rows(Tree::Order, &layout::order_prefix(subscription, order), 1)?.is_empty(),
            None => false,
        };
        let state = StateRecord::of(delivery.state);
        let record = DeliveryRecord {
            state,
            attempts: delivery.attempts,
            last_outcome: delivery.last_outcome.map(outcome_number),
            template_version: delivery.template_version,
            created_after_id_ms: delivery.created_at.unix_ms().saturating_sub(id.unix_ms()),
            account: delivery.account.clone(),
            event_type: delivery.event_type.clone(),
            order,
            parked,
        };
        self.put_delivery(subscription, id, &record);
        if let StateRecord::Pending { due_at } = state {
            if let Some(order) = &order {
                self.put(Tree::Order, &layout::order_row_key(subscription, order, id), &OrderRecord { due_at });
            }
            if !parked {
                let due_at = Timestamp::from_unix_ms(due_at);
                self.put_due(subscription, id, due_at, &record);
                self.notice(subscription).note_due(due_at);
            }
        }
        for attempt in attempts {
            self.put(Tree::Attempts, &layout::attempt_key(id, attempt.number), &AttemptRecord::of(attempt));
        }
        let counts = self.counts_of(subscription, &delivery.account);
        counts.attempts += i64::from(delivery.attempts);
        *match delivery.state {
            DeliveryState::Pending { .. } | DeliveryState::Leased { .. } => &mut counts.waiting,
            DeliveryState::Delivered { .. } => &mut counts.delivered,
            DeliveryState::Dead { .. } => &mut counts.dead,
            DeliveryState::Cancelled { .. } => &mut counts.cancelled,
        } += 1;
        Ok(())
    }
}
