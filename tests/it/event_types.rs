//! Event types over HTTP: the catalogue, samples, and types that operators register.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

const TYPES: &str = "/v1/event-types";

fn coupon() -> Value {
    json!({
        "type": "coupon.redeemed", "description": "A coupon was redeemed.", "family": "loyalty",
        "fields": [
            {"name": "CouponCode", "type": "text", "meaning": "The code.", "example": "SUMMER"},
            {"name": "CouponValue", "type": "decimal", "example": "5.00"},
            {"name": "lines", "type": "list", "fields": [{"name": "sku", "type": "text", "example": "A-1"}]},
        ],
    })
}

async fn registered() -> Running {
    let running = Running::start().await;
    let created = running.client.post(TYPES, coupon()).await;
    assert_eq!(created.status, 201, "{}", created.body);
    running
}

#[tokio::test]
async fn the_catalogue_is_listed_with_fields_and_families() {
    let running = Running::start().await;
    let listed = running.client.get(TYPES).await.json();
    let types = listed["data"].as_array().unwrap();
    let wildcards: Vec<_> = types
        .iter()
        .filter(|shown| shown["wildcard"] == true && shown["type"].as_str().unwrap().starts_with("action."))
        .map(|shown| shown["type"].clone())
        .collect();
    assert_eq!(wildcards, ["action.tracked", "action.modified", "action.reversed", "action.cleared"]);
    let tracked = running.client.get(&format!("{TYPES}/action.tracked")).await.json();
    assert_eq!((&tracked["family"], &tracked["operator_defined"]), (&json!("action_life_cycle"), &json!(false)));
    let field = |name: &str| tracked["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned().unwrap();
    assert_eq!((field("Payout")["type"].clone(), field("LandingPageUrl")["type"].clone()), (json!("decimal"), json!("url")));
    assert!(field("items")["fields"].as_array().unwrap().iter().any(|item| item["name"] == "sku") && field("items")["example"].is_array());
    assert_eq!(field("Attempt")["provider"], "system");
    let clearing = running.client.get(&format!("{TYPES}?family=action_clearing")).await.json();
    assert_eq!((clearing["data"].as_array().unwrap().len(), clearing["data"][0]["type"].clone()), (1, json!("action.cleared")));
}

#[tokio::test]
async fn the_sample_of_every_type_is_accepted_friendly_or_hostile() {
    let running = registered().await;
    let types = running.client.get(TYPES).await.json();
    for shown in types["data"].as_array().unwrap() {
        let name = shown["type"].as_str().unwrap();
        for hostile in ["", "?hostile=true"] {
            let path = format!("{TYPES}/{name}/sample{hostile}");
            let sample = running.client.get(&path).await;
            let accepted = running.client.post("/v1/events", &sample.body).await;
            assert_eq!((accepted.status, accepted.json()["duplicate"].clone()), (202, json!(false)), "{path}: {}", accepted.body);
        }
    }
    let sample = running.client.get(&format!("{TYPES}/coupon.redeemed/sample?account=shop")).await.json();
    assert_eq!(sample["account"], "shop");
    assert_eq!(sample["data"], json!({"CouponCode": "SUMMER", "CouponValue": "5.00", "lines": [{"sku": "A-1"}]}));
    assert_eq!(running.client.get(&format!("{TYPES}/action.vanished/sample")).await.status, 404);
    let odd = running.client.get(&format!("{TYPES}/action.tracked/sample?hostile=maybe")).await;
    assert_eq!((odd.status, odd.json()["errors"][0]["code"].clone()), (422, json!("invalid_parameter")));
}

#[tokio::test]
async fn an_operator_defined_type_is_accepted_routed_and_rendered() {
    let running = registered().await;
    let receiver = Receiver::start().await;
    let url = format!("http://{}/c?code={{CouponCode}}&v={{CouponValue}}&skus={{join(lines, i, \"{{i.sku}}\", \",\")}}", receiver.address);
    for patterns in [json!(["coupon.redeemed"]), json!(["coupon.*"]), json!(["*"]), json!(["action.*"])] {
        let created = running.subscribe(&url, json!({"event_types": patterns, "name": patterns.to_string()})).await;
        let missing = created["warnings"].as_array().unwrap().iter().filter(|warning| warning["code"] == "field_not_in_type").count();
        assert_eq!(missing > 0, patterns == json!(["action.*"]), "{patterns}: {}", created["warnings"]);
    }
    let event =
        r#"{"account":"acme","type":"coupon.redeemed","data":{"CouponCode":"S 1","CouponValue":5.00,"lines":[{"sku":"a"},{"sku":"b"}]}}"#;
    let accepted = running.client.post("/v1/events", event).await;
    assert_eq!((accepted.status, accepted.json()["deliveries"].as_array().unwrap().len()), (202, 3), "{}", accepted.body);
    for arrived in receiver.wait_for(3).await {
        assert_eq!(arrived.target, "/c?code=S%201&v=5.00&skus=a,b");
    }
    let rendered = running
        .client
        .post("/v1/templates/render", json!({"format": "query", "template": "c={CouponCode}", "event_type": "coupon.redeemed"}));
    assert_eq!(rendered.await.json()["output"], "c=SUMMER");
}

#[tokio::test]
async fn a_type_with_a_built_in_prefix_must_be_named() {
    let running = Running::start().await;
    let created = running.client.post(TYPES, json!({"type": "action.overdue"})).await;
    assert_eq!(
        (created.status, created.json()["wildcard"].clone(), created.json()["family"].clone()),
        (201, json!(false), json!("action"))
    );
    running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({"event_types": ["action.*"], "state": "paused"})).await;
    running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({"event_types": ["*"], "state": "paused"})).await;
    let named = json!({"event_types": ["action.overdue"], "state": "paused"});
    let named = running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", named).await;
    let accepted = running.client.post("/v1/events", r#"{"account":"acme","type":"action.overdue","data":{}}"#).await.json();
    let event = running.client.get(&format!("/v1/events/{}", accepted["id"].as_str().unwrap())).await.json();
    let owed: Vec<_> = event["deliveries"].as_array().unwrap().iter().map(|delivery| delivery["subscription"].clone()).collect();
    assert_eq!(owed, [named["id"].clone()]);
}

