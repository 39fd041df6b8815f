//! The receiver's side: is this signature by one of my keys, and is it fresh?

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::content::{signed_content, target};
use super::key::VerifyingKey;
use crate::clock::Timestamp;
use crate::subscription::SIGNATURE_PARAMETERS;

/// How far a receiver's clock and a signature's time may be apart, in both directions: the reference value.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// What a receiver has to check: three headers and the body as it arrived, or what stands for them in a [`SignedQuery`].
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The header `webhook-id`.
    pub id: &'a str,
    /// The header `webhook-timestamp`.
    pub timestamp: &'a str,
    /// The header `webhook-signature`: entries separated by spaces.
    pub signature: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// A signed query, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedQuery<'a> {
    id: &'a str,
    timestamp: &'a str,
    /// In the form of the header.
    signature: String,
    content: &'a str,
}

impl<'a> SignedQuery<'a> {
    /// Takes apart a URL, or path and query of one. None unless its last three parameters are those of a
    /// signature, in their order.
    #[must_use]
    pub fn parse(url: &'a str) -> Option<Self> {
        let [id_name, timestamp_name, signature_name] = SIGNATURE_PARAMETERS;
        let target = target(url.split('#').next().unwrap_or_default());
        let (content, entries) = target.rsplit_once(&format!("&{signature_name}="))?;
        let (before, timestamp) = content.rsplit_once(&format!("&{timestamp_name}="))?;
        let (_, id) = before.rsplit_once(&format!("{id_name}="))?;
        if [id, timestamp, entries].iter().any(|value| value.contains('&')) {
            return None;
        }
        let entry = |entry: &str| {
            let (version, text) = entry.split_once('.')?;
            Some(format!("{version},{}", URL_SAFE_NO_PAD.decode(text).map(|bytes| STANDARD.encode(bytes)).unwrap_or_default()))
        };
        let signature = entries.split('~').filter_map(entry).collect::<Vec<_>>().join(" ");
        Some(Self { id, timestamp, signature, content })
    }

    /// What has to be checked.
    #[must_use]
    pub fn signed(&self) -> Signed<'_> {
        Signed { id: self.id, timestamp: self.timestamp, signature: &self.signature, body: self.content.as_bytes() }
    }
}

/// A signature that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The version of the entry that matched: `v1` or `v1a`.
    pub version: &'static str,
    /// When the request was signed.
    pub signed_at: Timestamp,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The time is no whole number of seconds.
    #[error("the timestamp `{text}` is not a whole number of Unix seconds")]
    BadTimestamp {
        /// What it is, shortened.
        text: String,
    },
    /// No entry has the version of a key.
    #[error("no signature of version {wanted} is in the list, only {found}; the sender signs in another way or with another kind of key")]
    NoKnownVersion {
        /// The versions that the keys check.
        wanted: String,
        /// The versions in the list.
        found: String,
    },
    /// No entry was made from this content with one of the keys.
    #[error("no signature in the list matches; the key is another one, or id, timestamp or body are not byte for byte what was signed")]
    NoMatch,
    /// The signature matches and is too old.
    #[error(
        "the signature matches, but it is {age_s} s old and at most {tolerance_s} s are taken; it may have been recorded and sent again"
    )]
    TooOld {
        /// How old, in seconds.
        age_s: u64,
        /// How old it may be, in seconds.
        tolerance_s: u64,
    },
    /// The signature matches and is from the future.
    #[error("the signature matches, but it is from {ahead_s} s ahead and at most {tolerance_s} s are taken; set the clocks")]
    TooNew {
        /// How far ahead, in seconds.
        ahead_s: u64,
        /// How far ahead it may be, in seconds.
        tolerance_s: u64,
    },
}

impl VerifyError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadTimestamp { .. } => "bad_timestamp",
            Self::NoKnownVersion { .. } => "no_known_version",
            Self::NoMatch => "no_match",
            Self::TooOld { .. } => "too_old",
            Self::TooNew { .. } => "too_new",
        }
    }
}

/// Checks `signed` as a receiver should: one entry that matches one of the keys is enough, entries of
/// other versions are skipped, and the time may be `tolerance` away from `now`, in whole seconds and in
/// both directions.
///
/// The time is looked at last, so that `TooOld` and `TooNew` say that all else is right.
///
/// # Errors
/// [`VerifyError`] with the reason.
pub fn verify(signed: &Signed<'_>, keys: &[VerifyingKey], now: Timestamp, tolerance: Duration) -> Result<Verified, VerifyError> {
    let signed_at_s = unix_seconds(signed.timestamp)?;
    let content = signed_content(signed.id, signed.timestamp, signed.body);
    let entries: Vec<(&str, &str)> = signed.signature.split(' ').filter_map(|entry| entry.split_once(',')).collect();
    if !entries.iter().any(|(version, _)| keys.iter().any(|key| key.version() == *version)) {
        return Err(no_known_version(keys, &entries));
    }
    let version = entries.iter().find_map(|(version, text)| {
        let signature = STANDARD.decode(text).ok()?;
        let key = keys.iter().find(|key| key.version() == *version && key.accepts(&content, &signature))?;
        Some(key.version())
    });
    let version = version.ok_or(VerifyError::NoMatch)?;
    let (now_s, tolerance_s) = (now.unix_ms().div_euclid(1_000), tolerance.as_secs());
    let age_s = now_s.saturating_sub(signed_at_s);
    if age_s.unsigned_abs() > tolerance_s {
        let apart = age_s.unsigned_abs();
        return Err(match age_s {
            1.. => VerifyError::TooOld { age_s: apart, tolerance_s },
            _ => VerifyError::TooNew { ahead_s: apart, tolerance_s },
        });
    }
    Ok(Verified { version, signed_at: Timestamp::from_unix_ms(signed_at_s.saturating_mul(1_000)) })
}

/// Digits only: what else a number parser would take is not what the sender wrote.
fn unix_seconds(text: &str) -> Result<i64, VerifyError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| digits);
    seconds.ok_or_else(|| VerifyError::BadTimestamp { text: text.chars().take(64).collect() })
}

fn no_known_version(keys: &[VerifyingKey], entries: &[(&str, &str)]) -> VerifyError {
    let named = |versions: Vec<&str>| {
        let mut versions: Vec<_> = versions.iter().map(|version| format!("`{}`", version.chars().take(16).collect::<String>())).collect();
        versions.dedup();
        versions.truncate(5);
        if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
    };
    VerifyError::NoKnownVersion {
        wanted: named(keys.iter().map(VerifyingKey::version).collect()),
        found: named(entries.iter().map(|(version, _)| *version).collect()),
    }
}
