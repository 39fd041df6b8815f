//! Signatures of Standard Webhooks 1.0.0: what is signed, with which key, and how a receiver checks it.
//!
//! Arithmetic only: the time is passed in, no header is written, no key is stored. Two versions:
//! `v1` is HMAC-SHA256 with a shared secret (`whsec_…`), `v1a` is ed25519 with a private key at the
//! sender (`whsk_…`) and a public one at the receiver (`whpk_…`). The signed content is
//! `id.timestamp.body`, the body byte for byte as it is sent, in whatever encoding.
//!
//! Source: `spec/standard-webhooks.md` of the Standard Webhooks project; the public vectors are tests.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ring::hmac;
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::clock::Timestamp;

/// How far a receiver's clock and a signature's time may be apart, in both directions: the reference value.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// How many bytes a shared secret should have.
pub const SECRET_BYTES_MIN: usize = 24;

const SHARED_PREFIX: &str = "whsec_";
const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";
const SEED_BYTES: usize = 32;

/// Keys are written with padding and without.
const KEY_TEXT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Why a text is not a key. The text is never part of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing is there.
    #[error("the key is empty; write it as `whsec_` and base64")]
    Empty,
    /// What follows the prefix is no base64.
    #[error("the key is no base64 after its prefix; copy it whole from where it was given")]
    NotBase64,
    /// A key of ed25519 has another length.
    #[error("the key has {bytes} bytes; one that begins with `{prefix}` has {expected}")]
    WrongLength {
        /// Its prefix.
        prefix: &'static str,
        /// Its length.
        bytes: usize,
        /// The length of such a key.
        expected: usize,
    },
    /// The two halves of a private key do not belong together.
    #[error("the two halves of the private key do not belong together; copy it whole from where it was given")]
    Inconsistent,
    /// A receiver was given the sender's private key.
    #[error("this is the sender's private key, which a receiver must not have; use the public one, `{public}`")]
    Private {
        /// The public key that belongs to it.
        public: String,
    },
    /// A sender was given the public key.
    #[error("this is a public key, which cannot sign; use the private one, `whsk_…`")]
    Public,
}

/// What a sender signs with. Its debug form does not show it.
pub enum SigningKey {
    /// `v1`: the secret shared with the receiver.
    Shared(hmac::Key),
    /// `v1a`: the private key.
    Private(Box<Ed25519KeyPair>),
}

/// What a receiver checks with. Its debug form does not show it.
#[derive(Clone)]
pub enum VerifyingKey {
    /// `v1`: the secret shared with the sender.
    Shared {
        /// The secret.
        key: hmac::Key,
        /// How long it is.
        bytes: usize,
    },
    /// `v1a`: the sender's public key.
    Public([u8; ED25519_PUBLIC_KEY_LEN]),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared(_) => "SigningKey(whsec_…)",
            Self::Private(_) => "SigningKey(whsk_…)",
        })
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared { .. } => "VerifyingKey(whsec_…)",
            Self::Public(_) => "VerifyingKey(whpk_…)",
        })
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    /// `whsec_…`, the same without its prefix, or `whsk_…`.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.starts_with(PUBLIC_PREFIX) {
            return Err(KeyError::Public);
        }
        match text.strip_prefix(PRIVATE_PREFIX) {
            Some(private) => private_key(private).map(|pair| Self::Private(Box::new(pair))),
            None => shared_secret(text).map(|secret| Self::Shared(hmac::Key::new(hmac::HMAC_SHA256, &secret))),
        }
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    /// `whsec_…`, the same without its prefix, or `whpk_…`.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if let Some(private) = text.strip_prefix(PRIVATE_PREFIX) {
            let public = STANDARD.encode(private_key(private)?.public_key());
            return Err(KeyError::Private { public: format!("{PUBLIC_PREFIX}{public}") });
        }
        match text.strip_prefix(PUBLIC_PREFIX) {
            Some(public) => {
                let bytes = decoded(public)?;
                let wrong = KeyError::WrongLength { prefix: PUBLIC_PREFIX, bytes: bytes.len(), expected: ED25519_PUBLIC_KEY_LEN };
                bytes.try_into().map(Self::Public).map_err(|_| wrong)
            }
            None => shared_secret(text).map(|secret| Self::Shared { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), bytes: secret.len() }),
        }
    }
}

