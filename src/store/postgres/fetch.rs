//! Reading, at the beginning of a transaction, what its changes have to know.
//!
//! Deliveries are locked in the order of their ids. What two nodes might write beside each other without
//! seeing it, the heads of orders and the configuration, is guarded by advisory locks that end with the
//! transaction. All questions go out together and come back together.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::known::{Known, Need};
use super::questions::revision;
use super::rows::{DELIVERY, delivery_record};
use super::session::Session;
use super::wire::{Id, raw};
use crate::clock::Timestamp;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::kv::Tree;
use crate::store::record::{self, AttemptRecord, DocumentRecord, DueRecord, KeyRecord, OrderRecord, ValueRecord};
use crate::store::{Revision, layout};

/// The first number of every advisory lock of ours that a transaction takes.
const LOCKS: i32 = 1_347_375_957;
/// The lock of the configuration; those of orders follow.
const CONFIGURATION_LOCK: i32 = 0;
/// How many locks the order keys share. Each takes memory of the server while it is held.
const ORDER_LOCKS: u128 = 1_024;

/// How a group uses the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConfigurationUse {
    /// Not at all.
    None,
    /// It accepts events, for which the configuration must stay as it is.
    Reads,
    /// It changes the configuration.
    Writes,
}

/// The needs of a group, by what is read for them.
#[derive(Debug, Default)]
struct Questions {
    keys: Vec<Id>,
    events: Vec<Id>,
    deliveries: Vec<Id>,
    attempts: (Vec<Id>, Vec<i64>),
    configuration: (Vec<i16>, Vec<String>),
    documents: (Vec<i16>, Vec<String>),
    orders: (Vec<Id>, Vec<Id>, Vec<i64>),
    /// All orders, or all due rows, of a subscription.
    ranges: Vec<(Tree, Id, i64)>,
}

/// Takes the locks for the configuration. Its answer is the number of the present one.
pub(super) async fn lock_configuration(session: &Session, usage: ConfigurationUse) -> Result<Option<Revision>, Fault> {
    let lock = match usage {
        ConfigurationUse::None => return Ok(None),
        ConfigurationUse::Reads => "SELECT pg_advisory_xact_lock_shared($1, $2)",
        ConfigurationUse::Writes => "SELECT pg_advisory_xact_lock($1, $2)",
    };
    // Two statements: the second sees what was committed while the first waited.
    let values = [(&LOCKS as _, Type::INT4), (&CONFIGURATION_LOCK as _, Type::INT4)];
    let (locked, rows) = futures_util::join!(session.query(lock, &values), session.query("SELECT number FROM postrider.revision", &[]));
    locked?;
    Ok(rows?.first().map(revision))
}

/// Reads all of `needs` into `known`.
pub(super) async fn fetch(session: &Session, needs: &[Need], known: &Known) -> Result<(), Fault> {
    let questions = Questions::of(needs);
    let Questions { keys, events, deliveries, attempts, configuration, documents, orders, ranges } = &questions;
    for need in needs {
        if let Need::Record(tree, key) = need {
            known.set_record(*tree, key.clone(), None);
        }
    }
    let mut reads: Vec<BoxFuture<'_, Result<(), Fault>>> = Vec::new();
    if !orders.0.is_empty() {
        reads.push(lock_orders(session, &orders.0, &orders.1).boxed());
        reads.push(read_orders(session, orders, known).boxed());
        reads.push(read_newest_of_orders(session, &orders.0, &orders.1, known).boxed());
    }
    if !keys.is_empty() {
        reads.push(read_keys(session, keys, known).boxed());
    }
    if !events.is_empty() {
        reads.push(read_events(session, events, known).boxed());
    }
    for range in ranges {
        reads.push(read_range(session, *range, known).boxed());
    }
    if !deliveries.is_empty() {
        reads.push(read_deliveries(session, deliveries, known).boxed());
    }
    if !attempts.0.is_empty() {
        reads.push(read_attempts(session, attempts, known).boxed());
    }
    if !configuration.0.is_empty() {
        reads.push(read_configuration(session, configuration, known).boxed());
    }
    if !documents.0.is_empty() {
        reads.push(read_documents(session, documents, known).boxed());
    }
    // Each is sent when it is first polled, which is in this order for as few as these; and all are waited
    // for, so that the first fault is the one that is told.
    join_all(reads).await.into_iter().collect()
}

