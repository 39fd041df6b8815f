//! What the catalogue promises: clean tables, samples that agree with
//! themselves, example files and documentation that agree with both, and
//! ready-made templates that use nothing the catalogue does not have.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};

use super::{
    Field, FieldType, Provider, TypeEntry, find, is_item_field, known_field, macro_table, markdown, sample, sample_event, system_sample,
    types,
};

#[test]
fn event_type_names_are_unique() {
    let mut seen = HashSet::new();
    for entry in types() {
        assert!(seen.insert(entry.name), "`{}` is there twice", entry.name);
    }
}

#[test]
fn only_types_that_must_be_named_escape_the_wildcards() {
    let named: Vec<_> = types().filter(|entry| !entry.default_sent).map(|entry| entry.name).collect();
    assert_eq!(named, ["action.locked", "action.paid", "test.ping", "subscription.failing", "subscription.recovered", "delivery.dead"]);
}

#[test]
fn field_names_are_unique_within_a_type_and_a_list() {
    for_each_table(|place, fields| {
        let mut seen = HashSet::new();
        for field in fields {
            assert!(seen.insert(field.name), "{place}: `{}` is there twice", field.name);
        }
    });
}

#[test]
fn field_names_can_be_written_as_macros() {
    for_each_table(|place, fields| {
        for field in fields {
            assert!(is_macro_name(field.name), "{place}: `{}` is no macro name", field.name);
        }
    });
}

#[test]
fn every_meaning_is_one_plain_sentence() {
    for_each_table(|place, fields| {
        for Field { name, meaning, .. } in fields {
            assert!(meaning.ends_with('.'), "{place}: meaning of `{name}` has no end");
            assert!(!meaning.contains(". "), "{place}: meaning of `{name}` is more than one sentence");
            assert!(!meaning.contains('|'), "{place}: meaning of `{name}` breaks its table");
        }
    });
}

#[test]
fn every_example_parses_for_its_type() {
    for_each_table(|place, fields| {
        for field in fields {
            let example = Value::from(field.example);
            assert!(fits(field, &as_sent(field, &example)), "{place}: example of `{}`", field.name);
        }
    });
}

#[test]
fn every_type_has_the_dispatchers_fields_last() {
    for entry in types() {
        let providers: Vec<_> = entry.fields.iter().map(|field| field.provider).collect();
        let first = providers.iter().position(|provider| *provider == Provider::System);
        let names: Vec<_> = entry.fields[first.expect("system fields")..].iter().map(|field| field.name).collect();
        assert_eq!(names, ["NotificationId", "EventFamily", "EventKind", "SentDate", "Attempt"]);
    }
}

#[test]
fn actions_carry_39_order_values_and_8_item_values() {
    let tracked = find("action.tracked").expect("built in");
    let is_list = |field: &&Field| field.field_type.item_fields().is_some();
    let lists: Vec<_> = tracked.sent_fields().filter(is_list).collect();
    assert_eq!(tracked.sent_fields().count(), 39 + lists.len());
    assert_eq!(lists.len(), 1);
    let items = lists[0].field_type.item_fields().expect("a list");
    let names: Vec<_> = items.iter().map(|field| field.name).collect();
    assert_eq!(names, ["sku", "amt", "cat", "qty", "cartamt", "rbt", "name", "itemlist"]);
}

#[test]
fn a_name_is_known_whichever_type_carries_it() {
    for name in ["Payout", "ClickId", "Gtin", "items", "Attempt", "SubscriptionId"] {
        assert_eq!(known_field(name).map(|field| field.name), Some(name));
    }
    for name in ["payout", "ActionStatus", "OID", "sku", "index", ""] {
        assert_eq!(known_field(name), None, "`{name}`");
    }
    assert!(is_item_field("sku") && is_item_field("comment") && !is_item_field("Payout"));
}

#[test]
fn a_name_that_types_share_has_one_type_everywhere() {
    for entry in types() {
        for field in entry.fields {
            let first = known_field(field.name).expect("it is in a table");
            assert_eq!(first.field_type, field.field_type, "`{}` in {}", field.name, entry.name);
        }
    }
}

