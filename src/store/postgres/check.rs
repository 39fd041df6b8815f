//! Whether the tables tell the same story. Nothing is changed.

use super::fault::Fault;
use super::session::{Readers, Session};
use crate::store::{CheckReport, StoreError};

/// The tables, in the order of their documentation.
const TABLES: [&str; 10] = ["events", "deliveries", "attempts", "due", "orders", "keys", "counts", "configuration", "documents", "nodes"];

/// Each finds what should not be, as a text per row.
const FAULTS: [&str; 8] = [
    "SELECT format('delivery %s: it is pending and is not in the due index', id) FROM postrider.deliveries AS d \
     WHERE state = 0 AND NOT parked AND NOT EXISTS (SELECT FROM postrider.due \
       WHERE subscription = d.subscription AND due_at = d.state_at AND delivery = d.id)",
    "SELECT format('due row of %s: its delivery is not there, is decided, parked, or due at another time', delivery) FROM postrider.due AS r \
     WHERE NOT EXISTS (SELECT FROM postrider.deliveries AS d WHERE d.id = r.delivery AND d.state = 0 AND NOT d.parked AND d.state_at = r.due_at \
       AND d.subscription = r.subscription)",
    "SELECT format('delivery %s: it has an order and no row there', id) FROM postrider.deliveries AS d \
     WHERE order_key IS NOT NULL AND NOT EXISTS (SELECT FROM postrider.orders \
       WHERE subscription = d.subscription AND order_key = d.order_key AND delivery = d.id)",
    "SELECT format('order row of %s: its delivery is not there or has left the order', delivery) FROM postrider.orders AS o \
     WHERE NOT EXISTS (SELECT FROM postrider.deliveries AS d WHERE d.id = o.delivery AND d.order_key = o.order_key AND d.state = 0)",
    "SELECT format('delivery %s: it is the first of its order and waits', d.id) FROM postrider.orders AS o \
     JOIN postrider.deliveries AS d ON d.id = o.delivery WHERE d.parked AND NOT EXISTS (SELECT FROM postrider.orders AS earlier \
       WHERE earlier.subscription = o.subscription AND earlier.order_key = o.order_key AND earlier.delivery < o.delivery)",
    "SELECT format('delivery %s: it has %s attempts and %s on record', id, attempts, recorded) FROM postrider.deliveries AS d \
     LEFT JOIN LATERAL (SELECT count(*) AS recorded FROM postrider.attempts WHERE delivery = d.id) AS a ON true WHERE attempts <> recorded",
    "SELECT format('delivery %s: its event is not there', id) FROM postrider.deliveries AS d \
     WHERE NOT EXISTS (SELECT FROM postrider.events AS e WHERE e.id = (left(d.id::text, 32) || '0000')::uuid)",
    "SELECT format('counts of subscription %s: they are not what its deliveries add up to', subscription) FROM ( \
       SELECT subscription, waiting, delivered, dead, cancelled, attempts FROM postrider.counts \
       UNION ALL SELECT subscription, CASE WHEN state = 0 THEN -1 ELSE 0 END, CASE WHEN state = 1 THEN -1 ELSE 0 END, \
         CASE WHEN state = 2 THEN -1 ELSE 0 END, CASE WHEN state = 3 THEN -1 ELSE 0 END, -attempts FROM postrider.deliveries) AS both_sides \
     GROUP BY subscription \
     HAVING sum(waiting) <> 0 OR sum(delivered) <> 0 OR sum(dead) <> 0 OR sum(cancelled) <> 0 OR sum(attempts) <> 0",
];

impl Readers {
    /// Looks at every row and at what belongs to it.
    pub(super) async fn check(&self) -> Result<CheckReport, StoreError> {
        let reader = self.at_leisure().await?;
        let report = report(&reader.session).await.map_err(|fault| self.told(fault))?;
        reader.end().await?;
        Ok(report)
    }
}

async fn report(session: &Session) -> Result<CheckReport, Fault> {
    let mut report = CheckReport::default();
    for table in TABLES {
        let rows = session.query(&format!("SELECT count(*) FROM postrider.{table}"), &[]).await?;
        let count = rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or_default());
        report.rows.push((table, count));
    }
    for statement in FAULTS {
        for row in session.query(statement, &[]).await? {
            report.fault(|| row.get(0));
        }
    }
    Ok(report)
}
