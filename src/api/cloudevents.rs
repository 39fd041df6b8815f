//! `CloudEvents` 1.0 in, as events of ours: structured, batch and binary mode of its HTTP binding.
//!
//! | attribute | becomes |
//! |---|---|
//! | `source` and `id` | the idempotency key, which they are by the specification |
//! | `type` | the event type: ours as it is, or behind a prefix of at least two parts, such as `com.example.action.tracked` |
//! | `time` | `occurred_at` |
//! | extension `account` | whose event it is; the key's own account if it is left out |
//! | extension `traceparent` | the trace in which it happened, if it can be read |
//! | `data`, `data_base64` or the body | `data`, which must be a JSON object; nothing stands for an empty one |
//!
//! Other attributes are checked for their form and not kept. Faults are reported at the attribute, in
//! binary mode too, where it is a header.
//!
//! Sources: `CloudEvents` 1.0.2, its JSON event format and its HTTP protocol binding.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::HeaderMap;
use base64::Engine as _;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::ApiError;
use super::body;
use super::problem::Invalid;
use crate::clock::Timestamp;
use crate::event::{AccountId, EventData, EventType, IdempotencyKey};
use crate::queue::{IncomingEvent, Registry};

/// The version of the specification that is read.
const SPEC_VERSION: &str = "1.0";
/// Most attributes of an event.
const ATTRIBUTES_MAX: usize = 100;
/// Longest key that is kept in words; of a longer one its hash is.
const KEY_CHARACTERS_MAX: usize = 255;

/// How a request carries `CloudEvents`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The body is one event.
    Structured,
    /// The body is a list of events.
    Batch,
    /// The body is the data of one event, its attributes are headers.
    Binary,
}

/// The mode of a request; none if it carries none.
pub(super) fn mode(media_type: &str, headers: &HeaderMap) -> Option<Mode> {
    match media_type {
        "application/cloudevents+json" => Some(Mode::Structured),
        "application/cloudevents-batch+json" => Some(Mode::Batch),
        other if other.starts_with("application/cloudevents") => None,
        _ => ["ce-specversion", "ce-id", "ce-source", "ce-type"].iter().any(|name| headers.contains_key(*name)).then_some(Mode::Binary),
    }
}

/// What events are read against.
pub(super) struct Reading<'a> {
    pub registry: &'a Registry,
    /// The account of the caller's key.
    pub own_account: Option<AccountId>,
}

/// One attribute: its text, or what it holds instead.
type Attributes = BTreeMap<String, Value>;