impl Questions {
    fn of(needs: &[Need]) -> Self {
        let mut questions = Self::default();
        for need in needs {
            match need {
                Need::Record(tree, key) => questions.add_record(*tree, key),
                Need::First(tree, prefix, rows) => questions.add_range(*tree, prefix, i64::try_from(*rows).unwrap_or(i64::MAX)),
            }
        }
        // One order of locking for everybody.
        questions.deliveries.sort_unstable();
        questions.deliveries.dedup();
        questions
    }

    fn add_record(&mut self, tree: Tree, key: &[u8]) {
        let (first, last) = (layout::first_id(key).map(Id), layout::last_id(key).map(Id));
        match tree {
            Tree::Keys => self.keys.extend(first),
            Tree::Events => self.events.extend(first),
            Tree::Deliveries => self.deliveries.extend(last),
            Tree::Attempts => {
                if let (Some(delivery), Some(number)) = (first, key.last_chunk::<4>()) {
                    self.attempts.0.push(delivery);
                    self.attempts.1.push(i64::from(u32::from_be_bytes(*number)));
                }
            }
            Tree::Configuration => {
                if let Some((kind, id)) = layout::read_configuration_key(key) {
                    self.configuration.0.push(i16::from(layout::kind_number(kind)));
                    self.configuration.1.push(id.to_owned());
                }
            }
            Tree::Documents => {
                if let Some((kind, id)) = layout::read_document_key(key) {
                    self.documents.0.push(i16::from(layout::document_number(kind)));
                    self.documents.1.push(id.to_owned());
                }
            }
            // No decision asks for one by its key.
            Tree::KeyExpiry | Tree::Due | Tree::Order | Tree::Counts | Tree::Meta | Tree::Quarantine => {}
        }
    }

    fn add_range(&mut self, tree: Tree, prefix: &[u8], rows: i64) {
        let Some(subscription) = layout::first_id(prefix).map(Id) else { return };
        match layout::read_order_key(prefix) {
            Some(order) if tree == Tree::Order => {
                self.orders.0.push(subscription);
                self.orders.1.push(order.into());
                self.orders.2.push(rows);
            }
            _ => self.ranges.push((tree, subscription, rows)),
        }
    }
}

/// Keeps other transactions from writing to these orders until this one has ended.
async fn lock_orders(session: &Session, subscriptions: &[Id], orders: &[Id]) -> Result<(), Fault> {
    // An order key is a part of a digest, so that any part of it is as good as chance, and the same on every node.
    let lock = |(subscription, order): (&Id, &Id)| i32::try_from(1 + (subscription.0 ^ order.0) % ORDER_LOCKS).unwrap_or(1);
    let mut locks: Vec<i32> = subscriptions.iter().zip(orders).map(lock).collect();
    locks.sort_unstable();
    locks.dedup();
    // Taken in the order of the list, one after another.
    let statement = "SELECT pg_advisory_xact_lock($1, lock) FROM unnest($2::integer[]) AS lock";
    session.query(statement, &[(&LOCKS, Type::INT4), (&locks, Type::INT4_ARRAY)]).await.map(drop)
}

async fn read_orders(
    session: &Session,
    (subscriptions, orders, limits): &(Vec<Id>, Vec<Id>, Vec<i64>),
    known: &Known,
) -> Result<(), Fault> {
    let statement = "SELECT asked.subscription, asked.order_key, found.delivery, found.due_at \
         FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS asked (subscription, order_key, rows) \
         CROSS JOIN LATERAL (SELECT delivery, due_at FROM postrider.orders \
           WHERE subscription = asked.subscription AND order_key = asked.order_key ORDER BY delivery LIMIT asked.rows) AS found";
    let values = [(subscriptions as _, Type::UUID_ARRAY), (orders as _, Type::UUID_ARRAY), (limits as _, Type::INT8_ARRAY)];
    let mut found: BTreeMap<(Id, Id), Vec<(u128, i64)>> = BTreeMap::new();
    for row in session.query(statement, &values).await? {
        found.entry((row.get(0), row.get(1))).or_default().push((raw(&row, 2), row.get(3)));
    }
    for ((&subscription, &order), &limit) in subscriptions.iter().zip(orders).zip(limits) {
        let (id, key) = (SubscriptionId::from_raw(subscription.0), order.bytes());
        let mut rows = found.remove(&(subscription, order)).unwrap_or_default();
        rows.sort_unstable();
        let whole = rows.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        let record = |(delivery, due_at)| order_row(id, &key, DeliveryId::from_raw(delivery), due_at);
        known.set_first(Tree::Order, layout::order_prefix(id, &key).to_vec(), rows.into_iter().map(record).collect(), whole);
    }
    Ok(())
}

