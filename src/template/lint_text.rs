//! Warnings found in the text as typed: macros that are none because of a line end or an encoding.

use super::error::{Code, Finding, Span};
use super::format::Format;
use super::macros::{FieldKind, Names};

/// A wrapped name is looked for within this many bytes behind its brace.
const WRAPPED_BYTES_MAX: usize = 200;

/// Reports at most this many findings of one kind.
const FINDINGS_MAX: usize = 20;

/// All warnings about `source`.
pub(super) fn lint_text(source: &str, format: Format, names: &dyn Names) -> Vec<Finding> {
    let mut findings: Vec<Finding> = wrapped(source, names).take(FINDINGS_MAX).collect();
    if matches!(format, Format::Url | Format::Query) {
        findings.extend(encoded(source, names).take(FINDINGS_MAX));
    }
    findings
}

/// Names broken by a line end: `{DeltaAmo⏎unt}`.
fn wrapped<'a>(source: &'a str, names: &'a dyn Names) -> impl Iterator<Item = Finding> + 'a {
    let braces = source.match_indices('{').filter(|(at, _)| !is_escaped(source, *at));
    braces.filter_map(move |(at, _)| {
        let mut end = (at + WRAPPED_BYTES_MAX).min(source.len());
        while !source.is_char_boundary(end) {
            end -= 1;
        }
        let inside = source[at + 1..end].split_once('}')?.0;
        if !inside.contains('\n') || !inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || matches!(c, '_' | '.');
        if !inside.chars().all(is_name) {
            return None;
        }
        let name: String = inside.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if !is_known(&name, names) {
            return None;
        }
        let span = Span::new(at, at + inside.len() + 2);
        let message = format!("the name `{name}` is broken by a line end, so it is sent as text; join the lines");
        let mut finding = Finding::new(Code::WrappedMacro, span, message).with_fix(span, format!("{{{name}}}"));
        finding.suggestion = Some(name);
        Some(finding)
    })
}

fn is_escaped(source: &str, at: usize) -> bool {
    let backslashes = source[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
    backslashes % 2 == 1
}

/// A top-level name, or `variable.field` with a field of any list.
fn is_known(name: &str, names: &dyn Names) -> bool {
    if names.kind(name).is_some() {
        return true;
    }
    let Some((_, field)) = name.split_once('.') else { return false };
    let mut known = field == "index";
    names.for_each_name(&mut |list| {
        known |= names.kind(list) == Some(FieldKind::List) && names.item_kind(list, field).is_some();
    });
    known
}

/// Macros whose braces were percent-encoded: `%7BPayout%7D`.
fn encoded<'a>(source: &'a str, names: &'a dyn Names) -> impl Iterator<Item = Finding> + 'a {
    let opens = source.match_indices('%').filter(|(at, _)| is_code(source, *at, "%7b"));
    opens.filter_map(move |(at, _)| {
        let rest = &source[at + 3..];
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let name = &rest[..length];
        if names.kind(name).is_none() || !is_code(rest, length, "%7d") {
            return None;
        }
        let span = Span::new(at, at + 6 + length);
        let message = format!("the braces of `{name}` are percent-encoded, so the name is sent as text; write `{{{name}}}`");
        Some(Finding::new(Code::EncodedMacro, span, message).with_fix(span, format!("{{{name}}}")))
    })
}

fn is_code(text: &str, at: usize, code: &str) -> bool {
    text.get(at..at + 3).is_some_and(|found| found.eq_ignore_ascii_case(code))
}
