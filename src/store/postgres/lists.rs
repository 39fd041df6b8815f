//! Lists, a page at a time, by the rules of [`listing`](crate::store::listing): a page looks at a bounded
//! number of rows, which are read in strides.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::questions::after_deliveries_of;
use super::rows::{DELIVERY, EVENT, delivery, event};
use super::session::Readers;
use super::wire::{Id, Param, raw};
use crate::delivery::Delivery;
use crate::event::Event;
use crate::id::DeliveryId;
use crate::store::listing::{Findings, IdRange, holds_fields, is_decided_as, matches};
use crate::store::{DecidedQuery, DeliveryQuery, EventQuery, Page, StoreError, layout};

/// Rows of the first stride beyond what is asked for, and of the largest.
const STRIDE_MIN: usize = 16;
const STRIDE_MAX: usize = 1_024;
/// Most events that are read at once: each may have a large body.
const EVENTS_MAX: usize = 32;

/// How many rows to read next.
struct Stride {
    rows: usize,
    max: usize,
}

impl Stride {
    fn new(limit: usize, max: usize) -> Self {
        // One more than wanted tells whether there is more.
        Self { rows: limit.saturating_add(1).max(STRIDE_MIN).min(max), max }
    }

    fn rows(&self) -> i64 {
        i64::try_from(self.rows).unwrap_or(i64::MAX)
    }

    /// After `read` rows: whether there may be more. Then the next stride is longer.
    fn goes_on(&mut self, read: usize) -> bool {
        let full = read == self.rows;
        self.rows = (self.rows * 4).min(self.max);
        full
    }
}

/// Tells of a row that cannot be read.
fn skip_unreadable(id: u128, error: impl std::fmt::Display) {
    tracing::error!(id = format!("{id:032x}"), %error, "a row of the database cannot be read; it is left out");
}

