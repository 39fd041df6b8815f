//! The event of a local rendering, and the names that it declares.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use crate::cli::input::read_text;
use crate::event::EventData;
use crate::subscription::FieldNames;
use crate::template::{FieldKind, Names};

/// Reads the data of an event: of a whole event as for the API, or the bare data object.
pub(super) fn read(path: &Path) -> anyhow::Result<EventData> {
    let text = read_text(path)?;
    let shown = path.display();
    let data = match serde_json::from_str::<Value>(&text).with_context(|| format!("`{shown}` is not JSON"))? {
        Value::Object(event) if event.get("data").is_some_and(Value::is_object) && event.contains_key("type") => {
            // Taken from the text and not from the parsed value, which would not keep every digit.
            let parts: std::collections::HashMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(&text)?;
            parts.get("data").map_or_else(String::new, |data| data.get().to_owned())
        }
        Value::Object(_) => text,
        _ => bail!("`{shown}` is not an event; it needs `type` and `data`, or to be an object of values"),
    };
    EventData::from_stored(data.into()).with_context(|| format!("the data of `{shown}` cannot be read"))
}

/// The catalogue, and every name that an event carries: whoever renders locally has the event at hand
/// and declares nothing elsewhere.
#[derive(Debug)]
pub(super) struct EventNames<'a> {
    catalogue: FieldNames,
    event: &'a Map<String, Value>,
}

impl<'a> EventNames<'a> {
    pub fn new(event: &'a Map<String, Value>) -> Self {
        Self { catalogue: FieldNames::default(), event }
    }

    fn item_fields(&self, list: &str) -> impl Iterator<Item = &str> {
        let items = self.event.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str)
    }
}

impl Names for EventNames<'_> {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        self.catalogue.kind(name).or_else(|| {
            self.event.get(name).map(|value| match value {
                Value::Array(_) => FieldKind::List,
                Value::Number(_) => FieldKind::Decimal,
                Value::Bool(_) => FieldKind::Boolean,
                _ => FieldKind::Text,
            })
        })
    }

    fn item_kind(&self, list: &str, field: &str) -> Option<FieldKind> {
        self.catalogue.item_kind(list, field).or_else(|| self.item_fields(list).any(|known| known == field).then_some(FieldKind::Text))
    }

    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        self.catalogue.for_each_name(f);
        self.event.keys().for_each(|name| f(name));
    }

    fn for_each_item_field(&self, list: &str, f: &mut dyn FnMut(&str)) {
        self.catalogue.for_each_item_field(list, f);
        self.item_fields(list).for_each(f);
    }
}
