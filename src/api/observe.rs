//! What is seen of every request: an id in the answer, a count and a duration, a line in the log at
//! `debug`. Never its query, headers or body, which may hold secrets or personal data.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::ApiState;
use super::routes::declared_path;
use crate::id::RequestId;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a caller.
const ID_LENGTH_MAX: usize = 128;
/// The route of a request that no call is declared for.
const NO_ROUTE: &str = "none";

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request that this task answers.
pub(super) fn request_id() -> Option<String> {
    CURRENT.try_with(String::clone).ok()
}

/// Runs a request under its id, and takes note of it when it is answered.
pub(super) async fn observe(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let began = state.clock.instant();
    let id = given_id(request.headers()).unwrap_or_else(|| RequestId::from_raw(state.queue.next_id(state.clock.now())).to_string());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().and_then(|path| declared_path(path.as_str())).unwrap_or(NO_ROUTE);
    let mut response = CURRENT.scope(id.clone(), next.run(request)).await;
    let took = state.clock.instant().duration_since(began);
    let status = response.status().as_u16();
    state.queue.metrics().api_answered(method.as_str(), route, status, took);
    tracing::debug!(
        request.id = id,
        %method,
        route,
        status,
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The id that a caller gave its request, if it is one that can be shown as it is.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_shown = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    ((1..=ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(is_shown)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_if_it_can_be_shown_as_it_is() {
        let long = "x".repeat(129);
        let table = [("a-1_b.C:2", true), ("", false), ("a b", false), ("a\"b", false), (long.as_str(), false), (&long[1..], true)];
        for (id, taken) in table {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, id.parse().unwrap());
            assert_eq!(given_id(&headers).is_some(), taken, "{id}");
        }
    }
}
