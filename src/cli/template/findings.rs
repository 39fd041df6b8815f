//! Findings for people, with the line and a mark under it, and for machines.

use std::io::IsTerminal;

use serde_json::{Value, json};

use crate::api::finding_json;
use crate::template::Finding;

/// Prints findings to standard error, errors first.
pub(super) fn print(findings: &[Finding], source: &str, name: &str) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = std::io::stderr().is_terminal() && !plain;
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.is_error());
    for finding in errors.into_iter().chain(warnings) {
        eprintln!("{}", finding.render_text(source, name, color).trim_end());
    }
}

/// `{"ok", "output", "errors", "warnings"}`.
pub(super) fn document(output: Option<&str>, findings: &[Finding]) -> Value {
    let listed = |errors: bool| findings.iter().filter(|finding| finding.is_error() == errors).map(finding_json).collect::<Vec<_>>();
    json!({"ok": output.is_some(), "output": output, "errors": listed(true), "warnings": listed(false)})
}