#[test]
fn every_sample_has_every_field_a_sender_provides_and_no_other() {
    for entry in types() {
        let data = sample(entry.name).expect("built in");
        let names: Vec<_> = data.keys().map(String::as_str).collect();
        let expected: Vec<_> = entry.sent_fields().map(|field| field.name).collect();
        assert_eq!(names, expected, "{}", entry.name);
        let system = system_sample(entry.name).expect("built in");
        assert_eq!(names.len() + system.len(), entry.fields.len(), "{}", entry.name);
    }
}

#[test]
fn every_sample_value_parses_for_its_type_or_is_empty() {
    for entry in types() {
        let data = sample(entry.name).expect("built in");
        for field in entry.sent_fields() {
            let value = &data[field.name];
            assert!(value == "" || fits(field, value), "{}: `{}` is {value}", entry.name, field.name);
        }
    }
}

#[test]
fn sample_values_name_fields_of_their_type() {
    for entry in types() {
        for (name, _) in entry.sample_values {
            assert!(entry.field(name).is_some(), "{}: `{name}`", entry.name);
        }
    }
}

#[test]
fn items_of_an_action_add_up_to_its_amount() {
    for entry in actions() {
        let data = sample(entry.name).expect("built in");
        let items = data["items"].as_array().expect("a list");
        let sum: i64 = items.iter().map(|item| cents(&item["amt"])).sum();
        assert_eq!(sum, cents(&data["Amount"]), "{}", entry.name);
        for item in items {
            let after_rebate = cents(&item["cartamt"]) - cents(&item["rbt"]);
            assert_eq!(cents(&item["amt"]), after_rebate, "{}: {item}", entry.name);
        }
    }
}

#[test]
fn deltas_lead_from_the_intended_value_to_the_value() {
    for (name, kind) in [("action.modified", "a change"), ("action.reversed", "a reversal")] {
        let data = sample(name).expect("built in");
        for (delta, intended, value) in [("DeltaAmount", "IntendedAmount", "Amount"), ("DeltaPayout", "IntendedPayout", "Payout")] {
            assert!(cents(&data[delta]) < 0, "{kind} takes something away");
            assert_eq!(cents(&data[intended]) + cents(&data[delta]), cents(&data[value]));
        }
    }
}

#[test]
fn an_untouched_action_has_its_values_as_deltas() {
    for name in ["action.tracked", "action.cleared", "action.locked", "action.paid"] {
        let data = sample(name).expect("built in");
        assert_eq!(data["DeltaAmount"], data["Amount"], "{name}");
        assert_eq!(data["DeltaPayout"], data["Payout"], "{name}");
    }
}

#[test]
fn samples_tell_states_as_they_are() {
    let data = |name: &str| sample(name).expect("built in");
    assert_eq!(data("action.tracked")["Status"], "PENDING");
    assert_eq!(data("action.modified")["Status"], "PENDING");
    let reversed = data("action.reversed");
    assert_eq!(reversed["Status"], "REVERSED");
    assert_eq!(reversed["Amount"], "0.00");
    assert_eq!(reversed["Payout"], "0.00");
    assert_ne!(reversed["StatusDetail"], "");
    let cleared = data("action.cleared");
    assert_eq!(cleared["Status"], "APPROVED");
    assert_eq!(cleared["StatusDetail"], "PAID");
    assert_ne!(cleared["ClearedDate"], "");
    assert_eq!(data("action.tracked")["ClearedDate"], "");
}

#[test]
fn sample_events_have_keys_of_their_own_and_the_same_ones_every_time() {
    let mut keys = HashSet::new();
    for entry in types() {
        let event = sample_event(entry.name).expect("built in");
        assert_eq!(Some(&event), sample_event(entry.name).as_ref());
        assert!(keys.insert(event["key"].clone()), "{}", entry.name);
        let happened = event["occurred_at"].as_str().expect("text");
        assert!(is_date(happened) && happened.ends_with('Z'), "{}", entry.name);
    }
}

