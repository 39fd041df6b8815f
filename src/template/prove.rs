//! Proves at compile time that results are valid, or that none can be.
//!
//! JSON is followed with its gaps by a `JsonMachine`. XML is rendered with sample values: where values
//! stand only in elements, attributes and CDATA, and repeated text is balanced, well-formedness cannot
//! depend on what the values are, only on whether they are empty and on how many items there are.

use super::error::{Code, Finding, Span};
use super::format::Format;
use super::macros::Values;
use super::position::{Escape, dot_segment};
use super::program::{Op, Program, Text};
use super::render::{Sample, Traced, render_sample, render_traced};
use super::validity::{Certainty, JsonFault, JsonFaultKind, JsonMachine, XmlFault, check_json, check_xml};

/// Sets the certainty of `program`; returns what is wrong with every result.
pub(super) fn prove(program: &mut Program, source: &str) -> Option<Finding> {
    match program.format {
        Format::Json => prove_json(program, source),
        Format::Xml => prove_xml(program),
        Format::Url => prove_url(program),
        Format::Query | Format::Raw | Format::Header => None,
    }
}

fn prove_json(program: &mut Program, source: &str) -> Option<Finding> {
    if program.certainty == Certainty::Unproven {
        return None;
    }
    let mut machine = JsonMachine::default();
    let judged = follow(&mut machine, &program.ops).and_then(|()| machine.finish(source.len()));
    match judged {
        Ok(certainty) => {
            program.certainty = certainty;
            None
        }
        Err(fault) => Some(json_finding(&fault, source)),
    }
}

fn follow(machine: &mut JsonMachine, ops: &[Op]) -> Result<(), JsonFault> {
    for op in ops {
        match op {
            Op::Literal(text) => follow_text(machine, text)?,
            Op::Value(hole) if hole.raw => machine.anything(),
            Op::Value(hole) if hole.escape == Escape::JsonBare => machine.bare_value(hole.span.start)?,
            Op::Value(_) => machine.text_value(),
            Op::Join(join) => machine.repeated(|machine| follow(machine, &join.body), |machine| follow_text(machine, &join.separator))?,
        }
    }
    Ok(())
}

fn follow_text(machine: &mut JsonMachine, text: &Text) -> Result<(), JsonFault> {
    machine.literal(&text.text, |at| text.origin.locate(at))
}

