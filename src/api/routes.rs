//! Every call of the API with the keys it takes. The router is built from this table and from nothing else.

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use super::caller::Access;
use super::{
    ApiState, accounts, addresses, audit, auth, deliveries, error, event_types, events, export, health, keys, me, metrics, observe, page,
    presets, preview, replays, responses, routing, slow, stats, subscriptions, templates,
};

/// One call: a method of a path. A GET also answers HEAD.
pub(super) struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    handler: MethodRouter<ApiState>,
}

impl Route {
    const fn new(method: Method, path: &'static str, handler: MethodRouter<ApiState>) -> Self {
        Self { method, path, access: Access::Keyed, handler }
    }

    fn get<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>) -> Self {
        Self::new(Method::GET, path, get(handler))
    }

    fn post<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>) -> Self {
        Self::new(Method::POST, path, post(handler))
    }

    fn put<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>) -> Self {
        Self::new(Method::PUT, path, put(handler))
    }

    fn patch<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>) -> Self {
        Self::new(Method::PATCH, path, patch(handler))
    }

    fn delete<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>) -> Self {
        Self::new(Method::DELETE, path, delete(handler))
    }

    /// The same call for these keys.
    const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }
}

/// All calls. One that says nothing about its access takes any key, and of keys that may only read GET alone.
fn routes() -> Vec<Route> {
    use Access::{Open, Operator, Pure};
    vec![
        Route::get("/healthz", health::live).access(Open),
        Route::get("/readyz", health::ready).access(Open),
        Route::get("/metrics", metrics::show).access(Open),
        Route::get("/v1/me", me::show),
        Route::get("/v1/keys", keys::list).access(Operator),
        Route::post("/v1/keys", keys::create).access(Operator),
        Route::get("/v1/keys/{id}", keys::show).access(Operator),
        Route::delete("/v1/keys/{id}", keys::delete).access(Operator),
        Route::post("/v1/keys/{id}/rotate", keys::rotate).access(Operator),
        Route::get("/v1/audit", audit::list),
        Route::get("/v1/accounts", accounts::list),
        Route::post("/v1/accounts", accounts::create).access(Operator),
        Route::get("/v1/accounts/{id}", accounts::show),
        Route::patch("/v1/accounts/{id}", accounts::patch).access(Operator),
        Route::delete("/v1/accounts/{id}", accounts::delete).access(Operator),
        Route::get("/v1/export", export::export).access(Operator),
        Route::get("/v1/events", events::list),
        Route::post("/v1/events", events::create),
        Route::get("/v1/events/{id}", events::show),
        Route::get("/v1/subscriptions", subscriptions::list),
        Route::post("/v1/subscriptions", subscriptions::create),
        Route::get("/v1/subscriptions/{id}", subscriptions::show),
        Route::put("/v1/subscriptions/{id}", subscriptions::replace),
        Route::patch("/v1/subscriptions/{id}", subscriptions::patch),
        Route::delete("/v1/subscriptions/{id}", subscriptions::delete),
        Route::post("/v1/subscriptions/{id}/pause", subscriptions::pause),
        Route::post("/v1/subscriptions/{id}/resume", subscriptions::resume),
        Route::post("/v1/subscriptions/{id}/signing/rotate", subscriptions::rotate_signing),
        Route::post("/v1/subscriptions/{id}/test", subscriptions::test),
        Route::get("/v1/stats", stats::show),
        Route::get("/v1/replays", replays::list),
        Route::post("/v1/replays", replays::create),
        Route::get("/v1/replays/{id}", replays::show),
        Route::post("/v1/replays/{id}/cancel", replays::cancel),
        Route::get("/v1/deliveries", deliveries::list),
        Route::get("/v1/deliveries/{id}", deliveries::show),
        Route::post("/v1/deliveries/{id}/retry", deliveries::retry),
        Route::post("/v1/deliveries/{id}/cancel", deliveries::cancel),
        Route::get("/v1/events/{id}/routing", routing::show),
        Route::get("/v1/addresses", addresses::show),
        Route::get("/v1/event-types", event_types::list),
        Route::post("/v1/event-types", event_types::create).access(Operator),
        Route::get("/v1/event-types/{type}", event_types::show),
        Route::delete("/v1/event-types/{type}", event_types::delete).access(Operator),
        Route::get("/v1/event-types/{type}/sample", event_types::sample),
        Route::post("/v1/templates/check", templates::check).access(Pure),
        Route::post("/v1/templates/render", templates::render).access(Pure),
        Route::post("/v1/templates/import", templates::import_text).access(Pure),
        Route::get("/v1/presets", presets::list),
        Route::get("/v1/presets/{name}", presets::show),
        Route::post("/v1/subscriptions/preview", preview::preview).access(Pure),
        Route::post("/v1/subscriptions/test", preview::test),
        Route::post("/v1/responses/check", responses::check).access(Pure),
    ]
}

/// Every call with the keys it takes.
#[must_use]
pub fn calls() -> Vec<(Method, &'static str, Access)> {
    routes().into_iter().map(|route| (route.method, route.path, route.access)).collect()
}

/// The path of a call as it is declared, which lives as long as the program.
pub(super) fn declared_path(path: &str) -> Option<&'static str> {
    static PATHS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| routes().iter().map(|route| route.path).collect());
    PATHS.get(path).copied()
}

/// The router of all calls.
pub fn router(state: ApiState) -> Router {
    let body_bytes_max = state.body_bytes_max;
    let mut router = Router::new();
    for Route { path, access, handler, .. } in routes() {
        let handler = match access {
            Access::Open => handler,
            Access::Keyed | Access::Pure | Access::Operator => {
                handler.route_layer(axum::middleware::from_fn_with_state((state.clone(), access), auth::admit))
            }
        };
        router = router.route(path, handler);
    }
    #[cfg(feature = "dashboard")]
    let router = router.route("/", get(super::dashboard::show)).route("/assets/{file}", get(super::dashboard::show));
    router
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(axum::middleware::from_fn(page::add_link))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(axum::middleware::map_response(error::as_problem))
        .layer(axum::middleware::map_request_with_state(state.clone(), slow::limit_body))
        .layer(axum::middleware::from_fn_with_state(state.clone(), observe::observe))
        .with_state(state)
}
