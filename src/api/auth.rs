//! Who calls: the bearer key.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{ApiError, ApiState};

/// The key that may do everything, held as its hash.
pub struct OperatorKey([u8; 32]);

impl OperatorKey {
    /// The key whose text is `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    fn is(&self, text: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        self.0.ct_eq(&hash).into()
    }
}

impl std::fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorKey(…)")
    }
}

/// Lets a request through if it carries the key.
pub(super) async fn require_key(State(state): State<ApiState>, request: Request, next: Next) -> Result<Response, ApiError> {
    let unauthorized = |detail: &str| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
    let Some(key) = bearer(request.headers()) else {
        return Err(unauthorized(
            "send the header `Authorization: Bearer <key>`; the operator's key is in `operator.key` in the data folder",
        ));
    };
    if !state.operator_key.is(key) {
        return Err(unauthorized("this key is not known; compare it with `operator.key` in the data folder"));
    }
    Ok(next.run(request).await)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
