//! The incoming log: reports as they came in, and what was answered.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::IntoResponse;

use super::caller::{Accounts, Caller, Narrowed};
use super::page::{Listed, Parameters, invalid_parameter};
use super::{ApiError, ApiState};
use crate::id::InboundCallId;
use crate::inbound::{CallResult, InboundCall};
use crate::queue::InboundCallQuery;

/// The filters of the list.
const KNOWN: [&str; 13] =
    ["account", "offer", "result", "code", "status", "request_id", "lead", "click", "address", "since", "until", "limit", "cursor"];

fn http_status(text: &str) -> Result<u16, ApiError> {
    let status = text.parse().ok().filter(|status| (100..=599).contains(status));
    status.ok_or_else(|| invalid_parameter("status", "use an HTTP status, 100 to 599"))
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &KNOWN)?;
    let account = caller.narrow(&state.queue.registry(), parameters.parse("account")?);
    let text = |name: &str| parameters.get(name).map(str::to_owned);
    let mut wanted = InboundCallQuery {
        account: None,
        offer: parameters.parse("offer")?,
        result: parameters.get("result").map(result_named).transpose()?,
        code: text("code"),
        status: parameters.get("status").map(http_status).transpose()?,
        request_id: text("request_id"),
        lead: text("lead"),
        click: text("click"),
        address: parameters.parse("address")?,
        since: parameters.parse("since")?,
        until: parameters.parse("until")?,
        before: parameters.cursor()?.map(InboundCallId::from_raw),
        limit: parameters.limit()?,
    };
    let Narrowed::To(account) = account else { return Ok(Listed::empty()) };
    wanted.account = account;
    let page = state.queue.inbound_calls(&wanted).await?;
    Ok(Listed::new(page.items, page.next))
}

fn result_named(text: &str) -> Result<CallResult, ApiError> {
    [CallResult::Success, CallResult::Repeated, CallResult::Conflict, CallResult::Error]
        .into_iter()
        .find(|result| result.as_str() == text)
        .ok_or_else(|| invalid_parameter("result", "use `success`, `repeated`, `conflict` or `error`"))
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let not_found = || ApiError::not_found("inbound call", &id);
    let parsed: InboundCallId = id.parse().map_err(|_| not_found())?;
    let accounts = match caller.accounts() {
        Accounts::One(own) => vec![Some(own)],
        Accounts::All => state.queue.advertisers().into_iter().map(Some).chain([None]).collect(),
    };
    for account in &accounts {
        if let Some(call) = state.queue.inbound_call(account.as_ref(), parsed).await? {
            return Ok(Json::<InboundCall>(call));
        }
    }
    Err(not_found())
}
