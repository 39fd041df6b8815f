//! What is said of the calls about subscriptions.
//!
//! An answer is put together from the stored form and a change is read in two steps, so that their schemas
//! are declared here; `tests/it` compares them with what the server says.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::super::operation::{Operation, Tag};
use crate::api::deliveries::AttemptJson;
use crate::api::page::Listed;
use crate::api::subscriptions::{READ_ONLY, TestBody};
use crate::clock::Timestamp;
use crate::id::SubscriptionId;
use crate::subscription::{SubscriptionSpec, SubscriptionState};

/// A subscription as callers read it.
#[derive(JsonSchema)]
#[schemars(rename = "Subscription")]
#[expect(dead_code, reason = "it stands for its schema")]
struct SubscriptionAnswer {
    id: SubscriptionId,
    #[schemars(flatten)]
    spec: SubscriptionSpec,
    /// Counts the changes, from 1; the `ETag`.
    version: u32,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// What is allowed and probably not meant; in answers to changes.
    #[schemars(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<Warning>>,
}

/// Something that is allowed and probably not meant.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it stands for its schema")]
struct Warning {
    /// JSON pointer to the field.
    pointer: String,
    /// Stable code.
    code: String,
    /// What may go wrong and what to do.
    detail: String,
}

/// The properties that the server sets and that a caller may send back.
fn read_only() -> impl Iterator<Item = (String, Value)> {
    READ_ONLY.iter().map(|name| {
        ((*name).to_owned(), Value::from(Map::from_iter([("description".to_owned(), "Set by the server; left as it is.".into())])))
    })
}

/// A whole subscription that replaces another.
struct Replacement;

impl JsonSchema for Replacement {
    fn schema_name() -> Cow<'static, str> {
        "SubscriptionReplacement".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = SubscriptionSpec::json_schema(generator);
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.extend(read_only());
        }
        schema
    }
}

/// A JSON Merge Patch: what is left out stays, null gives a field its default, objects are merged.
struct Patch;

