//! Subscriptions that are not saved: shown and tried over HTTP.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

const PREVIEW: &str = "/v1/subscriptions/preview";
const TEST: &str = "/v1/subscriptions/test";

fn draft(request: Value) -> Value {
    json!({"account": "acme", "name": "draft", "event_types": ["action.*"], "request": request})
}

#[tokio::test]
async fn the_exact_request_is_shown_and_nothing_is_sent_or_stored() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let url = format!("http://{}/pb?id={{ActionId}}", receiver.address);
    let request = json!({"method": "POST", "url": url, "body_format": "json", "body": "{\"p\": {Payout}}", "headers": [{"name": "X-Status", "value": "{Status}"}]});
    let event = r#"{"type":"action.tracked","data":{"ActionId":"7 7","Payout":5.00,"Status":"PENDING"}}"#;
    let body = format!(r#"{{"subscription":{},"event":{event}}}"#, draft(request.clone()));
    let answer = running.client.post(PREVIEW, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let shown = answer.json();
    assert_eq!((shown["errors"].clone(), shown["event"]["wanted"].clone()), (json!([]), json!(true)));
    let sent = &shown["request"];
    assert_eq!((sent["method"].clone(), sent["body"].clone()), (json!("POST"), json!("{\"p\": 5.00}")));
    assert_eq!(sent["url"], format!("http://{}/pb?id=7%207", receiver.address));
    let header = |name: &str| {
        let headers = sent["headers"].as_array().unwrap();
        headers.iter().find(|header| header["name"] == name).map(|header| header["value"].clone())
    };
    assert_eq!((header("X-Status"), header("Content-Type")), (Some(json!("PENDING")), Some(json!("application/json"))));
    let sample = running.client.post(PREVIEW, json!({"subscription": draft(request), "event_type": "action.cleared"})).await.json();
    assert_eq!(sample["request"]["body"], "{\"p\": 0.88}");
    assert!(receiver.arrived().is_empty());
    for list in ["/v1/subscriptions", "/v1/deliveries", "/v1/events"] {
        assert_eq!(running.client.get(list).await.json()["data"], json!([]), "{list}");
    }
}

#[tokio::test]
async fn the_shown_request_is_the_one_that_is_sent() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let url = format!("http://{}/pb?id={{ActionId}}&s={{Status}}&kind={{EventKind}}", receiver.address);
    let body = json!({"subscription": draft(json!({"url": url})), "event": {"type": "action.reversed", "data": {"ActionId": "9", "Status": "REVERSED"}}});
    let shown = running.client.post(PREVIEW, &body).await.json();
    let tested = running.client.post(TEST, &body).await;
    assert_eq!(tested.status, 200, "{}", tested.body);
    let tested = tested.json();
    assert_eq!((tested["outcome"].clone(), tested["response"]["body"].clone()), (json!("delivered"), json!("OK")));
    assert_eq!((&tested["request"]["url"], &tested["request"]["method"]), (&shown["request"]["url"], &shown["request"]["method"]));
    assert_eq!(receiver.wait_for(1).await[0].target, "/pb?id=9&s=REVERSED&kind=reversed");
    assert_eq!(running.client.get("/v1/deliveries").await.json()["data"], json!([]), "nothing was queued");
    let refused = json!({"subscription": draft(json!({"url": "http://127.0.0.1:9/?i={ActionId}&s={Status}"}))});
    assert_eq!(running.client.post(TEST, refused).await.json()["outcome"], "unreachable", "the sample is sent if no event is given");
}

