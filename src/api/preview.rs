//! A subscription that is not saved: what it would send, and one request of it to see what happens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::body::{self, Body};
use super::caller::{Accounts, Caller};
use super::deliveries::RequestJson;
use super::problem::Invalid;
use super::routing::not_wanted;
use super::subscriptions::{READ_ONLY, blocked_address, check_target, targets, warning_json};
use super::trial::{Trial, try_once};
use super::trial_event::{TrialEvent, first_type};
use super::trials::allow_trial;
use super::{ApiError, ApiState, attempt_json};
use crate::event::{EventData, EventType};
use crate::queue::{Change, ConfigureSubscriptionError, Registry};
use crate::request::BuildError;
use crate::request::channel::complete;
use crate::rng::SystemRng;
use crate::subscription::{FieldNames, RequestSpec, Subscription, SubscriptionSpec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SubscriptionDraft")]
pub(super) struct DraftBody {
    /// The subscription. What only a saved one needs may be missing; with the `id` of a saved one its secrets are kept.
    subscription: Map<String, Value>,
    /// What is rendered; a sample of `event_type` if it is left out.
    #[serde(default)]
    #[schemars(with = "Option<TrialEvent>")]
    event: Option<Box<RawValue>>,
    /// The type whose sample is rendered.
    #[serde(default)]
    event_type: Option<EventType>,
}

/// A draft with the event it is tried with.
struct Draft {
    spec: SubscriptionSpec,
    /// The saved subscription that it is an edition of, whose secrets it keeps.
    present: Option<Subscription>,
    event: TrialEvent,
    event_type: Option<EventType>,
}

/// Reads a draft. What only a saved subscription needs may be missing: its name, its account if the caller
/// has one, and its event types if one is given beside it.
fn read_draft(text: &str, caller: &Caller, registry: &Registry) -> Result<Draft, ApiError> {
    let DraftBody { subscription: mut draft, event, event_type } = body::read(text, "")?;
    let present = draft.get("id").and_then(Value::as_str).map(|id| saved(id, caller, registry)).transpose()?;
    READ_ONLY.iter().for_each(|field| drop(draft.shift_remove(*field)));
    let event = event.map(|event| TrialEvent::read(event.get(), "/event")).transpose()?.unwrap_or_default();
    let event_type = event.event_type.clone().or(event_type);
    draft.entry("name").or_insert_with(|| "preview".into());
    if let Some(event_type) = &event_type {
        draft.entry("event_types").or_insert_with(|| json!([event_type]));
    }
    if let Accounts::One(account) = caller.accounts() {
        draft.entry("account").or_insert_with(|| json!(account));
    }
    let mut spec: SubscriptionSpec = body::read(&Value::Object(draft).to_string(), "/subscription")?;
    require_account(&spec, caller, registry)?;
    let present_spec = present.as_ref().map(|present| &*present.spec);
    // The key that is drawn for a new signature is as good as any for a look.
    complete(&mut spec, present_spec, &SystemRng).map_err(|errors| in_body(errors.into()))?;
    Ok(Draft { spec, present, event, event_type })
}

/// The saved subscription that a draft names by its `id`.
fn saved(id: &str, caller: &Caller, registry: &Registry) -> Result<Subscription, ApiError> {
    let found = id.parse().ok().and_then(|id| registry.subscription(id)).filter(|found| caller.sees(&found.spec.account));
    let detail = format!("there is no subscription `{}`; leave `id` out to try a new one", id.escape_debug());
    found.cloned().ok_or_else(|| ApiError::invalid(vec![Invalid::new("/subscription/id", "unknown_subscription", detail)]))
}

/// Passes if the draft's account is there for the caller; asked before anything else of the draft is
/// looked at, so that another's account answers exactly as one that does not exist.
fn require_account(spec: &SubscriptionSpec, caller: &Caller, registry: &Registry) -> Result<(), ApiError> {
    if caller.sees(&spec.account) && registry.account(&spec.account).is_some() {
        Ok(())
    } else {
        Err(ApiError::unknown_account(&spec.account, "/subscription/account"))
    }
}

/// `POST /v1/subscriptions/preview`: the request exactly as it would be sent; nothing is sent or stored.
///
/// Faults of the subscription are findings of the answer, with pointers as creating it would give them.
pub(super) async fn preview(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Json<Value>, ApiError> {
    let registry = state.queue.registry();
    let draft = read_draft(body::text(&body, state.body_bytes_max)?, &caller, &registry)?;
    if let Some(event_type) = &draft.event_type
        && !registry.knows_event_type(event_type)
    {
        let pointer = if draft.event.event_type.is_some() { "/event/type" } else { "/event_type" };
        return Err(ApiError::unknown_event_type(event_type, pointer));
    }
    if let Err(error) = check_target(&state, &draft.spec) {
        return Ok(Json(answer(None, json!(error.0.errors), Vec::new(), Value::Null)));
    }
    let Change { subscription, warnings, .. } = match state.queue.preview_subscription(draft.spec, draft.present.as_ref()) {
        Ok(change) => change,
        Err(ConfigureSubscriptionError::Invalid(errors)) => {
            let errors: Vec<Invalid> = errors.into_iter().map(Invalid::from).collect();
            return Ok(Json(answer(None, json!(errors), Vec::new(), Value::Null)));
        }
        Err(other) => return Err(in_body(other.into())),
    };
    let mut warnings: Vec<Value> = warnings.iter().map(warning_json).collect();
    let targets = targets(&subscription.spec);
    warnings
        .extend(targets.iter().filter_map(|(pointer, url)| blocked_address(&state, pointer, url)).map(|warning| warning_json(&warning)));
    let event_type = draft.event_type.unwrap_or_else(|| first_type(&subscription, &registry));
    let data = draft.event.data_or_sample(&event_type, &registry, "/event")?;
    let wanted = match not_wanted(&subscription, &event_type, &data, &registry) {
        None => json!({"wanted": true, "type": event_type, "code": "wanted", "why": "the subscription wants this event"}),
        Some(reason) => json!({"wanted": false, "type": event_type, "code": reason.code, "why": reason.why}),
    };
    let names = registry.field_names(&subscription.spec.account);
    let trial = trial(&state, &subscription, &names, event_type, data);
    Ok(Json(match trial.build(&*state.clock) {
        Ok(_) => match trial.preview(&*state.clock) {
            Ok(request) => answer(Some(json!(RequestJson::of(&request))), json!([]), warnings, wanted),
            Err(failure) => answer(None, json!([Invalid::new("", "not_sendable", failure.detail)]), warnings, wanted),
        },
        Err(error) => answer(None, json!([build_fault(error, &subscription.spec.request)]), warnings, wanted),
    }))
}

fn answer(request: Option<Value>, errors: Value, warnings: Vec<Value>, event: Value) -> Value {
    json!({"request": request, "errors": errors, "warnings": warnings, "event": event})
}

/// The fault of a template for this event, at the field of the subscription that holds the template.
fn build_fault(error: BuildError, request: &RequestSpec) -> Invalid {
    let code = match &error {
        BuildError::NotRendered { finding, .. } => finding.code.as_str(),
        BuildError::BadUrl { .. } => "bad_url",
        BuildError::UrlTooLong { .. } => "url_too_long",
    };
    let detail = error.to_string();
    match error {
        BuildError::NotRendered { part, finding } => {
            let pointer = match part.as_str() {
                "url" => "/request/url".into(),
                "body" => "/request/body".into(),
                header => match request.headers.iter().position(|known| known.name == header) {
                    Some(index) => format!("/request/headers/{index}/value"),
                    None => "/request/headers".into(),
                },
            };
            Invalid::of_finding(pointer, &finding)
        }
        BuildError::BadUrl { .. } | BuildError::UrlTooLong { .. } => Invalid::new("/request/url", code, detail),
    }
}

fn trial<'a>(
    state: &ApiState,
    subscription: &'a Subscription,
    names: &'a FieldNames,
    event_type: EventType,
    data: Arc<EventData>,
) -> Trial<'a> {
    let ids = (state.queue.next_id(state.clock.now()), state.queue.next_id(state.clock.now()));
    Trial { subscription, names, event_type, data, ids }
}

/// `POST /v1/subscriptions/test`: sends once what a subscription that is not saved would send.
pub(super) async fn test(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Json<Value>, ApiError> {
    let registry = state.queue.registry();
    let draft = read_draft(body::text(&body, state.body_bytes_max)?, &caller, &registry)?;
    check_target(&state, &draft.spec).map_err(in_body)?;
    let checked = state.queue.preview_subscription(draft.spec, draft.present.as_ref()).map_err(|error| in_body(error.into()))?;
    let subscription = checked.subscription;
    let event_type = draft.event_type.unwrap_or_else(|| first_type(&subscription, &registry));
    let data = draft.event.data_or_sample(&event_type, &registry, "/event")?;
    let names = registry.field_names(&subscription.spec.account);
    let trial = trial(&state, &subscription, &names, event_type, data);
    allow_trial(&state, &subscription.spec.account)?;
    let attempt = try_once(trial, &*state.transport, &*state.clock).await;
    Ok(Json(attempt_json(&attempt)))
}

/// The same error about a subscription that is a part of the body.
fn in_body(mut error: ApiError) -> ApiError {
    error.0.errors.iter_mut().for_each(|invalid| invalid.pointer = format!("/subscription{}", invalid.pointer));
    error
}
