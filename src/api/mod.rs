//! The REST API: one file per resource. `error.rs` alone knows which error gets which status and code.
//!
//! Handlers read and check what came in, ask the queue, and write JSON. They decide nothing about
//! deliveries, and they know no dispatcher.

mod accounts;
mod auth;
mod body;
mod deliveries;
mod error;
mod events;
mod health;
mod page;
mod problem;
mod stats;
mod subscriptions;
mod trial;

pub use auth::OperatorKey;
pub use deliveries::attempt_json;
pub use error::ApiError;
pub use problem::{Invalid, Problem};
pub use trial::{Trial, try_once};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::clock::Clock;
use crate::queue::Queue;
use crate::request::guard::Guard;
use crate::request::send::Transport;

/// What handlers need.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Events, deliveries and configuration.
    pub queue: Arc<Queue>,
    /// Sends tests.
    pub transport: Arc<dyn Transport>,
    /// Tells which URLs would be refused, for warnings.
    pub guard: Guard,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who may do everything.
    pub operator_key: Arc<OperatorKey>,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Whether the server takes work.
    pub ready: Readiness,
}

/// Whether the server takes work; shared by those who know and those who tell.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets whether the server takes work.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether the server takes work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// All routes.
pub fn router(state: ApiState) -> Router {
    let body_bytes_max = state.body_bytes_max;
    let keyed = Router::new()
        .route("/v1/accounts", get(accounts::list).post(accounts::create))
        .route("/v1/accounts/{id}", get(accounts::show))
        .route("/v1/events", get(events::list).post(events::create))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/subscriptions", get(subscriptions::list).post(subscriptions::create))
        .route(
            "/v1/subscriptions/{id}",
            get(subscriptions::show).put(subscriptions::replace).patch(subscriptions::patch).delete(subscriptions::delete),
        )
        .route("/v1/subscriptions/{id}/pause", post(subscriptions::pause))
        .route("/v1/subscriptions/{id}/resume", post(subscriptions::resume))
        .route("/v1/subscriptions/{id}/test", post(subscriptions::test))
        .route("/v1/stats", get(stats::show))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/retry", post(deliveries::retry))
        .route("/v1/deliveries/{id}/cancel", post(deliveries::cancel))
        .route_layer(axum::middleware::from_fn_with_state(state.clone(), auth::require_key));
    Router::new()
        .merge(keyed)
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(state)
}
