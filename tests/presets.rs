//! Every ready-made template works: it is accepted without an error, renders every sample event that
//! it is made for and hostile ones too, and its rules judge the receiver's known answers rightly.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use postrider::attempt::{Exchange, ReceivedResponse};
use postrider::clock::Timestamp;
use postrider::delivery::{Verdict, judge};
use postrider::event::{Event, EventData, catalogue};
use postrider::id::{DeliveryId, EventId};
use postrider::request::{DeliveryFacts, RequestTemplate};
use postrider::subscription::{BodyFormat, FieldNames, Preset, ResponseRule, RetryProfile, SubscriptionSpec, check};
use serde_json::{Value, json};

fn presets() -> impl Iterator<Item = Preset> {
    Preset::names().map(|name| Preset::find(name).unwrap())
}

/// The request's text with every parameter replaced by its example.
fn filled(preset: &Preset) -> postrider::subscription::RequestSpec {
    let mut text = serde_json::to_string(&preset.request).unwrap();
    for parameter in &preset.parameters {
        assert!(text.contains(&parameter.name), "{}: `{}` stands nowhere", preset.name, parameter.name);
        text = text.replace(&parameter.name, &parameter.example);
    }
    serde_json::from_str(&text).unwrap()
}

fn event(event_type: &str, data: EventData) -> Event {
    let at: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    Event {
        id: EventId::from_raw(1 << 80),
        account: "acme".parse().unwrap(),
        event_type: event_type.parse().unwrap(),
        key: None,
        occurred_at: at,
        received_at: at,
        data: Arc::new(data),
    }
}

fn facts() -> DeliveryFacts {
    DeliveryFacts { id: DeliveryId::of(EventId::from_raw(1 << 80), 1), attempt: 1, at: "2026-11-22T12:00:01Z".parse().unwrap() }
}

#[test]
fn every_file_of_the_folder_is_a_preset() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut files: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut names: Vec<_> = presets().map(|preset| preset.name).collect();
    files.sort();
    names.sort();
    assert_eq!(names, files);
}

#[test]
fn every_preset_is_accepted_as_a_subscription() {
    for preset in presets() {
        let spec = json!({
            "account": "acme", "name": preset.title, "event_types": preset.event_types, "request": filled(&preset),
            "success_response": preset.success_response, "error_response": preset.error_response,
        });
        let spec: SubscriptionSpec = serde_json::from_value(spec).unwrap();
        if let Err(errors) = check(&spec, &FieldNames::default(), &|name| catalogue::find(name.as_str()).is_some()) {
            panic!("{}: {errors:#?}", preset.name);
        }
    }
}

#[test]
fn every_preset_renders_the_samples_of_its_event_types() {
    for preset in presets() {
        let template = RequestTemplate::compile(&filled(&preset), &FieldNames::default()).unwrap();
        let wanted: Vec<postrider::event::EventTypePattern> = preset.event_types.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let mut rendered = 0;
        for entry in catalogue::types().filter(|entry| wanted.iter().any(|pattern| pattern.matches(&entry.name.parse().unwrap()))) {
            let data = EventData::parse(&Value::Object(catalogue::sample(entry.name).unwrap()).to_string()).unwrap();
            let request = template
                .build(&event(entry.name, data), &facts())
                .unwrap_or_else(|error| panic!("{} {}: {error}", preset.name, entry.name));
            assert!(
                !request.url.contains(['{', '}']) && !request.url.contains("%7B"),
                "{}: a macro was left: {}",
                preset.name,
                request.url
            );
            check_body(&preset, &request.body);
            rendered += 1;
        }
        assert!(rendered > 0, "{} is made for no event type", preset.name);
    }
}

