//! The event of a local rendering.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cli::input::read_text;
use crate::event::EventData;

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
