//! Rules in a table: format, template, event, and what comes of it.

use postrider::template::{Engine, Format, Template, Values};
use serde_json::{Value, json};

use crate::catalogue::Catalogue;

fn outcome(engine: Engine, format: Format, source: &str, event: &Value) -> Result<String, String> {
    let event = event.as_object().unwrap();
    let compiled = Template::compile(engine, format, source, &Catalogue::with(event));
    let template = compiled.map_err(|findings| findings[0].code.to_string())?;
    let extra = [("Attempt", json!(3)), ("SubId1", json!("extra"))];
    let rendered = template.render(&Values { event, extra: &extra });
    rendered.map_err(|finding| finding.code.to_string())
}

#[track_caller]
fn gives(format: Format, source: &str, event: Value, expected: &str) {
    assert_eq!(outcome(Engine::Macro, format, source, &event), Ok(expected.to_owned()), "{source}");
}

#[track_caller]
fn fails(format: Format, source: &str, event: Value, code: &str) {
    assert_eq!(outcome(Engine::Macro, format, source, &event), Err(code.to_owned()), "{source}");
}

#[test]
fn numbers_and_booleans_of_the_event_keep_their_text() {
    let event: Value = serde_json::from_str(r#"{"a":5.00,"b":-0,"c":123456789012345678901234567890.10,"d":true,"e":false}"#).unwrap();
    gives(
        Format::Json,
        r#"[{a},{b},{c},{d},{e},"{a}{d}"]"#,
        event.clone(),
        r#"[5.00,-0,123456789012345678901234567890.10,true,false,"5.00true"]"#,
    );
    gives(Format::Query, "a={a}&c={c}&d={d}", event, "a=5.00&c=123456789012345678901234567890.10&d=true");
    gives(Format::Json, "[{Text1},{Text2}]", json!({"Text1": "1E5", "Text2": "false"}), r#"[1E5,"false"]"#);
}

#[test]
fn e11_null_counts_as_missing_and_extras_fill_in() {
    gives(Format::Json, r#"[{Payout},"{Payout}",{Attempt}]"#, json!({"Payout": null}), r#"[null,"",3]"#);
    gives(Format::Query, "a={SubId1}", json!({"SubId1": "event"}), "a=event");
    gives(Format::Query, "a={SubId1}", json!({}), "a=extra");
}

#[test]
fn lists_and_objects_are_serialised_only_outside_strings_of_json() {
    let event = json!({"items": [{"sku": "a\"b", "qty": 1.50}], "order": {"n": 1}});
    gives(Format::Json, r#"{"i":{items},"o":{order}}"#, event.clone(), r#"{"i":[{"sku":"a\"b","qty":1.5}],"o":{"n":1}}"#);
    fails(Format::Json, r#"{"i":"{items}"}"#, event.clone(), "not_scalar");
    fails(Format::Json, r#"{"i":"{order}"}"#, event.clone(), "not_scalar");
    fails(Format::Query, "o={order}", event.clone(), "not_scalar");
    fails(Format::Query, "o={lower(items)}", event.clone(), "not_scalar");
    gives(Format::Query, "o={order.n}&p={order.x.y}", event, "o=1&p=");
}

#[test]
fn loops_nest_shadow_and_count() {
    let event = json!({"Status": "S", "items": [
        {"sku": "A", "parts": [{"p": 1}, {"p": 2}]}, {"sku": "B", "parts": []}, {"sku": "C"}]});
    gives(
        Format::Raw,
        r#"{join(items, i, "{i.sku}[{join(i.parts, p, \"{i.index}.{p.index}={p.p}{Status}\")}]", ";")}"#,
        event.clone(),
        "A[1.1=1S,1.2=2S];B[];C[]",
    );
    gives(Format::Raw, r#"{join(items, Status, "{Status.sku}")}{Status}"#, event.clone(), "A,B,CS");
    fails(Format::Raw, r#"{join(items, i, "{i.nope}")}"#, event.clone(), "unknown_macro");
    fails(Format::Raw, r#"{join(items, i, "{j.sku}")}"#, event, "unknown_macro");
    gives(Format::Raw, r#"{join(phones, p, "<{p}>", "")}"#, json!({"phones": ["1", 2]}), "<1><2>");
    fails(Format::Raw, r#"{join(phones, p, "{p}")}"#, json!({"phones": ["1", {"a": 1}]}), "not_scalar");
    fails(Format::Raw, r#"{join(items, i, "x")}"#, json!({"items": "text"}), "not_a_list");
    gives(Format::Raw, r#"[{join(items, i, "x")}]"#, json!({"items": null}), "[]");
}

#[test]
fn the_default_separator_is_a_comma_and_in_xml_nothing() {
    let event = json!({"items": [{"sku": "A"}, {"sku": "<"}]});
    gives(
        Format::Xml,
        r#"<e>{join(items, i, "<i n=\"{i.index}\">{i.sku}</i>")}</e>"#,
        event.clone(),
        r#"<e><i n="1">A</i><i n="2">&lt;</i></e>"#,
    );
    gives(Format::Header, r#"{join(items, i, "{i.sku}")}"#, event.clone(), "A,<");
    gives(Format::Query, r#"a={join(items, i, "{i.sku}", " \n| ")}"#, event, "a=A%7C%20%3C");
}

#[test]
fn the_position_runs_through_items_and_separators() {
    let event = json!({"items": [{"sku": "1"}, {"sku": "x\"y"}]});
    gives(Format::Json, r#"["{join(items, i, "{i.sku}", "\",\"")}"]"#, event.clone(), r#"["1","x\"y"]"#);
    gives(
        Format::Json,
        r#"{"a":[{join(items, i, "{i.sku}")}],"b":"{join(items, i, "{i.sku}")}"}"#,
        event.clone(),
        r#"{"a":[1,"x\"y"],"b":"1,x\"y"}"#,
    );
    // A separator with one quote: the second item stands inside the string that the first opened.
    gives(Format::Json, r#"[{join(items, i, "{i.sku}", ",\"")}"]"#, event.clone(), r#"[1,"x\"y"]"#);
    fails(Format::Json, r#"[{join(items, i, "\"{i.sku}")}]"#, event.clone(), "unbalanced_item_template");
    fails(Format::Json, r#"["{join(items, i, "{i.sku}\"")}"]"#, event.clone(), "unbalanced_item_template");
    fails(Format::Xml, r#"<e>{join(items, i, "<![CDATA[{i.sku}")}</e>"#, event, "unbalanced_item_template");
}

#[test]
fn cdata_survives_any_brackets() {
    let cdata = |text: &str| json!({"Text1": text});
    gives(Format::Xml, "<n><![CDATA[{Text1}>]]></n>", cdata("]]"), "<n><![CDATA[]]]]><![CDATA[>]]></n>");
    gives(Format::Xml, "<n><![CDATA[]]{Text1}]]></n>", cdata(">"), "<n><![CDATA[]]]]><![CDATA[>]]></n>");
    gives(Format::Xml, "<n><![CDATA[]{Text1}]>]]></n>", cdata(""), "<n><![CDATA[]]]><![CDATA[]>]]></n>");
    gives(Format::Xml, "<n><![CDATA[{Text1}]]></n>", cdata("a\rb]"), "<n><![CDATA[a]]>&#13;<![CDATA[b]]]></n>");
    fails(Format::Xml, "<n>{Text1}></n>", cdata("]]"), "invalid_body");
}

#[test]
fn markup_that_takes_no_value_is_refused() {
    for source in ["<{Text1}/>", "<a {Text1}='1'/>", "<a b={Text1}/>", "<!-- {Text1} --><a/>", "<?x {Text1}?><a/>"] {
        fails(Format::Xml, source, json!({}), "macro_in_markup");
    }
    fails(Format::Xml, "<!DOCTYPE a><a/>", json!({}), "invalid_body");
    fails(Format::Xml, "", json!({}), "invalid_body");
}

#[test]
fn addresses_keep_their_host() {
    let event = || json!({"SubId1": "..", "Text1": "."});
    fails(Format::Url, "https://t.example/{SubId1}", event(), "dot_segment");
    fails(Format::Url, "https://t.example/a/{Text1}{Text1}/b", event(), "dot_segment");
    fails(Format::Url, "https://t.example/%2e{Text1}", event(), "dot_segment");
    fails(Format::Url, "https://t.example/a/../b?x={SubId1}", event(), "dot_segment");
    fails(Format::Url, "https://t.example/{raw(Text2)}", json!({"Text2": "a/../../b"}), "dot_segment");
    gives(Format::Url, "https://t.example/a..b/{SubId1}x?p=/../&q={SubId1}#{SubId1}", event(), "https://t.example/a..b/..x?p=/../&q=..#..");
    fails(Format::Url, "https://u:{Text1}@t.example/", event(), "macro_in_authority");
    fails(Format::Url, "https://t.example{Text1}/", event(), "macro_in_authority");
    fails(Format::Url, "https://{join(items, i, \"x\")}/", event(), "macro_in_authority");
    fails(Format::Url, "ftp://t.example/", event(), "bad_scheme");
    fails(Format::Url, "//t.example/{Text1}", event(), "bad_scheme");
    fails(Format::Url, "", event(), "bad_scheme");
    fails(Format::Url, "https:///{Text1}", event(), "bad_host");
    gives(Format::Url, "https://t.example?a={Text1}", event(), "https://t.example?a=.");
}

#[test]
fn headers_refuse_control_characters() {
    for bad in ["a\rb", "a\nb", "a\0b", "a\u{7f}b", "a\tb", "a\u{85}b"] {
        fails(Format::Header, "x {Text1}", json!({"Text1": bad}), "invalid_header");
        fails(Format::Header, "x {raw(Text1)}", json!({"Text1": bad}), "invalid_header");
    }
    fails(Format::Header, "a\nb", json!({}), "invalid_header");
    gives(Format::Header, "Bearer {Text1} é", json!({"Text1": "ü\"<"}), "Bearer ü\"< é");
}

#[test]
fn functions_nest_and_check_their_arguments() {
    let event = || json!({"Status": "Approved", "EventDate": "2024-09-10T10:42:38-07:00", "Text1": "x"});
    gives(Format::Query, r#"a={map(upper(Status), "APPROVED=ok", "*=no")}"#, event(), "a=ok");
    gives(Format::Query, r#"a={default(default(SubId2, Text2), "z")}"#, event(), "a=z");
    gives(Format::Query, r#"a={date(EventDate, "%Y-%m-%d %H:%M:%S%:z")}"#, event(), "a=2024-09-10%2010%3A42%3A38-07%3A00");
    gives(Format::Query, r#"a={date(ClearedDate, "%s")}"#, event(), "a=");
    fails(Format::Query, r#"a={date(Text1, "%s")}"#, event(), "bad_date");
    fails(Format::Query, r#"a={date(EventDate, "%s", "Nowhere/Land")}"#, event(), "bad_call");
    fails(Format::Query, r#"a={map(Status, "A")}"#, event(), "bad_call");
    fails(Format::Query, r#"a={lower(raw(Status))}"#, event(), "bad_call");
    fails(Format::Query, r#"a={lower(join(items, i, "x"))}"#, event(), "bad_call");
    fails(Format::Query, "a={lower()}", event(), "bad_arity");
    fails(Format::Query, "a={lower(Status, Status)}", event(), "bad_arity");
    gives(Format::Json, "[{raw(Text2)},{raw(Text1)}]", json!({"Text1": "{\"a\":1}"}), "[null,{\"a\":1}]");
    fails(Format::Json, "[{raw(Text1)}]", event(), "invalid_body");
}

#[test]
fn e4_json_that_depends_on_values_is_checked_for_each() {
    gives(Format::Json, "[-{Payout}]", json!({"Payout": "5"}), "[-5]");
    fails(Format::Json, "[-{Payout}]", json!({"Payout": "x"}), "invalid_body");
    fails(Format::Json, "{{Text1}:1}", json!({"Text1": "1"}), "invalid_body");
    gives(Format::Json, "{{Text1}:1}", json!({"Text1": "k"}), "{\"k\":1}");
    gives(Format::Json, r#"["\u00{Text1}"]"#, json!({"Text1": "e9"}), r#"["\u00e9"]"#);
    fails(Format::Json, r#"["\u00{Text1}"]"#, json!({"Text1": "zz"}), "invalid_body");
    gives(Format::Json, r#"{"a":{join(items, i, "{i.sku}")}}"#, json!({"items": [{"sku": 1}]}), r#"{"a":1}"#);
    fails(Format::Json, r#"{"a":{join(items, i, "{i.sku}")}}"#, json!({"items": []}), "invalid_body");
}
