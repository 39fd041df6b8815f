//! Subscriptions: create, read, change, pause, test, delete.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::{self, Body};
use super::caller::{Caller, Narrowed};
use super::page::{Listed, Parameters};
use super::problem::Invalid;
use super::trial::{Trial, try_once};
use super::{ApiError, ApiState, attempt_json};
use crate::event::{EventData, EventType, EventTypePattern, catalogue};
use crate::id::SubscriptionId;
use crate::queue::{Change, ConfigureSubscriptionError, EndpointHealth, Registry};
use crate::request::guard::RefusedKind;
use crate::request::literal_target;
use crate::subscription::{Subscription, SubscriptionSpec, SubscriptionState, SubscriptionWarning};

fn subscription_json(state: &ApiState, subscription: &Subscription) -> Value {
    let spec = serde_json::to_value(&*subscription.spec).expect("a spec has only text keys, so it can be written as JSON");
    let mut body = Map::new();
    body.insert("id".into(), json!(subscription.id));
    if let Value::Object(fields) = spec {
        body.extend(fields);
    }
    body.insert("version".into(), json!(subscription.version));
    body.insert("created_at".into(), json!(subscription.created_at));
    body.insert("updated_at".into(), json!(subscription.updated_at));
    body.insert("health".into(), health_json(&state.queue.endpoint(subscription.id)));
    Value::Object(body)
}

/// How the receiver is doing.
fn health_json(health: &EndpointHealth) -> Value {
    let gone = "the receiver answered 410, Gone: it asks not to be sent to any more; pause or delete the subscription, or mend its URL";
    json!({
        "state": if health.failing_since.is_some() { "failing" } else { "healthy" },
        "since": health.failing_since,
        "consecutive_failures": health.consecutive_failures,
        "last_outcome": health.last_outcome,
        "next_probe_at": health.next_probe_at,
        "suggestion": health.gone.then_some(gone),
    })
}

fn with_etag(status: StatusCode, subscription: &Subscription, body: Value) -> Response {
    (status, [(header::ETAG, etag(subscription))], Json(body)).into_response()
}

fn etag(subscription: &Subscription) -> String {
    format!("\"{}\"", subscription.version)
}

fn changed(state: &ApiState, status: StatusCode, change: &Change) -> Response {
    let mut body = subscription_json(state, &change.subscription);
    let mut warnings: Vec<_> = change.warnings.iter().map(warning_json).collect();
    warnings.extend(blocked_address(state, &change.subscription.spec.request.url).iter().map(warning_json));
    body["warnings"] = Value::Array(warnings);
    with_etag(status, &change.subscription, body)
}

fn warning_json(warning: &SubscriptionWarning) -> Value {
    json!({"pointer": warning.pointer, "code": warning.code, "detail": warning.detail})
}

/// Refuses a URL that nothing could ever be sent to, whatever the operator allows.
fn check_target(state: &ApiState, spec: &SubscriptionSpec) -> Result<(), ApiError> {
    // Another scheme is found by the template's check, which knows its place.
    let target = literal_target(&spec.request.url).filter(|url| matches!(url.scheme(), "http" | "https"));
    match target.map(|url| state.guard.check_url(&url)) {
        Some(Err(refused)) if refused.kind == RefusedKind::BadUrl => {
            Err(ApiError::invalid(vec![Invalid::new("/request/url", "bad_url", refused.detail)]))
        }
        _ => Ok(()),
    }
}

/// The warning for a URL whose host is an address that is never sent to.
fn blocked_address(state: &ApiState, url: &str) -> Option<SubscriptionWarning> {
    let refused = state.guard.check_url(&literal_target(url)?).err()?;
    Some(SubscriptionWarning { pointer: "/request/url".into(), code: "blocked_address".into(), detail: refused.detail })
}

/// The subscription of this id, if the caller may see it.
fn found<'a>(registry: &'a Registry, caller: &Caller, id: &str) -> Result<&'a Subscription, ApiError> {
    let subscription = id.parse().ok().and_then(|id| registry.subscription(id));
    caller.visible("subscription", id, subscription, |subscription| &subscription.spec.account)
}

