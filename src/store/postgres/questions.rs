//! Single questions: one event, one delivery, what is due, configuration, documents, counts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::rows::{ATTEMPT, DELIVERY, EVENT, attempt, delivery, event};
use super::session::{Readers, Session};
use super::wire::{Id, Param, raw};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::event::Event;
use crate::id::{DeliveryId, EventId, SubscriptionId};
use crate::store::cache::EventCache;
use crate::store::kv::{Direction, after_prefix};
use crate::store::record::BadRecord;
use crate::store::{
    ConfigurationKind, ConfigurationRecord, Counts, Document, DocumentKind, DocumentQuery, DuePage, DueRow, RecordQuery, Revision,
    StoreError, SubscriptionCounts, layout,
};

/// Largest body of an event that is read along with what is due.
const BODY_BYTES_MAX: i32 = 16 * 1_024;

/// The raw id after all deliveries of an event.
pub(super) const fn after_deliveries_of(event: EventId) -> u128 {
    event.raw() | 0xffff
}

/// What can be read of these rows. One that cannot is left out and told in the log.
pub(super) fn readable<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, BadRecord>) -> Vec<T> {
    let readable = |row: &Row| match read(row) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "a row of the database cannot be read; it is left out");
            None
        }
    };
    rows.iter().filter_map(readable).collect()
}

impl Readers {
    pub(super) async fn event(&self, cache: &EventCache, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        if let Some(event) = cache.get(id) {
            return Ok(Some(event));
        }
        let statement = format!("SELECT {EVENT} FROM postrider.events WHERE id = $1");
        let rows = self.rows(&statement, &[(&Id(id.raw()), Type::UUID)]).await?;
        let found = readable(&rows, event).pop().map(Arc::new);
        found.iter().for_each(|event| cache.insert(event.clone()));
        cache.clear_dropped();
        Ok(found)
    }

    pub(super) async fn deliveries_of(&self, event: EventId) -> Result<Vec<Delivery>, StoreError> {
        let statement = format!("SELECT {DELIVERY} FROM postrider.deliveries WHERE id > $1 AND id <= $2 ORDER BY id");
        let (low, high) = (Id(event.raw()), Id(after_deliveries_of(event)));
        let rows = self.rows(&statement, &[(&low, Type::UUID), (&high, Type::UUID)]).await?;
        Ok(readable(&rows, delivery))
    }