fn check_body(preset: &Preset, body: &[u8]) {
    if body.is_empty() {
        return;
    }
    let text = std::str::from_utf8(body).unwrap();
    match preset.request.body_format {
        BodyFormat::Json => drop(serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{}: {error}: {text}", preset.name))),
        BodyFormat::Xml => drop(roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{}: {error}: {text}", preset.name))),
        BodyFormat::Query | BodyFormat::Raw => {}
    }
}

#[test]
fn hostile_events_never_break_a_preset_apart() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/events");
    let mut hostile = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with("hostile-") {
            continue;
        }
        hostile += 1;
        let text = fs::read_to_string(&path).unwrap();
        let file: std::collections::HashMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(&text).unwrap();
        let Ok(data) = EventData::parse(file["data"].get()) else { panic!("{} is refused", path.display()) };
        for preset in presets() {
            let template = RequestTemplate::compile(&filled(&preset), &FieldNames::default()).unwrap();
            // A value may make a request impossible, which is on record then; it never makes a wrong one.
            if let Ok(request) = template.build(&event("action.tracked", data.clone()), &facts()) {
                check_body(&preset, &request.body);
                let url = url::Url::parse(&request.url).unwrap();
                let typed = url::Url::parse(&filled(&preset).url.replace(['{', '}', '"', '<', '>', ' ', '\n'], "")).unwrap();
                assert_eq!(url.host_str(), typed.host_str(), "{} with {}", preset.name, path.display());
                assert!(!request.headers.iter().any(|(_, value)| value.contains(['\r', '\n'])));
            }
        }
    }
    assert!(hostile >= 8, "only {hostile} hostile events were found");
}

#[test]
fn the_known_answers_of_receivers_are_judged_rightly() {
    let mut judged = 0;
    for preset in presets() {
        let rule = |text: &Option<String>| text.as_ref().map(|text| ResponseRule::parse(text).unwrap());
        let (success, error) = (rule(&preset.success_response), rule(&preset.error_response));
        for reply in &preset.replies {
            let response =
                ReceivedResponse { status: reply.status, headers: Vec::new(), body: reply.body.clone().into_bytes(), truncated: false };
            let judgement =
                judge(&Exchange::Answered(response), success.as_ref(), error.as_ref(), RetryProfile::Standard, Timestamp::default());
            let verdict = match judgement.verdict {
                Verdict::Delivered => "delivered",
                Verdict::Final => "refused",
                Verdict::NotSent => panic!("an answer came, so it was sent"),
                Verdict::Retry { .. } => "retry",
            };
            assert_eq!(verdict, reply.verdict, "{}: {} {}: {}", preset.name, reply.status, reply.body, judgement.reason);
            judged += 1;
        }
    }
    assert!(judged > 30);
}

/// The sample body of impact.com with all 39 values and the items, byte for byte.
#[test]
fn the_impact_body_is_rendered_byte_for_byte() {
    let preset = Preset::find("impact-json").unwrap();
    let template = RequestTemplate::compile(&filled(&preset), &FieldNames::default()).unwrap();
    let data = EventData::parse(&Value::Object(catalogue::sample("action.cleared").unwrap()).to_string()).unwrap();
    let request = template.build(&event("action.cleared", data.clone()), &facts()).unwrap();
    let body = String::from_utf8(request.body).unwrap();
    let mut expected = preset.request.body.clone();
    let items = expected.find("{join(").unwrap();
    let end = expected.rfind(")}").unwrap() + 2;
    let list: Vec<String> = data.fields()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let field = |name: &str| item[name].as_str().unwrap().to_owned();
            format!(
                r#"{{"sku":"{}","item_price":{},"category":"{}","quantity":{},"cartamt":{},"rbt":"{}","name":"{}","category_list":"{}"}}"#,
                field("sku"),
                field("amt"),
                field("cat"),
                field("qty"),
                field("cartamt"),
                field("rbt"),
                field("name"),
                field("itemlist")
            )
        })
        .collect();
    expected.replace_range(items..end, &list.join(","));
    for field in catalogue::find("action.cleared").unwrap().fields {
        let value = data.scalar(field.name).unwrap_or_default();
        expected = expected.replace(&format!("{{{}}}", field.name), &value);
    }
    assert_eq!(body, expected);
    assert!(body.contains(r#""item_price":5.00"#), "5.00 stays 5.00");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap().as_object().unwrap().len(), 40);
}
