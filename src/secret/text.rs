//! A text that is not shown.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A secret text. Its debug form does not show it, and it has no form for output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "writeOnly": true})
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Takes texts. Serde's own errors quote what they found instead, which may be a secret too.
struct SecretVisitor;

fn no_text<T, E: Error>() -> Result<T, E> {
    Err(E::custom("a secret is a text; write it in quotes"))
}

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        no_text()
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        no_text()
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        no_text()
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        no_text()
    }
    fn visit_unit<E: Error>(self) -> Result<Secret, E> {
        no_text()
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        no_text()
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        no_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("geheim")), "Secret(…)");
    }

    #[test]
    fn what_is_no_text_is_refused_without_being_quoted() {
        assert_eq!(serde_json::from_str::<Secret>("\"a\"").unwrap(), Secret::new("a"));
        for json in ["4711", "-4711", "4711.5", "true", "null", "[\"4711\"]", "{\"a\": \"4711\"}"] {
            let error = serde_json::from_str::<Secret>(json).unwrap_err().to_string();
            assert!(error.contains("a secret is a text") && !error.contains("4711"), "{json}: {error}");
        }
    }
}
