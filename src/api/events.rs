//! Events: reported by platforms, one by one, in arrays, as lines of JSON, or as CloudEvents.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::body::{self, Body};
use super::caller::{Accounts, Caller, Narrowed};
use super::cloudevents::{self, Mode, Reading};
use super::page::{Listed, Parameters};
use super::problem::Invalid;
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::event::{AccountId, Event, EventData, EventType, IdempotencyKey, TraceContext};
use crate::id::{DeliveryId, EventId};
use crate::queue::{Accepted, EventQuery, IncomingEvent};

/// Most events in one request.
pub(super) const EVENTS_MAX: usize = 1_000;

/// An event as callers write it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewEvent")]
pub(super) struct EventBody<'a> {
    /// Whose event.
    #[serde(borrow)]
    #[schemars(with = "AccountId")]
    account: Cow<'a, str>,
    /// What kind of fact it is.
    #[serde(borrow, rename = "type")]
    #[schemars(with = "EventType")]
    event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    #[schemars(with = "Option<IdempotencyKey>")]
    key: Option<Cow<'a, str>>,
    /// When it happened; the time of receipt if it is left out.
    #[serde(borrow, default)]
    #[schemars(with = "Option<Timestamp>")]
    occurred_at: Option<Cow<'a, str>>,
    /// The macro values: scalars, or lists of objects such as `items`. Numbers keep their digits as they are written.
    #[serde(borrow)]
    #[schemars(with = "Map<String, Value>")]
    data: &'a RawValue,
}

/// One event that was taken.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AcceptedEvent")]
pub(super) struct AcceptedBody {
    id: EventId,
    /// Whether its key was known; the id is then the first event's.
    duplicate: bool,
    /// What is owed for it, one for each subscription that wants it.
    deliveries: Vec<DeliveryId>,
}

impl From<Accepted> for AcceptedBody {
    fn from(accepted: Accepted) -> Self {
        Self { id: accepted.id, duplicate: accepted.duplicate, deliveries: accepted.deliveries }
    }
}

/// Several events that were taken, in the order in which they came.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AcceptedEvents")]
pub(super) struct AcceptedMany {
    results: Vec<AcceptedBody>,
}

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let text = body::text(&body, state.body_bytes_max)?;
    let header_key = header_key(&headers)?;
    let trace = trace_of(&headers);
    let media_type = body::media_type(&headers);
    if let Some(mode) = cloudevents::mode(&media_type, &headers) {
        if header_key.is_some() {
            let detail = "`source` and `id` are the key of a CloudEvent; leave the header `Idempotency-Key` out";
            return Err(ApiError::invalid(vec![Invalid::new("/id", "key_conflict", detail)]));
        }
        return create_from_cloudevents(&state, &caller, mode, &headers, &media_type, text).await;
    }
    let many = match media_type.as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(lines(text)),
        "application/json" | "text/json" => text.trim_start().starts_with('[').then(|| array(text)).transpose()?,
        other => {
            let detail = format!(
                "`{}` is not taken here; send `application/json`, `application/x-ndjson` or `application/cloudevents+json`",
                other.escape_debug()
            );
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
    };
    match many {
        None => accept_one(&state, &caller, trace, read_event(text, header_key.as_ref(), None)?).await,
        Some(texts) => {
            check_count(texts.len())?;
            let read = |index: usize, text: &str| read_event(text, header_key.as_ref(), Some(index));
            accept_many(&state, &caller, trace, read_events(&texts, read)?).await
        }
    }
}

/// The trace in which a call was made. By the recommendation a `traceparent` that cannot be read is none.
fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get("traceparent")?.to_str().ok()?.trim().parse().ok()
}

/// The event in the trace of its call, unless it has one of its own.
fn traced(event: IncomingEvent, trace: Option<TraceContext>) -> IncomingEvent {
    match trace.filter(|_| event.data.trace().is_none()) {
        Some(trace) => IncomingEvent { data: event.data.in_trace(trace), ..event },
        None => event,
    }
}

async fn accept_one(state: &ApiState, caller: &Caller, trace: Option<TraceContext>, event: IncomingEvent) -> Result<Response, ApiError> {
    let event = traced(event, trace);
    let accepted =
        state.queue.accept_from(vec![event], |account| caller.sees(account)).await.map_err(|error| without_index(error.into()))?;
    let only = accepted.into_iter().next().map(AcceptedBody::from);
    Ok((StatusCode::ACCEPTED, Json(only)).into_response())
}

