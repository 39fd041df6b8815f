//! How platforms write their macros.

use std::fmt;
use std::str::FromStr;

use crate::template::error::Span;

/// The marks round a macro name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// `!!!x!!!`, as Awin writes it.
    Exclamation,
    /// `{{x}}`, as GoAffPro and Monlix write it.
    DoubleCurly,
    /// `${x}` and `${(x)!}`, as Branch writes it.
    DollarCurly,
    /// `{x}`, as most platforms write it.
    Curly,
    /// `__x__`, as Kuaishou writes it.
    Underscore,
    /// `#x#`, as CAKE and MaxBounty write it.
    Hash,
    /// `$x$`, as Revu writes it.
    Dollar,
    /// `%x%`.
    Percent,
    /// `[x]`, as Cellxpert writes it.
    Square,
    /// `<x>`, as Rakuten writes it.
    Angle,
    /// `(x)`, as AppsFlyer writes it.
    Round,
}

/// A macro found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placeholder {
    pub(super) name: String,
    /// With the marks.
    pub(super) span: Span,
}

impl Style {
    /// All styles; of two that explain a text equally well the first is meant.
    pub const ALL: [Style; 11] = [
        Style::Exclamation,
        Style::DoubleCurly,
        Style::DollarCurly,
        Style::Curly,
        Style::Underscore,
        Style::Hash,
        Style::Dollar,
        Style::Percent,
        Style::Square,
        Style::Angle,
        Style::Round,
    ];

    /// The stable text form: the marks round an `x`.
    pub fn as_str(self) -> &'static str {
        match self {
            Style::Exclamation => "!!!x!!!",
            Style::DoubleCurly => "{{x}}",
            Style::DollarCurly => "${x}",
            Style::Curly => "{x}",
            Style::Underscore => "__x__",
            Style::Hash => "#x#",
            Style::Dollar => "$x$",
            Style::Percent => "%x%",
            Style::Square => "[x]",
            Style::Angle => "<x>",
            Style::Round => "(x)",
        }
    }

    /// A word for the style, for command lines where marks need quoting.
    pub fn word(self) -> &'static str {
        match self {
            Style::Exclamation => "exclamation",
            Style::DoubleCurly => "double-curly",
            Style::DollarCurly => "dollar-curly",
            Style::Curly => "curly",
            Style::Underscore => "underscore",
            Style::Hash => "hash",
            Style::Dollar => "dollar",
            Style::Percent => "percent",
            Style::Square => "square",
            Style::Angle => "angle",
            Style::Round => "round",
        }
    }

    /// Whether the marks mean a macro even round an unknown name.
    pub(super) fn is_distinct(self) -> bool {
        matches!(self, Style::Exclamation | Style::DoubleCurly | Style::DollarCurly | Style::Curly)
    }

    fn marks(self) -> (&'static str, &'static str) {
        let (open, close) = self.as_str().split_once('x').unwrap_or_default();
        (open, close)
    }

    /// All macros of this style in `text`, from front to back.
    pub(super) fn placeholders(self, text: &str) -> Vec<Placeholder> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(placeholder) = self.next(text, at) {
            at = placeholder.span.end;
            found.push(placeholder);
        }
        found
    }

    fn next(self, text: &str, mut from: usize) -> Option<Placeholder> {
        let (open, close) = self.marks();
        loop {
            let start = from + text[from..].find(open)?;
            let inside = start + open.len();
            if let Some((name, length)) = self.name(&text[inside..])
                && text[inside + length..].starts_with(close)
            {
                let span = Span::new(start, inside + length + close.len());
                let name = name.to_owned();
                return Some(Placeholder { name, span });
            }
            from = start + text[start..].chars().next().map_or(1, char::len_utf8);
        }
    }

    /// The name at the beginning of `text`, and how many bytes stand before the closing mark.
    fn name(self, text: &str) -> Option<(&str, usize)> {
        if self == Style::DollarCurly
            && let Some(wrapped) = text.strip_prefix('(')
        {
            let length = name_bytes(wrapped, self)?;
            return wrapped[length..].starts_with(")!").then_some((&wrapped[..length], length + 3));
        }
        let length = name_bytes(text, self)?;
        Some((&text[..length], length))
    }
}

/// Length of the name at the beginning of `text`.
fn name_bytes(text: &str, style: Style) -> Option<usize> {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let stays = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    let mut length = text.find(|c| !stays(c)).unwrap_or(text.len());
    if style == Style::Underscore {
        length = text[..length].find("__")?;
    }
    // `%2Fa%` is an encoded slash before an `a`, not a macro.
    let encoded = text.as_bytes().iter().take(2).all(u8::is_ascii_hexdigit);
    if style == Style::Percent && encoded && length < 5 {
        return None;
    }
    Some(length)
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl schemars::JsonSchema for Style {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ImportStyle".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut known: Vec<_> = Style::ALL.iter().map(|style| style.as_str()).collect();
        if generator.contract().is_deserialize() {
            known.extend(Style::ALL.iter().map(|style| style.word()));
        }
        schemars::json_schema!({"type": "string", "enum": known, "description": "The marks round a macro, with `x` for its name; a word in requests, too."})
    }
}

impl serde::Serialize for Style {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for Style {
    type Err = UnknownStyle;

    /// Reads the marks round an `x`, or the word for them.
    fn from_str(text: &str) -> Result<Style, UnknownStyle> {
        let found = Style::ALL.into_iter().find(|style| style.as_str() == text || style.word() == text);
        found.ok_or_else(|| UnknownStyle { style: text.to_owned() })
    }
}

/// The text names no [`Style`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "macro style `{style}` is not known; use curly, double-curly, dollar-curly, angle, square, round, hash, dollar, percent, underscore or exclamation"
)]
pub struct UnknownStyle {
    /// The text that was given.
    pub style: String,
}