    pub(super) async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let statement = format!("SELECT {DELIVERY} FROM postrider.deliveries WHERE id = $1");
        let rows = self.rows(&statement, &[(&Id(id.raw()), Type::UUID)]).await?;
        Ok(readable(&rows, delivery).pop())
    }

    pub(super) async fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let statement = format!("SELECT {ATTEMPT} FROM postrider.attempts WHERE delivery = $1 ORDER BY number");
        let rows = self.rows(&statement, &[(&Id(id.raw()), Type::UUID)]).await?;
        Ok(readable(&rows, attempt))
    }

    /// The first rows of a subscription, with those of their events that are small and not at hand.
    pub(super) async fn due(
        &self,
        cache: &EventCache,
        subscription: SubscriptionId,
        until: Timestamp,
        skip: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        let (subscription, skip) = (Id(subscription.raw()), skip.iter().map(|id| Id(id.raw())).collect::<Vec<_>>());
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let statement = "SELECT delivery, due_at, attempts, template_version FROM postrider.due \
             WHERE subscription = $1 AND delivery <> ALL ($2) ORDER BY due_at, delivery LIMIT $3";
        let values = [(&subscription as _, Type::UUID), (&skip as _, Type::UUID_ARRAY), (&wanted as _, Type::INT8)];
        let mut page = DuePage::default();
        for row in self.first_rows(statement, &values).await? {
            let due_at = Timestamp::from_unix_ms(row.get(1));
            if due_at > until {
                page.next_due = Some(due_at);
                break;
            }
            if page.rows.len() == limit {
                page.more = true;
                break;
            }
            let count = |column| u32::try_from(row.get::<_, i64>(column)).unwrap_or_default();
            let delivery = DeliveryId::from_raw(raw(&row, 0));
            let event = cache.get(delivery.event());
            page.rows.push(DueRow { delivery, due_at, attempts: count(2), template_version: count(3), event });
        }
        self.add_events(cache, &mut page).await?;
        Ok(page)
    }

    async fn add_events(&self, cache: &EventCache, page: &mut DuePage) -> Result<(), StoreError> {
        let missing: Vec<Id> = page
            .rows
            .iter()
            .filter(|row| row.event.is_none())
            .map(|row| Id(row.delivery.event().raw()))
            .collect::<HashSet<_>>()
            .into_iter()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let statement = format!("SELECT {EVENT} FROM postrider.events WHERE id = ANY ($1) AND octet_length(data) <= $2");
        let rows = self.rows(&statement, &[(&missing, Type::UUID_ARRAY), (&BODY_BYTES_MAX, Type::INT4)]).await?;
        let events: HashMap<EventId, Arc<Event>> = readable(&rows, event).into_iter().map(|event| (event.id, Arc::new(event))).collect();
        events.values().for_each(|event| cache.insert(event.clone()));
        cache.clear_dropped();
        for row in page.rows.iter_mut().filter(|row| row.event.is_none()) {
            row.event = events.get(&row.delivery.event()).cloned();
        }
        Ok(())
    }

    /// The configuration and its revision, as they were at one moment.
    pub(super) async fn configuration(&self) -> Result<(Revision, Vec<ConfigurationRecord>), StoreError> {
        let audit = i16::from(layout::kind_number(ConfigurationKind::Audit));
        let reader = self.at_one_moment().await?;
        let read = async |session: &Session| {
            let revision = session.query("SELECT number FROM postrider.revision", &[]).await?;
            let statement = "SELECT kind, id, value FROM postrider.configuration WHERE kind <> $1 ORDER BY kind, id";
            Ok((revision, session.query(statement, &[(&audit, Type::INT2)]).await?))
        };
        let (number, rows) = read(&reader.session).await.map_err(|fault| self.told(fault))?;
        reader.end().await?;
        Ok((number.first().map(revision).unwrap_or_default(), rows.iter().filter_map(configuration_record).collect()))
    }

    pub(super) async fn configuration_revision(&self) -> Result<Revision, StoreError> {
        let rows = self.rows("SELECT number FROM postrider.revision", &[]).await?;
        Ok(rows.first().map(revision).unwrap_or_default())
    }

    pub(super) async fn records(&self, query: &RecordQuery) -> Result<Vec<ConfigurationRecord>, StoreError> {
        let kind = i16::from(layout::kind_number(query.kind));
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let statement = "SELECT kind, id, value FROM postrider.configuration \
             WHERE kind = $1 AND id >= $2 AND ($3::text IS NULL OR id < $3) ORDER BY id DESC LIMIT $4";
        let values =
            [(&kind as _, Type::INT2), (&query.from as _, Type::TEXT), (&query.before as _, Type::TEXT), (&limit as _, Type::INT8)];
        Ok(self.first_rows(statement, &values).await?.iter().filter_map(configuration_record).collect())
    }

    pub(super) async fn document(&self, kind: DocumentKind, id: &str) -> Result<Option<Document>, StoreError> {
        // No text of the database holds one, so that there is none of this id.
        if id.contains('\0') {
            return Ok(None);
        }
        let number = i16::from(layout::document_number(kind));
        let statement = "SELECT kind, id, revision, value FROM postrider.documents WHERE kind = $1 AND id = $2";
        let rows = self.rows(statement, &[(&number, Type::INT2), (&id, Type::TEXT)]).await?;
        Ok(rows.iter().find_map(document))
    }

    pub(super) async fn documents(&self, query: &DocumentQuery) -> Result<Vec<Document>, StoreError> {
        let kind = i16::from(layout::document_number(query.kind));
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        // Bounds the search by the index. Where the end is no text, which needs odd ids, the prefix alone decides.
        let end = after_prefix(query.prefix.as_bytes()).and_then(|end| String::from_utf8(end).ok());
        let order = match query.direction {
            Direction::Forward => "ASC",
            Direction::Backward => "DESC",
        };
        let statement = format!(
            "SELECT kind, id, revision, value FROM postrider.documents WHERE kind = $1 AND id >= $2 AND starts_with(id, $2) \
               AND ($3::text IS NULL OR id < $3) AND ($4::text IS NULL OR id > $4) AND ($5::text IS NULL OR id < $5) \
             ORDER BY id {order} LIMIT $6"
        );
        let values: [Param<'_>; 6] = [
            (&kind, Type::INT2),
            (&query.prefix, Type::TEXT),
            (&end, Type::TEXT),
            (&query.after, Type::TEXT),
            (&query.before, Type::TEXT),
            (&limit, Type::INT8),
        ];
        Ok(self.first_rows(&statement, &values).await?.iter().filter_map(document).collect())
    }

    pub(super) async fn counts(&self) -> Result<Vec<SubscriptionCounts>, StoreError> {
        let rows = self.rows(SUMS_OF_COUNTS, &[]).await?;
        Ok(counts_in(&rows))
    }
}

/// The number in a row of the revision.
pub(super) fn revision(row: &Row) -> Revision {
    Revision(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

/// The present revision of the configuration.
pub(super) async fn present_revision(session: &Session) -> Result<Revision, Fault> {
    let rows = session.query("SELECT number FROM postrider.revision", &[]).await?;
    Ok(rows.first().map(revision).unwrap_or_default())
}

pub(super) fn configuration_record(row: &Row) -> Option<ConfigurationRecord> {
    Some(ConfigurationRecord { kind: layout::kind_of_number(row.get(0))?, id: row.get(1), value: row.get(2) })
}

pub(super) fn document(row: &Row) -> Option<Document> {
    let kind = layout::document_of_number(row.get(0))?;
    Some(Document { kind, id: row.get(1), revision: u64::try_from(row.get::<_, i64>(2)).unwrap_or_default(), value: row.get(3) })
}

const SUMS_OF_COUNTS: &str = "SELECT subscription, min(account), sum(waiting)::bigint, sum(delivered)::bigint, sum(dead)::bigint, \
       sum(cancelled)::bigint, sum(attempts)::bigint \
     FROM postrider.counts GROUP BY subscription ORDER BY subscription";

/// The counts of every subscription that has any.
pub(super) async fn sums_of_counts(session: &Session) -> Result<Vec<SubscriptionCounts>, Fault> {
    Ok(counts_in(&session.query(SUMS_OF_COUNTS, &[]).await?))
}

fn counts_in(rows: &[Row]) -> Vec<SubscriptionCounts> {
    let counts = |row: &Row| {
        let count = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or_default();
        let counts = Counts { waiting: count(2), delivered: count(3), dead: count(4), cancelled: count(5), attempts: count(6) };
        let account = row.get::<_, &str>(1).parse().map_err(|_| BadRecord::Content)?;
        Ok(SubscriptionCounts { subscription: SubscriptionId::from_raw(raw(row, 0)), account, counts })
    };
    readable(rows, counts).into_iter().filter(|counts| counts.counts != Counts::default()).collect()
}
