//! The doors: which key it is, whether it is taken from there and so often, and in which form it came.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::body::media_type;
use super::super::{ApiState, auth};
use super::answer::{Refusal, Reply};
use super::given::Given;
use super::take::{Origin, Sender, take, turn_away};
use crate::inbound::CallKind;
use crate::queue::InboundKey;

/// Largest body of a report.
const BODY_BYTES_MAX: usize = 64 * 1_024;
/// Reports under unknown keys that are kept in a second.
const STRANGERS_PER_SECOND: u32 = 10;
/// Most characters of a `User-Agent` that are kept.
const USER_AGENT_CHARACTERS_MAX: usize = 500;
/// Longest text that may be a key.
const KEY_LENGTH_MAX: usize = 64;

/// The smallest image there is: one transparent point.
const POINT: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// `GET /{key}/s2s`.
pub(in crate::api) async fn report_get(State(state): State<ApiState>, Path(key): Path<String>, request: Request) -> Response {
    enter(&state, &key, CallKind::S2s, request).await.into_response()
}

/// `POST /{key}/s2s`.
pub(in crate::api) async fn report_post(State(state): State<ApiState>, Path(key): Path<String>, request: Request) -> Response {
    enter(&state, &key, CallKind::S2s, request).await.into_response()
}

/// `GET /{key}/px.gif`: always an image, since a page shows it.
pub(in crate::api) async fn pixel(State(state): State<ApiState>, Path(key): Path<String>, request: Request) -> Response {
    let reply = enter(&state, &key, CallKind::Pixel, request).await;
    let headers = [(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store, private"), (header::PRAGMA, "no-cache")];
    told(&reply, (StatusCode::OK, headers, POINT).into_response())
}

/// `GET /{key}/frame`: a page that shows nothing and runs nothing.
pub(in crate::api) async fn frame(State(state): State<ApiState>, Path(key): Path<String>, request: Request) -> Response {
    let reply = enter(&state, &key, CallKind::Frame, request).await;
    let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Conversion</title></html>";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store, private"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; form-action 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    told(&reply, (StatusCode::OK, headers, page).into_response())
}

/// The same answer with what came of the report in a header, where the body cannot say it.
fn told(reply: &Reply, mut response: Response) -> Response {
    let text = reply.code.map_or_else(|| reply.result.as_str().to_owned(), |code| format!("{}; {code}", reply.result.as_str()));
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert("x-postrider-result", value);
    }
    response
}

async fn enter(state: &ApiState, key: &str, kind: CallKind, request: Request) -> Reply {
    let (request, body) = request.into_parts();
    let method = request.method.clone();
    let user_agent = request.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let origin = Origin {
        method: method.to_string(),
        kind,
        address: state.gate.address(auth::peer(&request.extensions), &request.headers),
        user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_CHARACTERS_MAX).collect()),
    };
    let text = key.trim().to_ascii_lowercase();
    let registry = state.queue.registry();
    let known = (text.len() <= KEY_LENGTH_MAX).then(|| registry.inbound_keys().find(&text).cloned()).flatten();
    let Some(known) = known.filter(|known| !known.has_expired(state.clock.now())) else {
        return stranger(state, &origin, &text, &request).await;
    };
    if method == Method::HEAD {
        return Refusal::new(StatusCode::OK, "nothing_reported", "HEAD reports nothing; use GET or POST").into();
    }
    known.last_use.note(state.clock.now());
    // A key whose namespace was lost with the master key makes leads of its own text.
    let namespace = registry.inbound_keys().namespace(&known.account).or_else(|| text.parse().ok()).unwrap_or_default();
    let sender = Sender { account: known.account.clone(), key: Some(known.id), offer: known.offer.clone(), namespace };
    if let Err(refusal) = admit(state, &known, &origin) {
        let is_flood = refusal.status == StatusCode::TOO_MANY_REQUESTS;
        // A flood is counted and not written down: that would be a flood of the disk.
        if is_flood && state.inbound.strangers.take((), STRANGERS_PER_SECOND, state.clock.instant()).is_err() {
            state.queue.metrics().inbound_call("unrecorded");
            return refusal.into();
        }
        let given = Given::read_form(request.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
        let given = given.without(&text);
        return turn_away(state, Some(&sender), &origin, &given, refusal).await;
    }
    let given = read(&request, body).await.map(|given| given.without(&text));
    take(state, &sender, &origin, given).await
}

/// Whether a report under this key is taken from there, and now.
fn admit(state: &ApiState, key: &Arc<InboundKey>, origin: &Origin) -> Result<(), Refusal> {
    if !key.addresses.is_empty() && !key.addresses.iter().any(|network| network.contains(&origin.address)) {
        let detail = format!("reports under this key are not taken from {}; add the address to the key's list", origin.address);
        return Err(Refusal::new(StatusCode::FORBIDDEN, "address_not_allowed", detail));
    }
    let per_second = key.per_second.unwrap_or(state.inbound.reports_per_second);
    state.inbound.reports.take(key.id, per_second, state.clock.instant()).map_err(|wait| {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        let detail = format!("more than {per_second} reports came in a second under this key; send this one again later");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).retry_after(seconds)
    })
}

/// Somebody whose key is not known. A few of them are kept for operators to see.
async fn stranger(state: &ApiState, origin: &Origin, text: &str, request: &Parts) -> Reply {
    let detail = "no inbound key is known under this address; copy the postback address again, from where it was given";
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "unknown_key", detail);
    if request.method == Method::HEAD || state.inbound.strangers.take((), STRANGERS_PER_SECOND, state.clock.instant()).is_err() {
        state.queue.metrics().inbound_call("unrecorded");
        return refusal.into();
    }
    let given = Given::read_form(request.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default().without(text);
    turn_away(state, None, origin, &given, refusal).await
}

/// What a request says in its query and its body; of both, the body counts.
async fn read(request: &Parts, body: Body) -> Result<Given, Refusal> {
    let query = request.uri.query().unwrap_or_default().to_owned();
    let of_query = Given::read_form(query.as_bytes());
    if request.method == Method::GET {
        return of_query;
    }
    let has_type = request.headers.contains_key(header::CONTENT_TYPE);
    let given_type = media_type(&request.headers);
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| unreadable(&error))?;
    if body.is_empty() {
        return of_query;
    }
    let of_body = match given_type.as_str() {
        "application/json" if has_type || looks_like_json(&body) => Given::read_json(&body)?,
        "application/x-www-form-urlencoded" => Given::read_form(&body)?,
        _ if !has_type => Given::read_form(&body)?,
        other => {
            let detail = format!(
                "`{}` is not taken here; send `application/json` or `application/x-www-form-urlencoded`",
                other.chars().take(100).collect::<String>().escape_debug()
            );
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
    };
    Ok(of_body.or(of_query?))
}

fn looks_like_json(body: &Bytes) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn unreadable(error: &axum::Error) -> Refusal {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes; send one report at a time");
            return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail);
        }
        source = error.source();
    }
    Refusal::unprocessable("malformed_body", "the body ended before it was complete, or took too long; send the report again")
}