async fn accept_many(
    state: &ApiState,
    caller: &Caller,
    trace: Option<TraceContext>,
    events: Vec<IncomingEvent>,
) -> Result<Response, ApiError> {
    let events = events.into_iter().map(|event| traced(event, trace)).collect();
    let accepted = state.queue.accept_from(events, |account| caller.sees(account)).await?;
    let results = accepted.into_iter().map(AcceptedBody::from).collect();
    Ok((StatusCode::ACCEPTED, Json(AcceptedMany { results })).into_response())
}

async fn create_from_cloudevents(
    state: &ApiState,
    caller: &Caller,
    mode: Mode,
    headers: &HeaderMap,
    media_type: &str,
    text: &str,
) -> Result<Response, ApiError> {
    let own_account = match caller.accounts() {
        Accounts::One(account) => Some(account),
        Accounts::All => None,
    };
    let registry = state.queue.registry();
    let reading = Reading { registry: &registry, own_account };
    let trace = trace_of(headers);
    // The key of a CloudEvent is its `source` and `id`.
    let at_id = |mut error: ApiError| {
        for invalid in error.0.errors.iter_mut().filter(|invalid| invalid.code == "key_reused") {
            invalid.pointer = invalid.pointer.replace("/key", "/id");
        }
        error
    };
    match mode {
        Mode::Structured => accept_one(state, caller, trace, reading.structured(text, "")?).await.map_err(at_id),
        Mode::Binary => accept_one(state, caller, trace, reading.binary(headers, media_type, text)?).await.map_err(at_id),
        Mode::Batch => {
            let texts = array(text)?;
            check_count(texts.len())?;
            let events = read_events(&texts, |index, text| reading.structured(text, &format!("/{index}")))?;
            accept_many(state, caller, trace, events).await.map_err(at_id)
        }
    }
}

/// The header `Idempotency-Key`, as a quoted string or bare.
fn header_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let invalid = |detail: String| ApiError::invalid(vec![Invalid::new("", "invalid_key", format!("header `Idempotency-Key`: {detail}"))]);
    let text = value.to_str().map_err(|_| invalid("it holds bytes that are not visible ASCII; use letters and digits".into()))?.trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    bare.parse().map(Some).map_err(|error: crate::event::IdempotencyKeyError| invalid(error.to_string()))
}

fn array(text: &str) -> Result<Vec<&str>, ApiError> {
    let items: Vec<&RawValue> = body::read_borrowed(text, "")?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn check_count(count: usize) -> Result<(), ApiError> {
    match count {
        0 => Err(ApiError::invalid(vec![Invalid::new("", "no_events", "there is no event in the body; send 1 to 1,000")])),
        1..=EVENTS_MAX => Ok(()),
        _ => Err(ApiError::invalid(vec![Invalid::new(
            "",
            "too_many_events",
            format!("{count} events; send at most {EVENTS_MAX} in one request"),
        )])),
    }
}

/// Reads every event and reports the faults of all of them together.
fn read_events(texts: &[&str], read: impl Fn(usize, &str) -> Result<IncomingEvent, ApiError>) -> Result<Vec<IncomingEvent>, ApiError> {
    let mut events = Vec::with_capacity(texts.len());
    let mut errors = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match read(index, text) {
            Ok(event) => events.push(event),
            Err(error) if error.0.errors.is_empty() => {
                errors.push(Invalid::new(format!("/{index}"), error.0.code, error.0.detail.clone()));
            }
            Err(error) => errors.extend(error.0.errors),
        }
        if errors.len() >= 100 {
            break;
        }
    }
    if errors.is_empty() { Ok(events) } else { Err(ApiError::invalid(errors)) }
}

