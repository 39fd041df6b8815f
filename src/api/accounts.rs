//! Accounts: whose events and subscriptions.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::body::{self, Body};
use super::page::{Listed, Parameters};
use super::problem::Invalid;
use super::{ApiError, ApiState};
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

pub(super) async fn create(State(state): State<ApiState>, body: Body) -> Result<impl IntoResponse, ApiError> {
    let new: NewAccount = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let mut errors = Vec::new();
    let name = new.name.unwrap_or_else(|| new.id.to_string());
    if !(1..=200).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        errors.push(Invalid::new("/name", "invalid_name", "use 1 to 200 characters, without control characters"));
    }
    if new.fields.len() > FIELDS_MAX {
        errors.push(Invalid::new("/fields", "too_many_fields", format!("at most {FIELDS_MAX} extra fields can be declared")));
    }
    for (index, field) in new.fields.iter().enumerate().take(FIELDS_MAX).filter(|(_, field)| !is_macro_name(field)) {
        let detail = format!("`{}` is not a macro name; use letters, digits and `_`, not a digit first, at most 64", field.escape_debug());
        errors.push(Invalid::new(format!("/fields/{index}"), "invalid_field_name", detail));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let account = Account { id: new.id, name, fields: new.fields, created_at: state.clock.now() };
    state.queue.create_account(account.clone()).await.map_err(|error| match error {
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

pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["limit", "cursor"])?;
    let registry = state.queue.registry();
    let mut accounts: Vec<_> = registry.accounts().cloned().collect();
    accounts.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    let skip = usize::try_from(parameters.cursor()?.unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = parameters.limit()?;
    let next = skip.saturating_add(limit);
    let more = accounts.len() > next;
    let data = accounts.into_iter().skip(skip).take(limit).map(|account| (*account).clone()).collect();
    Ok(Listed::<Account>::new(data, more.then_some(next as u128)))
}

pub(super) async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let registry = state.queue.registry();
    let account = id.parse().ok().and_then(|account: AccountId| registry.account(&account).cloned());
    account.map(|account| Json((*account).clone())).ok_or_else(|| ApiError::not_found("account", &id))
}
