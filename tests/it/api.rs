//! The REST API as a caller sees it: what works, and what every kind of bad input is answered with.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

const EVENT: &str = r#"{"account":"acme","type":"action.tracked","data":{"ActionId":"1","Payout":5.00}}"#;

#[tokio::test]
async fn an_event_is_answered_stored_and_delivered() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let subscription = running.subscribe(&format!("http://{}/pb?id={{ActionId}}&p={{Payout}}", receiver.address), json!({})).await;
    let accepted = running.client.post("/v1/events", EVENT).await;
    assert_eq!(accepted.status, 202);
    let accepted = accepted.json();
    assert_eq!(accepted["duplicate"], false);
    let delivery = accepted["deliveries"][0].as_str().unwrap().to_owned();
    let arrived = receiver.wait_for(1).await;
    assert_eq!((arrived[0].method.as_str(), arrived[0].target.as_str()), ("GET", "/pb?id=1&p=5.00"));
    assert_eq!(arrived[0].header("idempotency-key"), delivery);
    let event = running.client.get(&format!("/v1/events/{}", accepted["id"].as_str().unwrap())).await.json();
    assert_eq!(
        (event["data"]["ActionId"].clone(), event["deliveries"][0]["subscription"].clone()),
        (json!("1"), subscription["id"].clone())
    );
    let shown = wait_until_delivered(&running, &delivery).await;
    let attempt = &shown["attempt_log"][0];
    assert_eq!(
        (shown["attempts"].clone(), attempt["outcome"].clone(), attempt["response"]["body"].clone()),
        (json!(1), json!("delivered"), json!("OK"))
    );
    assert!(attempt["request"]["url"].as_str().unwrap().ends_with("/pb?id=1&p=5.00"));
}

async fn wait_until_delivered(running: &Running, delivery: &str) -> Value {
    for _ in 0..600 {
        let shown = running.client.get(&format!("/v1/deliveries/{delivery}")).await.json();
        if shown["state"] == "delivered" {
            return shown;
        }
        tokio::task::yield_now().await;
    }
    panic!("{delivery} was not delivered");
}

#[tokio::test]
async fn j6_numbers_keep_their_digits_from_the_wire_in_to_the_wire_out() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let body = r#"{"p":{Payout},"b":{SubId1},"e":{SubId2},"l":{SubId3},"t":"{Amount}"}"#;
    running
        .subscribe(
            &format!("http://{}/", receiver.address),
            json!({"request": {"method": "POST", "url": format!("http://{}/", receiver.address), "body_format": "json", "body": body}}),
        )
        .await;
    let data = r#"{"Payout":5.00,"SubId1":12345678901234567890,"SubId2":1E5,"SubId3":0.123456789012345678901234567890,"Amount":-0.10}"#;
    let event = format!(r#"{{"account":"acme","type":"action.tracked","data":{data}}}"#);
    let id = running.client.post("/v1/events", &event).await.json()["id"].as_str().unwrap().to_owned();
    let arrived = receiver.wait_for(1).await;
    assert_eq!(
        String::from_utf8_lossy(&arrived[0].body),
        r#"{"p":5.00,"b":12345678901234567890,"e":1E5,"l":0.123456789012345678901234567890,"t":"-0.10"}"#
    );
    assert!(running.client.get(&format!("/v1/events/{id}")).await.body.contains(data), "the data is read back as it came");
}

