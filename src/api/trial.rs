//! One request made to see what happens: nothing is stored, nothing follows.

use std::sync::Arc;
use std::time::Duration;

use crate::attempt::{Attempt, Exchange, Failure, SentRequest};
use crate::clock::Clock;
use crate::delivery::judge;
use crate::event::{Event, EventData, EventType};
use crate::id::{AttemptId, DeliveryId, EventId};
use crate::request::channel::{Carried, Carrier, Channel, Freely, Mask};
use crate::request::send::Transport;
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
    /// The request as its template makes it, without signature and credentials.
    ///
    /// # Errors
    /// [`BuildError`] if the template does not render for this event.
    pub(super) fn build(&self, clock: &dyn Clock) -> Result<SentRequest, BuildError> {
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
        let facts = DeliveryFacts { id: self.delivery(), attempt: 1, at: now };
        RequestTemplate::compile(&self.subscription.spec.request, self.names)?.build(&event, &facts)
    }

    /// The request as it would be recorded: signed, credentials masked. Nothing is sent, and no token fetched.
    ///
    /// # Errors
    /// [`Failure`] if no request comes out of the template, or the subscription's secrets cannot be used.
    pub fn preview(&self, clock: &dyn Clock) -> Result<SentRequest, Failure> {
        let request = self.build(clock)?;
        Channel::open(self.subscription)?.preview(request, self.delivery(), clock.now())
    }

    const fn delivery(&self) -> DeliveryId {
        DeliveryId::of(EventId::from_raw(self.ids.0), 1)
    }
}

/// Renders, sends once and judges. The attempt is returned, whatever its outcome.
pub async fn try_once(trial: Trial<'_>, transport: &dyn Transport, clock: &dyn Clock) -> Attempt {
    let subscription = trial.subscription;
    let built = trial.build(clock).map_err(Failure::from).and_then(|request| Ok((request, Channel::open(subscription)?)));
    let started_at = clock.now();
    let carried = match built {
        Ok((request, channel)) => {
            let carrier = Carrier { transport, clock, timeout: subscription.rules.timeout };
            channel.carry(request, trial.delivery(), carrier, &Freely).await
        }
        Err(failure) => {
            Carried { request: None, started_at, duration: Duration::ZERO, exchange: Exchange::Failed(failure), mask: Mask::default() }
        }
    };
    let rules = &subscription.rules;
    let profile = subscription.spec.retry.profile;
    let mut judgement = judge(&carried.exchange, rules.success_response.as_ref(), rules.error_response.as_ref(), profile, clock.now());
    carried.mask.text(&mut judgement.reason);
    let response = match carried.exchange {
        Exchange::Answered(mut response) => {
            carried.mask.response(&mut response);
            response.shorten(8 * 1024);
            Some(response)
        }
        Exchange::Failed(_) => None,
    };
    Attempt {
        id: AttemptId::from_raw(trial.ids.1),
        number: 1,
        started_at: carried.started_at,
        duration_ms: u64::try_from(carried.duration.as_millis()).unwrap_or(u64::MAX),
        outcome: judgement.outcome,
        reason: judgement.reason,
        request: carried.request,
        response,
        possible_repeat: false,
        next_due_at: None,
    }
}