/// Orders go by ids, and another node may be ahead with its own: what is accepted now comes after all that
/// were accepted for the same orders before.
async fn read_newest_of_orders(session: &Session, subscriptions: &[Id], orders: &[Id], known: &Known) -> Result<(), Fault> {
    let statement = "SELECT last.delivery FROM unnest($1::uuid[], $2::uuid[]) AS asked (subscription, order_key) \
         CROSS JOIN LATERAL (SELECT delivery FROM postrider.orders \
           WHERE subscription = asked.subscription AND order_key = asked.order_key ORDER BY delivery DESC LIMIT 1) AS last \
         ORDER BY last.delivery DESC LIMIT 1";
    let rows = session.query(statement, &[(&subscriptions, Type::UUID_ARRAY), (&orders, Type::UUID_ARRAY)]).await?;
    rows.iter().for_each(|row| known.see_id(raw(row, 0)));
    Ok(())
}

fn order_row(subscription: SubscriptionId, order: &[u8; 16], delivery: DeliveryId, due_at: i64) -> (Vec<u8>, Vec<u8>) {
    let key = layout::order_row_key(subscription, order, delivery).to_vec();
    let value = record::encode(Tree::Order, &key, &OrderRecord { due_at });
    (key, value)
}

async fn read_range(session: &Session, (tree, subscription, rows): (Tree, Id, i64), known: &Known) -> Result<(), Fault> {
    let statement = if tree == Tree::Order {
        "SELECT order_key, delivery, due_at FROM postrider.orders WHERE subscription = $1 ORDER BY order_key, delivery LIMIT $2"
    } else {
        "SELECT delivery, due_at, attempts, template_version FROM postrider.due WHERE subscription = $1 ORDER BY due_at, delivery LIMIT $2"
    };
    let read = session.query(statement, &[(&subscription, Type::UUID), (&rows, Type::INT8)]).await?;
    let id = SubscriptionId::from_raw(subscription.0);
    let whole = read.len() < usize::try_from(rows).unwrap_or(usize::MAX);
    let records = read.iter().map(|row| {
        if tree == Tree::Order {
            return order_row(id, &row.get::<_, Id>(0).bytes(), DeliveryId::from_raw(raw(row, 1)), row.get(2));
        }
        let key = layout::due_key(id, Timestamp::from_unix_ms(row.get(1)), DeliveryId::from_raw(raw(row, 0))).to_vec();
        let count = |column| u32::try_from(row.get::<_, i64>(column)).unwrap_or_default();
        let value = record::encode(Tree::Due, &key, &DueRecord { attempts: count(2), template_version: count(3) });
        (key, value)
    });
    known.set_first(tree, layout::subscription_key(id).to_vec(), records.collect(), whole);
    Ok(())
}

async fn read_keys(session: &Session, digests: &[Id], known: &Known) -> Result<(), Fault> {
    let statement = "SELECT digest, event, deliveries, fingerprint, expires_at FROM postrider.keys WHERE digest = ANY ($1)";
    for row in session.query(statement, &[(&digests, Type::UUID_ARRAY)]).await? {
        let key = row.get::<_, Id>(0).bytes();
        let record = KeyRecord {
            event: row.get::<_, Id>(1).bytes(),
            deliveries: u16::try_from(row.get::<_, i32>(2)).unwrap_or(u16::MAX),
            fingerprint: row.get::<_, Id>(3).bytes(),
            expires_at: row.get(4),
        };
        known.set_record(Tree::Keys, key.to_vec(), Some(record::encode(Tree::Keys, &key, &record)));
    }
    Ok(())
}

/// Only whether they are there: no decision looks into an event.
async fn read_events(session: &Session, ids: &[Id], known: &Known) -> Result<(), Fault> {
    let statement = "SELECT id FROM postrider.events WHERE id = ANY ($1)";
    for row in session.query(statement, &[(&ids, Type::UUID_ARRAY)]).await? {
        known.set_record(Tree::Events, raw(&row, 0).to_be_bytes().to_vec(), Some(Vec::new()));
    }
    Ok(())
}

