//! The helpers: the functions of the language, which return values and never write.

use std::borrow::Cow;

use ::handlebars::{Context, Handlebars, Helper, HelperDef, PathAndJson, RenderContext, RenderError, ScopedJson, no_escape};
use serde_json::Value;

use super::emit::{BYTES_PER_STEP, Emit};
use super::fault::HelperFault;
use super::join_text::{AnyName, join_template, render_join};
use crate::template::date::DateFormat;
use crate::template::error::{Code, Finding};
use crate::template::functions::{self, Function, FunctionError, Mapping};
use crate::template::render::OUTPUT_BYTES_MAX;
use crate::template::value::Scalar;

/// Helpers of the crate that give values, with the number of their arguments.
const OF_THE_CRATE: [(&str, usize, usize); 11] = [
    ("lookup", 2, 2),
    ("eq", 2, 2),
    ("ne", 2, 2),
    ("gt", 2, 2),
    ("gte", 2, 2),
    ("lt", 2, 2),
    ("lte", 2, 2),
    ("and", 2, 2),
    ("or", 2, 2),
    ("not", 1, 1),
    ("len", 1, 1),
];

/// What may open a block, apart from `each` and `with`.
const BLOCKS: [&str; 11] = ["if", "unless", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not"];

/// The names of all helpers that give values.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    functions::names().chain(OF_THE_CRATE.iter().map(|(name, ..)| *name))
}

pub(super) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

pub(super) fn is_block(name: &str) -> bool {
    BLOCKS.contains(&name)
}

/// Whether the helper looks at the whole of two values.
pub(super) fn compares(name: &str) -> bool {
    ["eq", "ne", "gt", "gte", "lt", "lte"].contains(&name)
}

/// Whether the helper `name` takes `count` arguments.
pub(super) fn takes(name: &str, count: usize) -> bool {
    if name == "join" {
        return (1..=4).contains(&count);
    }
    if let Some(signature) = functions::signature(name) {
        return (signature.arguments_min..=signature.arguments_max).contains(&count);
    }
    let found = OF_THE_CRATE.iter().find(|(known, ..)| *known == name);
    found.is_some_and(|(_, min, max)| (*min..=*max).contains(&count))
}

/// How the helper is written.
pub(super) fn form(name: &str) -> &'static str {
    match name {
        "join" => "{{join list \"field\" \"separator\"}}",
        "default" => "{{default x \"text\"}}",
        "lower" => "{{lower x}}",
        "upper" => "{{upper x}}",
        "map" => "{{map x \"A=1\" \"*=2\"}}",
        "date" => "{{date x \"%Y-%m-%d\" \"UTC\"}}",
        "md5" => "{{md5 x}}",
        "sha256" => "{{sha256 x}}",
        "raw" => "{{raw x}}",
        "lookup" => "{{lookup list 0}}",
        "not" => "(not x)",
        "len" => "{{len list}}",
        _ => "(eq x \"text\")",
    }
}

/// A registry with the harmless helpers of the crate; ours are added to each rendering, whose steps
/// they count.
pub(super) fn registry() -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(no_escape);
    registry.unregister_helper("log");
    registry
}

/// One of our functions.
pub(super) struct Calling {
    name: &'static str,
    emit: Emit,
}

impl Calling {
    pub(super) fn new(name: &'static str, emit: Emit) -> Calling {
        Calling { name, emit }
    }

    /// Counts what the call is about to handle.
    fn count(&self, parameters: &[PathAndJson<'_>]) -> Result<(), RenderError> {
        let size = |value: &Value| match value {
            Value::String(text) => text.len() / BYTES_PER_STEP,
            Value::Array(list) => list.len(),
            _ => 0,
        };
        self.emit.count(parameters.iter().map(|parameter| 1 + size(parameter.value())).sum())
    }
}

impl HelperDef for Calling {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let parameters = helper.params();
        if let Some(missing) = parameters.iter().find(|parameter| parameter.is_value_missing()) {
            let name = missing.relative_path().map_or("", String::as_str);
            return Err(HelperFault::new(Code::UnknownMacro, format!("unknown macro `{name}`")).into());
        }
        self.count(parameters)?;
        let value = if self.name == "join" { join(parameters, context)? } else { self.value(parameters)? };
        Ok(ScopedJson::Derived(value))
    }
}

