//! The template language: what an outgoing request is made from.
//!
//! A [`Template`] is compiled once, when a subscription is saved, and rendered for every delivery.
//! Compiling looks every macro up in the caller's catalogue ([`Names`]), decides from the literal text
//! how each value will be written, and reports everything that is wrong as [`Finding`]s. Rendering only
//! appends: a value can never change the structure of the address, body or header it is put into.
//!
//! ```text
//! text ─▶ lexer ─▶ parser ─▶ check ─▶ compile ─▶ prove ─▶ program ─▶ render
//!                 repair     names   positions  validity
//! ```
//!
//! `compiled` holds the [`Template`] and leads through these steps. The second engine, `handlebars`,
//! has a parser and a renderer of its own and shares positions, escapes, functions and checks.
//!
//! The module knows nothing of events, subscriptions or requests, and reads neither clock nor store.

mod compiled;

mod format;
mod macros;
mod error;

mod token;
mod lexer;
mod ast;
mod parser;
mod repair;

mod tree;
mod check;
mod suggest;
mod functions;
mod date;
mod value;

mod position;
mod escape;
mod program;
mod compile;

mod validity;
mod prove;
mod render;

mod handlebars;

mod lint;
mod lint_text;
mod diagnostic;
mod import;

pub use compiled::{Options, SOURCE_BYTES_MAX, Template};
pub use diagnostic::apply_fixes;
pub use error::{Code, Finding, Fix, Severity, Span, UnknownCode};
pub use format::{Engine, Format, UnknownEngine, UnknownFormat};
pub use import::{Imported, Style, UnknownStyle, Unmapped, import};
pub use lint::{Part, lint_request};
pub use macros::{FieldKind, Names, Values};
