//! API keys. A key's text is in the answer that makes it and nowhere else.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{self, Body};
use super::caller::Caller;
use super::openapi::NO_CONTROLS;
use super::page::{Listed, Parameters};
use super::problem::Invalid;
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::KeyId;
use crate::queue::{IssuedKey, Key, KeyRef, KeyScope, KeySpec};
use crate::subscription::whole_number;

/// How long a key that is rotated goes on being taken if the caller does not say, in seconds.
const OVERLAP_DEFAULT_S: u64 = 86_400;
/// How long at most, in seconds.
const OVERLAP_MAX_S: u64 = 30 * 86_400;

/// A key as callers read it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub(super) struct KeyJson {
    id: KeyRef,
    /// What people call it.
    name: String,
    scope: KeyScope,
    /// Whose; null: every account's.
    account: Option<AccountId>,
    created_at: Timestamp,
    /// From when on it is not taken any more; null: never.
    expires_at: Option<Timestamp>,
    /// When it was used last; null: never.
    last_used_at: Option<Timestamp>,
    /// What the text of the key begins with.
    prefix: String,
}

impl KeyJson {
    pub fn of(key: &Key) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            scope: key.scope,
            account: key.account.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_use.get(),
            prefix: key.prefix.clone(),
        }
    }
}

/// A key with its text, which is shown once.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IssuedKey")]
pub(super) struct IssuedKeyJson<'a> {
    #[serde(flatten)]
    shown: KeyJson,
    /// The text of the key, which is in this answer and in no other.
    #[serde(rename = "key")]
    text: &'a str,
}

/// The one answer with the key's text, which nobody on the way may keep.
fn issued(issued: &IssuedKey) -> Response {
    let body = IssuedKeyJson { shown: KeyJson::of(&issued.key), text: issued.text.expose() };
    (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewKey")]
pub(super) struct NewKeyBody {
    /// What people call it.
    #[schemars(length(min = 1, max = 200), regex(pattern = NO_CONTROLS))]
    name: String,
    scope: KeyScope,
    /// Whose; needed with the scope `account`, not taken with `operator`.
    #[serde(default)]
    account: Option<AccountId>,
    /// From when on it is not taken any more; in the future.
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let NewKeyBody { name, scope, account, expires_at } = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let mut errors = Vec::new();
    let mut fault = |pointer: &str, code: &str, detail: &str| errors.push(Invalid::new(pointer, code, detail));
    if !(1..=200).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        fault("/name", "invalid_name", "use 1 to 200 characters, without control characters");
    }
    match scope {
        KeyScope::Account if account.is_none() => {
            fault("/account", "missing_field", "a key of scope `account` is for one account; name it");
        }
        KeyScope::Operator if account.is_some() => {
            fault(
                "/account",
                "invalid_value",
                "a key of scope `operator` is for every account; leave `account` out, or use scope `account`",
            );
        }
        KeyScope::Operator | KeyScope::Account | KeyScope::Read => {}
    }
    if expires_at.is_some_and(|expires_at| expires_at <= state.clock.now()) {
        fault("/expires_at", "out_of_range", "this time is past; use one that is still to come, or leave it out");
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let new = KeySpec { name, scope, account, expires_at };
    Ok(issued(&state.queue.create_key(&caller.actor(), new, &*state.rng).await?))
}

pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["limit", "cursor"])?;
    let before = parameters.cursor()?.unwrap_or(u128::MAX);
    let limit = parameters.limit()?;
    let registry = state.queue.registry();
    // The key of the file is older than all others: nobody could have made them without it.
    let operator_key = (KeyId::from_raw(0), state.gate.operator_key());
    let mut keys: Vec<_> = registry.keys().chain([operator_key]).filter(|(id, _)| id.raw() < before).take(limit + 1).collect();
    let more = keys.len() > limit;
    keys.truncate(limit);
    let next = keys.last().filter(|_| more).map(|(id, _)| id.raw());
    Ok(Listed::new(keys.into_iter().map(|(_, key)| KeyJson::of(key)).collect(), next))
}

/// What a path names.
fn parse_id(id: &str) -> Result<KeyRef, ApiError> {
    id.parse().map_err(|_| ApiError::not_found("key", id))
}

/// The id of a key that can be changed here.
fn created_id(id: &str) -> Result<KeyId, ApiError> {
    match parse_id(id)? {
        KeyRef::Created(id) => Ok(id),
        KeyRef::Operator => Err(ApiError::new(
            StatusCode::CONFLICT,
            "key_in_file",
            "this key is in the file `operator.key` in the data folder; to replace it, stop the server, remove the file, and start again",
        )),
    }
}

pub(super) async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let registry = state.queue.registry();
    let key = match parse_id(&id)? {
        KeyRef::Operator => Some(state.gate.operator_key()),
        KeyRef::Created(id) => registry.key(id),
    };
    key.map(|key| Json(KeyJson::of(key))).ok_or_else(|| ApiError::not_found("key", &id))
}

pub(super) async fn delete(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    state.queue.delete_key(&caller.actor(), created_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeyRotation")]
pub(super) struct RotateBody {
    /// For how many seconds the old key is taken, too.
    #[serde(default = "overlap_default_s", deserialize_with = "whole_number")]
    #[schemars(range(max = OVERLAP_MAX_S))]
    overlap_s: u64,
}

impl RotateBody {
    /// For how many seconds both keys are taken, by a body that may be left out.
    pub fn read(text: &str) -> Result<u64, ApiError> {
        let Self { overlap_s } = if text.trim().is_empty() { Self { overlap_s: OVERLAP_DEFAULT_S } } else { body::read(text, "")? };
        if overlap_s > OVERLAP_MAX_S {
            let detail = format!("use 0 to {OVERLAP_MAX_S} seconds, for which both keys are taken");
            return Err(ApiError::invalid(vec![Invalid::new("/overlap_s", "out_of_range", detail)]));
        }
        Ok(overlap_s)
    }
}

const fn overlap_default_s() -> u64 {
    OVERLAP_DEFAULT_S
}

pub(super) async fn rotate(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let id = created_id(&id)?;
    let overlap = Duration::from_secs(RotateBody::read(body::text(&body, state.body_bytes_max)?)?);
    Ok(issued(&state.queue.rotate_key(&caller.actor(), id, overlap, &*state.rng).await?))
}