impl Calling {
    fn value(&self, parameters: &[PathAndJson<'_>]) -> Result<Value, HelperFault> {
        let subject = argument(parameters, 0, self.name)?;
        let scalar = Scalar::of(Some(subject));
        let function = match self.name {
            "raw" => return self.scalar(scalar).map(|_| subject.clone()),
            "default" => {
                let scalar = self.scalar(scalar)?;
                let other = if functions::is_absent(&scalar) { argument(parameters, 1, self.name)? } else { subject };
                return Ok(other.clone());
            }
            "lower" => Function::Lower,
            "upper" => Function::Upper,
            "md5" => Function::Md5,
            "sha256" => Function::Sha256,
            "map" => Function::Map(self.mapping(&parameters[1..])?),
            _ => Function::Date(self.date_format(parameters)?),
        };
        let result = function.apply(scalar).map_err(|error| match error {
            FunctionError::NotScalar => self.not_scalar(),
            FunctionError::BadDate(text) => {
                HelperFault::new(Code::BadDate, format!("`{text}` is not an ISO 8601 date such as `2024-09-10T10:42:38-07:00`"))
            }
        })?;
        Ok(match result {
            Scalar::Text(text) => Value::String(text.into_owned()),
            _ => subject.clone(),
        })
    }

    fn scalar<'a>(&self, scalar: Scalar<'a>) -> Result<Scalar<'a>, HelperFault> {
        if scalar.text().is_none() { Err(self.not_scalar()) } else { Ok(scalar) }
    }

    fn not_scalar(&self) -> HelperFault {
        HelperFault::new(Code::NotScalar, format!("`{}` needs a single value; use `join` for lists", self.name))
    }

    fn mapping(&self, pairs: &[PathAndJson<'_>]) -> Result<Mapping, HelperFault> {
        let mut mapping = Mapping::default();
        for pair in pairs {
            let text = pair.value().as_str().unwrap_or_default();
            if !mapping.add(text) {
                let message = format!("`{text}` has no `=`; a pair of `map` is `\"key=value\"`");
                return Err(HelperFault::new(Code::BadCall, message));
            }
        }
        Ok(mapping)
    }

    fn date_format(&self, parameters: &[PathAndJson<'_>]) -> Result<DateFormat, HelperFault> {
        let text = |index: usize| parameters.get(index).and_then(|parameter| parameter.value().as_str());
        DateFormat::new(text(1).unwrap_or_default(), text(2)).map_err(|error| HelperFault::new(Code::BadCall, error.to_string()))
    }
}

fn argument<'a>(parameters: &'a [PathAndJson<'_>], index: usize, name: &str) -> Result<&'a Value, HelperFault> {
    let found = parameters.get(index).map(PathAndJson::value);
    found.ok_or_else(|| HelperFault::new(Code::BadArity, format!("`{name}` needs more arguments; write `{}`", form(name))))
}

/// `join list`, `join list "separator"`, `join list "field" ["separator"]` or, as in the macro language,
/// `join list "i" "text with {i.field}" ["separator"]`.
fn join(parameters: &[PathAndJson<'_>], context: &Context) -> Result<Value, HelperFault> {
    let list = match argument(parameters, 0, "join")? {
        Value::Array(list) => list.as_slice(),
        Value::Null => &[],
        Value::String(text) if text.is_empty() => &[],
        _ => return Err(HelperFault::new(Code::NotAList, "`join` needs a list as its first argument")),
    };
    let texts: Vec<&str> = parameters[1..].iter().map(|parameter| parameter.value().as_str().unwrap_or_default()).collect();
    match texts.as_slice() {
        [] => join_values(list, None, ","),
        [field] if is_name(field) => join_values(list, Some(field), ","),
        [separator] => join_values(list, None, separator),
        [variable, text] if text.contains('{') && is_name(variable) => join_texts(list, [variable, text, ","], context),
        [field, separator] => join_values(list, Some(field), separator),
        [variable, text, separator, ..] => join_texts(list, [variable, text, separator], context),
    }
}

pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn join_values(list: &[Value], field: Option<&str>, separator: &str) -> Result<Value, HelperFault> {
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        let value = match field {
            Some(field) => item.get(field),
            None => Some(item),
        };
        let scalar = Scalar::of(value);
        let text = scalar.text().map(Cow::Borrowed);
        let text = text.ok_or_else(|| {
            HelperFault::new(Code::NotScalar, "the items hold lists or objects; name the field to join, as in `{{join items \"sku\"}}`")
        })?;
        joined.push_str(&text);
        if joined.len() > OUTPUT_BYTES_MAX {
            return Err(HelperFault::new(Code::OutputTooLarge, "the joined text is longer than 1 MiB; send fewer items"));
        }
    }
    Ok(Value::String(joined))
}

fn join_texts(list: &[Value], [variable, text, separator]: [&str; 3], context: &Context) -> Result<Value, HelperFault> {
    let failed = |finding: &Finding| HelperFault::new(finding.code, finding.message.clone());
    let template = join_template(variable, text, separator, &AnyName);
    let template = template.map_err(|findings| failed(&findings[0]))?;
    render_join(&template, list, context.data()).map(Value::String).map_err(|finding| failed(&finding))
}
