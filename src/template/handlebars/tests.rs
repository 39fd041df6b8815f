//! The engine as a whole: what it writes, and what it refuses.

use serde_json::{Map, Value, json};

use super::super::{Engine, FieldKind, Format, Names, Template, Values};

struct Catalogue;

impl Names for Catalogue {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        match name {
            "CampaignId" => Some(FieldKind::Integer),
            "Status" | "SubId1" | "SubId2" | "Flag" => Some(FieldKind::Text),
            "EventDate" => Some(FieldKind::Date),
            "items" => Some(FieldKind::List),
            _ => None,
        }
    }
    fn item_kind(&self, list: &str, field: &str) -> Option<FieldKind> {
        (list == "items" && ["sku", "qty"].contains(&field)).then_some(FieldKind::Text)
    }
    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        ["CampaignId", "Status", "SubId1", "SubId2", "EventDate", "items"].iter().for_each(|name| f(name));
    }
    fn for_each_item_field(&self, list: &str, f: &mut dyn FnMut(&str)) {
        if list == "items" {
            ["sku", "qty"].iter().for_each(|name| f(name));
        }
    }
}

fn event() -> Map<String, Value> {
    let event = json!({
        "CampaignId": 1000, "Status": "APPROVED", "SubId1": "a\"b<c&d\r\n", "Flag": true,
        "EventDate": "2024-09-10T10:42:38-07:00",
        "items": [{"sku": "A\"1", "qty": "2"}, {"sku": "B"}]
    });
    event.as_object().unwrap().clone()
}

fn outcome(format: Format, source: &str) -> Result<String, String> {
    let compiled = Template::compile(Engine::Handlebars, format, source, &Catalogue);
    let template = compiled.map_err(|findings| findings[0].code.to_string())?;
    let event = event();
    let rendered = template.render(&Values { event: &event, extra: &[] });
    rendered.map_err(|finding| finding.code.to_string())
}

#[track_caller]
fn gives(format: Format, source: &str, expected: &str) {
    assert_eq!(outcome(format, source), Ok(expected.to_owned()), "{source}");
}

#[track_caller]
fn fails(format: Format, source: &str, code: &str) {
    assert_eq!(outcome(format, source), Err(code.to_owned()), "{source}");
}

