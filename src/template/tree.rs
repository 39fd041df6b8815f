//! A template after its names were looked up: what `check` hands to `compile`.

use super::ast::Literal;
use super::error::Span;
use super::functions::Function;
use super::macros::FieldKind;

/// One piece, with every name resolved.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Text(Literal),
    Value(Insertion),
    Join(Box<Join>),
}

/// A value to insert.
#[derive(Debug, Clone)]
pub(super) struct Insertion {
    pub(super) expression: Expression,
    /// Written by `raw`: no escaping.
    pub(super) raw: bool,
    /// Of the macro without its braces.
    pub(super) span: Span,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// The top-level name with this number in [`Resolved::names`], and the parts after it.
    Top {
        slot: usize,
        rest: Vec<String>,
        kind: FieldKind,
    },
    /// The current item of the loop at this depth.
    ItemItself {
        depth: usize,
    },
    /// The field with this number in [`Join::fields`] of the loop at this depth.
    Field {
        depth: usize,
        slot: usize,
        rest: Vec<String>,
        kind: FieldKind,
    },
    /// The number of the item, from 1.
    Index {
        depth: usize,
    },
    Text(String),
    /// `default(x, y)`.
    Default(Box<Expression>, Box<Expression>),
    Call(Box<Function>, Box<Expression>),
    /// A name that is not known; the finding is recorded elsewhere.
    Unknown,
}

/// A `join`.
#[derive(Debug, Clone)]
pub(super) struct Join {
    pub(super) list: Expression,
    /// The list as written, for messages.
    pub(super) list_name: String,
    pub(super) list_span: Span,
    /// Fields of the items that the text uses.
    pub(super) fields: Vec<String>,
    pub(super) body: Vec<Item>,
    /// `None` for the default of the format.
    pub(super) separator: Option<Literal>,
    pub(super) span: Span,
    /// Of the item text, with quotes.
    pub(super) body_span: Span,
}

/// A whole template.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolved {
    pub(super) items: Vec<Item>,
    /// Top-level names used, in order of first use.
    pub(super) names: Vec<String>,
}