/// The finding for a fault whose places are places in `source`.
fn json_finding(fault: &JsonFault, source: &str) -> Finding {
    let message = format!("the body is not valid JSON: {}", fault.message());
    let JsonFaultKind::LoneText { start, comma } = fault.kind else {
        return Finding::new(Code::InvalidBody, Span::new(fault.at, fault.at + 1), message);
    };
    let finding = Finding::new(Code::InvalidBody, Span::new(start, fault.at), message);
    let mut end = fault.at + usize::from(comma);
    if start > end || !source.is_char_boundary(start) || !source.is_char_boundary(end) {
        return finding;
    }
    let behind = source[end..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
    if comma && source[end + behind..].starts_with('\n') {
        end += behind + 1;
    }
    finding.with_fix(Span::new(start, end), "")
}

/// Empty and non-empty values; no, one and several items.
const SAMPLES: [Sample; 5] = [
    Sample { text: "x", items: 1 },
    Sample { text: "x", items: 2 },
    Sample { text: "", items: 1 },
    Sample { text: "", items: 0 },
    Sample { text: "x", items: 0 },
];

fn prove_xml(program: &mut Program) -> Option<Finding> {
    if program.certainty == Certainty::Unproven {
        return None;
    }
    let mut first = None;
    let mut failures = 0;
    for sample in SAMPLES {
        let Ok(traced) = render_sample(program, sample) else {
            program.certainty = Certainty::Unproven;
            return None;
        };
        if let Err(fault) = check_xml(&traced.output) {
            failures += 1;
            first = first.or_else(|| Some(xml_finding(&fault, &traced)));
        }
    }
    if failures > 0 {
        program.certainty = Certainty::Unproven;
    }
    first.filter(|_| failures == SAMPLES.len())
}

fn xml_finding(fault: &XmlFault, traced: &Traced) -> Finding {
    let message = format!("the body is not well-formed XML: {}", fault.message);
    Finding::new(Code::InvalidBody, traced.source(fault.at), message)
}

fn prove_url(program: &Program) -> Option<Finding> {
    let traced = render_sample(program, SAMPLES[0]).ok()?;
    dot_finding(&traced)
}

fn dot_finding(traced: &Traced) -> Option<Finding> {
    let (start, end) = dot_segment(&traced.output)?;
    let span = traced.source(start);
    let message =
        format!("the path segment came out as `{}`, which leads to another path; write the path in full", &traced.output[start..end]);
    Some(Finding::new(Code::DotSegment, span, message))
}

/// Checks one result, where the proof left something open.
pub(super) fn validate(program: &Program, values: &Values<'_>, output: &str, source: &str) -> Result<(), Box<Finding>> {
    let unproven = program.certainty == Certainty::Unproven;
    let sound = match program.format {
        Format::Url => dot_segment(output).is_none(),
        Format::Json if unproven => check_json(output).is_ok(),
        Format::Xml if unproven => check_xml(output).is_ok(),
        _ => true,
    };
    if sound {
        return Ok(());
    }
    let traced = render_traced(program, values)?;
    match finding_in(&traced, program.format, source) {
        Some(finding) => Err(Box::new(finding)),
        None => Ok(()),
    }
}

/// What is wrong with a traced result.
fn finding_in(traced: &Traced, format: Format, source: &str) -> Option<Finding> {
    match format {
        Format::Url => dot_finding(traced),
        Format::Json => {
            let mut fault = check_json(&traced.output).err()?;
            let span = traced.source(fault.at);
            fault.at = span.start;
            if let JsonFaultKind::LoneText { start, .. } = &mut fault.kind {
                *start = traced.source(*start).start;
            }
            Some(json_finding(&fault, source))
        }
        Format::Xml => check_xml(&traced.output).err().map(|fault| xml_finding(&fault, traced)),
        Format::Query | Format::Raw | Format::Header => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::super::macros::{FieldKind, Names};
    use super::super::render::render;
    use super::super::token::MappedText;
    use super::super::{check, compile, parser};
    use super::*;

    struct AnyName;

    impl Names for AnyName {
        fn kind(&self, name: &str) -> Option<FieldKind> {
            Some(if name == "items" { FieldKind::List } else { FieldKind::Text })
        }
        fn item_kind(&self, _: &str, _: &str) -> Option<FieldKind> {
            None
        }
        fn for_each_name(&self, _: &mut dyn FnMut(&str)) {}
        fn for_each_item_field(&self, _: &str, _: &mut dyn FnMut(&str)) {}
    }

    /// The program for a text that compiles, with what the proof says.
    fn proven(format: Format, source: &str) -> Option<(Program, Option<Finding>)> {
        let angle: Option<&dyn Names> = if format == Format::Xml { None } else { Some(&AnyName) };
        let parsed = parser::parse(&MappedText::identity(source), angle);
        let (resolved, found) = check::check(&parsed.nodes, &AnyName);
        let (mut program, errors) = compile::compile(resolved, format, source.len());
        if !parsed.errors.is_empty() || !found.is_empty() || !errors.is_empty() {
            return None;
        }
        let finding = prove(&mut program, source);
        Some((program, finding))
    }

    fn events() -> Vec<Map<String, Value>> {
        let texts = ["", "5", "x", "-1.5e3", "\"", "e9", "amp", "]]", ">"];
        let values = texts.iter().map(|text| json!(text)).chain([json!(null), json!(7), json!(true)]);
        let lists = [json!([]), json!([{"a": "1"}]), json!([{"a": "x"}, {"a": ""}]), json!([{"a": 1}, {}, {"a": true}])];
        let pairs = values.enumerate().map(|(index, value)| {
            let items = lists[index % lists.len()].clone();
            Map::from_iter([("X".to_owned(), value), ("Y".to_owned(), json!(texts[index % 5])), ("items".to_owned(), items)])
        });
        pairs.collect()
    }

    fn pieces(of: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(of), 0..12).prop_map(|pieces| pieces.concat())
    }

    const JSON: &[&str] = &[
        "{X}",
        "{Y}",
        "\"",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "1",
        "-",
        ".5",
        "e",
        "null",
        " ",
        "\n",
        "\\u00",
        "\\",
        "[{X}",
        ",{Y}]",
        "\"k\":",
        "\"{X}\"",
        "{join(items, i, \"{i.a}\")}",
        "{join(items, i, \"\\\"{i.a}\\\"\")}",
        "{join(items, i, \",1\", \"\")}",
        "{join(items, i, \"{i.a}\", \"\\\",\\\"\")}",
        "{join(items, i, \"[{i.a}]\")}",
        "[{join(items, i, \"{i.a}\")}]",
    ];

    const XML: &[&str] = &[
        "<a>",
        "</a>",
        "<b c=\"",
        "\">",
        "\"/>",
        "</b>",
        "{X}",
        "{Y}",
        "x",
        "]",
        ">",
        "&",
        ";",
        "amp",
        "<![CDATA[",
        "]]>",
        "]]",
        "<!-- -->",
        "{join(items, i, \"<i>{i.a}</i>\")}",
        "{join(items, i, \"{i.a}\", \">\")}",
        "{join(items, i, \"]\")}",
        "<?p q?>",
        " xmlns:p='",
        "'",
        "<a>{X}</a>",
        "<a b='{X}'>{Y}</a>",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_proven_json_is_json_and_what_is_refused_never_is(source in pieces(JSON)) {
            let Some((program, finding)) = proven(Format::Json, &source) else { return Ok(()) };
            for event in events() {
                let Ok(text) = render(&program, &Values { event: &event, extra: &[] }) else { continue };
                let valid = serde_json::from_str::<Value>(&text).is_ok();
                // A fault in the text of an item shows only with items.
                let shown = finding.is_some() && !(source.contains("join") && event["items"] == json!([]));
                prop_assert!(!(shown && valid), "{} gave {}", source, text);
                prop_assert!(finding.is_some() || program.certainty == Certainty::Unproven || valid, "{} gave {}", source, text);
                prop_assert_eq!(check_json(&text).is_ok(), valid, "{}", text);
            }
        }

        #[test]
        fn what_is_proven_xml_is_xml(source in pieces(XML)) {
            let Some((program, finding)) = proven(Format::Xml, &source) else { return Ok(()) };
            for event in events() {
                let Ok(text) = render(&program, &Values { event: &event, extra: &[] }) else { continue };
                let valid = check_xml(&text).is_ok();
                prop_assert!(!(finding.is_some() && valid), "{} gave {}", source, text);
                prop_assert!(finding.is_some() || program.certainty == Certainty::Unproven || valid, "{} gave {}", source, text);
            }
        }
    }
}
