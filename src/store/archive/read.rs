//! Reading an archive from the records of an embedded store.

use std::ops::ControlFlow;

use super::{ArchivePage, ArchivePlace, Archived, ArchivedDelivery, ArchivedEvent, ArchivedKey};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, OrderKey};
use crate::event::Event;
use crate::id::{DeliveryId, EventId, SubscriptionId};
use crate::store::kv::{Direction, KeyRange, KvError, Tree, after_prefix};
use crate::store::layout;
use crate::store::reader::{Reader, read_document};
use crate::store::record::{self, DeliveryRecord, EventRecord, KeyRecord, ValueRecord};
use crate::store::{ConfigurationKind, ConfigurationRecord, DocumentKind};

/// How often a delivery is read again that an attempt was settled for between its two parts.
const READS_MAX: usize = 4;

impl Reader {
    /// The next part of the archive, at most `limit` items.
    pub(in crate::store) fn archive(&mut self, after: ArchivePlace, limit: usize) -> Result<ArchivePage, KvError> {
        let limit = limit.max(1);
        if let ArchivePlace::Start | ArchivePlace::Key(_) = after {
            let page = self.archived_keys(&after, limit)?;
            if !page.items.is_empty() {
                return Ok(page);
            }
        }
        let low = match &after {
            ArchivePlace::Audit(id) => return self.archived_audit(id, limit),
            ArchivePlace::Document(kind, id) => return self.archived_documents(*kind, id, limit),
            ArchivePlace::Event(id) => id.raw().saturating_add(1),
            ArchivePlace::Start | ArchivePlace::Key(_) => 0,
        };
        self.archived_events(low, limit)
    }

