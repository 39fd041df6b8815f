//! Writing what a group came to: one statement for each table, over arrays, all sent together with the
//! commit.

use std::collections::BTreeSet;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::known::Known;
use super::partitions::Day;
use super::rows::{headers_text, state_columns, storable};
use super::session::Session;
use super::wire::{Id, Param};
use crate::id::EventId;
use crate::store::kv::{Batch, Tree};
use crate::store::ledger::CountChange;
use crate::store::record::{
    self, AttemptRecord, DeliveryRecord, DocumentRecord, DueRecord, EventRecord, KeyRecord, OrderRecord, Record, ValueRecord,
};
use crate::store::{ConfigurationKind, layout};

/// The rows that a group writes and removes, column by column.
#[derive(Debug, Default)]
pub(super) struct Written {
    events: Events,
    keys: Keys,
    /// Keys that had expired and are given anew.
    replaced_keys: Vec<Id>,
    new_deliveries: Deliveries,
    changed_deliveries: Deliveries,
    due: Due,
    not_due: (Vec<Id>, Vec<i64>, Vec<Id>),
    orders: Orders,
    not_ordered: (Vec<Id>, Vec<Id>, Vec<Id>),
    attempts: Attempts,
    configuration: (Vec<i16>, Vec<String>, Vec<String>),
    removed_configuration: (Vec<i16>, Vec<String>),
    new_documents: Documents,
    changed_documents: Documents,
    removed_documents: (Vec<i16>, Vec<String>),
    counts: Counts,
    /// Whether it changes what accepts are decided by.
    pub(super) changes_configuration: bool,
}

#[derive(Debug, Default)]
struct Events {
    id: Vec<Id>,
    account: Vec<String>,
    event_type: Vec<String>,
    key: Vec<Option<String>>,
    occurred_at: Vec<i64>,
    received_at: Vec<i64>,
    subscriptions: Vec<Vec<u8>>,
    data: Vec<String>,
}

#[derive(Debug, Default)]
struct Keys {
    digest: Vec<Id>,
    event: Vec<Id>,
    deliveries: Vec<i32>,
    fingerprint: Vec<Id>,
    expires_at: Vec<i64>,
}

#[derive(Debug, Default)]
struct Deliveries {
    id: Vec<Id>,
    subscription: Vec<Id>,
    state: Vec<i16>,
    state_at: Vec<i64>,
    dead_reason: Vec<Option<i16>>,
    attempts: Vec<i64>,
    last_outcome: Vec<Option<i16>>,
    template_version: Vec<i64>,
    created_at: Vec<i64>,
    account: Vec<String>,
    event_type: Vec<String>,
    order_key: Vec<Option<Id>>,
    parked: Vec<bool>,
}

#[derive(Debug, Default)]
struct Due {
    subscription: Vec<Id>,
    due_at: Vec<i64>,
    delivery: Vec<Id>,
    attempts: Vec<i64>,
    template_version: Vec<i64>,
}

#[derive(Debug, Default)]
struct Orders {
    subscription: Vec<Id>,
    order_key: Vec<Id>,
    delivery: Vec<Id>,
    due_at: Vec<i64>,
}

#[derive(Debug, Default)]
struct Attempts {
    delivery: Vec<Id>,
    number: Vec<i64>,
    id: Vec<Id>,
    started_at: Vec<i64>,
    duration_ms: Vec<i64>,
    outcome: Vec<i16>,
    reason: Vec<String>,
    request_method: Vec<Option<String>>,
    request_url: Vec<Option<String>>,
    request_headers: Vec<Option<String>>,
    request_body: Vec<Option<Vec<u8>>>,
    response_status: Vec<Option<i32>>,
    response_headers: Vec<Option<String>>,
    response_body: Vec<Option<Vec<u8>>>,
    response_truncated: Vec<Option<bool>>,
    possible_repeat: Vec<bool>,
    next_due_at: Vec<Option<i64>>,
}

#[derive(Debug, Default)]
struct Documents {
    kind: Vec<i16>,
    id: Vec<String>,
    revision: Vec<i64>,
    value: Vec<String>,
}

#[derive(Debug, Default)]
struct Counts {
    subscription: Vec<Id>,
    account: Vec<String>,
    waiting: Vec<i64>,
    delivered: Vec<i64>,
    dead: Vec<i64>,
    cancelled: Vec<i64>,
    attempts: Vec<i64>,
}

