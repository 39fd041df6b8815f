//! Is it alive, does it take work? Both are answered without a key and without touching anybody's data.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

use super::ApiState;

/// How long the dispatcher's loop may be silent. It beats every few seconds.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Alive: the process answers, and the dispatcher's loop turns.
pub(super) async fn live(State(state): State<ApiState>) -> impl IntoResponse {
    if state.pulse.is_alive(state.clock.instant(), SILENCE_MAX) {
        (StatusCode::OK, Json(json!({"status": "ok"})))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "the dispatcher hangs; restart the server"})))
    }
}

/// Ready: the store is open, the operator's key exists and the server is not stopping.
pub(super) async fn ready(State(state): State<ApiState>) -> impl IntoResponse {
    if state.ready.is_ready() {
        (StatusCode::OK, Json(json!({"status": "ready"})))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready"})))
    }
}
