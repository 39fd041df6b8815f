//! Subscriptions: create, read, change, pause, test, delete.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::body::{self, Body};
use super::caller::{Caller, Narrowed};
use super::page::{Listed, Parameters, invalid_parameter};
use super::problem::Invalid;
use super::trial::{Trial, try_once};
use super::trial_event::{TrialEvent, first_type};
use super::trials::allow_trial;
use super::versions::{expected_version, patched, read_fields, read_whole, with_etag};
use super::{ApiError, ApiState, attempt_json};
use crate::id::SubscriptionId;
use crate::queue::{Change, ConfigureSubscriptionError, EndpointHealth, Registry};
use crate::request::channel::complete;
use crate::request::guard::{RefusedKind, parse_target};
use crate::request::literal_target;
use crate::request::sign::{accept_key, draw_key};
use crate::rng::SystemRng;
use crate::secret::Secret;
use crate::subscription::{
    CredentialsSpec, FieldError, SignatureVersion, Subscription, SubscriptionSpec, SubscriptionState, SubscriptionWarning, shown_header,
    whole_number,
};

fn subscription_json(state: &ApiState, subscription: &Subscription) -> Value {
    let mut spec = shown_spec(&subscription.spec);
    let secrets = &subscription.secrets;
    for (name, secret) in [("signing", &secrets.signing), ("credentials", &secrets.credentials), ("tls", &secrets.client_key)] {
        if spec[name].is_object() {
            spec[name]["has_secret"] = json!(secret.is_some());
        }
    }
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

/// The spec as callers read it, and may send it back: what they wrote, but for headers that are hidden.
fn shown_spec(spec: &SubscriptionSpec) -> Value {
    let mut value = serde_json::to_value(spec).expect("a spec has only text keys, so it can be written as JSON");
    for (index, header) in spec.request.headers.iter().enumerate() {
        value["request"]["headers"][index]["value"] = json!(shown_header(&header.name, &header.value));
    }
    value
}

/// The answer to a change. `signing_secret` is shown this once.
fn changed(state: &ApiState, status: StatusCode, change: &Change, signing_secret: Option<&Secret>) -> Response {
    let mut body = subscription_json(state, &change.subscription);
    let mut warnings: Vec<_> = change.warnings.iter().map(warning_json).collect();
    let targets = targets(&change.subscription.spec);
    warnings.extend(targets.iter().filter_map(|(pointer, url)| blocked_address(state, pointer, url)).map(|warning| warning_json(&warning)));
    warnings.extend(certificate_expires(state, &change.subscription.spec).iter().map(warning_json));
    body["warnings"] = Value::Array(warnings);
    if let Some(secret) = signing_secret {
        body["signing_secret"] = json!(secret.expose());
    }
    with_etag(status, change.subscription.version, body)
}

pub(super) fn warning_json(warning: &SubscriptionWarning) -> Value {
    json!({"pointer": warning.pointer, "code": warning.code, "detail": warning.detail})
}

/// Where a subscription sends to, with the places where that is written.
pub(super) fn targets(spec: &SubscriptionSpec) -> Vec<(&'static str, &str)> {
    let token_url = spec.credentials.as_ref().and_then(CredentialsSpec::token_url);
    std::iter::once(("/request/url", spec.request.url.as_str())).chain(token_url.map(|url| ("/credentials/token_url", url))).collect()
}

/// Refuses a URL that nothing could ever be sent to, whatever the operator allows.
pub(super) fn check_target(state: &ApiState, spec: &SubscriptionSpec) -> Result<(), ApiError> {
    let refused = targets(spec).into_iter().filter_map(|(pointer, url)| {
        // Another scheme, and a macro in the host, are found by the spec's own check, which knows their place.
        let checked = parse_target(literal_authority(url)?).and_then(|target| state.guard.check_url(&target));
        let refused = checked.err().filter(|refused| refused.kind == RefusedKind::BadUrl)?;
        Some(Invalid::new(pointer, "bad_url", refused.detail))
    });
    let refused: Vec<_> = refused.collect();
    if refused.is_empty() { Ok(()) } else { Err(ApiError::invalid(refused)) }
}

/// Scheme, host and port of a URL template, if they are written out and the scheme is one of ours.
fn literal_authority(url_template: &str) -> Option<&str> {
    let text = url_template.trim();
    let host = text.find("://")? + 3;
    let end = text[host..].find(['/', '?', '#', '\\']).map_or(text.len(), |offset| host + offset);
    let is_ours = ["http://", "https://"].iter().any(|scheme| text[..host].eq_ignore_ascii_case(scheme));
    (is_ours && !text[..end].contains(['{', '\n', '\r'])).then_some(&text[..end])
}

/// Refuses a subscription beyond those that one account may have.
fn check_number(state: &ApiState, spec: &SubscriptionSpec) -> Result<(), ApiError> {
    let registry = state.queue.registry();
    let max = state.subscriptions_per_account_max;
    if registry.subscriptions().filter(|subscription| subscription.spec.account == spec.account).count() < max {
        return Ok(());
    }
    let detail = format!("account `{}` has {max} subscriptions, which is the most; delete one, or ask the operator for more", spec.account);
    Err(ApiError::invalid(vec![Invalid::new("/account", "too_many_subscriptions", detail)]))
}

/// The warning for a URL whose host is an address that is never sent to.
pub(super) fn blocked_address(state: &ApiState, pointer: &str, url: &str) -> Option<SubscriptionWarning> {
    let refused = state.guard.check_url(&literal_target(url)?).err()?;
    Some(SubscriptionWarning { pointer: pointer.into(), code: "blocked_address".into(), detail: refused.detail })
}

/// How long before its end a client certificate is worth a warning.
const CERTIFICATE_WARNING: Duration = Duration::from_secs(30 * 86_400);

/// The warning for a client certificate that ends soon, or has ended.
fn certificate_expires(state: &ApiState, spec: &SubscriptionSpec) -> Option<SubscriptionWarning> {
    let ends_at = spec.tls.as_ref()?.client_certificate_expires_at?;
    let now = state.clock.now();
    let detail = if ends_at <= now {
        format!("the certificate ended at {ends_at}; receivers refuse it, send a new one with its key")
    } else if ends_at <= now.after(CERTIFICATE_WARNING) {
        format!("the certificate ends at {ends_at}; send a new one with its key before")
    } else {
        return None;
    };
    Some(SubscriptionWarning { pointer: "/tls/client_certificate".into(), code: "certificate_expires".into(), detail })
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

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let mut spec: SubscriptionSpec = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    check_target(&state, &spec)?;
    caller.require_account(&spec.account)?;
    check_number(&state, &spec)?;
    let signing_secret = complete(&mut spec, None, &SystemRng)?;
    let change = state.queue.create_subscription(&caller.actor(), spec).await?;
    Ok(changed(&state, StatusCode::CREATED, &change, signing_secret.as_ref()))
}

fn state_named(text: &str) -> Result<SubscriptionState, ApiError> {
    match text {
        "active" => Ok(SubscriptionState::Active),
        "paused" => Ok(SubscriptionState::Paused),
        _ => Err(invalid_parameter("state", "use `active` or `paused`")),
    }
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["account", "state", "limit", "cursor"])?;
    let registry = state.queue.registry();
    let account = caller.narrow(&registry, parameters.parse("account")?);
    let states: Vec<SubscriptionState> = parameters.all("state").map(state_named).collect::<Result<_, _>>()?;
    let before = parameters.cursor()?.map(SubscriptionId::from_raw);
    let limit = parameters.limit()?;
    let Narrowed::To(account) = account else { return Ok(Listed::empty()) };
    let mut subscriptions: Vec<_> = registry
        .subscriptions()
        .filter(|subscription| account.as_ref().is_none_or(|account| *account == subscription.spec.account))
        .filter(|subscription| states.is_empty() || states.contains(&subscription.spec.state))
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
    Ok(with_etag(StatusCode::OK, subscription.version, subscription_json(&state, subscription)))
}