/// The id of a subscription that the caller may change. An account never gives its subscriptions away.
fn found_id(state: &ApiState, caller: &Caller, id: &str) -> Result<SubscriptionId, ApiError> {
    found(&state.queue.registry(), caller, id).map(|subscription| subscription.id)
}

/// The version that `If-Match` asks for; none if any will do.
fn expected_version(headers: &HeaderMap) -> Result<Option<u32>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.trim_start_matches("W/").trim_matches('"').parse();
    version.map(Some).map_err(|_| {
        ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "version_mismatch",
            "`If-Match` is not an `ETag` of a subscription; read it again and pass on its `ETag`",
        )
    })
}

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let spec: SubscriptionSpec = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    check_target(&state, &spec)?;
    caller.require_account(&spec.account)?;
    let change = state.queue.create_subscription(&caller.actor(), spec).await?;
    Ok(changed(&state, StatusCode::CREATED, &change))
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["account", "state", "limit", "cursor"])?;
    let registry = state.queue.registry();
    let account = caller.narrow(&registry, parameters.parse("account")?);
    let wanted_state = parameters.get("state");
    let before = parameters.cursor()?.map(SubscriptionId::from_raw);
    let limit = parameters.limit()?;
    let Narrowed::To(account) = account else { return Ok(Listed::empty()) };
    let mut subscriptions: Vec<_> = registry
        .subscriptions()
        .filter(|subscription| account.as_ref().is_none_or(|account| *account == subscription.spec.account))
        .filter(|subscription| wanted_state.is_none_or(|wanted| json!(subscription.spec.state) == wanted))
        .filter(|subscription| before.is_none_or(|before| subscription.id < before))
        .collect();
    subscriptions.sort_by_key(|subscription| std::cmp::Reverse(subscription.id));
    let more = subscriptions.len() > limit;
    subscriptions.truncate(limit);
    let next = subscriptions.last().filter(|_| more).map(|last| last.id.raw());
    Ok(Listed::new(subscriptions.into_iter().map(|subscription| subscription_json(&state, subscription)).collect(), next))
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    let registry = state.queue.registry();
    let subscription = found(&registry, &caller, &id)?;
    Ok(with_etag(StatusCode::OK, subscription, subscription_json(&state, subscription)))
}

pub(super) async fn replace(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (id, expected) = (found_id(&state, &caller, &id)?, expected_version(&headers)?);
    let spec = read_spec(body::text(&body, state.body_bytes_max)?)?;
    check_target(&state, &spec)?;
    let change = state.queue.change_subscription(&caller.actor(), id, expected, |_| Ok::<_, ApiError>(spec)).await?;
    Ok(changed(&state, StatusCode::OK, &change))
}

/// The fields that the server sets; a caller may send back what it read.
const READ_ONLY: [&str; 6] = ["id", "version", "created_at", "updated_at", "health", "warnings"];

fn read_spec(text: &str) -> Result<SubscriptionSpec, ApiError> {
    let mut value: Map<String, Value> = body::read(text, "")?;
    READ_ONLY.iter().for_each(|field| drop(value.shift_remove(*field)));
    body::read(&Value::Object(value).to_string(), "")
}

pub(super) async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (id, expected) = (found_id(&state, &caller, &id)?, expected_version(&headers)?);
    let mut patch: Map<String, Value> = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    READ_ONLY.iter().for_each(|field| drop(patch.shift_remove(*field)));
    let change = state
        .queue
        .change_subscription(&caller.actor(), id, expected, |present| {
            let mut spec = serde_json::to_value(present).expect("a spec has only text keys, so it can be written as JSON");
            merge(&mut spec, Value::Object(patch));
            let spec = body::read::<SubscriptionSpec>(&spec.to_string(), "")?;
            check_target(&state, &spec)?;
            Ok::<_, ApiError>(spec)
        })
        .await?;
    Ok(changed(&state, StatusCode::OK, &change))
}

