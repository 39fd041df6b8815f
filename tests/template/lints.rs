//! Every warning of the language, what silences it, and the two that concern a whole request.

use postrider::template::{Code, Engine, Format, Options, Part, Template, apply_fixes, lint_request};

use crate::catalogue::Catalogue;

fn template(format: Format, source: &str) -> Template {
    let compiled = Template::compile(Engine::Macro, format, source, &Catalogue::documented());
    compiled.unwrap_or_else(|findings| panic!("{source}: {findings:#?}"))
}

fn warnings(format: Format, source: &str) -> Vec<Code> {
    template(format, source).warnings().iter().map(|finding| finding.code).collect()
}

#[test]
fn e13_each_warning_is_given_where_it_belongs_and_not_elsewhere() {
    use Format::{Json, Query, Raw, Url, Xml};
    let cases: [(Format, &str, &[Code]); 27] = [
        (Query, "a={{Payout}}", &[Code::DoubleBraces]),
        (Query, "a=\\{{Payout}}", &[]),
        (Json, r#"{"a":{"b":{Payout}}}"#, &[]),
        (Raw, "{Pay\n  out}", &[Code::WrappedMacro]),
        (Raw, "{some\ntext}", &[]),
        (Raw, "\\{Pay\nout}", &[]),
        (Query, "a=%7BPayout%7d", &[Code::EncodedMacro]),
        (Query, "a=%7BNothing%7D", &[]),
        (Query, "a={raw(SubId1)}", &[Code::RawInUrl]),
        (Json, r#"["{raw(SubId1)}"]"#, &[Code::RawInBody]),
        (Raw, "{raw(SubId1)}", &[]),
        (Url, "https://t.example/?token=abc&c={SubId1}", &[Code::SecretInUrl]),
        (Url, "https://t.example/?x=1&API-Key=abc", &[Code::SecretInUrl]),
        (Url, "https://t.example/?token={SubId1}", &[]),
        (Url, "https://t.example/?token=", &[]),
        (Url, "http://t.example/", &[Code::PlainHttp]),
        (Url, "https://t.example/", &[]),
        (Json, r#"{"a":{Status}}"#, &[Code::MacroUnquotedText]),
        (Json, r#"{"a":"{Status}","b":{Payout}}"#, &[]),
        (Query, "payout={Amount}", &[Code::MoneyConfusion]),
        (Json, r#"{"total_revenue": "{DeltaAmount}"}"#, &[Code::MoneyConfusion]),
        (Xml, "<commission>{Amount}</commission>", &[Code::MoneyConfusion]),
        (Query, "amount={Amount}&payout={Payout}", &[]),
        (Query, "sale_amount={Amount}", &[]),
        (Query, "a={join(items, i, \"\\\\\"x\")}", &[Code::EscapeRun]),
        (Json, r#"{"a":"\\{Payout}"}"#, &[]),
        (Raw, "http://t.example/", &[]),
    ];
    for (format, source, expected) in cases {
        assert_eq!(warnings(format, source), expected, "{source}");
    }
}

#[test]
fn fixes_remove_what_they_are_offered_for() {
    let cases = [
        (Format::Query, "a={{Payout}}", "a={Payout}"),
        (Format::Raw, "{Pay\n  out}", "{Payout}"),
        (Format::Query, "a=%7BPayout%7D", "a={Payout}"),
        (Format::Url, " http://t.example/", " https://t.example/"),
        (Format::Json, r#"{"a":{Status}}"#, r#"{"a":"{Status}"}"#),
    ];
    for (format, source, expected) in cases {
        let fixed = apply_fixes(source, template(format, source).warnings());
        assert_eq!(fixed, expected);
        assert_eq!(warnings(format, &fixed), [], "{fixed}");
    }
}

#[test]
fn a_warning_is_silenced_by_its_name_and_an_error_is_not() {
    let silence = ["plain_http".parse().unwrap(), Code::UnknownMacro];
    let options = Options { silence: &silence };
    let compile = |source| Template::compile_with(Engine::Macro, Format::Url, source, &Catalogue::documented(), &options);
    assert_eq!(compile("http://t.example/").unwrap().warnings(), []);
    assert_eq!(compile("http://t.example/?a={Nope}").unwrap_err().len(), 1);
}

#[test]
fn a_request_needs_a_status_and_an_id() {
    let url = template(Format::Url, "https://t.example/?c={SubId1}");
    let body = template(Format::Query, "id={ActionId}&s={default(Status, \"x\")}");
    let codes = |parts: &[(Part, &Template)], life_cycle| -> Vec<Code> {
        lint_request(parts, life_cycle).iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes(&[(Part::Url, &url)], true), [Code::NoReversalSignal, Code::NoDedupKey]);
    assert_eq!(codes(&[(Part::Url, &url)], false), [Code::NoDedupKey]);
    assert_eq!(codes(&[(Part::Url, &url), (Part::Body, &body)], true), []);
}

#[test]
fn names_are_suggested_and_all_errors_come_at_once() {
    let source = "a={campaignid}&b={Paiout}&c={lover(Status)}&d={join(items, i, \"{i.skuu}\")}&e={Zzzzzzzz}";
    let names = Catalogue::documented();
    let findings = Template::compile(Engine::Macro, Format::Query, source, &names).unwrap_err();
    let suggestions: Vec<_> = findings.iter().map(|finding| finding.suggestion.as_deref()).collect();
    assert_eq!(suggestions, [Some("CampaignId"), Some("Payout"), Some("lower"), Some("i.sku"), None]);
    assert_eq!(findings[1].to_string(), "unknown macro `Paiout`; did you mean `Payout`? at 1:19");
    assert!(Template::compile(Engine::Macro, Format::Query, &apply_fixes(source, &findings[..4]), &names).is_err());
}
