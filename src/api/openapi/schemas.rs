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
    /// The version of an object, or any; also as a proxy that compresses and as people write it.
    EntityTag,
    {"type": "string", "pattern": r#"^(\*|(W/)?"?[1-9][0-9]{0,8}"?)$"#}
);
small_schema!(
    /// A header `Idempotency-Key`, as a quoted string or bare. Quotes at one end alone are part of the key.
    KeyHeader,
    {"type": "string", "pattern": "^[!-~]([ -~]{0,255}[!-~])?$"}
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
pub(super) fn merge_patch(whole: &Schema, generator: &mut SchemaGenerator, set_by_server: &[&str]) -> Schema {
    let mut patch = patch_of_object(whole.as_value(), generator);
    patch["description"] = "What is left out stays, null gives a field its default, objects are merged (RFC 7396).".into();
    if let Some(properties) = patch["properties"].as_object_mut() {
        properties.extend(read_only(set_by_server));
    }
    Schema::try_from(patch).expect("a patch of an object is an object")
}

/// A patch of an object: the same fields, none of which must be there. Those that may be missing in a whole one
/// can be taken away by null.
fn patch_of_object(whole: &Value, generator: &mut SchemaGenerator) -> Value {
    let required: Vec<_> = whole["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut patch = Map::new();
    patch.insert("type".into(), "object".into());
    if let Some(description) = whole.get("description") {
        patch.insert("description".into(), description.clone());
    }
    if let Some(fields) = whole["properties"].as_object() {
        let fields = fields.iter().map(|(name, schema)| {
            let patch = patch_of_value(schema, generator);
            (name.clone(), if required.contains(&name.as_str()) { patch } else { or_null(patch) })
        });
        patch.insert("properties".into(), fields.collect::<Map<_, _>>().into());
    }
    match &whole["additionalProperties"] {
        Value::Null => {}
        Value::Object(schema) => {
            let entry = patch_of_value(&Value::Object(schema.clone()), generator);
            patch.insert("additionalProperties".into(), or_null(entry));
        }
        other => drop(patch.insert("additionalProperties".into(), other.clone())),
    }
    Value::Object(patch)
}

/// A patch of a value: of an object, the fields that change; of anything else, the value that takes its place.
fn patch_of_value(whole: &Value, generator: &mut SchemaGenerator) -> Value {
    if let Some(name) = whole["$ref"].as_str().and_then(|target| target.strip_prefix(PLACE)) {
        let Some(named) = generator.definitions().get(name).filter(|named| is_object(named)).cloned() else { return whole.clone() };
        let patch_name = format!("{name}Patch");
        if !generator.definitions().contains_key(&patch_name) {
            let patch = patch_of_value(&named, generator);
            generator.definitions_mut().insert(patch_name.clone(), patch);
        }
        let mut patch = json_schema!({"$ref": format!("{PLACE}{patch_name}")}).to_value();
        if let Some(description) = whole.get("description") {
            patch["description"] = description.clone();
        }
        return patch;
    }
    if whole["type"] == "object" {
        return patch_of_object(whole, generator);
    }
    // What tells the kinds of an object from each other may be left out of a patch, so that more than one can fit.
    let patched = whole.as_object().into_iter().flatten().map(|(key, value)| match value {
        Value::Array(kinds) if key == "anyOf" || key == "oneOf" => {
            ("anyOf".to_owned(), kinds.iter().map(|kind| patch_of_value(kind, generator)).collect())
        }
        value => (key.clone(), value.clone()),
    });
    Value::Object(patched.collect())
}

fn or_null(schema: Value) -> Value {
    if takes_null(&schema) {
        return schema;
    }
    json_schema!({"anyOf": [schema, {"type": "null"}]}).to_value()
}

/// Whether null fits already. What says nothing of its type takes everything.
fn takes_null(schema: &Value) -> bool {
    let is_null = |kind: &Value| kind == "null";
    schema["type"].as_array().is_some_and(|types| types.iter().any(is_null))
        || schema["anyOf"].as_array().is_some_and(|parts| parts.iter().any(|part| is_null(&part["type"])))
        || !["type", "anyOf", "oneOf", "allOf", "$ref", "const", "enum"].iter().any(|key| schema.get(key).is_some())
}

/// Whether the values of a named schema are objects, which a patch may name in part.
fn is_object(named: &Value) -> bool {
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
