//! Nothing a template or an event holds can exhaust the process.

#![allow(clippy::disallowed_methods, reason = "these tests are about elapsed time")]

use std::time::{Duration, Instant};

use postrider::template::{Code, Engine, Finding, Format, Template, Values};
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;

fn compiled(format: Format, source: &str) -> Result<Template, Vec<Finding>> {
    Template::compile(Engine::Macro, format, source, &Catalogue::documented())
}

fn rendered(source: &str, event: &Map<String, Value>) -> Result<String, Code> {
    let template = compiled(Format::Raw, source).unwrap();
    template.render(&Values { event, extra: &[] }).map_err(|finding| finding.code)
}

#[test]
fn e6_oversized_templates_are_refused_at_once() {
    let sources = ["{Payout}".repeat(1_000_000), "x".repeat(10_000_000), format!("{{{}}}", "N".repeat(1_000_000))];
    for source in sources {
        for engine in [Engine::Macro, Engine::Handlebars] {
            let started = Instant::now();
            let findings = Template::compile(engine, Format::Raw, &source, &Catalogue::documented()).unwrap_err();
            assert_eq!(findings[0].code, Code::TemplateTooLarge);
            assert!(started.elapsed() < Duration::from_millis(100));
        }
    }
}

#[test]
fn the_largest_templates_compile_quickly() {
    let unknown = "{Nope}".repeat(10_000);
    let wrapped = "{a\n".repeat(20_000);
    let known = "{Payout}".repeat(8_000);
    let long_name = format!("{{{}}}", "N".repeat(65_000));
    let joins = "{join(items, i, \"{i.sku}\")}".repeat(2_000);
    for source in [unknown, wrapped, known, long_name, joins] {
        let started = Instant::now();
        let _ = compiled(Format::Raw, &source);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?} for {}", started.elapsed(), &source[..20]);
    }
}

#[test]
fn e7_depth_is_refused_without_a_deep_stack() {
    let run = || {
        for open in ["{", "{join(", "{lower(", "{join(items,i,\"", "<a>", "[", "{\"a\":", "\\"] {
            for format in Format::ALL {
                let source = open.repeat(60_000 / open.len());
                let _ = compiled(format, &source);
            }
        }
        let findings = compiled(Format::Raw, &format!("{}Payout{}", "{lower(".repeat(6_000), ")}".repeat(6_000))).unwrap_err();
        assert!(findings.iter().any(|finding| finding.code == Code::BadCall || finding.code == Code::NestingTooDeep));
    };
    std::thread::Builder::new().stack_size(256 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn e10_long_lists_stop_at_the_limits() {
    let items = vec![json!({}); 1_000_000];
    let event = Map::from_iter([("items".to_owned(), Value::Array(items))]);
    let started = Instant::now();
    assert_eq!(rendered("{join(items, i, \"x\", \"123456789\")}", &event), Err(Code::OutputTooLarge));
    assert_eq!(rendered("{join(items, i, \"\", \"\")}", &event), Err(Code::TooManySteps));
    assert_eq!(rendered("{join(items, i, \"{join(items, j, \\\"\\\", \\\"\\\")}\", \"\")}", &event), Err(Code::TooManySteps));
    let wide = format!("{{join(items, i, \"x\", \"{}\")}}", "s".repeat(60_000));
    assert_eq!(rendered(&wide, &event), Err(Code::OutputTooLarge));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn hashing_long_values_many_times_stops() {
    let items = vec![json!({}); 100_000];
    let long = json!("x".repeat(500_000));
    let event = Map::from_iter([("items".to_owned(), Value::Array(items)), ("Text1".to_owned(), long)]);
    assert_eq!(rendered("{join(items, i, \"{map(sha256(Text1), \\\"*=\\\")}\", \"\")}", &event), Err(Code::TooManySteps));
}

#[test]
fn a_result_of_exactly_the_limit_passes() {
    let text = |bytes: usize| Map::from_iter([("Text1".to_owned(), json!("x".repeat(bytes)))]);
    assert_eq!(rendered("{Text1}", &text(1024 * 1024)).map(|text| text.len()), Ok(1024 * 1024));
    assert_eq!(rendered("{Text1}", &text(1024 * 1024 + 1)), Err(Code::OutputTooLarge));
}

#[test]
fn findings_in_long_lines_are_shown_quickly() {
    let source = "{Nope}".repeat(10_000);
    let findings = compiled(Format::Raw, &source).unwrap_err();
    assert_eq!(findings.len(), 50);
    let started = Instant::now();
    for finding in &findings {
        assert!(finding.render_text(&source, "body", true).contains("unknown macro"));
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
