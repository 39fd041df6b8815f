//! What an answer would come to: the response rules of a subscription tried on a made-up answer.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Body};
use super::problem::Invalid;
use super::{ApiError, ApiState};
use crate::attempt::{Exchange, ReceivedResponse};
use crate::delivery::{Verdict, judge};
use crate::subscription::{RULE_BYTES_MAX, ResponseRule, RetryProfile, whole_number};

/// How much of a body the rules look at; the same as of a real answer.
const BODY_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResponseCheck")]
pub(super) struct CheckBody {
    #[serde(default)]
    #[schemars(length(min = 1, max = RULE_BYTES_MAX))]
    success_response: Option<String>,
    #[serde(default)]
    #[schemars(length(min = 1, max = RULE_BYTES_MAX))]
    error_response: Option<String>,
    #[serde(default)]
    profile: RetryProfile,
    response: Response,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResponseDraft")]
struct Response {
    #[serde(deserialize_with = "whole_number")]
    #[schemars(range(min = 100, max = 599))]
    status: u16,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    body: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResponseHeader")]
struct Header {
    name: String,
    value: String,
}

/// `POST /v1/responses/check`: judges an answer as the dispatcher would.
pub(super) async fn check(State(state): State<ApiState>, body: Body) -> Result<Json<Value>, ApiError> {
    let body: CheckBody = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let mut errors = Vec::new();
    let success = rule(body.success_response.as_deref(), "/success_response", &mut errors);
    let error = rule(body.error_response.as_deref(), "/error_response", &mut errors);
    if !(100..=599).contains(&body.response.status) {
        let detail = format!("{} is not a status; use 100 to 599", body.response.status);
        errors.push(Invalid::new("/response/status", "out_of_range", detail));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let mut response = ReceivedResponse {
        status: body.response.status,
        headers: body.response.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        body: body.response.body.into_bytes(),
        truncated: false,
    };
    response.shorten(BODY_BYTES_MAX);
    let mut conditions = Vec::new();
    let mut matched = Vec::new();
    let mut warnings = Vec::new();
    for (name, rule) in [("error_response", &error), ("success_response", &success)] {
        let Some(rule) = rule else { continue };
        for (condition, holds) in rule.conditions(response.status, &response.body) {
            conditions.push(json!({"rule": name, "condition": condition, "holds": holds}));
        }
        if rule.matches(response.status, &response.body) {
            matched.push(name);
        }
        let found = rule.warnings().into_iter();
        warnings.extend(found.map(|detail| json!({"pointer": format!("/{name}"), "code": "response_rule", "detail": detail})));
    }
    let judgement = judge(&Exchange::Answered(response), success.as_ref(), error.as_ref(), body.profile, state.clock.now());
    let (next, retry_after) = match judgement.verdict {
        Verdict::Delivered => ("delivered", None),
        Verdict::Final => ("dead", None),
        // Only what was not answered can be not sent.
        Verdict::NotSent => ("retry", None),
        Verdict::Retry { retry_after } => ("retry", retry_after),
    };
    Ok(Json(json!({
        "outcome": judgement.outcome,
        "final": next != "retry",
        "next": next,
        "retry_after_s": retry_after.map(|wait| wait.as_secs()),
        "reason": judgement.reason,
        "matched": matched,
        "conditions": conditions,
        "warnings": warnings,
    })))
}

fn rule(text: Option<&str>, pointer: &str, errors: &mut Vec<Invalid>) -> Option<ResponseRule> {
    ResponseRule::parse(text?).map_err(|error| errors.push(Invalid::new(pointer, "invalid_response_rule", error.to_string()))).ok()
}
