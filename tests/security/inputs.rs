//! Every limit of what comes in: just below it is taken, just above it is refused and named.

use serde_json::{Value, json};

use crate::server::Running;

/// The codes and pointers of an answer's faults.
fn faults(answer: &crate::http::Answer) -> Vec<(String, String)> {
    let problem = answer.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{} {problem:.300}", answer.status));
    errors.iter().map(|error| (text(&error["code"]), text(&error["pointer"]))).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn subscriptions_are_limited_in_every_field() {
    let running = Running::start().await;
    let url = |length: usize| json!({"url": format!("https://t.example/{}?i={{ActionId}}&s={{Status}}", "x".repeat(length))});
    let body = |length: usize| json!({"url": "https://t.example/", "method": "POST", "body_format": "raw", "body": "x".repeat(length)});
    let headers = |count: usize, length: usize| {
        let list: Vec<_> = (0..count).map(|number| json!({"name": format!("X-{number}"), "value": "x".repeat(length)})).collect();
        json!({"url": "https://t.example/", "headers": list})
    };
    let fields = |count: usize| Value::Object((0..count).map(|number| (format!("F{number}"), json!("1"))).collect());
    let one_field = |name: usize, values: Vec<String>| json!({"N".repeat(name): values});
    let table = [
        ("name", json!("n".repeat(200)), json!("n".repeat(201)), "invalid_name", "/name"),
        ("name", json!("a"), json!("a\u{1b}[2J"), "invalid_name", "/name"),
        ("event_types", json!(vec!["action.*"; 100]), json!(vec!["action.*"; 101]), "too_many_entries", "/event_types"),
        ("event_types", json!(["action.tracked"]), json!(["a.".repeat(60)]), "invalid_event_type", "/event_types/0"),
        ("where", fields(50), fields(51), "too_many_fields", "/where"),
        ("where", one_field(64, numbers(1)), one_field(65, numbers(1)), "invalid_field_name", "/where"),
        ("where", one_field(1, numbers(1_000)), one_field(1, numbers(1_001)), "too_many_entries", "/where/N"),
        ("where", one_field(1, vec!["v".repeat(1_024)]), one_field(1, vec!["v".repeat(1_025)]), "out_of_range", "/where/N"),
        ("silence", json!(numbers(100)), json!(numbers(101)), "too_many_entries", "/silence"),
        ("request", url(65_000), url(66_000), "template_too_large", "/request/url"),
        ("request", body(64 * 1_024), body(64 * 1_024 + 1), "template_too_large", "/request/body"),
        ("request", headers(50, 1), headers(51, 1), "too_many_headers", "/request/headers"),
        ("request", headers(4, 60_000), headers(5, 60_000), "too_large", ""),
        ("success_response", json!("x".repeat(4_096)), json!("x".repeat(4_097)), "invalid_response_rule", "/success_response"),
        (
            "success_response",
            json!(vec!["x"; 16].join("\n")),
            json!(vec!["x"; 17].join("\n")),
            "invalid_response_rule",
            "/success_response",
        ),
        (
            "error_response",
            json!(format!("regex:{}", "a".repeat(1_024))),
            json!(format!("regex:{}", "a".repeat(1_025))),
            "invalid_response_rule",
            "/error_response",
        ),
        ("timeout_ms", json!(60_000), json!(60_001), "out_of_range", "/timeout_ms"),
        ("retry", json!({"attempts": 100}), json!({"attempts": 101}), "out_of_range", "/retry/attempts"),
        ("retry", json!({"schedule_s": vec![1; 100]}), json!({"schedule_s": vec![1; 101]}), "out_of_range", "/retry/schedule_s"),
        ("max_requests_per_second", json!(10_000), json!(10_001), "out_of_range", "/max_requests_per_second"),
        ("minimum_delay_s", json!(2_592_000), json!(2_592_001), "out_of_range", "/minimum_delay_s"),
    ];
    for (field, fits, too_much, code, pointer) in table {
        let with = |value: Value| {
            let mut spec = json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": {"url": "https://t.example/"}});
            spec[field] = value;
            spec
        };
        let taken = running.client.post("/v1/subscriptions", with(fits)).await;
        assert_eq!(taken.status, 201, "{field} up to the limit of {code}: {:.500}", taken.body);
        let refused = running.client.post("/v1/subscriptions", with(too_much)).await;
        assert_eq!(refused.status, 422, "{field}: {:.300}", refused.body);
        assert!(faults(&refused).contains(&(code.to_owned(), pointer.to_owned())), "{field}: {:?}", faults(&refused));
        assert!(refused.body.len() < 80_000, "{field}: an answer of {} bytes", refused.body.len());
    }
}

#[tokio::test]
async fn f2_f3_patterns_that_would_cost_too_much_are_refused_when_saved() {
    let running = Running::start().await;
    let nested = format!("regex:{}a{}", "(".repeat(500), ")".repeat(500));
    for pattern in ["regex:a{1000}{1000}{1000}", r"regex:\w{900}", "regex:(", nested.as_str(), r"regex:(\p{L}{200}){200}"] {
        let spec = json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": {"url": "https://t.example/"}, "error_response": pattern});
        let refused = running.client.post("/v1/subscriptions", spec).await;
        assert_eq!((refused.status, faults(&refused)[0].0.as_str()), (422, "invalid_response_rule"), "{pattern}");
    }
}

#[tokio::test]
async fn what_belongs_to_the_server_cannot_be_set() {
    let running = Running::start().await;
    let spec = |field: &str| {
        let mut spec = json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": {"url": "https://t.example/"}});
        spec[field] = json!("x");
        spec
    };
    for field in ["id", "version", "created_at", "tenant_id", "secrets", "template_version"] {
        let answer = running.client.post("/v1/subscriptions", spec(field)).await;
        assert_eq!((answer.status, faults(&answer)[0].0.as_str()), (422, "unknown_field"), "{field}");
    }
    for field in ["id", "received_at", "deliveries", "state"] {
        let mut event = json!({"account": "acme", "type": "action.tracked", "data": {}});
        event[field] = json!("x");
        let answer = running.client.post("/v1/events", event).await;
        assert_eq!((answer.status, faults(&answer)[0].0.as_str()), (422, "unknown_field"), "{field}");
    }
    let created = running.subscribe("https://t.example/", json!({})).await;
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    let patched =
        running.client.send("PATCH", &path, &[], br#"{"id":"sub_x","version":99,"created_at":"2000-01-01T00:00:00Z"}"#).await.json();
    assert_eq!((&patched["id"], &patched["created_at"], &patched["version"]), (&created["id"], &created["created_at"], &json!(2)));
    let moved = running.client.send("PATCH", &path, &[], br#"{"account":"other"}"#).await;
    assert_eq!(moved.status, 422, "{}", moved.body);
}

#[tokio::test]
async fn j7_events_are_limited_and_what_fits_goes_through_whole() {
    let running = Running::start().await;
    let event = |field: &str, value: Value| {
        let mut event = json!({"account": "acme", "type": "action.tracked", "data": {}});
        event[field] = value;
        event
    };
    let fields = |count: usize| event("data", Value::Object((0..count).map(|number| (format!("F{number}"), json!(1))).collect()));
    let items = |count: usize| event("data", json!({"items": vec![json!({}); count]}));
    let deep = |depth: usize| {
        let text = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        event("data", json!({"a": serde_json::from_str::<Value>(&text).unwrap()}))
    };
    let table = [
        (event("key", json!("k".repeat(255))), event("key", json!("k".repeat(256))), "invalid_key", "/key"),
        (event("key", json!("ключ 🔑")), event("key", json!("a\nb")), "invalid_key", "/key"),
        (event("account", json!("acme")), event("account", json!("a".repeat(65))), "invalid_account", "/account"),
        (event("type", json!("action.tracked")), event("type", json!(format!("a.{}", "b".repeat(100)))), "invalid_event_type", "/type"),
        (fields(1_000), fields(1_001), "too_many_fields", "/data"),
        (items(10_000), items(10_001), "too_many_fields", "/data/items"),
        (deep(16), deep(17), "too_deep", "/data/a"),
        (
            event("occurred_at", json!("9999-12-30T00:00:00Z")),
            event("occurred_at", json!("10000-01-01T00:00:00Z")),
            "invalid_time",
            "/occurred_at",
        ),
    ];
    for (fits, too_much, code, pointer) in table {
        let taken = running.client.post("/v1/events", fits).await;
        assert_eq!(taken.status, 202, "{code}: {:.300}", taken.body);
        let refused = running.client.post("/v1/events", too_much).await;
        assert_eq!(refused.status, 422, "{code}: {:.300}", refused.body);
        assert!(
            faults(&refused).iter().any(|(given, place)| given == code && place.starts_with(pointer)),
            "{code}: {:?}",
            faults(&refused)
        );
    }
    for data in [
        json!({}),
        json!({"items": []}),
        json!({"SubId1": ""}),
        json!({"SubId1": "x".repeat(1_000_000)}),
        json!({"SubId1": "a\u{0}b🙂\u{202e}"}),
    ] {
        let id = running.client.post("/v1/events", event("data", data.clone())).await.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(running.client.get(&format!("/v1/events/{id}")).await.json()["data"], data);
    }
}

#[tokio::test]
async fn h14_filters_and_parameters_are_values_and_nothing_more() {
    let running = Running::start().await;
    running.client.post("/v1/events", json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "' OR '1'='1"}})).await;
    running.client.post("/v1/events", json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "2"}})).await;
    for (query, found) in [
        ("data.ActionId=%27%20OR%20%271%27%3D%271", 1),
        ("data.ActionId=*", 0),
        ("data.ActionId=%25", 0),
        ("data.ActionId=%00", 0),
        ("data.a%27%3B--=1", 0),
        ("data.ActionId=2&data.ActionId=2", 1),
    ] {
        let answer = running.client.get(&format!("/v1/events?{query}")).await;
        assert_eq!((answer.status, answer.json()["data"].as_array().unwrap().len()), (200, found), "{query}");
    }
    let many: Vec<_> = (0..51).map(|number| format!("data.F{number}=1")).collect();
    let table = [
        (many.join("&"), "too_many_parameters"),
        (["type=action.tracked"; 21].join("&"), "invalid_parameter"),
        ("account=%27%3B+DROP".to_owned(), "invalid_parameter"),
        ("type=..%2f..".to_owned(), "invalid_parameter"),
        ("since=yesterday".to_owned(), "invalid_parameter"),
        ("cursor=ffffffffffffffffffffffffffffffff0".to_owned(), "invalid_parameter"),
        ("cursor=%2bfffffffffffffffffffffffffffffff".to_owned(), "invalid_parameter"),
        ("limit=-1".to_owned(), "invalid_parameter"),
        ("limit=99999999999999999999999".to_owned(), "invalid_parameter"),
        (format!("data.{}=1&x=1", "n".repeat(5_000)), "unknown_parameter"),
    ];
    for (query, code) in table {
        let answer = running.client.get(&format!("/v1/events?{query}")).await;
        assert_eq!((answer.status, faults(&answer)[0].0.as_str()), (422, code), "{query:.100}");
    }
    assert_eq!(running.client.get("/v1/events?cursor=ffffffffffffffffffffffffffffffff").await.json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(running.client.get("/v1/events?cursor=00000000000000000000000000000000").await.json()["data"], json!([]));
}

