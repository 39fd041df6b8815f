//! The values a template sees: those of the event it names, with nothing missing.
//!
//! The crate runs in strict mode, where an absent name is an error. A name the catalogue has is never
//! an error, so names that the event lacks are put in as empty text, and lists as empty lists.

use serde_json::{Map, Value};

use super::names::Referent;
use crate::template::macros::{FieldKind, Names, Values};

/// What a template uses of an event.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// Top-level names, each once.
    pub(super) names: Vec<String>,
    /// Those of them that are lists.
    lists: Vec<String>,
    /// Fields of items, by list.
    fields: Vec<(String, String)>,
    /// The template looks at the event as a whole.
    whole: bool,
}

impl Needs {
    pub(super) fn add(&mut self, referent: &Referent) {
        match referent {
            Referent::Name(name, _) => add_once(&mut self.names, name.clone()),
            Referent::Field { list, field } => add_once(&mut self.fields, (list.clone(), field.clone())),
            Referent::Event => self.whole = true,
            Referent::Item(_) | Referent::Open => {}
        }
    }

    /// Notes that a name is used as a list.
    pub(super) fn add_list(&mut self, referent: &Referent) {
        if let Referent::Name(name, rest) = referent
            && rest.is_empty()
        {
            add_once(&mut self.lists, name.clone());
        }
    }

    /// Adds what the catalogue knows about the names.
    pub(super) fn describe(&mut self, names: &dyn Names) {
        let lists = self.names.iter().filter(|name| names.kind(name) == Some(FieldKind::List));
        let lists: Vec<String> = lists.cloned().collect();
        lists.into_iter().for_each(|name| add_once(&mut self.lists, name));
    }

    /// The values of one event for the template.
    pub(super) fn data(&self, values: &Values<'_>) -> Map<String, Value> {
        let mut data = Map::new();
        if self.whole {
            data = values.event.clone();
            for (name, value) in values.extra {
                data.entry(*name).or_insert_with(|| value.clone());
            }
        }
        for name in &self.names {
            let mut value = match values.get(name) {
                None | Some(Value::Null) => self.empty(name),
                Some(Value::String(text)) if text.is_empty() => self.empty(name),
                Some(value) => value.clone(),
            };
            self.complete(name, &mut value);
            data.insert(name.clone(), value);
        }
        data
    }

    fn empty(&self, name: &String) -> Value {
        if self.lists.contains(name) { Value::Array(Vec::new()) } else { Value::String(String::new()) }
    }

    /// Puts the fields that items of `list` lack in as empty text.
    fn complete(&self, list: &str, value: &mut Value) {
        let Value::Array(items) = value else { return };
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            for (_, field) in self.fields.iter().filter(|(of, _)| of == list) {
                let inner = format!("{list}.{field}");
                let is_list = self.fields.iter().any(|(of, _)| *of == inner);
                let value = item.entry(field).or_insert(Value::Null);
                if value.is_null() {
                    *value = if is_list { Value::Array(Vec::new()) } else { Value::String(String::new()) };
                }
                self.complete(&inner, value);
            }
        }
    }
}

fn add_once<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}
