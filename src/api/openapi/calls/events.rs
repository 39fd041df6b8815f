//! What is said of the calls about events.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::operation::{Operation, Tag};
use super::super::schemas::{AnyHeader, KeyHeader, Lines, OneOf};
use crate::api::events::{AcceptedBody, AcceptedMany, EVENTS_MAX, EventBody, EventJson};
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::event::EventType;
use crate::id::{DeliveryId, EventId, SubscriptionId};

/// What has neither blanks nor control characters, as a pattern.
const NO_BLANKS: &str = r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$";

/// One event, or several.
struct NewEvents;

impl JsonSchema for NewEvents {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NewEvents".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let event = generator.subschema_for::<EventBody<'static>>();
        json_schema!({"oneOf": [event, {"type": "array", "items": event, "minItems": 1, "maxItems": EVENTS_MAX}]})
    }
}

/// A `CloudEvent`, whose `source` and `id` are the key, and `time` is when it happened.
struct CloudEvent;

impl JsonSchema for CloudEvent {
    fn schema_name() -> Cow<'static, str> {
        "CloudEvent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "An event in the JSON format of CloudEvents 1.0. `source` and `id` are its key, `time` is when it happened, and \
                `type` is an event type, also behind a prefix such as `com.example.`.",
            "properties": {
                "specversion": {"const": "1.0"},
                "id": {"type": "string", "minLength": 1},
                "source": {"type": "string", "pattern": NO_BLANKS, "description": "A URI or a path, without blanks."},
                "type": {"type": "string", "minLength": 1},
                "account": {"type": "string", "description": "Whose event; the key's own account if it is left out."},
                "time": {"type": ["string", "null"], "format": "date-time"},
                "datacontenttype": {"type": ["string", "null"]},
                "data": {"type": ["object", "null"], "description": "The macro values."},
                "data_base64": {"type": ["string", "null"], "contentEncoding": "base64"},
            },
            "required": ["specversion", "id", "source", "type"],
            // Extension attributes.
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        })
    }
}

/// What became of one event, or of several.
struct Accepted;

impl JsonSchema for Accepted {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Accepted".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, many) = (generator.subschema_for::<AcceptedBody>(), generator.subschema_for::<AcceptedMany>());
        json_schema!({"oneOf": [one, many]})
    }
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("create_events", Tag::Events, "Report events")
        .describe(
            "One event, an array of 1 to 1,000, one on each line, or CloudEvents 1.0 (structured, batch, or binary, with the attributes \
             in headers `ce-…`). All or nothing: the answer comes when the events and their \
             deliveries are on disk. A key that is known answers with the first event.",
        )
        .header::<KeyHeader>(
            "Idempotency-Key",
            "The key of a single event, as a quoted string or bare; over several, item n (from 0) gets `<header>/<n>`.",
        )
        .header::<AnyHeader>(
            "traceparent",
            "The trace in which it happened (W3C Trace Context); kept with the events and passed on to receivers that ask for it.",
        )
        .takes::<NewEvents>("What happened.")
        .or::<Lines>("application/x-ndjson")
        .or::<CloudEvent>("application/cloudevents+json")
        .or::<Vec<CloudEvent>>("application/cloudevents-batch+json")
        .example(
            r#"{"account": "acme", "type": "action.tracked", "key": "order-1001-tracked", "occurred_at": "2026-11-22T10:00:00Z", "data": {"ActionId": "1000.4636.158133", "Status": "PENDING", "Payout": 5.00, "items": [{"sku": "A-1"}]}}"#,
        )
        .answers::<Accepted>(202, "The event, or all of them in the order in which they came, with what is owed for each.")
        .fails(&["unsupported_media_type", "unknown_account", "unknown_event_type", "key_reused", "queue_full"])
        .writes_store()
        .leads_to("get_delivery", "$response.body#/deliveries/0")
}

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_events", Tag::Events, "List events")
        .describe("A parameter `data.<Field>` shows only events whose field has this value, as text.")
        .of_account()
        .query::<OneOf<EventType>>("type", "Only events of one of these types.")
        .query::<Timestamp>("since", "Received from this time on.")
        .query::<Timestamp>("until", "Received up to this time.")
        .page()
        .lists::<EventJson>("A page of events.")
        .reads_store()
}

/// Why a subscription was or was not sent an event.
#[derive(JsonSchema)]
#[schemars(rename = "RoutingEntry")]
#[expect(dead_code, reason = "it stands for its schema")]
struct RoutingAnswer {
    subscription: SubscriptionId,
    /// Its name; null if it was deleted.
    name: Option<String>,
    sent: bool,
    /// Stable code of the reason.
    code: String,
    /// The reason, in one sentence.
    why: String,
    /// Of when that is known: `then`, when the event was accepted, or `now`.
    known: String,
    delivery: Option<DeliveryId>,
    /// Of the delivery.
    state: Option<StateName>,
}

pub(in crate::api) fn routing() -> Operation {
    Operation::new("get_event_routing", Tag::Events, "Read why an event was sent to whom")
        .path::<EventId>("id", "The event.")
        .page()
        .lists::<RoutingAnswer>("A page of the account's subscriptions.")
        .reads_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_event", Tag::Events, "Read an event and its deliveries")
        .path::<EventId>("id", "The event.")
        .answers::<EventJson>(200, "The event.")
        .reads_store()
}
