//! Errors as they go over the wire: RFC 9457 `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::{codes, observe};
use crate::subscription::FieldError;
use crate::template::Finding;

/// Most characters of a text in a problem: what came in is repeated, but never at length.
const TEXT_CHARACTERS_MAX: usize = 500;

/// A problem: what went wrong, and what to do.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Problem {
    /// A URI that names the kind of problem; `docs/errors.md` has a paragraph for each code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status, again.
    pub status: u16,
    /// Stable code.
    pub code: &'static str,
    /// What happened to which value, and what to do.
    pub detail: String,
    /// For invalid input: each fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Invalid>,
    /// The request, as in the header `X-Request-Id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Seconds after which the same request may succeed.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

/// One fault of the input.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Fault")]
pub struct Invalid {
    /// JSON pointer to the value.
    pub pointer: String,
    /// Stable code.
    pub code: String,
    /// What is wrong and what to do.
    pub detail: String,
    /// For templates: where in the text, and the repair.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A place in a template, lines and columns from 1.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Place {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
}

impl Problem {
    /// A problem without details of the input.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        debug_assert!(codes::is_known(code, status), "`{code}` with {status} is not in the table of codes");
        Self {
            kind: format!("urn:postrider:error:{code}"),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            code,
            detail: shortened(detail.into()),
            errors: Vec::new(),
            request_id: None,
            retry_after_s: None,
        }
    }

    /// The same problem with the faults of the input.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Invalid>) -> Self {
        self.errors = errors;
        self
    }

    /// The same problem, which may be gone after some seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl Invalid {
    /// A fault at `pointer`.
    #[must_use]
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: shortened(pointer.into()), code: code.into(), detail: shortened(detail.into()), place: None }
    }

    /// A fault of the template at `pointer`.
    #[must_use]
    pub fn of_finding(pointer: impl Into<String>, finding: &Finding) -> Self {
        let place = Some(Place::of(finding));
        Self { pointer: pointer.into(), code: finding.code.as_str().into(), detail: finding.message.clone(), place }
    }
}

impl From<FieldError> for Invalid {
    fn from(error: FieldError) -> Self {
        Self { place: error.finding.map(|finding| Place::of(&finding)), ..Self::new(error.pointer, error.code, error.detail) }
    }
}

impl Place {
    fn of(finding: &Finding) -> Self {
        Self {
            line: finding.line,
            column: finding.column,
            end_line: finding.end_line,
            end_column: finding.end_column,
            suggestion: finding.suggestion.clone().map(shortened),
        }
    }
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARACTERS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.request_id = observe::request_id();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
