//! Deliveries and their attempts: what was owed, what was sent, what came back.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::IntoResponse;
use base64::Engine as _;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::caller::{Accounts, Caller, Narrowed};
use super::explanation::explain_delivery;
use super::page::{Listed, Parameters, invalid_parameter};
use super::{ApiError, ApiState};
use crate::attempt::{Attempt, Outcome, SentRequest};
use crate::clock::Timestamp;
use crate::delivery::{DeadReason, Delivery, DeliveryState, StateName};
use crate::event::{AccountId, EventType};
use crate::id::{AttemptId, DeliveryId, EventId, SubscriptionId};
use crate::queue::DeliveryQuery;
use crate::subscription::shown_header;

/// A delivery as callers read it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub(super) struct DeliveryJson {
    id: DeliveryId,
    event: EventId,
    subscription: SubscriptionId,
    account: AccountId,
    #[serde(rename = "type")]
    event_type: EventType,
    state: StateName,
    /// When it is due next; null if it is not waiting.
    due_at: Option<Timestamp>,
    /// How many requests were made.
    attempts: u32,
    /// How the last one ended; null if there was none.
    last_outcome: Option<Outcome>,
    created_at: Timestamp,
    /// When it was decided; null if it is not.
    ended_at: Option<Timestamp>,
    /// Why it is dead; null if it is not.
    dead_reason: Option<DeadReason>,
    /// The version of the subscription whose request template is used.
    template_version: u32,
    /// Why it is where it is and what comes next; of one delivery alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<String>,
    /// Each attempt, oldest first; only of one delivery, not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_log: Option<Vec<AttemptJson>>,
}

impl DeliveryJson {
    pub fn of(delivery: &Delivery) -> Self {
        let (due_at, ended_at, dead_reason) = match delivery.state {
            DeliveryState::Pending { due_at } => (Some(due_at), None, None),
            DeliveryState::Leased { .. } => (None, None, None),
            DeliveryState::Delivered { at } | DeliveryState::Cancelled { at } => (None, Some(at), None),
            DeliveryState::Dead { at, reason } => (None, Some(at), Some(reason)),
        };
        Self {
            id: delivery.id,
            event: delivery.id.event(),
            subscription: delivery.subscription,
            account: delivery.account.clone(),
            event_type: delivery.event_type.clone(),
            state: delivery.state.name(),
            due_at,
            attempts: delivery.attempts,
            last_outcome: delivery.last_outcome,
            created_at: delivery.created_at,
            ended_at,
            dead_reason,
            template_version: delivery.template_version,
            explanation: None,
            attempt_log: None,
        }
    }
}

