//! What a receiver asks for with `Retry-After`.

use std::time::{Duration, SystemTime};

use crate::clock::Timestamp;

/// The longest wait that a receiver may ask for: one day. A longer one is cut to this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// A `Retry-After` value of neither form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is neither whole seconds nor an HTTP date")]
pub struct RetryAfterError {
    value: String,
}

/// How long an endpoint asks us to wait.
///
/// `value` is a `Retry-After` header: whole seconds, or an HTTP date in any of its three forms.
/// Returns the wait counted from `now`, never above [`RETRY_AFTER_MAX`]; a past date gives zero.
///
/// # Errors
/// [`RetryAfterError`] if `value` is neither form. The caller then uses its own backoff.
///
/// Source: RFC 9110, section 10.2.3.
pub fn retry_after(value: &str, now: Timestamp) -> Result<Duration, RetryAfterError> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a wait beyond any limit.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Ok(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let date = httpdate::parse_http_date(value).map_err(|_| RetryAfterError { value: value.chars().take(64).collect() })?;
    let unix_ms = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let at = Timestamp::from_unix_ms(i64::try_from(unix_ms).unwrap_or(i64::MAX));
    Ok(at.since(now).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c15_both_forms_are_read_and_the_rest_is_refused() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let seconds = |text: &str| retry_after(text, now).map(|wait| wait.as_secs()).ok();
        let table = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86401", Some(86_400)),
            ("99999999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            ("", None),
            ("1.5", None),
            ("-1", None),
            ("soon", None),
        ];
        for (text, wait) in table {
            assert_eq!(seconds(text), wait, "{text}");
        }
    }
}