fn read_event(text: &str, header_key: Option<&IdempotencyKey>, index: Option<usize>) -> Result<IncomingEvent, ApiError> {
    let base = index.map(|index| format!("/{index}")).unwrap_or_default();
    let event: EventBody<'_> = body::read_borrowed(text, &base)?;
    let mut errors = Vec::new();
    let mut fault = |field: &str, code: &str, detail: String| errors.push(Invalid::new(format!("{base}{field}"), code, detail));
    let account =
        event.account.parse().map_err(|error: crate::event::NameError| fault("/account", "invalid_account", error.to_string())).ok();
    let event_type =
        event.event_type.parse().map_err(|error: crate::event::NameError| fault("/type", "invalid_event_type", error.to_string())).ok();
    let key = match (&event.key, header_key, index) {
        (Some(text), header, None) if header.is_some_and(|header| header.as_str() != text) => {
            fault("/key", "key_conflict", "the header `Idempotency-Key` and `key` differ; send one of them".into());
            None
        }
        (Some(text), _, _) => {
            text.parse().map_err(|error: crate::event::IdempotencyKeyError| fault("/key", "invalid_key", error.to_string())).ok()
        }
        (None, Some(header), None) => Some(header.clone()),
        (None, Some(header), Some(index)) => format!("{header}/{index}")
            .parse()
            .map_err(|error: crate::event::IdempotencyKeyError| fault("/key", "invalid_key", error.to_string()))
            .ok(),
        (None, None, _) => None,
    };
    let occurred_at = event.occurred_at.and_then(|text| match text.parse::<Timestamp>() {
        Ok(at) => Some((text.into_owned(), at)),
        Err(error) => {
            fault("/occurred_at", "invalid_time", error.to_string());
            None
        }
    });
    let data = EventData::parse(event.data.get())
        .map_err(|error| fault(&format!("/data{}", error.pointer), error.code, error.detail.clone()))
        .ok();
    match (account, event_type, data) {
        (Some(account), Some(event_type), Some(data)) if errors.is_empty() => {
            Ok(IncomingEvent { account, event_type, key, occurred_at, data })
        }
        _ => Err(ApiError::invalid(errors)),
    }
}

/// The same error about the only event: its pointers begin at the event and not at its place in a list.
fn without_index(mut error: ApiError) -> ApiError {
    for invalid in &mut error.0.errors {
        if let Some(rest) = invalid.pointer.strip_prefix("/0") {
            invalid.pointer = rest.to_owned();
        }
    }
    error.0.detail = error.0.detail.replace("the key of event 0 ", "the key ");
    error
}

/// An event as callers read it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub(super) struct EventJson {
    id: EventId,
    account: AccountId,
    #[serde(rename = "type")]
    event_type: EventType,
    key: Option<IdempotencyKey>,
    occurred_at: Timestamp,
    received_at: Timestamp,
    /// The macro values, with the digits of numbers as they came.
    #[schemars(with = "Map<String, Value>")]
    data: Box<RawValue>,
    /// Its deliveries; only of one event, not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<Vec<super::deliveries::DeliveryJson>>,
}

impl EventJson {
    pub(super) fn of(event: &Event) -> Self {
        Self::with_data(event, event.data.text().to_owned())
    }

    /// The event without these fields of its data.
    pub(super) fn without(event: &Event, hidden: &[&str]) -> Self {
        let mut fields = event.data.fields().clone();
        fields.retain(|name, _| !hidden.contains(&name.as_str()));
        Self::with_data(event, Value::Object(fields).to_string())
    }

    fn with_data(event: &Event, data: String) -> Self {
        let data = RawValue::from_string(data).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self {
            id: event.id,
            account: event.account.clone(),
            event_type: event.event_type.clone(),
            key: event.key.clone(),
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            data,
            deliveries: None,
        }
    }
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["account", "type", "since", "until", "data.", "limit", "cursor"])?;
    let account = caller.narrow(&state.queue.registry(), parameters.parse("account")?);
    let mut wanted = EventQuery {
        account: None,
        event_types: parameters.parse_all("type")?,
        since: parameters.parse("since")?,
        until: parameters.parse("until")?,
        fields: parameters.with_prefix("data.").map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        before: parameters.cursor()?.map(EventId::from_raw),
        limit: parameters.limit()?,
    };
    let Narrowed::To(account) = account else { return Ok(Listed::empty()) };
    wanted.account = account;
    let page = state.queue.events(&wanted).await?;
    Ok(Listed::new(page.items.iter().map(|event| EventJson::of(event)).collect(), page.next))
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let event_id: EventId = id.parse().map_err(|_| ApiError::not_found("event", &id))?;
    let event = caller.visible("event", &id, state.queue.event(event_id).await?, |event| &event.account)?;
    let deliveries = state.queue.deliveries_of(event_id).await?;
    let mut body = EventJson::of(&event);
    body.deliveries = Some(deliveries.iter().map(super::deliveries::DeliveryJson::of).collect());
    Ok(Json(body))
}
