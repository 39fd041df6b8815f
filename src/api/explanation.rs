//! Why a delivery is where it is and what comes next, in one sentence for its owner.

use super::{ApiError, ApiState};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::delivery::{DeadReason, Delivery, DeliveryState, StateName};
use crate::event::Event;
use crate::id::DeliveryId;
use crate::queue::{DeliveryQuery, EndpointHealth, StoreError};
use crate::subscription::{RateScope, Subscription, SubscriptionState};

/// How many waiting deliveries are looked through for the one that another waits for.
const EARLIER_SEEN_MAX: usize = 200;

/// What the sentence is made from.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub delivery: &'a Delivery,
    pub last: Option<&'a Attempt>,
    /// None: it was deleted.
    pub subscription: Option<&'a Subscription>,
    pub event: Option<&'a Event>,
    /// The delivery that it waits for, if it waits for one and that was found.
    pub earlier: Option<DeliveryId>,
    /// How many deliveries of the subscription wait, where that matters.
    pub waiting: u64,
    /// How the receiver is doing.
    pub endpoint: EndpointHealth,
    pub now: Timestamp,
}

/// The sentence about a delivery whose attempts are `attempts`.
pub(super) async fn explain_delivery(state: &ApiState, delivery: &Delivery, attempts: &[Attempt]) -> Result<String, ApiError> {
    let registry = state.queue.registry();
    let now = state.clock.now();
    let is_due = matches!(delivery.state, DeliveryState::Pending { due_at } if due_at <= now);
    let event = if delivery.state.name() == StateName::Pending { state.queue.event(delivery.id.event()).await? } else { None };
    let earlier = match &event {
        Some(event) if delivery.behind => earlier_of(state, delivery, event).await?,
        _ => None,
    };
    let waiting = if is_due {
        let counts = state.queue.counts().await?;
        counts.iter().find(|counts| counts.subscription == delivery.subscription).map_or(0, |counts| counts.counts.waiting)
    } else {
        0
    };
    Ok(explain(&Facts {
        delivery,
        last: attempts.last(),
        subscription: registry.subscription(delivery.subscription),
        event: event.as_deref(),
        earlier,
        waiting,
        endpoint: state.queue.endpoint(delivery.subscription),
        now,
    }))
}

/// The nearest earlier delivery of the same action that waits, if it is among those looked through.
async fn earlier_of(state: &ApiState, delivery: &Delivery, event: &Event) -> Result<Option<DeliveryId>, StoreError> {
    let Some(action) = event.data.scalar("ActionId") else { return Ok(None) };
    let query = DeliveryQuery {
        subscription: Some(delivery.subscription),
        // One in flight is waited for too.
        states: vec![StateName::Pending, StateName::Leased],
        before: Some(delivery.id),
        limit: EARLIER_SEEN_MAX,
        ..DeliveryQuery::default()
    };
    let pending = state.queue.deliveries(&query).await?.items;
    for other in pending {
        let same =
            state.queue.event(other.id.event()).await?.and_then(|event| event.data.scalar("ActionId")).is_some_and(|id| id == action);
        if same {
            return Ok(Some(other.id));
        }
    }
    Ok(None)
}

