//! Time: the only reader of the system clock.
//!
//! Wall-clock [`Timestamp`]s say when something is due or happened and are stored. Waits inside the
//! process use tokio's monotonic [`Instant`], so that a wall clock that jumps neither stalls nor
//! storms. Everything that decides takes the time as an argument; only loops ask a [`Clock`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A moment in UTC, in whole milliseconds since 1970.
///
/// JSON and text form: RFC 3339 with milliseconds and `Z`. Arithmetic saturates, and so does reading: the last two days
/// of the year 9999, by which some programs say "never", are the last moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The first and the last moment that has a text form (years 0 to 9999).
const UNIX_MS_MIN: i64 = -62_167_219_200_000;
const UNIX_MS_MAX: i64 = 253_402_207_200_000;

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time; write it as RFC 3339 with an offset, like `2024-09-10T17:42:38Z`")]
pub struct ParseTimestampError {
    text: String,
}

/// How much time has passed on the system's monotonic clock, whose beginning is the system's own. Only for
/// telling other programs of this machine, which read the same clock.
#[must_use]
pub fn system_monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

impl Timestamp {
    /// The moment `unix_ms` milliseconds after 1970, kept within the years 0 to 9999.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        if unix_ms < UNIX_MS_MIN {
            Self(UNIX_MS_MIN)
        } else if unix_ms > UNIX_MS_MAX {
            Self(UNIX_MS_MAX)
        } else {
            Self(unix_ms)
        }
    }

    /// Milliseconds since 1970, negative before.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// The moment `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::from_unix_ms(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self::from_unix_ms(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let precise = without_fine_digits(text);
        let moment = precise.parse::<jiff::Timestamp>().map(|moment| Self::from_unix_ms(moment.as_millisecond())).ok();
        moment.or_else(|| beyond_the_last(&precise)).ok_or_else(|| ParseTimestampError { text: text.chars().take(64).collect() })
    }
}

/// The same time with no more digits of a second than nanoseconds have. RFC 3339 allows any number.
fn without_fine_digits(text: &str) -> Cow<'_, str> {
    const DIGITS_MAX: usize = 9;
    let Some((whole, rest)) = text.split_once('.') else { return text.into() };
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    if end > DIGITS_MAX { format!("{whole}.{}{}", &rest[..DIGITS_MAX], &rest[end..]).into() } else { text.into() }
}

/// The last moment, if `text` is a time of the year 9999 that is behind it in UTC.
fn beyond_the_last(text: &str) -> Option<Timestamp> {
    use jiff::fmt::temporal::{Pieces, PiecesOffset};
    let pieces = Pieces::parse(text).ok()?;
    let offset = match pieces.offset()? {
        PiecesOffset::Numeric(numeric) => numeric.offset(),
        _ => jiff::tz::Offset::UTC,
    };
    let written = pieces.date().to_datetime(pieces.time()?);
    (written.year() == 9999 && offset.to_timestamp(written).is_err()).then_some(Timestamp(UNIX_MS_MAX))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self::from_unix_ms)
        }
    }
}

/// Tells the time. One per server, so that two servers in one test can live in different times.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall clock: for due times and records.
    fn now(&self) -> Timestamp;
    /// The monotonic clock: for waits and durations.
    fn instant(&self) -> Instant;

    /// Resolves at `at`, never before it. With tokio's timers, up to two milliseconds late.
    fn until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at))
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
    fn now(&self) -> Timestamp {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the monotonic clock")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// The clock of the machine, with waits that end within a fraction of a millisecond.
///
/// tokio's timers count milliseconds, which would waste half of a ceiling of a thousand requests a
/// second. The last part of a wait is therefore left to a thread that sleeps and wakes exactly.
#[derive(Debug)]
pub struct PreciseClock {
    wakes: std::sync::mpsc::Sender<Wake>,
}

/// The part of a wait that is left to the thread.
const EXACT_PART: Duration = Duration::from_millis(3);
/// How long before a wake the thread stops sleeping, since a sleep ends this much late.
const SPIN_PART: Duration = Duration::from_micros(70);

#[derive(Debug)]
struct Wake {
    at: Instant,
    sleeper: oneshot::Sender<()>,
}

impl PreciseClock {
    /// A clock with its own thread, which ends when the clock is dropped.
    ///
    /// # Errors
    /// What the operating system said if it gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (wakes, waiting) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("clock".into()).spawn(move || wake_sleepers(&waiting))?;
        Ok(Self { wakes })
    }
}

