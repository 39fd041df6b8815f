//! Event types that an operator registered, beside the built-in ones.
//!
//! They are stored as configuration and handed round by who keeps that; here is what one is, and what
//! a definition must fulfil. A list field of one has the shape of a built-in list: objects with fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{FieldType, Provider, known_field};
use crate::clock::Timestamp;
use crate::event::EventType;

/// Most fields of an operator-defined event type, and of a list in it.
pub const DEFINED_FIELDS_MAX: usize = 200;
/// Longest description and meaning, in characters.
const TEXT_CHARACTERS_MAX: usize = 500;
/// Longest example, in bytes of its JSON.
const EXAMPLE_BYTES_MAX: usize = 8 * 1024;

/// An event type that an operator registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefinedType {
    /// Its dotted name.
    pub name: EventType,
    /// What happened, for people.
    pub description: String,
    /// The family it belongs to, by which accounts may be kept from it.
    pub family: String,
    /// The fields that its events carry; events may carry more.
    pub fields: Vec<DefinedField>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// A field of an operator-defined event type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefinedField {
    /// The macro's name.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub name: String,
    /// How the value is to be read.
    #[serde(rename = "type")]
    pub field_type: DefinedFieldType,
    /// One sentence for the person who writes the template.
    #[serde(default)]
    #[schemars(length(max = TEXT_CHARACTERS_MAX), regex(pattern = r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*$"))]
    pub meaning: String,
    /// A value of this type, for samples; null takes one that fits the type.
    #[serde(default)]
    pub example: Value,
    /// The fields of each entry, if it is a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = DEFINED_FIELDS_MAX))]
    pub fields: Vec<DefinedField>,
}

/// The kind of value of a field that an operator defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefinedFieldType {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A decimal number.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// A date, mostly with time and offset.
    Date,
    /// An absolute address.
    Url,
    /// A list of objects.
    List,
}

impl DefinedFieldType {
    /// The same kind in the words of the built-in catalogue, a list without its fields.
    #[must_use]
    pub const fn shape(self) -> FieldType {
        match self {
            Self::Text => FieldType::Text,
            Self::Integer => FieldType::Integer,
            Self::Decimal => FieldType::Decimal,
            Self::Boolean => FieldType::Boolean,
            Self::Date => FieldType::Date,
            Self::Url => FieldType::Url,
            Self::List => FieldType::List(&[]),
        }
    }

    fn sample(self) -> Value {
        match self {
            Self::Text => json!("some text"),
            Self::Integer => json!("1000"),
            Self::Decimal => json!("5.00"),
            Self::Boolean => json!(true),
            Self::Date => json!("2024-09-10T10:42:38Z"),
            Self::Url => json!("https://shop.example/"),
            Self::List => json!([]),
        }
    }
}

/// What is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionFault {
    /// JSON pointer to the value, from the definition.
    pub pointer: String,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
}

impl DefinedType {
    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&DefinedField> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The `data` of a sample event.
    #[must_use]
    pub fn sample(&self) -> Map<String, Value> {
        self.fields.iter().map(|field| (field.name.clone(), field.sample())).collect()
    }

    /// Everything that is wrong with the definition by itself and beside `others`.
    #[must_use]
    pub fn faults(&self, others: &[&DefinedType]) -> Vec<DefinitionFault> {
        let mut faults = Vec::new();
        if self.description.chars().count() > TEXT_CHARACTERS_MAX || self.description.chars().any(is_unprintable) {
            faults.push(fault(
                "/description",
                "invalid_text",
                format!("use at most {TEXT_CHARACTERS_MAX} characters, without control characters"),
            ));
        }
        if !is_family(&self.family) {
            let detail = format!("`{}` is not a family; use 1 to 64 of a-z, 0-9 and `_`", self.family.escape_debug());
            faults.push(fault("/family", "invalid_family", detail));
        }
        check_fields(&self.fields, "", true, &mut faults);
        for (index, field) in self.fields.iter().enumerate() {
            if let Some(detail) = self.conflict(field, others) {
                faults.push(fault(&format!("/fields/{index}/type"), "field_conflict", detail));
            }
        }
        faults
    }

