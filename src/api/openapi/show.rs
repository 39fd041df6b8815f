//! `GET /openapi.json` and `GET /docs`. Both are the same for everybody and hold no data.

use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::reader;

/// What is answered, made of the program alone and therefore once.
struct Published {
    json: Bytes,
    page: Bytes,
    policy: Arc<str>,
}

static PUBLISHED: LazyLock<Published> = LazyLock::new(|| {
    let document = crate::api::openapi_document();
    let style = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(reader::STYLE));
    let policy = format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    Published { json: document.to_string().into(), page: reader::page(&document).into(), policy: policy.into() }
});

/// The document.
pub(in crate::api) async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], PUBLISHED.json.clone())
}

/// The page that shows it. It loads nothing and runs nothing.
pub(in crate::api) async fn read() -> Response {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, &PUBLISHED.policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PUBLISHED.page.clone()).into_response()
}
