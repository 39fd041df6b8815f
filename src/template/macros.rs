//! What the language knows about names and values, as seen from outside.
//!
//! The catalogue of macros belongs to the caller: it implements [`Names`], and the language asks.
//! Values come as one JSON object per event plus a short list of extras such as the attempt number.

use serde_json::{Map, Value};

/// The kind of value a field holds. Kinds serve checks and warnings; they never change a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A number with a fraction, such as money.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// An ISO 8601 date, with or without time and offset.
    Date,
    /// An address.
    Url,
    /// A list, usable through `join`.
    List,
}

/// The macro catalogue as the language sees it.
///
/// Names are compared exactly. A dotted name such as `order.number` may be answered as one name;
/// otherwise its first part decides. A list whose items have no known field at all accepts any
/// field, because there is nothing to check against.
pub trait Names: Send + Sync {
    /// The kind of the top-level macro `name`, or `None` if there is no such macro.
    fn kind(&self, name: &str) -> Option<FieldKind>;

    /// The kind of `field` of the items of `list`. A list inside an item is named `list.field`.
    fn item_kind(&self, list: &str, field: &str) -> Option<FieldKind>;

    /// Calls `f` with every top-level name.
    fn for_each_name(&self, f: &mut dyn FnMut(&str));

    /// Calls `f` with every field of the items of `list`.
    fn for_each_item_field(&self, list: &str, f: &mut dyn FnMut(&str));
}

/// The values a template is rendered with.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The fields of the event. `null` counts as missing.
    pub event: &'a Map<String, Value>,
    /// Values consulted for names that the event lacks.
    pub extra: &'a [(&'a str, Value)],
}

impl<'a> Values<'a> {
    /// The value of the top-level name `name`; `null` counts as missing.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.event
            .get(name)
            .filter(|value| !value.is_null())
            .or_else(|| self.extra.iter().find(|(extra, _)| *extra == name).map(|(_, value)| value))
    }
}
