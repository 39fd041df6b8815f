//! Inbound keys: under which advertisers report. Who may change a key is shown its text, since the address to
//! which an advertiser's server sends contains it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{self, Body};
use super::caller::{Caller, Narrowed};
use super::keys::RotateBody;
use super::openapi::NO_CONTROLS;
use super::page::{Listed, Parameters};
use super::problem::Invalid;
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::id::InboundKeyId;
use crate::queue::{InboundKey, InboundKeySpec};
use crate::subscription::whole_number_or_none;

/// Most networks of one key.
const ADDRESSES_MAX: usize = 100;
/// Most reports in a second that a key may be allowed.
const PER_SECOND_MAX: u32 = 100_000;

/// An inbound key as callers read it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InboundKey")]
pub(super) struct InboundKeyJson {
    id: InboundKeyId,
    /// The advertiser.
    account: AccountId,
    /// The only offer that it is for; null: all of the account.
    offer: Option<OfferId>,
    /// What people call it.
    name: String,
    created_at: Timestamp,
    /// From when on it is not taken any more; null: never.
    expires_at: Option<Timestamp>,
    /// When it was used last; null: never.
    last_used_at: Option<Timestamp>,
    /// What the text of the key begins with.
    prefix: String,
    /// Most reports in a second; null: what the setting `inbound_per_second` says.
    per_second: Option<u32>,
    /// The only networks that it is taken from; empty: all.
    #[schemars(with = "Vec<String>")]
    addresses: Vec<IpNet>,
    /// The text of the key; not there for keys that may only read.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl InboundKeyJson {
    fn of(key: &InboundKey, caller: &Caller) -> Self {
        let text = key.text.as_ref().filter(|_| caller.may_write()).map(|text| text.expose().to_owned());
        Self {
            id: key.id,
            account: key.account.clone(),
            offer: key.offer.clone(),
            name: key.name.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_use.get(),
            prefix: key.prefix.clone(),
            per_second: key.per_second,
            addresses: key.addresses.clone(),
            key: text,
        }
    }
}

/// An answer with a key's text, which nobody on the way may keep.
fn answer(status: StatusCode, key: &InboundKey, caller: &Caller) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(InboundKeyJson::of(key, caller))).into_response()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewInboundKey")]
pub(super) struct NewInboundKey {
    /// The advertiser.
    account: AccountId,
    /// The only offer that it is for; all of the account if it is left out.
    #[serde(default)]
    offer: Option<OfferId>,
    /// What people call it.
    #[schemars(length(min = 1, max = 200), regex(pattern = NO_CONTROLS))]
    name: String,
    /// From when on it is not taken any more; in the future.
    #[serde(default)]
    expires_at: Option<Timestamp>,
    /// Most reports in a second; what the setting `inbound_per_second` says if it is left out.
    #[serde(default, deserialize_with = "whole_number_or_none")]
    #[schemars(range(min = 1, max = PER_SECOND_MAX))]
    per_second: Option<u32>,
    /// The only networks that it is taken from, such as `203.0.113.0/24`; all if it is left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = ADDRESSES_MAX))]
    addresses: Vec<String>,
}

impl NewInboundKey {
    fn checked(self, now: Timestamp) -> Result<InboundKeySpec, ApiError> {
        let Self { account, offer, name, expires_at, per_second, addresses } = self;
        let mut errors = Vec::new();
        let mut fault = |pointer: &str, code: &str, detail: &str| errors.push(Invalid::new(pointer, code, detail));
        if !(1..=200).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            fault("/name", "invalid_name", "use 1 to 200 characters, without control characters");
        }
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            fault("/expires_at", "out_of_range", "this time is past; use one that is still to come, or leave it out");
        }
        if per_second.is_some_and(|number| !(1..=PER_SECOND_MAX).contains(&number)) {
            fault("/per_second", "out_of_range", &format!("use 1 to {PER_SECOND_MAX}, or leave it out"));
        }
        if addresses.len() > ADDRESSES_MAX {
            fault("/addresses", "too_many_entries", &format!("{} networks; at most {ADDRESSES_MAX} are kept", addresses.len()));
        }
        let mut networks = Vec::new();
        for (index, text) in addresses.iter().enumerate().take(ADDRESSES_MAX) {
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
            match network {
                Some(network) => networks.push(network.trunc()),
                None => {
                    let detail = "this is no network; use one like `203.0.113.0/24`, or an address";
                    fault(&format!("/addresses/{index}"), "invalid_value", detail);
                }
            }
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid(errors));
        }
        Ok(InboundKeySpec { account, offer, name, expires_at, per_second, addresses: networks })
    }
}

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let new: NewInboundKey = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    caller.require_account(&new.account)?;
    let spec = new.checked(state.clock.now())?;
    let key = state.queue.create_inbound_key(&caller.actor(), spec, &*state.rng).await?;
    Ok(answer(StatusCode::CREATED, &key, &caller))
}

/// The key of this id, if the caller may see it.
pub(super) fn found(state: &ApiState, caller: &Caller, id: &str) -> Result<Arc<InboundKey>, ApiError> {
    let registry = state.queue.registry();
    let key = id.parse().ok().and_then(|id: InboundKeyId| registry.inbound_keys().get(id).cloned());
    caller.visible("inbound key", id, key, |key| &key.account)
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["account", "offer", "limit", "cursor"])?;
    let registry = state.queue.registry();
    let account = caller.narrow(&registry, parameters.parse("account")?);
    let offer: Option<OfferId> = parameters.parse("offer")?;
    let before = parameters.cursor()?.map(InboundKeyId::from_raw);
    let limit = parameters.limit()?;
    let Narrowed::To(account) = account else { return Ok(Listed::<InboundKeyJson>::empty().into_response()) };
    let mut keys: Vec<_> = registry
        .inbound_keys()
        .iter()
        .rev()
        .filter(|key| account.as_ref().is_none_or(|account| *account == key.account))
        .filter(|key| offer.is_none() || offer == key.offer)
        .filter(|key| before.is_none_or(|before| key.id < before))
        .take(limit + 1)
        .collect();
    let more = keys.len() > limit;
    keys.truncate(limit);
    let next = keys.last().filter(|_| more).map(|key| key.id.raw());
    let page = Listed::new(keys.into_iter().map(|key| InboundKeyJson::of(key, &caller)).collect(), next);
    Ok(([(header::CACHE_CONTROL, "no-store")], page).into_response())
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    Ok(answer(StatusCode::OK, &*found(&state, &caller, &id)?, &caller))
}

pub(super) async fn delete(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = found(&state, &caller, &id)?.id;
    state.queue.delete_inbound_key(&caller.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rotate(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let id = found(&state, &caller, &id)?.id;
    let overlap_s = RotateBody::read(body::text(&body, state.body_bytes_max)?)?;
    let overlap = Duration::from_secs(overlap_s);
    Ok(answer(StatusCode::CREATED, &*state.queue.rotate_inbound_key(&caller.actor(), id, overlap, &*state.rng).await?, &caller))
}
