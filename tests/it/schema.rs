//! Checks values against the schemas of the API's description: the part of JSON Schema 2020-12 that it uses,
//! and stricter in one thing: an object of an answer holds no field that is not described.

use regex::Regex;
use serde_json::{Map, Value};

pub struct Schemas<'a> {
    document: &'a Value,
}

/// Keywords that say nothing of which values fit.
const SILENT: [&str; 8] = ["description", "title", "default", "format", "example", "examples", "contentMediaType", "readOnly"];

impl<'a> Schemas<'a> {
    pub fn new(document: &'a Value) -> Self {
        Self { document }
    }

    /// Finds what every `$ref` refers to.
    #[allow(dead_code, reason = "only the test of the document asks")]
    pub fn check_all_references(&self) {
        fn walk(schemas: &Schemas<'_>, value: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                        schemas.resolve(target);
                    }
                    fields.values().for_each(|value| walk(schemas, value));
                }
                Value::Array(items) => items.iter().for_each(|item| walk(schemas, item)),
                _ => {}
            }
        }
        walk(self, self.document);
    }

    fn resolve(&self, target: &str) -> &'a Value {
        let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("`{target}` is elsewhere"));
        self.document.pointer(pointer).unwrap_or_else(|| panic!("`{target}` is not there"))
    }

    /// Whether `value` fits, or the first reason why not.
    pub fn check(&self, value: &Value, schema: &Value) -> Result<(), String> {
        self.at(value, schema, "")
    }

    fn at(&self, value: &Value, schema: &Value, place: &str) -> Result<(), String> {
        let fields = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return Err(format!("{place}: nothing may be here")),
            Value::Object(fields) => fields,
            other => panic!("{other} is no schema"),
        };
        let fault = |reason: String| Err(format!("{place}: {reason}, not {value}"));
        for (keyword, rule) in fields {
            match keyword.as_str() {
                "$ref" => self.at(value, self.resolve(rule.as_str().unwrap()), place)?,
                "type" => {
                    let types: Vec<_> = rule.as_array().map_or_else(|| vec![rule], |types| types.iter().collect());
                    if !types.iter().any(|name| is_of_type(value, name.as_str().unwrap())) {
                        return fault(format!("the type is {rule}"));
                    }
                }
                "const" if value != rule => return fault(format!("{rule} is expected")),
                "enum" if !rule.as_array().unwrap().contains(value) => return fault(format!("one of {rule} is expected")),
                "pattern" => {
                    if let Some(text) = value.as_str()
                        && !Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)
                    {
                        return fault(format!("it must match {rule}"));
                    }
                }
                "minimum" if number(value).is_some_and(|number| number < rule.as_f64().unwrap()) => {
                    return fault(format!("at least {rule}"));
                }
                "maximum" if number(value).is_some_and(|number| number > rule.as_f64().unwrap()) => {
                    return fault(format!("at most {rule}"));
                }
                "multipleOf" if number(value).is_some_and(|number| number % rule.as_f64().unwrap() != 0.0) => {
                    return fault(format!("a multiple of {rule}"));
                }
                "minLength" if value.as_str().is_some_and(|text| text.chars().count() < size(rule)) => {
                    return fault(format!("{rule} characters at least"));
                }
                "maxLength" if value.as_str().is_some_and(|text| text.chars().count() > size(rule)) => {
                    return fault(format!("{rule} characters at most"));
                }
                "minItems" if value.as_array().is_some_and(|items| items.len() < size(rule)) => {
                    return fault(format!("{rule} items at least"));
                }
                "maxItems" if value.as_array().is_some_and(|items| items.len() > size(rule)) => {
                    return fault(format!("{rule} items at most"));
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.at(item, rule, &format!("{place}/{index}"))?;
                    }
                }
                "required" => {
                    if let Some(object) = value.as_object()
                        && let Some(missing) = rule.as_array().unwrap().iter().find(|name| !object.contains_key(name.as_str().unwrap()))
                    {
                        return fault(format!("{missing} is missing"));
                    }
                }
                "properties" => self.properties(value, rule.as_object().unwrap(), fields, place)?,
                "additionalProperties" => {
                    let described = |name: &String| fields.get("properties").is_some_and(|known| known.get(name).is_some());
                    for (name, field) in value.as_object().into_iter().flatten().filter(|(name, _)| !described(name)) {
                        self.at(field, rule, &format!("{place}/{name}"))?;
                    }
                }
                "allOf" => {
                    for part in rule.as_array().unwrap() {
                        self.at(value, part, place)?;
                    }
                }
                "anyOf" | "oneOf" => {
                    let faults: Vec<_> = rule.as_array().unwrap().iter().filter_map(|part| self.at(value, part, place).err()).collect();
                    let fitting = rule.as_array().unwrap().len() - faults.len();
                    if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                        return Err(format!("{place}: {fitting} of {keyword} fit: {}", faults.join("; ")));
                    }
                }
                "const" | "enum" | "minimum" | "maximum" | "minLength" | "maxLength" | "minItems" | "maxItems" | "multipleOf" => {}
                silent if SILENT.contains(&silent) => {}
                other => panic!("`{other}` is not known here; teach this module what it means"),
            }
        }
        Ok(())
    }

    fn properties(&self, value: &Value, properties: &Map<String, Value>, schema: &Map<String, Value>, place: &str) -> Result<(), String> {
        let Some(object) = value.as_object() else { return Ok(()) };
        for (name, field) in object {
            match properties.get(name) {
                Some(rule) => self.at(field, rule, &format!("{place}/{name}"))?,
                None if schema.contains_key("additionalProperties") || !schema.contains_key("type") => {}
                None => return Err(format!("{place}: the field `{name}` is not described")),
            }
        }
        Ok(())
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type"),
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

fn size(rule: &Value) -> usize {
    usize::try_from(rule.as_u64().unwrap()).unwrap()
}
