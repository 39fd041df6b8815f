//! Findings of templates as callers read them.

use serde_json::{Value, json};

use crate::template::Finding;

/// One finding, with its place in the template and its repair, if there is one.
#[must_use]
pub fn finding_json(finding: &Finding) -> Value {
    json!({
        "code": finding.code.as_str(),
        "message": finding.message,
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line,
        "end_column": finding.end_column,
        "suggestion": finding.suggestion,
        "fix": finding.fix,
    })
}

/// `{"ok", "output", "errors", "warnings"}`; `ok` tells whether none of the findings is an error.
pub(super) fn findings_document(output: Option<&str>, findings: &[Finding]) -> Value {
    let listed = |errors: bool| findings.iter().filter(|finding| finding.is_error() == errors).map(finding_json).collect::<Vec<_>>();
    let ok = !findings.iter().any(Finding::is_error);
    json!({"ok": ok, "output": output, "errors": listed(true), "warnings": listed(false)})
}