fn read<'a, R: Record<'a>>(tree: Tree, key: &[u8], value: &'a [u8]) -> R {
    record::decode(tree, key, value).expect("the ledger has just written this record")
}

fn id(raw: Option<u128>) -> Id {
    Id(raw.expect("keys of the ledger hold their ids"))
}

impl Written {
    /// The rows for what the ledger decided; `known` tells which are there already.
    pub(super) fn of(batch: &Batch, counts: Vec<CountChange>, known: &Known) -> Self {
        let mut written = Self::default();
        for (key, value) in batch.tree(Tree::Events) {
            written.add_event(key, value.as_deref());
        }
        for (key, value) in batch.tree(Tree::Keys) {
            written.add_key(key, value.as_deref(), known);
        }
        for (key, value) in batch.tree(Tree::Deliveries) {
            written.add_delivery(key, value.as_deref(), known);
        }
        for (key, value) in batch.tree(Tree::Due) {
            written.add_due(key, value.as_deref());
        }
        for (key, value) in batch.tree(Tree::Order) {
            written.add_order(key, value.as_deref());
        }
        for (key, value) in batch.tree(Tree::Attempts) {
            written.add_attempt(key, value.as_deref());
        }
        for (key, value) in batch.tree(Tree::Configuration) {
            written.add_configuration(key, value.as_deref());
        }
        for (key, value) in batch.tree(Tree::Documents) {
            written.add_document(key, value.as_deref(), known);
        }
        counts.into_iter().for_each(|change| written.counts.add(change));
        written
    }

    /// Whether nothing is written.
    pub(super) fn is_empty(&self) -> bool {
        self.events.id.is_empty()
            && self.keys.digest.is_empty()
            && self.new_deliveries.id.is_empty()
            && self.changed_deliveries.id.is_empty()
            && self.due.delivery.is_empty()
            && self.not_due.0.is_empty()
            && self.orders.delivery.is_empty()
            && self.not_ordered.0.is_empty()
            && self.attempts.delivery.is_empty()
            && self.configuration.0.is_empty()
            && self.removed_configuration.0.is_empty()
            && self.new_documents.id.is_empty()
            && self.changed_documents.id.is_empty()
            && self.removed_documents.0.is_empty()
            && self.counts.subscription.is_empty()
    }

    /// The days to which new rows belong.
    pub(super) fn days(&self) -> BTreeSet<Day> {
        [&self.events.id, &self.new_deliveries.id, &self.attempts.delivery].into_iter().flatten().map(|id| Day::of(id.0)).collect()
    }

    fn add_event(&mut self, key: &[u8], value: Option<&[u8]>) {
        // Retention removes rows by statements of its own.
        let Some(value) = value else { return };
        let record: EventRecord<'_> = read(Tree::Events, key, value);
        let events = &mut self.events;
        events.id.push(id(layout::first_id(key)));
        events.account.push(record.account.to_owned());
        events.event_type.push(record.event_type.to_owned());
        events.key.push(record.key.map(str::to_owned));
        events.occurred_at.push(record.occurred_at);
        events.received_at.push(record.received_at);
        events.subscriptions.push(record.subscriptions.concat());
        events.data.push(record.data.to_owned());
    }

    fn add_key(&mut self, key: &[u8], value: Option<&[u8]>, known: &Known) {
        let Some(value) = value else { return };
        let record: KeyRecord = read(Tree::Keys, key, value);
        let digest = id(layout::first_id(key));
        if known.is_there(Tree::Keys, key) {
            self.replaced_keys.push(digest);
        }
        let keys = &mut self.keys;
        keys.digest.push(digest);
        keys.event.push(record.event.into());
        keys.deliveries.push(record.deliveries.into());
        keys.fingerprint.push(record.fingerprint.into());
        keys.expires_at.push(record.expires_at);
    }

    fn add_delivery(&mut self, key: &[u8], value: Option<&[u8]>, known: &Known) {
        let Some(value) = value else { return };
        let record: DeliveryRecord = read(Tree::Deliveries, key, value);
        let rows = if known.is_there(Tree::Deliveries, key) { &mut self.changed_deliveries } else { &mut self.new_deliveries };
        let delivery = id(layout::last_id(key));
        let (state, state_at, dead_reason) = state_columns(record.state);
        rows.id.push(delivery);
        rows.subscription.push(id(layout::first_id(key)));
        rows.state.push(state);
        rows.state_at.push(state_at);
        rows.dead_reason.push(dead_reason);
        rows.attempts.push(record.attempts.into());
        rows.last_outcome.push(record.last_outcome.map(Into::into));
        rows.template_version.push(record.template_version.into());
        rows.created_at.push(EventId::from_raw(delivery.0).unix_ms().saturating_add(record.created_after_id_ms));
        rows.account.push(record.account.as_str().to_owned());
        rows.event_type.push(record.event_type.as_str().to_owned());
        rows.order_key.push(record.order.map(Into::into));
        rows.parked.push(record.parked);
    }

