//! Inside or outside a JSON string.
//!
//! Only strings matter here; whether the text is JSON at all is the business of `validity`.

use super::Escape;

/// The place reached in JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::template) enum JsonPosition {
    #[default]
    Outside,
    Inside,
    /// Inside, behind a backslash.
    Escaped,
}

impl JsonPosition {
    pub(in crate::template) fn advance(&mut self, literal: &str) {
        for byte in literal.bytes() {
            *self = match (*self, byte) {
                (JsonPosition::Outside, b'"') | (JsonPosition::Escaped, _) => JsonPosition::Inside,
                (JsonPosition::Inside, b'"') => JsonPosition::Outside,
                (JsonPosition::Inside, b'\\') => JsonPosition::Escaped,
                (same, _) => same,
            };
        }
    }

    /// How a value is written here. A value behind a lone backslash ends the escape.
    pub(in crate::template) fn value(&mut self) -> Escape {
        match self {
            JsonPosition::Outside => Escape::JsonBare,
            JsonPosition::Inside => Escape::JsonString,
            JsonPosition::Escaped => {
                *self = JsonPosition::Inside;
                Escape::JsonString
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_quotes_do_not_end_a_string() {
        let at = |text: &str| {
            let mut position = JsonPosition::default();
            position.advance(text);
            position
        };
        assert_eq!(at(r#"{"a":"#), JsonPosition::Outside);
        assert_eq!(at(r#"{"a\"b"#), JsonPosition::Inside);
        assert_eq!(at(r#"{"a\\"#), JsonPosition::Inside);
        assert_eq!(at(r#"{"a\\""#), JsonPosition::Outside);
        assert_eq!(at(r#"{"a\"#), JsonPosition::Escaped);
    }
}