#[tokio::test]
async fn h8_a_repeat_with_the_same_key_is_the_same_event() {
    let running = Running::start().await;
    running.subscribe("http://127.0.0.1:9/", json!({"state": "paused"})).await;
    let event = r#"{"account":"acme","type":"action.tracked","key":"k1","data":{"ActionId":"1","Payout":5.00}}"#;
    let first = running.client.post("/v1/events", event).await.json();
    let again = running
        .client
        .post("/v1/events", r#"{"account":"acme","type":"action.tracked","key":"k1","data":{ "Payout":5.00, "ActionId":"1"}}"#)
        .await;
    assert_eq!(again.status, 202);
    assert_eq!((again.json()["id"].clone(), again.json()["duplicate"].clone()), (first["id"].clone(), json!(true)));
    let other = running
        .client
        .post("/v1/events", r#"{"account":"acme","type":"action.tracked","key":"k1","data":{"ActionId":"1","Payout":5.0}}"#)
        .await;
    assert_eq!(
        (other.status, other.json()["code"].clone(), other.json()["errors"][0]["pointer"].clone()),
        (422, json!("key_reused"), json!("/key"))
    );
    let by_header = running.client.send("POST", "/v1/events", &[("Idempotency-Key", "\"k1\"")], EVENT.as_bytes()).await;
    assert_eq!(by_header.json()["duplicate"], true, "the header is the key, quoted or bare");
    assert_eq!(running.client.get("/v1/deliveries").await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn many_events_are_taken_all_or_none() {
    let running = Running::start().await;
    let three = format!("[{EVENT},{EVENT},{EVENT}]");
    let answer = running.client.send("POST", "/v1/events", &[("Idempotency-Key", "batch")], three.as_bytes()).await;
    assert_eq!((answer.status, answer.json()["results"].as_array().unwrap().len()), (202, 3));
    let again = running.client.send("POST", "/v1/events", &[("Idempotency-Key", "batch")], three.as_bytes()).await.json();
    assert!(again["results"].as_array().unwrap().iter().all(|result| result["duplicate"] == true), "item n has the key batch/n");
    let lines = format!("{EVENT}\n\n{EVENT}\n");
    let answer = running.client.send("POST", "/v1/events", &[("Content-Type", "application/x-ndjson")], lines.as_bytes()).await;
    assert_eq!((answer.status, answer.json()["results"].as_array().unwrap().len()), (202, 2));
    let one_bad = format!(r#"[{EVENT},{{"account":"acme","type":"action.tracked","data":{{"items":[1]}}}}]"#);
    let answer = running.client.post("/v1/events", &one_bad).await;
    assert_eq!((answer.status, answer.json()["errors"][0]["pointer"].clone()), (422, json!("/1/data/items/0")));
    assert_eq!(running.client.get("/v1/events").await.json()["data"].as_array().unwrap().len(), 5, "nothing of the bad request was stored");
}

/// Body, status, code, pointer of the first error.
async fn refused(running: &Running, body: &str) -> (u16, String, String) {
    let answer = running.client.post("/v1/events", body).await;
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.body);
    let problem = answer.json();
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    let first = &problem["errors"][0];
    let code = first["code"].as_str().unwrap_or(problem["code"].as_str().unwrap()).to_owned();
    (answer.status, code, first["pointer"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_bad_event_is_named_with_its_place_and_nothing_is_stored() {
    let running = Running::start().await;
    let nested = format!(r#"{{"account":"acme","type":"action.tracked","data":{{"a":{}1{}}}}}"#, "[".repeat(100), "]".repeat(100));
    let deep = format!(r#"{{"account":"acme","type":"action.tracked","data":{}1{}}}"#, "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let many = format!("[{}]", vec![EVENT; 1_001].join(","));
    let table: Vec<(&str, u16, &str, &str)> = vec![
        ("{", 400, "malformed_json", ""),
        ("", 400, "malformed_json", ""),
        ("nonsense", 400, "malformed_json", ""),
        (r#""text""#, 422, "invalid_value", ""),
        (r#"{"account":"acme","type":"action.tracked"}"#, 422, "missing_field", ""),
        (r#"{"account":"acme","type":"action.tracked","data":{},"extra":1}"#, 422, "unknown_field", "/extra"),
        (r#"{"account":5,"type":"action.tracked","data":{}}"#, 422, "invalid_value", "/account"),
        (r#"{"account":"a b","type":"action.tracked","data":{}}"#, 422, "invalid_account", "/account"),
        (r#"{"account":"nobody","type":"action.tracked","data":{}}"#, 422, "unknown_account", "/account"),
        (r#"{"account":"acme","type":"Action","data":{}}"#, 422, "invalid_event_type", "/type"),
        (r#"{"account":"acme","type":"action.vanished","data":{}}"#, 422, "unknown_event_type", "/type"),
        (r#"{"account":"acme","type":"action.tracked","data":[]}"#, 422, "malformed_json", "/data"),
        (r#"{"account":"acme","type":"action.tracked","data":{"items":"none"}}"#, 422, "wrong_field_type", "/data/items"),
        (r#"{"account":"acme","type":"action.tracked","data":{"Payout":[]}}"#, 422, "wrong_field_type", "/data/Payout"),
        (r#"{"account":"acme","type":"action.tracked","data":{"a":1,"a":2}}"#, 422, "duplicate_field", "/data/a"),
        (r#"{"account":"acme","type":"action.tracked","occurred_at":"yesterday","data":{}}"#, 422, "invalid_time", "/occurred_at"),
        (r#"{"account":"acme","type":"action.tracked","key":"","data":{}}"#, 422, "invalid_key", "/key"),
        (&nested, 422, "too_deep", "/data/a"),
        (&deep, 422, "too_deep", "/data/a"),
        ("[]", 422, "no_events", ""),
        (&many, 422, "too_many_events", ""),
    ];
    for (body, status, code, pointer) in table {
        assert_eq!(refused(&running, body).await, (status, code.to_owned(), pointer.to_owned()), "{:.200}", body);
    }
    let not_utf8 = running.client.send("POST", "/v1/events", &[], b"{\"account\":\"\xff\"}").await;
    assert_eq!((not_utf8.status, not_utf8.json()["code"].clone()), (400, json!("invalid_utf8")));
    let too_large = running.client.send("POST", "/v1/events", &[], &vec![b' '; 2 * 1024 * 1024 + 1]).await;
    assert_eq!((too_large.status, too_large.json()["code"].clone()), (413, json!("body_too_large")));
    let wrong_type = running.client.send("POST", "/v1/events", &[("Content-Type", "text/csv")], EVENT.as_bytes()).await;
    assert_eq!((wrong_type.status, wrong_type.json()["code"].clone()), (415, json!("unsupported_media_type")));
    assert_eq!(running.client.get("/v1/events").await.json()["data"], json!([]));
}

#[tokio::test]
async fn every_bad_subscription_is_named_with_its_place_and_nothing_is_stored() {
    let running = Running::start().await;
    let table = [
        (json!({"name": ""}), "invalid_name", "/name"),
        (json!({"account": "nobody"}), "unknown_account", "/account"),
        (json!({"event_types": []}), "no_event_types", "/event_types"),
        (json!({"event_types": ["action.vanished"]}), "unknown_event_type", "/event_types/0"),
        (json!({"event_types": ["Action"]}), "invalid_event_type", "/event_types/0"),
        (json!({"request": {"url": "https://t.example/?c={CampaignIdd}"}}), "unknown_macro", "/request/url"),
        (json!({"request": {"url": "https://{SubId1}.example/"}}), "macro_in_authority", "/request/url"),
        (json!({"request": {"url": "ftp://t.example/"}}), "bad_scheme", "/request/url"),
        (json!({"request": {"url": "https://user:pw@t.example/"}}), "bad_url", "/request/url"),
        (json!({"request": {"url": "https://t.example:0/"}}), "bad_url", "/request/url"),
        (
            json!({"request": {"url": "https://t.example/", "method": "POST", "body_format": "json", "body": "{\"a\": {join(items, i, \"{i.sku}\"}"}}),
            "bad_call",
            "/request/body",
        ),
        (json!({"request": {"url": "https://t.example/", "body_format": "json", "body": "{}"}}), "body_not_sent", "/request/body"),
        (
            json!({"request": {"url": "https://t.example/", "headers": [{"name": "Host", "value": "x"}]}}),
            "reserved_header",
            "/request/headers/0/name",
        ),
        (json!({"minimum_delay_s": -1}), "out_of_range", "/minimum_delay_s"),
        (json!({"max_requests_per_second": 0}), "out_of_range", "/max_requests_per_second"),
        (json!({"timeout_ms": 60_001}), "out_of_range", "/timeout_ms"),
        (json!({"retry": {"attempts": 0}}), "out_of_range", "/retry/attempts"),
        (json!({"retry": {"schedule_s": []}}), "empty_schedule", "/retry/schedule_s"),
        (json!({"success_response": "regex:("}), "invalid_response_rule", "/success_response"),
        (json!({"where": {"CampaignId": []}}), "empty_filter", "/where/CampaignId"),
        (json!({"surprise": 1}), "unknown_field", "/surprise"),
        (json!({"order": "fifo"}), "invalid_value", "/order"),
    ];
    for (patch, code, pointer) in table {
        let mut spec = json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": {"url": "https://t.example/"}});
        for (name, value) in patch.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let answer = running.client.post("/v1/subscriptions", &spec).await;
        assert_eq!(answer.status, 422, "{patch}: {}", answer.body);
        let problem = answer.json();
        let codes: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (error["code"].as_str().unwrap(), error["pointer"].as_str().unwrap()))
            .collect();
        assert!(codes.contains(&(code, pointer)), "{patch}: {codes:?}");
    }
    assert_eq!(running.client.get("/v1/subscriptions").await.json()["data"], json!([]));
}

#[tokio::test]
async fn subscriptions_are_changed_with_care() {
    let running = Running::start().await;
    let created = running.subscribe("https://t.example/?i={ActionId}&s={Status}", json!({"retry": {"attempts": 3}})).await;
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    assert_eq!(
        (
            created["retry"]["attempts"].clone(),
            created["retry"]["jitter"].clone(),
            created["timeout_ms"].clone(),
            created["version"].clone()
        ),
        (json!(3), json!(0.1), json!(10_000), json!(1))
    );
    let shown = running.client.get(&path).await;
    assert_eq!(shown.header("etag"), Some("\"1\""));
    let patched = running.client.send("PATCH", &path, &[("If-Match", "\"1\"")], br#"{"name":"new","retry":{"jitter":0}}"#).await;
    assert_eq!((patched.status, patched.json()["retry"]["attempts"].clone(), patched.json()["version"].clone()), (200, json!(3), json!(2)));
    let stale = running.client.send("PATCH", &path, &[("If-Match", "\"1\"")], br#"{"name":"late"}"#).await;
    assert_eq!((stale.status, stale.json()["code"].clone()), (412, json!("version_mismatch")));
    let mut whole = running.client.get(&path).await.json();
    whole["name"] = json!("as read, changed and written back");
    let replaced = running.client.send("PUT", &path, &[], whole.to_string().as_bytes()).await;
    assert_eq!((replaced.status, replaced.json()["name"].clone()), (200, whole["name"].clone()));
    assert_eq!(running.client.post(&format!("{path}/pause"), "").await.json()["state"], "paused");
    assert_eq!(running.client.post(&format!("{path}/resume"), "").await.json()["state"], "active");
    assert_eq!(running.client.send("DELETE", &path, &[], b"").await.status, 204);
    assert_eq!(running.client.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_forbidden_address_is_saved_with_a_warning_and_ends_as_blocked() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.allow_private = false;
    })
    .await;
    let created = running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({})).await;
    assert!(created["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "blocked_address"), "{created}");
    let tried = running.client.post(&format!("/v1/subscriptions/{}/test", created["id"].as_str().unwrap()), "").await;
    assert_eq!((tried.status, tried.json()["outcome"].clone()), (200, json!("blocked")));
}

#[tokio::test]
async fn a_test_sends_once_and_queues_nothing() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let created = running.subscribe(&format!("http://{}/?id={{ActionId}}&s={{Status}}", receiver.address), json!({})).await;
    let path = format!("/v1/subscriptions/{}/test", created["id"].as_str().unwrap());
    let sample = running.client.post(&path, "").await.json();
    assert_eq!((sample["outcome"].clone(), sample["response"]["body"].clone()), (json!("delivered"), json!("OK")));
    let own = running
        .client
        .post(&path, json!({"event": {"type": "action.reversed", "data": {"ActionId": "7", "Status": "REVERSED"}}}))
        .await
        .json();
    assert!(own["request"]["url"].as_str().unwrap().ends_with("?id=7&s=REVERSED"));
    assert_eq!(receiver.wait_for(2).await.len(), 2);
    assert_eq!(running.client.get("/v1/deliveries").await.json()["data"], json!([]));
}

#[tokio::test]
async fn g10_an_account_has_so_many_tests_sent_in_a_minute_and_others_are_not_touched() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.test_sends_per_minute = 2;
    })
    .await;
    let receiver = Receiver::start().await;
    let url = format!("http://{}/?id={{ActionId}}&s={{Status}}", receiver.address);
    let saved = running.subscribe(&url, json!({})).await;
    let path = format!("/v1/subscriptions/{}/test", saved["id"].as_str().unwrap());
    let draft = |account| json!({"subscription": {"account": account, "event_types": ["action.*"], "request": {"url": &url}}});
    assert_eq!(running.client.post(&path, "").await.status, 200);
    assert_eq!(running.client.post("/v1/subscriptions/test", draft("acme")).await.status, 200);
    for refused in [running.client.post(&path, "").await, running.client.post("/v1/subscriptions/test", draft("acme")).await] {
        assert_eq!((refused.status, refused.json()["code"].clone()), (429, json!("too_many_tests")));
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    running.client.post("/v1/accounts", json!({"id": "other", "name": "Other"})).await;
    assert_eq!(running.client.post("/v1/subscriptions/test", draft("other")).await.status, 200);
    assert_eq!(receiver.wait_for(3).await.len(), 3);
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let running = Running::start().await;
    running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({"state": "paused"})).await;
    for number in 0..5 {
        running
            .client
            .post("/v1/events", json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": number.to_string()}}))
            .await;
    }
    let first = running.client.get("/v1/deliveries?limit=3&state=pending").await.json();
    let next =
        running.client.get(&format!("/v1/deliveries?limit=3&state=pending&cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    let ids: Vec<_> = first["data"]
        .as_array()
        .unwrap()
        .iter()
        .chain(next["data"].as_array().unwrap())
        .map(|delivery| delivery["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 5);
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    let found = running.client.get("/v1/events?data.ActionId=3&type=action.tracked").await.json();
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    for (query, code) in [
        ("limit=0", "invalid_parameter"),
        ("limit=201", "invalid_parameter"),
        ("cursor=x", "invalid_parameter"),
        ("state=lost", "invalid_parameter"),
        ("state=dead&state=lost", "invalid_parameter"),
        ("limit=1&limit=2", "invalid_parameter"),
        ("colour=red", "unknown_parameter"),
    ] {
        let answer = running.client.get(&format!("/v1/deliveries?{query}")).await;
        assert_eq!((answer.status, answer.json()["errors"][0]["code"].clone()), (422, json!(code)), "{query}");
    }
}

#[tokio::test]
async fn repeated_parameters_mean_either_and_pages_link_to_the_next() {
    let running = Running::start().await;
    let created = running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({"state": "paused", "event_types": ["*"]})).await;
    running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({"event_types": ["job.completed"]})).await;
    let mut deliveries = Vec::new();
    for (number, event_type) in ["action.tracked", "action.cleared", "click.recorded"].into_iter().enumerate() {
        let event = json!({"account": "acme", "type": event_type, "data": {"ActionId": number.to_string()}});
        deliveries.push(running.client.post("/v1/events", event).await.json()["deliveries"][0].as_str().unwrap().to_owned());
    }
    running.client.post(&format!("/v1/deliveries/{}/cancel", deliveries[0]), "").await;
    let count = async |path: &str| running.client.get(path).await.json()["data"].as_array().unwrap().len();
    for (path, found) in [
        ("/v1/deliveries?state=pending", 2),
        ("/v1/deliveries?state=pending&state=cancelled", 3),
        ("/v1/deliveries?state=dead&state=cancelled", 1),
        ("/v1/deliveries?state=dead&state=delivered", 0),
        ("/v1/events?type=action.cleared", 1),
        ("/v1/events?type=action.cleared&type=click.recorded", 2),
        ("/v1/events?data.ActionId=0&data.ActionId=2", 2),
        ("/v1/events?data.ActionId=0&data.Status=x", 0),
        ("/v1/events?data.ActionId=0&data.ActionId=2&type=click.recorded", 1),
        ("/v1/subscriptions?state=paused", 1),
        ("/v1/subscriptions?state=paused&state=active", 2),
    ] {
        assert_eq!(count(path).await, found, "{path}");
    }
    let mut path = format!("/v1/deliveries?state=pending&state=cancelled&limit=1&subscription={}", created["id"].as_str().unwrap());
    let mut seen = Vec::new();
    loop {
        let page = running.client.get(&path).await;
        let head = running.client.send("HEAD", &path, &[], b"").await;
        assert_eq!((head.status, head.header("link"), head.body.as_str()), (200, page.header("link"), ""));
        seen.push(page.json()["data"][0]["id"].as_str().unwrap().to_owned());
        let Some(link) = page.header("link") else { break };
        path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap().to_owned();
        assert!(path.contains(page.json()["next_cursor"].as_str().unwrap()) && path.contains("state=pending&state=cancelled"), "{path}");
    }
    deliveries.reverse();
    assert_eq!(seen, deliveries);
}

#[tokio::test]
async fn deliveries_are_retried_and_cancelled_over_the_api() {
    let running = Running::start().await;
    running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({"state": "paused"})).await;
    let delivery = running.client.post("/v1/events", EVENT).await.json()["deliveries"][0].as_str().unwrap().to_owned();
    assert_eq!(running.client.post(&format!("/v1/deliveries/{delivery}/retry"), "").await.json()["state"], "pending");
    assert_eq!(running.client.post(&format!("/v1/deliveries/{delivery}/cancel"), "").await.json()["state"], "cancelled");
    let again = running.client.post(&format!("/v1/deliveries/{delivery}/retry"), "").await;
    assert_eq!((again.status, again.json()["code"].clone()), (409, json!("delivery_decided")));
    let unknown = running.client.post("/v1/deliveries/dlv_00000000000000000000000001/cancel", "").await;
    assert_eq!((unknown.status, unknown.json()["code"].clone()), (404, json!("not_found")));
}

#[tokio::test]
async fn g10_a_full_queue_answers_429_and_loses_nothing() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.waiting_per_subscription_max = 2;
    })
    .await;
    let created = running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({"state": "paused"})).await;
    for _ in 0..2 {
        assert_eq!(running.client.post("/v1/events", EVENT).await.status, 202);
    }
    let full = running.client.post("/v1/events", EVENT).await;
    assert_eq!((full.status, full.json()["code"].clone()), (429, json!("queue_full")));
    assert!(full.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(running.client.get("/v1/events").await.json()["data"].as_array().unwrap().len(), 2);
    let _ = created;
}

#[tokio::test]
async fn calls_need_the_key_and_health_does_not() {
    let running = Running::start().await;
    let stranger = super::http::Client { key: "wrong".into(), ..running.client.clone() };
    for path in ["/v1/events", "/v1/subscriptions", "/v1/deliveries", "/v1/accounts"] {
        let answer = stranger.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone(), answer.header("www-authenticate")),
            (401, json!("unauthorized"), Some("Bearer")),
            "{path}"
        );
    }
    let nobody = super::http::Client { key: String::new(), ..running.client.clone() };
    assert_eq!((nobody.get("/healthz").await.status, nobody.get("/readyz").await.status), (200, 200));
    let nowhere = running.client.get("/v1/nothing").await;
    assert_eq!((nowhere.status, nowhere.json()["code"].clone()), (404, json!("no_such_route")));
    let method = running.client.send("DELETE", "/v1/events", &[], b"").await;
    assert_eq!((method.status, method.json()["code"].clone()), (405, json!("method_not_allowed")));
}