    fn add_due(&mut self, key: &[u8], value: Option<&[u8]>) {
        let (due_at, delivery) = layout::read_due_key(key).expect("a key of the due index");
        let (subscription, delivery) = (id(layout::first_id(key)), Id(delivery.raw()));
        match value {
            Some(value) => {
                let record: DueRecord = read(Tree::Due, key, value);
                self.due.subscription.push(subscription);
                self.due.due_at.push(due_at.unix_ms());
                self.due.delivery.push(delivery);
                self.due.attempts.push(record.attempts.into());
                self.due.template_version.push(record.template_version.into());
            }
            None => {
                self.not_due.0.push(subscription);
                self.not_due.1.push(due_at.unix_ms());
                self.not_due.2.push(delivery);
            }
        }
    }

    fn add_order(&mut self, key: &[u8], value: Option<&[u8]>) {
        let order: Id = layout::read_order_key(key).expect("a key of the order index").into();
        let (subscription, delivery) = (id(layout::first_id(key)), id(layout::last_id(key)));
        match value {
            Some(value) => {
                let record: OrderRecord = read(Tree::Order, key, value);
                self.orders.subscription.push(subscription);
                self.orders.order_key.push(order);
                self.orders.delivery.push(delivery);
                self.orders.due_at.push(record.due_at);
            }
            None => {
                self.not_ordered.0.push(subscription);
                self.not_ordered.1.push(order);
                self.not_ordered.2.push(delivery);
            }
        }
    }

    fn add_attempt(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(value) = value else { return };
        let record: AttemptRecord<'_> = read(Tree::Attempts, key, value);
        let number = key.last_chunk::<4>().map_or(0, |number| u32::from_be_bytes(*number));
        let rows = &mut self.attempts;
        rows.delivery.push(id(layout::first_id(key)));
        rows.number.push(number.into());
        rows.id.push(record.id.into());
        rows.started_at.push(record.started_at);
        rows.duration_ms.push(i64::try_from(record.duration_ms).unwrap_or(i64::MAX));
        rows.outcome.push(record.outcome.into());
        rows.reason.push(storable(record.reason));
        let (request, response) = (record.request.as_ref(), record.response.as_ref());
        rows.request_method.push(request.map(|request| storable(request.method)));
        rows.request_url.push(request.map(|request| storable(request.url)));
        rows.request_headers.push(request.map(|request| headers_text(&request.headers)));
        rows.request_body.push(request.map(|request| request.body.to_vec()));
        rows.response_status.push(response.map(|response| response.status.into()));
        rows.response_headers.push(response.map(|response| headers_text(&response.headers)));
        rows.response_body.push(response.map(|response| response.body.to_vec()));
        rows.response_truncated.push(response.map(|response| response.truncated));
        rows.possible_repeat.push(record.possible_repeat);
        rows.next_due_at.push(record.next_due_at);
    }

    fn add_configuration(&mut self, key: &[u8], value: Option<&[u8]>) {
        let (kind, name) = layout::read_configuration_key(key).expect("a key of configuration");
        let number = i16::from(layout::kind_number(kind));
        self.changes_configuration |= is_decided_by(kind);
        match value {
            Some(value) => {
                let record: ValueRecord<'_> = read(Tree::Configuration, key, value);
                self.configuration.0.push(number);
                self.configuration.1.push(name.to_owned());
                self.configuration.2.push(record.json.to_owned());
            }
            None => {
                self.removed_configuration.0.push(number);
                self.removed_configuration.1.push(name.to_owned());
            }
        }
    }