impl Readers {
    pub(super) async fn events(&self, query: &EventQuery) -> Result<Page<Arc<Event>>, StoreError> {
        let IdRange { low, mut high } = IdRange::new(query.since, query.until, query.before.map(|id| id.raw()));
        let account = query.account.as_ref().map(|account| account.as_str());
        let types: Option<Vec<&str>> =
            (!query.event_types.is_empty()).then(|| query.event_types.iter().map(|event_type| event_type.as_str()).collect());
        // Of events that are not wanted the body stays where it is.
        let statement = format!(
            "SELECT id, account, event_type, key, occurred_at, received_at, CASE WHEN wanted THEN data END FROM ( \
               SELECT {EVENT}, ($3::text IS NULL OR account = $3) AND ($4::text[] IS NULL OR event_type = ANY ($4)) AS wanted \
               FROM postrider.events WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT $5) AS seen ORDER BY id DESC"
        );
        let (mut found, mut stride) = (Findings::new(query.limit), Stride::new(query.limit, EVENTS_MAX));
        while low < high {
            let (low_id, high_id, rows) = (Id(low), Id(high), stride.rows());
            let values: [Param<'_>; 5] =
                [(&low_id, Type::UUID), (&high_id, Type::UUID), (&account, Type::TEXT), (&types, Type::TEXT_ARRAY), (&rows, Type::INT8)];
            let rows = self.first_rows(&statement, &values).await?;
            for row in &rows {
                let id = raw(row, 0);
                if !found.takes(id) {
                    return Ok(found.page());
                }
                let Some(text) = row.get::<_, Option<&str>>(6) else { continue };
                match event(row) {
                    Ok(event) if holds_fields(query, &event) => {
                        found.bytes += text.len();
                        found.items.push(Arc::new(event));
                    }
                    Ok(_) => {}
                    Err(error) => skip_unreadable(id, error),
                }
            }
            high = rows.last().map_or(low, |row| raw(row, 0));
            if !stride.goes_on(rows.len()) {
                break;
            }
        }
        Ok(found.page())
    }

    pub(super) async fn deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, StoreError> {
        let IdRange { mut low, mut high } = IdRange::new(query.since, query.until, query.before.map(DeliveryId::raw));
        if let Some(event) = query.event {
            low = low.max(event.raw());
            high = high.min(after_deliveries_of(event).saturating_add(1));
        }
        // Several subscriptions are read each by its own index and merged; all of them, by the ids alone.
        let subscriptions: Option<Vec<Id>> = match (&query.subscription, &query.account) {
            (Some(subscription), _) => Some(vec![Id(subscription.raw())]),
            (None, Some(account)) if query.event.is_none() => {
                let counts = self.counts().await?.into_iter();
                Some(counts.filter(|counts| counts.account == *account).map(|counts| Id(counts.subscription.raw())).collect())
            }
            (None, _) => None,
        };
        let statement = match &subscriptions {
            Some(_) => format!(
                "SELECT found.* FROM unnest($4::uuid[]) AS asked (subscription) CROSS JOIN LATERAL ( \
                   SELECT {DELIVERY} FROM postrider.deliveries \
                   WHERE subscription = asked.subscription AND id >= $1 AND id < $2 ORDER BY id DESC LIMIT $3) AS found \
                 ORDER BY found.id DESC LIMIT $3"
            ),
            None => format!("SELECT {DELIVERY} FROM postrider.deliveries WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT $3"),
        };
        let (mut found, mut stride) = (Findings::new(query.limit), Stride::new(query.limit, STRIDE_MAX));
        while low < high {
            let (low_id, high_id, rows) = (Id(low), Id(high), stride.rows());
            let mut values: Vec<Param<'_>> = vec![(&low_id, Type::UUID), (&high_id, Type::UUID), (&rows, Type::INT8)];
            if let Some(subscriptions) = &subscriptions {
                values.push((subscriptions, Type::UUID_ARRAY));
            }
            let rows = self.first_rows(&statement, &values).await?;
            for row in &rows {
                let id = raw(row, 0);
                if !found.takes(id) {
                    return Ok(found.page());
                }
                match delivery(row) {
                    Ok(delivery) if matches(query, &delivery) => found.items.push(delivery),
                    Ok(_) => {}
                    Err(error) => skip_unreadable(id, error),
                }
            }
            high = rows.last().map_or(low, |row| raw(row, 0));
            if !stride.goes_on(rows.len()) {
                break;
            }
        }
        Ok(found.page())
    }

    /// Decided deliveries of one subscription, oldest first.
    pub(super) async fn decided(&self, query: &DecidedQuery) -> Result<Page<DeliveryId>, StoreError> {
        let after = query.after.map_or(0, |id| id.raw().saturating_add(1));
        let mut low = query.since.map_or(0, layout::first_id_at).max(after);
        let high = query.until.map_or(u128::MAX, layout::first_id_at);
        let statement =
            format!("SELECT {DELIVERY} FROM postrider.deliveries WHERE subscription = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT $4");
        let (mut found, mut stride) = (Findings::new(query.limit), Stride::new(query.limit, STRIDE_MAX));
        while low < high {
            let (subscription, low_id, high_id, rows) = (Id(query.subscription.raw()), Id(low), Id(high), stride.rows());
            let values: [Param<'_>; 4] = [(&subscription, Type::UUID), (&low_id, Type::UUID), (&high_id, Type::UUID), (&rows, Type::INT8)];
            let rows: Vec<Row> = self.first_rows(&statement, &values).await?;
            for row in &rows {
                let id = raw(row, 0);
                if !found.takes(id) {
                    return Ok(found.page());
                }
                match delivery(row) {
                    Ok(delivery) if is_decided_as(delivery.state, &query.states, query.decided_by) => found.items.push(delivery.id),
                    Ok(_) => {}
                    Err(error) => skip_unreadable(id, error),
                }
            }
            low = rows.last().map_or(high, |row| raw(row, 0).saturating_add(1));
            if !stride.goes_on(rows.len()) {
                break;
            }
        }
        Ok(found.page())
    }
}
