//! The `data` of an event: macro values as the caller wrote them.
//!
//! The text is kept as it came, and numbers keep their digits. A field that the catalogue knows holds
//! what the catalogue says, a scalar or a list of objects; other fields may hold any JSON.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::catalogue::{self, FieldType};
use super::trace::TraceContext;

/// Most fields an event, or one item of a list, may have.
pub const DATA_FIELDS_MAX: usize = 1_000;
/// Most items a list may have.
pub const LIST_ITEMS_MAX: usize = 10_000;
/// How deep lists and objects may be nested in a field.
pub const DEPTH_MAX: usize = 16;

/// The values of one event, with the text they were read from.
#[derive(Debug, Clone, PartialEq)]
pub struct EventData {
    /// The JSON, and behind it, if there is one, a line with the trace.
    text: Box<str>,
    json_length: usize,
    fields: Map<String, Value>,
    trace: Option<TraceContext>,
}

/// Why a text is no event data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct EventDataError {
    /// JSON pointer to the offending value, from the data object; empty for the whole.
    pub pointer: String,
    /// Stable code: `malformed_json`, `wrong_field_type`, `duplicate_field`, `too_deep`, `too_many_fields`.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
}

impl EventDataError {
    fn new(pointer: String, code: &'static str, detail: String) -> Self {
        Self { pointer, code, detail }
    }
}

