//! Accounts: whose events and subscriptions.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::body::{self, Body};
use super::caller::Caller;
use super::openapi::NO_CONTROLS;
use super::page::{ByCreation, Parameters};
use super::problem::Invalid;
use super::subscriptions::warning_json;
use super::versions::{expected_version, patched, read_fields, with_etag};
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::event::catalogue::is_macro_name;
use crate::event::{AccountId, EventTypePattern};
use crate::queue::{Account, AccountKind, AccountLimits, ConfigureError, LIMIT_MAX};
use crate::subscription::SubscriptionWarning;

/// Most extra macro names of an account.
const FIELDS_MAX: usize = 200;

/// Most entries of `allowed_event_types`.
const ALLOWED_MAX: usize = 200;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    id: AccountId,
    /// What people call it; the id if it is left out.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200), regex(pattern = NO_CONTROLS))]
    name: Option<String>,
    /// What it is, by which the operator's settings keep it to families of event types; null for no kind.
    #[serde(default)]
    kind: Option<AccountKind>,
    /// Macro names beyond the catalogue that its templates may use.
    #[serde(default)]
    #[schemars(length(max = FIELDS_MAX), inner(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,63}$")))]
    fields: Vec<String>,
    /// The event types that it may have; null: all that its kind may.
    #[serde(default)]
    #[schemars(length(min = 1, max = ALLOWED_MAX))]
    allowed_event_types: Option<Vec<EventTypePattern>>,
    /// How much of it is kept.
    #[serde(default)]
    limits: AccountLimits,
}

impl NewAccount {
    /// The account with everything checked.
    fn checked(self, created_at: Timestamp) -> Result<Account, ApiError> {
        let mut errors = Vec::new();
        let name = self.name.unwrap_or_else(|| self.id.to_string());
        if !(1..=200).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            errors.push(Invalid::new("/name", "invalid_name", "use 1 to 200 characters, without control characters"));
        }
        if self.fields.len() > FIELDS_MAX {
            errors.push(Invalid::new("/fields", "too_many_fields", format!("at most {FIELDS_MAX} extra fields can be declared")));
        }
        for (index, field) in self.fields.iter().enumerate().take(FIELDS_MAX).filter(|(_, field)| !is_macro_name(field)) {
            let detail =
                format!("`{}` is not a macro name; use letters, digits and `_`, not a digit first, at most 64", field.escape_debug());
            errors.push(Invalid::new(format!("/fields/{index}"), "invalid_field_name", detail));
        }
        match self.allowed_event_types.as_ref().map(Vec::len) {
            Some(0) => {
                let detail = "an empty list would allow nothing; list at least one type, or use null to allow all";
                errors.push(Invalid::new("/allowed_event_types", "no_event_types", detail));
            }
            Some(count) if count > ALLOWED_MAX => {
                let detail = format!("{count} entries; at most {ALLOWED_MAX} are kept, use wildcards");
                errors.push(Invalid::new("/allowed_event_types", "out_of_range", detail));
            }
            _ => {}
        }
        for (name, limit) in [("events_max", self.limits.events_max), ("bytes_max", self.limits.bytes_max)] {
            if limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit)) {
                let detail = format!("use 1 to {LIMIT_MAX}, or null for what the operator's settings say");
                errors.push(Invalid::new(format!("/limits/{name}"), "out_of_range", detail));
            }
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid(errors));
        }
        let Self { id, kind, fields, allowed_event_types, limits, .. } = self;
        Ok(Account { kind, fields, allowed_event_types, limits, ..Account::new(id, name, created_at) })
    }
}

fn answer(status: StatusCode, account: &Account, warnings: Option<&[SubscriptionWarning]>) -> Response {
    let mut body = serde_json::to_value(account).expect("an account has only text keys, so it can be written as JSON");
    if let Some(warnings) = warnings {
        body["warnings"] = warnings.iter().map(warning_json).collect();
    }
    with_etag(status, account.version, body)
}

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let new: NewAccount = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let account = new.checked(state.clock.now())?;
    if state.queue.registry().deleting_account(&account.id).is_some() {
        let detail = format!(
            "account `{}` is being deleted; its id can be used again when `GET /v1/accounts/{}` answers 404",
            account.id, account.id
        );
        return Err(ApiError::new(StatusCode::CONFLICT, "account_being_deleted", detail));
    }
    state.queue.create_account(&caller.actor(), account.clone()).await.map_err(|error| match error {
        ConfigureError::Conflict { id } => {
            ApiError::new(StatusCode::CONFLICT, "account_exists", format!("account `{id}` exists already; use it, or choose another id"))
        }
        other => other.into(),
    })?;
    Ok(answer(StatusCode::CREATED, &account, None))
}

/// The fields that the server sets; a caller may send back what it read.
pub(super) const READ_ONLY: [&str; 6] = ["id", "version", "created_at", "updated_at", "deleting_since", "warnings"];

/// `PATCH /v1/accounts/{id}`, JSON Merge Patch.
pub(super) async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let account = found(&state, &caller, &id)?;
    let expected = expected_version(&headers)?;
    let mut patch = read_fields(body::text(&body, state.body_bytes_max)?, &READ_ONLY)?;
    let changed = state
        .queue
        .change_account(&caller.actor(), &account.id, expected, |present| {
            let present_json = serde_json::to_value(present).expect("an account has only text keys, so it can be written as JSON");
            patch.insert("id".into(), Value::String(present.id.to_string()));
            patched::<NewAccount>(present_json, patch, &READ_ONLY)?.checked(present.created_at)
        })
        .await?;
    Ok(answer(StatusCode::OK, &changed.account, Some(&changed.warnings)))
}

/// `DELETE /v1/accounts/{id}`: begins to remove everything of it. Asked again it answers the same, until all is gone.
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let account = found(&state, &caller, &id)?;
    let account = state.queue.delete_account(&caller.actor(), &account.id, expected_version(&headers)?).await?;
    Ok(answer(StatusCode::ACCEPTED, &account, None))
}

/// The account of this id, also one whose data are being removed, if the caller may see it.
fn found(state: &ApiState, caller: &Caller, id: &str) -> Result<Arc<Account>, ApiError> {
    let registry = state.queue.registry();
    let account = id.parse().ok().and_then(|id: AccountId| registry.account(&id).or_else(|| registry.deleting_account(&id)).cloned());
    caller.visible("account", id, account, |account| &account.id)
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["limit", "cursor"])?;
    let page = ByCreation::read(&parameters)?;
    let registry = state.queue.registry();
    let accounts = registry.accounts().filter(|account| caller.sees(&account.id)).cloned();
    Ok(page.of(accounts, |account| (account.created_at, account.id.as_str())).map(|account| Account::clone(&account)))
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    let account = found(&state, &caller, &id)?;
    Ok(answer(StatusCode::OK, &account, None))
}
