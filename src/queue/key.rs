//! One API key: what it may do, and how its text looks.
//!
//! The text is `prk_`, 52 characters that hold 256 random bits, and 6 characters of a checksum, by which
//! a key that was copied wrongly is told from one that is not known. Only the text's SHA-256 is kept:
//! the bits are too many to be guessed, so that a slow hash would add nothing.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::{ALPHABET, KeyId, ParseIdError};
use crate::rng::Rng;
use crate::secret::Secret;

/// What the text of a key begins with.
const BEGIN: &str = "prk_";
/// Characters that hold the random bits.
const BITS_LENGTH: usize = 52;
/// Characters of the checksum.
const CHECKSUM_LENGTH: usize = 6;
/// Characters of a key's text that are shown, so that a person can tell keys apart.
const PREFIX_LENGTH: usize = 8;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyScope {
    /// Everything, for every account.
    Operator,
    /// Everything of one account.
    Account,
    /// Reading only, of one account or of all.
    Read,
}

/// Which key: the one of the file `operator.key`, shown as `key_operator`, or one that was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyRef {
    /// The key of the file `operator.key`.
    Operator,
    /// A key that was created over the API.
    Created(KeyId),
}

const OPERATOR: &str = "key_operator";

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str(OPERATOR),
            Self::Created(id) => id.fmt(f),
        }
    }
}

impl FromStr for KeyRef {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text == OPERATOR { Ok(Self::Operator) } else { text.parse().map(Self::Created) }
    }
}

impl Serialize for KeyRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for KeyRef {
    fn schema_name() -> Cow<'static, str> {
        "KeyId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^key_(operator|[0-7][0-9a-hjkmnp-tv-z]{25})$",
            "description": "`key_` and 26 characters, or `key_operator` for the key of the file `operator.key`.",
        })
    }
}

impl<'de> Deserialize<'de> for KeyRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is known of a key's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether both are hashes of one text, compared in constant time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}{:032x}", half(&self.0[..16]), half(&self.0[16..])))
    }
}

fn half(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, &byte| (number << 8) | u128::from(byte))
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let part = |range| text.get(range).and_then(|digits| u128::from_str_radix(digits, 16).ok());
        match (part(0..32), part(32..64)) {
            (Some(high), Some(low)) if text.len() == 64 => {
                let mut hash = [0; 32];
                hash[..16].copy_from_slice(&high.to_be_bytes());
                hash[16..].copy_from_slice(&low.to_be_bytes());
                Ok(Self(hash))
            }
            _ => Err(serde::de::Error::custom("a key's hash is not 64 hexadecimal digits")),
        }
    }
}

/// An API key. Its text is known to its holder alone.
#[derive(Debug, Clone)]
pub struct Key {
    /// Which key.
    pub id: KeyRef,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scope: KeyScope,
    /// Whose; none: every account's.
    pub account: Option<AccountId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// From when on it is not taken any more; none: never.
    pub expires_at: Option<Timestamp>,
    /// How long a key that takes its place is valid, in milliseconds; none: for ever.
    pub lifetime_ms: Option<i64>,
    /// What its text begins with.
    pub prefix: String,
    /// The hash of its text.
    pub hash: KeyHash,
    /// When it was used last.
    pub last_use: LastUse,
}

impl Key {
    /// The key of the file `operator.key`, whose text is `text`.
    #[must_use]
    pub fn of_operator(text: &str, created_at: Timestamp, last_use: LastUse) -> Self {
        Self {
            id: KeyRef::Operator,
            name: "operator.key".into(),
            scope: KeyScope::Operator,
            account: None,
            created_at,
            expires_at: None,
            lifetime_ms: None,
            prefix: prefix_of(text),
            hash: KeyHash::of(text),
            last_use,
        }
    }

    /// Whether it is not taken any more.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A key as it is stored, without its last use, which changes often.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredKey {
    name: String,
    scope: KeyScope,
    account: Option<AccountId>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    lifetime_ms: Option<i64>,
    prefix: String,
    hash: KeyHash,
}

impl StoredKey {
    /// The stored form of a key.
    pub fn of(key: &Key) -> Self {
        let Key { id: _, name, scope, account, created_at, expires_at, lifetime_ms, prefix, hash, last_use: _ } = key.clone();
        Self { name, scope, account, created_at, expires_at, lifetime_ms, prefix, hash }
    }

    /// The key with this id.
    pub fn key(self, id: KeyId) -> Key {
        let Self { name, scope, account, created_at, expires_at, lifetime_ms, prefix, hash } = self;
        let (id, last_use) = (KeyRef::Created(id), LastUse::default());
        Key { id, name, scope, account, created_at, expires_at, lifetime_ms, prefix, hash, last_use }
    }
}

/// When a key was used last; shared by all forms of one key, so that a use counts whichever form a caller holds.
#[derive(Debug, Clone, Default)]
pub struct LastUse(Arc<AtomicI64>);

impl LastUse {
    /// Notes a use.
    pub fn note(&self, at: Timestamp) {
        self.0.fetch_max(at.unix_ms(), Ordering::Relaxed);
    }

    /// When it was used last; none if never.
    #[must_use]
    pub fn get(&self) -> Option<Timestamp> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ms| *ms != 0).map(Timestamp::from_unix_ms)
    }
}

