//! Is it alive, does it take work? Both are answered without a key and without touching anybody's data.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

use super::ApiState;

/// Alive: the process answers.
pub(super) async fn live() -> impl IntoResponse {
    Json(json!({"status": "ok"}))
}

/// Ready: the store is open, the operator's key exists and the server is not stopping.
pub(super) async fn ready(State(state): State<ApiState>) -> impl IntoResponse {
    if state.ready.is_ready() {
        (StatusCode::OK, Json(json!({"status": "ready"})))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready"})))
    }
}
