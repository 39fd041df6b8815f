//! Any text as a template, with any event, in every format and both engines: no panic, no overflow, and
//! what comes out of a template that was accepted is valid for its format.

#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../src/template/mod.rs"]
mod template;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use template::{Engine, FieldKind, Format, Names, Template, Values, apply_fixes, import};

/// Names `A` to `D` hold text, `items` is a list of objects with `x` and `y`.
struct Known;

impl Names for Known {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        match name {
            "A" | "B" | "C" | "D" => Some(FieldKind::Text),
            "items" => Some(FieldKind::List),
            _ => None,
        }
    }

    fn item_kind(&self, _: &str, field: &str) -> Option<FieldKind> {
        matches!(field, "x" | "y").then_some(FieldKind::Text)
    }

    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        ["A", "B", "C", "D", "items"].into_iter().for_each(f);
    }

    fn for_each_item_field(&self, _: &str, f: &mut dyn FnMut(&str)) {
        ["x", "y"].into_iter().for_each(f);
    }
}

#[derive(Debug, Arbitrary)]
struct Input {
    format: u8,
    handlebars: bool,
    values: [Option<String>; 4],
    items: Vec<(String, Option<String>)>,
    template: String,
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let format = Format::ALL[usize::from(input.format) % Format::ALL.len()];
    let engine = if input.handlebars { Engine::Handlebars } else { Engine::Macro };
    let _ = import(None, &input.template, &Known);
    let compiled = match Template::compile(engine, format, &input.template, &Known) {
        Ok(compiled) => compiled,
        Err(findings) => {
            for finding in &findings {
                let _ = finding.render_text(&input.template, "input", false);
            }
            let _ = apply_fixes(&input.template, &findings);
            return;
        }
    };
    let Ok(output) = compiled.render(&Values { event: &event(&input), extra: &[] }) else { return };
    match format {
        Format::Json => drop(serde_json::from_str::<Value>(&output).expect("a rendered JSON body parses")),
        Format::Xml => drop(roxmltree::Document::parse(&output).expect("a rendered XML body is well-formed")),
        Format::Header => assert!(!output.contains(['\r', '\n', '\0'])),
        Format::Url => drop(url::Url::parse(&output).expect("a rendered URL parses")),
        Format::Query => assert!(output.is_ascii()),
        Format::Raw => {}
    }
});

fn event(input: &Input) -> Map<String, Value> {
    let mut event = Map::new();
    for (name, value) in ["A", "B", "C", "D"].into_iter().zip(&input.values) {
        if let Some(value) = value {
            event.insert(name.into(), Value::String(value.clone()));
        }
    }
    let items = input.items.iter().take(20).map(|(x, y)| {
        let mut item = Map::new();
        item.insert("x".into(), Value::String(x.clone()));
        if let Some(y) = y {
            item.insert("y".into(), Value::String(y.clone()));
        }
        Value::Object(item)
    });
    event.insert("items".into(), Value::Array(items.collect()));
    event
}
