//! The `date` function: reads an ISO 8601 date and writes it as the receiver wants it.
//!
//! A date without an offset is read as UTC; a date without a time is its midnight. Without a zone
//! the offset of the value is kept. Text that is no date is an error of its own: passing it through
//! would put a wrong moment into the receiver's books without anybody noticing.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::fmt::strtime;
use jiff::fmt::temporal::{DateTimeParser, PiecesOffset};
use jiff::tz::{Offset, TimeZone};

/// How `date` writes: a `strftime` pattern, and the zone to write in.
#[derive(Debug, Clone)]
pub(super) struct DateFormat {
    pattern: String,
    zone: Option<TimeZone>,
}

/// Why a pattern or zone cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DateFormatError {
    #[error("`{pattern}` is not a date pattern; use forms such as `%Y-%m-%d %H:%M:%S` or `%s`")]
    Pattern { pattern: String },
    #[error("zone `{zone}` is not known; use `UTC`, an offset such as `+08:00`, or a name such as `Europe/Berlin`")]
    Zone { zone: String },
}

impl DateFormat {
    /// `pattern` as in `strftime`; `zone` is `UTC`, an offset or an IANA name.
    pub(super) fn new(pattern: &str, zone: Option<&str>) -> Result<DateFormat, DateFormatError> {
        let zone = zone.map(read_zone).transpose()?;
        let epoch = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        strtime::format(pattern, &epoch).map_err(|_| DateFormatError::Pattern { pattern: pattern.to_owned() })?;
        Ok(DateFormat { pattern: pattern.to_owned(), zone })
    }
}

fn read_zone(zone: &str) -> Result<TimeZone, DateFormatError> {
    let unknown = || DateFormatError::Zone { zone: zone.to_owned() };
    if zone.eq_ignore_ascii_case("utc") || zone == "Z" {
        return Ok(TimeZone::UTC);
    }
    if zone.starts_with(['+', '-']) {
        let probe = format!("1970-01-01T00:00:00{zone}");
        let pieces = DateTimeParser::new().parse_pieces(&probe).map_err(|_| unknown())?;
        return match pieces.offset() {
            Some(PiecesOffset::Numeric(offset)) => Ok(TimeZone::fixed(offset.offset())),
            _ => Err(unknown()),
        };
    }
    jiff::tz::TimeZoneDatabase::bundled().get(zone).map_err(|_| unknown())
}

/// `text` written as `format` says, or `None` if it is no ISO 8601 date.
pub(super) fn reformat(text: &str, format: &DateFormat) -> Option<String> {
    let pieces = DateTimeParser::new().parse_pieces(text.trim()).ok()?;
    let own_zone = match pieces.offset() {
        Some(PiecesOffset::Numeric(offset)) => TimeZone::fixed(offset.offset()),
        _ => TimeZone::fixed(Offset::UTC),
    };
    let civil = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    let moment = civil.to_zoned(own_zone).ok()?;
    let moment = match &format.zone {
        Some(zone) => moment.with_time_zone(zone.clone()),
        None => moment,
    };
    strtime::format(&format.pattern, &moment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, pattern: &str, zone: Option<&str>) -> Option<String> {
        reformat(text, &DateFormat::new(pattern, zone).unwrap())
    }

    #[test]
    fn dates_with_offset_without_and_without_time_are_read() {
        let pattern = "%Y-%m-%d %H:%M:%S%:z";
        let cases = [
            ("2024-09-10T10:42:38-07:00", None, "2024-09-10 10:42:38-07:00"),
            ("2024-09-10T10:42:38Z", None, "2024-09-10 10:42:38+00:00"),
            ("2024-09-10T10:42:38.250+0530", None, "2024-09-10 10:42:38+05:30"),
            ("2024-09-10 10:42:38", Some("+08:00"), "2024-09-10 18:42:38+08:00"),
            ("2024-09-10", Some("Europe/Berlin"), "2024-09-10 02:00:00+02:00"),
            ("2024-09-10T10:42:38-07:00", Some("UTC"), "2024-09-10 17:42:38+00:00"),
        ];
        for (text, zone, expected) in cases {
            assert_eq!(written(text, pattern, zone).as_deref(), Some(expected), "{text}");
        }
        let seconds = written("2024-09-10T10:42:38-07:00", "%s", None);
        assert_eq!(seconds.as_deref(), Some("1725990158"));
    }

    #[test]
    fn other_text_is_no_date() {
        for text in ["yesterday", "10/09/2024", "2024-13-01", "1725990158", "2024-09-10T"] {
            assert_eq!(written(text, "%s", None), None, "{text}");
        }
    }

    #[test]
    fn padding_is_bounded() {
        for pattern in ["%999999999d", "%255d", "%0200Y"] {
            let Ok(format) = DateFormat::new(pattern, None) else { continue };
            let text = reformat("2024-09-10", &format).unwrap_or_default();
            assert!(text.len() <= 300, "{pattern} gave {} bytes", text.len());
        }
    }

    #[test]
    fn patterns_and_zones_are_checked_when_read() {
        assert!(DateFormat::new("%Q-%!", None).is_err());
        assert!(DateFormat::new("%s", Some("Mars/Olympus")).is_err());
        assert!(DateFormat::new("%s", Some("+99:99")).is_err());
    }
}
