//! Accepting events: idempotency, limits, then the writes.

use std::collections::HashMap;
use std::sync::Arc;

use super::Decision;
use super::state::Ledger;
use crate::clock::Timestamp;
use crate::event::{AccountId, Event, EventType, KeyDigest};
use crate::id::{DeliveryId, EventId, SubscriptionId};
use crate::store::kv::{KvError, Tree};
use crate::store::record::{DeliveryRecord, EventRecord, KeyRecord, OrderRecord, StateRecord};
use crate::store::{AcceptError, Accepted, DocumentChange, DueRow, Make, NewDelivery, NewEvent, NewKey, StoreError, layout};

/// What is to be done with one event of a call.
enum Plan {
    /// Its key is known.
    Known(Accepted),
    /// Its key is that of an earlier event of the call.
    Repeats(usize),
    /// It is stored under this id. If its key was known and expired: when.
    Store { id: EventId, key_expired_at: Option<Timestamp> },
}

/// What the deliveries of one event have in common.
struct Origin<'a> {
    account: &'a AccountId,
    event_type: &'a EventType,
    received_at: Timestamp,
    event: Arc<Event>,
}

impl Ledger {
    /// Stores all events of a call with all changes of documents, or nothing.
    pub(in crate::store) fn accept(
        &mut self,
        events: Vec<NewEvent>,
        documents: Vec<DocumentChange>,
    ) -> Decision<Vec<Accepted>, AcceptError> {
        let plans = match self.plan(&events)? {
            Ok(plans) => plans,
            Err(error) => return Ok(Err(error)),
        };
        let stores = plans.iter().any(|plan| matches!(plan, Plan::Store { .. }));
        // Removing documents makes room, and goes on when there is none.
        let grows = stores || documents.iter().any(|change| !matches!(change.make, Make::Remove));
        if grows && self.storage_full() {
            return Ok(Err(StoreError::StorageFull.into()));
        }
        if stores && let Some(error) = self.over_limit(&events, &plans) {
            return Ok(Err(error));
        }
        let documents = match self.plan_documents(changes(&events, &plans, &documents))? {
            Ok(documents) => documents,
            Err(error) => return Ok(Err(error)),
        };
        let mut accepted: Vec<Accepted> = Vec::with_capacity(events.len());
        for (event, plan) in events.into_iter().zip(plans) {
            let answer = match plan {
                Plan::Known(first) => first,
                Plan::Repeats(index) => Accepted { duplicate: true, ..accepted[index].clone() },
                Plan::Store { id, key_expired_at } => self.store_event(id, event, key_expired_at)?,
            };
            accepted.push(answer);
        }
        self.write_documents(documents);
        Ok(Ok(accepted))
    }

