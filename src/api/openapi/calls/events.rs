//! What is said of the calls about events.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::operation::{Operation, Tag};
use super::super::schemas::{KeyHeader, Lines};
use crate::api::events::{AcceptedBody, AcceptedMany, EVENTS_MAX, EventBody, EventJson};
use crate::api::page::Listed;
use crate::clock::Timestamp;
use crate::event::EventType;
use crate::id::EventId;

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
            "One event, an array of 1 to 1,000, or one on each line. All or nothing: the answer comes when the events and their \
             deliveries are on disk. A key that is known answers with the first event.",
        )
        .header::<KeyHeader>(
            "Idempotency-Key",
            "The key of a single event, as a quoted string or bare; over several, item n (from 0) gets `<header>/<n>`.",
        )
        .takes::<NewEvents>("What happened.")
        .or::<Lines>("application/x-ndjson")
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
        .query::<EventType>("type", "Only events of this type.")
        .query::<Timestamp>("since", "Received from this time on.")
        .query::<Timestamp>("until", "Received up to this time.")
        .page()
        .answers::<Listed<EventJson>>(200, "A page of events.")
        .reads_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_event", Tag::Events, "Read an event and its deliveries")
        .path::<EventId>("id", "The event.")
        .answers::<EventJson>(200, "The event.")
        .reads_store()
}
