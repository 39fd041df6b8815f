//! Events about deliveries themselves: `subscription.failing`, `subscription.recovered`, `delivery.dead`.
//!
//! They go the way of every other event, into the account they are about, if a subscription of it names
//! them. Nothing is told about the deliveries of such events, and no subscription is told about itself:
//! a receiver that fails would otherwise be sent one more event with every failure.

use serde_json::json;

use super::{EmitError, IncomingEvent, Queue};
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::event::catalogue::{self, Family};
use crate::event::{EventData, EventType};
use crate::id::{DeliveryId, SubscriptionId};
use crate::subscription::Subscription;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A receiver fails so often that it is only probed.
    Failing,
    /// A receiver that was failing delivers again.
    Recovered,
    /// A delivery was given up.
    Dead,
}

impl Operation {
    const fn event_type(self) -> &'static str {
        match self {
            Self::Failing => "subscription.failing",
            Self::Recovered => "subscription.recovered",
            Self::Dead => "delivery.dead",
        }
    }
}

/// Something that happened to a subscription or a delivery, with the attempt that brought it.
#[derive(Debug, Clone)]
pub struct OperationReport {
    /// What.
    pub operation: Operation,
    /// To which subscription.
    pub subscription: SubscriptionId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The type of its event.
    pub event_type: EventType,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// Which attempt of the delivery it was.
    pub attempts: u32,
    /// Why; empty after a success.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Longest reason that is passed on, in characters.
const REASON_MAX: usize = 500;

impl Queue {
    /// Tells the subscriptions that name this type of event; does nothing if there is none, or if it
    /// must not be told.
    ///
    /// # Errors
    /// [`EmitError`] if the event was not stored.
    pub async fn report(&self, report: &OperationReport) -> Result<(), EmitError> {
        let about_operation = catalogue::find(report.event_type.as_str()).is_some_and(|entry| entry.family == Family::Operation);
        let registry = self.registry();
        let Some(subscription) = registry.subscription(report.subscription).filter(|_| !about_operation) else { return Ok(()) };
        let event_type: EventType = report.operation.event_type().parse().expect("this is an event type");
        let wants = |other: &Subscription| {
            other.id != subscription.id && other.rules.event_types.iter().any(|pattern| pattern.matches(&event_type))
        };
        if !registry.subscriptions_of(&subscription.spec.account).any(wants) {
            return Ok(());
        }
        let event = IncomingEvent {
            account: subscription.spec.account.clone(),
            event_type: event_type.clone(),
            key: key(report).parse().ok(),
            occurred_at: Some((report.at.to_string(), report.at)),
            data: self.operation_data(report, subscription).await,
        };
        self.accept_but(vec![event], |_| true, Some(subscription.id)).await.map(drop)
    }

    async fn operation_data(&self, report: &OperationReport, subscription: &Subscription) -> EventData {
        // Without its event, a delivery is about no action that anybody knows.
        let event = self.event(report.delivery.event()).await.ok().flatten();
        let action = event.and_then(|event| event.data.scalar("ActionId")).unwrap_or_default();
        let data = json!({
            "SubscriptionId": report.subscription,
            "SubscriptionName": subscription.spec.name,
            "DeliveryId": report.delivery,
            "EventId": report.delivery.event(),
            "ActionId": action,
            "Outcome": report.outcome,
            "Attempts": report.attempts,
            "Reason": report.reason.chars().take(REASON_MAX).collect::<String>(),
            "EventDate": report.at,
        });
        EventData::parse(&data.to_string()).expect("the fields are those of the catalogue")
    }
}

/// The same for the same happening, so that telling it twice makes one event.
fn key(report: &OperationReport) -> String {
    match report.operation {
        Operation::Failing => format!("{}:failing:{}", report.subscription, report.at.unix_ms()),
        Operation::Recovered => format!("{}:recovered:{}", report.subscription, report.at.unix_ms()),
        Operation::Dead => format!("{}:dead:{}", report.delivery, report.attempts),
    }
}