fn shared_secret(text: &str) -> Result<Vec<u8>, KeyError> {
    decoded(text.strip_prefix(SHARED_PREFIX).unwrap_or(text))
}

/// The seed and the public key, one after the other.
fn private_key(text: &str) -> Result<Ed25519KeyPair, KeyError> {
    let bytes = decoded(text)?;
    let expected = SEED_BYTES + ED25519_PUBLIC_KEY_LEN;
    if bytes.len() != expected {
        return Err(KeyError::WrongLength { prefix: PRIVATE_PREFIX, bytes: bytes.len(), expected });
    }
    let (seed, public) = bytes.split_at(SEED_BYTES);
    Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| KeyError::Inconsistent)
}

fn decoded(text: &str) -> Result<Vec<u8>, KeyError> {
    match KEY_TEXT.decode(text) {
        Ok(bytes) if bytes.is_empty() => Err(KeyError::Empty),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(KeyError::NotBase64),
    }
}

impl SigningKey {
    /// One entry of the header `webhook-signature`: the version, a comma, the signature in base64.
    ///
    /// `id` must hold no `.`, which separates the parts of the signed content; our ids hold none.
    /// While a key is being replaced, the entries of both keys go into the header, with a space between.
    #[must_use]
    pub fn sign(&self, id: &str, sent_at: Timestamp, body: &[u8]) -> String {
        let content = signed_content(id, &sent_at.unix_ms().div_euclid(1_000).to_string(), body);
        match self {
            Self::Shared(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, &content))),
            Self::Private(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(&content))),
        }
    }
}

impl VerifyingKey {
    /// The version of the signatures that this key checks.
    #[must_use]
    pub const fn version(&self) -> &'static str {
        match self {
            Self::Shared { .. } => "v1",
            Self::Public(_) => "v1a",
        }
    }

    /// Whether it is a shared secret of fewer than [`SECRET_BYTES_MIN`] bytes.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        matches!(self, Self::Shared { bytes, .. } if *bytes < SECRET_BYTES_MIN)
    }

    /// In constant time for a shared secret; a public key is no secret.
    fn accepts(&self, content: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Shared { key, .. } => hmac::verify(key, content, signature).is_ok(),
            Self::Public(public) => UnparsedPublicKey::new(&ED25519, public).verify(content, signature).is_ok(),
        }
    }
}

/// What a receiver has to check: three headers and the body as it arrived.
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