    fn add_document(&mut self, key: &[u8], value: Option<&[u8]>, known: &Known) {
        let (kind, name) = layout::read_document_key(key).expect("a key of a document");
        let number = i16::from(layout::document_number(kind));
        let Some(value) = value else {
            self.removed_documents.0.push(number);
            self.removed_documents.1.push(name.to_owned());
            return;
        };
        let record: DocumentRecord<'_> = read(Tree::Documents, key, value);
        let rows = if known.is_there(Tree::Documents, key) { &mut self.changed_documents } else { &mut self.new_documents };
        rows.kind.push(number);
        rows.id.push(name.to_owned());
        rows.revision.push(i64::try_from(record.revision).unwrap_or(i64::MAX));
        rows.value.push(record.json.to_owned());
    }

    /// Sends everything; `slot` is the node's share of the counts. The caller commits.
    pub(super) async fn send(&self, session: &Session, slot: i16) -> Result<(), Fault> {
        let mut writes: Vec<BoxFuture<'_, Result<(), Fault>>> = Vec::new();
        if !self.replaced_keys.is_empty() {
            writes.push(self.remove_keys(session).boxed());
        }
        if !self.keys.digest.is_empty() {
            writes.push(self.keys.send(session).boxed());
        }
        if !self.events.id.is_empty() {
            writes.push(self.events.send(session).boxed());
        }
        if !self.new_deliveries.id.is_empty() {
            writes.push(self.new_deliveries.insert(session).boxed());
        }
        if !self.changed_deliveries.id.is_empty() {
            writes.push(self.changed_deliveries.update(session).boxed());
        }
        if !self.not_due.0.is_empty() {
            writes.push(self.remove_due(session).boxed());
        }
        if !self.due.delivery.is_empty() {
            writes.push(self.due.send(session).boxed());
        }
        if !self.not_ordered.0.is_empty() {
            writes.push(self.remove_orders(session).boxed());
        }
        if !self.orders.delivery.is_empty() {
            writes.push(self.orders.send(session).boxed());
        }
        if !self.attempts.delivery.is_empty() {
            writes.push(self.attempts.send(session).boxed());
        }
        if !self.removed_configuration.0.is_empty() {
            writes.push(self.remove_configuration(session).boxed());
        }
        if !self.configuration.0.is_empty() {
            writes.push(self.send_configuration(session).boxed());
        }
        if !self.removed_documents.0.is_empty() {
            writes.push(self.remove_documents(session).boxed());
        }
        if !self.changed_documents.id.is_empty() {
            writes.push(self.changed_documents.update(session).boxed());
        }
        if !self.new_documents.id.is_empty() {
            writes.push(self.new_documents.insert(session).boxed());
        }
        if !self.counts.subscription.is_empty() {
            writes.push(self.counts.send(session, slot).boxed());
        }
        if self.changes_configuration {
            writes.push(session.run("UPDATE postrider.revision SET number = number + 1").boxed());
        }
        join_all(writes).await.into_iter().collect()
    }

    async fn remove_keys(&self, session: &Session) -> Result<(), Fault> {
        session.query("DELETE FROM postrider.keys WHERE digest = ANY ($1)", &[(&self.replaced_keys, Type::UUID_ARRAY)]).await.map(drop)
    }

    async fn remove_due(&self, session: &Session) -> Result<(), Fault> {
        let (subscriptions, due_at, deliveries) = &self.not_due;
        let statement = "DELETE FROM postrider.due USING unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS gone (subscription, due_at, delivery) \
             WHERE due.subscription = gone.subscription AND due.due_at = gone.due_at AND due.delivery = gone.delivery";
        let values = [(subscriptions as _, Type::UUID_ARRAY), (due_at as _, Type::INT8_ARRAY), (deliveries as _, Type::UUID_ARRAY)];
        session.query(statement, &values).await.map(drop)
    }

    async fn remove_orders(&self, session: &Session) -> Result<(), Fault> {
        let (subscriptions, orders, deliveries) = &self.not_ordered;
        let statement = "DELETE FROM postrider.orders USING unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS gone (subscription, order_key, delivery) \
             WHERE orders.subscription = gone.subscription AND orders.order_key = gone.order_key AND orders.delivery = gone.delivery";
        let values = [(subscriptions as _, Type::UUID_ARRAY), (orders as _, Type::UUID_ARRAY), (deliveries as _, Type::UUID_ARRAY)];
        session.query(statement, &values).await.map(drop)
    }