pub(super) async fn replace(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (id, expected) = (found_id(&state, &caller, &id)?, expected_version(&headers)?);
    let mut spec: SubscriptionSpec = read_whole(body::text(&body, state.body_bytes_max)?, &READ_ONLY)?;
    check_target(&state, &spec)?;
    let mut signing_secret = None;
    let change = state
        .queue
        .change_subscription(&caller.actor(), id, expected, |present| {
            signing_secret = complete(&mut spec, Some(present), &SystemRng)?;
            Ok::<_, ApiError>(spec)
        })
        .await?;
    Ok(changed(&state, StatusCode::OK, &change, signing_secret.as_ref()))
}

/// The fields that the server sets; a caller may send back what it read.
pub(super) const READ_ONLY: [&str; 7] = ["id", "version", "created_at", "updated_at", "health", "warnings", "signing_secret"];

pub(super) async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (id, expected) = (found_id(&state, &caller, &id)?, expected_version(&headers)?);
    let patch = read_fields(body::text(&body, state.body_bytes_max)?, &READ_ONLY)?;
    let mut signing_secret = None;
    let change = state
        .queue
        .change_subscription(&caller.actor(), id, expected, |present| {
            // What is hidden is kept as in a PUT: only if it goes to the same place.
            let mut spec = shown_spec(present);
            drop_other_credentials(&mut spec, &patch);
            let mut spec: SubscriptionSpec = patched(spec, patch, &READ_ONLY)?;
            check_target(&state, &spec)?;
            signing_secret = complete(&mut spec, Some(present), &SystemRng)?;
            Ok::<_, ApiError>(spec)
        })
        .await?;
    Ok(changed(&state, StatusCode::OK, &change, signing_secret.as_ref()))
}

