//! From when to when a certificate may be used: the one field that our TLS library does not tell.
//!
//! Walks the outer levels of the DER form (RFC 5280, section 4.1) up to `notAfter` and reads nothing
//! else; whether the certificate is good for anything is the TLS library's question.

use crate::clock::Timestamp;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// From when to when a certificate may be used, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub begins_at: Timestamp,
    pub ends_at: Timestamp,
}

impl Validity {
    /// That of the certificate `der`; none if it is no certificate.
    pub fn of(der: &[u8]) -> Option<Self> {
        let mut certificate = Elements(der).expect(SEQUENCE)?;
        let mut fields = certificate.expect(SEQUENCE)?;
        if fields.0.first() == Some(&VERSION) {
            fields.expect(VERSION)?;
        }
        fields.expect(INTEGER)?; // serial number
        fields.expect(SEQUENCE)?; // algorithm of the signature
        fields.expect(SEQUENCE)?; // issuer
        let mut validity = fields.expect(SEQUENCE)?;
        let mut moment = || validity.next().and_then(|(tag, text)| moment(tag, std::str::from_utf8(text).ok()?));
        Some(Self { begins_at: moment()?, ends_at: moment()? })
    }
}

/// The elements of a DER value, one after another.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Tag and content of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Four bytes of length hold more than any certificate that is read.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, which must have this tag.
    fn expect(&mut self, expected: u8) -> Option<Self> {
        self.next().filter(|(tag, _)| *tag == expected).map(|(_, content)| Self(content))
    }
}

/// A moment as certificates write it: `YYMMDDHHMMSSZ` from 1950 to 2049, else `YYYYMMDDHHMMSSZ`.
fn moment(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let century = if digits >= "50" { "19" } else { "20" };
            (format!("{century}{}", &digits[..2]), &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].to_owned(), &digits[4..]),
        _ => return None,
    };
    let part = |from: usize| &rest[from..from + 2];
    let text = format!("{year}-{}-{}T{}:{}:{}Z", part(0), part(2), part(4), part(6), part(8));
    // 99991231235959Z stands for "never" (RFC 5280, 4.1.2.5) and lies just beyond the last moment we can name.
    text.parse().ok().or_else(|| (digits == "99991231235959").then(|| Timestamp::from_unix_ms(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receiver/certificates/valid.der"));
    const EXPIRED: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receiver/certificates/expired.der"));

    #[test]
    fn the_validity_of_a_certificate_is_read() {
        let years = |der: &[u8]| {
            let validity = Validity::of(der).unwrap();
            [validity.begins_at, validity.ends_at].map(|at| at.to_string()[..4].to_owned())
        };
        assert_eq!((years(VALID)[1].as_str(), years(EXPIRED)[1].as_str()), ("2124", "2021"));
        assert!(years(EXPIRED)[0] <= years(EXPIRED)[1]);
    }

    #[test]
    fn both_forms_of_a_moment_are_read() {
        let table = [
            (UTC_TIME, "240910174238Z", Some("2024-09-10T17:42:38.000Z")),
            (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59.000Z")),
            (UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00.000Z")),
            (GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00.000Z")),
            (GENERALIZED_TIME, "99991231235959Z", Some("9999-12-30T22:00:00.000Z")),
            (GENERALIZED_TIME, "240910174238Z", None),
            (UTC_TIME, "20240910174238Z", None),
            (UTC_TIME, "240910174238", None),
            (UTC_TIME, "241310174238Z", None),
            (UTC_TIME, "2409101742é8Z", None),
            (INTEGER, "240910174238Z", None),
        ];
        for (tag, text, expected) in table {
            assert_eq!(moment(tag, text).map(|at| at.to_string()).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Validity::of(&bytes);
        }

        /// Nearly right is where a walk goes wrong: a byte changed, or the end cut off.
        #[test]
        fn damaged_certificates_are_read_without_harm(place in 0..VALID.len(), byte: u8, end in 0..VALID.len()) {
            let mut damaged = VALID.to_vec();
            damaged[place] = byte;
            let _ = Validity::of(&damaged);
            let _ = Validity::of(&damaged[..end]);
        }
    }
}
