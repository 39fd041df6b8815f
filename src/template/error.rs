//! What can be wrong with a template: codes, findings and the fixes that go with them.
//!
//! A [`Finding`] is data for people and programs alike: a stable code, a message, the place in the
//! template, and where possible a better name or a ready-made change. `diagnostic` turns findings
//! into text; nothing here formats for a terminal.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// Whether a finding stops the template from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The template cannot be saved, or this event cannot be rendered.
    Error,
    /// The template works, but probably not as meant.
    Warning,
}

macro_rules! codes {
    ($($severity:ident { $($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+ })+) => {
        /// The stable name of one kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($($(#[doc = $doc])+ $name,)+)+
        }

        impl JsonSchema for Code {
            fn schema_name() -> Cow<'static, str> {
                "FindingCode".into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "enum": Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>(),
                    "description": "A kind of finding in a template.",
                })
            }
        }

        impl Code {
            /// Every code: errors first, then warnings.
            pub const ALL: &'static [Code] = &[$($(Code::$name,)+)+];

            /// The stable text form, in snake case.
            pub fn as_str(self) -> &'static str {
                match self { $($(Code::$name => $text,)+)+ }
            }

            /// Whether findings of this code are errors or warnings.
            pub fn severity(self) -> Severity {
                match self { $($(Code::$name => Severity::$severity,)+)+ }
            }

            /// What the code means and what to do, in one or two sentences.
            pub fn explanation(self) -> &'static str {
                match self { $($(Code::$name => concat!($($doc),+).trim_ascii(),)+)+ }
            }
        }
    };
}

codes! {
    Error {
        /// The name is neither in the catalogue, nor declared, nor a loop variable. Correct it or declare it.
        UnknownMacro = "unknown_macro",
        /// No function has this name. Use join, default, lower, upper, map, date, md5, sha256 or raw.
        UnknownFunction = "unknown_function",
        /// The call is not written as the function needs it. Check quotes, commas and the closing `)}`.
        BadCall = "bad_call",
        /// The function takes another number of arguments.
        BadArity = "bad_arity",
        /// The template ends inside a call. Close the text with `"` and the call with `)}`.
        UnterminatedCall = "unterminated_call",
        /// `join` needs a list as its first argument.
        NotAList = "not_a_list",
        /// A list or object stands where a single value is needed. Use `join`.
        NotScalar = "not_scalar",
        /// The item text of a `join` opens a JSON string and does not close it, or the other way round.
        UnbalancedItemTemplate = "unbalanced_item_template",
        /// An address must begin with a literal `http://` or `https://`.
        BadScheme = "bad_scheme",
        /// The host part of the address is empty, or it or the port cannot be one.
        BadHost = "bad_host",
        /// Values may not decide user, host or port of an address. Write them literally.
        MacroInAuthority = "macro_in_authority",
        /// A path segment came out as `.` or `..`, which would lead to another path.
        DotSegment = "dot_segment",
        /// The result is not valid JSON, or not well-formed XML.
        InvalidBody = "invalid_body",
        /// A header value holds a line break or another control character.
        InvalidHeader = "invalid_header",
        /// A value stands in a tag name, a comment or a processing instruction of XML.
        MacroInMarkup = "macro_in_markup",
        /// The value given to `date` is not an ISO 8601 date.
        BadDate = "bad_date",
        /// Calls are nested more than four deep, or blocks more than sixteen deep.
        NestingTooDeep = "nesting_too_deep",
        /// The template is longer than its engine accepts.
        TemplateTooLarge = "template_too_large",
        /// The result is longer than 1 MiB.
        OutputTooLarge = "output_too_large",
        /// The template does more work for this event than one request may cost.
        TooManySteps = "too_many_steps",
        /// The handlebars text cannot be read.
        BadTemplate = "bad_template",
        /// The handlebars text uses a construct that is switched off here.
        RefusedConstruct = "refused_construct",
    }
    Warning {
        /// Backslashes were doubled by copying from a web page; the template was read as if they were not.
        EscapeRun = "escape_run",
        /// A macro name was broken by a line end and is sent as text.
        WrappedMacro = "wrapped_macro",
        /// Double braces are not needed; the outer pair is sent as text.
        DoubleBraces = "double_braces",
        /// The literal text holds a macro whose braces are percent-encoded; it is sent as text.
        EncodedMacro = "encoded_macro",
        /// `raw` in an address lets the value change the address.
        RawInUrl = "raw_in_url",
        /// `raw` in a body or header lets the value change its structure.
        RawInBody = "raw_in_body",
        /// A secret is written in the address, where logs and proxies keep it. Put it in a header.
        SecretInUrl = "secret_in_url",
        /// The address is not encrypted. Use `https`.
        PlainHttp = "plain_http",
        /// A text field stands outside quotes in JSON; digits-only text would be sent as a number.
        MacroUnquotedText = "macro_unquoted_text",
        /// The sale amount of the order is sent as if it were the partner's income. Use `Payout`.
        MoneyConfusion = "money_confusion",
        /// A life-cycle request without `Status` cannot report reversals.
        NoReversalSignal = "no_reversal_signal",
        /// The request carries no id by which the receiver could recognise a repeated event.
        NoDedupKey = "no_dedup_key",
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Code, UnknownCode> {
        Code::ALL.iter().copied().find(|code| code.as_str() == text).ok_or_else(|| UnknownCode { code: text.to_owned() })
    }
}

/// The text names no [`Code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("finding code `{code}` is not known; see the list of errors and warnings in the template language")]
pub struct UnknownCode {
    /// The text that was given.
    pub code: String,
}

/// A range of bytes in the template text, end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// First byte after the range.
    pub end: usize,
}

