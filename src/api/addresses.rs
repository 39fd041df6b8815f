//! Where requests come from, for the lists of receivers' firewalls.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};

use super::page::Parameters;
use super::{ApiError, ApiState};
use crate::request::send::USER_AGENT;

/// `GET /v1/addresses`: the addresses and networks that the operator set, and the user agent of every request.
pub(super) async fn show(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json<Value>, ApiError> {
    Parameters::read(query.as_deref(), &[])?;
    Ok(Json(json!({"addresses": *state.egress_addresses, "user_agent": USER_AGENT})))
}
