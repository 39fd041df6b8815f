//! Templates and response rules tried over HTTP, without a subscription.

use serde_json::{Value, json};

use super::server::Running;

const CHECK: &str = "/v1/templates/check";
const RENDER: &str = "/v1/templates/render";

async fn call(running: &Running, path: &str, body: Value) -> Value {
    let answer = running.client.post(path, &body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.body);
    answer.json()
}

/// Code and pointer of the first error.
async fn refused(running: &Running, path: &str, body: &str) -> (u16, String, String) {
    let answer = running.client.post(path, body).await;
    let problem = answer.json();
    let first = &problem["errors"][0];
    let code = first["code"].as_str().unwrap_or(problem["code"].as_str().unwrap_or_default());
    (answer.status, code.to_owned(), first["pointer"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_conformance_case_of_the_language_renders_over_http() {
    let running = Running::start().await;
    let cases: Vec<Value> = serde_json::from_str(include_str!("../template/cases.json")).unwrap();
    let mut failed = Vec::new();
    for case in &cases {
        let answer = call(&running, RENDER, json!({"format": case["format"], "template": case["template"], "event": case["event"]})).await;
        let as_expected = match case["expect"].as_str() {
            Some(text) => answer["output"] == text && answer["errors"] == json!([]),
            None => answer["output"].is_null() && answer["errors"][0]["code"] == case["expect_error"],
        };
        if !as_expected {
            failed.push(format!("{}: {answer}", case["name"]));
        }
    }
    assert!(cases.len() > 100 && failed.is_empty(), "{} failed: {}", failed.len(), failed.join("\n"));
}

#[tokio::test]
async fn a_template_is_rendered_with_an_event_or_the_sample_of_a_type() {
    let running = Running::start().await;
    let template = json!({"format": "query", "template": "a={ActionId}&p={Payout}&n={Attempt}&f={EventFamily}"});
    let with = |more: Value| {
        let mut body = template.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let whole = r#"{"account":"nobody","type":"action.cleared","key":"k","occurred_at":"2026-11-22T10:00:00Z","data":{"ActionId":"7","Payout":5.00}}"#;
    let event: Box<serde_json::value::RawValue> = serde_json::from_str(whole).unwrap();
    let body = format!(r#"{{"format":"query","template":"a={{ActionId}}&p={{Payout}}&f={{EventFamily}}","event":{event}}}"#);
    let answer = running.client.post(RENDER, body).await.json();
    assert_eq!(
        (answer["ok"].clone(), answer["output"].clone()),
        (json!(true), json!("a=7&p=5.00&f=action_clearing")),
        "numbers keep their digits"
    );
    let bare = call(&running, RENDER, with(json!({"event": {"ActionId": "8", "Payout": "1"}, "event_type": "action.tracked"}))).await;
    assert_eq!(bare["output"], "a=8&p=1&n=1&f=action_life_cycle");
    let sample = call(&running, RENDER, with(json!({"event_type": "action.tracked"}))).await;
    assert_eq!(sample["output"], "a=1000.4636.158133&p=0.88&n=1&f=action_life_cycle");
    let missing = call(&running, RENDER, with(json!({"event_type": "click.recorded"}))).await;
    let warnings: Vec<_> =
        missing["warnings"].as_array().unwrap().iter().filter(|warning| warning["code"] == "field_not_in_type").collect();
    assert_eq!(warnings.len(), 2, "{missing}");
    assert_eq!(
        (warnings[1]["line"].clone(), warnings[1]["column"].clone(), warnings[1]["end_column"].clone()),
        (json!(1), json!(17), json!(23))
    );
}

#[tokio::test]
async fn findings_carry_place_and_suggestion() {
    let running = Running::start().await;
    let body = json!({"format": "json", "template": "{\"a\": \"{ActionId}\",\n \"b\": \"{CampaignIdd}\"}"});
    for path in [CHECK, RENDER] {
        let mut body = body.clone();
        if path == RENDER {
            body["event_type"] = json!("action.tracked");
        }
        let answer = call(&running, path, body).await;
        let finding = &answer["errors"][0];
        assert_eq!(
            (answer["ok"].clone(), answer["output"].clone(), finding["code"].clone()),
            (json!(false), json!(null), json!("unknown_macro"))
        );
        assert_eq!(
            (&finding["line"], &finding["column"], &finding["end_line"], &finding["end_column"], &finding["suggestion"]),
            (&json!(2), &json!(9), &json!(2), &json!(20), &json!("CampaignId")),
            "{path}: {finding}"
        );
        assert!(finding["message"].as_str().unwrap().contains("CampaignIdd"));
    }
    let checked = call(&running, CHECK, json!({"format": "url", "template": "http://t.example/?i={ActionId}"})).await;
    let codes = |answer: &Value| answer["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].clone()).collect::<Vec<_>>();
    assert_eq!((checked["ok"].clone(), codes(&checked)), (json!(true), vec![json!("plain_http")]));
    let silent =
        call(&running, CHECK, json!({"format": "url", "template": "http://t.example/?i={ActionId}", "silence": ["plain_http"]})).await;
    assert_eq!(codes(&silent), [] as [Value; 0]);
}

#[tokio::test]
async fn names_of_an_account_are_known_to_its_templates() {
    let running = Running::start().await;
    running.client.post("/v1/accounts", json!({"id": "shop", "fields": ["ShopVoucher"]})).await;
    let body = |account: Option<&str>| json!({"format": "query", "template": "v={ShopVoucher}", "account": account});
    assert_eq!(call(&running, CHECK, body(Some("shop"))).await["ok"], true);
    assert_eq!(call(&running, CHECK, body(None)).await["errors"][0]["code"], "unknown_macro");
    let undeclared =
        call(&running, RENDER, json!({"format": "query", "template": "v={ShopVoucher}", "event": {"ShopVoucher": "x y"}})).await;
    assert_eq!((undeclared["output"].clone(), undeclared["warnings"][0]["code"].clone()), (json!("v=x%20y"), json!("undeclared_field")));
}

#[tokio::test]
async fn both_engines_are_tried() {
    let running = Running::start().await;
    let body = json!({"engine": "handlebars", "format": "raw", "template": "{{#if PromoCode}}{{PromoCode}}{{else}}none{{/if}}", "event": {"PromoCode": "S1"}});
    assert_eq!(call(&running, RENDER, body).await["output"], "S1");
}

#[tokio::test]
async fn another_platforms_text_is_imported_as_url_or_body() {
    let running = Running::start().await;
    let url = call(&running, "/v1/templates/import", json!({"text": "https://t.example/pb?cid={aff_sub}&x={weird}"})).await;
    assert_eq!((url["style"].clone(), url["format"].clone(), url["body"].clone()), (json!("{x}"), json!("url"), json!(null)));
    assert_eq!(url["url"], r"https://t.example/pb?cid={SubId1}&x=\{weird}");
    assert_eq!(url["mapped"], json!([{"from": "aff_sub", "to": "SubId1"}]));
    assert_eq!(url["unmapped"], json!([{"name": "weird", "line": 1, "column": 38, "end_line": 1, "end_column": 45}]));
    let json_body = call(&running, "/v1/templates/import", json!({"text": "{\"click\": \"{aff_sub}\"}"})).await;
    assert_eq!((json_body["url"].clone(), json_body["body_format"].clone()), (json!(null), json!("json")));
    assert_eq!(json_body["body"], "{\"click\": \"{SubId1}\"}");
    let told = call(&running, "/v1/templates/import", json!({"text": "p=#price#", "from": "#x#"})).await;
    assert_eq!((told["style"].clone(), told["body_format"].clone()), (json!("#x#"), json!("query")));
}

#[tokio::test]
async fn every_bad_trial_of_a_template_is_named_with_its_place() {
    let running = Running::start().await;
    let table: Vec<(&str, &str, u16, &str, &str)> = vec![
        (CHECK, "{", 400, "malformed_json", ""),
        (CHECK, r#"{"template":"x"}"#, 422, "missing_field", ""),
        (CHECK, r#"{"format":"yaml","template":"x"}"#, 422, "invalid_value", "/format"),
        (CHECK, r#"{"format":"raw","template":"x","engine":"liquid"}"#, 422, "invalid_value", "/engine"),
        (CHECK, r#"{"format":"raw","template":5}"#, 422, "invalid_value", "/template"),
        (CHECK, r#"{"format":"raw","template":"x","colour":1}"#, 422, "unknown_field", "/colour"),
        (CHECK, r#"{"format":"raw","template":"x","silence":["nothing"]}"#, 422, "invalid_value", "/silence/0"),
        (CHECK, r#"{"format":"raw","template":"x","account":"nobody"}"#, 422, "unknown_account", "/account"),
        (CHECK, r#"{"format":"raw","template":"x","event_type":"action.vanished"}"#, 422, "unknown_event_type", "/event_type"),
        (RENDER, r#"{"format":"raw","template":"x"}"#, 422, "missing_field", "/event"),
        (RENDER, r#"{"format":"raw","template":"x","event":[]}"#, 422, "invalid_value", "/event"),
        (
            RENDER,
            r#"{"format":"raw","template":"x","event":{"type":"action.vanished","data":{}}}"#,
            422,
            "unknown_event_type",
            "/event/type",
        ),
        (
            RENDER,
            r#"{"format":"raw","template":"x","event":{"type":"action.tracked","data":{"a":1,"a":2}}}"#,
            422,
            "duplicate_field",
            "/event/data/a",
        ),
        (
            RENDER,
            r#"{"format":"raw","template":"x","event":{"type":"action.tracked","data":{},"extra":1}}"#,
            422,
            "unknown_field",
            "/event/extra",
        ),
        ("/v1/templates/import", r#"{"text":"  "}"#, 422, "empty_text", "/text"),
        ("/v1/templates/import", r#"{"text":"x","from":"y"}"#, 422, "invalid_value", "/from"),
        ("/v1/templates/import", r#"{"text":"x","account":"nobody"}"#, 422, "unknown_account", "/account"),
    ];
    for (path, body, status, code, pointer) in table {
        assert_eq!(refused(&running, path, body).await, (status, code.to_owned(), pointer.to_owned()), "{path} {body}");
    }
}

#[tokio::test]
async fn every_preset_is_listed_and_shown_as_a_subscription_that_is_accepted() {
    let running = Running::start().await;
    let listed = running.client.get("/v1/presets").await.json();
    let presets = listed["data"].as_array().unwrap();
    assert!(presets.len() >= 19 && listed["next_cursor"].is_null());
    for preset in presets {
        let shown = running.client.get(&format!("/v1/presets/{}", preset["name"].as_str().unwrap())).await.json();
        let mut text = shown["subscription"].to_string();
        for parameter in shown["parameters"].as_array().unwrap() {
            text = text.replace(parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap());
        }
        let mut subscription: Value = serde_json::from_str(&text).unwrap();
        subscription["account"] = json!("acme");
        let created = running.client.post("/v1/subscriptions", &subscription).await;
        assert_eq!(created.status, 201, "{}: {}", preset["name"], created.body);
    }
    assert_eq!(running.client.get("/v1/presets/none").await.status, 404);
    assert_eq!(refused_query(&running, "/v1/presets?colour=red").await, "unknown_parameter");
}

async fn refused_query(running: &Running, path: &str) -> String {
    running.client.get(path).await.json()["errors"][0]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_is_judged_as_a_receivers_would_be() {
    let running = Running::start().await;
    let judge = async |body: Value| call(&running, "/v1/responses/check", body).await;
    let both = judge(json!({"success_response": "OK", "error_response": "NOT OK", "response": {"status": 200, "body": "NOT OK"}})).await;
    assert_eq!((&both["outcome"], &both["final"], &both["next"]), (&json!("refused"), &json!(true), &json!("dead")));
    assert_eq!(both["matched"], json!(["error_response", "success_response"]));
    assert!(both["reason"].as_str().unwrap().contains("NOT OK"));
    let parts =
        judge(json!({"success_response": "status:2xx\njson:/ok=true", "response": {"status": 200, "body": "{\"ok\": false}"}})).await;
    assert_eq!((&parts["outcome"], &parts["final"], &parts["matched"]), (&json!("unexpected_response"), &json!(false), &json!([])));
    let holds: Vec<_> = parts["conditions"].as_array().unwrap().iter().map(|condition| condition["holds"].clone()).collect();
    assert_eq!(holds, [json!(true), json!(false)]);
    let slow = judge(json!({"response": {"status": 503, "headers": [{"name": "Retry-After", "value": "7"}]}})).await;
    assert_eq!((&slow["outcome"], &slow["next"], &slow["retry_after_s"]), (&json!("throttled"), &json!("retry"), &json!(7)));
    let plain = judge(json!({"response": {"status": 204}})).await;
    assert_eq!((&plain["outcome"], &plain["final"], &plain["next"]), (&json!("delivered"), &json!(true), &json!("delivered")));
    let impact = judge(json!({"profile": "impact", "response": {"status": 429}})).await;
    assert_eq!((&impact["outcome"], &impact["final"]), (&json!("refused"), &json!(true)));
    let never = judge(json!({"success_response": "status:500\nstatus:200", "response": {"status": 200}})).await;
    assert_eq!(never["warnings"][0]["code"], "response_rule");
    for (body, code, pointer) in [
        (r#"{"success_response":"regex:(","response":{"status":200}}"#, "invalid_response_rule", "/success_response"),
        (r#"{"error_response":"","response":{"status":200}}"#, "invalid_response_rule", "/error_response"),
        (r#"{"response":{"status":99}}"#, "out_of_range", "/response/status"),
        (r#"{"response":{"status":"200"}}"#, "invalid_value", "/response/status"),
        (r#"{"profile":"own","response":{"status":200}}"#, "invalid_value", "/profile"),
        ("{}", "missing_field", ""),
    ] {
        assert_eq!(refused(&running, "/v1/responses/check", body).await, (422, code.to_owned(), pointer.to_owned()), "{body}");
    }
}
