//! What is told of an accepted event and of an attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::attempt::{Attempt, Outcome};
use crate::clock::Timestamp;
use crate::event::{AccountId, EventType, TraceContext};
use crate::id::{DeliveryId, EventId, SubscriptionId};

/// Most spans that wait to be sent.
const WAITING_MAX: usize = 4_096;

/// One span, as it is sent.
#[derive(Debug)]
pub struct Span(pub(super) Value);

/// Takes spans; they are dropped and counted if too many wait.
#[derive(Debug, Clone)]
pub struct Spans {
    sender: Sender<Span>,
    dropped: Arc<AtomicU64>,
}

impl Spans {
    /// A place for spans, and where they come out.
    #[must_use]
    pub fn new() -> (Self, Receiver<Span>) {
        let (sender, receiver) = channel(WAITING_MAX);
        (Self { sender, dropped: Arc::default() }, receiver)
    }

    /// How many were dropped since this was asked last.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Tells of an event that was accepted at `at`.
    pub fn accepted(&self, id: EventId, (account, event_type): (&AccountId, &EventType), reported_in: Option<TraceContext>, at: Timestamp) {
        if reported_in.is_some_and(|reported| !reported.is_sampled) {
            return;
        }
        let attributes = vec![
            text("postrider.event", &id.to_string()),
            text("postrider.account", account.as_str()),
            text("postrider.event_type", event_type.as_str()),
        ];
        self.put(json!({
            "traceId": format!("{:032x}", reported_in.map_or_else(|| id.raw(), |reported| reported.trace)),
            "spanId": format!("{:016x}", span_of(id)),
            "parentSpanId": reported_in.map_or_else(String::new, |reported| format!("{:016x}", reported.span)),
            "name": "accept",
            "kind": 4,
            "startTimeUnixNano": nanoseconds(at, Duration::ZERO),
            "endTimeUnixNano": nanoseconds(at, Duration::ZERO),
            "attributes": attributes,
        }));
    }

    /// Tells of an attempt that was made as the span `own`, for an event that was reported in `reported_in`.
    pub fn attempted(
        &self,
        own: TraceContext,
        reported_in: Option<TraceContext>,
        (subscription, delivery): (SubscriptionId, DeliveryId),
        attempt: &Attempt,
        took: Duration,
    ) {
        if reported_in.is_some_and(|reported| !reported.is_sampled) {
            return;
        }
        let mut attributes = vec![
            text("postrider.event", &delivery.event().to_string()),
            text("postrider.delivery", &delivery.to_string()),
            text("postrider.subscription", &subscription.to_string()),
            number("postrider.attempt", attempt.number.into()),
            text("postrider.outcome", attempt.outcome.as_str()),
        ];
        if let Some(request) = &attempt.request {
            attributes.push(text("http.request.method", &request.method));
            let host = url::Url::parse(&request.url).ok().and_then(|url| url.host_str().map(str::to_owned));
            attributes.extend(host.map(|host| text("server.address", &host)));
        }
        attributes.extend(attempt.response.as_ref().map(|response| number("http.response.status_code", response.status.into())));
        let status =
            if attempt.outcome == Outcome::Delivered { json!({}) } else { json!({"code": 2, "message": attempt.outcome.as_str()}) };
        self.put(json!({
            "traceId": format!("{:032x}", own.trace),
            "spanId": format!("{:016x}", own.span),
            "parentSpanId": format!("{:016x}", span_of(delivery.event())),
            "name": "send",
            "kind": 3,
            "startTimeUnixNano": nanoseconds(attempt.started_at, Duration::ZERO),
            "endTimeUnixNano": nanoseconds(attempt.started_at, took),
            "attributes": attributes,
            "status": status,
        }));
    }

    fn put(&self, span: Value) {
        if self.sender.try_send(Span(span)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The span in which an event was accepted; attempts are below it, also after a restart.
fn span_of(event: EventId) -> u64 {
    let raw = event.raw();
    (((raw >> 64) as u64).rotate_left(32) ^ (raw as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1)
}

/// Source: OTLP, section 2.1.3: whole numbers of 64 bits are texts in JSON.
fn nanoseconds(at: Timestamp, after: Duration) -> String {
    (i128::from(at.unix_ms()) * 1_000_000 + after.as_nanos().cast_signed()).max(0).to_string()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}