impl Span {
    /// The range from `start` up to and without `end`.
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }
}

/// A change of the template text that removes the finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fix {
    /// The bytes to replace; empty to insert.
    pub span: Span,
    /// The text to put there.
    pub replacement: String,
}

/// One error or warning, with its place in the template text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of finding this is.
    pub code: Code,
    /// Whether it stops the template.
    pub severity: Severity,
    /// What happened, to which text, and what to do; small first letter, no final period.
    pub message: String,
    /// Where in the template text, in bytes.
    pub span: Span,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, from 1, in characters.
    pub column: usize,
    /// Line of the end of the span.
    pub end_line: usize,
    /// Column just after the span.
    pub end_column: usize,
    /// A name that was probably meant.
    pub suggestion: Option<String>,
    /// A change that removes the finding.
    pub fix: Option<Fix>,
}

impl Finding {
    /// A finding without line and column; [`Finding::located`] adds them.
    pub(super) fn new(code: Code, span: Span, message: impl Into<String>) -> Finding {
        Finding {
            code,
            severity: code.severity(),
            message: message.into(),
            span,
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 1,
            suggestion: None,
            fix: None,
        }
    }

    pub(super) fn with_suggestion(mut self, suggestion: Option<String>) -> Finding {
        if let Some(name) = &suggestion {
            self.message.push_str(&format!("; did you mean `{name}`?"));
        }
        self.suggestion = suggestion;
        self
    }

    pub(super) fn with_fix(mut self, span: Span, replacement: impl Into<String>) -> Finding {
        self.fix = Some(Fix { span, replacement: replacement.into() });
        self
    }

    /// Fills line and column from `source`, the whole template text.
    pub(super) fn located(mut self, source: &str) -> Finding {
        self.span.start = floor_boundary(source, self.span.start);
        self.span.end = ceil_boundary(source, self.span.end.max(self.span.start));
        (self.line, self.column) = line_and_column(source, self.span.start);
        (self.end_line, self.end_column) = line_and_column(source, self.span.end);
        self
    }

    /// Whether the finding stops the template.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    /// `message at line:column`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.message, self.line, self.column)
    }
}

impl std::error::Error for Finding {}

fn floor_boundary(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil_boundary(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Line and column, both from 1, of the byte `at`, which must be a character boundary.
fn line_and_column(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let source = "é\nżó{X}";
        let at = source.find("{X}").unwrap();
        let finding = Finding::new(Code::UnknownMacro, Span::new(at, at + 3), "x").located(source);
        assert_eq!((finding.line, finding.column, finding.end_line, finding.end_column), (2, 3, 2, 6));
    }

    #[test]
    fn spans_outside_the_text_or_inside_a_character_are_moved() {
        let finding = Finding::new(Code::BadCall, Span::new(1, 99), "x").located("é");
        assert_eq!(finding.span, Span::new(0, 2));
    }

    #[test]
    fn codes_are_unique_and_read_back() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(!code.explanation().is_empty());
        }
    }
}