/// An attempt as callers read it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
pub(super) struct AttemptJson {
    id: AttemptId,
    /// Which attempt of the delivery this is, from 1.
    number: u32,
    /// When the request was handed to the client, or would have been.
    started_at: Timestamp,
    /// From then to the end of the answer, in milliseconds.
    duration_ms: u64,
    outcome: Outcome,
    /// Why it is this outcome, in one sentence.
    reason: String,
    /// Whether this request may have been sent before: the process ended uncleanly while the delivery was due.
    possible_repeat: bool,
    /// When the delivery is due again; null if it is over.
    next_due_at: Option<Timestamp>,
    /// The request as sent; null if it could not be built.
    request: Option<RequestJson>,
    /// The response as received; null if there was none.
    response: Option<ResponseJson>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SentRequest")]
pub(super) struct RequestJson {
    method: String,
    url: String,
    headers: Vec<HeaderJson>,
    #[serde(flatten)]
    body: BodyJson,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReceivedResponse")]
struct ResponseJson {
    /// The HTTP status.
    status: u16,
    headers: Vec<HeaderJson>,
    /// Whether more of the body came than is kept.
    truncated: bool,
    #[serde(flatten)]
    body: BodyJson,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Header")]
struct HeaderJson {
    name: String,
    value: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct BodyJson {
    /// The body as text; bytes that are not UTF-8 are replaced.
    body: String,
    /// The bytes of a body that is not UTF-8, in base 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl BodyJson {
    fn of(body: &[u8]) -> Self {
        let is_text = std::str::from_utf8(body).is_ok();
        let body_base64 = (!is_text).then(|| base64::engine::general_purpose::STANDARD.encode(body));
        Self { body: String::from_utf8_lossy(body).into_owned(), body_base64 }
    }
}

impl RequestJson {
    pub fn of(request: &SentRequest) -> Self {
        Self {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request_headers_json(&request.headers),
            body: BodyJson::of(&request.body),
        }
    }
}

impl AttemptJson {
    pub fn of(attempt: &Attempt) -> Self {
        let request = attempt.request.as_ref().map(RequestJson::of);
        let response = attempt.response.as_ref().map(|response| ResponseJson {
            status: response.status,
            headers: headers_json(&response.headers),
            truncated: response.truncated,
            body: BodyJson::of(&response.body),
        });
        Self {
            id: attempt.id,
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            outcome: attempt.outcome,
            reason: attempt.reason.clone(),
            possible_repeat: attempt.possible_repeat,
            next_due_at: attempt.next_due_at,
            request,
            response,
        }
    }
}

/// An attempt as callers read it. A body that is not UTF-8 comes with its bytes in base 64.
#[must_use]
pub fn attempt_json(attempt: &Attempt) -> Value {
    serde_json::to_value(AttemptJson::of(attempt)).expect("an attempt has only text keys, so it can be written as JSON")
}

fn headers_json(headers: &[(String, String)]) -> Vec<HeaderJson> {
    headers.iter().map(|(name, value)| HeaderJson { name: name.clone(), value: value.clone() }).collect()
}

/// The headers of a request. Values that a caller may have written and that usually are secrets are not shown.
fn request_headers_json(headers: &[(String, String)]) -> Vec<HeaderJson> {
    headers.iter().map(|(name, value)| HeaderJson { name: name.clone(), value: shown_header(name, value).to_owned() }).collect()
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let known = ["account", "subscription", "event", "state", "since", "until", "limit", "cursor"];
    let parameters = Parameters::read(query.as_deref(), &known)?;
    let account = caller.narrow(&state.queue.registry(), parameters.parse("account")?);
    let mut wanted = DeliveryQuery {
        account: None,
        subscription: parameters.parse("subscription")?,
        event: parameters.parse("event")?,
        states: parameters.all("state").map(state_name).collect::<Result<_, _>>()?,
        since: parameters.parse("since")?,
        until: parameters.parse("until")?,
        before: parameters.cursor()?.map(DeliveryId::from_raw),
        limit: parameters.limit()?,
    };
    let Narrowed::To(account) = account else { return Ok(Listed::empty()) };
    if !is_of_caller(&state, &caller, &wanted).await? {
        return Ok(Listed::empty());
    }
    wanted.account = account;
    let page = state.queue.deliveries(&wanted).await?;
    Ok(Listed::new(page.items.iter().map(DeliveryJson::of).collect(), page.next))
}

/// Whether the subscription and the event that a query names are there for the caller. Another account's
/// must not even be looked through: how long that takes, and where a page of it ends, says something.
async fn is_of_caller(state: &ApiState, caller: &Caller, query: &DeliveryQuery) -> Result<bool, ApiError> {
    if caller.accounts() == Accounts::All {
        return Ok(true);
    }
    if let Some(subscription) = query.subscription
        && !state.queue.account_of(subscription).await?.is_some_and(|account| caller.sees(&account))
    {
        return Ok(false);
    }
    match query.event {
        Some(event) => Ok(state.queue.event(event).await?.is_some_and(|event| caller.sees(&event.account))),
        None => Ok(true),
    }
}

fn state_name(text: &str) -> Result<StateName, ApiError> {
    [StateName::Pending, StateName::Leased, StateName::Delivered, StateName::Dead, StateName::Cancelled]
        .into_iter()
        .find(|name| name.as_str() == text)
        .ok_or_else(|| invalid_parameter("state", "use `pending`, `leased`, `delivered`, `dead` or `cancelled`"))
}

/// The delivery of this id, if the caller may see it.
async fn found(state: &ApiState, caller: &Caller, id: &str) -> Result<Delivery, ApiError> {
    let parsed = id.parse().map_err(|_| ApiError::not_found("delivery", id))?;
    caller.visible("delivery", id, state.queue.delivery(parsed).await?, |delivery| &delivery.account)
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let parsed = id.parse().map_err(|_| ApiError::not_found("delivery", &id))?;
    let found = state.queue.delivery_with_attempts(parsed).await?;
    let (delivery, attempts) = caller.visible("delivery", &id, found, |(delivery, _)| &delivery.account)?;
    let mut body = DeliveryJson::of(&delivery);
    body.explanation = Some(explain_delivery(&state, &delivery, &attempts).await?);
    body.attempt_log = Some(attempts.iter().map(AttemptJson::of).collect());
    Ok(Json(body))
}

pub(super) async fn retry(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let delivery = found(&state, &caller, &id).await?;
    Ok(Json(DeliveryJson::of(&state.queue.retry(&caller.actor(), delivery.id).await?)))
}

pub(super) async fn cancel(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let delivery = found(&state, &caller, &id).await?;
    Ok(Json(DeliveryJson::of(&state.queue.cancel(&caller.actor(), delivery.id).await?)))
}
