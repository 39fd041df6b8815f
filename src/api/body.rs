//! What came in, read with care: every fault is named with its place.

use axum::body::{Bytes, HttpBody as _};
use axum::extract::Request;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde::de::DeserializeOwned;

use super::ApiError;
use super::problem::Invalid;
use super::shape::Shaped;
use super::slow::TooSlow;

/// The body of a request, or why it could not be read.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// The text of a body.
pub(super) fn text(body: &Body, bytes_max: usize) -> Result<&str, ApiError> {
    let bytes = body.as_ref().map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body is larger than {bytes_max} bytes; send fewer events in one request"),
        ),
        _ if let Some(limit) = TooSlow::limit_of(rejection) => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            format!("the body was not complete within {} s; send less at once, or over a faster connection", limit.as_secs()),
        ),
        _ => ApiError::new(StatusCode::BAD_REQUEST, "body_unreadable", "the body ended before it was complete; send the request again"),
    })?;
    std::str::from_utf8(bytes).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_utf8",
            format!("the body is not UTF-8 from byte {} on; encode it as UTF-8", error.valid_up_to()),
        )
    })
}

/// Reads JSON of a known shape. `base` is the pointer under which faults are reported.
pub(super) fn read<T: DeserializeOwned>(text: &str, base: &str) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(Shaped(&mut reader)).map_err(|error| fault(&error, base))?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// Reads borrowed JSON of a known shape.
pub(super) fn read_borrowed<'a, T: serde::Deserialize<'a>>(text: &'a str, base: &str) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(Shaped(&mut reader)).map_err(|error| fault(&error, base))?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn fault(error: &serde_path_to_error::Error<serde_json::Error>, base: &str) -> ApiError {
    let inner = error.inner();
    if inner.is_data() {
        let pointer = format!("{base}{}", pointer(error.path()));
        let message = inner.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(head, _)| head);
        let code = if message.starts_with("unknown field") {
            "unknown_field"
        } else if message.starts_with("missing field") {
            "missing_field"
        } else {
            "invalid_value"
        };
        // Serde quotes what it found, which in these places may be a secret at the wrong place.
        let may_be_secret = ["/credentials", "/signing", "/tls", "/secret"].iter().any(|place| pointer.starts_with(place));
        let message = if may_be_secret && message.starts_with("invalid ") {
            "the value is not of the form that `docs/api.md` describes"
        } else {
            message
        };
        ApiError::invalid(vec![Invalid::new(pointer, code, message)])
    } else {
        malformed(inner)
    }
}

/// The error for text that is no JSON.
pub(super) fn malformed(error: &serde_json::Error) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", format!("the body is not valid JSON: {error}"))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// Lets a request through if its body is of one of these types, is empty, or says nothing of its type.
pub(super) async fn only_media_types(media_types: &'static [&'static str], request: Request, next: Next) -> Result<Response, ApiError> {
    let given = media_type(request.headers());
    if request.body().is_end_stream() || !request.headers().contains_key(header::CONTENT_TYPE) || media_types.contains(&given.as_str()) {
        return Ok(next.run(request).await);
    }
    let known: Vec<_> = media_types.iter().map(|known| format!("`{known}`")).collect();
    let given: String = given.chars().take(100).collect();
    let detail = format!("`{}` is not taken here; send {}", given.escape_debug(), known.join(" or "));
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
}

/// The media type of a body, without parameters, in lower case; JSON if none is given.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map_or("application/json", |value| value.to_str().unwrap_or_default());
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
