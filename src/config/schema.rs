//! The settings file as a JSON Schema, for editors, and what is asked of it here: types and ranges.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::settings::Settings;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

/// The JSON Schema of the settings file. Draft 7, which editors of TOML read.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<Settings>().to_value();
    schema["title"] = "Settings of Postrider".into();
    schema
}

/// The names of all settings.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SCHEMA["properties"].as_object().into_iter().flat_map(|properties| properties.keys().map(String::as_str))
}

/// The type of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Truth,
    List,
    Table,
}

/// The type of a setting; none if there is no such setting.
pub(super) fn kind(name: &str) -> Option<Kind> {
    let property = SCHEMA["properties"].get(name)?;
    let is = |wanted: &str| match &property["type"] {
        Value::Array(types) => types.iter().any(|one| one == wanted),
        one => one == wanted,
    };
    let kinds = [("integer", Kind::Number), ("boolean", Kind::Truth), ("array", Kind::List), ("object", Kind::Table)];
    Some(kinds.into_iter().find(|(word, _)| is(word)).map_or(Kind::Text, |(_, kind)| kind))
}

/// Whether a number may be the value of a setting.
pub(super) fn is_in_range(name: &str, value: u64) -> bool {
    let property = &SCHEMA["properties"][name];
    let limit = |key: &str| property[key].as_f64().map(|limit| limit as u64);
    limit("minimum").is_none_or(|low| value >= low) && limit("maximum").is_none_or(|high| value <= high)
}

/// What a setting may be, in words.
pub(super) fn allowed(name: &str) -> String {
    let property = &SCHEMA["properties"][name];
    let words: Vec<String> = [&property["oneOf"], &property["enum"]]
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|one| one.as_str().or(one["const"].as_str()).or(one["enum"][0].as_str()))
        .map(|word| format!("`{word}`"))
        .collect();
    if !words.is_empty() {
        return words.join(" or ");
    }
    let example = property["examples"][0].clone();
    let such_as = |what: &str| if example.is_null() { what.to_owned() } else { format!("{what} such as `{example}`") };
    match kind(name) {
        Some(Kind::Number) => number(name, property),
        Some(Kind::Truth) => "`true` or `false`".into(),
        Some(Kind::List) => such_as("a list"),
        Some(Kind::Table) => "a table".into(),
        Some(Kind::Text) | None => such_as("a text"),
    }
}

fn number(name: &str, property: &Value) -> String {
    let unit = [("_days", " days"), ("_s", " seconds"), ("bytes_max", " bytes"), ("bytes_min", " bytes")];
    let unit = unit.into_iter().find(|(ending, _)| name.ends_with(ending)).map_or("", |(_, unit)| unit);
    let limit = |key: &str| property[key].as_f64().map(|limit| limit as u64);
    match (limit("minimum").unwrap_or(0), limit("maximum")) {
        (low, Some(high)) => format!("a whole number, {low} to {high}{unit}"),
        (low, None) => format!("a whole number, {low}{unit} or more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described_and_has_its_default() {
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        let defaults = defaults.as_object().unwrap();
        assert_eq!(names().collect::<std::collections::BTreeSet<_>>(), defaults.keys().map(String::as_str).collect());
        for (name, default) in defaults {
            let property = &SCHEMA["properties"][name];
            assert!(property["description"].as_str().is_some_and(|text| text.len() > 10), "{name}: {property}");
            assert_eq!(property["default"], *default, "{name}");
        }
        assert_eq!(SCHEMA["additionalProperties"], false);
    }

    #[test]
    fn what_a_setting_may_be_is_said_in_words() {
        for (name, kind_wanted, words) in [
            ("retention_days", Kind::Number, "a whole number, 1 to 3650 days"),
            ("waiting_per_subscription_max", Kind::Number, "a whole number, 1 or more"),
            ("allow_private", Kind::Truth, "`true` or `false`"),
            ("log_format", Kind::Text, "`text` or `json`"),
            ("listen", Kind::Text, "a text such as `\"127.0.0.1:8080\"`"),
            ("allow", Kind::List, "a list such as `[\"10.1.0.0/16\"]`"),
            ("account_kinds", Kind::Table, "a table"),
        ] {
            assert_eq!((kind(name), allowed(name).as_str()), (Some(kind_wanted), words), "{name}");
        }
        assert_eq!(kind("no_such_setting"), None);
        assert!(is_in_range("drain_s", 0) && is_in_range("drain_s", 3_600) && !is_in_range("drain_s", 3_601));
    }
}
