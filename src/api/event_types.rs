//! Event types: the built-in ones and those that operators register, with their fields and samples.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::{self, Body};
use super::caller::{Accounts, Caller};
use super::page::{Listed, Parameters, invalid_parameter};
use super::{ApiError, ApiState};
use crate::event::catalogue::{self, DefinedField, DefinedType, Field, FieldType, Provider, TypeEntry};
use crate::event::{AccountId, EventType};
use crate::queue::Registry;

/// When the sample of an operator-defined type happened.
const SAMPLE_OCCURRED_AT: &str = "2024-09-10T17:51:23Z";

fn built_in_json(entry: &TypeEntry) -> Value {
    json!({
        "type": entry.name,
        "family": entry.family.code(),
        "family_label": entry.family.label(),
        "description": entry.summary,
        "fields": entry.fields.iter().map(field_json).collect::<Vec<_>>(),
        "operator_defined": false,
        "wildcard": entry.default_sent,
        "created_at": null,
    })
}

fn field_json(field: &Field) -> Value {
    let example = match field.field_type {
        FieldType::List(_) => serde_json::from_str(field.example).unwrap_or(Value::Null),
        _ => field.example.into(),
    };
    let mut shown = json!({
        "name": field.name,
        "type": field.field_type.label().to_ascii_lowercase(),
        "meaning": field.meaning,
        "example": example,
        "provider": match field.provider {
            Provider::Sender => "sender",
            Provider::System => "system",
        },
    });
    if let Some(items) = field.field_type.item_fields() {
        shown["fields"] = items.iter().map(field_json).collect();
    }
    shown
}

fn defined_json(defined: &DefinedType) -> Value {
    let system = catalogue::types().next().into_iter().flat_map(|entry| entry.fields).filter(|field| field.provider == Provider::System);
    let fields: Vec<Value> = defined.fields.iter().map(defined_field_json).chain(system.map(field_json)).collect();
    json!({
        "type": defined.name,
        "family": defined.family,
        "family_label": defined.family,
        "description": defined.description,
        "fields": fields,
        "operator_defined": true,
        "wildcard": defined.name.is_matched_by_wildcards(),
        "created_at": defined.created_at,
    })
}

fn defined_field_json(field: &DefinedField) -> Value {
    let mut shown = json!({
        "name": field.name,
        "type": field.field_type,
        "meaning": field.meaning,
        "example": field.sample(),
        "provider": "sender",
    });
    if field.field_type.shape().item_fields().is_some() {
        shown["fields"] = field.fields.iter().map(defined_field_json).collect();
    }
    shown
}

/// `GET /v1/event-types`: all of them on one page, the built-in ones first.
pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Listed<Value>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["family"])?;
    let registry = state.queue.registry();
    let all = catalogue::types().map(built_in_json).chain(registry.event_types().map(|defined| defined_json(defined)));
    let family = parameters.get("family");
    Ok(Listed::new(all.filter(|shown| family.is_none_or(|family| shown["family"] == family)).collect(), None))
}

fn shown(registry: &Registry, name: &str) -> Result<Value, ApiError> {
    let built_in = || catalogue::find(name).map(built_in_json);
    let defined = || registry.event_type(&name.parse().ok()?).map(|defined| defined_json(defined));
    built_in().or_else(defined).ok_or_else(|| ApiError::not_found("event type", name))
}

/// `GET /v1/event-types/{type}`.
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    Parameters::read(query.as_deref(), &[])?;
    shown(&state.queue.registry(), &name).map(Json)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEventType {
    #[serde(rename = "type")]
    name: EventType,
    /// What happened, for people.
    #[serde(default)]
    #[schemars(length(max = 500), regex(pattern = r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*$"))]
    description: String,
    /// The family it belongs to; the first part of its name if it is left out.
    #[serde(default)]
    #[schemars(regex(pattern = "^[a-z0-9_]{1,64}$"))]
    family: Option<String>,
    /// The fields that its events carry; events may carry more.
    #[serde(default)]
    #[schemars(length(max = 200))]
    fields: Vec<DefinedField>,
}

/// `POST /v1/event-types`.
pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<impl IntoResponse, ApiError> {
    let new: NewEventType = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let first_part = new.name.as_str().split('.').next().unwrap_or_default().to_owned();
    let family = new.family.unwrap_or(first_part);
    let name = new.name.to_string();
    let defined = DefinedType { name: new.name, description: new.description, family, fields: new.fields, created_at: state.clock.now() };
    state.queue.create_event_type(&caller.actor(), defined).await?;
    Ok((StatusCode::CREATED, Json(shown(&state.queue.registry(), &name)?)))
}

/// `DELETE /v1/event-types/{type}`: an operator-defined one that no subscription needs.
pub(super) async fn delete(State(state): State<ApiState>, caller: Caller, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let parsed = name.parse().map_err(|_| ApiError::not_found("event type", &name))?;
    state.queue.delete_event_type(&caller.actor(), &parsed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/event-types/{type}/sample`: an event as `POST /v1/events` takes it.
pub(super) async fn sample(
    State(state): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["hostile", "account"])?;
    let hostile = match parameters.get("hostile") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(invalid_parameter("hostile", "use `true` or `false`")),
    };
    let own = match caller.accounts() {
        Accounts::One(account) => Some(account),
        Accounts::All => None,
    };
    let account = parameters.parse::<AccountId>("account")?.or(own);
    let registry = state.queue.registry();
    let (mut event, awkward) = sample_of(&registry, &name).ok_or_else(|| ApiError::not_found("event type", &name))?;
    if let Some(account) = account {
        event["account"] = json!(account);
    }
    if hostile {
        event["key"] = json!(format!("{}:hostile", event["key"].as_str().unwrap_or(&name)));
        event["data"] = Value::Object(awkward);
    }
    Ok(Json(event))
}

/// The sample event of a type, and data for it that break careless templates.
fn sample_of(registry: &Registry, name: &str) -> Option<(Value, Map<String, Value>)> {
    if let Some(event) = catalogue::sample_event(name) {
        return Some((event, catalogue::hostile(name)?));
    }
    let defined = registry.event_type(&name.parse().ok()?)?;
    let event = json!({
        "account": "acme",
        "type": defined.name,
        "key": format!("{}:sample", defined.name),
        "occurred_at": SAMPLE_OCCURRED_AT,
        "data": defined.sample(),
    });
    Some((event, defined.hostile()))
}
