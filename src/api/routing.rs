//! Why an event was or was not sent to each subscription of its account.
//!
//! What is certain is what was stored: a delivery, and when a subscription was created and last changed.
//! A subscription that has changed since the event was accepted is judged as it is now, and the answer
//! says so; what it was then is not kept.

use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::caller::Caller;
use super::explanation::explain_delivery;
use super::page::{Listed, Parameters};
use super::{ApiError, ApiState};
use crate::delivery::Delivery;
use crate::event::{Event, EventData, EventType};
use crate::id::{EventId, SubscriptionId};
use crate::queue::Registry;
use crate::subscription::{Refusal, Subscription};

/// Most values of a condition that are shown.
const VALUES_SHOWN: usize = 5;
/// Most characters of a value that are shown.
const VALUE_CHARACTERS_SHOWN: usize = 100;

/// `GET /v1/events/{id}/routing`.
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Listed<Value>, ApiError> {
    let event_id: EventId = id.parse().map_err(|_| ApiError::not_found("event", &id))?;
    let event = caller.visible("event", &id, state.queue.event(event_id).await?, |event| &event.account)?;
    let parameters = Parameters::read(query.as_deref(), &["limit", "cursor"])?;
    let (before, limit) = (parameters.cursor()?.map(SubscriptionId::from_raw), parameters.limit()?);
    let registry = state.queue.registry();
    let deliveries = state.queue.deliveries_of(event_id).await?;
    let present = registry.subscriptions_of(&event.account).map(|subscription| subscription.id);
    let mut ids: Vec<SubscriptionId> = deliveries.iter().map(|delivery| delivery.subscription).chain(present).collect();
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    ids.dedup();
    ids.retain(|id| before.is_none_or(|before| *id < before));
    let more = ids.len() > limit;
    ids.truncate(limit);
    let mut listed = Vec::with_capacity(ids.len());
    for id in &ids {
        let delivery = deliveries.iter().find(|delivery| delivery.subscription == *id);
        listed.push(match (delivery, registry.subscription(*id)) {
            (Some(delivery), subscription) => sent(&state, delivery, subscription).await?,
            (None, Some(subscription)) => not_sent(subscription, &event, &registry),
            // It was deleted in this moment.
            (None, None) => continue,
        });
    }
    Ok(Listed::new(listed, ids.last().filter(|_| more).map(|id| id.raw())))
}

async fn sent(state: &ApiState, delivery: &Delivery, subscription: Option<&Subscription>) -> Result<Value, ApiError> {
    let attempts = state.queue.attempts(delivery.id).await?;
    let explanation = explain_delivery(state, delivery, &attempts).await?;
    Ok(json!({
        "subscription": delivery.subscription,
        "name": subscription.map(|subscription| &subscription.spec.name),
        "sent": true,
        "code": "sent",
        "why": format!("the subscription wanted the event when it was accepted; {explanation}"),
        "known": "then",
        "delivery": delivery.id,
        "state": delivery.state.name(),
    }))
}

fn not_sent(subscription: &Subscription, event: &Event, registry: &Registry) -> Value {
    let account_changed_at = registry.account(&event.account).and_then(|account| account.updated_at).filter(|at| *at >= event.received_at);
    let now = not_wanted(subscription, &event.event_type, &event.data, registry);
    // What happened in the same millisecond may have happened after.
    let created_with_it = subscription.created_at == event.received_at && now.is_none();
    let (code, why, known) = if subscription.created_at > event.received_at || created_with_it {
        let why =
            format!("the subscription was created at {}, after the event was accepted at {}", subscription.created_at, event.received_at);
        ("created_later", why, "then")
    } else if subscription.version > 1 && subscription.updated_at >= event.received_at {
        let since = format!(
            "the subscription was changed at {}, after the event was accepted, and what it was then is not kept; as it is now ",
            subscription.updated_at
        );
        match now {
            Some(NotWanted { code, why }) => (code, format!("{since}it does not want the event: {why}"), "now"),
            None => ("changed_since", format!("{since}it would want the event, and it did not then"), "now"),
        }
    } else {
        match (now, account_changed_at) {
            (Some(NotWanted { code: code @ "not_allowed", why }), Some(at)) => {
                (code, format!("the account was changed at {at}, after the event was accepted; as it is now {why}"), "now")
            }
            (Some(NotWanted { code, why }), _) => (code, why, "then"),
            (None, Some(at)) => {
                let why = format!(
                    "the account was changed at {at}, after the event was accepted; now it may have the event, and it did not then"
                );
                ("changed_since", why, "now")
            }
            (None, None) => (
                "delivery_missing",
                "the subscription wants the event, and there is no delivery of it; see the log for damaged records".into(),
                "now",
            ),
        }
    };
    json!({
        "subscription": subscription.id,
        "name": subscription.spec.name,
        "sent": false,
        "code": code,
        "why": why,
        "known": known,
        "delivery": null,
        "state": null,
    })
}

/// Why a subscription does not want an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotWanted {
    /// Stable code.
    pub code: &'static str,
    /// The reason, in words for the subscription's owner.
    pub why: String,
}

/// Why a subscription as it is does not want an event of this type with this data; none if it does.
pub(super) fn not_wanted(subscription: &Subscription, event_type: &EventType, data: &EventData, registry: &Registry) -> Option<NotWanted> {
    let reason = |code, why| Some(NotWanted { code, why });
    if let Some(why) = registry.type_refusal(&subscription.spec.account, event_type) {
        return reason("not_allowed", why);
    }
    match subscription.refusal(event_type, data)? {
        Refusal::Type => {
            let wanted = subscription.spec.event_types.join("`, `");
            let must_be_named = !event_type.is_matched_by_wildcards() && wanted.contains('*');
            let hint = if must_be_named { format!("; wildcards do not match `{event_type}`, it must be named") } else { String::new() };
            reason("type_not_wanted", format!("the subscription wants `{wanted}`, and the event is `{event_type}`{hint}"))
        }
        Refusal::Scope => reason(
            "scope_event",
            format!("the subscription is at event level, which leaves out `{event_type}` unless `event_types` names it exactly"),
        ),
        Refusal::Field { name, wanted } => {
            let has = match data.fields().get(name) {
                None | Some(serde_json::Value::Null) => "the event has no value of it".to_owned(),
                Some(value) => match data.scalar(name) {
                    Some(text) => format!("the event has `{}`", shortened(&text)),
                    None if value.is_array() => "the event has a list, which is never equal to a value".to_owned(),
                    None => "the event has an object, which is never equal to a value".to_owned(),
                },
            };
            let mut listed = wanted.iter().take(VALUES_SHOWN).map(|value| shortened(value)).collect::<Vec<_>>().join("`, `");
            if wanted.len() > VALUES_SHOWN {
                listed.push_str(&format!("` and {} more", wanted.len() - VALUES_SHOWN));
            } else {
                listed.push('`');
            }
            reason("filtered", format!("the condition on `{name}` does not hold: {has}, and the subscription wants `{listed}"))
        }
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= VALUE_CHARACTERS_SHOWN {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(VALUE_CHARACTERS_SHOWN).collect::<String>())
}
