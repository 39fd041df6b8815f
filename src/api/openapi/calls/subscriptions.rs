//! What is said of the calls about subscriptions.
//!
//! An answer is put together from the stored form and a change is read in two steps, so that their schemas
//! are declared here; `tests/it` compares them with what the server says.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::super::operation::{Operation, Tag};
use super::super::schemas::{OneOf, merge_patch, read_only};
use crate::api::deliveries::AttemptJson;
use crate::api::deliveries::RequestJson;
use crate::api::preview::DraftBody;
use crate::api::problem::Invalid;
use crate::api::subscriptions::{READ_ONLY, RotateBody, TestBody};
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::event::EventType;
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
    health: HealthAnswer,
    /// What is allowed and probably not meant; in answers to changes.
    #[schemars(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<Warning>>,
    /// The key of signatures, in the answer that made it and in no other.
    #[schemars(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
}

/// How the receiver is doing.
#[derive(JsonSchema)]
#[schemars(rename = "EndpointHealth")]
#[expect(dead_code, reason = "it stands for its schema")]
struct HealthAnswer {
    state: HealthState,
    /// Since when it is failing; null if it is not.
    since: Option<Timestamp>,
    consecutive_failures: u64,
    last_outcome: Option<Outcome>,
    /// When a failing receiver is tried next.
    next_probe_at: Option<Timestamp>,
    /// What to do; null for nothing.
    suggestion: Option<String>,
}

/// Whether a receiver answers.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for its schema")]
pub(super) enum HealthState {
    /// As far as is known.
    Healthy,
    /// It has failed many times in a row and is only probed.
    Failing,
}

/// Something that is allowed and probably not meant.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it stands for its schema")]
pub(super) struct Warning {
    /// JSON pointer to the field.
    pointer: String,
    /// Stable code.
    code: String,
    /// What may go wrong and what to do.
    detail: String,
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
            properties.extend(read_only(&READ_ONLY));
        }
        schema
    }
}

/// What changes of a subscription.
struct Patch;

impl JsonSchema for Patch {
    fn schema_name() -> Cow<'static, str> {
        "SubscriptionPatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        merge_patch(&SubscriptionSpec::json_schema(generator), generator, &READ_ONLY)
    }
}

const EXAMPLE: &str = r#"{"account": "acme", "name": "Clearing events to our tracker", "event_types": ["action.cleared"], "where": {"CampaignId": ["1000", "1001"]}, "request": {"method": "POST", "url": "https://tracker.example/postback?cid={SubId1}", "headers": [{"name": "X-Campaign", "value": "{CampaignId}"}], "body_format": "json", "body": "{\"action_id\": \"{ActionId}\"}"}, "minimum_delay_s": 60, "max_requests_per_second": 20, "success_response": "contains:OK"}"#;

const ETAG: (&str, &str) = ("ETag", "The version, for `If-Match`.");

/// Codes with which a whole subscription can be refused.
const OF_SPECS: &[&str] = &["invalid_input", "unknown_account", "conflict"];

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_subscriptions", Tag::Subscriptions, "List subscriptions")
        .of_account()
        .query::<OneOf<SubscriptionState>>("state", "Only those in one of these states.")
        .page()
        .lists::<SubscriptionAnswer>("A page of subscriptions.")
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
        .fails(&["too_many_tests"])
}

pub(in crate::api) fn rotate_signing() -> Operation {
    Operation::new("rotate_signing_key", Tag::Subscriptions, "Replace the key of signatures")
        .describe("Both keys sign for `overlap_s` seconds. The new one is in the answer, and never shown again.")
        .path::<SubscriptionId>("id", "The subscription.")
        .if_match()
        .may_take::<RotateBody>("For how long both keys sign; a key of one's own.")
        .example(r#"{"overlap_s": 3600}"#)
        .answers::<SubscriptionAnswer>(200, "The subscription, with `signing_secret`.")
        .with_header(ETAG.0, ETAG.1)
        .fails(&["not_signed", "conflict"])
        .writes_store()
}

/// What a subscription would send.
#[derive(JsonSchema)]
#[schemars(rename = "SubscriptionPreview")]
#[expect(dead_code, reason = "it stands for its schema")]
struct PreviewAnswer {
    /// The request; null if there is none.
    request: Option<RequestJson>,
    /// What keeps it from being saved or rendered.
    errors: Vec<Invalid>,
    warnings: Vec<Warning>,
    /// Whether the subscription wants the event; null if that could not be told.
    event: Option<PreviewEvent>,
}

/// Whether a subscription wants an event, and why.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it stands for its schema")]
struct PreviewEvent {
    wanted: bool,
    r#type: EventType,
    /// Stable code of the reason.
    code: String,
    /// The reason, in one sentence.
    why: String,
}

const DRAFT: &str = r#"{"subscription": {"account": "acme", "request": {"url": "https://tracker.example/postback?cid={SubId1}"}}, "event_type": "action.tracked"}"#;

pub(in crate::api) fn preview() -> Operation {
    Operation::new("preview_subscription", Tag::Subscriptions, "See what a subscription would send")
        .describe("Nothing is sent or stored. Faults of the subscription are in the answer.")
        .takes::<DraftBody>("The subscription, and the event.")
        .example(DRAFT)
        .answers::<PreviewAnswer>(200, "The request exactly as it would be sent.")
        .fails(&["unknown_account", "unknown_event_type"])
}

pub(in crate::api) fn test_draft() -> Operation {
    Operation::new("test_draft", Tag::Subscriptions, "Send once what a subscription that is not saved would send")
        .describe("Renders and sends one request. Nothing is stored and nothing follows.")
        .takes::<DraftBody>("The subscription, and the event.")
        .example(DRAFT)
        .answers::<AttemptJson>(200, "The attempt, whatever its outcome.")
        .fails(&["unknown_account", "unknown_event_type", "conflict", "too_many_tests"])
}
