//! Is it alive, does it take work? Both are answered without a key and without touching anybody's data.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;

use super::ApiState;

/// How long the dispatcher's loop may be silent. It beats every few seconds.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How it stands with the server.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    status: HealthStatus,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum HealthStatus {
    /// The process answers, and its dispatcher works.
    Ok,
    /// The process answers, and nothing is sent.
    #[serde(rename = "the dispatcher hangs; restart the server")]
    Hangs,
    /// It takes work.
    Ready,
    /// It takes no work: it is starting or stopping, or its database cannot be reached.
    #[serde(rename = "not ready")]
    NotReady,
}

/// Alive: the process answers, and the dispatcher's loop turns.
pub(super) async fn live(State(state): State<ApiState>) -> impl IntoResponse {
    if state.pulse.is_alive(state.clock.instant(), SILENCE_MAX) {
        (StatusCode::OK, Json(Health { status: HealthStatus::Ok }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: HealthStatus::Hangs }))
    }
}

/// Ready: the store is open and can be reached, the operator's key exists and the server is not stopping.
pub(super) async fn ready(State(state): State<ApiState>) -> impl IntoResponse {
    if state.ready.is_ready() && state.queue.is_reachable() {
        (StatusCode::OK, Json(Health { status: HealthStatus::Ready }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: HealthStatus::NotReady }))
    }
}