#[tokio::test]
async fn faults_of_a_draft_are_findings_at_its_fields() {
    let running = Running::start().await;
    let shown = async |subscription: Value, event: Value| {
        let answer = running.client.post(PREVIEW, json!({"subscription": subscription, "event": event})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    let data = json!({"type": "action.tracked", "data": {"ActionId": "1", "items": [{"sku": "a"}]}});
    let unknown = shown(draft(json!({"url": "https://t.example/?c={CampaignIdd}"})), data.clone()).await;
    let error = &unknown["errors"][0];
    assert_eq!((&unknown["request"], &error["pointer"], &error["code"]), (&json!(null), &json!("/request/url"), &json!("unknown_macro")));
    assert_eq!((&error["line"], &error["column"], &error["suggestion"]), (&json!(1), &json!(23), &json!("CampaignId")));
    let bad_url = shown(draft(json!({"url": "https://user@t.example/"})), data.clone()).await;
    assert_eq!(bad_url["errors"][0]["code"], "bad_url");
    let mut late = draft(json!({"url": "https://t.example/{SubId1}/x", "headers": [{"name": "X-A", "value": "{SubId2}"}]}));
    let climbing = shown(late.clone(), json!({"type": "action.tracked", "data": {"SubId1": ".."}})).await;
    assert_eq!((&climbing["errors"][0]["pointer"], &climbing["errors"][0]["code"]), (&json!("/request/url"), &json!("dot_segment")));
    late["request"]["headers"][0]["value"] = json!("{raw(SubId2)}");
    let injected = shown(late, json!({"type": "action.tracked", "data": {"SubId1": "a", "SubId2": "a\r\nX-B: 1"}})).await;
    assert_eq!(
        (&injected["errors"][0]["pointer"], &injected["errors"][0]["code"]),
        (&json!("/request/headers/0/value"), &json!("invalid_header"))
    );
    let blocked = shown(draft(json!({"url": "https://0.0.0.0/?i={ActionId}&s={Status}"})), data.clone()).await;
    assert!(blocked["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "blocked_address"), "{blocked}");
}

#[tokio::test]
async fn a_preview_tells_whether_the_event_would_be_sent() {
    let running = Running::start().await;
    let event = json!({"type": "click.recorded", "data": {"CampaignId": "1000"}});
    let mut subscription = draft(json!({"url": "https://t.example/?c={CampaignId}"}));
    let told = async |subscription: &Value, event: &Value| {
        running.client.post(PREVIEW, json!({"subscription": subscription, "event": event})).await.json()["event"].clone()
    };
    let other_type = told(&subscription, &event).await;
    assert_eq!((&other_type["wanted"], &other_type["code"]), (&json!(false), &json!("type_not_wanted")));
    subscription["event_types"] = json!(["click.recorded"]);
    subscription["where"] = json!({"CampaignId": ["1", "2"]});
    let filtered = told(&subscription, &event).await;
    assert_eq!(filtered["code"], "filtered");
    assert_eq!(filtered["why"], "the condition on `CampaignId` does not hold: the event has `1000`, and the subscription wants `1`, `2`");
    subscription["where"] = json!({});
    assert_eq!(told(&subscription, &event).await["code"], "wanted");
}

#[tokio::test]
async fn a_draft_may_lack_what_only_a_saved_subscription_needs() {
    let running = Running::start().await;
    let body =
        json!({"subscription": {"account": "acme", "request": {"url": "https://t.example/?i={ActionId}"}}, "event_type": "action.tracked"});
    assert_eq!(running.client.post(PREVIEW, body).await.json()["request"]["url"], "https://t.example/?i=1000.4636.158133");
    let created = running.subscribe("https://t.example/?i={ActionId}&s={Status}", json!({})).await;
    let as_read = running.client.post(PREVIEW, json!({"subscription": created})).await;
    assert_eq!(
        (as_read.status, as_read.json()["errors"].clone()),
        (200, json!([])),
        "a saved subscription can be sent back as it was read"
    );
}

/// The editor of a saved subscription does not know its secrets and can still try it.
#[tokio::test]
async fn an_edition_of_a_saved_subscription_keeps_its_secrets() {
    let running = Running::start().await;
    let credentials = json!({"type": "bearer", "token": "geheim"});
    let url = "https://t.example/?i={ActionId}&s={Status}";
    let mut saved = running.subscribe(url, json!({"credentials": credentials, "signing": {"version": "v1"}})).await;
    saved["request"]["url"] = json!("https://t.example/other?i={ActionId}&s={Status}");
    let shown = running.client.post(PREVIEW, json!({"subscription": saved})).await.json();
    let request = &shown["request"];
    assert_eq!(shown["errors"], json!([]), "{shown}");
    let header = |name: &str| {
        request["headers"].as_array().unwrap().iter().find(|header| header["name"] == name).map(|header| header["value"].clone())
    };
    assert_eq!(header("Authorization"), Some(json!("(secret)")), "{request}");
    assert!(request["url"].as_str().unwrap().contains("webhook_signature=v1."), "{request}");

    saved["request"]["url"] = json!("https://elsewhere.example/?i={ActionId}&s={Status}");
    let moved = running.client.post(PREVIEW, json!({"subscription": saved})).await.json();
    assert_eq!(moved["errors"][0]["code"], "secret_required", "{moved}");
    saved.as_object_mut().unwrap().remove("id");
    let new = running.client.post(PREVIEW, json!({"subscription": saved})).await.json();
    assert_eq!(new["errors"][0]["code"], "secret_missing", "{new}");
    saved["id"] = json!("sub_00000000000000000000000000");
    let unknown = running.client.post(PREVIEW, json!({"subscription": saved})).await;
    assert_eq!((unknown.status, unknown.json()["errors"][0]["code"].clone()), (422, json!("unknown_subscription")));
}

#[tokio::test]
async fn every_bad_preview_is_named_with_its_place() {
    let running = Running::start().await;
    let good = draft(json!({"url": "https://t.example/?i={ActionId}&s={Status}"}));
    let mut nobody = good.clone();
    nobody["account"] = json!("nobody");
    let table = [
        (json!({}), "missing_field", ""),
        (json!({"subscription": 5}), "invalid_value", "/subscription"),
        (json!({"subscription": {}}), "missing_field", "/subscription"),
        (
            json!({"subscription": {"account": "acme", "event_types": ["action.*"], "request": {"url": 5}}}),
            "invalid_value",
            "/subscription/request/url",
        ),
        (json!({"subscription": nobody}), "unknown_account", "/subscription/account"),
        (json!({"subscription": good, "event_type": "Action"}), "invalid_value", "/event_type"),
        (json!({"subscription": good, "event_type": "action.vanished"}), "unknown_event_type", "/event_type"),
        (json!({"subscription": good, "event": {"type": "action.vanished", "data": {}}}), "unknown_event_type", "/event/type"),
        (json!({"subscription": good, "event": {"data": {"items": "none"}}}), "wrong_field_type", "/event/data/items"),
        (json!({"subscription": good, "surprise": 1}), "unknown_field", "/surprise"),
    ];
    for (body, code, pointer) in table {
        let answer = running.client.post(PREVIEW, &body).await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!((answer.status, &error["code"], &error["pointer"]), (422, &json!(code), &json!(pointer)), "{body}: {}", answer.body);
    }
    let unsendable = running.client.post(TEST, json!({"subscription": draft(json!({"url": "https://t.example/?c={CampaignIdd}"}))})).await;
    let error = unsendable.json()["errors"][0].clone();
    assert_eq!((unsendable.status, &error["code"], &error["pointer"]), (422, &json!("unknown_macro"), &json!("/subscription/request/url")));
}
