//! Deliveries and their attempts: what was owed, what was sent, what came back.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::IntoResponse;
use base64::Engine as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::page::{Listed, Parameters, invalid_parameter};
use super::{ApiError, ApiState};
use crate::attempt::{Attempt, Outcome};
use crate::clock::Timestamp;
use crate::delivery::{DeadReason, Delivery, DeliveryState, StateName};
use crate::id::{DeliveryId, EventId, SubscriptionId};
use crate::queue::DeliveryQuery;
use crate::subscription::shown_header;

/// A delivery as callers read it.
#[derive(Debug, Serialize)]
pub(super) struct DeliveryJson {
    id: DeliveryId,
    event: EventId,
    subscription: SubscriptionId,
    account: String,
    #[serde(rename = "type")]
    event_type: String,
    state: StateName,
    /// When it is due next; null if it is not waiting.
    due_at: Option<Timestamp>,
    attempts: u32,
    last_outcome: Option<Outcome>,
    created_at: Timestamp,
    /// When it was decided; null if it is not.
    ended_at: Option<Timestamp>,
    /// Why it is dead; null if it is not.
    dead_reason: Option<DeadReason>,
    template_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_log: Option<Vec<Value>>,
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
            account: delivery.account.to_string(),
            event_type: delivery.event_type.to_string(),
            state: delivery.state.name(),
            due_at,
            attempts: delivery.attempts,
            last_outcome: delivery.last_outcome,
            created_at: delivery.created_at,
            ended_at,
            dead_reason,
            template_version: delivery.template_version,
            attempt_log: None,
        }
    }
}

/// An attempt as callers read it. A body that is not UTF-8 comes with its bytes in base 64.
#[must_use]
pub fn attempt_json(attempt: &Attempt) -> Value {
    let request = attempt.request.as_ref().map(|request| {
        let mut value = json!({"method": request.method, "url": request.url, "headers": request_headers_json(&request.headers)});
        put_body(&mut value, &request.body);
        value
    });
    let response = attempt.response.as_ref().map(|response| {
        let mut value = json!({"status": response.status, "headers": headers_json(&response.headers), "truncated": response.truncated});
        put_body(&mut value, &response.body);
        value
    });
    json!({
        "id": attempt.id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "possible_repeat": attempt.possible_repeat,
        "next_due_at": attempt.next_due_at,
        "request": request,
        "response": response,
    })
}

/// Values that a caller may have written and that usually are secrets are not shown.
fn request_headers_json(headers: &[(String, String)]) -> Value {
    headers.iter().map(|(name, value)| json!({"name": name, "value": shown_header(name, value)})).collect()
}

fn headers_json(headers: &[(String, String)]) -> Value {
    headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn put_body(value: &mut Value, body: &[u8]) {
    value["body"] = Value::String(String::from_utf8_lossy(body).into_owned());
    if std::str::from_utf8(body).is_err() {
        value["body_base64"] = Value::String(base64::engine::general_purpose::STANDARD.encode(body));
    }
}

pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let known = ["account", "subscription", "event", "state", "since", "until", "limit", "cursor"];
    let parameters = Parameters::read(query.as_deref(), &known)?;
    let wanted = DeliveryQuery {
        account: parameters.parse("account")?,
        subscription: parameters.parse("subscription")?,
        event: parameters.parse("event")?,
        state: parameters.get("state").map(state_name).transpose()?,
        since: parameters.parse("since")?,
        until: parameters.parse("until")?,
        before: parameters.cursor()?.map(DeliveryId::from_raw),
        limit: parameters.limit()?,
    };
    let page = state.queue.deliveries(&wanted).await?;
    Ok(Listed::new(page.items.iter().map(DeliveryJson::of).collect(), page.next))
}

fn state_name(text: &str) -> Result<StateName, ApiError> {
    [StateName::Pending, StateName::Leased, StateName::Delivered, StateName::Dead, StateName::Cancelled]
        .into_iter()
        .find(|name| name.as_str() == text)
        .ok_or_else(|| invalid_parameter("state", "use `pending`, `leased`, `delivered`, `dead` or `cancelled`"))
}

fn delivery_id(id: &str) -> Result<DeliveryId, ApiError> {
    id.parse().map_err(|_| ApiError::not_found("delivery", id))
}

pub(super) async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let delivery_id = delivery_id(&id)?;
    let delivery = state.queue.delivery(delivery_id).await?.ok_or_else(|| ApiError::not_found("delivery", &id))?;
    let attempts = state.queue.attempts(delivery_id).await?;
    let mut body = DeliveryJson::of(&delivery);
    body.attempt_log = Some(attempts.iter().map(attempt_json).collect());
    Ok(Json(body))
}

pub(super) async fn retry(State(state): State<ApiState>, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    Ok(Json(DeliveryJson::of(&state.queue.retry(delivery_id(&id)?).await?)))
}

pub(super) async fn cancel(State(state): State<ApiState>, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    Ok(Json(DeliveryJson::of(&state.queue.cancel(delivery_id(&id)?).await?)))
}
