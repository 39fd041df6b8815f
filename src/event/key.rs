//! Idempotency: the caller's key of an event, and the fingerprint that tells a repeat from a mistake.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{AccountId, EventData, EventType};

/// The caller's key of an event: 1 to 255 characters without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(Box<str>);

/// Why a text is no idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 characters and no control characters; this one has {characters}")]
pub struct IdempotencyKeyError {
    characters: usize,
}

/// Identifies an account's key in the store: the first 16 bytes of SHA-256 of account, NUL and key.
pub type KeyDigest = [u8; 16];

/// The first 16 bytes of SHA-256 over what an event says, whatever the spelling of its JSON.
pub type Fingerprint = [u8; 16];

impl IdempotencyKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the store knows the key by.
    #[must_use]
    pub fn digest(&self, account: &AccountId) -> KeyDigest {
        let mut hash = Sha256::new();
        hash.update(account.as_str().as_bytes());
        hash.update([0]);
        hash.update(self.0.as_bytes());
        first_16(hash)
    }
}

impl FromStr for IdempotencyKey {
    type Err = IdempotencyKeyError;
    fn from_str(text: &str) -> Result<Self, IdempotencyKeyError> {
        let characters = text.chars().count();
        if (1..=255).contains(&characters) && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(IdempotencyKeyError { characters })
        }
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = IdempotencyKeyError;
    fn try_from(text: String) -> Result<Self, IdempotencyKeyError> {
        text.parse()
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0.into()
    }
}

impl JsonSchema for IdempotencyKey {
    fn schema_name() -> Cow<'static, str> {
        "IdempotencyKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
            "description": "The caller's key of an event, which makes a repeat harmless.",
        })
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fingerprint of an event's content.
///
/// The order of fields, blanks and the spelling of escapes do not count; the digits of numbers do.
/// `occurred_at` counts as the caller gave it, since a repeat without it is received at another time.
#[must_use]
pub fn fingerprint(event_type: &EventType, occurred_at: Option<&str>, data: &EventData) -> Fingerprint {
    let mut hash = Sha256::new();
    put_text(&mut hash, event_type.as_str());
    put_text(&mut hash, occurred_at.unwrap_or_default());
    put_object(&mut hash, data.fields());
    first_16(hash)
}

fn first_16(hash: Sha256) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

fn put_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

fn put_object(hash: &mut Sha256, fields: &serde_json::Map<String, Value>) {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| name.as_str());
    hash.update((sorted.len() as u64).to_le_bytes());
    for (name, value) in sorted {
        put_text(hash, name);
        put_value(hash, value);
    }
}

fn put_value(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"z"),
        Value::Bool(value) => hash.update(if *value { b"t" } else { b"f" }),
        Value::Number(number) => {
            hash.update(b"n");
            put_text(hash, number.as_str());
        }
        Value::String(text) => {
            hash.update(b"s");
            put_text(hash, text);
        }
        Value::Array(items) => {
            hash.update(b"a");
            hash.update((items.len() as u64).to_le_bytes());
            for item in items {
                put_value(hash, item);
            }
        }
        Value::Object(fields) => {
            hash.update(b"o");
            put_object(hash, fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print_of(text: &str) -> Fingerprint {
        fingerprint(&"action.tracked".parse().unwrap(), None, &EventData::parse(text).unwrap())
    }

    #[test]
    fn spelling_does_not_count_and_content_does() {
        let first = print_of(r#"{"a":"é","b":1.0}"#);
        assert_eq!(first, print_of(r#"{ "b" : 1.0, "a":"\u00e9" }"#));
        for other in [r#"{"a":"é","b":1.00}"#, r#"{"a":"é","b":"1.0"}"#, r#"{"a":"é"}"#, r#"{"a":"é","b":1.0,"c":null}"#] {
            assert_ne!(first, print_of(other), "{other}");
        }
    }

    #[test]
    fn the_same_key_of_two_accounts_differs() {
        let key: IdempotencyKey = "k".parse().unwrap();
        assert_ne!(key.digest(&"a".parse().unwrap()), key.digest(&"b".parse().unwrap()));
    }

    #[test]
    fn keys_are_bounded() {
        assert!("".parse::<IdempotencyKey>().is_err());
        assert!("é".repeat(255).parse::<IdempotencyKey>().is_ok());
        assert!("x".repeat(256).parse::<IdempotencyKey>().is_err());
        assert!("a\nb".parse::<IdempotencyKey>().is_err());
    }
}
