//! One file, one template: `inputs/*.txt`, with the result or the findings as people see them.
//!
//! A file begins with a line `format [engine]`, then a line with the event as JSON; the rest, without
//! its last line end, is the template. To add a case, add a file and accept its snapshot.

use std::fs;
use std::path::Path;

use postrider::template::{Engine, Finding, Format, Template, Values};
use serde_json::{Map, Value};

use crate::catalogue::Catalogue;

fn shown(input: &str) -> String {
    let (head, rest) = input.split_once('\n').unwrap();
    let (event, source) = rest.split_once('\n').unwrap();
    let source = source.strip_suffix('\n').unwrap_or(source);
    let (format, engine) = head.split_once(' ').unwrap_or((head, "macro"));
    let format: Format = format.parse().unwrap();
    let engine: Engine = engine.parse().unwrap();
    let event: Map<String, Value> = serde_json::from_str(event).unwrap();
    let text = |finding: &Finding| finding.render_text(source, "template", false);
    match Template::compile(engine, format, source, &Catalogue::documented()) {
        Err(findings) => findings.iter().map(text).collect::<Vec<_>>().join("\n\n"),
        Ok(template) => {
            let mut parts: Vec<String> = template.warnings().iter().map(text).collect();
            parts.push(match template.render(&Values { event: &event, extra: &[] }) {
                Ok(result) => format!("result:\n{result}"),
                Err(finding) => text(&finding),
            });
            parts.join("\n\n")
        }
    }
}

#[test]
fn every_input_gives_its_snapshot() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/template");
    let mut files: Vec<_> = fs::read_dir(folder.join("inputs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder.join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let input = fs::read_to_string(&file).unwrap();
        settings.bind(|| insta::assert_snapshot!(name, shown(&input)));
    }
}