#[tokio::test]
async fn g11_a_page_of_large_events_is_short_and_says_where_to_go_on() {
    let running = Running::start().await;
    for _ in 0..12 {
        let large = json!({"account": "acme", "type": "action.tracked", "data": {"SubId1": "x".repeat(1_900_000)}});
        assert_eq!(running.client.post("/v1/events", large).await.status, 202);
    }
    let (mut seen, mut pages, mut cursor) = (0, 0, String::new());
    loop {
        let answer = running.client.get(&format!("/v1/events?limit=200{cursor}")).await;
        assert!(answer.body.len() < 12 << 20, "a page of {} bytes", answer.body.len());
        let page = answer.json();
        seen += page["data"].as_array().unwrap().len();
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!((seen, pages) >= (12, 2) && seen == 12, "{seen} events on {pages} pages");
}

#[tokio::test]
async fn g10_an_account_has_a_limited_number_of_subscriptions() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.subscriptions_per_account_max = 2;
    })
    .await;
    running.client.post("/v1/accounts", json!({"id": "other"})).await;
    let create = async |account: &str| {
        let spec = json!({"account": account, "name": "x", "event_types": ["*"], "request": {"url": "https://t.example/"}});
        running.client.post("/v1/subscriptions", spec).await
    };
    let first = create("acme").await.json();
    assert_eq!(create("acme").await.status, 201);
    let third = create("acme").await;
    assert_eq!((third.status, faults(&third)[0].clone()), (422, ("too_many_subscriptions".to_owned(), "/account".to_owned())));
    assert_eq!(create("other").await.status, 201, "another account has its own");
    running.client.send("DELETE", &format!("/v1/subscriptions/{}", first["id"].as_str().unwrap()), &[], b"").await;
    assert_eq!(create("acme").await.status, 201);
}