/// Draws the text of a key.
#[must_use]
pub fn draw_key_text(rng: &dyn Rng) -> Secret {
    let mut bits = zeroize::Zeroizing::new([0; 32]);
    rng.fill(&mut *bits);
    let mut text = String::with_capacity(BEGIN.len() + BITS_LENGTH + CHECKSUM_LENGTH);
    text.push_str(BEGIN);
    for place in 0..BITS_LENGTH {
        // Five bits from bit `5 * place` on; what lies behind the last byte counts as zero.
        let (byte, shift) = (5 * place / 8, 5 * place % 8);
        let pair = u16::from_be_bytes([bits[byte], bits.get(byte + 1).copied().unwrap_or(0)]);
        text.push(digit(usize::from(pair >> (11 - shift))));
    }
    text.push_str(&checksum(&text));
    Secret::new(text)
}

/// Whether a text has the form of a key and was copied wrongly: its checksum does not fit.
#[must_use]
pub fn is_mistyped_key(text: &str) -> bool {
    let body = text.len().checked_sub(CHECKSUM_LENGTH).and_then(|length| text.split_at_checked(length));
    body.is_some_and(|(body, end)| {
        body.starts_with(BEGIN) && body.len() == BEGIN.len() + BITS_LENGTH && body.is_ascii() && checksum(body) != end
    })
}

/// What of a key's text is shown. Of a text that is not ours less, since it may be short.
pub(super) fn prefix_of(text: &str) -> String {
    let ours = text.len() == BEGIN.len() + BITS_LENGTH + CHECKSUM_LENGTH && text.starts_with(BEGIN);
    text.chars().take(if ours { PREFIX_LENGTH } else { PREFIX_LENGTH / 2 }).collect()
}

/// The low 30 bits of the text's CRC-32C.
fn checksum(text: &str) -> String {
    let sum = crc32c::crc32c(text.as_bytes());
    (0..CHECKSUM_LENGTH).rev().map(|place| digit((sum >> (5 * place)) as usize)).collect()
}

fn digit(bits: usize) -> char {
    char::from(ALPHABET[bits & 31])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    #[test]
    fn a_key_text_has_its_form_and_every_bit() {
        let rng = SeededRng::new(1);
        let text = draw_key_text(&rng);
        let text = text.expose();
        assert_eq!(text.len(), 62);
        assert!(text.starts_with("prk_") && text[4..].bytes().all(|byte| ALPHABET.contains(&byte)), "{text}");
        assert_ne!(draw_key_text(&rng).expose(), text);
        // The last of the 52 digits holds the last bit alone.
        assert!("0g".contains(&text[55..56]), "{text}");
        assert!(!is_mistyped_key(text));
    }

    #[test]
    fn one_wrong_character_is_noticed() {
        let text = draw_key_text(&SeededRng::new(2)).expose().to_owned();
        for place in 4..text.len() {
            let other = if &text[place..=place] == "7" { "8" } else { "7" };
            let wrong = format!("{}{other}{}", &text[..place], &text[place + 1..]);
            assert!(is_mistyped_key(&wrong), "{wrong}");
        }
        for other in ["", "prk_", "a key of the operator's own", &text[..61], "prk_é"] {
            assert!(!is_mistyped_key(other), "{other}: not the form of a key, so nothing was mistyped");
        }
    }

    #[test]
    fn a_hash_is_read_back_and_not_shown() {
        let hash = KeyHash::of("text");
        let written = serde_json::to_string(&hash).unwrap();
        assert!(serde_json::from_str::<KeyHash>(&written).unwrap().is(&hash));
        assert!(!hash.is(&KeyHash::of("other")));
        assert_eq!(format!("{hash:?}"), "KeyHash(…)");
        for bad in ["\"\"", "\"zz\"", &written.replacen('"', "\"00", 1)] {
            assert!(serde_json::from_str::<KeyHash>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_stored_form_of_a_key_is_read() {
        let stored = r#"{"name":"tracker","scope":"account","account":"acme","created_at":"2024-11-22T00:00:00.000Z","expires_at":null,
            "lifetime_ms":null,"prefix":"prk_ab12","hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#;
        let key = serde_json::from_str::<StoredKey>(stored).unwrap().key(KeyId::from_raw(7));
        assert_eq!((key.scope, key.account.as_ref().map(AccountId::as_str)), (KeyScope::Account, Some("acme")));
        assert!(key.hash.is(&KeyHash::of("test")) && !key.has_expired(Timestamp::from_unix_ms(i64::MAX)));
        let again = serde_json::to_value(StoredKey::of(&key)).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(stored).unwrap());
    }

    #[test]
    fn little_is_shown_of_a_text_that_is_not_ours() {
        assert_eq!(prefix_of("0123456789abcdef"), "0123");
        let ours = draw_key_text(&SeededRng::new(3));
        assert_eq!(prefix_of(ours.expose()), ours.expose()[..8]);
    }

    #[test]
    fn the_operators_key_has_a_name_instead_of_an_id() {
        assert_eq!("key_operator".parse(), Ok(KeyRef::Operator));
        assert_eq!(KeyRef::Operator.to_string(), "key_operator");
        assert!("key_other".parse::<KeyRef>().is_err());
    }
}
