//! Sample events, made from the catalogue and the same every time.

use serde_json::{Map, Value, json};

use super::field::{Field, FieldType, Provider};
use super::table::{TypeEntry, find};

/// The `data` of a sample event of this type.
///
/// It has every field that a sender provides, in the catalogue's order, and
/// the values agree with each other: an action's items add up to its amount,
/// a reversed action is worth nothing. Scalars are text, as platforms send
/// them. The dispatcher's own fields are not in it; see [`system_sample`].
///
/// `None` if there is no such built-in type.
pub fn sample(name: &str) -> Option<Map<String, Value>> {
    find(name).map(data_of)
}

/// A whole sample event of this type, as `POST /v1/events` takes it, for the
/// account `acme`.
pub fn sample_event(name: &str) -> Option<Value> {
    let entry = find(name)?;
    Some(json!({
        "account": "acme",
        "type": entry.name,
        "key": entry.sample_key,
        "occurred_at": entry.sample_occurred_at,
        "data": data_of(entry),
    }))
}

/// Sample values of the fields that the dispatcher fills in, for previews
/// where nothing is sent.
pub fn system_sample(name: &str) -> Option<Map<String, Value>> {
    let entry = find(name)?;
    let values = entry
        .fields
        .iter()
        .filter(|field| field.provider == Provider::System)
        .map(|field| (field.name.to_owned(), system_value(entry, field)))
        .collect();
    Some(values)
}

fn data_of(entry: &TypeEntry) -> Map<String, Value> {
    entry.sent_fields().map(|field| (field.name.to_owned(), sent_value(entry, field))).collect()
}

fn sent_value(entry: &TypeEntry, field: &Field) -> Value {
    let own = entry.sample_values.iter().find(|(name, _)| *name == field.name);
    let written = own.map_or(field.example, |(_, value)| value);
    match field.field_type {
        FieldType::List(_) => serde_json::from_str(written).expect("lists in the catalogue are JSON; a test reads them all"),
        _ => Value::from(written),
    }
}

fn system_value(entry: &TypeEntry, field: &Field) -> Value {
    match field.name {
        "EventFamily" => entry.family.code().into(),
        "EventKind" => entry.kind().into(),
        "SentDate" => entry.sample_occurred_at.into(),
        _ => field.example.into(),
    }
}
