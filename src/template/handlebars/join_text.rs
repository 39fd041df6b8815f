//! `join` with a text, as in the macro language: `{{join items "i" "{i.sku} x{i.qty}" "; "}}`.
//!
//! The text is a template of the macro language in which values go in as they are; the joined text is
//! one value and is escaped as such where it stands.

use serde_json::{Map, Value};

use crate::template::Template;
use crate::template::error::Finding;
use crate::template::format::{Engine, Format};
use crate::template::macros::{FieldKind, Names, Values};

/// The list as the text's template sees it.
const LIST: &str = "__list";

/// The template that writes the list with `text` for each item.
pub(super) fn join_template(variable: &str, text: &str, separator: &str, names: &dyn Names) -> Result<Template, Vec<Finding>> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let source = format!("{{join({LIST}, {variable}, \"{}\", \"{}\")}}", quoted(text), quoted(separator));
    Template::compile(Engine::Macro, Format::Raw, &source, names)
}

/// The joined text; `event` is what the handlebars template sees.
pub(super) fn render_join(template: &Template, list: &[Value], event: &Value) -> Result<String, Box<Finding>> {
    let nothing = Map::new();
    let event = event.as_object().unwrap_or(&nothing);
    let extra = [(LIST, Value::Array(list.to_vec()))];
    template.render(&Values { event, extra: &extra })
}

/// Top-level names the template uses, apart from the list itself.
pub(super) fn names_used(template: &Template) -> impl Iterator<Item = &str> {
    template.names_used().filter(|name| *name != LIST)
}

/// Accepts every name: they were looked up when the template was saved.
pub(super) struct AnyName;

impl Names for AnyName {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        Some(if name == LIST { FieldKind::List } else { FieldKind::Text })
    }
    fn item_kind(&self, _: &str, _: &str) -> Option<FieldKind> {
        None
    }
    fn for_each_name(&self, _: &mut dyn FnMut(&str)) {}
    fn for_each_item_field(&self, _: &str, _: &mut dyn FnMut(&str)) {}
}

/// The catalogue with `list` in place of the joined list.
pub(super) struct JoinNames<'a> {
    pub(super) names: &'a dyn Names,
    /// Its name in the catalogue; empty if it has none.
    pub(super) list: String,
}

impl JoinNames<'_> {
    fn real<'n>(&'n self, list: &'n str) -> std::borrow::Cow<'n, str> {
        match list.strip_prefix(LIST) {
            Some(rest) => format!("{}{rest}", self.list).into(),
            None => list.into(),
        }
    }
}

impl Names for JoinNames<'_> {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        if name == LIST { Some(FieldKind::List) } else { self.names.kind(name) }
    }
    fn item_kind(&self, list: &str, field: &str) -> Option<FieldKind> {
        self.names.item_kind(&self.real(list), field)
    }
    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        self.names.for_each_name(f);
    }
    fn for_each_item_field(&self, list: &str, f: &mut dyn FnMut(&str)) {
        self.names.for_each_item_field(&self.real(list), f);
    }
}