    /// Why a field cannot stand beside those of the same name: a macro is a list everywhere or nowhere.
    fn conflict(&self, field: &DefinedField, others: &[&DefinedType]) -> Option<String> {
        let name = &field.name;
        let is_list = field.field_type == DefinedFieldType::List;
        if let Some(known) = known_field(name) {
            if known.provider == Provider::System {
                return Some(format!("`{name}` is filled in by the sender itself; choose another name"));
            }
            let known_list = known.field_type.item_fields().is_some();
            return (known_list != is_list)
                .then(|| format!("`{name}` is a {} in the catalogue; use that, or another name", known.field_type.label()));
        }
        let other =
            others.iter().find(|other| other.field(name).is_some_and(|known| (known.field_type == DefinedFieldType::List) != is_list));
        other.map(|other| format!("`{name}` is {} list in `{}`; use that, or another name", if is_list { "no" } else { "a" }, other.name))
    }
}

impl DefinedField {
    /// Its example, or one that fits its type.
    #[must_use]
    pub fn sample(&self) -> Value {
        match &self.example {
            Value::Null if self.field_type == DefinedFieldType::List => {
                json!([self.fields.iter().map(|field| (field.name.clone(), field.sample())).collect::<Map<_, _>>()])
            }
            Value::Null => self.field_type.sample(),
            given => given.clone(),
        }
    }
}

