//! The place reached in a text of any format, and the escapes there are.

use super::{JsonPosition, UrlPosition, XmlPosition};
use crate::template::error::Code;
use crate::template::format::Format;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Escape {
    /// `%XX` for all but unreserved characters.
    Percent,
    /// Inside a JSON string.
    JsonString,
    /// Outside a JSON string.
    JsonBare,
    XmlText,
    XmlAttribute,
    XmlCdata,
    /// As it is, but without control characters.
    Header,
    /// As it is.
    Verbatim,
}

/// Why no value may stand at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::template) struct Misplaced {
    pub(in crate::template) code: Code,
    pub(in crate::template) message: &'static str,
}

/// The place reached in a text of some format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::template) enum Position {
    Url(UrlPosition),
    Json(JsonPosition),
    Xml(XmlPosition),
    /// Every place is alike.
    Plain(Escape),
}

impl Position {
    /// The beginning of a text.
    pub(in crate::template) fn start(format: Format) -> Position {
        match format {
            Format::Url => Position::Url(UrlPosition::default()),
            Format::Query => Position::Plain(Escape::Percent),
            Format::Json => Position::Json(JsonPosition::default()),
            Format::Xml => Position::Xml(XmlPosition::default()),
            Format::Raw => Position::Plain(Escape::Verbatim),
            Format::Header => Position::Plain(Escape::Header),
        }
    }

    /// Goes on behind literal text, which must already be in its final form.
    pub(in crate::template) fn advance(&mut self, literal: &str) {
        match self {
            Position::Url(url) => url.advance(literal),
            Position::Json(json) => json.advance(literal),
            Position::Xml(xml) => xml.advance(literal),
            Position::Plain(_) => {}
        }
    }

    /// How a value is written here, or why none may stand here.
    pub(in crate::template) fn escape(&mut self) -> Result<Escape, Misplaced> {
        match self {
            Position::Url(url) => url.value(),
            Position::Json(json) => Ok(json.value()),
            Position::Xml(xml) => xml.value(),
            Position::Plain(escape) => Ok(*escape),
        }
    }
}
