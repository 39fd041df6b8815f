//! Offers: what an advertiser pays for.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::body::{self, Body};
use super::caller::{Caller, Narrowed};
use super::page::{ByCreation, Listed, Parameters, invalid_parameter};
use super::versions::{expected_version, patched, read_fields, read_whole, with_etag};
use super::{ApiError, ApiState};
use crate::event::{AccountId, OfferId};
use crate::inbound::{Offer, OfferSpec, OfferState};
use crate::queue::{ConfigureOfferError, RegisteredOffer};

/// The fields that the server sets; a caller may send back what it read.
pub(super) const READ_ONLY: [&str; 4] = ["id", "version", "created_at", "updated_at"];

fn answer(status: StatusCode, offer: &Offer) -> Response {
    with_etag(status, offer.version, offer)
}

/// The offer of this id, if the caller may see it.
pub(super) fn found(state: &ApiState, caller: &Caller, id: &str) -> Result<Arc<RegisteredOffer>, ApiError> {
    let registry = state.queue.registry();
    let offer = id.parse().ok().and_then(|id: OfferId| registry.offer(&id).cloned());
    caller.visible("offer", id, offer, |known| &known.offer.account)
}

/// Whose it is, apart from what it says.
#[derive(Debug, Deserialize)]
struct Owned {
    id: OfferId,
    account: AccountId,
}

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let text = body::text(&body, state.body_bytes_max)?;
    let Owned { id, account } = body::read(text, "")?;
    let spec: OfferSpec = read_whole(text, &["id", "account"])?;
    caller.require_account(&account)?;
    Ok(answer(StatusCode::CREATED, &*state.queue.create_offer(&caller.actor(), id, account, spec).await?))
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["account", "state", "limit", "cursor"])?;
    let registry = state.queue.registry();
    let account = caller.narrow(&registry, parameters.parse("account")?);
    let states: Vec<OfferState> = parameters.all("state").map(state_named).collect::<Result<_, _>>()?;
    let page = ByCreation::read(&parameters)?;
    let Narrowed::To(account) = account else { return Ok(Listed::empty()) };
    let offers = registry.offers().map(|known| &known.offer).filter(|offer| {
        account.as_ref().is_none_or(|account| *account == offer.account) && (states.is_empty() || states.contains(&offer.spec.state))
    });
    Ok(page.of(offers.cloned(), |offer| (offer.created_at, offer.id.as_str())).map(|offer| Offer::clone(&offer)))
}

fn state_named(text: &str) -> Result<OfferState, ApiError> {
    match text {
        "active" => Ok(OfferState::Active),
        "paused" => Ok(OfferState::Paused),
        _ => Err(invalid_parameter("state", "use `active` or `paused`")),
    }
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    Ok(answer(StatusCode::OK, &found(&state, &caller, &id)?.offer))
}

/// The spec that was sent in place of `present`, which stays with its account.
fn kept_by_account(mut fields: serde_json::Map<String, Value>, present: &Offer) -> Result<serde_json::Map<String, Value>, ApiError> {
    if let Some(account) = fields.shift_remove("account") {
        let account: AccountId = body::read(&account.to_string(), "/account")?;
        if account != present.account {
            return Err(ConfigureOfferError::AccountChanged(account).into());
        }
    }
    Ok(fields)
}

pub(super) async fn replace(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let id = found(&state, &caller, &id)?.offer.id.clone();
    let expected = expected_version(&headers)?;
    let fields = read_fields(body::text(&body, state.body_bytes_max)?, &READ_ONLY)?;
    let edit = |present: &Offer| {
        let fields = kept_by_account(fields, present)?;
        body::read::<OfferSpec>(&Value::Object(fields).to_string(), "")
    };
    Ok(answer(StatusCode::OK, &*state.queue.change_offer(&caller.actor(), &id, expected, edit).await?))
}

pub(super) async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let id = found(&state, &caller, &id)?.offer.id.clone();
    let expected = expected_version(&headers)?;
    let fields = read_fields(body::text(&body, state.body_bytes_max)?, &READ_ONLY)?;
    let edit = |present: &Offer| {
        let fields = kept_by_account(fields, present)?;
        let spec = serde_json::to_value(&present.spec).expect("an offer has only text keys, so it can be written as JSON");
        patched::<OfferSpec>(spec, fields, &READ_ONLY)
    };
    Ok(answer(StatusCode::OK, &*state.queue.change_offer(&caller.actor(), &id, expected, edit).await?))
}

pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let id = found(&state, &caller, &id)?.offer.id.clone();
    state.queue.delete_offer(&caller.actor(), &id, expected_version(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
