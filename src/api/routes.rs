//! Every call of the API with the keys it takes and its description. The router and the OpenAPI document are
//! built from this table and from nothing else.

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use super::caller::Access;
use super::openapi::calls;
use super::openapi::{self, Described, MediaTypes, Operation};
use super::{
    ApiState, accounts, actions, addresses, audit, auth, body, clicks, deliveries, error, event_types, events, export, health,
    inbound_calls, inbound_keys, integration, keys, me, metrics, nodes, observe, offers, page, presets, preview, replays, responses,
    routing, s2s, slow, stats, subscriptions, templates, test_runs,
};

/// One call: a method of a path. A GET also answers HEAD.
pub(super) struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    handler: MethodRouter<ApiState>,
    describe: fn() -> Operation,
}

impl Route {
    const fn new(method: Method, path: &'static str, handler: MethodRouter<ApiState>, describe: fn() -> Operation) -> Self {
        Self { method, path, access: Access::Keyed, handler, describe }
    }

    fn get<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>, describe: fn() -> Operation) -> Self {
        Self::new(Method::GET, path, get(handler), describe)
    }

    fn post<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>, describe: fn() -> Operation) -> Self {
        Self::new(Method::POST, path, post(handler), describe)
    }

    fn put<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>, describe: fn() -> Operation) -> Self {
        Self::new(Method::PUT, path, put(handler), describe)
    }

    fn patch<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>, describe: fn() -> Operation) -> Self {
        Self::new(Method::PATCH, path, patch(handler), describe)
    }

    fn delete<T: 'static>(path: &'static str, handler: impl Handler<T, ApiState>, describe: fn() -> Operation) -> Self {
        Self::new(Method::DELETE, path, delete(handler), describe)
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
        Route::get("/healthz", health::live, calls::server::live).access(Open),
        Route::get("/readyz", health::ready, calls::server::ready).access(Open),
        Route::get("/openapi.json", openapi::show, calls::server::openapi).access(Open),
        Route::get("/docs", openapi::read, calls::server::docs).access(Open),
        Route::get("/metrics", metrics::show, calls::server::metrics).access(Open),
        Route::get("/v1/me", me::show, calls::keys::me),
        Route::get("/v1/keys", keys::list, calls::keys::list).access(Operator),
        Route::post("/v1/keys", keys::create, calls::keys::create).access(Operator),
        Route::get("/v1/keys/{id}", keys::show, calls::keys::show).access(Operator),
        Route::delete("/v1/keys/{id}", keys::delete, calls::keys::delete).access(Operator),
        Route::post("/v1/keys/{id}/rotate", keys::rotate, calls::keys::rotate).access(Operator),
        Route::get("/v1/audit", audit::list, calls::keys::audit),
        Route::get("/v1/accounts", accounts::list, calls::accounts::list),
        Route::post("/v1/accounts", accounts::create, calls::accounts::create).access(Operator),
        Route::get("/v1/accounts/{id}", accounts::show, calls::accounts::show),
        Route::patch("/v1/accounts/{id}", accounts::patch, calls::accounts::patch).access(Operator),
        Route::delete("/v1/accounts/{id}", accounts::delete, calls::accounts::delete).access(Operator),
        Route::get("/v1/offers", offers::list, calls::offers::list),
        Route::post("/v1/offers", offers::create, calls::offers::create),
        Route::get("/v1/offers/{id}", offers::show, calls::offers::show),
        Route::put("/v1/offers/{id}", offers::replace, calls::offers::replace),
        Route::patch("/v1/offers/{id}", offers::patch, calls::offers::patch),
        Route::delete("/v1/offers/{id}", offers::delete, calls::offers::delete),
        Route::get("/v1/inbound-keys", inbound_keys::list, calls::offers::list_keys),
        Route::post("/v1/inbound-keys", inbound_keys::create, calls::offers::create_key),
        Route::get("/v1/inbound-keys/{id}", inbound_keys::show, calls::offers::show_key),
        Route::delete("/v1/inbound-keys/{id}", inbound_keys::delete, calls::offers::delete_key),
        Route::post("/v1/inbound-keys/{id}/rotate", inbound_keys::rotate, calls::offers::rotate_key),
        Route::get("/v1/offers/{id}/codes", integration::show, calls::inbound::codes),
        Route::post("/v1/offers/{id}/test-runs", test_runs::create, calls::inbound::create_test_run),
        Route::get("/v1/test-runs/{id}", test_runs::show, calls::inbound::show_test_run),
        Route::post("/v1/test-runs/{id}/report", test_runs::report, calls::inbound::report_test_run),
        Route::post("/v1/test-runs/{id}/finish", test_runs::finish, calls::inbound::finish_test_run),
        Route::get("/v1/actions", actions::list, calls::actions::list),
        Route::get("/v1/actions/{account}/{action_id}", actions::show, calls::actions::show),
        Route::get("/v1/clicks", clicks::list, calls::inbound::list_clicks),
        Route::post("/v1/clicks", clicks::create, calls::inbound::create_click),
        Route::get("/v1/clicks/{id}", clicks::show, calls::inbound::show_click),
        Route::get("/v1/inbound-calls", inbound_calls::list, calls::inbound::list_calls),
        Route::get("/v1/inbound-calls/{id}", inbound_calls::show, calls::inbound::show_call),
        Route::get("/{account}/c/{offer}", clicks::redirect, calls::inbound::redirect).access(Open),
        Route::get("/{key}/s2s", s2s::report_get, calls::inbound::report_get).access(Open),
        Route::post("/{key}/s2s", s2s::report_post, calls::inbound::report_post).access(Open),
        Route::get("/{key}/px.gif", s2s::pixel, calls::inbound::pixel).access(Open),
        Route::get("/{key}/frame", s2s::frame, calls::inbound::frame).access(Open),
        Route::get("/v1/nodes", nodes::list, calls::server::nodes).access(Operator),
        Route::get("/v1/export", export::export, calls::server::export).access(Operator),
        Route::get("/v1/events", events::list, calls::events::list),
        Route::post("/v1/events", events::create, calls::events::create),
        Route::get("/v1/events/{id}", events::show, calls::events::show),
        Route::get("/v1/subscriptions", subscriptions::list, calls::subscriptions::list),
        Route::post("/v1/subscriptions", subscriptions::create, calls::subscriptions::create),
        Route::get("/v1/subscriptions/{id}", subscriptions::show, calls::subscriptions::show),
        Route::put("/v1/subscriptions/{id}", subscriptions::replace, calls::subscriptions::replace),
        Route::patch("/v1/subscriptions/{id}", subscriptions::patch, calls::subscriptions::patch),
        Route::delete("/v1/subscriptions/{id}", subscriptions::delete, calls::subscriptions::delete),
        Route::post("/v1/subscriptions/{id}/pause", subscriptions::pause, calls::subscriptions::pause),
        Route::post("/v1/subscriptions/{id}/resume", subscriptions::resume, calls::subscriptions::resume),
        Route::post("/v1/subscriptions/{id}/signing/rotate", subscriptions::rotate_signing, calls::subscriptions::rotate_signing),
        Route::post("/v1/subscriptions/{id}/test", subscriptions::test, calls::subscriptions::test),
        Route::get("/v1/stats", stats::show, calls::stats::show),
        Route::get("/v1/replays", replays::list, calls::replays::list),
        Route::post("/v1/replays", replays::create, calls::replays::create),
        Route::get("/v1/replays/{id}", replays::show, calls::replays::show),
        Route::post("/v1/replays/{id}/cancel", replays::cancel, calls::replays::cancel),
        Route::get("/v1/deliveries", deliveries::list, calls::deliveries::list),
        Route::get("/v1/deliveries/{id}", deliveries::show, calls::deliveries::show),
        Route::post("/v1/deliveries/{id}/retry", deliveries::retry, calls::deliveries::retry),
        Route::post("/v1/deliveries/{id}/cancel", deliveries::cancel, calls::deliveries::cancel),
        Route::get("/v1/events/{id}/routing", routing::show, calls::events::routing),
        Route::get("/v1/addresses", addresses::show, calls::server::addresses),
        Route::get("/v1/event-types", event_types::list, calls::event_types::list),
        Route::post("/v1/event-types", event_types::create, calls::event_types::create).access(Operator),
        Route::get("/v1/event-types/{type}", event_types::show, calls::event_types::show),
        Route::delete("/v1/event-types/{type}", event_types::delete, calls::event_types::delete).access(Operator),
        Route::get("/v1/event-types/{type}/sample", event_types::sample, calls::event_types::sample),
        Route::post("/v1/templates/check", templates::check, calls::templates::check).access(Pure),
        Route::post("/v1/templates/render", templates::render, calls::templates::render).access(Pure),
        Route::post("/v1/templates/import", templates::import_text, calls::templates::import).access(Pure),
        Route::get("/v1/presets", presets::list, calls::templates::list_presets),
        Route::get("/v1/presets/{name}", presets::show, calls::templates::show_preset),
        Route::post("/v1/subscriptions/preview", preview::preview, calls::subscriptions::preview).access(Pure),
        Route::post("/v1/subscriptions/test", preview::test, calls::subscriptions::test_draft),
        Route::post("/v1/responses/check", responses::check, calls::templates::check_response).access(Pure),
    ]
}