    async fn remove_configuration(&self, session: &Session) -> Result<(), Fault> {
        let (kinds, ids) = &self.removed_configuration;
        let statement = "DELETE FROM postrider.configuration USING unnest($1::smallint[], $2::text[]) AS gone (kind, id) \
             WHERE configuration.kind = gone.kind AND configuration.id = gone.id";
        session.query(statement, &[(kinds, Type::INT2_ARRAY), (ids, Type::TEXT_ARRAY)]).await.map(drop)
    }

    async fn remove_documents(&self, session: &Session) -> Result<(), Fault> {
        let (kinds, ids) = &self.removed_documents;
        let statement = "DELETE FROM postrider.documents USING unnest($1::smallint[], $2::text[]) AS gone (kind, id) \
             WHERE documents.kind = gone.kind AND documents.id = gone.id";
        session.query(statement, &[(kinds, Type::INT2_ARRAY), (ids, Type::TEXT_ARRAY)]).await.map(drop)
    }

    async fn send_configuration(&self, session: &Session) -> Result<(), Fault> {
        let (kinds, ids, values) = &self.configuration;
        let statement = "INSERT INTO postrider.configuration (kind, id, value) SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[]) \
             ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value";
        session.query(statement, &[(kinds, Type::INT2_ARRAY), (ids, Type::TEXT_ARRAY), (values, Type::TEXT_ARRAY)]).await.map(drop)
    }
}

/// Adds to the counts, in this node's slot.
pub(super) async fn send_counts(session: &Session, slot: i16, changes: Vec<CountChange>) -> Result<(), Fault> {
    let mut counts = Counts::default();
    changes.into_iter().for_each(|change| counts.add(change));
    counts.send(session, slot).await
}

/// Whether accepts and lanes are decided by records of this kind, so that other nodes must hear of changes.
pub(super) const fn is_decided_by(kind: ConfigurationKind) -> bool {
    match kind {
        ConfigurationKind::Account
        | ConfigurationKind::Subscription
        | ConfigurationKind::TemplateVersion
        | ConfigurationKind::EventType
        | ConfigurationKind::Key
        | ConfigurationKind::Secret
        | ConfigurationKind::Offer
        | ConfigurationKind::InboundKey => true,
        ConfigurationKind::Replay | ConfigurationKind::Setting | ConfigurationKind::Audit => false,
    }
}

impl Events {
    async fn send(&self, session: &Session) -> Result<(), Fault> {
        let statement = "INSERT INTO postrider.events (id, account, event_type, key, occurred_at, received_at, subscriptions, data) \
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[], $8::text[])";
        let values = [
            (&self.id as _, Type::UUID_ARRAY),
            (&self.account as _, Type::TEXT_ARRAY),
            (&self.event_type as _, Type::TEXT_ARRAY),
            (&self.key as _, Type::TEXT_ARRAY),
            (&self.occurred_at as _, Type::INT8_ARRAY),
            (&self.received_at as _, Type::INT8_ARRAY),
            (&self.subscriptions as _, Type::BYTEA_ARRAY),
            (&self.data as _, Type::TEXT_ARRAY),
        ];
        session.query(statement, &values).await.map(drop)
    }
}

impl Keys {
    /// Another node may have stored one of the keys since they were read. Then the division fails, and
    /// with it the transaction, whose commit is on its way already.
    async fn send(&self, session: &Session) -> Result<(), Fault> {
        let statement = "WITH stored AS (INSERT INTO postrider.keys (digest, event, deliveries, fingerprint, expires_at) \
               SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::bigint[]) \
               ON CONFLICT (digest) DO NOTHING RETURNING 1) \
             SELECT 1 / (CASE WHEN count(*) = cardinality($1::uuid[]) THEN 1 ELSE 0 END) FROM stored";
        let values = [
            (&self.digest as _, Type::UUID_ARRAY),
            (&self.event as _, Type::UUID_ARRAY),
            (&self.deliveries as _, Type::INT4_ARRAY),
            (&self.fingerprint as _, Type::UUID_ARRAY),
            (&self.expires_at as _, Type::INT8_ARRAY),
        ];
        session.query(statement, &values).await.map(drop)
    }
}