/// Credentials of another type have other fields: they replace those that are there, and are not merged.
fn drop_other_credentials(spec: &mut Value, patch: &Map<String, Value>) {
    let wanted = patch.get("credentials").and_then(|credentials| credentials.get("type"));
    if wanted.is_some_and(|wanted| spec["credentials"].get("type") != Some(wanted)) {
        spec["credentials"] = Value::Null;
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
    Ok(with_etag(StatusCode::OK, change.subscription.version, subscription_json(state, &change.subscription)))
}

pub(super) async fn pause(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    set_state(&state, &caller, &id, SubscriptionState::Paused).await
}

pub(super) async fn resume(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    set_state(&state, &caller, &id, SubscriptionState::Active).await
}

/// Longest overlap of two signing keys, in seconds: 30 days.
const OVERLAP_MAX_S: u64 = 30 * 86_400;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SigningRotation")]
pub(super) struct RotateBody {
    /// For how many seconds the present key signs, too.
    #[serde(deserialize_with = "whole_number")]
    #[schemars(range(max = OVERLAP_MAX_S))]
    overlap_s: u64,
    /// The new key; none to have one drawn.
    secret: Option<Secret>,
}

impl Default for RotateBody {
    fn default() -> Self {
        Self { overlap_s: 86_400, secret: None }
    }
}

/// Replaces the signing key. The answer shows the new secret, this once.
pub(super) async fn rotate_signing(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (id, expected) = (found_id(&state, &caller, &id)?, expected_version(&headers)?);
    let text = body::text(&body, state.body_bytes_max)?;
    let RotateBody { overlap_s, secret } = if text.trim().is_empty() { RotateBody::default() } else { body::read(text, "")? };
    if overlap_s > OVERLAP_MAX_S {
        let detail = format!("{overlap_s} seconds; use 0 to {OVERLAP_MAX_S} (30 days)");
        return Err(ApiError::invalid(vec![Invalid::new("/overlap_s", "out_of_range", detail)]));
    }
    let mut shown = None;
    let key = |spec: &SubscriptionSpec| {
        let version = spec.signing.as_ref().map(|signing| signing.version).unwrap_or_default();
        let key = match &secret {
            Some(secret) => {
                accept_key(version, secret).map_err(|error| vec![FieldError::new("/secret", "invalid_secret", error.to_string())])?
            }
            None => draw_key(version, &SystemRng),
        };
        shown = (version == SignatureVersion::V1).then(|| key.0.clone());
        Ok(key)
    };
    let change = state.queue.rotate_signing(&caller.actor(), id, expected, key, Duration::from_secs(overlap_s)).await?;
    Ok(changed(&state, StatusCode::OK, &change, shown.as_ref()))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SubscriptionTest")]
pub(super) struct TestBody {
    /// What is rendered; a sample of the first event type if it is left out.
    #[serde(default)]
    #[schemars(with = "Option<TrialEvent>")]
    event: Option<Box<RawValue>>,
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
    let event = body.event.map(|event| TrialEvent::read(event.get(), "/event")).transpose()?.unwrap_or_default();
    let event_type = event.event_type.clone().unwrap_or_else(|| first_type(subscription, &registry));
    let data = event.data_or_sample(&event_type, &registry, "/event")?;
    let names = registry.field_names(&subscription.spec.account);
    let trial = Trial {
        subscription,
        names: &names,
        event_type,
        data,
        ids: (state.queue.next_id(state.clock.now()), state.queue.next_id(state.clock.now())),
    };
    allow_trial(&state, &subscription.spec.account)?;
    let attempt = try_once(trial, &*state.transport, &*state.clock).await;
    Ok(Json(attempt_json(&attempt)))
}
