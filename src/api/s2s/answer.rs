//! Answers to reports.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::inbound::{CallResult, Outcome};

/// The answer to a report.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ReportAnswer")]
pub(in crate::api) struct AnswerJson {
    /// Whether it contradicts what is decided of its action.
    rejected_by_conflict: bool,
    /// `success`, or `error`.
    status: &'static str,
    /// The action, as `ActionId` of its events; not there if the report was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    lead_id: Option<String>,
    /// Why it was refused or conflicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The same in words, with what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Each wrong parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FaultJson>,
}

/// One wrong parameter.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ReportFault")]
pub(in crate::api) struct FaultJson {
    parameter: String,
    code: &'static str,
    detail: String,
}

/// What is wrong with one parameter.
#[derive(Debug, Clone)]
pub(in crate::api) struct Fault(FaultJson);

impl Fault {
    pub fn new(parameter: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self(FaultJson { parameter: parameter.chars().take(64).collect(), code, detail: detail.into() })
    }
}

/// Why a report was refused.
#[derive(Debug, Clone)]
pub(in crate::api) struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    detail: String,
    errors: Vec<FaultJson>,
    retry_after_s: Option<u64>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after_s: None }
    }

    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// Parameters are wrong; the first says of which kind the whole is.
    pub fn wrong(faults: Vec<Fault>) -> Self {
        let errors: Vec<_> = faults.into_iter().map(|Fault(fault)| fault).collect();
        let code = errors.first().map_or("wrong_parameter", |fault| fault.code);
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} parameters are missing or wrong; `errors` lists each with what to do", several.len()),
        };
        Self { errors, ..Self::unprocessable(code, detail) }
    }

    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

/// An answer, before it is written in the form of its door.
#[derive(Debug, Clone)]
pub(in crate::api) struct Reply {
    pub status: StatusCode,
    pub result: CallResult,
    pub code: Option<&'static str>,
    body: AnswerJson,
    retry_after_s: Option<u64>,
}

impl Reply {
    /// The answer to a report that the ledger took, or knew, or contradicts.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Recorded { lead, .. } => Self::success(CallResult::Success, lead.to_string()),
            Outcome::Repeated { lead } => Self::success(CallResult::Repeated, lead.to_string()),
            Outcome::Conflict { lead, reason } => Self::conflict(lead.to_string(), reason.code(), reason.to_string()),
        }
    }

    pub fn success(result: CallResult, lead: String) -> Self {
        let body = AnswerJson {
            rejected_by_conflict: false,
            status: "success",
            lead_id: Some(lead),
            code: None,
            detail: None,
            errors: Vec::new(),
        };
        Self { status: StatusCode::OK, result, code: None, body, retry_after_s: None }
    }

    /// It contradicts what is decided. The status is 200: sending it again changes nothing.
    pub fn conflict(lead: String, code: &'static str, detail: String) -> Self {
        let body = AnswerJson {
            rejected_by_conflict: true,
            status: "error",
            lead_id: Some(lead),
            code: Some(code),
            detail: Some(detail),
            errors: Vec::new(),
        };
        Self { status: StatusCode::OK, result: CallResult::Conflict, code: Some(code), body, retry_after_s: None }
    }

    /// The action, if there is one.
    pub fn lead(&self) -> Option<&str> {
        self.body.lead_id.as_deref()
    }

    /// Why it was refused, in words.
    pub fn detail(&self) -> Option<&str> {
        self.body.detail.as_deref()
    }

    /// The answer as JSON.
    pub fn json(&self) -> Value {
        serde_json::to_value(&self.body).expect("an answer has only text keys, so it can be written as JSON")
    }
}

impl From<Refusal> for Reply {
    fn from(Refusal { status, code, detail, errors, retry_after_s }: Refusal) -> Self {
        let body =
            AnswerJson { rejected_by_conflict: false, status: "error", lead_id: None, code: Some(code), detail: Some(detail), errors };
        Self { status, result: CallResult::Error, code: Some(code), body, retry_after_s }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CACHE_CONTROL, "no-store")], Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