    fn archived_keys(&mut self, after: &ArchivePlace, limit: usize) -> Result<ArchivePage, KvError> {
        let low = match after {
            // The first key after this one.
            ArchivePlace::Key(digest) => [&digest[..], &[0]].concat(),
            _ => Vec::new(),
        };
        let (mut page, mut damaged) = (ArchivePage::default(), Vec::new());
        self.parts.kv.scan(Tree::Keys, KeyRange { low: &low, high: None }, Direction::Forward, &mut |key, value| {
            if page.items.len() == limit {
                return ControlFlow::Break(());
            }
            match (key.try_into(), record::decode::<KeyRecord>(Tree::Keys, key, value)) {
                (Ok(digest), Ok(record)) => {
                    page.next = Some(ArchivePlace::Key(digest));
                    page.items.push(Archived::Key(ArchivedKey {
                        digest,
                        event: record.event(),
                        deliveries: record.deliveries,
                        fingerprint: record.fingerprint,
                        expires_at: Timestamp::from_unix_ms(record.expires_at),
                    }));
                }
                _ => damaged.push((Tree::Keys, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        Ok(page)
    }

    fn archived_events(&mut self, low: u128, limit: usize) -> Result<ArchivePage, KvError> {
        let low = low.to_be_bytes();
        let (mut events, mut damaged, mut more) = (Vec::new(), Vec::new(), false);
        self.parts.kv.scan(Tree::Events, KeyRange { low: &low, high: None }, Direction::Forward, &mut |key, value| {
            if events.len() == limit {
                more = true;
                return ControlFlow::Break(());
            }
            let Some(id) = layout::first_id(key).map(EventId::from_raw) else { return ControlFlow::Continue(()) };
            let read = record::decode::<EventRecord<'_>>(Tree::Events, key, value)
                .and_then(|record| Ok((record.deliveries(id), record.event(id)?)));
            match read {
                Ok((places, event)) => events.push((places, event)),
                Err(_) => damaged.push((Tree::Events, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        let place = events.last().filter(|_| more).map(|(_, event)| ArchivePlace::Event(event.id));
        let next = Some(place.unwrap_or_else(|| ArchivePlace::Audit(String::new())));
        let mut items = Vec::with_capacity(events.len());
        for (places, event) in events {
            items.push(Archived::Event(Box::new(self.archived_event(event, &places)?)));
        }
        Ok(ArchivePage { items, next })
    }

    fn archived_audit(&mut self, after: &str, limit: usize) -> Result<ArchivePage, KvError> {
        let prefix = layout::configuration_key(ConfigurationKind::Audit, "");
        let low = if after.is_empty() { prefix.clone() } else { [&prefix[..], after.as_bytes(), &[0]].concat() };
        let high = after_prefix(&prefix);
        let (mut page, mut damaged) = (ArchivePage { items: Vec::new(), next: Some(documents_begin()) }, Vec::new());
        let range = KeyRange { low: &low, high: high.as_deref() };
        self.parts.kv.scan(Tree::Configuration, range, Direction::Forward, &mut |key, value| {
            if page.items.len() == limit {
                return ControlFlow::Break(());
            }
            match (layout::read_configuration_key(key), record::decode::<ValueRecord<'_>>(Tree::Configuration, key, value)) {
                (Some((kind, id)), Ok(record)) => {
                    page.next = Some(ArchivePlace::Audit(id.to_owned()));
                    page.items.push(Archived::Audit(ConfigurationRecord { kind, id: id.to_owned(), value: record.json.to_owned() }));
                }
                _ => damaged.push((Tree::Configuration, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        Ok(page)
    }

    fn archived_documents(&mut self, kind: DocumentKind, after: &str, limit: usize) -> Result<ArchivePage, KvError> {
        let low = layout::document_key(kind, after);
        // The first key after this one.
        let low = if after.is_empty() { low } else { [&low[..], &[0]].concat() };
        let (mut page, mut damaged) = (ArchivePage::default(), Vec::new());
        self.parts.kv.scan(Tree::Documents, KeyRange { low: &low, high: None }, Direction::Forward, &mut |key, value| {
            if page.items.len() == limit {
                return ControlFlow::Break(());
            }
            match read_document(key, value) {
                Ok(document) => {
                    page.next = Some(ArchivePlace::Document(document.kind, document.id.clone()));
                    page.items.push(Archived::Document(document));
                }
                Err(_) => damaged.push((Tree::Documents, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        Ok(page)
    }

    fn archived_event(&mut self, event: Event, places: &[(SubscriptionId, DeliveryId)]) -> Result<ArchivedEvent, KvError> {
        let mut deliveries = Vec::with_capacity(places.len());
        for &(subscription, id) in places {
            deliveries.extend(self.archived_delivery(subscription, id)?);
        }
        Ok(ArchivedEvent { event, subscriptions: places.iter().map(|&(subscription, _)| subscription).collect(), deliveries })
    }

    fn archived_delivery(&mut self, subscription: SubscriptionId, id: DeliveryId) -> Result<Option<ArchivedDelivery>, KvError> {
        for _ in 0..READS_MAX {
            let Some((delivery, order_key)) = self.delivery_and_order(subscription, id)? else { return Ok(None) };
            let attempts: Vec<Attempt> = self.attempts(id)?;
            let settled_meanwhile = attempts.last().is_some_and(|last| last.number > delivery.attempts);
            if !settled_meanwhile {
                return Ok(Some(ArchivedDelivery { delivery, order_key, attempts }));
            }
        }
        // Settled again and again: take what was there when the delivery was read last.
        let Some((delivery, order_key)) = self.delivery_and_order(subscription, id)? else { return Ok(None) };
        let mut attempts = self.attempts(id)?;
        attempts.retain(|attempt| attempt.number <= delivery.attempts);
        Ok(Some(ArchivedDelivery { delivery, order_key, attempts }))
    }

    fn delivery_and_order(
        &mut self,
        subscription: SubscriptionId,
        id: DeliveryId,
    ) -> Result<Option<(Delivery, Option<OrderKey>)>, KvError> {
        let key = layout::delivery_key(subscription, id);
        let Some(value) = self.parts.kv.get(Tree::Deliveries, &key)? else { return Ok(None) };
        let read = record::decode::<DeliveryRecord>(Tree::Deliveries, &key, &value).and_then(|record| {
            let order = record.order;
            Ok((record.delivery(id, subscription)?, order))
        });
        Ok(self.readable(Tree::Deliveries, &key, read))
    }
}

/// Before the first document.
const fn documents_begin() -> ArchivePlace {
    ArchivePlace::Document(DocumentKind::ALL[0], String::new())
}
