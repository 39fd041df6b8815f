//! Reading: everything that answers a question and changes nothing.
//!
//! Readers see what is written, also what is not synced yet. A damaged record is left out of the answer
//! and remembered in `damaged`, so that the caller can hand it to the writer for repair.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::kv::{Direction, KeyRange, KvError, Tree, after_prefix};
use super::layout;
use super::ledger::LedgerParts;
use super::record::{self, AttemptRecord, BadRecord, CountsRecord, DeliveryRecord, DocumentRecord, DueRecord, EventRecord, ValueRecord};
use super::{
    ConfigurationKind, ConfigurationRecord, Document, DocumentKind, DocumentQuery, DuePage, DueRow, RecordQuery, SubscriptionCounts,
};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::event::Event;
use crate::id::{DeliveryId, EventId, SubscriptionId};

/// Answers one question.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) parts: LedgerParts,
    /// Records that could not be read.
    pub(super) damaged: Vec<(Tree, Vec<u8>)>,
}

impl Reader {
    pub(super) const fn new(parts: LedgerParts) -> Self {
        Self { parts, damaged: Vec::new() }
    }

    /// What `read` gave, or a note of the damage.
    pub(super) fn readable<T>(&mut self, tree: Tree, key: &[u8], read: Result<T, BadRecord>) -> Option<T> {
        read.map_err(|_| self.damaged.push((tree, key.to_vec()))).ok()
    }

    /// Calls `visit` with every row whose key begins with `prefix`.
    fn each(&self, tree: Tree, prefix: &[u8], mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), KvError> {
        let high = after_prefix(prefix);
        let range = KeyRange { low: prefix, high: high.as_deref() };
        self.parts.kv.scan(tree, range, Direction::Forward, &mut |key, value| {
            visit(key, value);
            ControlFlow::Continue(())
        })
    }

