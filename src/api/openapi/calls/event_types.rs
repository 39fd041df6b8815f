//! What is said of the calls about event types.

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::super::operation::{Operation, Tag};
use super::super::schemas::Text;
use crate::api::event_types::NewEventType;
use crate::clock::Timestamp;
use crate::event::{AccountId, EventType, IdempotencyKey};

/// What can happen, built in or registered by an operator.
#[derive(JsonSchema)]
#[schemars(rename = "EventTypeEntry")]
#[expect(dead_code, reason = "it stands for its schema; the server puts entries of both kinds together")]
struct Entry {
    r#type: EventType,
    /// The family it belongs to, by which accounts may be kept from it.
    family: String,
    /// The family for people.
    family_label: String,
    /// What happened.
    description: String,
    fields: Vec<EntryField>,
    /// Whether an operator registered it.
    operator_defined: bool,
    /// Whether wildcards match it; if not, a subscription must name it.
    wildcard: bool,
    /// When it was registered; null if it is built in.
    created_at: Option<Timestamp>,
}

/// A field that events of a type carry.
#[derive(JsonSchema)]
#[schemars(rename = "EventTypeField")]
#[expect(dead_code, reason = "it stands for its schema; the server puts fields of both kinds together")]
struct EntryField {
    name: String,
    /// How the value is to be read: `text`, `integer`, `decimal`, `boolean`, `date`, `url` or `list`.
    r#type: String,
    meaning: String,
    /// A value.
    example: Value,
    /// Who fills it in.
    provider: FieldProvider,
    /// The fields of each entry of a list.
    #[schemars(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<EntryField>>,
}

/// Who fills a field in.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for its schema")]
enum FieldProvider {
    /// Who reports the event.
    Sender,
    /// The dispatcher.
    System,
}

/// An event as it is reported.
#[derive(JsonSchema)]
#[schemars(rename = "SampleEvent")]
#[expect(dead_code, reason = "it stands for its schema; samples come from the catalogue")]
struct Sample {
    account: AccountId,
    r#type: EventType,
    key: IdempotencyKey,
    occurred_at: Timestamp,
    data: Map<String, Value>,
}

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_event_types", Tag::EventTypes, "List event types")
        .describe("All of them on one page, the built-in ones first.")
        .query::<Text>("family", "Only those of this family.")
        .lists::<Entry>("The event types.")
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("create_event_type", Tag::EventTypes, "Register an event type")
        .takes::<NewEventType>("The event type.")
        .example(r#"{"type": "lead.qualified", "description": "A lead was found to be good.", "fields": [{"name": "LeadScore", "type": "integer", "meaning": "From 0 to 100.", "example": "80"}]}"#)
        .answers::<Entry>(201, "The event type.")
        .fails(&["event_type_exists", "too_many_event_types", "conflict"])
        .writes_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_event_type", Tag::EventTypes, "Read an event type")
        .path::<EventType>("type", "The event type.")
        .answers::<Entry>(200, "The event type.")
        .fails(&["invalid_input"])
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("delete_event_type", Tag::EventTypes, "Delete an event type")
        .describe("Only one that an operator registered and that no subscription needs.")
        .path::<EventType>("type", "The event type.")
        .answers_nothing("It is gone.")
        .fails(&["event_type_built_in", "event_type_in_use"])
        .writes_store()
}

pub(in crate::api) fn sample() -> Operation {
    Operation::new("get_sample_event", Tag::EventTypes, "Read a sample event")
        .path::<EventType>("type", "The event type.")
        .query::<bool>("hostile", "With values that break careless templates.")
        .query::<AccountId>("account", "Whose event it is to be.")
        .answers::<Sample>(200, "An event that can be reported.")
}