/// The API's description, an OpenAPI 3.1 document.
#[must_use]
pub fn openapi_document() -> serde_json::Value {
    let described = |Route { method, path, access, describe, .. }| Described { method, path, access, operation: describe() };
    openapi::document(&routes().into_iter().map(described).collect::<Vec<_>>())
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
    router_of(state, |_| true)
}

/// The router of a node that only sends: whether it is alive, whether it is ready, and its metrics.
pub fn probes(state: ApiState) -> Router {
    router_of(state, |path| ["/healthz", "/readyz", "/metrics"].contains(&path))
}

fn router_of(state: ApiState, is_served: impl Fn(&str) -> bool) -> Router {
    let body_bytes_max = state.body_bytes_max;
    let mut router = Router::new();
    for Route { path, access, handler, describe, .. } in routes().into_iter().filter(|route| is_served(route.path)) {
        let handler = match describe().media_types() {
            MediaTypes::Only(media_types) => {
                handler.route_layer(axum::middleware::from_fn(move |request, next| body::only_media_types(media_types, request, next)))
            }
            MediaTypes::Any => handler,
        };
        let handler = match access {
            Access::Open => handler,
            Access::Keyed | Access::Pure | Access::Operator => {
                handler.route_layer(axum::middleware::from_fn_with_state((state.clone(), access), auth::admit))
            }
        };
        router = router.route(path, handler);
    }
    #[cfg(feature = "dashboard")]
    let router = if is_served("/") {
        router.route("/", get(super::dashboard::show)).route("/assets/{file}", get(super::dashboard::show))
    } else {
        router
    };
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
