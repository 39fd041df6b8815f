//! From what a caller reports to one commit: find the subscriptions, work out the due times.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Queue, Registry};
use crate::clock::Timestamp;
use crate::delivery::OrderKey;
use crate::event::catalogue::{DefinedFieldType, DefinedType};
use crate::event::{AccountId, EventData, EventType, IdempotencyKey, fingerprint};
use crate::id::SubscriptionId;
use crate::store::{AcceptError, Accepted, DocumentChange, NewDelivery, NewEvent, NewKey, Revision, StoreError};
use crate::subscription::{Order, Subscription};

/// The latest that a first attempt is put off, counted from receipt: whatever `occurred_at` says.
const FIRST_DUE_MAX: Duration = Duration::from_secs(60 * 86_400);

/// How often events are prepared again for a configuration that others keep changing.
pub(super) const PREPARED_MAX: usize = 5;

/// An event as it was reported.
#[derive(Debug, Clone)]
pub struct IncomingEvent {
    /// Whose.
    pub account: AccountId,
    /// What kind.
    pub event_type: EventType,
    /// The caller's key.
    pub key: Option<IdempotencyKey>,
    /// When it happened, as the caller wrote it, and as a time; none: now.
    pub occurred_at: Option<(String, Timestamp)>,
    /// The macro values.
    pub data: EventData,
}

/// Why events were not accepted. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// No account of this id exists.
    #[error("account `{account}` does not exist; create it with `POST /v1/accounts`")]
    UnknownAccount {
        /// Which event of the call, from 0.
        index: usize,
        /// The account.
        account: AccountId,
    },
    /// No event type of this name exists.
    #[error("event type `{event_type}` is not registered; `GET /v1/event-types` lists those that are")]
    UnknownEventType {
        /// Which event of the call, from 0.
        index: usize,
        /// The event type.
        event_type: EventType,
    },
    /// A field of an operator-defined type holds a list where one value belongs, or the reverse.
    #[error("{detail}")]
    WrongField {
        /// Which event of the call, from 0.
        index: usize,
        /// JSON pointer to the value, from the data.
        pointer: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// The store refused or failed.
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

impl Queue {
    /// Stores events with one delivery for each interested subscription: all or none, on disk when
    /// this returns. The answers are in the order of the events.
    ///
    /// # Errors
    /// [`EmitError`], and nothing is stored.
    pub async fn accept(&self, events: Vec<IncomingEvent>) -> Result<Vec<Accepted>, EmitError> {
        self.accept_from(events, |_| true).await
    }

    /// The same from somebody for whom only the accounts exist that `sees` tells.
    ///
    /// # Errors
    /// [`EmitError`], and nothing is stored.
    pub async fn accept_from(
        &self,
        events: Vec<IncomingEvent>,
        sees: impl Fn(&AccountId) -> bool + Send,
    ) -> Result<Vec<Accepted>, EmitError> {
        self.accept_but(events, sees, None).await
    }

    /// The same; one subscription is not to have it.
    pub(super) async fn accept_but(
        &self,
        events: Vec<IncomingEvent>,
        sees: impl Fn(&AccountId) -> bool + Send,
        not_to: Option<SubscriptionId>,
    ) -> Result<Vec<Accepted>, EmitError> {
        let done = self.store_events_patiently(events, sees, not_to).await;
        done.inspect_err(|error| self.metrics.events_refused(reason(error)))
    }

    /// Prepares the events again if another server changed the configuration meanwhile.
    async fn store_events_patiently(
        &self,
        events: Vec<IncomingEvent>,
        sees: impl Fn(&AccountId) -> bool + Send,
        not_to: Option<SubscriptionId>,
    ) -> Result<Vec<Accepted>, EmitError> {
        if self.revision() == Revision::default() {
            return self.store_events(events, &sees, not_to).await;
        }
        for _ in 0..PREPARED_MAX {
            match self.store_events(events.clone(), &sees, not_to).await {
                Err(EmitError::Accept(AcceptError::ConfigurationChanged)) => self.reload().await.map_err(AcceptError::from)?,
                // Another server may know it.
                Err(EmitError::UnknownAccount { .. } | EmitError::UnknownEventType { .. }) if self.catch_up().await => {}
                done => return done,
            }
        }
        self.store_events(events, &sees, not_to).await
    }

    async fn store_events(
        &self,
        events: Vec<IncomingEvent>,
        sees: &(impl Fn(&AccountId) -> bool + Send),
        not_to: Option<SubscriptionId>,
    ) -> Result<Vec<Accepted>, EmitError> {
        // Before the registry: one that is newer than its revision is only prepared for again.
        let revision = self.revision();
        let registry = self.registry();
        let now = self.clock.now();
        let mut prepared = Vec::with_capacity(events.len());
        for (index, event) in events.into_iter().enumerate() {
            if !sees(&event.account) {
                return Err(EmitError::UnknownAccount { index, account: event.account });
            }
            let mut new = self.prepare(&registry, now, index, event, not_to)?;
            new.documents = self.ledger_changes(&new);
            prepared.push(new);
        }
        self.commit((&registry, revision), now, prepared, Vec::new()).await
    }

    /// An event as the store takes it, with its deliveries.
    pub(super) fn prepare(
        &self,
        registry: &Registry,
        now: Timestamp,
        index: usize,
        event: IncomingEvent,
        not_to: Option<SubscriptionId>,
    ) -> Result<NewEvent, EmitError> {
        if registry.account(&event.account).is_none() {
            return Err(EmitError::UnknownAccount { index, account: event.account });
        }
        if !registry.knows_event_type(&event.event_type) {
            return Err(EmitError::UnknownEventType { index, event_type: event.event_type });
        }
        if let Some(defined) = registry.event_type(&event.event_type)
            && let Err((pointer, detail)) = check_shape(defined, &event.data)
        {
            return Err(EmitError::WrongField { index, pointer, detail });
        }
        let key = event.key.map(|text| NewKey {
            digest: text.digest(&event.account),
            fingerprint: fingerprint(&event.event_type, event.occurred_at.as_ref().map(|(text, _)| text.as_str()), &event.data),
            expires_at: now.after(self.key_lifetime),
            text,
        });
        let occurred_at = event.occurred_at.map_or(now, |(_, at)| at);
        let allowed = registry.type_refusal(&event.account, &event.event_type).is_none();
        let deliveries = registry
            .subscriptions_of(&event.account)
            .filter(|_| allowed)
            .filter(|subscription| Some(subscription.id) != not_to && subscription.wants(&event.event_type, &event.data))
            .take(usize::from(u16::MAX))
            .map(|subscription| new_delivery(subscription, occurred_at, now, &event.data))
            .collect();
        Ok(NewEvent {
            account: event.account,
            event_type: event.event_type,
            key,
            occurred_at,
            received_at: now,
            data: Arc::new(event.data),
            deliveries,
            documents: Vec::new(),
        })
    }

    /// Stores what was prepared, and these documents with it.
    pub(super) async fn commit(
        &self,
        (registry, revision): (&Registry, Revision),
        now: Timestamp,
        prepared: Vec<NewEvent>,
        documents: Vec<DocumentChange>,
    ) -> Result<Vec<Accepted>, EmitError> {
        let traced =
            self.spans.is_some().then(|| prepared.iter().map(|event| (event.event_type.clone(), event.data.trace())).collect::<Vec<_>>());
        let accounts: Vec<_> = prepared.iter().map(|event| (event.account.clone(), event.data.stored().len() as u64)).collect();
        let accepted = self.store.accept_under(revision, prepared, documents).await?;
        if let (Some(spans), Some(traced)) = (&self.spans, traced) {
            let all = accounts.iter().zip(traced).zip(&accepted).filter(|(_, event)| !event.duplicate);
            all.for_each(|(((account, _), (event_type, trace)), event)| spans.accepted(event.id, (account, &event_type), trace, now));
        }
        for ((account, bytes), event) in accounts.iter().zip(&accepted) {
            let class = registry.class_of(account);
            if !event.duplicate {
                self.kept.added(event.id, account, *bytes);
            }
            if event.duplicate {
                self.metrics.event_repeated(class);
            } else {
                self.metrics.event_accepted((account, class), now, event.deliveries.len());
            }
        }
        Ok(accepted)
    }
}

/// Why events were refused, in a word.
const fn reason(error: &EmitError) -> &'static str {
    match error {
        EmitError::UnknownAccount { .. } => "unknown_account",
        EmitError::UnknownEventType { .. } => "unknown_event_type",
        EmitError::WrongField { .. } => "wrong_field_type",
        EmitError::Accept(AcceptError::KeyReused { .. }) => "key_reused",
        EmitError::Accept(AcceptError::QueueFull { .. }) => "queue_full",
        EmitError::Accept(AcceptError::DocumentChanged { .. } | AcceptError::ConfigurationChanged) => "conflict",
        EmitError::Accept(AcceptError::Store(StoreError::StorageFull)) => "storage_full",
        EmitError::Accept(AcceptError::Store(
            StoreError::Failed { .. } | StoreError::Unavailable { .. } | StoreError::Overtaken | StoreError::Closed,
        )) => "store",
    }
}

