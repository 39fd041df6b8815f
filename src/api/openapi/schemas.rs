//! Schemas: those of small things that have no type of their own, and the merging of two directions.
//!
//! A type that is read and written has two schemas: in a request a field with a default may be left out,
//! in an answer it is always there. Where both are the same they share a name, else the request's ends in
//! `Input`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::api::page::VALUES_MAX;

/// Where named schemas stand in the document.
const PLACE: &str = "#/components/schemas/";

macro_rules! small_schema {
    ($(#[$doc:meta])* $name:ident, $schema:tt) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

small_schema!(
    /// How many items of a page.
    Limit,
    {"type": "integer", "minimum": 1, "maximum": crate::api::page::LIMIT_MAX, "default": crate::api::page::LIMIT_DEFAULT}
);
small_schema!(
    /// A text that says something.
    Text,
    {"type": "string", "minLength": 1}
);
small_schema!(
    /// A span of time in whole minutes, up to three days.
    Seconds,
    {"type": "integer", "minimum": 60, "maximum": 259_200, "multipleOf": 60}
);
small_schema!(
    /// Where a list goes on.
    Cursor,
    {"type": "string", "pattern": "^[0-9a-f]{32}$"}
);
small_schema!(
    /// Where the list of accounts goes on.
    AccountCursor,
    {"type": "string", "pattern": "^[0-9a-f]{1,12}-[A-Za-z0-9_-]{1,64}$"}
);
small_schema!(
    /// The version of an object, or any.
    EntityTag,
    {"type": "string", "pattern": r#"^(\*|"[1-9][0-9]{0,8}")$"#}
);
small_schema!(
    /// A header `Idempotency-Key`, as a quoted string or bare.
    KeyHeader,
    {"type": "string", "pattern": r#"^([!#-~]([ -~]{0,253}[!#-~])?|"[!#-~]([ -~]{0,253}[!#-~])?")$"#}
);
small_schema!(
    /// A header whose form is not enforced.
    AnyHeader,
    {"type": "string"}
);
small_schema!(
    /// Lines of JSON.
    Lines,
    {"type": "string", "contentMediaType": "application/x-ndjson"}
);

/// A parameter that may be given more than once: one of the values is enough.
pub(super) struct OneOf<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOf<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // Fewer than all parameters of a call together may be.
        json_schema!({"type": "array", "items": generator.subschema_for::<T>(), "minItems": 1, "maxItems": VALUES_MAX})
    }
}

/// The properties that the server sets and that a caller may send back.
pub(super) fn read_only(names: &[&str]) -> impl Iterator<Item = (String, Value)> {
    let shown = json_schema!({"description": "Set by the server; left as it is."}).to_value();
    names.iter().map(move |name| ((*name).to_owned(), shown.clone()))
}

/// The schema of a JSON Merge Patch of an object that is written whole as `whole`.
pub(super) fn merge_patch(whole: &Schema, generator: &SchemaGenerator, set_by_server: &[&str]) -> Schema {
    let required: Vec<_> = whole.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut properties = Map::new();
    for (name, schema) in whole.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let shown = match (is_object(schema, generator), required.contains(&name.as_str())) {
            (true, true) => json_schema!({"type": "object"}).to_value(),
            (true, false) => json_schema!({"type": ["object", "null"]}).to_value(),
            (false, true) => schema.clone(),
            (false, false) if takes_null(schema) => schema.clone(),
            (false, false) => json_schema!({"anyOf": [schema, {"type": "null"}]}).to_value(),
        };
        properties.insert(name.clone(), shown);
    }
    properties.extend(read_only(set_by_server));
    json_schema!({
        "type": "object",
        "description": "What is left out stays, null gives a field its default, objects are merged (RFC 7396).",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn takes_null(schema: &Value) -> bool {
    let is_null = |kind: &Value| kind == "null";
    schema["type"].as_array().is_some_and(|types| types.iter().any(is_null))
        || schema["anyOf"].as_array().is_some_and(|parts| parts.iter().any(|part| is_null(&part["type"])))
}

/// Whether a property's values are objects, which a patch may name in part.
fn is_object(schema: &Value, generator: &SchemaGenerator) -> bool {
    let parts = schema["anyOf"].as_array();
    let schema = parts.and_then(|parts| parts.iter().find(|part| part.get("$ref").is_some())).unwrap_or(schema);
    let named = schema["$ref"].as_str().and_then(|target| generator.definitions().get(target.rsplit('/').next()?));
    let named = named.unwrap_or(schema);
    named["type"] == "object" || named["oneOf"][0]["type"] == "object"
}

/// The generators of both directions.
pub(super) struct Generators {
    /// For what callers send.
    pub requests: SchemaGenerator,
    /// For what they get.
    pub answers: SchemaGenerator,
}

impl Generators {
    pub fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self { requests: settings.clone().for_deserialize().into_generator(), answers: settings.for_serialize().into_generator() }
    }

    /// All named schemas, and the names under which requests do not find theirs.
    pub fn finish(mut self) -> (Map<String, Value>, BTreeSet<String>) {
        let requests = self.requests.take_definitions(true);
        let mut answers = self.answers.take_definitions(true);
        answers.values_mut().for_each(open);
        let renamed = different(&requests, &answers);
        let mut all = answers;
        for (name, mut schema) in requests {
            rename(&mut schema, &renamed);
            let name = if renamed.contains(&name) { input_name(&name) } else { name };
            all.entry(name).or_insert(schema);
        }
        all.sort_keys();
        (all, renamed)
    }
}

/// The names whose schemas differ in the two directions, in themselves or in what they refer to.
fn different(requests: &Map<String, Value>, answers: &Map<String, Value>) -> BTreeSet<String> {
    let shared = || requests.iter().filter_map(|(name, schema)| Some((name, schema, answers.get(name)?)));
    let mut found: BTreeSet<String> = shared().filter(|(_, here, there)| here != there).map(|(name, ..)| name.clone()).collect();
    loop {
        let more: Vec<_> = shared()
            .filter(|(name, schema, _)| !found.contains(*name) && refers_to(schema, &found))
            .map(|(name, ..)| name.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn input_name(name: &str) -> String {
    format!("{name}Input")
}

fn refers_to(schema: &Value, names: &BTreeSet<String>) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(key, value)| match value {
            Value::String(target) if key == "$ref" => target.strip_prefix(PLACE).is_some_and(|name| names.contains(name)),
            value => refers_to(value, names),
        }),
        Value::Array(items) => items.iter().any(|item| refers_to(item, names)),
        _ => false,
    }
}

/// Makes a schema of requests refer to the names of requests.
pub(super) fn rename(schema: &mut Value, renamed: &BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix(PLACE).filter(|name| renamed.contains(*name)) {
                            *target = format!("{PLACE}{}", input_name(name));
                        }
                    }
                    value => rename(value, renamed),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        _ => {}
    }
}

/// Lets the objects of answers have fields that a later version adds.
pub(super) fn open(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for closed in ["additionalProperties", "unevaluatedProperties"] {
                if fields.get(closed) == Some(&Value::Bool(false)) {
                    fields.remove(closed);
                }
            }
            fields.values_mut().for_each(open);
        }
        Value::Array(items) => items.iter_mut().for_each(open),
        _ => {}
    }
}
