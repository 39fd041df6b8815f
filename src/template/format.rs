//! What a template produces and which engine reads it.
//!
//! The format decides how values are written (see `position`); the engine decides how
//! the template text is read. Both are stored with a subscription, so their text forms are stable.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of text a template produces. Decides the escaping of values and the check of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A whole address with a literal `http` or `https` scheme.
    Url,
    /// `key=value` pairs, as a body or as the part of an address after `?`.
    Query,
    /// A JSON document.
    Json,
    /// An XML document.
    Xml,
    /// Any text; values are inserted as they are.
    Raw,
    /// The value of one HTTP header.
    Header,
}

impl Format {
    /// All formats, in the order in which they are documented.
    pub const ALL: [Format; 6] = [Format::Url, Format::Query, Format::Json, Format::Xml, Format::Raw, Format::Header];

    /// The stable text form: `url`, `query`, `json`, `xml`, `raw` or `header`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Url => "url",
            Format::Query => "query",
            Format::Json => "json",
            Format::Xml => "xml",
            Format::Raw => "raw",
            Format::Header => "header",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        Format::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| UnknownFormat { format: text.to_owned() })
    }
}

/// The text names no [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("format `{format}` is not known; use url, query, json, xml, raw or header")]
pub struct UnknownFormat {
    /// The text that was given.
    pub format: String,
}

/// The language a template is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The macro language: `{Name}`, `{join(…)}` and a few functions.
    #[default]
    Macro,
    /// Handlebars, for conditions and loops, behind a gate that refuses what could run away.
    Handlebars,
}

impl Engine {
    /// The stable text form: `macro` or `handlebars`.
    pub fn as_str(self) -> &'static str {
        match self {
            Engine::Macro => "macro",
            Engine::Handlebars => "handlebars",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Engine, UnknownEngine> {
        match text {
            "macro" => Ok(Engine::Macro),
            "handlebars" => Ok(Engine::Handlebars),
            _ => Err(UnknownEngine { engine: text.to_owned() }),
        }
    }
}

/// The text names no [`Engine`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("engine `{engine}` is not known; use macro or handlebars")]
pub struct UnknownEngine {
    /// The text that was given.
    pub engine: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_read_back_and_agree_with_serde() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse::<Format>(), Ok(format));
            let json = serde_json::to_string(&format).unwrap();
            assert_eq!(json, format!("\"{format}\""));
        }
        for engine in [Engine::Macro, Engine::Handlebars] {
            assert_eq!(engine.to_string().parse::<Engine>(), Ok(engine));
        }
        assert!("JSON".parse::<Format>().is_err());
        assert!("liquid".parse::<Engine>().is_err());
    }
}
