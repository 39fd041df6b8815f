//! Samples whose values break careless templates, made from the catalogue and the same every time.

use serde_json::{Map, Value, json};

use super::defined::{DefinedField, DefinedFieldType, DefinedType};
use super::field::{Field, FieldType};
use super::table::find;

/// Quotes, markup, line ends, macros, parts of addresses, other scripts, words that mean something in JSON.
const TEXTS: [&str; 9] = [
    r#"say "hi" to O'Brien \ and \" too"#,
    "</value><!-- & --><![CDATA[x]]>&amp;",
    "one\r\nX-Injected: yes\n\tthree",
    "{ActionId} {{Payout}} <SubId1> ${x}",
    "a&b=c#d?e=f%20g+h/../i",
    "\u{17c}\u{f3}\u{142}\u{107} \u{6f22}\u{5b57} \u{1f642} \u{202e}tfel",
    "null",
    "",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
];
/// Numbers that change when somebody reads them as floating point.
const INTEGERS: [&str; 3] = ["12345678901234567890123", "-0", "0007"];
const DECIMALS: [&str; 4] = ["0.1000000000000000000000001", "1E5", "-0.00", "12345678901234567890.10"];
const DATES: [&str; 2] = ["2024-03-31T02:30:00+14:00", "1969-12-31T23:59:59.999999999-12:00"];
const URLS: [&str; 2] = [r#"https://shop.example/sale?a=1&b="x"&c={y}#top"#, "https://xn--bcher-kva.example:8443/%2e%2e/?q=%26&q=a b"];

/// The `data` of an event of this built-in type with values that break careless templates; see
/// [`sample`](super::sample()) for friendly ones.
pub fn hostile(name: &str) -> Option<Map<String, Value>> {
    let fields = find(name)?.sent_fields();
    Some(fields.enumerate().map(|(place, field)| (field.name.to_owned(), of_field(field, place))).collect())
}

impl DefinedType {
    /// The `data` of an event with values that break careless templates.
    #[must_use]
    pub fn hostile(&self) -> Map<String, Value> {
        self.fields.iter().enumerate().map(|(place, field)| (field.name.clone(), of_defined(field, place))).collect()
    }
}

fn of_field(field: &Field, place: usize) -> Value {
    match field.field_type {
        FieldType::List(items) => list(items.iter().map(|item| (item.name, item.field_type)), place),
        scalar => value(scalar, place),
    }
}

fn of_defined(field: &DefinedField, place: usize) -> Value {
    match field.field_type {
        DefinedFieldType::List => list(field.fields.iter().map(|item| (item.name.as_str(), item.field_type.shape())), place),
        scalar => value(scalar.shape(), place),
    }
}

/// Two entries with every field, and one with none.
fn list<'a>(fields: impl Iterator<Item = (&'a str, FieldType)> + Clone, place: usize) -> Value {
    let entry = |first: usize| {
        let values = fields.clone().enumerate().map(|(index, (name, field_type))| (name.to_owned(), value(field_type, first + index)));
        Value::Object(values.collect())
    };
    json!([entry(place), entry(place + 1), {}])
}

fn value(field_type: FieldType, place: usize) -> Value {
    let one = |values: &[&str]| values[place % values.len()].to_owned();
    match field_type {
        FieldType::Text | FieldType::List(_) => one(&TEXTS).into(),
        FieldType::Integer => one(&INTEGERS).into(),
        // Some platforms send numbers bare.
        FieldType::Decimal => serde_json::from_str(&one(&DECIMALS)).unwrap_or(Value::Null),
        FieldType::Boolean => place.is_multiple_of(2).into(),
        FieldType::Date => one(&DATES).into(),
        FieldType::Url => one(&URLS).into(),
    }
}