#[tokio::test]
async fn fields_of_an_operator_defined_type_must_have_their_shape() {
    let running = registered().await;
    for (data, pointer) in [
        (r#"{"CouponValue":[1]}"#, "/data/CouponValue"),
        (r#"{"CouponCode":{"a":1}}"#, "/data/CouponCode"),
        (r#"{"lines":"none"}"#, "/data/lines"),
        (r#"{"lines":[{},5]}"#, "/data/lines/1"),
    ] {
        let answer = running.client.post("/v1/events", format!(r#"{{"account":"acme","type":"coupon.redeemed","data":{data}}}"#)).await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!((answer.status, &error["code"], &error["pointer"]), (422, &json!("wrong_field_type"), &json!(pointer)), "{data}");
    }
}

#[tokio::test]
async fn a_type_that_is_needed_is_kept_and_another_is_deleted() {
    let running = registered().await;
    let path = format!("{TYPES}/coupon.redeemed");
    let named = running.subscribe("https://t.example/", json!({"event_types": ["coupon.redeemed"]})).await;
    let in_use = running.client.send("DELETE", &path, &[], b"").await;
    assert_eq!((in_use.status, in_use.json()["code"].clone()), (409, json!("event_type_in_use")));
    running.client.send("DELETE", &format!("/v1/subscriptions/{}", named["id"].as_str().unwrap()), &[], b"").await;
    let by_field = running.subscribe("https://t.example/?c={CouponCode}", json!({"event_types": ["*"]})).await;
    let in_use = running.client.send("DELETE", &path, &[], b"").await;
    assert!(
        in_use.status == 409 && in_use.json()["detail"].as_str().unwrap().contains(by_field["id"].as_str().unwrap()),
        "{}",
        in_use.body
    );
    running.client.send("DELETE", &format!("/v1/subscriptions/{}", by_field["id"].as_str().unwrap()), &[], b"").await;
    assert_eq!(running.client.send("DELETE", &path, &[], b"").await.status, 204);
    assert_eq!(running.client.get(&path).await.status, 404);
    let refused = running.client.post("/v1/events", r#"{"account":"acme","type":"coupon.redeemed","data":{}}"#).await;
    assert_eq!(refused.json()["code"], "unknown_event_type");
    let built_in = running.client.send("DELETE", &format!("{TYPES}/action.tracked"), &[], b"").await;
    assert_eq!((built_in.status, built_in.json()["code"].clone()), (409, json!("event_type_built_in")));
    assert_eq!(running.client.send("DELETE", &format!("{TYPES}/action.vanished"), &[], b"").await.status, 404);
}

#[tokio::test]
async fn types_and_the_subscriptions_that_use_them_survive_a_restart() {
    let running = Running::with(|_| {}).await;
    running.client.post(TYPES, coupon()).await;
    let created = running.subscribe("https://t.example/?c={CouponCode}", json!({"event_types": ["coupon.redeemed"]})).await;
    let running = running.restart(|_| {}).await;
    assert_eq!(running.client.get(&format!("{TYPES}/coupon.redeemed")).await.json()["family"], "loyalty");
    assert_eq!(running.client.get(&format!("/v1/subscriptions/{}", created["id"].as_str().unwrap())).await.status, 200);
}

#[tokio::test]
async fn every_bad_event_type_is_named_with_its_place() {
    let running = registered().await;
    let with = |patch: Value| {
        let mut body = json!({"type": "voucher.sent"});
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        body
    };
    let field = |patch: Value| {
        let mut field = json!({"name": "X", "type": "text"});
        field.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        with(json!({"fields": [field]}))
    };
    let table = [
        (json!({}), 422, "missing_field", ""),
        (with(json!({"type": "voucher"})), 422, "invalid_value", "/type"),
        (with(json!({"type": "Voucher.Sent"})), 422, "invalid_value", "/type"),
        (with(json!({"family": "Two Words"})), 422, "invalid_family", "/family"),
        (with(json!({"description": "x".repeat(501)})), 422, "invalid_text", "/description"),
        (with(json!({"colour": 1})), 422, "unknown_field", "/colour"),
        (field(json!({"name": "a b"})), 422, "invalid_field_name", "/fields/0/name"),
        (field(json!({"type": "money"})), 422, "invalid_value", "/fields/0/type"),
        (field(json!({"type": "list", "name": "Payout"})), 422, "field_conflict", "/fields/0/type"),
        (field(json!({"type": "text", "name": "lines"})), 422, "field_conflict", "/fields/0/type"),
        (field(json!({"example": {}})), 422, "invalid_example", "/fields/0/example"),
        (with(json!({"fields": vec![json!({"name": "X", "type": "text"}); 201]})), 422, "too_many_fields", "/fields"),
        (with(json!({"type": "coupon.redeemed"})), 409, "event_type_exists", ""),
        (with(json!({"type": "action.tracked"})), 409, "event_type_exists", ""),
    ];
    for (body, status, code, pointer) in table {
        let answer = running.client.post(TYPES, &body).await;
        let problem = answer.json();
        let found = problem["errors"][0]["code"].as_str().unwrap_or(problem["code"].as_str().unwrap()).to_owned();
        let place = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!((answer.status, found.as_str(), place), (status, code, pointer), "{body:.200}");
    }
}
