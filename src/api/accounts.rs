//! Accounts: whose events and subscriptions.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::body::{self, Body};
use super::caller::Caller;
use super::page::{Listed, NO_CURSOR, Parameters, invalid_parameter};
use super::problem::Invalid;
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::queue::{Account, ConfigureError};

/// Most extra macro names of an account.
const FIELDS_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    id: AccountId,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    fields: Vec<String>,
}

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<impl IntoResponse, ApiError> {
    let new: NewAccount = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let mut errors = Vec::new();
    let name = new.name.unwrap_or_else(|| new.id.to_string());
    if !(1..=200).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        errors.push(Invalid::new("/name", "invalid_name", "use 1 to 200 characters, without control characters"));
    }
    if new.fields.len() > FIELDS_MAX {
        errors.push(Invalid::new("/fields", "too_many_fields", format!("at most {FIELDS_MAX} extra fields can be declared")));
    }
    for (index, field) in new.fields.iter().enumerate().filter(|(_, field)| !is_macro_name(field)) {
        let detail = format!("`{}` is not a macro name; use letters, digits and `_`, not a digit first, at most 64", field.escape_debug());
        errors.push(Invalid::new(format!("/fields/{index}"), "invalid_field_name", detail));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let account = Account { id: new.id, name, fields: new.fields, created_at: state.clock.now() };
    state.queue.create_account(&caller.actor(), account.clone()).await.map_err(|error| match error {
        ConfigureError::Conflict { id } => {
            ApiError::new(StatusCode::CONFLICT, "account_exists", format!("account `{id}` exists already; use it, or choose another id"))
        }
        other => other.into(),
    })?;
    Ok((StatusCode::CREATED, Json(account)))
}

fn is_macro_name(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["limit", "cursor"])?;
    let before = parameters.get("cursor").map(read_cursor).transpose()?;
    let limit = parameters.limit()?;
    let registry = state.queue.registry();
    let mut accounts: Vec<_> = registry
        .accounts()
        .filter(|account| caller.sees(&account.id))
        .filter(|account| before.as_ref().is_none_or(|before| place(account) < *before))
        .cloned()
        .collect();
    accounts.sort_by_cached_key(|account| std::cmp::Reverse(place(account)));
    let more = accounts.len() > limit;
    accounts.truncate(limit);
    let next = accounts.last().filter(|_| more).map(|last| format!("{:x}-{}", last.created_at.unix_ms(), last.id));
    Ok(Listed::after(accounts.iter().map(|account| Account::clone(account)).collect(), next))
}

/// Where an account stands in the list: those created in one millisecond are in the order of their ids.
fn place(account: &Account) -> (Timestamp, AccountId) {
    (account.created_at, account.id.clone())
}

/// The place of the last account of the page before.
fn read_cursor(text: &str) -> Result<(Timestamp, AccountId), ApiError> {
    let read = || {
        let (created_at, id) = text.split_once('-')?;
        Some((Timestamp::from_unix_ms(i64::from_str_radix(created_at, 16).ok()?), id.parse().ok()?))
    };
    read().ok_or_else(|| invalid_parameter("cursor", NO_CURSOR))
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let registry = state.queue.registry();
    let account = id.parse().ok().and_then(|account: AccountId| registry.account(&account).cloned());
    let account = caller.visible("account", &id, account, |account| &account.id)?;
    Ok(Json((*account).clone()))
}
