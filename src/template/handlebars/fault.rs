//! Errors of the handlebars crate as findings with a place in the template.

use std::fmt;

use ::handlebars::{RenderError, RenderErrorReason, TemplateError, TemplateErrorReason};

use super::emit::Output;
use crate::template::error::{Code, Finding, Span};
use crate::template::render::OUTPUT_BYTES_MAX;

/// An error raised by one of our helpers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HelperFault {
    code: Code,
    message: String,
}

impl HelperFault {
    pub(super) fn new(code: Code, message: impl Into<String>) -> HelperFault {
        HelperFault { code, message: message.into() }
    }
}

impl fmt::Display for HelperFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HelperFault {}

impl From<HelperFault> for RenderError {
    fn from(fault: HelperFault) -> RenderError {
        RenderErrorReason::NestedError(Box::new(fault)).into()
    }
}

/// The finding for text that cannot be parsed.
pub(super) fn syntax(error: &TemplateError, source: &str) -> Finding {
    let span = match error.pos() {
        Some((line, column)) => place(source, line, column),
        None => Span::new(0, source.len()),
    };
    let reason = match error.reason() {
        // The parser lists everything its grammar would take next, which tells a reader nothing.
        TemplateErrorReason::InvalidSyntax(_) => {
            "something is missing or too much here; look for a `}}`, or for the `{{/…}}` of a block".to_owned()
        }
        reason => reason.to_string(),
    };
    Finding::new(Code::BadTemplate, span, format!("the handlebars text cannot be read: {reason}"))
}

/// The finding for a rendering that failed.
pub(super) fn rendering(error: &RenderError, output: &Output, source: &str) -> Finding {
    let span = match (error.line_no, error.column_no) {
        (Some(line), Some(column)) => place(source, line, column),
        _ => Span::new(0, source.len()),
    };
    if output.overflowed {
        let message = format!("the result is longer than {OUTPUT_BYTES_MAX} bytes; send fewer items or values");
        return Finding::new(Code::OutputTooLarge, span, message);
    }
    match error.reason() {
        RenderErrorReason::NestedError(nested) => match nested.downcast_ref::<HelperFault>() {
            Some(fault) => Finding::new(fault.code, span, fault.message.clone()),
            None => Finding::new(Code::BadTemplate, span, nested.to_string()),
        },
        RenderErrorReason::MissingVariable(Some(name)) => {
            Finding::new(Code::UnknownMacro, span, format!("unknown macro `{name}`, or it is no list or object"))
        }
        RenderErrorReason::MissingVariable(None) => Finding::new(Code::UnknownMacro, span, "a name has no value here"),
        RenderErrorReason::HelperNotFound(name) => Finding::new(Code::UnknownFunction, span, format!("unknown function `{name}`")),
        RenderErrorReason::ParamNotFoundForIndex(name, _) => {
            Finding::new(Code::BadArity, span, format!("`{name}` needs more arguments, or one of them has no value"))
        }
        other => Finding::new(Code::BadCall, span, format!("the template cannot be rendered: {other}")),
    }
}

/// The tag that begins at `line` and `column`, both from 1, up to its closing braces.
pub(super) fn place(source: &str, line: usize, column: usize) -> Span {
    let before = source.split_inclusive('\n').take(line.saturating_sub(1));
    let line_start: usize = before.map(str::len).sum();
    let rest = &source[line_start..];
    let offset = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    let start = line_start + offset;
    let end = match source[start..].find("}}") {
        Some(length) if source[start..].starts_with("{{") => start + length + 2,
        _ => (start + 1).min(source.len()),
    };
    Span::new(start, end)
}