async fn read_deliveries(session: &Session, ids: &[Id], known: &Known) -> Result<(), Fault> {
    let statement = format!("SELECT {DELIVERY} FROM postrider.deliveries WHERE id = ANY ($1) ORDER BY id FOR UPDATE");
    for row in session.query(&statement, &[(&ids, Type::UUID_ARRAY)]).await? {
        let (id, subscription, record) =
            delivery_record(&row).map_err(|error| Fault::Refused(format!("a delivery cannot be read: {error}")))?;
        let key = layout::delivery_key(subscription, id).to_vec();
        let value = record::encode(Tree::Deliveries, &key, &record);
        known.set_record(Tree::Deliveries, key, Some(value));
    }
    Ok(())
}

/// Only which attempt it is: no decision looks further.
async fn read_attempts(session: &Session, (deliveries, numbers): &(Vec<Id>, Vec<i64>), known: &Known) -> Result<(), Fault> {
    let statement = "SELECT attempts.delivery, attempts.number, attempts.id \
         FROM unnest($1::uuid[], $2::bigint[]) AS asked (delivery, number) \
         JOIN postrider.attempts ON attempts.delivery = asked.delivery AND attempts.number = asked.number \
         WHERE attempts.delivery BETWEEN $3 AND $4";
    let (Some(low), Some(high)) = (deliveries.iter().min(), deliveries.iter().max()) else { return Ok(()) };
    let values = [(deliveries as _, Type::UUID_ARRAY), (numbers as _, Type::INT8_ARRAY), (low as _, Type::UUID), (high as _, Type::UUID)];
    for row in session.query(statement, &values).await? {
        let number = u32::try_from(row.get::<_, i64>(1)).unwrap_or_default();
        let key = layout::attempt_key(DeliveryId::from_raw(raw(&row, 0)), number);
        let record = AttemptRecord {
            id: row.get::<_, Id>(2).bytes(),
            started_at: 0,
            duration_ms: 0,
            outcome: 0,
            reason: "",
            request: None,
            response: None,
            possible_repeat: false,
            next_due_at: None,
        };
        known.set_record(Tree::Attempts, key.to_vec(), Some(record::encode(Tree::Attempts, &key, &record)));
    }
    Ok(())
}

async fn read_configuration(session: &Session, (kinds, ids): &(Vec<i16>, Vec<String>), known: &Known) -> Result<(), Fault> {
    let statement = "SELECT found.kind, found.id, found.value FROM unnest($1::smallint[], $2::text[]) AS asked (kind, id) \
         JOIN postrider.configuration AS found ON found.kind = asked.kind AND found.id = asked.id";
    for row in session.query(statement, &[(kinds, Type::INT2_ARRAY), (ids, Type::TEXT_ARRAY)]).await? {
        let Some(kind) = layout::kind_of_number(row.get(0)) else { continue };
        let key = layout::configuration_key(kind, row.get(1));
        let value = record::encode(Tree::Configuration, &key, &ValueRecord { json: row.get(2) });
        known.set_record(Tree::Configuration, key, Some(value));
    }
    Ok(())
}

async fn read_documents(session: &Session, (kinds, ids): &(Vec<i16>, Vec<String>), known: &Known) -> Result<(), Fault> {
    let statement = "SELECT found.kind, found.id, found.revision, found.value \
         FROM postrider.documents AS found JOIN unnest($1::smallint[], $2::text[]) AS asked (kind, id) \
           ON found.kind = asked.kind AND found.id = asked.id \
         ORDER BY found.kind, found.id FOR UPDATE OF found";
    for row in session.query(statement, &[(kinds, Type::INT2_ARRAY), (ids, Type::TEXT_ARRAY)]).await? {
        let Some(kind) = layout::document_of_number(row.get(0)) else { continue };
        let key = layout::document_key(kind, row.get(1));
        let revision = u64::try_from(row.get::<_, i64>(2)).unwrap_or_default();
        let value = record::encode(Tree::Documents, &key, &DocumentRecord { revision, json: row.get(3) });
        known.set_record(Tree::Documents, key, Some(value));
    }
    Ok(())
}
