//! Lets a call in: finds the key, the caller's address, and whether the key may make this call.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::caller::{Access, Caller};
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::queue::{Key, KeyHash, is_mistyped_key};

/// Lets a request through if its key may make this call, and tells the handler who calls.
pub(super) async fn admit(
    State((state, access)): State<(ApiState, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let now = state.clock.now();
    let key = identify(&state, request.headers(), now)?;
    access.check(request.method(), key.scope)?;
    key.last_use.note(now);
    request.extensions_mut().insert(Caller::new(key));
    Ok(next.run(request).await)
}

/// The key that a request carries.
fn identify(state: &ApiState, headers: &HeaderMap, now: Timestamp) -> Result<Arc<Key>, ApiError> {
    let unauthorized = |detail: &str| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
    let Some(text) = bearer(headers) else {
        return Err(unauthorized(
            "send the header `Authorization: Bearer <key>`; the operator's key is in `operator.key` in the data folder",
        ));
    };
    let hash = KeyHash::of(text);
    let of_operator = state.operator_key.hash.is(&hash).then(|| state.operator_key.clone());
    match of_operator.or_else(|| state.queue.registry().key_by_hash(&hash).cloned()) {
        Some(key) if !key.has_expired(now) => Ok(key),
        Some(_) => Err(unauthorized("this key has expired; use the one that took its place, or ask the operator for another")),
        None if is_mistyped_key(text) => {
            Err(unauthorized("this key was copied wrongly, its last characters do not fit the rest; copy it whole"))
        }
        None => Err(unauthorized("this key is not known, or not any more; the operator's key is in `operator.key` in the data folder")),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
