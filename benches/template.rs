//! How fast a template renders, beside the handlebars crate and minijinja doing the same work.
//!
//! One JSON body with the 39 order-level values and ten items of eight fields, each value escaped
//! for JSON. Prints nanoseconds per rendering and the ratios; takes a few seconds.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures elapsed time")]

#[path = "../tests/template/catalogue.rs"]
mod catalogue;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use catalogue::Catalogue;
use postrider::template::{Engine, Format, Template, Values};
use serde_json::{Map, Value, json};

const ORDER: [&str; 39] = [
    "CampaignId",
    "ActionTrackerId",
    "MediaPartnerId",
    "CampaignName",
    "ActionTrackerName",
    "MediaPartnerName",
    "ActionType",
    "ReferringType",
    "ActionId",
    "Status",
    "StatusDetail",
    "AdId",
    "Payout",
    "DeltaPayout",
    "IntendedPayout",
    "Amount",
    "DeltaAmount",
    "IntendedAmount",
    "Currency",
    "OriginalCurrency",
    "OriginalAmount",
    "EventDate",
    "CreationDate",
    "LockingDate",
    "ClearedDate",
    "ReferringDomain",
    "LandingPageUrl",
    "RefCustomerArea",
    "RefCustomerCity",
    "RefCustomerRegion",
    "RefCustomerCountry",
    "RefClickId",
    "SharedId",
    "SubId1",
    "SubId2",
    "SubId3",
    "Text1",
    "Text2",
    "PromoCode",
];

const ITEM: [&str; 8] = ["sku", "amt", "cat", "qty", "cartamt", "rbt", "name", "itemlist"];

fn main() {
    let event = event();
    let ours = ours();
    let values = Values { event: &event, extra: &[] };
    let (handlebars, minijinja) = (handlebars(), minijinja());
    let theirs = minijinja.get_template("t").expect("the template is registered");
    let expected: Value = serde_json::from_str(&ours.render(&values).expect("the template renders")).expect("valid JSON");
    let same = |text: String| assert_eq!(serde_json::from_str::<Value>(&text).expect("valid JSON"), expected);
    same(handlebars.render("t", &event).expect("handlebars renders"));
    same(theirs.render(converted(&event)).expect("minijinja renders"));

    let ready = converted(&event);
    let mut best = [f64::INFINITY; 4];
    // In turn, so that whatever else the machine does hits all alike; the best round counts.
    for _ in 0..20 {
        let rounds = [
            measure(|| ours.render(&values).expect("the template renders")),
            measure(|| handlebars.render("t", &event).expect("handlebars renders")),
            measure(|| theirs.render(converted(&event)).expect("minijinja renders")),
            measure(|| theirs.render(ready.clone()).expect("minijinja renders")),
        ];
        for (best, round) in best.iter_mut().zip(rounds) {
            *best = best.min(round);
        }
    }
    let [macros, hand, jinja, jinja_ready] = best;
    println!("macro language  {macros:>9.0} ns per rendering");
    println!("handlebars      {hand:>9.0} ns, {:.1} times as long", hand / macros);
    println!("minijinja       {jinja:>9.0} ns, {:.1} times as long", jinja / macros);
    println!("  converted once {jinja_ready:>9.0} ns, {:.1} times as long", jinja_ready / macros);
}

/// Nanoseconds per call.
fn measure(mut render: impl FnMut() -> String) -> f64 {
    let start = Instant::now();
    for _ in 0..1_000 {
        black_box(render());
    }
    start.elapsed().as_nanos() as f64 / 1_000.0
}

fn event() -> Map<String, Value> {
    let mut event = Map::new();
    for (number, name) in ORDER.iter().enumerate() {
        event.insert((*name).to_owned(), json!(format!("value \"{number}\" of {name}")));
    }
    let item = |number: usize| {
        let fields = ITEM.map(|field| (field.to_owned(), json!(format!("{field} {number} é"))));
        Value::Object(Map::from_iter(fields))
    };
    event.insert("items".to_owned(), (1..=10).map(item).collect());
    event
}

/// `"key":"…"` pairs, each value written by `value`.
fn pairs(names: &[&str], value: impl Fn(&str) -> String) -> String {
    let pairs: Vec<String> = names.iter().map(|name| format!("\"{name}\":\"{}\"", value(name))).collect();
    pairs.join(",")
}

fn ours() -> Template {
    let item = pairs(&ITEM, |name| format!("{{i.{name}}}")).replace('"', "\\\"");
    let order = pairs(&ORDER, |name| format!("{{{name}}}"));
    let text = format!("{{{order},\"items\":[{{join(items, i, \"\\{{{item}\\}}\")}}]}}");
    Template::compile(Engine::Macro, Format::Json, &text, &Catalogue::documented()).expect("the template compiles")
}

fn handlebars() -> handlebars::Handlebars<'static> {
    let order = pairs(&ORDER, |name| format!("{{{{{name}}}}}"));
    let item = pairs(&ITEM, |name| format!("{{{{{name}}}}}"));
    let text = format!("{{{order},\"items\":[{{{{#each items}}}}{{{{#unless @first}}}},{{{{/unless}}}}{{ {item} }}{{{{/each}}}}]}}");
    let mut registry = handlebars::Handlebars::new();
    registry.register_escape_fn(|text| {
        let mut escaped = String::with_capacity(text.len() + 8);
        escape(&mut escaped, text);
        escaped
    });
    registry.register_template_string("t", text).expect("the template compiles");
    registry
}

fn minijinja() -> minijinja::Environment<'static> {
    let order = pairs(&ORDER, |name| format!("{{{{ {name} }}}}"));
    let item = pairs(&ITEM, |name| format!("{{{{ i.{name} }}}}"));
    let text = format!("{{{order},\"items\":[{{% for i in items %}}{{% if not loop.first %}},{{% endif %}}{{ {item} }}{{% endfor %}}]}}");
    let mut environment = minijinja::Environment::new();
    environment.set_formatter(|out, _, value| match value.as_str() {
        Some(text) => {
            let mut escaped = String::with_capacity(text.len() + 8);
            escape(&mut escaped, text);
            out.write_str(&escaped).map_err(minijinja::Error::from)
        }
        None => write!(out, "{value}").map_err(minijinja::Error::from),
    });
    environment.add_template_owned("t", text).expect("the template compiles");
    environment
}

/// An event as minijinja wants it; part of its work, as events come as JSON.
fn converted(event: &Map<String, Value>) -> minijinja::Value {
    minijinja::Value::from_pairs(event.iter().map(|(name, value)| (name.as_str(), convert(value))))
}

fn convert(value: &Value) -> minijinja::Value {
    match value {
        Value::String(text) => minijinja::Value::from(text.as_str()),
        Value::Array(list) => list.iter().map(convert).collect(),
        Value::Object(object) => converted(object),
        other => minijinja::Value::from(other.to_string()),
    }
}

/// The characters JSON forbids in a string, escaped.
fn escape(out: &mut String, text: &str) {
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..at]);
        start = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            _ => write!(out, "\\u{byte:04x}").expect("writing to a string"),
        }
    }
    out.push_str(&text[start..]);
}
