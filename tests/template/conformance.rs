//! Every case of `cases.json`, through the public interface.

use postrider::template::{Engine, Format, Template, Values};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::catalogue::Catalogue;

#[derive(Deserialize)]
struct Case {
    name: String,
    template: String,
    format: Format,
    event: Map<String, Value>,
    expect: Option<String>,
    expect_error: Option<String>,
}

/// The result, or the code of the first error of compiling or rendering.
fn outcome(case: &Case) -> Result<String, String> {
    let names = Catalogue::with(&case.event);
    let code = |finding: &postrider::template::Finding| finding.code.to_string();
    let template = Template::compile(Engine::Macro, case.format, &case.template, &names)
        .map_err(|findings| findings.first().map(code).unwrap_or_default())?;
    let values = Values { event: &case.event, extra: &[] };
    template.render(&values).map_err(|finding| code(&finding))
}

#[test]
fn e17_every_conformance_case_passes() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("cases.json")).unwrap();
    assert!(cases.len() >= 103);
    let mut failed = Vec::new();
    for case in &cases {
        let expected = match (&case.expect, &case.expect_error) {
            (Some(text), None) => Ok(text.clone()),
            (None, Some(code)) => Err(code.clone()),
            _ => panic!("{} expects nothing or two things", case.name),
        };
        let actual = outcome(case);
        if actual != expected {
            failed.push(format!("{}\n  expected {expected:?}\n  actual   {actual:?}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} cases failed\n{}", failed.len(), failed.join("\n"));
}