impl Reading<'_> {
    /// Reads one event in the JSON format. `base` is the pointer at which it stands.
    pub fn structured(&self, text: &str, base: &str) -> Result<IncomingEvent, ApiError> {
        let Members(members) = body::read_borrowed(text, base)?;
        let mut attributes = Attributes::new();
        let (mut data, mut data_base64) = (None, None);
        for (name, value) in members {
            // Null is as good as left out.
            if value.get() == "null" {
                continue;
            }
            match name.as_str() {
                "data" => data = Some(value),
                "data_base64" => data_base64 = Some(value),
                _ => {
                    let value = serde_json::from_str(value.get()).map_err(|error| body::malformed(&error))?;
                    attributes.insert(name, value);
                }
            }
        }
        let mut faults = Faults { base, errors: Vec::new() };
        let content = match (data, data_base64) {
            (Some(_), Some(_)) => {
                faults.add("/data_base64", "invalid_value", "an event has `data` or `data_base64`, not both; leave one out");
                None
            }
            (Some(data), None) => Some(Content { pointer: "/data", text: data.get().to_owned() }),
            (None, Some(encoded)) => decode(encoded, &mut faults),
            (None, None) => Some(Content { pointer: "/data", text: "{}".into() }),
        };
        let content_type = attributes.get("datacontenttype").and_then(Value::as_str).map(media_type);
        self.event(&attributes, content_type, content, faults)
    }

    /// Reads one event whose attributes are headers and whose data are `text`.
    pub fn binary(&self, headers: &HeaderMap, media_type: &str, text: &str) -> Result<IncomingEvent, ApiError> {
        let mut attributes = Attributes::new();
        let mut faults = Faults { base: "", errors: Vec::new() };
        for (header, value) in headers {
            let Some(name) = header.as_str().strip_prefix("ce-") else { continue };
            match header_text(value.as_bytes()) {
                Some(text) => drop(attributes.insert(name.to_owned(), Value::String(text))),
                None => faults.add(
                    &pointer(name),
                    "invalid_attribute",
                    format!("header `{header}`: it is not percent-encoded UTF-8; encode it"),
                ),
            }
        }
        let text = if text.trim().is_empty() { "{}" } else { text };
        let content = Content { pointer: "/data", text: text.to_owned() };
        self.event(&attributes, Some(media_type.to_owned()), Some(content), faults)
    }

    fn event(
        &self,
        attributes: &Attributes,
        content_type: Option<String>,
        content: Option<Content>,
        mut faults: Faults<'_>,
    ) -> Result<IncomingEvent, ApiError> {
        check_form(attributes, &mut faults);
        let version = faults.required(attributes, "specversion");
        if let Some(version) = version.filter(|version| version != SPEC_VERSION) {
            let detail = format!("CloudEvents `{}` is not read here; send `{SPEC_VERSION}`", shortened(&version));
            faults.add("/specversion", "unsupported_specversion", detail);
        }
        let (source, id) = (faults.required(attributes, "source"), faults.required(attributes, "id"));
        if source.as_ref().is_some_and(|source| source.contains(|c: char| c.is_whitespace() || c.is_control())) {
            faults.add("/source", "invalid_attribute", "`source` is a URI or a path, without blanks; encode them as `%20`");
        }
        let key = source.zip(id).and_then(|(source, id)| match key_of(&source, &id) {
            Ok(key) => Some(key),
            Err(error) => {
                faults.add("/id", "invalid_key", error.to_string());
                None
            }
        });
        let event_type = faults.required(attributes, "type").and_then(|text| self.map_type(&text, &mut faults));
        let occurred_at = text_of(attributes, "time").and_then(|text| match text.parse::<Timestamp>() {
            Ok(at) => Some((text, at)),
            Err(error) => {
                faults.add("/time", "invalid_time", error.to_string());
                None
            }
        });
        let account = self.account(attributes, &mut faults);
        if let Some(content_type) = content_type.filter(|content_type| !is_json(content_type)) {
            let detail = format!("`{}` data hold no macro values; send a JSON object", shortened(&content_type));
            faults.add("/datacontenttype", "unsupported_data", detail);
        }
        let data = content.and_then(|content| match EventData::parse(&content.text) {
            Ok(data) => Some(data),
            Err(error) => {
                faults.add(&format!("{}{}", content.pointer, error.pointer), error.code, error.detail);
                None
            }
        });
        match (account, event_type, key, data) {
            (Some(account), Some(event_type), Some(key), Some(data)) if faults.errors.is_empty() => {
                let trace = text_of(attributes, "traceparent").and_then(|text| text.parse().ok());
                let data = match trace {
                    Some(trace) => data.in_trace(trace),
                    None => data,
                };
                Ok(IncomingEvent { account, event_type, key: Some(key), occurred_at, data })
            }
            _ => Err(ApiError::invalid(faults.errors)),
        }
    }

    fn account(&self, attributes: &Attributes, faults: &mut Faults<'_>) -> Option<AccountId> {
        match (text_of(attributes, "account"), &self.own_account) {
            (Some(text), _) => {
                text.parse().map_err(|error: crate::event::NameError| faults.add("/account", "invalid_account", error.to_string())).ok()
            }
            (None, Some(own)) => Some(own.clone()),
            (None, None) => {
                faults.add(
                    "/account",
                    "missing_field",
                    "whose event is it? send the extension attribute `account`, or use a key of the account",
                );
                None
            }
        }
    }

    /// Our type in a `CloudEvents` type: the whole, or what follows a prefix of at least two parts.
    fn map_type(&self, text: &str, faults: &mut Faults<'_>) -> Option<EventType> {
        let known = |candidate: &str| candidate.parse().ok().filter(|event_type| self.registry.knows_event_type(event_type));
        let starts = text.match_indices('.').map(|(at, _)| at + 1).skip(1);
        let found = std::iter::once(0).chain(starts).find_map(|start| known(&text[start..]));
        if found.is_none() {
            let shown = shortened(text);
            let detail = format!(
                "`{shown}` is no event type, and none stands behind a prefix like `com.example.`; `GET /v1/event-types` lists those that are"
            );
            faults.add("/type", "unknown_event_type", detail);
        }
        found
    }
}

