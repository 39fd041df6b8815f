//! Signatures of Standard Webhooks 1.0.0: what is signed, with which key, and how a receiver checks it.
//!
//! Time and chance are passed in, no key is stored. Two versions: `v1` is HMAC-SHA256 with a shared
//! secret (`whsec_…`), `v1a` is ed25519 with a private key at the sender (`whsk_…`) and a public one at
//! the receiver (`whpk_…`). The signed content is `id.timestamp.body`, the body byte for byte as it is
//! sent, in whatever encoding.
//!
//! The standard knows only POST and headers. A postback has neither a body nor, often, a receiver that
//! can read headers; for it there is a form of ours, the signed query: id, timestamp and signature are
//! the last three parameters, and the content is `id.timestamp.` and path and query as sent, up to
//! `&webhook_signature=`. Signatures are in URL-safe base64 without padding there, as
//! `version.signature`, several with `~` between them. `docs/signatures.md` is the page for receivers.
//!
//! Source: `spec/standard-webhooks.md` of the Standard Webhooks project; the public vectors are tests.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::build::{BuildError, URL_BYTES_MAX};
use crate::clock::Timestamp;
use crate::rng::Rng;
use crate::secret::Secret;
use crate::subscription::{SIGNATURE_HEADERS, SIGNATURE_PARAMETERS, SignatureVersion};

/// How far a receiver's clock and a signature's time may be apart, in both directions: the reference value.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// How many bytes a shared secret should have at least.
pub const SECRET_BYTES_MIN: usize = 24;
/// How many bytes a shared secret should have at most.
pub const SECRET_BYTES_MAX: usize = 64;
/// How many bytes a shared secret has that is drawn here.
const SECRET_BYTES: usize = 32;

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
    /// The key is of the other version.
    #[error("a key of version `{version}` begins with `{prefix}`; send one of those, or set the other version")]
    WrongVersion {
        /// The version that was asked for.
        version: &'static str,
        /// What its keys begin with.
        prefix: &'static str,
    },
    /// A shared secret is too short or too long to be taken.
    #[error("the secret has {bytes} bytes; use {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random ones, or leave it out to have one made")]
    Length {
        /// How many it has.
        bytes: usize,
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

/// A new key: the secret, and for `v1a` the public key that belongs to it.
#[must_use]
pub fn draw_key(version: SignatureVersion, rng: &dyn Rng) -> (Secret, Option<String>) {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    rng.fill(bytes.as_mut_slice());
    match version {
        SignatureVersion::V1 => (Secret::new(format!("{SHARED_PREFIX}{}", STANDARD.encode(bytes.as_slice()))), None),
        SignatureVersion::V1a => {
            let pair = Ed25519KeyPair::from_seed_unchecked(bytes.as_slice()).expect("any 32 bytes are a seed");
            let whole = Zeroizing::new([bytes.as_slice(), pair.public_key().as_ref()].concat());
            (Secret::new(format!("{PRIVATE_PREFIX}{}", STANDARD.encode(&*whole))), Some(public_text(&pair)))
        }
    }
}

/// Reads the key that a caller wants a subscription to sign with. Returns it in its usual form, with its
/// prefix, and for `v1a` the public key that belongs to it.
///
/// # Errors
/// [`KeyError`] if it is no key of this version, or a shared secret of another length than 24 to 64 bytes.
pub fn accept_key(version: SignatureVersion, secret: &Secret) -> Result<(Secret, Option<String>), KeyError> {
    let text = secret.expose().trim();
    let is_private = text.starts_with(PRIVATE_PREFIX);
    match (version, text.parse::<SigningKey>()?) {
        (SignatureVersion::V1, SigningKey::Shared(_)) => {
            let bytes = Zeroizing::new(shared_secret(text)?);
            if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
                return Err(KeyError::Length { bytes: bytes.len() });
            }
            Ok((Secret::new(format!("{SHARED_PREFIX}{}", STANDARD.encode(&*bytes))), None))
        }
        (SignatureVersion::V1a, SigningKey::Private(pair)) => Ok((Secret::new(text), Some(public_text(&pair)))),
        _ => {
            let prefix = if is_private { SHARED_PREFIX } else { PRIVATE_PREFIX };
            Err(KeyError::WrongVersion { version: version.as_str(), prefix })
        }
    }
}

fn public_text(pair: &Ed25519KeyPair) -> String {
    format!("{PUBLIC_PREFIX}{}", STANDARD.encode(pair.public_key()))
}

