//! Names given by callers: accounts, offers, event types and the patterns that match types.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::catalogue;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not an account id.
    #[error("`{0}` is not an account id; use 1 to 64 letters, digits, `-` or `_`")]
    Account(String),
    /// Not an offer id.
    #[error("`{0}` is not an offer id; use 1 to 64 letters, digits, `-` or `_`")]
    Offer(String),
    /// Not an event type.
    #[error(
        "`{0}` is not an event type; use 2 to 5 parts of a-z, 0-9 and `_` joined by dots, like `action.tracked`, at most 100 characters"
    )]
    EventType(String),
    /// Not an event type pattern.
    #[error("`{0}` is not an event type pattern; name a type like `action.tracked`, a family like `action.*`, or `*`")]
    Pattern(String),
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $valid:ident, $error:path, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if $valid(text) { Ok(Self(text.into())) } else { Err($error(shortened(text))) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type!(
    /// The caller's id of an account: 1 to 64 of `A-Z a-z 0-9 - _`.
    AccountId, is_account_id, NameError::Account,
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "The caller's id of an account."}
);
name_type!(
    /// The caller's id of an offer, unique on the server: 1 to 64 of `A-Z a-z 0-9 - _`.
    OfferId, is_account_id, NameError::Offer,
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "The caller's id of an offer."}
);
name_type!(
    /// The dotted name of an event type, such as `action.tracked`.
    EventType, is_event_type, NameError::EventType,
    {
        "type": "string",
        "maxLength": 100,
        "pattern": "^[a-z0-9_]+(\\.[a-z0-9_]+){1,4}$",
        "description": "The dotted name of an event type, such as `action.tracked`.",
    }
);

impl EventType {
    /// Whether wildcards match it; if not, a subscription must name it.
    ///
    /// Built-in types say so themselves. Operator-defined ones are matched, unless their first part is
    /// that of built-in types: what `action.*` means is the same on every installation.
    #[must_use]
    pub fn is_matched_by_wildcards(&self) -> bool {
        match catalogue::find(self.as_str()) {
            Some(entry) => entry.default_sent,
            None => !self.as_str().split('.').next().is_some_and(catalogue::is_built_in_prefix),
        }
    }
}

fn is_account_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_event_type(text: &str) -> bool {
    text.len() <= 100 && (2..=5).contains(&text.split('.').count()) && text.split('.').all(is_type_part)
}

fn is_type_part(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Which event types a subscription wants.
///
/// Text form: a type's name, `prefix.*`, or `*`. Types such as `action.locked`, `action.paid` and
/// `test.ping` must be named: see [`EventType::is_matched_by_wildcards`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventTypePattern {
    /// This type alone.
    Exact(EventType),
    /// Every type that wildcards match whose name begins with this prefix, which ends in a dot.
    Prefix(Arc<str>),
    /// Every type that wildcards match.
    Any,
}

impl EventTypePattern {
    /// Whether a subscription with this pattern wants events of `event_type`.
    #[must_use]
    pub fn matches(&self, event_type: &EventType) -> bool {
        match self {
            Self::Exact(wanted) => wanted == event_type,
            Self::Prefix(prefix) => event_type.as_str().starts_with(&**prefix) && event_type.is_matched_by_wildcards(),
            Self::Any => event_type.is_matched_by_wildcards(),
        }
    }
}

impl FromStr for EventTypePattern {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let fail = || NameError::Pattern(shortened(text));
        match text.strip_suffix('*') {
            Some(prefix) => match prefix.strip_suffix('.') {
                Some(parts) if text.len() <= 100 && parts.split('.').all(is_type_part) => Ok(Self::Prefix(prefix.into())),
                _ => Err(fail()),
            },
            None => text.parse().map(Self::Exact).map_err(|_| fail()),
        }
    }
}

impl fmt::Display for EventTypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(event_type) => fmt::Display::fmt(event_type, f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Serialize for EventTypePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for EventTypePattern {
    fn schema_name() -> Cow<'static, str> {
        "EventTypePattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 100,
            "pattern": r"^(\*|([a-z0-9_]+\.)+\*|[a-z0-9_]+(\.[a-z0-9_]+){1,4})$",
            "description": "An event type, a family such as `action.*`, or `*`. Wildcards leave out types that must be named.",
        })
    }
}

impl<'de> Deserialize<'de> for EventTypePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched_by(pattern: &str, types: &[&str]) -> Vec<bool> {
        let pattern: EventTypePattern = pattern.parse().unwrap();
        types.iter().map(|name| pattern.matches(&name.parse().unwrap())).collect()
    }

    #[test]
    fn wildcards_leave_out_what_is_not_sent_by_default() {
        let types = ["action.tracked", "action.cleared", "action.locked", "action.paid", "test.ping", "click.recorded", "actions.other"];
        assert_eq!(matched_by("action.*", &types), [true, true, false, false, false, false, false]);
        assert_eq!(matched_by("*", &types), [true, true, false, false, false, true, true]);
        assert_eq!(matched_by("action.locked", &types), [false, false, true, false, false, false, false]);
    }

    #[test]
    fn wildcards_match_operator_defined_types_but_those_of_a_built_in_prefix() {
        let types = ["coupon.redeemed", "coupon.code.expired", "action.overdue", "test.pong", "tracking_value_request.denied"];
        assert_eq!(matched_by("*", &types), [true, true, false, false, false]);
        assert_eq!(matched_by("coupon.*", &types), [true, true, false, false, false]);
        assert_eq!(matched_by("action.*", &types), [false; 5]);
        assert_eq!(matched_by("action.overdue", &types), [false, false, true, false, false]);
    }

    #[test]
    fn patterns_keep_their_text() {
        for text in ["*", "action.*", "action.tracked", "a.b.*"] {
            assert_eq!(text.parse::<EventTypePattern>().unwrap().to_string(), text);
        }
        for text in ["", "action", "action*", ".*", "Action.*", "a..b", "*.x", "action.*.*"] {
            assert!(text.parse::<EventTypePattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn account_ids_are_plain() {
        assert!("acme-1_X".parse::<AccountId>().is_ok());
        for text in ["", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
    }
}