/// The sentence.
pub(super) fn explain(facts: &Facts<'_>) -> String {
    let Facts { delivery, subscription, .. } = facts;
    let number = delivery.attempts;
    let id = delivery.id;
    match delivery.state {
        DeliveryState::Pending { due_at } => match subscription {
            None => "its subscription was deleted; it ends as cancelled within moments".into(),
            Some(subscription) => pending(facts, subscription, due_at),
        },
        DeliveryState::Leased { until } => {
            format!("attempt {} is under way; its answer comes by {until}, or it counts as timed out", number + 1)
        }
        DeliveryState::Delivered { at } => format!("delivered at {at} by attempt {number}{}", reason(facts)),
        DeliveryState::Dead { at, reason: why } => {
            let again = if subscription.is_some() {
                format!("; when that is mended, `POST /v1/deliveries/{id}/retry` sends it")
            } else {
                "; its subscription was deleted, so it cannot be sent any more".into()
            };
            match why {
                DeadReason::Refused => format!("given up at {at}: attempt {number} was refused for good{}{again}", reason(facts)),
                DeadReason::Exhausted => {
                    let outcome = delivery.last_outcome.map(|outcome| format!(", the last one ended as `{outcome}`")).unwrap_or_default();
                    format!("given up at {at} after {number} attempts{outcome}{}{again}", reason(facts))
                }
                DeadReason::NotSendable => format!("given up at {at}: no request could be sent{}{again}", reason(facts)),
            }
        }
        DeliveryState::Cancelled { at } => match subscription {
            Some(_) => format!("cancelled by a person at {at}; it is not sent any more"),
            None => format!("cancelled at {at}; its subscription was deleted"),
        },
    }
}

fn reason(facts: &Facts<'_>) -> String {
    facts.last.filter(|last| !last.reason.is_empty()).map(|last| format!(" ({})", last.reason)).unwrap_or_default()
}

fn pending(facts: &Facts<'_>, subscription: &Subscription, due_at: Timestamp) -> String {
    let mut sentence = match facts.last {
        Some(last) if last.next_due_at == Some(due_at) => {
            let retries = subscription.spec.retry.attempts.saturating_sub(1);
            let due = if due_at > facts.now { format!("is due at {due_at}") } else { format!("has been due since {due_at}") };
            format!("attempt {} ended as `{}`{}; retry {} of {retries} {due}", last.number, last.outcome, reason(facts), last.number)
        }
        Some(last) => {
            format!("attempt {} ended as `{}`{}; a person made it due again at {due_at}", last.number, last.outcome, reason(facts))
        }
        None if due_at > facts.now => first_wait(facts, subscription, due_at),
        None => format!("due since {due_at}"),
    };
    let holds = holds(facts, subscription, due_at);
    if !holds.is_empty() {
        sentence.push_str("; ");
        sentence.push_str(&holds.join("; "));
    }
    sentence
}

fn first_wait(facts: &Facts<'_>, subscription: &Subscription, due_at: Timestamp) -> String {
    let delay = subscription.spec.minimum_delay_s;
    let by_delay = facts.event.is_some_and(|event| event.occurred_at.after(subscription.rules.minimum_delay) == due_at);
    if by_delay && delay > 0.0 {
        format!("waits for the minimum delay of {delay} s after the event and is due at {due_at}")
    } else {
        format!("waits for its first attempt, which is due at {due_at}")
    }
}

/// What holds it back beside its due time.
fn holds(facts: &Facts<'_>, subscription: &Subscription, due_at: Timestamp) -> Vec<String> {
    let mut holds = Vec::new();
    if facts.delivery.behind {
        holds.push(match facts.earlier {
            Some(earlier) => format!("before it goes {earlier} of the same action, until that is delivered, dead or cancelled"),
            None => "before it goes an earlier one of the same action, until that is delivered, dead or cancelled".into(),
        });
    }
    if subscription.spec.state == SubscriptionState::Paused {
        holds.push("the subscription is paused, so it waits until that is resumed".into());
    } else if let Some(since) = facts.endpoint.failing_since {
        let next = facts.endpoint.next_probe_at.map(|at| format!("; the next may go at {}", at.max(facts.now))).unwrap_or_default();
        holds.push(format!("the receiver has been failing since {since}, so it is sent one request an interval{next}"));
    } else if due_at <= facts.now && !facts.delivery.behind {
        let is_counted = subscription.spec.rate_scope == RateScope::All || facts.delivery.attempts > 0;
        holds.push(match subscription.spec.max_requests_per_second.filter(|_| is_counted) {
            Some(rate) => format!("the subscription sends at most {rate} requests a second, and {} of its deliveries wait", facts.waiting),
            None => format!("it goes in its turn among the {} deliveries that wait for the subscription", facts.waiting),
        });
    }
    holds
}