    fn plan(&mut self, events: &[NewEvent]) -> Decision<Vec<Plan>, AcceptError> {
        let mut plans = Vec::with_capacity(events.len());
        let mut seen: HashMap<KeyDigest, (usize, EventId)> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            if event.deliveries.len() > usize::from(u16::MAX) {
                let detail = format!("event {index} has {} deliveries; an event can have 65,535", event.deliveries.len());
                return Ok(Err(StoreError::Failed { action: "numbering deliveries", detail }.into()));
            }
            let mut key_expired_at = None;
            if let Some(key) = &event.key {
                if let Some(&(earlier, first)) = seen.get(&key.digest) {
                    if !same_content(events[earlier].key.as_ref(), key) {
                        return Ok(Err(AcceptError::KeyReused { index, first }));
                    }
                    plans.push(Plan::Repeats(earlier));
                    continue;
                }
                match self.read::<KeyRecord>(Tree::Keys, &key.digest)? {
                    Some(known) if Timestamp::from_unix_ms(known.expires_at) <= event.received_at => {
                        key_expired_at = Some(Timestamp::from_unix_ms(known.expires_at));
                    }
                    Some(known) if known.fingerprint != key.fingerprint => {
                        return Ok(Err(AcceptError::KeyReused { index, first: known.event() }));
                    }
                    Some(known) => {
                        plans.push(Plan::Known(known_event(&known)));
                        continue;
                    }
                    None => {}
                }
            }
            let id = EventId::from_raw(self.ids.next(event.received_at.unix_ms()));
            if let Some(key) = &event.key {
                seen.insert(key.digest, (index, id));
            }
            plans.push(Plan::Store { id, key_expired_at });
        }
        Ok(Ok(plans))
    }

    /// The first subscription that would get more than it may have waiting.
    fn over_limit(&self, events: &[NewEvent], plans: &[Plan]) -> Option<AcceptError> {
        let new = || {
            let stored = events.iter().zip(plans).filter(|(_, plan)| matches!(plan, Plan::Store { .. }));
            stored.flat_map(|(event, _)| &event.deliveries).map(|delivery| delivery.subscription)
        };
        let max = self.options.waiting_per_subscription_max;
        let all = new().count() as u64;
        if new().all(|subscription| self.waiting(subscription) + all <= max) {
            return None;
        }
        let mut added: HashMap<SubscriptionId, u64> = HashMap::new();
        for subscription in new().filter(|subscription| !self.removed.contains(subscription)) {
            let added = added.entry(subscription).or_default();
            *added += 1;
            let waiting = self.waiting(subscription);
            if waiting + *added > max {
                return Some(AcceptError::QueueFull { subscription, waiting });
            }
        }
        None
    }

    fn store_event(&mut self, id: EventId, new: NewEvent, key_expired_at: Option<Timestamp>) -> Result<Accepted, KvError> {
        let NewEvent { account, event_type, key, occurred_at, received_at, data, mut deliveries, documents: _ } = new;
        deliveries.retain(|delivery| !self.removed.contains(&delivery.subscription));
        let event_key = layout::event_key(id);
        let record = EventRecord {
            account: account.as_str(),
            event_type: event_type.as_str(),
            key: key.as_ref().map(|key| key.text.as_str()),
            occurred_at: occurred_at.unix_ms(),
            received_at: received_at.unix_ms(),
            subscriptions: deliveries.iter().map(|delivery| delivery.subscription.raw().to_be_bytes()).collect(),
            data: data.stored(),
        };
        self.put(Tree::Events, &event_key, &record);
        if let Some(key) = &key {
            self.store_key(id, key, deliveries.len(), key_expired_at);
        }
        let key = key.map(|key| key.text);
        let event = Arc::new(Event { id, account: account.clone(), event_type: event_type.clone(), key, occurred_at, received_at, data });
        self.parts.cache.insert(event.clone());
        let origin = Origin { account: &account, event_type: &event_type, received_at, event };
        let mut ids = Vec::with_capacity(deliveries.len());
        for (number, delivery) in (1..=u16::MAX).zip(deliveries) {
            let delivery_id = DeliveryId::of(id, number);
            self.store_delivery(delivery_id, &delivery, &origin)?;
            ids.push(delivery_id);
        }
        Ok(Accepted { id, deliveries: ids, duplicate: false })
    }

    fn store_key(&mut self, event: EventId, key: &NewKey, deliveries: usize, expired_at: Option<Timestamp>) {
        if let Some(expired_at) = expired_at {
            self.overlay.remove(Tree::KeyExpiry, layout::key_expiry_key(expired_at, &key.digest));
        }
        let record = KeyRecord {
            event: event.raw().to_be_bytes(),
            deliveries: u16::try_from(deliveries).unwrap_or(u16::MAX),
            fingerprint: key.fingerprint,
            expires_at: key.expires_at.unix_ms(),
        };
        self.put(Tree::Keys, &key.digest, &record);
        self.overlay.put(Tree::KeyExpiry, layout::key_expiry_key(key.expires_at, &key.digest), Vec::new());
    }

    fn store_delivery(&mut self, id: DeliveryId, new: &NewDelivery, origin: &Origin<'_>) -> Result<(), KvError> {
        let NewDelivery { subscription, template_version, due_at, order_key } = *new;
        let parked = match &order_key {
            Some(order) => !self.overlay.rows(Tree::Order, &layout::order_prefix(subscription, order), 1)?.is_empty(),
            None => false,
        };
        let record = DeliveryRecord {
            state: StateRecord::Pending { due_at: due_at.unix_ms() },
            attempts: 0,
            last_outcome: None,
            template_version,
            created_after_id_ms: origin.received_at.unix_ms().saturating_sub(id.unix_ms()),
            account: origin.account.clone(),
            event_type: origin.event_type.clone(),
            order: order_key,
            parked,
        };
        self.put_delivery(subscription, id, &record);
        if let Some(order) = &order_key {
            let key = layout::order_row_key(subscription, order, id);
            self.put(Tree::Order, &key, &OrderRecord { due_at: due_at.unix_ms() });
        }
        self.counts_of(subscription, origin.account).waiting += 1;
        if parked {
            return Ok(());
        }
        self.put_due(subscription, id, due_at, &record);
        if due_at <= origin.received_at {
            let row = DueRow { delivery: id, due_at, attempts: 0, template_version, event: Some(origin.event.clone()) };
            self.notice_fresh(subscription, row);
        } else {
            self.notice(subscription).note_due(due_at);
        }
        Ok(())
    }
}

/// The changes of documents that a call makes, in order, each with the event it goes with.
fn changes<'a>(
    events: &'a [NewEvent],
    plans: &'a [Plan],
    documents: &'a [DocumentChange],
) -> impl Iterator<Item = (Option<EventId>, &'a DocumentChange)> {
    let of_events = events.iter().zip(plans).filter_map(|(event, plan)| match plan {
        Plan::Store { id, .. } => Some((*id, event)),
        Plan::Known(_) | Plan::Repeats(_) => None,
    });
    let of_events = of_events.flat_map(|(id, event)| event.documents.iter().map(move |change| (Some(id), change)));
    of_events.chain(documents.iter().map(|change| (None, change)))
}

fn same_content(first: Option<&NewKey>, second: &NewKey) -> bool {
    first.is_some_and(|first| first.fingerprint == second.fingerprint)
}

fn known_event(known: &KeyRecord) -> Accepted {
    let id = known.event();
    Accepted { id, deliveries: (1..=known.deliveries).map(|number| DeliveryId::of(id, number)).collect(), duplicate: true }
}
