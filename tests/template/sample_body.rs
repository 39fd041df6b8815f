//! The body on the vendor's page, pasted as it is shown: a title line inside the object, a macro broken
//! by a line end, and backslashes doubled by the page's markup.

use postrider::template::{Code, Engine, Finding, Format, Template, Values, apply_fixes};
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;

const PASTED: &str = include_str!("impact-sample-body.txt");

fn compiled(source: &str) -> Result<Template, Vec<Finding>> {
    Template::compile(Engine::Macro, Format::Json, source, &Catalogue::documented())
}

fn findings(source: &str) -> Vec<Finding> {
    match compiled(source) {
        Ok(template) => template.warnings().to_vec(),
        Err(findings) => findings,
    }
}

#[test]
fn every_slip_of_the_page_is_named_with_a_fix() {
    let findings = findings(PASTED);
    for code in [Code::InvalidBody, Code::WrappedMacro, Code::EscapeRun] {
        let finding = findings.iter().find(|finding| finding.code == code);
        assert!(finding.is_some_and(|finding| finding.fix.is_some()), "{code}: {findings:#?}");
    }
}

#[test]
fn the_pasted_body_works_after_at_most_two_rounds_of_fixes() {
    let mut source = PASTED.to_owned();
    for _ in 0..2 {
        source = apply_fixes(&source, &findings(&source));
    }
    let template = compiled(&source).unwrap();
    assert_eq!(template.warnings(), []);

    let mut event = Map::new();
    for (number, name) in template.names_used().enumerate() {
        event.insert(name.to_owned(), json!(format!("\"{number}\" \\ of {name}\n")));
    }
    assert_eq!(event.len(), 40);
    let item = json!({"sku": "A-1", "amt": "19.27", "cat": "Sports", "qty": 2, "cartamt": "38.54",
        "rbt": "1.00", "name": "Ball \"x\"", "itemlist": "balls"});
    event.insert("items".to_owned(), json!([item, {}]));
    let text = template.render(&Values { event: &event, extra: &[] }).unwrap();

    let body: Value = serde_json::from_str(&text).unwrap();
    let body = body.as_object().unwrap();
    assert_eq!(body.len(), 40);
    for (name, value) in &event {
        if name != "items" {
            assert!(body.values().any(|sent| sent == value), "{name} is missing");
        }
    }
    assert_eq!(body["delta_amount"], event["DeltaAmount"]);
    assert_eq!(body["items"][0]["item_price"].to_string(), "19.27");
    assert_eq!(body["items"][0]["name"], "Ball \"x\"");
    assert_eq!(body["items"][1]["quantity"], Value::Null);
}

#[test]
fn the_page_is_read_as_if_each_run_of_backslashes_were_one() {
    let pasted = "{join(items, i, \"\\\\{\\\\\\\"s\\\\\":{i.amt}\\\\}\")}";
    let repaired = "{join(items, i, \"\\{\\\"s\\\":{i.amt}\\}\")}";
    let event = Map::from_iter([("items".to_owned(), json!([{"amt": "1"}]))]);
    let values = Values { event: &event, extra: &[] };
    let render = |source: &str| compiled(source).unwrap().render(&values).unwrap();
    assert_eq!(render(pasted), render(repaired));
    assert_eq!(findings(pasted)[0].code, Code::EscapeRun);
    assert_eq!(findings(repaired), []);
}
