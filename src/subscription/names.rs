//! The names a template may use: what is declared, and for trials what an event at hand carries.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::event::catalogue::{self, DefinedType, FieldType};
use crate::template::{FieldKind, Names};

/// The names a template may use: every catalogue's, those of operator-defined event types, and the
/// account's own.
#[derive(Debug, Clone, Default)]
pub struct FieldNames {
    extra: Vec<String>,
    defined: Arc<Vec<Arc<DefinedType>>>,
}

impl FieldNames {
    /// The catalogue and these extra names, which an account declared.
    #[must_use]
    pub fn with_extra(extra: Vec<String>) -> Self {
        Self { extra, defined: Arc::default() }
    }

    /// The same names, and those of these event types.
    #[must_use]
    pub fn with_types(mut self, defined: Arc<Vec<Arc<DefinedType>>>) -> Self {
        self.defined = defined;
        self
    }

    /// The operator-defined event types.
    pub fn defined(&self) -> impl Iterator<Item = &DefinedType> {
        self.defined.iter().map(|defined| &**defined)
    }

    /// Whether the account declared this name.
    #[must_use]
    pub fn is_extra(&self, name: &str) -> bool {
        self.extra.iter().any(|extra| extra == name)
    }
}

fn kind_of(field_type: &FieldType) -> FieldKind {
    match field_type {
        FieldType::Text => FieldKind::Text,
        FieldType::Integer => FieldKind::Integer,
        FieldType::Decimal => FieldKind::Decimal,
        FieldType::Boolean => FieldKind::Boolean,
        FieldType::Date => FieldKind::Date,
        FieldType::Url => FieldKind::Url,
        FieldType::List(_) => FieldKind::List,
    }
}

impl Names for FieldNames {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        catalogue::known_field(name)
            .map(|field| kind_of(&field.field_type))
            .or_else(|| self.defined().find_map(|defined| defined.field(name)).map(|field| kind_of(&field.field_type.shape())))
            .or_else(|| self.is_extra(name).then_some(FieldKind::Text))
    }

    fn item_kind(&self, list: &str, field: &str) -> Option<FieldKind> {
        match catalogue::known_field(list).map(|known| known.field_type) {
            Some(FieldType::List(fields)) => fields.iter().find(|known| known.name == field).map(|known| kind_of(&known.field_type)),
            Some(_) => None,
            None => {
                let items = self.defined().filter_map(|defined| defined.field(list)).flat_map(|list| &list.fields);
                items.into_iter().find(|known| known.name == field).map(|known| kind_of(&known.field_type.shape()))
            }
        }
    }

    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        for entry in catalogue::types() {
            for field in entry.fields {
                f(field.name);
            }
        }
        for field in self.defined().flat_map(|defined| &defined.fields) {
            f(&field.name);
        }
        for name in &self.extra {
            f(name);
        }
    }

    fn for_each_item_field(&self, list: &str, f: &mut dyn FnMut(&str)) {
        if let Some(FieldType::List(fields)) = catalogue::known_field(list).map(|field| field.field_type) {
            for field in fields {
                f(field.name);
            }
            return;
        }
        for field in self.defined().filter_map(|defined| defined.field(list)).flat_map(|list| &list.fields) {
            f(&field.name);
        }
    }
}

/// The names that are declared, and every name that one event carries: for trials with the event at hand.
#[derive(Debug)]
pub struct EventNames<'a> {
    declared: &'a FieldNames,
    event: &'a Map<String, Value>,
}

impl<'a> EventNames<'a> {
    /// The names of `declared` and of the fields of `event`.
    #[must_use]
    pub fn new(declared: &'a FieldNames, event: &'a Map<String, Value>) -> Self {
        Self { declared, event }
    }

    fn item_fields(&self, list: &str) -> impl Iterator<Item = &str> {
        let items = self.event.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str)
    }
}

impl Names for EventNames<'_> {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        self.declared.kind(name).or_else(|| {
            self.event.get(name).map(|value| match value {
                Value::Array(_) => FieldKind::List,
                Value::Number(_) => FieldKind::Decimal,
                Value::Bool(_) => FieldKind::Boolean,
                _ => FieldKind::Text,
            })
        })
    }

    fn item_kind(&self, list: &str, field: &str) -> Option<FieldKind> {
        self.declared.item_kind(list, field).or_else(|| self.item_fields(list).any(|known| known == field).then_some(FieldKind::Text))
    }

    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        self.declared.for_each_name(f);
        self.event.keys().for_each(|name| f(name));
    }

    fn for_each_item_field(&self, list: &str, f: &mut dyn FnMut(&str)) {
        self.declared.for_each_item_field(list, f);
        self.item_fields(list).for_each(f);
    }
}