/// Adds the three headers of a signature by all `keys`, in place of those that may be there.
pub fn sign_headers(headers: &mut Vec<(String, String)>, id: &str, sent_at: Timestamp, body: &[u8], keys: &[&SigningKey]) {
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(id, sent_at, body)).collect();
    headers.retain(|(name, _)| !SIGNATURE_HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header)));
    let values = [id.to_owned(), seconds(sent_at), signatures.join(" ")];
    headers.extend(SIGNATURE_HEADERS.iter().map(|name| (*name).to_owned()).zip(values));
}

/// Adds the three parameters of a signature by all `keys` to the query of `url`, which has no fragment.
///
/// # Errors
/// [`BuildError::UrlTooLong`] if the URL is then longer than is sent.
pub fn sign_query(url: &mut String, id: &str, sent_at: Timestamp, keys: &[&SigningKey]) -> Result<(), BuildError> {
    let joint = match url.contains('?') {
        false => "?",
        true if url.ends_with(['?', '&']) => "",
        true => "&",
    };
    let [id_name, timestamp_name, signature_name] = SIGNATURE_PARAMETERS;
    url.push_str(&format!("{joint}{id_name}={id}&{timestamp_name}={}", seconds(sent_at)));
    let content = signed_content(id, &seconds(sent_at), target(url).as_bytes());
    let entries: Vec<_> = keys.iter().map(|key| format!("{}.{}", key.version(), URL_SAFE_NO_PAD.encode(key.signature(&content)))).collect();
    url.push_str(&format!("&{signature_name}={}", entries.join("~")));
    if url.len() > URL_BYTES_MAX { Err(BuildError::UrlTooLong { bytes: url.len() }) } else { Ok(()) }
}

/// Path and query of a URL; a text that has no scheme is taken for them.
fn target(url: &str) -> &str {
    let Some(authority) = url.split(['/', '?']).next().filter(|scheme| scheme.ends_with(':')).and_then(|_| url.find("://")) else {
        return url;
    };
    url[authority + 3..].find(['/', '?']).map_or("", |start| &url[authority + 3 + start..])
}

fn seconds(moment: Timestamp) -> String {
    moment.unix_ms().div_euclid(1_000).to_string()
}

