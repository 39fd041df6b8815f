//! `CloudEvents` 1.0 over HTTP: the three modes, checked with events built as the specification's own
//! examples are: an event with every attribute, one with extensions, numbers and nulls, one without
//! data, one with data in base 64, a batch of two sources.

use serde_json::{Value, json};

use super::http::Answer;
use super::server::Running;

const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";
const BATCH: &str = "application/cloudevents-batch+json";

async fn post(running: &Running, content_type: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![("Content-Type", content_type)];
    all.extend_from_slice(headers);
    running.client.send("POST", "/v1/events", &all, body.as_bytes()).await
}

async fn stored(running: &Running, answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{}", answer.body);
    running.client.get(&format!("/v1/events/{}", answer.json()["id"].as_str().unwrap())).await.json()
}

fn event(patch: Value) -> Value {
    let mut event = json!({
        "specversion": "1.0", "type": "com.example.platform.action.tracked", "source": "/campaigns/1000", "id": "A234-1234-1234",
        "time": "2026-04-05T17:31:00Z", "account": "acme", "datacontenttype": "application/json",
        "data": {"ActionId": "1000.1.2", "Payout": "5.00"},
    });
    for (name, value) in patch.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

#[tokio::test]
async fn a_structured_event_is_an_event_of_ours() {
    let running = Running::start().await;
    let body = r#"{"specversion":"1.0","type":"com.example.platform.action.tracked","source":"https://platform.example/campaigns/1000","subject":"1000.1.2","id":"A234-1234-1234","time":"2026-04-05T17:31:00Z","dataschema":"https://platform.example/schema","account":"acme","comexampleextension1":"value","comexampleothervalue":5,"comexampleflag":true,"unsetextension":null,"datacontenttype":"application/vnd.action+json","data":{"ActionId":"1000.1.2","Payout":5.00}}"#;
    let shown = stored(&running, &post(&running, STRUCTURED, &[], body).await).await;
    assert_eq!((&shown["account"], &shown["type"]), (&json!("acme"), &json!("action.tracked")));
    assert_eq!(shown["key"], "https://platform.example/campaigns/1000 A234-1234-1234");
    assert_eq!(shown["occurred_at"], "2026-04-05T17:31:00.000Z");
    let id = shown["id"].as_str().unwrap();
    let as_read = running.client.get(&format!("/v1/events/{id}")).await.body;
    assert!(as_read.contains(r#""data":{"ActionId":"1000.1.2","Payout":5.00}"#), "numbers keep their digits: {as_read}");
}

#[tokio::test]
async fn source_and_id_are_the_key() {
    let running = Running::start().await;
    let first = post(&running, STRUCTURED, &[], &event(json!({})).to_string()).await;
    let again = post(&running, STRUCTURED, &[], &event(json!({"subject": "other"})).to_string()).await;
    assert_eq!(
        (again.status, again.json()["duplicate"].clone(), again.json()["id"].clone()),
        (202, json!(true), first.json()["id"].clone())
    );
    let other_source = post(&running, STRUCTURED, &[], &event(json!({"source": "/campaigns/1001"})).to_string()).await;
    assert_eq!((other_source.status, other_source.json()["duplicate"].clone()), (202, json!(false)));
    let reused = post(&running, STRUCTURED, &[], &event(json!({"data": {"ActionId": "9"}})).to_string()).await;
    assert_eq!(
        (reused.status, reused.json()["code"].clone(), reused.json()["errors"][0]["pointer"].clone()),
        (422, json!("key_reused"), json!("/id"))
    );
    let own = json!({"account": "acme", "type": "action.tracked", "key": "/campaigns/1000 A234-1234-1234", "occurred_at": "2026-04-05T17:31:00Z", "data": {"ActionId": "1000.1.2", "Payout": "5.00"}});
    assert_eq!(running.client.post("/v1/events", own).await.json()["duplicate"], true, "the key is the same however the event comes");
    let long = event(json!({"source": format!("/{}", "s".repeat(300))}));
    let kept = stored(&running, &post(&running, STRUCTURED, &[], &long.to_string()).await).await;
    assert!(kept["key"].as_str().unwrap().starts_with("sha256:"), "{}", kept["key"]);
    assert_eq!(post(&running, STRUCTURED, &[], &long.to_string()).await.json()["duplicate"], true);
    let conflict = post(&running, STRUCTURED, &[("Idempotency-Key", "k")], &event(json!({})).to_string()).await;
    assert_eq!((conflict.status, conflict.json()["errors"][0]["code"].clone()), (422, json!("key_conflict")));
}

#[tokio::test]
async fn types_stand_alone_or_behind_a_reversed_domain() {
    let running = Running::start().await;
    running.client.post("/v1/event-types", json!({"type": "coupon.redeemed"})).await;
    for (number, (given, ours)) in [
        ("action.cleared", Some("action.cleared")),
        ("com.example.action.cleared", Some("action.cleared")),
        ("org.Example-Inc.v1.coupon.redeemed", Some("coupon.redeemed")),
        ("example.action.cleared", None),
        ("com.example.object.deleted", None),
        ("com.example.action.cleared.v2", None),
        ("com.example.Action.Cleared", None),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = post(&running, STRUCTURED, &[], &event(json!({"type": given, "id": number.to_string()})).to_string()).await;
        match ours {
            Some(ours) => assert_eq!(stored(&running, &answer).await["type"], ours, "{given}"),
            None => assert_eq!((answer.status, answer.json()["errors"][0]["code"].clone()), (422, json!("unknown_event_type")), "{given}"),
        }
    }
}

#[tokio::test]
async fn data_come_as_json_in_base_64_or_not_at_all() {
    let running = Running::start().await;
    let mut encoded = event(json!({"data_base64": "eyJBY3Rpb25JZCI6ICI3In0=", "id": "b"}));
    encoded.as_object_mut().unwrap().shift_remove("data");
    assert_eq!(stored(&running, &post(&running, STRUCTURED, &[], &encoded.to_string()).await).await["data"], json!({"ActionId": "7"}));
    let mut without = event(json!({"id": "c"}));
    without.as_object_mut().unwrap().shift_remove("data");
    without.as_object_mut().unwrap().shift_remove("datacontenttype");
    assert_eq!(stored(&running, &post(&running, STRUCTURED, &[], &without.to_string()).await).await["data"], json!({}));
    let null = event(json!({"id": "d", "data": null}));
    assert_eq!(stored(&running, &post(&running, STRUCTURED, &[], &null.to_string()).await).await["data"], json!({}));
}

#[tokio::test]
async fn a_batch_is_taken_all_or_none() {
    let running = Running::start().await;
    let two = json!([event(json!({})), event(json!({"source": "/other", "type": "click.recorded", "data": {"ClickId": "1"}}))]);
    let answer = post(&running, BATCH, &[], &two.to_string()).await;
    assert_eq!((answer.status, answer.json()["results"].as_array().unwrap().len()), (202, 2), "{}", answer.body);
    let again = post(&running, BATCH, &[], &two.to_string()).await.json();
    assert!(again["results"].as_array().unwrap().iter().all(|result| result["duplicate"] == true));
    let bad = json!([event(json!({"id": "new"})), event(json!({"id": "", "time": "noon"}))]);
    let refused = post(&running, BATCH, &[], &bad.to_string()).await;
    let pointers: Vec<_> = refused.json()["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!((refused.status, pointers), (422, vec![json!("/1/id"), json!("/1/time")]));
    assert_eq!(running.client.get("/v1/events").await.json()["data"].as_array().unwrap().len(), 2);
    for (body, code) in [("[]", "no_events"), ("{}", "invalid_value")] {
        assert_eq!(post(&running, BATCH, &[], body).await.json()["errors"][0]["code"], code, "{body}");
    }
}

#[tokio::test]
async fn a_binary_event_has_its_attributes_in_headers() {
    let running = Running::start().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("CE-Type", "com.example.action.tracked"),
        ("ce-source", "/campaigns/1000"),
        ("ce-id", "\"Euro%20%E2%82%AC%20%F0%9F%98%80\""),
        ("ce-time", "2026-04-05T17:31:00Z"),
        ("ce-account", "acme"),
        ("ce-comexampleextension1", "value"),
    ];
    let shown = stored(&running, &post(&running, "application/json; charset=utf-8", &headers, r#"{"Payout":5.00}"#).await).await;
    assert_eq!((&shown["type"], &shown["key"]), (&json!("action.tracked"), &json!("/campaigns/1000 Euro € 😀")));
    let structured = event(json!({"id": "Euro € 😀", "data": {}}));
    let reused = post(&running, STRUCTURED, &[], &structured.to_string()).await;
    assert_eq!(reused.json()["code"], "key_reused", "the mode does not matter to the key");
    let empty = post(&running, "application/json", &[&headers[..3], &[("ce-id", "e"), ("ce-account", "acme")]].concat(), "").await;
    assert_eq!(stored(&running, &empty).await["data"], json!({}));
    for (content_type, replaced, code, pointer) in [
        ("text/plain", ("ce-id", "x"), "unsupported_data", "/datacontenttype"),
        ("application/json", ("ce-id", ""), "invalid_attribute", "/id"),
        ("application/json", ("ce-id", "%ff"), "invalid_attribute", "/id"),
        ("application/json", ("ce-source", "a b"), "invalid_attribute", "/source"),
        ("application/json", ("ce-specversion", "0.3"), "unsupported_specversion", "/specversion"),
        ("application/json", ("ce-time", "noon"), "invalid_time", "/time"),
    ] {
        let mut headers = headers.to_vec();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(replaced.0));
        headers.push(replaced);
        let answer = post(&running, content_type, &headers, "{}").await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!(
            (answer.status, &error["code"], &error["pointer"]),
            (422, &json!(code), &json!(pointer)),
            "{replaced:?}: {}",
            answer.body
        );
    }
    let bad_data = post(&running, "application/json", &headers, r#"{"items":"none"}"#).await;
    assert_eq!(bad_data.json()["errors"][0]["pointer"], "/data/items");
}

#[tokio::test]
async fn the_account_is_the_extension_or_that_of_the_key() {
    let running = Running::start().await;
    running.client.post("/v1/accounts", json!({"id": "other"})).await;
    let key = running.client.post("/v1/keys", json!({"name": "acme", "scope": "account", "account": "acme"})).await.json();
    let own = super::http::Client { key: key["key"].as_str().unwrap().to_owned(), ..running.client.clone() };
    let mut nameless = event(json!({}));
    nameless.as_object_mut().unwrap().shift_remove("account");
    let structured = [("Content-Type", STRUCTURED)];
    let taken = own.send("POST", "/v1/events", &structured, nameless.to_string().as_bytes()).await;
    assert_eq!(stored(&running, &taken).await["account"], "acme");
    let operator = post(&running, STRUCTURED, &[], &nameless.to_string()).await;
    assert_eq!((operator.status, operator.json()["errors"][0]["pointer"].clone()), (422, json!("/account")));
    let foreign = own.send("POST", "/v1/events", &structured, event(json!({"account": "other"})).to_string().as_bytes()).await;
    let nobodys = own.send("POST", "/v1/events", &structured, event(json!({"account": "nobody"})).to_string().as_bytes()).await;
    assert_eq!((foreign.status, foreign.json()["code"].clone()), (422, json!("unknown_account")));
    assert_eq!(
        body_of(&foreign).to_string().replace("other", "nobody"),
        body_of(&nobodys).to_string(),
        "another's account answers as one that does not exist"
    );
}

/// The body of a refusal, without the id of its request.
fn body_of(answer: &super::http::Answer) -> Value {
    let mut body = answer.json();
    body.as_object_mut().unwrap().shift_remove("request_id");
    body
}

#[tokio::test]
async fn every_bad_cloudevent_is_named_with_its_attribute() {
    let running = Running::start().await;
    let without = |name: &str| {
        let mut event = event(json!({}));
        event.as_object_mut().unwrap().shift_remove(name);
        event.to_string()
    };
    let with = |patch: Value| event(patch).to_string();
    let table = [
        ("{".to_owned(), 400, "malformed_json", ""),
        ("[]".to_owned(), 422, "invalid_value", ""),
        (r#"{"id":"1","id":"2"}"#.to_owned(), 422, "invalid_value", ""),
        (without("specversion"), 422, "missing_field", "/specversion"),
        (without("id"), 422, "missing_field", "/id"),
        (without("source"), 422, "missing_field", "/source"),
        (without("type"), 422, "missing_field", "/type"),
        (without("account"), 422, "missing_field", "/account"),
        (with(json!({"specversion": "0.3"})), 422, "unsupported_specversion", "/specversion"),
        (with(json!({"id": 5})), 422, "invalid_attribute", "/id"),
        (with(json!({"id": null})), 422, "missing_field", "/id"),
        (with(json!({"source": ""})), 422, "invalid_attribute", "/source"),
        (with(json!({"time": "2026-04-05"})), 422, "invalid_time", "/time"),
        (with(json!({"time": 5})), 422, "invalid_attribute", "/time"),
        (with(json!({"account": "a b"})), 422, "invalid_account", "/account"),
        (with(json!({"account": "nobody"})), 422, "unknown_account", "/account"),
        (with(json!({"extension": {"a": 1}})), 422, "invalid_attribute", "/extension"),
        (with(json!({"my_extension": "x"})), 422, "invalid_attribute", "/my_extension"),
        (with(json!({"datacontenttype": "application/xml", "data": "<a/>"})), 422, "unsupported_data", "/datacontenttype"),
        (with(json!({"data": "text"})), 422, "malformed_json", "/data"),
        (with(json!({"data": {"Payout": []}})), 422, "wrong_field_type", "/data/Payout"),
        (with(json!({"data_base64": "e30="})), 422, "invalid_value", "/data_base64"),
    ];
    for (body, status, code, pointer) in table {
        let answer = post(&running, STRUCTURED, &[], &body).await;
        let problem = answer.json();
        let found = problem["errors"][0]["code"].as_str().unwrap_or(problem["code"].as_str().unwrap()).to_owned();
        let place = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!((answer.status, found.as_str(), place), (status, code, pointer), "{body}: {}", answer.body);
    }
    let avro = post(&running, "application/cloudevents+avro", &[], "x").await;
    assert_eq!((avro.status, avro.json()["code"].clone()), (415, json!("unsupported_media_type")));
    assert_eq!(running.client.get("/v1/events").await.json()["data"], json!([]));
}
