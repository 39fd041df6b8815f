//! Keys: how they are written, drawn and taken from a caller, and what they compute.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ring::hmac;
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::rng::Rng;
use crate::secret::Secret;
use crate::subscription::SignatureVersion;

/// How many bytes a shared secret should have at least.
pub const SECRET_BYTES_MIN: usize = 24;
/// How many bytes a shared secret should have at most.
pub const SECRET_BYTES_MAX: usize = 64;
/// How many bytes a shared secret has that is drawn here.
const SECRET_BYTES: usize = 32;

pub(super) const SHARED_PREFIX: &str = "whsec_";
pub(super) const PRIVATE_PREFIX: &str = "whsk_";
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

impl SigningKey {
    /// The version of its signatures.
    #[must_use]
    pub const fn version(&self) -> &'static str {
        match self {
            Self::Shared(_) => "v1",
            Self::Private(_) => "v1a",
        }
    }

    /// The signature over `content`.
    pub(super) fn signature(&self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Shared(key) => hmac::sign(key, content).as_ref().to_vec(),
            Self::Private(pair) => pair.sign(content).as_ref().to_vec(),
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

    /// Whether `signature` was made over `content`. In constant time for a shared secret; a public key is no secret.
    pub(super) fn accepts(&self, content: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Shared { key, .. } => hmac::verify(key, content, signature).is_ok(),
            Self::Public(public) => UnparsedPublicKey::new(&ED25519, public).verify(content, signature).is_ok(),
        }
    }
}