#[test]
fn system_samples_fit_the_type_they_are_for() {
    let system = system_sample("action.cleared").expect("built in");
    assert_eq!(system["EventFamily"], "action_clearing");
    assert_eq!(system["EventKind"], "cleared");
    assert_eq!(system["Attempt"], "1");
}

#[test]
fn example_files_are_the_samples() {
    for entry in types() {
        let file = root("examples/events").join(format!("{}.json", entry.name));
        let expected = sample_event(entry.name).expect("built in");
        if asked_to_update() {
            let text = serde_json::to_string_pretty(&expected).expect("a value") + "\n";
            fs::write(&file, text).expect("the folder can be written");
        }
        assert_eq!(json(&file), expected, "{} (UPDATE_DOCS=1 rewrites it)", file.display());
    }
}

#[test]
fn every_example_file_is_an_event_of_a_known_type() {
    for file in files_in("examples/events", "json") {
        let event = json(&file);
        let name = event["type"].as_str().expect("a type");
        assert!(find(name).is_some(), "{}", file.display());
        assert!(event["data"].is_object(), "{}", file.display());
        let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(stem == name || stem.starts_with("hostile-"), "{}", file.display());
    }
}

#[test]
fn documentation_has_the_tables_of_the_catalogue() {
    let tables = [
        ("docs/events.md", "fields", markdown()),
        ("docs/events.md", "macros", macro_table()),
        ("docs/template-language.md", "macros", macro_table()),
    ];
    for (page_name, marker, table) in tables {
        let file = root(page_name);
        let page = fs::read_to_string(&file).expect("the page is there");
        let expected = replaced(&page, marker, &table);
        if asked_to_update() {
            fs::write(&file, &expected).expect("the page can be written");
        }
        let page = fs::read_to_string(&file).expect("the page is there");
        assert!(page == expected, "{page_name} is behind the catalogue; run this test with UPDATE_DOCS=1");
    }
}

#[test]
fn ready_made_templates_use_types_and_names_of_the_catalogue() {
    let call_or_name = Regex::new(r"\{([A-Za-z_][A-Za-z0-9_]*)\}|\(([A-Za-z_][A-Za-z0-9_]*)[,)]").expect("a fixed pattern");
    for (name, preset) in presets() {
        for event_type in preset["event_types"].as_array().expect("a list") {
            let event_type = event_type.as_str().expect("text");
            assert!(find(event_type).is_some(), "{name}: `{event_type}`");
        }
        for found in call_or_name.captures_iter(&template_text(&preset)) {
            let used = found.get(1).or(found.get(2)).expect("one of both").as_str();
            assert!(known_field(used).is_some(), "{name}: `{used}` is in no catalogue");
        }
    }
}

#[test]
fn ready_made_templates_say_which_action_and_what_became_of_it() {
    for (name, preset) in presets() {
        let text = template_text(&preset);
        assert!(text.contains("ActionId"), "{name}: nothing to de-duplicate by");
        let types = preset["event_types"].as_array().expect("a list");
        let tells_changes = types.iter().any(|event_type| event_type.as_str() != Some("action.tracked"));
        assert!(text.contains("Status") || !tells_changes, "{name}: a reversal looks like a sale");
    }
}

#[test]
fn ready_made_templates_have_the_documented_form() {
    for (name, preset) in presets() {
        assert_eq!(preset["name"].as_str(), Some(name.as_str()));
        for key in ["title", "receiver", "verified", "notes"] {
            assert!(preset.get(key).is_some_and(toml::Value::is_str), "{name}: `{key}`");
        }
        assert!(["yes", "in part", "no"].contains(&preset["verified"].as_str().expect("text")));
        let request = &preset["request"];
        let url = request["url"].as_str().expect("text");
        let authority = url.strip_prefix("https://").expect("https").split('/').next();
        assert!(authority.is_some_and(|host| !host.contains('{')), "{name}: {url}");
        let names: Vec<_> = entries(&preset, "parameters").map(|parameter| text_of(parameter, "name")).collect();
        for parameter in &names {
            assert!(template_text(&preset).contains(parameter), "{name}: `{parameter}` stands nowhere");
            let inside_another = names.iter().any(|other| other != parameter && other.contains(parameter));
            assert!(!inside_another, "{name}: `{parameter}` is part of another parameter");
        }
        assert!(entries(&preset, "replies").count() > 0, "{name}: no replies to test with");
        for reply in entries(&preset, "replies") {
            assert!(["delivered", "refused", "retry"].contains(&text_of(reply, "verdict")), "{name}");
        }
    }
}