/// JSON Merge Patch: null removes, objects merge, the rest replaces. Source: RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(fields) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            for (name, value) in fields {
                if value.is_null() {
                    if let Some(object) = target.as_object_mut() {
                        object.shift_remove(&name);
                    }
                } else {
                    merge(&mut target[&name], value);
                }
            }
        }
        other => *target = other,
    }
}

pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let (id, expected) = (found_id(&state, &caller, &id)?, expected_version(&headers)?);
    state.queue.delete_subscription(&caller.actor(), id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_state(state: &ApiState, caller: &Caller, id: &str, wanted: SubscriptionState) -> Result<Response, ApiError> {
    let change = state
        .queue
        .change_subscription(&caller.actor(), found_id(state, caller, id)?, None, |present| {
            Ok::<_, ConfigureSubscriptionError>(SubscriptionSpec { state: wanted, ..present.clone() })
        })
        .await?;
    Ok(with_etag(StatusCode::OK, &change.subscription, subscription_json(state, &change.subscription)))
}

pub(super) async fn pause(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    set_state(&state, &caller, &id, SubscriptionState::Paused).await
}

pub(super) async fn resume(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    set_state(&state, &caller, &id, SubscriptionState::Active).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestBody {
    #[serde(default)]
    event: Option<TestEvent>,
}

/// The event of a test: a whole one, or only its data.
#[derive(Debug, Deserialize)]
struct TestEvent {
    #[serde(default, rename = "type")]
    event_type: Option<EventType>,
    #[serde(default)]
    data: Option<Box<serde_json::value::RawValue>>,
}

/// Renders and sends once; nothing is queued. The answer is the attempt, whatever its outcome.
pub(super) async fn test(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body,
) -> Result<impl IntoResponse, ApiError> {
    let registry = state.queue.registry();
    let subscription = found(&registry, &caller, &id)?;
    let text = body::text(&body, state.body_bytes_max)?;
    let body: TestBody = if text.trim().is_empty() { TestBody::default() } else { body::read(text, "")? };
    let event = body.event.unwrap_or(TestEvent { event_type: None, data: None });
    let event_type = event.event_type.or_else(|| first_type(subscription)).unwrap_or_else(test_ping);
    let data = match event.data {
        Some(data) => data.get().to_owned(),
        None => match catalogue::sample(event_type.as_str()) {
            Some(sample) => Value::Object(sample).to_string(),
            None => {
                let detail = format!("there is no sample of `{event_type}`; send `{{\"event\": {{\"data\": {{…}}}}}}`");
                return Err(ApiError::invalid(vec![Invalid::new("/event/type", "no_sample", detail)]));
            }
        },
    };
    let data = EventData::parse(&data)
        .map_err(|error| ApiError::invalid(vec![Invalid::new(format!("/event/data{}", error.pointer), error.code, error.detail)]))?;
    let names = registry.field_names(&subscription.spec.account);
    let trial = Trial {
        subscription,
        names: &names,
        event_type,
        data: Arc::new(data),
        ids: (state.queue.next_id(state.clock.now()), state.queue.next_id(state.clock.now())),
    };
    let attempt = try_once(trial, &*state.transport, &*state.clock).await;
    Ok(Json(attempt_json(&attempt)))
}

/// The first built-in type that a subscription wants, exact names before wildcards.
fn first_type(subscription: &Subscription) -> Option<EventType> {
    let patterns = &subscription.rules.event_types;
    let exact = patterns.iter().find_map(|pattern| match pattern {
        EventTypePattern::Exact(event_type) => Some(event_type.clone()),
        _ => None,
    });
    exact.or_else(|| {
        catalogue::types()
            .filter_map(|entry| entry.name.parse().ok())
            .find(|event_type| patterns.iter().any(|pattern| pattern.matches(event_type)))
    })
}

fn test_ping() -> EventType {
    "test.ping".parse().expect("this is an event type")
}