/// Whether a text is a macro's name: a letter or `_`, then letters, digits and `_`, at most 64.
#[must_use]
pub fn is_macro_name(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_family(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_unprintable(c: char) -> bool {
    c.is_control() && c != '\n'
}

fn fault(pointer: &str, code: &'static str, detail: String) -> DefinitionFault {
    DefinitionFault { pointer: pointer.into(), code, detail }
}

fn check_fields(fields: &[DefinedField], base: &str, lists: bool, faults: &mut Vec<DefinitionFault>) {
    if fields.len() > DEFINED_FIELDS_MAX {
        faults.push(fault(
            &format!("{base}/fields"),
            "too_many_fields",
            format!("{} fields; at most {DEFINED_FIELDS_MAX} can be defined", fields.len()),
        ));
        return;
    }
    for (index, field) in fields.iter().enumerate() {
        let at = format!("{base}/fields/{index}");
        if !is_macro_name(&field.name) {
            let shown: String = field.name.chars().take(100).collect();
            let detail =
                format!("`{}` is not a macro name; use letters, digits and `_`, not a digit first, at most 64", shown.escape_debug());
            faults.push(fault(&format!("{at}/name"), "invalid_field_name", detail));
        }
        if fields[..index].iter().any(|earlier| earlier.name == field.name) {
            faults.push(fault(
                &format!("{at}/name"),
                "duplicate_field",
                format!("the field `{}` is given twice; give each name once", field.name),
            ));
        }
        if field.meaning.chars().count() > TEXT_CHARACTERS_MAX || field.meaning.chars().any(is_unprintable) {
            let detail = format!("use at most {TEXT_CHARACTERS_MAX} characters, without control characters");
            faults.push(fault(&format!("{at}/meaning"), "invalid_text", detail));
        }
        let is_list = field.field_type == DefinedFieldType::List;
        if is_list && !lists {
            faults.push(fault(&format!("{at}/type"), "nested_list", "a list cannot hold lists; use a text or a number here".into()));
        } else if !is_list && !field.fields.is_empty() {
            faults.push(fault(&format!("{at}/fields"), "not_a_list", "only a field of the type `list` has fields".into()));
        } else if is_list {
            check_fields(&field.fields, &at, false, faults);
        }
        if let Some(detail) = bad_example(field) {
            faults.push(fault(&format!("{at}/example"), "invalid_example", detail));
        }
    }
}

fn bad_example(field: &DefinedField) -> Option<String> {
    let is_list = field.field_type == DefinedFieldType::List;
    match &field.example {
        Value::Null => None,
        Value::Array(items) if is_list && items.iter().all(Value::is_object) => (field.example.to_string().len() > EXAMPLE_BYTES_MAX)
            .then(|| format!("the example is longer than {EXAMPLE_BYTES_MAX} bytes; shorten it")),
        _ if is_list => Some("an example of a list is a list of objects, like `[{\"sku\": \"A-1\"}]`".into()),
        Value::Array(_) | Value::Object(_) => Some("an example of this type is one value: a text, a number, true or false".into()),
        value => (value.to_string().len() > EXAMPLE_BYTES_MAX)
            .then(|| format!("the example is longer than {EXAMPLE_BYTES_MAX} bytes; shorten it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(fields: Value) -> DefinedType {
        DefinedType {
            name: "coupon.redeemed".parse().unwrap(),
            description: String::new(),
            family: "coupon".into(),
            fields: serde_json::from_value(fields).unwrap(),
            created_at: Timestamp::default(),
        }
    }

    fn codes(fields: Value) -> Vec<(&'static str, String)> {
        defined(fields).faults(&[]).into_iter().map(|fault| (fault.code, fault.pointer)).collect()
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let table = [
            (json!([{"name": "1x", "type": "text"}]), "invalid_field_name", "/fields/0/name"),
            (json!([{"name": "A", "type": "text"}, {"name": "A", "type": "date"}]), "duplicate_field", "/fields/1/name"),
            (json!([{"name": "A", "type": "text", "meaning": "\u{7}"}]), "invalid_text", "/fields/0/meaning"),
            (json!([{"name": "A", "type": "text", "fields": [{"name": "b", "type": "text"}]}]), "not_a_list", "/fields/0/fields"),
            (json!([{"name": "L", "type": "list", "fields": [{"name": "b", "type": "list"}]}]), "nested_list", "/fields/0/fields/0/type"),
            (json!([{"name": "A", "type": "text", "example": []}]), "invalid_example", "/fields/0/example"),
            (json!([{"name": "L", "type": "list", "example": "x"}]), "invalid_example", "/fields/0/example"),
            (json!([{"name": "items", "type": "text"}]), "field_conflict", "/fields/0/type"),
            (json!([{"name": "Payout", "type": "list"}]), "field_conflict", "/fields/0/type"),
            (json!([{"name": "Attempt", "type": "integer"}]), "field_conflict", "/fields/0/type"),
        ];
        for (fields, code, pointer) in table {
            assert_eq!(codes(fields.clone()), [(code, pointer.to_owned())], "{fields}");
        }
        assert!(codes(json!([{"name": "Payout", "type": "decimal"}, {"name": "Coupon", "type": "text"}])).is_empty());
    }

    #[test]
    fn a_name_is_a_list_in_all_types_or_in_none() {
        let lines = defined(json!([{"name": "lines", "type": "list"}]));
        let text = defined(json!([{"name": "lines", "type": "text"}]));
        assert_eq!(text.faults(&[&lines])[0].code, "field_conflict");
        assert!(lines.faults(&[&lines]).is_empty());
    }

    #[test]
    fn a_sample_has_every_field() {
        let sample = defined(json!([
            {"name": "Code", "type": "text", "example": "SUMMER"}, {"name": "Value", "type": "decimal"},
            {"name": "lines", "type": "list", "fields": [{"name": "sku", "type": "text", "example": "A-1"}]},
        ]))
        .sample();
        assert_eq!(Value::Object(sample), json!({"Code": "SUMMER", "Value": "5.00", "lines": [{"sku": "A-1"}]}));
    }
}
