//! What the parser found, before any name is looked up.

use super::error::Span;
use super::token::{MappedText, Origin};

/// One piece of a template or of a `join` text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Text that is sent as it stands.
    Text(Literal),
    /// `{Name}`, `{i.sku}` or `<Name>`.
    Path(Path),
    /// `{name(…)}`.
    Call(Call),
}

/// Literal text with escapes removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) text: String,
    pub(super) origin: Origin,
    pub(super) span: Span,
}

/// A name with its `.name` parts; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) segments: Vec<String>,
    pub(super) span: Span,
}

impl Path {
    pub(super) fn dotted(&self) -> String {
        self.segments.join(".")
    }
}

/// A function with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) name_span: Span,
    pub(super) arguments: Vec<Argument>,
    /// From the name to the closing parenthesis; for a macro, with its braces.
    pub(super) span: Span,
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    Path(Path),
    Call(Call),
    Text(Quoted),
}

impl Argument {
    pub(super) fn span(&self) -> Span {
        match self {
            Argument::Path(path) => path.span,
            Argument::Call(call) => call.span,
            Argument::Text(text) => text.span,
        }
    }
}

/// A string literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quoted {
    pub(super) decoded: MappedText,
    /// With the quotes.
    pub(super) span: Span,
    /// The decoded text read as a template: only for the third argument of `join`.
    pub(super) template: Option<Vec<Node>>,
}
