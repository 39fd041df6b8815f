//! Where a value stands decides how it is written (section 3 of the language).
//!
//! A [`Position`] is fed the literal text in order and asked, at every value, which [`Escape`]
//! applies there. The macro engine asks once, when a template is compiled; the handlebars engine
//! asks while it assembles a result. Both therefore escape alike.

mod place;
mod json;
mod url;
mod xml;

pub(super) use json::JsonPosition;
pub(super) use place::{Escape, Misplaced, Position};
pub(super) use url::{Edges, UrlPosition, dot_segment, encode_literal};
pub(super) use xml::{XmlMark, XmlPosition};