/// Whether the fields of an operator-defined type have their shape, as those of the catalogue must: a list
/// where an amount belongs would fail every delivery later.
fn check_shape(defined: &DefinedType, data: &EventData) -> Result<(), (String, String)> {
    for field in &defined.fields {
        let (name, pointer) = (&field.name, format!("/{}", field.name));
        let is_list = field.field_type == DefinedFieldType::List;
        match data.fields().get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) if is_list => {
                if let Some(place) = items.iter().position(|item| !item.is_object()) {
                    let detail = format!("item {place} of `{name}` is not an object; this list holds objects, like `{{\"sku\":\"A-1\"}}`");
                    return Err((format!("{pointer}/{place}"), detail));
                }
            }
            Some(_) if is_list => return Err((pointer, format!("`{name}` holds a list of objects; send `[{{…}}]`, or leave it out"))),
            Some(Value::Array(_) | Value::Object(_)) => {
                return Err((pointer, format!("`{name}` holds one value; send a text or a number")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn new_delivery(subscription: &Subscription, occurred_at: Timestamp, now: Timestamp, data: &EventData) -> NewDelivery {
    let due_at = occurred_at.after(subscription.rules.minimum_delay).max(now).min(now.after(FIRST_DUE_MAX));
    let order_key = match subscription.spec.order {
        Order::None => None,
        Order::Action => data.scalar("ActionId").filter(|id| !id.is_empty()).map(|id| order_key(&id)),
    };
    NewDelivery { subscription: subscription.id, template_version: subscription.template_version, due_at, order_key }
}

fn order_key(action_id: &str) -> OrderKey {
    let mut key = OrderKey::default();
    key.copy_from_slice(&Sha256::digest(action_id.as_bytes())[..16]);
    key
}