fn signed_content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The public vectors: id, Unix seconds, body, the sender's key, the receiver's key, the signature.
    const VECTORS: [(&str, i64, &str, &str, &str, &str); 3] = [
        (
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        ),
    ];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1_000)
    }

    /// Checks `signature` over the first vector's content, `offset_s` after it was signed.
    fn checked(signature: &str, keys: &[&str], offset_s: i64) -> Result<Verified, VerifyError> {
        let (id, seconds, body, ..) = VECTORS[0];
        let keys: Vec<VerifyingKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
        let timestamp = seconds.to_string();
        let signed = Signed { id, timestamp: &timestamp, signature, body: body.as_bytes() };
        verify(&signed, &keys, at(seconds + offset_s), TOLERANCE)
    }

    #[test]
    fn the_public_vectors_are_signed_and_verified() {
        for (id, seconds, body, private, public, signature) in VECTORS {
            assert_eq!(private.parse::<SigningKey>().unwrap().sign(id, at(seconds), body.as_bytes()), signature);
            let timestamp = seconds.to_string();
            let signed = Signed { id, timestamp: &timestamp, signature, body: body.as_bytes() };
            let keys = [public.parse().unwrap()];
            let verified = verify(&signed, &keys, at(seconds), TOLERANCE).unwrap();
            assert_eq!((verified.version, verified.signed_at), (signature.split(',').next().unwrap(), at(seconds)));
            for changed in [
                Signed { id: "msg_other", ..signed },
                Signed { timestamp: "1614265331", ..signed },
                Signed { body: b"{}", ..signed },
                Signed { signature: &signature.replace(",g", ",h").replace(",t", ",u").replace(",hnO", ",hnP"), ..signed },
            ] {
                let now = at(changed.timestamp.parse().unwrap());
                assert_eq!(verify(&changed, &keys, now, TOLERANCE), Err(VerifyError::NoMatch), "{changed:?}");
            }
        }
    }

    #[test]
    fn any_entry_of_the_list_may_match_and_unknown_versions_are_skipped() {
        let (.., key, good) = VECTORS[0];
        let other = VECTORS[1].5;
        for list in [format!("{other} {good}"), format!("v9,xyz v1a,abc {good} v1,"), format!("nonsense  {good}")] {
            assert_eq!(checked(&list, &[key], 0).map(|verified| verified.version), Ok("v1"), "{list}");
        }
        assert!(checked(good, &[VECTORS[1].4, key], 0).is_ok(), "while a key is being replaced either holds");
        assert_eq!(checked(other, &[key], 0), Err(VerifyError::NoMatch));
        assert_eq!(checked(&good[..good.len() - 4], &[key], 0), Err(VerifyError::NoMatch), "a truncated signature");
        let unknown = checked("v1a,abc v9,xyz", &[key], 0).unwrap_err();
        assert_eq!(unknown, VerifyError::NoKnownVersion { wanted: "`v1`".into(), found: "`v1a`, `v9`".into() });
        assert_eq!(checked("", &[key], 0).unwrap_err().code(), "no_known_version");
    }

    #[test]
    fn the_time_may_be_off_by_the_tolerance_in_both_directions() {
        let (.., key, good) = VECTORS[0];
        for (offset_s, code) in [(300, None), (301, Some("too_old")), (-300, None), (-301, Some("too_new"))] {
            let code_of = checked(good, &[key], offset_s).err().map(|error| error.code());
            assert_eq!(code_of, code, "{offset_s}");
        }
        assert_eq!(checked("v1,AAAA", &[key], 9_000), Err(VerifyError::NoMatch), "what does not match is not called old");
    }

    #[test]
    fn a_timestamp_is_digits_and_nothing_else() {
        let keys = [VECTORS[0].4.parse().unwrap()];
        for timestamp in ["", "soon", "+1614265330", " 1614265330", "1614265330.0", "-1", "99999999999999999999"] {
            let signed = Signed { id: "msg_1", timestamp, signature: "v1,AAAA", body: b"" };
            let error = verify(&signed, &keys, at(0), TOLERANCE).unwrap_err();
            assert_eq!(error.code(), "bad_timestamp", "{timestamp:?}");
        }
        let signed = Signed { id: "msg_1", timestamp: "9223372036854775807", signature: "v1,AAAA", body: b"" };
        assert_eq!(verify(&signed, &keys, at(0), TOLERANCE), Err(VerifyError::NoMatch));
    }

    #[test]
    fn keys_are_refused_without_being_shown() {
        let private = VECTORS[2].3;
        assert_eq!(private.parse::<VerifyingKey>().unwrap_err(), KeyError::Private { public: VECTORS[2].4.into() });
        assert_eq!(VECTORS[2].4.parse::<SigningKey>().unwrap_err(), KeyError::Public);
        let swapped = format!("whsk_{}", STANDARD.encode([7; 64]));
        assert_eq!(swapped.parse::<SigningKey>().unwrap_err(), KeyError::Inconsistent);
        for (text, error) in [
            ("", KeyError::Empty),
            ("whsec_", KeyError::Empty),
            ("whsec_not base64!", KeyError::NotBase64),
            ("whpk_AAAA", KeyError::WrongLength { prefix: "whpk_", bytes: 3, expected: 32 }),
            ("whsk_AAAA", KeyError::WrongLength { prefix: "whsk_", bytes: 3, expected: 64 }),
        ] {
            assert_eq!(text.parse::<VerifyingKey>().unwrap_err(), error, "{text}");
        }
        let short: VerifyingKey = "whsec_c2hvcnQ".parse().unwrap();
        assert!(short.is_short() && !VECTORS[0].4.parse::<VerifyingKey>().unwrap().is_short());
        assert!(!format!("{short:?} {:?}", "whsec_c2hvcnQ=".parse::<SigningKey>().unwrap()).contains("c2hv"));
    }
}
