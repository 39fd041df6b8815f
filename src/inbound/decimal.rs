//! Decimals as text: `"30.00"` stays `30.00`, and a number is read as exactly as a text.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serializer};

/// Most digits before the point, and after it.
const WHOLE_DIGITS_MAX: usize = 15;
const FRACTION_DIGITS_MAX: usize = 8;

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an amount; write digits with a point, like `30.00`, not negative, with at most {WHOLE_DIGITS_MAX} digits before the point and {FRACTION_DIGITS_MAX} after it"
)]
pub struct DecimalError {
    text: String,
}

/// Reads an amount that is not negative: digits, with a point if there is a fraction. Its digits stay.
///
/// # Errors
/// [`DecimalError`] if the text is anything else, or has more digits than sums can be exact with.
pub fn parse_decimal(text: &str) -> Result<Decimal, DecimalError> {
    let fail = || DecimalError { text: text.chars().take(40).collect() };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole, WHOLE_DIGITS_MAX) || !is_digits(fraction, FRACTION_DIGITS_MAX) {
        return Err(fail());
    }
    text.parse().map_err(|_| fail())
}

/// Writes it as text.
pub(super) fn serialize<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads it from a text or a number.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let text = match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        other => return Err(serde::de::Error::custom(DecimalError { text: other.to_string().chars().take(40).collect() })),
    };
    parse_decimal(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stay_as_they_were_written() {
        for text in ["0", "30", "30.00", "0.1", "999999999999999.99999999", "007"] {
            let read = parse_decimal(text).unwrap().to_string();
            assert_eq!(
                read.trim_start_matches('0').trim_start_matches('.'),
                text.trim_start_matches('0').trim_start_matches('.'),
                "{text}"
            );
        }
        assert_eq!(parse_decimal("30.00").unwrap().to_string(), "30.00");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-1", "+1", "1,5", "1e3", "1.", ".5", " 1", "NaN", "0x1", "1_000", "1234567890123456", "0.123456789", "１"] {
            assert!(parse_decimal(text).is_err(), "{text}");
        }
    }
}
