//! The event of a trial: what a caller gave, or a sample of a type.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::ApiError;
use super::problem::Invalid;
use crate::event::{AccountId, EventData, EventType, EventTypePattern, catalogue};
use crate::queue::Registry;
use crate::subscription::Subscription;

/// An event as a caller gives it for a trial: a whole one as `POST /v1/events` takes it, or its parts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialEvent {
    /// Whose; used where names have to be looked up and nothing else tells.
    #[serde(default)]
    pub account: Option<AccountId>,
    #[serde(default, rename = "type")]
    pub event_type: Option<EventType>,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    #[expect(dead_code, reason = "taken, so that an event need not be changed to be tried")]
    key: Option<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "taken, so that an event need not be changed to be tried")]
    occurred_at: Option<String>,
}

impl JsonSchema for TrialEvent {
    fn schema_name() -> Cow<'static, str> {
        "TrialEvent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "An event as it is reported, of which every part may be left out, or bare data: an object without an object `data`.",
        })
    }
}

impl TrialEvent {
    /// Reads an event or parts of one, or bare data: what has other names than an event, or neither `type` nor
    /// an object `data`. `base` is where it stands.
    pub fn read(text: &str, base: &str) -> Result<Self, ApiError> {
        let parts: Map<String, Value> = super::body::read(text, base)?;
        let only_parts = parts.keys().all(|name| ["account", "type", "key", "occurred_at", "data"].contains(&name.as_str()));
        if parts.get("data").is_some_and(Value::is_object) || (only_parts && parts.contains_key("type")) {
            return super::body::read(text, base);
        }
        let data = RawValue::from_string(text.to_owned()).map_err(|error| super::body::malformed(&error))?;
        Ok(Self { data: Some(data), ..Self::default() })
    }

    /// The text of its data, with every digit.
    pub fn data_text(&self) -> Option<&str> {
        self.data.as_deref().map(RawValue::get)
    }

    /// Its data, or those of the sample of `event_type`. `base` is where the event stands.
    pub fn data_or_sample(&self, event_type: &EventType, registry: &Registry, base: &str) -> Result<Arc<EventData>, ApiError> {
        let data = match self.data_text() {
            Some(text) => EventData::parse(text).map_err(|error| (format!("{base}/data{}", error.pointer), error)),
            None => {
                let sample = sample_data(event_type, registry).ok_or_else(|| no_sample(event_type, &format!("{base}/type")))?;
                EventData::parse(&Value::Object(sample).to_string()).map_err(|error| (format!("{base}/type"), error))
            }
        };
        data.map(Arc::new).map_err(|(pointer, error)| ApiError::invalid(vec![Invalid::new(pointer, error.code, error.detail)]))
    }
}

/// The `data` of a sample event of a built-in or operator-defined type.
pub(super) fn sample_data(event_type: &EventType, registry: &Registry) -> Option<Map<String, Value>> {
    catalogue::sample(event_type.as_str()).or_else(|| registry.event_type(event_type).map(|defined| defined.sample()))
}

pub(super) fn no_sample(event_type: &EventType, pointer: &str) -> ApiError {
    let detail = format!(
        "event type `{event_type}` is not registered, so there is no sample of it; send `event` with `data`, or see `GET /v1/event-types`"
    );
    ApiError::invalid(vec![Invalid::new(pointer, "no_sample", detail)])
}

/// The first type that a subscription wants, exact names before wildcards, built-in types before others.
pub(super) fn first_type(subscription: &Subscription, registry: &Registry) -> EventType {
    let patterns = &subscription.rules.event_types;
    let exact = patterns.iter().find_map(|pattern| match pattern {
        EventTypePattern::Exact(event_type) => Some(event_type.clone()),
        _ => None,
    });
    let is_wanted = |event_type: &EventType| patterns.iter().any(|pattern| pattern.matches(event_type));
    let built_in = || catalogue::types().filter_map(|entry| entry.name.parse().ok()).find(is_wanted);
    let defined = || registry.event_types().map(|defined| defined.name.clone()).find(is_wanted);
    exact.or_else(built_in).or_else(defined).unwrap_or_else(test_ping)
}

fn test_ping() -> EventType {
    "test.ping".parse().expect("this is an event type")
}