    pub(super) fn due(
        &mut self,
        subscription: SubscriptionId,
        until: Timestamp,
        skip: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<DuePage, KvError> {
        let prefix = layout::subscription_key(subscription);
        let high = after_prefix(&prefix);
        let range = KeyRange { low: &prefix, high: high.as_deref() };
        let (mut page, mut damaged) = (DuePage::default(), Vec::new());
        self.parts.kv.scan(Tree::Due, range, Direction::Forward, &mut |key, value| {
            let Some((due_at, delivery)) = layout::read_due_key(key) else { return ControlFlow::Continue(()) };
            if skip.contains(&delivery) {
                return ControlFlow::Continue(());
            }
            if due_at > until {
                page.next_due = Some(due_at);
                return ControlFlow::Break(());
            }
            if page.rows.len() == limit {
                page.more = true;
                return ControlFlow::Break(());
            }
            match record::decode::<DueRecord>(Tree::Due, key, value) {
                Ok(DueRecord { attempts, template_version }) => {
                    page.rows.push(DueRow { delivery, due_at, attempts, template_version, event: None });
                }
                Err(_) => damaged.push((Tree::Due, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        for row in &mut page.rows {
            row.event = self.parts.cache.get(row.delivery.event());
        }
        Ok(page)
    }

    pub(super) fn event(&mut self, id: EventId) -> Result<Option<Arc<Event>>, KvError> {
        if let Some(event) = self.parts.cache.get(id) {
            return Ok(Some(event));
        }
        let Some(event) = self.with_event(id, |record| record.event(id))? else { return Ok(None) };
        let event = Arc::new(event);
        self.parts.cache.insert(event.clone());
        self.parts.cache.clear_dropped();
        Ok(Some(event))
    }

    /// What `read` makes of the record of an event.
    fn with_event<T>(&mut self, id: EventId, read: impl FnOnce(EventRecord<'_>) -> Result<T, BadRecord>) -> Result<Option<T>, KvError> {
        let key = layout::event_key(id);
        let Some(value) = self.parts.kv.get(Tree::Events, &key)? else { return Ok(None) };
        let read = record::decode(Tree::Events, &key, &value).and_then(read);
        Ok(self.readable(Tree::Events, &key, read))
    }

    pub(super) fn deliveries_of(&mut self, id: EventId) -> Result<Vec<Delivery>, KvError> {
        let places = self.with_event(id, |record| Ok(record.deliveries(id)))?.unwrap_or_default();
        let mut deliveries = Vec::with_capacity(places.len());
        for (subscription, delivery) in places {
            deliveries.extend(self.delivery_at(subscription, delivery)?);
        }
        Ok(deliveries)
    }

    pub(super) fn delivery(&mut self, id: DeliveryId) -> Result<Option<Delivery>, KvError> {
        let event = id.event();
        let subscriptions = match self.with_event(event, |record| Ok(record.deliveries(event)))? {
            Some(places) => places.into_iter().filter(|&(_, delivery)| delivery == id).map(|(subscription, _)| subscription).collect(),
            // The event is lost: ask every subscription that has deliveries.
            None => self.counts()?.into_iter().map(|counts| counts.subscription).collect::<Vec<_>>(),
        };
        for subscription in subscriptions {
            if let Some(delivery) = self.delivery_at(subscription, id)? {
                return Ok(Some(delivery));
            }
        }
        Ok(None)
    }

    fn delivery_at(&mut self, subscription: SubscriptionId, id: DeliveryId) -> Result<Option<Delivery>, KvError> {
        let key = layout::delivery_key(subscription, id);
        let Some(value) = self.parts.kv.get(Tree::Deliveries, &key)? else { return Ok(None) };
        Ok(self.read_delivery(&key, &value, subscription, id))
    }

    pub(super) fn read_delivery(&mut self, key: &[u8], value: &[u8], subscription: SubscriptionId, id: DeliveryId) -> Option<Delivery> {
        let read = record::decode::<DeliveryRecord>(Tree::Deliveries, key, value).and_then(|record| record.delivery(id, subscription));
        self.readable(Tree::Deliveries, key, read)
    }

    pub(super) fn attempts(&mut self, id: DeliveryId) -> Result<Vec<Attempt>, KvError> {
        let (mut attempts, mut damaged) = (Vec::new(), Vec::new());
        self.each(Tree::Attempts, &id.raw().to_be_bytes(), |key, value| {
            let number = key.last_chunk::<4>().map_or(0, |number| u32::from_be_bytes(*number));
            match record::decode::<AttemptRecord<'_>>(Tree::Attempts, key, value).and_then(|record| record.attempt(number)) {
                Ok(attempt) => attempts.push(attempt),
                Err(_) => damaged.push((Tree::Attempts, key.to_vec())),
            }
        })?;
        self.damaged.append(&mut damaged);
        Ok(attempts)
    }

    pub(super) fn configuration(&mut self) -> Result<Vec<ConfigurationRecord>, KvError> {
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        // The audit log may hold millions of records, which nobody wants all at once.
        for kind in ConfigurationKind::ALL.into_iter().filter(|kind| *kind != ConfigurationKind::Audit) {
            self.each(Tree::Configuration, &layout::configuration_key(kind, ""), |key, value| match read_configuration(key, value) {
                Some(record) => records.push(record),
                None => damaged.push((Tree::Configuration, key.to_vec())),
            })?;
        }
        self.damaged.append(&mut damaged);
        Ok(records)
    }

    pub(super) fn records(&mut self, query: &RecordQuery) -> Result<Vec<ConfigurationRecord>, KvError> {
        let low = layout::configuration_key(query.kind, &query.from);
        let high = match &query.before {
            Some(before) => Some(layout::configuration_key(query.kind, before)),
            None => after_prefix(&layout::configuration_key(query.kind, "")),
        };
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        let range = KeyRange { low: &low, high: high.as_deref() };
        self.parts.kv.scan(Tree::Configuration, range, Direction::Backward, &mut |key, value| {
            if records.len() == query.limit {
                return ControlFlow::Break(());
            }
            match read_configuration(key, value) {
                Some(record) => records.push(record),
                None => damaged.push((Tree::Configuration, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        Ok(records)
    }

    pub(super) fn document(&mut self, kind: DocumentKind, id: &str) -> Result<Option<Document>, KvError> {
        let key = layout::document_key(kind, id);
        let Some(value) = self.parts.kv.get(Tree::Documents, &key)? else { return Ok(None) };
        let read = read_document(&key, &value);
        Ok(self.readable(Tree::Documents, &key, read))
    }

    pub(super) fn documents(&mut self, query: &DocumentQuery) -> Result<Vec<Document>, KvError> {
        let prefix = layout::document_key(query.kind, &query.prefix);
        let mut low = prefix.clone();
        if let Some(after) = &query.after {
            // The first key after this one.
            low = low.max([&layout::document_key(query.kind, after)[..], &[0]].concat());
        }
        let mut high = after_prefix(&prefix);
        if let Some(before) = &query.before {
            let before = layout::document_key(query.kind, before);
            high = Some(high.map_or_else(|| before.clone(), |high| high.min(before.clone())));
        }
        let (mut documents, mut damaged) = (Vec::new(), Vec::new());
        let range = KeyRange { low: &low, high: high.as_deref() };
        self.parts.kv.scan(Tree::Documents, range, query.direction, &mut |key, value| {
            if documents.len() == query.limit {
                return ControlFlow::Break(());
            }
            match read_document(key, value) {
                Ok(document) => documents.push(document),
                Err(_) => damaged.push((Tree::Documents, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        Ok(documents)
    }

    pub(super) fn counts(&mut self) -> Result<Vec<SubscriptionCounts>, KvError> {
        let mut all = Vec::new();
        self.each(Tree::Counts, &[], |key, value| {
            let subscription = layout::first_id(key).map(SubscriptionId::from_raw);
            // A damaged row is counted again at the next opening.
            if let (Some(subscription), Ok(record)) = (subscription, record::decode::<CountsRecord>(Tree::Counts, key, value)) {
                all.push(SubscriptionCounts { subscription, counts: record.counts(), account: record.account });
            }
        })?;
        Ok(all)
    }
}

/// The document in a row.
pub(super) fn read_document(key: &[u8], value: &[u8]) -> Result<Document, BadRecord> {
    let (kind, id) = layout::read_document_key(key).ok_or(BadRecord::Content)?;
    let DocumentRecord { revision, json } = record::decode(Tree::Documents, key, value)?;
    Ok(Document { kind, id: id.to_owned(), revision, value: json.to_owned() })
}

/// The record of configuration in a row; none if it is damaged.
fn read_configuration(key: &[u8], value: &[u8]) -> Option<ConfigurationRecord> {
    let (kind, id) = layout::read_configuration_key(key)?;
    let record = record::decode::<ValueRecord<'_>>(Tree::Configuration, key, value).ok()?;
    Some(ConfigurationRecord { kind, id: id.to_owned(), value: record.json.to_owned() })
}
