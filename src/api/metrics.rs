//! Metrics for a monitoring system. They tell about the server as a whole, so that only an operator's
//! tools may read them from elsewhere.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;

use super::auth;
use super::caller::{Accounts, Caller};
use super::{ApiError, ApiState};
use crate::metrics::TEXT_TYPE;
use crate::queue::KeyScope;

/// Who may read the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsReaders {
    /// This machine; others with a key of an operator, or with one that reads of all accounts.
    Loopback,
    /// Everybody.
    Everybody,
}

pub(super) async fn show(State(state): State<ApiState>, request: Request) -> Result<impl IntoResponse, ApiError> {
    let (parts, _) = request.into_parts();
    let peer = auth::peer(&parts.extensions);
    let is_local = peer.is_loopback() && !is_forwarded(&parts.headers);
    if state.metrics == MetricsReaders::Loopback && !is_local {
        may_read(&auth::caller(&state, peer, &parts.headers).await?)?;
    }
    state.queue.measure().await?;
    let metrics = state.queue.metrics();
    metrics.set_ready(state.ready.is_ready());
    Ok(([(header::CONTENT_TYPE, TEXT_TYPE)], metrics.text()))
}

/// Whether a proxy on this machine passes on what somebody elsewhere asked.
fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| headers.contains_key(*name))
}

fn may_read(caller: &Caller) -> Result<(), ApiError> {
    match (caller.key().scope, caller.accounts()) {
        (KeyScope::Operator, _) | (KeyScope::Read, Accounts::All) => Ok(()),
        (KeyScope::Account | KeyScope::Read, _) => Err(ApiError::forbidden(
            "the metrics are of all accounts; use a key of scope `operator`, or of scope `read` without an account, or see `GET /v1/stats`",
        )),
    }
}
