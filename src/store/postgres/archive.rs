//! Reading an archive from the tables. The parts of one page are of one moment.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use super::fault::Fault;
use super::questions::{after_deliveries_of, configuration_record, document, readable};
use super::rows::{ATTEMPT, DELIVERY, EVENT, attempt, delivery_record, event};
use super::session::{Readers, Session};
use super::wire::{Id, Param, raw};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::event::KeyDigest;
use crate::id::{DeliveryId, EventId, SubscriptionId};
use crate::store::archive::{ArchivePage, ArchivePlace, Archived, ArchivedDelivery, ArchivedEvent, ArchivedKey};
use crate::store::{ConfigurationKind, DocumentKind, StoreError, layout};

/// Bytes of bodies after which a page of events ends.
const PAGE_BYTES_MAX: i64 = 16 << 20;

impl Readers {
    /// The next part of the archive, at most `limit` items.
    pub(super) async fn archive(&self, after: ArchivePlace, limit: usize) -> Result<ArchivePage, StoreError> {
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        match after {
            ArchivePlace::Start => {
                let page = self.archived_keys(None, limit).await?;
                if page.items.is_empty() { self.archived_events(0, limit).await } else { Ok(page) }
            }
            ArchivePlace::Key(digest) => {
                let page = self.archived_keys(Some(digest), limit).await?;
                if page.items.is_empty() { self.archived_events(0, limit).await } else { Ok(page) }
            }
            ArchivePlace::Event(id) => self.archived_events(id.raw().saturating_add(1), limit).await,
            ArchivePlace::Audit(id) => self.archived_audit(&id, limit).await,
            ArchivePlace::Document(kind, id) => self.archived_documents(kind, &id, limit).await,
        }
    }

    async fn archived_keys(&self, after: Option<KeyDigest>, limit: i64) -> Result<ArchivePage, StoreError> {
        let after = after.map(Id::from);
        let statement = "SELECT digest, event, deliveries, fingerprint, expires_at FROM postrider.keys \
             WHERE $1::uuid IS NULL OR digest > $1 ORDER BY digest LIMIT $2";
        let mut page = ArchivePage::default();
        for row in self.rows(statement, &[(&after, Type::UUID), (&limit, Type::INT8)]).await? {
            let digest = row.get::<_, Id>(0).bytes();
            page.next = Some(ArchivePlace::Key(digest));
            page.items.push(Archived::Key(ArchivedKey {
                digest,
                event: EventId::from_raw(raw(&row, 1)),
                deliveries: u16::try_from(row.get::<_, i32>(2)).unwrap_or(u16::MAX),
                fingerprint: row.get::<_, Id>(3).bytes(),
                expires_at: Timestamp::from_unix_ms(row.get(4)),
            }));
        }
        Ok(page)
    }

    async fn archived_events(&self, low: u128, limit: i64) -> Result<ArchivePage, StoreError> {
        let reader = self.at_one_moment().await?;
        let events = events(&reader.session, low, limit).await.map_err(|fault| self.told(fault))?;
        reader.end().await?;
        let next = match events.last() {
            Some(last) => ArchivePlace::Event(last.event.id),
            None => ArchivePlace::Audit(String::new()),
        };
        Ok(ArchivePage { items: events.into_iter().map(|event| Archived::Event(Box::new(event))).collect(), next: Some(next) })
    }

    async fn archived_audit(&self, after: &str, limit: i64) -> Result<ArchivePage, StoreError> {
        let kind = i16::from(layout::kind_number(ConfigurationKind::Audit));
        let statement = "SELECT kind, id, value FROM postrider.configuration WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3";
        let rows = self.rows(statement, &[(&kind, Type::INT2), (&after, Type::TEXT), (&limit, Type::INT8)]).await?;
        let records: Vec<_> = rows.iter().filter_map(configuration_record).collect();
        let next = match records.last() {
            Some(last) => ArchivePlace::Audit(last.id.clone()),
            None => ArchivePlace::Document(DocumentKind::ALL[0], String::new()),
        };
        Ok(ArchivePage { items: records.into_iter().map(Archived::Audit).collect(), next: Some(next) })
    }

    async fn archived_documents(&self, kind: DocumentKind, after: &str, limit: i64) -> Result<ArchivePage, StoreError> {
        let number = i16::from(layout::document_number(kind));
        let statement = "SELECT kind, id, revision, value FROM postrider.documents WHERE (kind, id) > ($1, $2) ORDER BY kind, id LIMIT $3";
        let rows = self.rows(statement, &[(&number, Type::INT2), (&after, Type::TEXT), (&limit, Type::INT8)]).await?;
        let documents: Vec<_> = rows.iter().filter_map(document).collect();
        let next = documents.last().map(|last| ArchivePlace::Document(last.kind, last.id.clone()));
        Ok(ArchivePage { items: documents.into_iter().map(Archived::Document).collect(), next })
    }
}

/// Events from `low` on, with their deliveries and attempts.
async fn events(session: &Session, low: u128, limit: i64) -> Result<Vec<ArchivedEvent>, Fault> {
    let low = Id(low);
    let statement = format!(
        "SELECT {EVENT}, subscriptions FROM ( \
           SELECT {EVENT}, subscriptions, sum(octet_length(data)) OVER (ORDER BY id) - octet_length(data) AS bytes_before \
           FROM (SELECT {EVENT}, subscriptions FROM postrider.events WHERE id >= $1 ORDER BY id LIMIT $2) AS first) AS summed \
         WHERE bytes_before < $3 ORDER BY id"
    );
    let rows = session.query(&statement, &[(&low, Type::UUID), (&limit, Type::INT8), (&PAGE_BYTES_MAX, Type::INT8)]).await?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let (first, last) = (Id(raw(first, 0)), Id(after_deliveries_of(EventId::from_raw(raw(last, 0)))));
    let range: [Param<'_>; 2] = [(&first, Type::UUID), (&last, Type::UUID)];
    let statement = format!("SELECT {DELIVERY} FROM postrider.deliveries WHERE id > $1 AND id <= $2 ORDER BY id");
    let deliveries = session.query(&statement, &range).await?;
    let statement = format!("SELECT {ATTEMPT} FROM postrider.attempts WHERE delivery > $1 AND delivery <= $2 ORDER BY delivery, number");
    let mut attempts: HashMap<DeliveryId, Vec<Attempt>> = HashMap::new();
    for (delivery, attempt) in
        readable(&session.query(&statement, &range).await?, |row| Ok((DeliveryId::from_raw(raw(row, 0)), attempt(row)?)))
    {
        attempts.entry(delivery).or_default().push(attempt);
    }
    let mut by_event: HashMap<EventId, Vec<ArchivedDelivery>> = HashMap::new();
    for (id, subscription, record) in readable(&deliveries, delivery_record) {
        let order_key = record.order;
        let Ok(delivery) = record.delivery(id, subscription) else { continue };
        let attempts = attempts.remove(&id).unwrap_or_default();
        by_event.entry(id.event()).or_default().push(ArchivedDelivery { delivery, order_key, attempts });
    }
    let archived = |row: &tokio_postgres::Row| {
        let event = event(row)?;
        let (owed, _) = row.get::<_, &[u8]>(7).as_chunks::<16>();
        let subscriptions = owed.iter().map(|raw| SubscriptionId::from_raw(u128::from_be_bytes(*raw))).collect();
        let deliveries = by_event.get(&event.id).cloned().unwrap_or_default();
        Ok(ArchivedEvent { event, subscriptions, deliveries })
    };
    Ok(readable(&rows, archived))
}