impl JsonSchema for Patch {
    fn schema_name() -> Cow<'static, str> {
        "SubscriptionPatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = SubscriptionSpec::json_schema(generator);
        let field = |name: &str| whole.get(name).cloned().unwrap_or_default();
        let required = field("required");
        let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|required| required == name));
        let mut properties = Map::new();
        for (name, schema) in field("properties").as_object().into_iter().flatten() {
            let schema = match (is_object(schema, generator), is_required(name)) {
                (true, true) => json_schema!({"type": "object"}).to_value(),
                (true, false) => json_schema!({"type": ["object", "null"]}).to_value(),
                (false, true) => schema.clone(),
                (false, false) if schema["type"].as_array().is_some_and(|types| types.iter().any(|name| name == "null")) => schema.clone(),
                (false, false) => json_schema!({"anyOf": [schema, {"type": "null"}]}).to_value(),
            };
            properties.insert(name.clone(), schema);
        }
        properties.extend(read_only());
        json_schema!({
            "type": "object",
            "description": "What is left out stays, null gives a field its default, objects are merged (RFC 7396).",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// Whether a property's values are objects, which a patch may name in part.
fn is_object(schema: &Value, generator: &SchemaGenerator) -> bool {
    let named = schema["$ref"].as_str().and_then(|target| generator.definitions().get(target.rsplit('/').next()?));
    named.unwrap_or(schema)["type"] == "object"
}

const EXAMPLE: &str = r#"{"account": "acme", "name": "Clearing events to our tracker", "event_types": ["action.cleared"], "where": {"CampaignId": ["1000", "1001"]}, "request": {"method": "POST", "url": "https://tracker.example/postback?cid={SubId1}", "headers": [{"name": "X-Campaign", "value": "{CampaignId}"}], "body_format": "json", "body": "{\"action_id\": \"{ActionId}\"}"}, "minimum_delay_s": 60, "max_requests_per_second": 20, "success_response": "contains:OK"}"#;

const ETAG: (&str, &str) = ("ETag", "The version, for `If-Match`.");

/// Codes with which a whole subscription can be refused.
const OF_SPECS: &[&str] = &["invalid_input", "unknown_account", "conflict"];

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_subscriptions", Tag::Subscriptions, "List subscriptions")
        .of_account()
        .query::<SubscriptionState>("state", "Only those in this state.")
        .page()
        .answers::<Listed<SubscriptionAnswer>>(200, "A page of subscriptions.")
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("create_subscription", Tag::Subscriptions, "Create a subscription")
        .takes::<SubscriptionSpec>("The subscription. What is left out has its default.")
        .example(EXAMPLE)
        .answers::<SubscriptionAnswer>(201, "The subscription, with warnings.")
        .with_header(ETAG.0, ETAG.1)
        .fails(OF_SPECS)
        .writes_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_subscription", Tag::Subscriptions, "Read a subscription")
        .path::<SubscriptionId>("id", "The subscription.")
        .answers::<SubscriptionAnswer>(200, "The subscription.")
        .with_header(ETAG.0, ETAG.1)
}

pub(in crate::api) fn replace() -> Operation {
    Operation::new("replace_subscription", Tag::Subscriptions, "Replace a subscription")
        .path::<SubscriptionId>("id", "The subscription.")
        .if_match()
        .takes::<Replacement>("The whole subscription. What is left out has its default again.")
        .example(EXAMPLE)
        .answers::<SubscriptionAnswer>(200, "The subscription, with warnings.")
        .with_header(ETAG.0, ETAG.1)
        .fails(OF_SPECS)
        .fails(&["order_has_waiting"])
        .writes_store()
}

pub(in crate::api) fn patch() -> Operation {
    Operation::new("change_subscription", Tag::Subscriptions, "Change a subscription in part")
        .path::<SubscriptionId>("id", "The subscription.")
        .if_match()
        .takes_only::<Patch>(&["application/merge-patch+json", "application/json"], "What changes.")
        .example(r#"{"max_requests_per_second": 5, "request": {"method": "POST"}}"#)
        .answers::<SubscriptionAnswer>(200, "The subscription, with warnings.")
        .with_header(ETAG.0, ETAG.1)
        .fails(OF_SPECS)
        .fails(&["order_has_waiting"])
        .writes_store()
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("delete_subscription", Tag::Subscriptions, "Delete a subscription")
        .describe("Its waiting deliveries end as cancelled.")
        .path::<SubscriptionId>("id", "The subscription.")
        .if_match()
        .answers_nothing("It is gone.")
        .fails(&["conflict"])
        .writes_store()
}

pub(in crate::api) fn pause() -> Operation {
    Operation::new("pause_subscription", Tag::Subscriptions, "Pause a subscription")
        .describe("Nothing is sent; its deliveries wait.")
        .path::<SubscriptionId>("id", "The subscription.")
        .answers::<SubscriptionAnswer>(200, "The subscription.")
        .with_header(ETAG.0, ETAG.1)
        .fails(&["conflict"])
        .writes_store()
}

pub(in crate::api) fn resume() -> Operation {
    Operation::new("resume_subscription", Tag::Subscriptions, "Resume a subscription")
        .path::<SubscriptionId>("id", "The subscription.")
        .answers::<SubscriptionAnswer>(200, "The subscription.")
        .with_header(ETAG.0, ETAG.1)
        .fails(&["conflict"])
        .writes_store()
}

pub(in crate::api) fn test() -> Operation {
    Operation::new("test_subscription", Tag::Subscriptions, "Send once, to see what happens")
        .describe("Renders and sends one request. Nothing is stored and nothing follows.")
        .path::<SubscriptionId>("id", "The subscription.")
        .may_take::<TestBody>("The event; a sample of the first event type if it is left out.")
        .example(r#"{"event": {"type": "action.tracked", "data": {"ActionId": "1000.4636.158133"}}}"#)
        .answers::<AttemptJson>(200, "The attempt, whatever its outcome.")
}