fn actions() -> impl Iterator<Item = &'static TypeEntry> {
    types().filter(|entry| entry.name.starts_with("action."))
}

fn for_each_table(mut look: impl FnMut(&str, &[Field])) {
    for entry in types() {
        look(entry.name, entry.fields);
        for field in entry.fields {
            if let FieldType::List(items) = field.field_type {
                look(&format!("{}, {}", entry.name, field.name), items);
            }
        }
    }
}

fn is_macro_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// A list is written as JSON text in the catalogue and sent as a list.
fn as_sent(field: &Field, example: &Value) -> Value {
    match (field.field_type, example) {
        (FieldType::List(_), Value::String(text)) => serde_json::from_str(text).expect("JSON"),
        _ => example.clone(),
    }
}

fn fits(field: &Field, value: &Value) -> bool {
    if let FieldType::List(items) = field.field_type {
        let entries = value.as_array().expect("a list");
        return entries.iter().all(|entry| fits_items(items, entry.as_object()));
    }
    let text = value.as_str().expect("samples send scalars as text");
    match field.field_type {
        FieldType::Text => !text.is_empty(),
        FieldType::Integer => text.parse::<u64>().is_ok(),
        FieldType::Decimal => is_decimal(text),
        FieldType::Boolean => ["true", "false"].contains(&text),
        FieldType::Date => is_date(text),
        FieldType::Url => text.starts_with("https://") && !text.contains(' '),
        FieldType::List(_) => false,
    }
}

fn fits_items(items: &[Field], entry: Option<&Map<String, Value>>) -> bool {
    let entry = entry.expect("an object");
    entry.len() == items.len() && items.iter().all(|item| fits(item, &entry[item.name]))
}

fn is_decimal(text: &str) -> bool {
    Regex::new(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$").expect("a fixed pattern").is_match(text)
}

fn is_date(text: &str) -> bool {
    Regex::new(r"^\d{4}-(0[1-9]|1[0-2])-([0-2]\d|3[01])T[0-2]\d:[0-5]\d:[0-5]\d(Z|[+-]\d\d:\d\d)$").expect("a fixed pattern").is_match(text)
}

fn cents(value: &Value) -> i64 {
    let text = value.as_str().expect("text");
    let (_, fraction) = text.split_once('.').expect("two places");
    assert_eq!(fraction.len(), 2, "{text}");
    text.replace('.', "").parse().expect("digits")
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn asked_to_update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

fn files_in(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root(folder))
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

fn json(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The page with the text between the markers of `name` replaced.
fn replaced(page: &str, name: &str, table: &str) -> String {
    let (open, close) = (format!("<!-- generated:{name} -->"), format!("<!-- /generated:{name} -->"));
    let (before, rest) = page.split_once(&open).expect("the opening marker");
    let (_, after) = rest.split_once(&close).expect("the closing marker");
    format!("{before}{open}\n\n{}\n\n{close}{after}", table.trim_end())
}

fn presets() -> Vec<(String, toml::Value)> {
    files_in("templates", "toml")
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).expect("readable");
            let preset = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let name = file.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), preset)
        })
        .collect()
}

fn template_text(preset: &toml::Value) -> String {
    let request = &preset["request"];
    let part = |key| request.get(key).and_then(toml::Value::as_str).unwrap_or_default();
    let headers = request.get("headers").map(ToString::to_string);
    [part("url"), part("body"), &headers.unwrap_or_default()].join("\n")
}

fn entries<'a>(preset: &'a toml::Value, key: &str) -> impl Iterator<Item = &'a toml::Value> {
    preset.get(key).and_then(toml::Value::as_array).into_iter().flatten()
}

fn text_of<'a>(entry: &'a toml::Value, key: &str) -> &'a str {
    entry[key].as_str().expect("text")
}