/// The data of an event, and where they stand.
struct Content {
    pointer: &'static str,
    text: String,
}

struct Faults<'a> {
    base: &'a str,
    errors: Vec<Invalid>,
}

impl Faults<'_> {
    fn add(&mut self, pointer: &str, code: &str, detail: impl Into<String>) {
        self.errors.push(Invalid::new(format!("{}{pointer}", self.base), code, detail));
    }

    /// An attribute that every event has.
    fn required(&mut self, attributes: &Attributes, name: &str) -> Option<String> {
        let value = text_of(attributes, name).filter(|text| !text.is_empty());
        if value.is_none() {
            let code = if attributes.contains_key(name) { "invalid_attribute" } else { "missing_field" };
            self.add(&pointer(name), code, format!("every CloudEvent has the attribute `{name}`, a text that is not empty"));
        }
        value
    }
}

fn text_of(attributes: &Attributes, name: &str) -> Option<String> {
    attributes.get(name)?.as_str().map(str::to_owned)
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Names are of small letters and digits, values are scalars, and those that we read are texts.
fn check_form(attributes: &Attributes, faults: &mut Faults<'_>) {
    if attributes.len() > ATTRIBUTES_MAX {
        faults.add("", "too_many_fields", format!("{} attributes; at most {ATTRIBUTES_MAX} are taken", attributes.len()));
        return;
    }
    for (name, value) in attributes {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            let detail =
                format!("`{}` is not the name of an attribute; those have small letters and digits only", shortened(name).escape_debug());
            faults.add(&pointer(name), "invalid_attribute", detail);
        } else if value.is_array() || value.is_object() {
            faults.add(
                &pointer(name),
                "invalid_attribute",
                format!("attribute `{name}` is one value; lists and objects belong into `data`"),
            );
        } else if ["time", "account", "subject", "datacontenttype", "dataschema"].contains(&name.as_str())
            && value.as_str().is_none_or(str::is_empty)
        {
            faults.add(
                &pointer(name),
                "invalid_attribute",
                format!("attribute `{name}` is a text that is not empty; leave it out if there is none"),
            );
        }
    }
}

fn decode(encoded: &RawValue, faults: &mut Faults<'_>) -> Option<Content> {
    let text: Option<String> = serde_json::from_str(encoded.get()).ok();
    let bytes = text.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        faults.add("/data_base64", "invalid_value", "`data_base64` is not a JSON object in UTF-8, encoded in base 64");
        return None;
    };
    Some(Content { pointer: "/data_base64", text })
}

/// The idempotency key of an event. A source holds no blank, so that two events never share one.
fn key_of(source: &str, id: &str) -> Result<IdempotencyKey, crate::event::IdempotencyKeyError> {
    let key = format!("{source} {id}");
    if key.chars().count() <= KEY_CHARACTERS_MAX {
        return key.parse();
    }
    let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse()
}

/// The text of a header: percent-encoded UTF-8, possibly in quotes.
fn header_text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let unquoted = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    };
    percent_encoding::percent_decode_str(&unquoted).decode_utf8().ok().map(Into::into)
}

fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    media_type.rsplit_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The members of an object, none of them twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CloudEvent, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() > ATTRIBUTES_MAX + 2 {
                        return Err(de::Error::custom(format!("more than {ATTRIBUTES_MAX} attributes")));
                    }
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(de::Error::custom(format!("the attribute `{}` is given twice", shortened(&name))));
                    }
                    members.push((name, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}
