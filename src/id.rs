//! Identifiers of stored things and their text form.
//!
//! An id is 128 bits: 48 bits of Unix milliseconds, 24 bits of sequence within that millisecond,
//! 40 bits drawn once per process and 16 bits that number the parts of one event. Sorting ids sorts
//! them by the order in which one process gave them out. The text form is a prefix, `_` and 26
//! lower-case Crockford base-32 characters, so that text sorts as the number does and holds no dot.
//!
//! Ids order things within one process's life; across nodes and clock steps they only identify.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The digits of the text form, also used by the text of API keys.
pub(crate) const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LENGTH: usize = 26;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}_` and 26 characters; copy it whole from where it was given")]
pub struct ParseIdError {
    text: String,
    prefix: &'static str,
}

/// Hands out raw ids, each greater than the one before.
///
/// The clock may step back: the source then goes on counting in the newest millisecond it has seen.
#[derive(Debug)]
pub struct IdSource {
    tag: u64,
    last: Mutex<(u64, u32)>,
}

const SEQUENCE_LIMIT: u32 = 1 << 24;

impl IdSource {
    /// A source whose ids carry the low 40 bits of `tag` and come after `newest`, the newest raw id known.
    #[must_use]
    pub fn new(tag: u64, newest: u128) -> Self {
        let last_ms = (newest >> 80) as u64;
        let last_sequence = ((newest >> 56) as u32) & (SEQUENCE_LIMIT - 1);
        Self { tag: tag & 0xff_ffff_ffff, last: Mutex::new((last_ms, last_sequence)) }
    }

    /// The next raw id for the moment `now_ms` (Unix milliseconds); its 16 part bits are zero.
    pub fn next(&self, now_ms: i64) -> u128 {
        let now_ms = u64::try_from(now_ms).unwrap_or(0) & 0xffff_ffff_ffff;
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = match *last {
            (ms, _) if now_ms > ms => (now_ms, 0),
            (ms, sequence) if sequence + 1 < SEQUENCE_LIMIT => (ms, sequence + 1),
            (ms, _) => (ms + 1, 0),
        };
        (u128::from(last.0) << 80) | (u128::from(last.1) << 56) | (u128::from(self.tag) << 16)
    }

    /// Makes every later id come after `known`, which was given elsewhere.
    pub fn raise(&self, known: u128) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = (*last).max(((known >> 80) as u64, ((known >> 56) as u32) & (SEQUENCE_LIMIT - 1)));
    }
}

fn encode(prefix: &str, raw: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; TEXT_LENGTH];
    for (place, slot) in text.iter_mut().enumerate() {
        let shift = 5 * (TEXT_LENGTH - 1 - place);
        *slot = ALPHABET[((raw >> shift) & 31) as usize];
    }
    let text = std::str::from_utf8(&text).map_err(|_| fmt::Error)?;
    write!(f, "{prefix}_{text}")
}

fn decode(prefix: &'static str, text: &str) -> Result<u128, ParseIdError> {
    let fail = || ParseIdError { text: text.chars().take(64).collect(), prefix };
    let digits =
        text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).filter(|digits| digits.len() == TEXT_LENGTH).ok_or_else(fail)?;
    let mut raw: u128 = 0;
    for (place, digit) in digits.bytes().enumerate() {
        let value = ALPHABET.iter().position(|&letter| letter == digit).ok_or_else(fail)?;
        if place == 0 && value > 7 {
            return Err(fail());
        }
        raw = (raw << 5) | value as u128;
    }
    Ok(raw)
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id with these raw bits.
            #[must_use]
            pub const fn from_raw(raw: u128) -> Self {
                Self(raw)
            }

            /// The raw bits, big-endian order is id order.
            #[must_use]
            pub const fn raw(self) -> u128 {
                self.0
            }

            /// Unix milliseconds of the moment the id was given.
            #[must_use]
            pub const fn unix_ms(self) -> i64 {
                (self.0 >> 80) as i64
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                decode($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    // The first digit has 3 bits, the others 5 each.
                    "pattern": concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
                    "description": concat!("`", $prefix, "_` and 26 characters; ids sort by the time at which they were given."),
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    u128::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

id_type!(
    /// One event.
    EventId, "evt"
);
id_type!(
    /// One subscription.
    SubscriptionId, "sub"
);
id_type!(
    /// One delivery: the event's id with the number of the delivery, from 1, in the 16 part bits.
    DeliveryId, "dlv"
);
id_type!(
    /// One attempt.
    AttemptId, "att"
);
id_type!(
    /// One API key.
    KeyId, "key"
);
id_type!(
    /// One entry of the audit log.
    AuditId, "aud"
);
id_type!(
    /// One replay.
    ReplayId, "rpl"
);
id_type!(
    /// One key under which an advertiser reports.
    InboundKeyId, "ink"
);
id_type!(
    /// One report that came in.
    InboundCallId, "inc"
);
id_type!(
    /// One test run of an offer.
    TestRunId, "run"
);
id_type!(
    /// One request to the API, in answers and in the log.
    RequestId, "req"
);

impl DeliveryId {
    /// The delivery of `event` with this number, from 1.
    #[must_use]
    pub const fn of(event: EventId, number: u16) -> Self {
        Self(event.0 | number as u128)
    }

    /// The event that this delivery owes.
    #[must_use]
    pub const fn event(self) -> EventId {
        EventId(self.0 & !0xffff)
    }

    /// Which of the event's deliveries this is, from 1.
    #[must_use]
    pub const fn number(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_read_back() {
        let id = EventId::from_raw(IdSource::new(7, 0).next(1_732_233_600_123));
        assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
        assert_eq!(id.unix_ms(), 1_732_233_600_123);
        assert!(id.to_string().starts_with("evt_") && id.to_string().len() == 30);
    }

    #[test]
    fn text_sorts_as_the_number_does() {
        let source = IdSource::new(u64::MAX, 0);
        let ids: Vec<_> = [5, 5, 4, 9, 8].map(|ms| EventId::from_raw(source.next(ms))).to_vec();
        let mut texts: Vec<_> = ids.iter().map(ToString::to_string).collect();
        assert!(ids.is_sorted());
        texts.sort();
        assert_eq!(texts, ids.iter().map(ToString::to_string).collect::<Vec<_>>());
    }

    #[test]
    fn a_source_continues_after_the_newest_known_id() {
        let newest = IdSource::new(1, 0).next(1_000);
        assert!(IdSource::new(0, newest).next(10) > newest);
        let source = IdSource::new(0, 0);
        source.raise(newest);
        source.raise(5);
        assert!(source.next(10) > newest);
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in ["", "evt_", "dlv_00000000000000000000000000", "evt_8zzzzzzzzzzzzzzzzzzzzzzzzz", "evt_0000000000000000000000000é"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_delivery_knows_its_event() {
        let event = EventId::from_raw(IdSource::new(3, 0).next(77));
        let delivery = DeliveryId::of(event, 2);
        assert_eq!((delivery.event(), delivery.number()), (event, 2));
    }
}