impl Deliveries {
    async fn insert(&self, session: &Session) -> Result<(), Fault> {
        let statement = "INSERT INTO postrider.deliveries (id, subscription, state, state_at, dead_reason, attempts, last_outcome, \
               template_version, created_at, account, event_type, order_key, parked) \
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::smallint[], \
               $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::uuid[], $13::boolean[])";
        let values = [
            (&self.id as _, Type::UUID_ARRAY),
            (&self.subscription as _, Type::UUID_ARRAY),
            (&self.state as _, Type::INT2_ARRAY),
            (&self.state_at as _, Type::INT8_ARRAY),
            (&self.dead_reason as _, Type::INT2_ARRAY),
            (&self.attempts as _, Type::INT8_ARRAY),
            (&self.last_outcome as _, Type::INT2_ARRAY),
            (&self.template_version as _, Type::INT8_ARRAY),
            (&self.created_at as _, Type::INT8_ARRAY),
            (&self.account as _, Type::TEXT_ARRAY),
            (&self.event_type as _, Type::TEXT_ARRAY),
            (&self.order_key as _, Type::UUID_ARRAY),
            (&self.parked as _, Type::BOOL_ARRAY),
        ];
        session.query(statement, &values).await.map(drop)
    }

    async fn update(&self, session: &Session) -> Result<(), Fault> {
        // The bounds tell the server which partitions it need not look into.
        let (Some(low), Some(high)) = (self.id.iter().min(), self.id.iter().max()) else { return Ok(()) };
        let statement = "UPDATE postrider.deliveries SET state = new.state, state_at = new.state_at, dead_reason = new.dead_reason, \
               attempts = new.attempts, last_outcome = new.last_outcome, template_version = new.template_version, \
               order_key = new.order_key, parked = new.parked \
             FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::smallint[], $7::bigint[], $8::uuid[], \
               $9::boolean[]) AS new (id, state, state_at, dead_reason, attempts, last_outcome, template_version, order_key, parked) \
             WHERE deliveries.id = new.id AND deliveries.id BETWEEN $10 AND $11";
        let values = [
            (&self.id as _, Type::UUID_ARRAY),
            (&self.state as _, Type::INT2_ARRAY),
            (&self.state_at as _, Type::INT8_ARRAY),
            (&self.dead_reason as _, Type::INT2_ARRAY),
            (&self.attempts as _, Type::INT8_ARRAY),
            (&self.last_outcome as _, Type::INT2_ARRAY),
            (&self.template_version as _, Type::INT8_ARRAY),
            (&self.order_key as _, Type::UUID_ARRAY),
            (&self.parked as _, Type::BOOL_ARRAY),
            (low as _, Type::UUID),
            (high as _, Type::UUID),
        ];
        session.query(statement, &values).await.map(drop)
    }
}

impl Due {
    /// A row that is there already is a delivery that is due when it was: it is free to be leased again.
    async fn send(&self, session: &Session) -> Result<(), Fault> {
        let statement = "INSERT INTO postrider.due (subscription, due_at, delivery, attempts, template_version) \
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[]) \
             ON CONFLICT (subscription, due_at, delivery) DO UPDATE \
             SET attempts = excluded.attempts, template_version = excluded.template_version, leased_by = NULL, leased_at = NULL";
        let values = [
            (&self.subscription as _, Type::UUID_ARRAY),
            (&self.due_at as _, Type::INT8_ARRAY),
            (&self.delivery as _, Type::UUID_ARRAY),
            (&self.attempts as _, Type::INT8_ARRAY),
            (&self.template_version as _, Type::INT8_ARRAY),
        ];
        session.query(statement, &values).await.map(drop)
    }
}

impl Orders {
    async fn send(&self, session: &Session) -> Result<(), Fault> {
        let statement = "INSERT INTO postrider.orders (subscription, order_key, delivery, due_at) \
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) \
             ON CONFLICT (subscription, order_key, delivery) DO UPDATE SET due_at = excluded.due_at";
        let values = [
            (&self.subscription as _, Type::UUID_ARRAY),
            (&self.order_key as _, Type::UUID_ARRAY),
            (&self.delivery as _, Type::UUID_ARRAY),
            (&self.due_at as _, Type::INT8_ARRAY),
        ];
        session.query(statement, &values).await.map(drop)
    }
}