impl EventData {
    /// Reads `text`, one JSON object.
    ///
    /// # Errors
    /// [`EventDataError`] if the text is no object, names a field twice, gives a list where the
    /// catalogue knows a scalar or the reverse, or goes over [`DATA_FIELDS_MAX`], [`LIST_ITEMS_MAX`]
    /// or [`DEPTH_MAX`].
    pub fn parse(text: &str) -> Result<Self, EventDataError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let fields = ObjectSeed { depth: 0 }.deserialize(&mut reader).map_err(|error| malformed(&error))?;
        reader.end().map_err(|error| malformed(&error))?;
        for (name, value) in &fields {
            check_field(name, value)?;
        }
        Ok(Self { json_length: text.len(), text: text.into(), fields, trace: None })
    }

    /// The same, reported in this trace.
    #[must_use]
    pub fn in_trace(self, trace: TraceContext) -> Self {
        let text = format!("{}\n{trace}", self.text()).into();
        Self { text, trace: Some(trace), ..self }
    }

    /// Reads text that was accepted before, as [`Self::stored`] gives it.
    ///
    /// # Errors
    /// [`EventDataError`] if the text is not the JSON object it was.
    pub fn from_stored(text: Box<str>) -> Result<Self, EventDataError> {
        // JSON may hold line ends, and ends with a brace; a trace does not.
        let trace = text.rsplit_once('\n').and_then(|(json, trace)| Some((json.len(), trace.parse().ok()?)));
        let json_length = trace.map_or(text.len(), |(length, _)| length);
        let json = &text[..json_length];
        let fields =
            ObjectSeed { depth: 0 }.deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|error| malformed(&error))?;
        Ok(Self { json_length, fields, trace: trace.map(|(_, trace)| trace), text })
    }

    /// The JSON text as it was received.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text[..self.json_length]
    }

    /// The text that is stored: that of the JSON, and the trace behind it if there is one.
    #[must_use]
    pub fn stored(&self) -> &str {
        &self.text
    }

    /// The trace in which it was reported.
    #[must_use]
    pub const fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// The values by name, in the order they were given; numbers keep their digits.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The text of a scalar: a string's content, a number's digits, `true` or `false`. None if the
    /// field is missing, null or a list.
    #[must_use]
    pub fn scalar(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

fn malformed(error: &serde_json::Error) -> EventDataError {
    let text = error.to_string();
    // Errors of the visitors below begin with a word of their own and name the field.
    let named = |word: &str| text.strip_prefix(word).map(|rest| rest.split('`').nth(1).unwrap_or_default().to_owned());
    let at = |name: &str| format!("/{}", escape_pointer(name));
    if let Some(name) = named(DUPLICATE) {
        return EventDataError::new(at(&name), "duplicate_field", format!("the field `{name}` is given twice; send each name once"));
    }
    if let Some(name) = named(TOO_DEEP) {
        let detail = format!("`{name}` is nested more than {DEPTH_MAX} deep; flatten it, for example into fields of its own");
        return EventDataError::new(at(&name), "too_deep", detail);
    }
    if text.starts_with(TOO_MANY) {
        let detail = format!("an object has more than {DATA_FIELDS_MAX} fields; send those that templates need");
        return EventDataError::new(String::new(), "too_many_fields", detail);
    }
    EventDataError::new(String::new(), "malformed_json", format!("`data` is not a JSON object of values: {text}"))
}

/// A field that the catalogue knows must have its shape; what others hold is the sender's business.
fn check_field(name: &str, value: &Value) -> Result<(), EventDataError> {
    let pointer = || format!("/{}", escape_pointer(name));
    let wrong = |detail: String| Err(EventDataError::new(pointer(), "wrong_field_type", detail));
    let is_list = catalogue::known_field(name).map(|field| matches!(field.field_type, FieldType::List(_)));
    match (is_list, value) {
        (Some(false), Value::Array(_)) => wrong(format!("`{name}` is a list, but this field holds one value; send a text or a number")),
        (Some(false), Value::Object(_)) => wrong(format!("`{name}` is an object, but this field holds one value; send a text or a number")),
        (Some(true), Value::Array(items)) => check_items(name, items),
        (Some(true), Value::Null) | (Some(false), _) => Ok(()),
        (Some(true), _) => wrong(format!("`{name}` holds a list of objects; send `[{{…}}]`, or leave it out")),
        (None, Value::Array(items)) if items.len() > LIST_ITEMS_MAX => check_items(name, items),
        (None, _) => Ok(()),
    }
}

fn check_items(name: &str, items: &[Value]) -> Result<(), EventDataError> {
    let base = escape_pointer(name);
    if items.len() > LIST_ITEMS_MAX {
        let detail = format!("`{name}` has {} items; at most {LIST_ITEMS_MAX} are taken", items.len());
        return Err(EventDataError::new(format!("/{base}"), "too_many_fields", detail));
    }
    match items.iter().position(|item| !item.is_object()) {
        None => Ok(()),
        Some(index) => {
            let detail = format!("item {index} of `{name}` is not an object; this list holds objects, like `{{\"sku\":\"A-1\"}}`");
            Err(EventDataError::new(format!("/{base}/{index}"), "wrong_field_type", detail))
        }
    }
}

fn escape_pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

const DUPLICATE: &str = "duplicate field ";
const TOO_DEEP: &str = "nested too deep ";
const TOO_MANY: &str = "too many fields";

/// Reads an object and refuses a name that comes twice, which `serde_json` would take silently.
#[derive(Clone, Copy)]
struct ObjectSeed {
    /// How deep the object lies; the data itself at 0.
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed {
    type Value = Map<String, Value>;
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if fields.len() == DATA_FIELDS_MAX {
                return Err(de::Error::custom(TOO_MANY));
            }
            let raw: &'de RawValue = map.next_value()?;
            let value = value_of(raw.get(), self.depth).map_err(|error| outermost(error, self.depth, &name))?;
            if fields.contains_key(&name) {
                return Err(de::Error::custom(format!("{DUPLICATE}`{name}`")));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// The error with the name of the field of the data in which it lies.
fn outermost<E: de::Error>(error: serde_json::Error, depth: usize, name: &str) -> E {
    let text = error.to_string();
    if depth == 0 && text.starts_with(TOO_DEEP) { E::custom(format!("{TOO_DEEP}`{name}`")) } else { E::custom(text) }
}

/// The value that `text`, valid JSON in an object at `depth`, stands for.
fn value_of(text: &str, depth: usize) -> Result<Value, serde_json::Error> {
    match text.as_bytes() {
        // `serde_json` would write `1e5` as `1e+5`; here every character of a number stays.
        [b'-' | b'0'..=b'9', ..] => Ok(Value::Number(serde_json::Number::from_string_unchecked(text.to_owned()))),
        [b'"', inside @ .., b'"'] if !inside.contains(&b'\\') => Ok(Value::String(text[1..text.len() - 1].to_owned())),
        [b'[' | b'{', ..] if depth == DEPTH_MAX => Err(de::Error::custom(TOO_DEEP)),
        [b'[', ..] => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            items.into_iter().map(|item| value_of(item.get(), depth + 1)).collect::<Result<_, _>>().map(Value::Array)
        }
        [b'{', ..] => ObjectSeed { depth: depth + 1 }.deserialize(&mut serde_json::Deserializer::from_str(text)).map(Value::Object),
        _ => serde_json::from_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let text =
            r#"{"Payout":5.00,"big":12345678901234567890,"e":1e5,"E":-1.50E+07,"long":0.123456789012345678901234567890,"neg":-0.40}"#;
        let data = EventData::parse(text).unwrap();
        assert_eq!(data.text(), text);
        for (name, digits) in [
            ("Payout", "5.00"),
            ("big", "12345678901234567890"),
            ("e", "1e5"),
            ("E", "-1.50E+07"),
            ("long", "0.123456789012345678901234567890"),
            ("neg", "-0.40"),
        ] {
            assert_eq!(data.scalar(name).as_deref(), Some(digits));
        }
    }

    fn code_and_pointer(text: &str) -> (&'static str, String) {
        let error = EventData::parse(text).unwrap_err();
        (error.code, error.pointer)
    }

    #[test]
    fn wrong_shapes_are_refused_with_their_place() {
        assert_eq!(code_and_pointer("[]").0, "malformed_json");
        assert_eq!(code_and_pointer(r#"{"a":1"#).0, "malformed_json");
        assert_eq!(code_and_pointer(r#"{"items":"none"}"#), ("wrong_field_type", "/items".into()));
        assert_eq!(code_and_pointer(r#"{"Payout":[{"a":1}]}"#), ("wrong_field_type", "/Payout".into()));
        assert_eq!(code_and_pointer(r#"{"Payout":{"a":1}}"#), ("wrong_field_type", "/Payout".into()));
        assert_eq!(code_and_pointer(r#"{"items":[{},1]}"#), ("wrong_field_type", "/items/1".into()));
        assert_eq!(code_and_pointer(r#"{"a":1,"a":2}"#), ("duplicate_field", "/a".into()));
        assert_eq!(code_and_pointer(r#"{"x":[{"a":1,"a":2}]}"#), ("duplicate_field", "/a".into()));
    }

    #[test]
    fn j8_fields_beyond_the_catalogue_hold_any_json_with_its_digits() {
        let data = EventData::parse(r#"{"extra":{"a":[1E5,{"b":0.10}],"c":null}}"#).unwrap();
        assert_eq!(serde_json::to_string(&data.fields()["extra"]).unwrap(), r#"{"a":[1E5,{"b":0.10}],"c":null}"#);
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        for (open, close) in [("[", "]"), ("[{\"a\":", "}]"), ("{\"a\":", "}")] {
            let text = format!("{{\"a\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(code_and_pointer(&text).0, "too_deep", "{open}");
        }
    }

    #[test]
    fn a_trace_is_kept_behind_the_text_and_costs_nothing_where_there_is_none() {
        let trace: TraceContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        for json in ["{\"a\":5.00}", "{\n\"a\": \"x\\n\"\n}", "{}"] {
            let plain = EventData::parse(json).unwrap();
            assert_eq!((plain.stored(), plain.trace()), (json, None));
            assert_eq!(EventData::from_stored(plain.stored().into()).unwrap(), plain);
            let traced = plain.clone().in_trace(trace);
            assert_eq!((traced.text(), traced.trace(), traced.fields()), (json, Some(trace), plain.fields()));
            assert_eq!(EventData::from_stored(traced.stored().into()).unwrap(), traced);
        }
    }
}
