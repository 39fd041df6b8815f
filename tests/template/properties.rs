//! What holds for every event and every template text, for both engines.

use postrider::template::{Engine, Format, Template, Values, apply_fixes};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;

/// Values as hostile as they come: any Unicode, and pieces that mean something somewhere.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>().prop_map(String::from),
        1 => "[a-zA-Z0-9 .-]{0,8}",
        3 => prop::sample::select(vec![
            "\"", "\\", "\r\n", "\n", "\t", "\0", "\u{1}", "\u{7f}", "\u{2028}", "]]>", "]]", "]", ">", "<", "&", "&amp;", "'",
            "{Payout}", "{{Payout}}", "<Status>", "\\{", "\\u00e9", "%20", "+", "#", "?", "/", "..", "null", "true", "1e5", "-0",
            "{join(items, i, \"x\")}", "\u{fffe}", "\u{feff}", "é", "😀",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?(e-?[0-9]{1,3})?";
    prop_oneof![
        6 => text().prop_map(Value::String),
        1 => number.prop_map(|digits| serde_json::from_str(&digits).unwrap()),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
    ]
}

fn event() -> impl Strategy<Value = Map<String, Value>> {
    let item = (value(), value()).prop_map(|(sku, name)| json!({"sku": sku, "name": name}));
    let items = prop::collection::vec(item, 0..4);
    (value(), value(), value(), items).prop_map(|(a, b, c, items)| {
        Map::from_iter([
            ("SubId1".to_owned(), a),
            ("SubId2".to_owned(), b),
            ("Payout".to_owned(), c),
            ("items".to_owned(), Value::Array(items)),
        ])
    })
}

/// What a value is as text.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What a value is outside quotes of JSON.
fn bare(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::Null,
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(number @ Value::Number(_)) if !text.contains(char::is_whitespace) => number,
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// What XML keeps of a text: forbidden characters become U+FFFD.
fn xml(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}

fn template(engine: Engine, format: Format, macros: &str, handlebars: &str) -> Template {
    let source = if engine == Engine::Macro { macros } else { handlebars };
    Template::compile(engine, format, source, &Catalogue::documented()).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

const ENGINES: [Engine; 2] = [Engine::Macro, Engine::Handlebars];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn e2_json_parses_back_to_the_values(event in event()) {
        for engine in ENGINES {
            let template = template(
                engine,
                Format::Json,
                r#"{"a":"{SubId1}","b":{SubId2},"c":"<{Payout}>","l":[{join(items, i, "{\"s\":\"{i.sku}\",\"n\":{i.name}}")}]}"#,
                r#"{"a":"{{SubId1}}","b":{{SubId2}},"c":"<{{Payout}}>","l":[{{#each items}}{{#unless @first}},{{/unless}}{"s":"{{sku}}","n":{{name}} }{{/each}}]}"#,
            );
            let text = template.render(&Values { event: &event, extra: &[] }).unwrap();
            let body: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&body["a"], &json!(plain(&event["SubId1"])));
            prop_assert_eq!(&body["b"], &bare(&event["SubId2"]));
            prop_assert_eq!(&body["c"], &json!(format!("<{}>", plain(&event["Payout"]))));
            let items = event["items"].as_array().unwrap();
            prop_assert_eq!(body["l"].as_array().unwrap().len(), items.len());
            for (sent, item) in body["l"].as_array().unwrap().iter().zip(items) {
                prop_assert_eq!(&sent["s"], &json!(plain(&item["sku"])));
                prop_assert_eq!(&sent["n"], &bare(&item["name"]));
            }
        }
    }

    #[test]
    fn e3_xml_parses_back_to_the_values(event in event()) {
        for engine in ENGINES {
            let template = template(
                engine,
                Format::Xml,
                "<e a=\"{SubId1}\" b='{Payout}'><t>{SubId1}</t><c><![CDATA[]{SubId2}]>]]></c>{join(items, i, \"<i>{i.sku}</i>\")}</e>",
                "<e a=\"{{SubId1}}\" b='{{Payout}}'><t>{{SubId1}}</t><c><![CDATA[]{{SubId2}}]>]]></c>{{#each items}}<i>{{sku}}</i>{{/each}}</e>",
            );
            let text = template.render(&Values { event: &event, extra: &[] }).unwrap();
            let document = roxmltree::Document::parse(&text).unwrap();
            let root = document.root_element();
            prop_assert_eq!(root.attribute("a").unwrap(), xml(&plain(&event["SubId1"])));
            prop_assert_eq!(root.attribute("b").unwrap(), xml(&plain(&event["Payout"])));
            let elements: Vec<String> = root.children().map(|element| {
                element.descendants().filter(|node| node.is_text()).map(|node| node.text().unwrap_or_default()).collect()
            }).collect();
            prop_assert_eq!(&elements[0], &xml(&plain(&event["SubId1"])));
            prop_assert_eq!(&elements[1], &format!("]{}]>", xml(&plain(&event["SubId2"]))));
            let items: Vec<String> = event["items"].as_array().unwrap().iter().map(|item| xml(&plain(&item["sku"]))).collect();
            prop_assert_eq!(&elements[2..], &items[..]);
        }
    }

    #[test]
    fn a_query_parses_back_to_the_same_pairs(event in event()) {
        for engine in ENGINES {
            let template = template(engine, Format::Query, "a={SubId1}&b={SubId2}{Payout}", "a={{SubId1}}&b={{SubId2}}{{Payout}}");
            let text = template.render(&Values { event: &event, extra: &[] }).unwrap();
            let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            let both = plain(&event["SubId2"]) + &plain(&event["Payout"]);
            prop_assert_eq!(pairs, [("a".to_owned(), plain(&event["SubId1"])), ("b".to_owned(), both)]);
        }
    }

    #[test]
    fn d16_an_address_keeps_host_path_and_pairs(event in event()) {
        for engine in ENGINES {
            let template = template(engine, Format::Url, "https://t.example/p/{SubId1}/x?a={SubId2}", "https://t.example/p/{{SubId1}}/x?a={{SubId2}}");
            match template.render(&Values { event: &event, extra: &[] }) {
                Ok(text) => {
                    let url = url::Url::parse(&text).unwrap();
                    prop_assert_eq!(url.host_str(), Some("t.example"));
                    prop_assert_eq!(url.path_segments().unwrap().count(), 3);
                    prop_assert_eq!(url.as_str(), text);
                    prop_assert_eq!(url.query_pairs().count(), 1);
                    prop_assert_eq!(url.fragment(), None);
                }
                Err(finding) => prop_assert_eq!(finding.code.as_str(), "dot_segment"),
            }
        }
    }

    #[test]
    fn e1_headers_never_carry_a_control_character(event in event()) {
        for engine in ENGINES {
            let template = template(engine, Format::Header, "x {SubId1} {Payout}", "x {{SubId1}} {{Payout}}");
            let values = plain(&event["SubId1"]) + &plain(&event["Payout"]);
            match template.render(&Values { event: &event, extra: &[] }) {
                Ok(text) => prop_assert!(!text.contains(char::is_control) && text.len() == values.len() + 3),
                Err(_) => prop_assert!(values.contains(char::is_control)),
            }
        }
    }

    #[test]
    fn no_text_and_no_event_makes_it_panic(source in template_text(), event in event(), format in 0..6_usize) {
        let format = Format::ALL[format];
        for engine in ENGINES {
            let names = Catalogue::with(&event);
            let template = match Template::compile(engine, format, &source, &names) {
                Ok(template) => template,
                Err(findings) => {
                    for finding in &findings {
                        prop_assert!(finding.render_text(&source, "t", false).contains(finding.code.as_str()));
                    }
                    let _ = apply_fixes(&source, &findings);
                    continue;
                }
            };
            let Ok(text) = template.render(&Values { event: &event, extra: &[] }) else { continue };
            match format {
                Format::Json => prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text),
                Format::Xml => prop_assert!(roxmltree::Document::parse(&text).is_ok(), "{}", text),
                Format::Header => prop_assert!(!text.contains(char::is_control)),
                _ => {}
            }
        }
    }
}

/// Template texts made of the pieces that matter, so that many of them compile.
fn template_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        1 => any::<char>().prop_map(String::from),
        8 => prop::sample::select(vec![
            "{SubId1}", "{Payout}", "<SubId2>", "{items}", "{join(items, i, \"", "{i.sku}", "\\\"", "\", \"", "\")}", "{lower(", ")}",
            "{raw(SubId1)}", "[", "]", "{", "}", "\"", ":", ",", "1", "-", "e", "true", "\\", "\\\\", "\\u00", " ", "\n",
            "<a>", "</a>", "<a b=\"", "<![CDATA[", "]]>", "]]", ">", "&", "<!--", "-->", "<?", "?>", "<", "https://t.example/", "/", "?a=", "..", "%",
            "{{SubId1}}", "{{#if SubId1}}", "{{else}}", "{{/if}}", "{{#each items}}", "{{sku}}", "{{/each}}", "{{~", "~}}", "{{items}}",
            "{\"a\":", "[{SubId1},", "\"{SubId2}\"]", "<a>{SubId1}</a>", "<a b='{SubId1}'/>",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}