/// Wakes whoever asked, in order of time, until nobody can ask any more.
fn wake_sleepers(waiting: &std::sync::mpsc::Receiver<Wake>) {
    use std::sync::mpsc::RecvTimeoutError;
    let mut wakes: Vec<Wake> = Vec::new();
    loop {
        wakes.sort_by_key(|wake| std::cmp::Reverse(wake.at));
        let next = match wakes.last() {
            None => waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(first) => {
                let wait = first.at.saturating_duration_since(SystemClock.instant());
                if wait > SPIN_PART { waiting.recv_timeout(wait - SPIN_PART) } else { Err(RecvTimeoutError::Timeout) }
            }
        };
        match next {
            Ok(wake) => wakes.push(wake),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(wake) = wakes.pop() {
                    while SystemClock.instant() < wake.at {
                        std::hint::spin_loop();
                    }
                    // Whoever gave up waiting needs no waking.
                    let _ = wake.sleeper.send(());
                }
            }
        }
    }
}

impl Clock for PreciseClock {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn instant(&self) -> Instant {
        SystemClock.instant()
    }

    fn until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let wakes = self.wakes.clone();
        Box::pin(async move {
            if at.saturating_duration_since(SystemClock.instant()) > EXACT_PART {
                tokio::time::sleep_until(at - EXACT_PART).await;
            }
            let (sleeper, woken) = oneshot::channel();
            if wakes.send(Wake { at, sleeper }).is_err() || woken.await.is_err() {
                tokio::time::sleep_until(at).await;
            }
        })
    }
}

/// A clock that starts at a given moment and moves with tokio's clock, which a test can pause and advance.
#[derive(Debug, Clone, Copy)]
pub struct ScriptedClock {
    start: Timestamp,
    started: Instant,
}

impl ScriptedClock {
    /// A clock that shows `start` at this instant of tokio's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a scripted clock is a clock")]
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, started: Instant::now() }
    }
}

impl Clock for ScriptedClock {
    fn now(&self) -> Timestamp {
        self.start.after(self.instant().duration_since(self.started))
    }

    #[expect(clippy::disallowed_methods, reason = "a scripted clock is a clock")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_rfc_3339_in_utc_with_milliseconds() {
        assert_eq!(Timestamp::from_unix_ms(1_725_990_158_000).to_string(), "2024-09-10T17:42:38.000Z");
        assert_eq!("2024-09-10T10:42:38-07:00".parse(), Ok(Timestamp::from_unix_ms(1_725_990_158_000)));
    }

    #[test]
    fn every_time_of_rfc_3339_is_read() {
        let last = Timestamp::from_unix_ms(i64::MAX);
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999-23:59", "9999-12-31t00:00:00z", "9999-12-30T23:00:00-10:00"] {
            assert_eq!(text.parse(), Ok(last), "{text}");
        }
        assert_eq!(last.to_string().parse(), Ok(last));
        assert_eq!("0000-01-01T00:00:00+23:59".parse(), Ok(Timestamp::from_unix_ms(i64::MIN)));
        assert_eq!("1970-01-01T00:00:00.0019999999999999999Z".parse(), Ok(Timestamp::from_unix_ms(1)));
        assert_eq!("2016-12-31T23:59:60Z".parse(), Ok(Timestamp::from_unix_ms(1_483_228_799_000)));
        for text in ["9999-12-31T23:59:59", "9999-12-31", "9999-12-32T00:00:00Z", "9999-12-31T24:00:00Z", "1970-01-01T00:00:00.x000000000Z"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_without_offset_is_refused() {
        assert!("2024-09-10T10:42:38".parse::<Timestamp>().is_err());
    }

    #[tokio::test]
    async fn a_precise_wait_never_ends_early() {
        let clock = PreciseClock::start().unwrap();
        for micros in [0, 150, 1_900, 4_000] {
            let at = clock.instant() + Duration::from_micros(micros);
            clock.until(at).await;
            assert!(clock.instant() >= at);
        }
    }

    #[test]
    fn arithmetic_stays_within_what_can_be_written() {
        let end = Timestamp::from_unix_ms(i64::MAX);
        assert_eq!(end.after(Duration::MAX), end);
        assert!(end.to_string().starts_with("9999-"));
        assert_eq!(Timestamp::default().since(end), Duration::ZERO);
    }
}
