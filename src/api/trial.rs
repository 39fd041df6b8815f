//! One request made to see what happens: nothing is stored, nothing follows.

use std::sync::Arc;

use crate::attempt::{Attempt, Exchange, Failure, SentRequest};
use crate::clock::Clock;
use crate::delivery::judge;
use crate::event::{Event, EventData, EventType};
use crate::id::{AttemptId, DeliveryId, EventId};
use crate::request::send::{Outgoing, Transport};
use crate::request::{BuildError, DeliveryFacts, RequestTemplate};
use crate::subscription::{FieldNames, Subscription};

/// What is tried.
#[derive(Debug)]
pub struct Trial<'a> {
    /// The subscription.
    pub subscription: &'a Subscription,
    /// The macro names its templates may use.
    pub names: &'a FieldNames,
    /// The type of the event.
    pub event_type: EventType,
    /// The macro values.
    pub data: Arc<EventData>,
    /// Raw ids for the event that is made up for this, and for the attempt.
    pub ids: (u128, u128),
}

impl Trial<'_> {
    /// The request that would be sent.
    ///
    /// # Errors
    /// [`BuildError`] if the template does not render for this event.
    pub fn build(&self, clock: &dyn Clock) -> Result<SentRequest, BuildError> {
        let now = clock.now();
        let event = Event {
            id: EventId::from_raw(self.ids.0),
            account: self.subscription.spec.account.clone(),
            event_type: self.event_type.clone(),
            key: None,
            occurred_at: now,
            received_at: now,
            data: self.data.clone(),
        };
        let facts = DeliveryFacts { id: DeliveryId::of(event.id, 1), attempt: 1, at: now };
        RequestTemplate::compile(&self.subscription.spec.request, self.names)?.build(&event, &facts)
    }
}

/// Renders, sends once and judges. The attempt is returned, whatever its outcome.
pub async fn try_once(trial: Trial<'_>, transport: &dyn Transport, clock: &dyn Clock) -> Attempt {
    let subscription = trial.subscription;
    let built = trial.build(clock);
    let (started_at, started) = (clock.now(), clock.instant());
    let (request, exchange) = match built {
        Ok(request) => {
            let exchange = transport.send(Outgoing::new(&request, subscription.rules.timeout)).await;
            (Some(request), exchange)
        }
        Err(error) => (None, Exchange::Failed(Failure::from(error))),
    };
    let rules = &subscription.rules;
    let profile = subscription.spec.retry.profile;
    let judgement = judge(&exchange, rules.success_response.as_ref(), rules.error_response.as_ref(), profile, clock.now());
    let response = match exchange {
        Exchange::Answered(mut response) => {
            response.shorten(8 * 1024);
            Some(response)
        }
        Exchange::Failed(_) => None,
    };
    Attempt {
        id: AttemptId::from_raw(trial.ids.1),
        number: 1,
        started_at,
        duration_ms: u64::try_from(clock.instant().duration_since(started).as_millis()).unwrap_or(u64::MAX),
        outcome: judgement.outcome,
        reason: judgement.reason,
        request,
        response,
        possible_repeat: false,
        next_due_at: None,
    }
}