#[test]
fn values_are_escaped_by_where_they_stand() {
    gives(Format::Json, r#"{"a":"{{SubId1}}","n":{{CampaignId}}}"#, r#"{"a":"a\"b<c&d\r\n","n":1000}"#);
    gives(Format::Json, r#"{"a":{{SubId1}},"m":{{SubId2}},"f":{{Flag}}}"#, r#"{"a":"a\"b<c&d\r\n","m":null,"f":true}"#);
    gives(Format::Xml, "<a b='{{SubId1}}'>{{SubId1}}</a>", "<a b='a&quot;b&lt;c&amp;d&#13;&#10;'>a&quot;b&lt;c&amp;d&#13;\n</a>");
    gives(Format::Query, "a={{SubId1}}", "a=a%22b%3Cc%26d%0D%0A");
    gives(Format::Url, "https://t.example/{{Status}}?s={{SubId2}}", "https://t.example/APPROVED?s=");
    gives(Format::Raw, "{{SubId1}}", "a\"b<c&d\r\n");
}

#[test]
fn conditions_and_loops_work() {
    let body =
        r#"[{{#each items}}{{#unless @first}},{{/unless}}{"sku":"{{sku}}","q":{{qty}},"c":{{@root.CampaignId}},"n":{{@index}}}{{/each}}]"#;
    gives(Format::Json, body, r#"[{"sku":"A\"1","q":2,"c":1000,"n":0},{"sku":"B","q":null,"c":1000,"n":1}]"#);
    gives(Format::Raw, r#"{{#if (eq Status "APPROVED")}}yes{{else if SubId1}}x{{else}}no{{/if}}"#, "yes");
    gives(Format::Raw, "{{#if SubId2}}yes{{else}}no{{/if}}", "no");
    gives(Format::Raw, "{{#each items as |item i|}}{{i}}{{item.sku}};{{/each}}", "0A\"1;1B;");
    gives(Format::Raw, "{{#each items}}{{this.sku}}{{../Status}};{{/each}}", "A\"1APPROVED;BAPPROVED;");
}

#[test]
fn helpers_are_the_functions_of_the_language() {
    gives(Format::Query, r#"s={{map Status "APPROVED=1" "*=2"}}"#, "s=1");
    gives(Format::Json, r#"{"t":{{date EventDate "%s"}}}"#, r#"{"t":1725990158}"#);
    gives(Format::Query, "h={{md5 (lower Status)}}", "h=787d5f05953ec39b108869dfdd7733e6");
}

#[test]
fn default_and_join_return_values() {
    gives(Format::Query, r#"s={{default SubId2 "n o"}}"#, "s=n%20o");
    gives(Format::Query, r#"s={{join items "sku" "|"}}"#, "s=A%221%7CB");
    gives(Format::Json, r#"{"s":"{{join items "sku"}}"}"#, r#"{"s":"A\"1,B"}"#);
    gives(Format::Raw, r#"{{join items "i" "{i.index}:{i.sku}" " "}}"#, "1:A\"1 2:B");
    gives(Format::Raw, r#"{{join items "i" "{i.sku}{CampaignId}" ""}}"#, "A\"11000B1000");
    fails(Format::Raw, r#"{{join items "i" "{i.nope}"}}"#, "unknown_macro");
    fails(Format::Raw, r#"{{join items "i" "{Nope}"}}"#, "unknown_macro");
    gives(Format::Query, "s={{raw Status}}", "s=APPROVED");
}

#[test]
fn every_check_on_the_result_holds_too() {
    fails(Format::Url, "https://{{SubId2}}.example/", "macro_in_authority");
    fails(Format::Url, "{{SubId2}}://t.example/", "bad_scheme");
    fails(Format::Url, "https://t.example/../x", "dot_segment");
    fails(Format::Header, "{{SubId1}}", "invalid_header");
    fails(Format::Json, r#"{"a":{{#if Status}}{{/if}}}"#, "invalid_body");
    fails(Format::Xml, "<a>{{Status}}", "invalid_body");
    fails(Format::Xml, "<{{Status}}/>", "macro_in_markup");
    fails(Format::Query, "s={{items}}", "not_scalar");
}

#[test]
fn unknown_names_are_found_when_saved() {
    fails(Format::Raw, "{{Statsu}}", "unknown_macro");
    fails(Format::Raw, "{{#if Nope}}x{{/if}}", "unknown_macro");
    fails(Format::Raw, "{{#each items}}{{price}}{{/each}}", "unknown_macro");
    fails(Format::Raw, "{{#each items}}{{Status}}{{/each}}", "unknown_macro");
    fails(Format::Raw, "{{lower (upper Nope)}}", "unknown_macro");
    fails(Format::Raw, "{{shout Status}}", "unknown_function");
    fails(Format::Raw, "{{#items}}{{sku}}{{/items}}", "unknown_function");
    fails(Format::Raw, "{{lower}}", "bad_arity");
    fails(Format::Raw, "{{#each CampaignId}}x{{/each}}", "not_a_list");
}

#[test]
fn e8_what_could_run_away_is_refused() {
    for source in [
        "{{{Status}}}",
        "{{~{Status}~}}",
        "{{&Status}}",
        "{{> x}}",
        "{{#> x}}{{/x}}",
        "{{#*inline \"x\"}}{{> x}}{{/inline}}",
        "{{*x}}",
        "{{{{raw}}}} {{x}} {{{{/raw}}}}",
        "{{~> x}}",
        "{{# > x}}{{/x}}",
    ] {
        fails(Format::Raw, source, "refused_construct");
    }
    fails(Format::Raw, "{{log Status}}", "unknown_function");
    fails(Format::Raw, &"x".repeat(super::SOURCE_BYTES_MAX + 1), "template_too_large");
    let blocks = |depth: usize| format!("{}x{}", "{{#if Status}}".repeat(depth), "{{/if}}".repeat(depth));
    gives(Format::Raw, &blocks(16), "x");
    fails(Format::Raw, &blocks(17), "nesting_too_deep");
    let loops = "{{#each @root.items}}".repeat(3) + &"{{/each}}".repeat(3);
    fails(Format::Raw, &loops, "nesting_too_deep");
    fails(Format::Raw, &format!("{{{{lower {}Status{}}}}}", "(lower ".repeat(17), ")".repeat(17)), "nesting_too_deep");
    fails(Format::Raw, "{{#if Status}}", "bad_template");
}

#[test]
fn e9_multiplied_loops_stop_at_the_step_limit() {
    let list: Vec<Value> = (0..2_000).map(|n| json!({"sku": n})).collect();
    let event = Map::from_iter([("items".to_owned(), Value::Array(list))]);
    let source = "{{#each items}}{{#each @root.items}}{{/each}}{{/each}}";
    let template = Template::compile(Engine::Handlebars, Format::Raw, source, &Catalogue).unwrap();
    let finding = template.render(&Values { event: &event, extra: &[] }).unwrap_err();
    assert_eq!(finding.code.as_str(), "too_many_steps");
    let source = "{{#each items}}{{#each @root.items}}0123456789012345678901234567890123456789{{/each}}{{/each}}";
    let template = Template::compile(Engine::Handlebars, Format::Raw, source, &Catalogue).unwrap();
    let finding = template.render(&Values { event: &event, extra: &[] }).unwrap_err();
    assert!(["too_many_steps", "output_too_large"].contains(&finding.code.as_str()));
}

#[test]
fn work_inside_helpers_counts_too() {
    let list: Vec<Value> = (0..5_000).map(|_| json!({})).collect();
    let event = Map::from_iter([("items".to_owned(), Value::Array(list)), ("SubId1".to_owned(), json!("x".repeat(500_000)))]);
    for inner in ["{{#if (join @root.items \"sku\" \"\")}}{{/if}}", "{{#if (sha256 @root.SubId1)}}{{/if}}"] {
        let source = format!("{{{{#each items}}}}{inner}{{{{/each}}}}");
        let template = Template::compile(Engine::Handlebars, Format::Raw, &source, &Catalogue).unwrap();
        let finding = template.render(&Values { event: &event, extra: &[] }).unwrap_err();
        assert_eq!(finding.code.as_str(), "too_many_steps", "{inner}");
    }
}

#[test]
fn hostile_text_needs_no_deep_stack() {
    let run = || {
        for piece in ["{{#if a}}", "{{(", "{{lower (", "{{else if a}}", "{{[", "{{#if Status}}{{else if Status}}", "{{{", "\\{{", "{{!"] {
            let source = piece.repeat(15_000 / piece.len());
            let _ = Template::compile(Engine::Handlebars, Format::Raw, &source, &Catalogue);
        }
        let elses = format!("{{{{#if SubId2}}}}{}{{{{/if}}}}", "{{else if SubId2}}x".repeat(32));
        gives(Format::Raw, &elses.repeat(3), "");
        let nested = format!("{}x{}", "{{#if Status}}".repeat(16), "{{/if}}".repeat(16));
        gives(Format::Raw, &nested, "x");
    };
    let thread = std::thread::Builder::new().stack_size(1024 * 1024);
    thread.spawn(run).unwrap().join().unwrap();
}

#[test]
fn e5_a_value_that_looks_like_markup_stays_a_value() {
    let event = Map::from_iter([("SubId1".to_owned(), json!("{{Status}}\u{1}0123\u{2}t0:3:abc"))]);
    let template = Template::compile(Engine::Handlebars, Format::Raw, "{{SubId1}}", &Catalogue).unwrap();
    let text = template.render(&Values { event: &event, extra: &[] }).unwrap();
    assert_eq!(text, "{{Status}}\u{1}0123\u{2}t0:3:abc");
}

#[test]
fn raw_and_plain_http_are_warned_of() {
    let codes = |format, source: &str| -> Vec<String> {
        let template = Template::compile(Engine::Handlebars, format, source, &Catalogue).unwrap();
        template.warnings().iter().map(|finding| finding.code.to_string()).collect()
    };
    assert_eq!(codes(Format::Url, "http://t.example/?s={{raw Status}}"), ["plain_http", "raw_in_url"]);
    assert_eq!(codes(Format::Xml, "<a>{{raw (lower Status)}}</a>"), ["raw_in_body"]);
    assert_eq!(codes(Format::Json, "[\"{{Status}}\"]"), [""; 0]);
}

#[test]
fn templates_are_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Template::compile(Engine::Handlebars, Format::Raw, "{{Status}}", &Catalogue).unwrap());
}
