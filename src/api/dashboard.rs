//! The dashboard's files, without a key: they are the same for everybody and hold no data.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::error;
use crate::dashboard::{Asked, answer, files};

/// The page and what it loads.
pub(super) async fn show(uri: Uri, headers: HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let asked = Asked { path: uri.path(), accept_encoding: text(header::ACCEPT_ENCODING), if_none_match: text(header::IF_NONE_MATCH) };
    let Some(found) = answer(files(), asked) else { return error::no_such_route(uri).await.into_response() };
    let mut response = Response::new(Body::from(found.body));
    *response.status_mut() = StatusCode::from_u16(found.status).expect("200 and 304 are statuses");
    for (name, value) in found.headers {
        let value = HeaderValue::try_from(value).expect("these values are made of visible characters");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}