impl Attempts {
    async fn send(&self, session: &Session) -> Result<(), Fault> {
        let statement = "INSERT INTO postrider.attempts (delivery, number, id, started_at, duration_ms, outcome, reason, request_method, \
               request_url, request_headers, request_body, response_status, response_headers, response_body, response_truncated, \
               possible_repeat, next_due_at) \
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::smallint[], $7::text[], $8::text[], \
               $9::text[], $10::text[], $11::bytea[], $12::integer[], $13::text[], $14::bytea[], $15::boolean[], $16::boolean[], $17::bigint[])";
        let values = [
            (&self.delivery as _, Type::UUID_ARRAY),
            (&self.number as _, Type::INT8_ARRAY),
            (&self.id as _, Type::UUID_ARRAY),
            (&self.started_at as _, Type::INT8_ARRAY),
            (&self.duration_ms as _, Type::INT8_ARRAY),
            (&self.outcome as _, Type::INT2_ARRAY),
            (&self.reason as _, Type::TEXT_ARRAY),
            (&self.request_method as _, Type::TEXT_ARRAY),
            (&self.request_url as _, Type::TEXT_ARRAY),
            (&self.request_headers as _, Type::TEXT_ARRAY),
            (&self.request_body as _, Type::BYTEA_ARRAY),
            (&self.response_status as _, Type::INT4_ARRAY),
            (&self.response_headers as _, Type::TEXT_ARRAY),
            (&self.response_body as _, Type::BYTEA_ARRAY),
            (&self.response_truncated as _, Type::BOOL_ARRAY),
            (&self.possible_repeat as _, Type::BOOL_ARRAY),
            (&self.next_due_at as _, Type::INT8_ARRAY),
        ];
        session.query(statement, &values).await.map(drop)
    }
}

impl Documents {
    /// They were locked when they were read.
    async fn update(&self, session: &Session) -> Result<(), Fault> {
        let statement = "UPDATE postrider.documents SET revision = new.revision, value = new.value \
             FROM unnest($1::smallint[], $2::text[], $3::bigint[], $4::text[]) AS new (kind, id, revision, value) \
             WHERE documents.kind = new.kind AND documents.id = new.id";
        session.query(statement, &self.values()).await.map(drop)
    }

    /// As with keys, another node may have been faster.
    async fn insert(&self, session: &Session) -> Result<(), Fault> {
        let statement = "WITH stored AS (INSERT INTO postrider.documents (kind, id, revision, value) \
               SELECT * FROM unnest($1::smallint[], $2::text[], $3::bigint[], $4::text[]) ON CONFLICT (kind, id) DO NOTHING RETURNING 1) \
             SELECT 1 / (CASE WHEN count(*) = cardinality($1::smallint[]) THEN 1 ELSE 0 END) FROM stored";
        session.query(statement, &self.values()).await.map(drop)
    }

    fn values(&self) -> [Param<'_>; 4] {
        [(&self.kind, Type::INT2_ARRAY), (&self.id, Type::TEXT_ARRAY), (&self.revision, Type::INT8_ARRAY), (&self.value, Type::TEXT_ARRAY)]
    }
}

impl Counts {
    fn add(&mut self, CountChange { subscription, account, change }: CountChange) {
        self.subscription.push(Id(subscription.raw()));
        self.account.push(account.as_str().to_owned());
        self.waiting.push(change.waiting);
        self.delivered.push(change.delivered);
        self.dead.push(change.dead);
        self.cancelled.push(change.cancelled);
        self.attempts.push(change.attempts);
    }

    /// In the order of the subscriptions, so that two nodes with one slot do not wait for each other in a circle.
    async fn send(&self, session: &Session, slot: i16) -> Result<(), Fault> {
        let statement = "INSERT INTO postrider.counts (subscription, slot, account, waiting, delivered, dead, cancelled, attempts) \
             SELECT subscription, $1, account, waiting, delivered, dead, cancelled, attempts \
             FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) \
               AS changed (subscription, account, waiting, delivered, dead, cancelled, attempts) \
             ORDER BY subscription \
             ON CONFLICT (subscription, slot) DO UPDATE SET waiting = counts.waiting + excluded.waiting, \
               delivered = counts.delivered + excluded.delivered, dead = counts.dead + excluded.dead, \
               cancelled = counts.cancelled + excluded.cancelled, attempts = counts.attempts + excluded.attempts";
        let values = [
            (&slot as _, Type::INT2),
            (&self.subscription as _, Type::UUID_ARRAY),
            (&self.account as _, Type::TEXT_ARRAY),
            (&self.waiting as _, Type::INT8_ARRAY),
            (&self.delivered as _, Type::INT8_ARRAY),
            (&self.dead as _, Type::INT8_ARRAY),
            (&self.cancelled as _, Type::INT8_ARRAY),
            (&self.attempts as _, Type::INT8_ARRAY),
        ];
        session.query(statement, &values).await.map(drop)
    }
}
