//! One value on its way from the event into the result.

use std::borrow::Cow;

use serde_json::Value;

/// A value as a template sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Absent, or `null`.
    Missing,
    Text(Cow<'a, str>),
    /// The digits exactly as the event holds them.
    Number(Cow<'a, str>),
    Boolean(bool),
    /// A list or an object.
    Container(&'a Value),
}

impl<'a> Scalar<'a> {
    pub(super) fn of(value: Option<&'a Value>) -> Scalar<'a> {
        match value {
            None | Some(Value::Null) => Scalar::Missing,
            Some(Value::String(text)) => Scalar::Text(Cow::Borrowed(text)),
            Some(Value::Number(number)) => Scalar::Number(Cow::Borrowed(number.as_str())),
            Some(Value::Bool(boolean)) => Scalar::Boolean(*boolean),
            Some(container) => Scalar::Container(container),
        }
    }

    /// The value as text; `None` for a list or an object.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Scalar::Missing => Some(""),
            Scalar::Text(text) | Scalar::Number(text) => Some(text),
            Scalar::Boolean(true) => Some("true"),
            Scalar::Boolean(false) => Some("false"),
            Scalar::Container(_) => None,
        }
    }

    /// What the value is, for messages.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Scalar::Missing => "a missing value",
            Scalar::Text(_) => "a text",
            Scalar::Number(_) => "a number",
            Scalar::Boolean(_) => "a boolean",
            Scalar::Container(Value::Array(_)) => "a list",
            Scalar::Container(_) => "an object",
        }
    }
}

/// Whether `text` is a JSON number, so that it may stand bare in JSON.
pub(super) fn is_json_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned[0] == b'0') {
        return false;
    }
    let mut rest = &unsigned[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', unsigned @ ..] => unsigned,
            unsigned => unsigned,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        let good = ["0", "-0", "5.00", "1E5", "1e-5", "1e+05", "12345678901234567890123456789012"];
        let bad = ["", "-", "01", "5.", ".5", "+1", "1e", "1e+", " 1", "1 ", "0x1", "NaN", "1,234.56", "--1", "٣"];
        for text in good {
            assert!(is_json_number(text), "{text}");
            assert!(serde_json::from_str::<serde_json::Number>(text).is_ok(), "{text}");
        }
        for text in bad {
            assert!(!is_json_number(text), "{text}");
        }
    }
}