impl SigningKey {
    /// The version of its signatures.
    #[must_use]
    pub const fn version(&self) -> &'static str {
        match self {
            Self::Shared(_) => "v1",
            Self::Private(_) => "v1a",
        }
    }

    fn signature(&self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Shared(key) => hmac::sign(key, content).as_ref().to_vec(),
            Self::Private(pair) => pair.sign(content).as_ref().to_vec(),
        }
    }

    /// One entry of the header `webhook-signature`: the version, a comma, the signature in base64.
    ///
    /// `id` must hold no `.`, which separates the parts of the signed content; our ids hold none.
    /// While a key is being replaced, the entries of both keys go into the header, with a space between.
    #[must_use]
    pub fn sign(&self, id: &str, sent_at: Timestamp, body: &[u8]) -> String {
        let content = signed_content(id, &seconds(sent_at), body);
        format!("{},{}", self.version(), STANDARD.encode(self.signature(&content)))
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

    /// Checks a signed URL, `offset_s` after the first vector was signed.
    fn checked_query(url: &str, key: &str, offset_s: i64) -> Result<Verified, VerifyError> {
        let query = SignedQuery::parse(url).unwrap_or_else(|| panic!("{url} is not signed"));
        verify(&query.signed(), &[key.parse().unwrap()], at(VECTORS[0].1 + offset_s), TOLERANCE)
    }

    #[test]
    fn a_query_is_signed_over_path_and_query_as_sent() {
        let keys = [VECTORS[0].3.parse().unwrap(), VECTORS[2].3.parse().unwrap()];
        let table = [
            ("https://t.example/p?a=1&b=%20x", "/p?a=1&b=%20x&"),
            ("https://t.example:8443/", "/?"),
            ("https://t.example/?", "/?"),
            ("https://t.example/p?a&", "/p?a&"),
            ("http://t.example/p?u=https://other.example/", "/p?u=https://other.example/&"),
        ];
        for (url, before) in table {
            let mut signed = url.to_owned();
            sign_query(&mut signed, "dlv_1", at(VECTORS[0].1), &keys.iter().collect::<Vec<_>>()).unwrap();
            // Computed by hand, as a receiver would.
            let content = format!("{before}webhook_id=dlv_1&webhook_timestamp=1614265330");
            let hmac = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(VECTORS[0].4).unwrap());
            let v1 = URL_SAFE_NO_PAD.encode(hmac::sign(&hmac, format!("dlv_1.1614265330.{content}").as_bytes()));
            assert!(
                signed.ends_with(&format!("{content}&webhook_signature=v1.{v1}~v1a.{}", signed.rsplit('.').next().unwrap())),
                "{signed}"
            );
            let path = &signed[signed.find(".example").unwrap()..];
            let path = &path[path.find('/').unwrap()..];
            for text in [signed.as_str(), path] {
                assert_eq!(checked_query(text, VECTORS[0].3, 0).unwrap().version, "v1", "{text}");
                assert_eq!(checked_query(text, VECTORS[2].4, 300).unwrap().version, "v1a", "{text}");
                assert_eq!(checked_query(text, VECTORS[0].3, 301).unwrap_err().code(), "too_old");
                assert_eq!(checked_query(text, VECTORS[1].3, 0), Err(VerifyError::NoMatch));
            }
            for changed in [signed.replace("dlv_1", "dlv_2"), signed.replace(before, "/q?a=1&"), signed.replace("5330", "5331")] {
                assert_eq!(checked_query(&changed, VECTORS[0].3, 0), Err(VerifyError::NoMatch), "{changed}");
            }
        }
    }

    #[test]
    fn a_query_counts_as_signed_only_if_the_signature_stands_last() {
        for url in [
            "https://t.example/",
            "/p?webhook_id=1&webhook_timestamp=2",
            "/p?webhook_id=1&webhook_timestamp=2&webhook_signature=v1.AAAA&more=1",
            "/p?webhook_timestamp=2&webhook_id=1&webhook_signature=v1.AAAA",
            "/p?webhook_id=1&x=1&webhook_timestamp=2&webhook_signature=v1.AAAA",
        ] {
            assert_eq!(SignedQuery::parse(url), None, "{url}");
        }
        // What stands before cannot pose as the signature.
        let key: SigningKey = VECTORS[0].3.parse().unwrap();
        let mut url = "https://t.example/p?webhook_id=x&webhook_timestamp=1&webhook_signature=v1.AAAA".to_owned();
        sign_query(&mut url, "dlv_1", at(VECTORS[0].1), &[&key]).unwrap();
        assert_eq!(SignedQuery::parse(&url).unwrap().signed().id, "dlv_1");
        assert!(checked_query(&url, VECTORS[0].3, 0).is_ok());
        let mut long = format!("https://t.example/?a={}", "x".repeat(URL_BYTES_MAX - 60));
        assert!(matches!(sign_query(&mut long, "dlv_1", at(0), &[&key]), Err(BuildError::UrlTooLong { .. })));
    }

    #[test]
    fn keys_are_drawn_and_taken_in_their_usual_form() {
        let rng = crate::rng::SeededRng::new(1);
        for version in [SignatureVersion::V1, SignatureVersion::V1a] {
            let (secret, public) = draw_key(version, &rng);
            assert_ne!(draw_key(version, &rng).0, secret);
            assert_eq!(accept_key(version, &secret).unwrap(), (secret.clone(), public.clone()));
            let signature = secret.expose().parse::<SigningKey>().unwrap().sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                at(VECTORS[0].1),
                VECTORS[0].2.as_bytes(),
            );
            assert_eq!(checked(&signature, &[public.as_deref().unwrap_or(secret.expose())], 0).unwrap().version, version.as_str());
        }
        let accept = |version, text: &str| accept_key(version, &Secret::new(text));
        let (v1, v1a) = (SignatureVersion::V1, SignatureVersion::V1a);
        assert_eq!(accept(v1, " MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap().0.expose(), VECTORS[0].3, "the prefix may be left out");
        assert_eq!(accept(v1a, VECTORS[2].3).unwrap().1.as_deref(), Some(VECTORS[2].4));
        assert_eq!(accept(v1, VECTORS[2].3), Err(KeyError::WrongVersion { version: "v1", prefix: SHARED_PREFIX }));
        assert_eq!(accept(v1a, VECTORS[0].3), Err(KeyError::WrongVersion { version: "v1a", prefix: PRIVATE_PREFIX }));
        assert_eq!(accept(v1a, VECTORS[2].4), Err(KeyError::Public));
        for bytes in [23, 65] {
            assert_eq!(accept(v1, &STANDARD.encode(vec![7; bytes])), Err(KeyError::Length { bytes }));
        }
    }
}
