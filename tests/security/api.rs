//! What callers of the API may try: requests that two parsers read differently, methods, paths, texts
//! and numbers that are not what they seem.

use serde_json::json;

use crate::http::Client;
use crate::server::Running;
use crate::wire::raw;

const EVENT: &str = r#"{"account":"acme","type":"action.tracked","data":{"ActionId":"1"}}"#;

async fn events(running: &Running) -> usize {
    running.client.get("/v1/events").await.json()["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn h11_requests_that_can_be_read_in_two_ways_are_refused() {
    let running = Running::start().await;
    let length = EVENT.len();
    let chunked = format!("{length:x}\r\n{EVENT}\r\n0\r\n\r\n");
    let own = format!("Content-Length: {length}");
    // Behind each stands a second request, which must not be taken for one of its own.
    let hidden = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{own}\r\n\r\n{EVENT}", running.client.key);
    let table = [
        ("two lengths", format!("{own}\r\nContent-Length: 0"), EVENT.to_owned()),
        ("two lengths in one", format!("Content-Length: {length}, 0"), EVENT.to_owned()),
        ("a length and chunks", format!("{own}\r\nTransfer-Encoding: chunked"), chunked.clone()),
        ("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 4".to_owned(), chunked.clone()),
        ("chunks that are not the last coding", "Transfer-Encoding: chunked, identity".to_owned(), chunked.clone()),
        ("an unknown coding", "Transfer-Encoding: xchunked".to_owned(), chunked.clone()),
        ("a coding with a tab before the colon", "Transfer-Encoding\t: chunked".to_owned(), chunked.clone()),
        ("a length with a blank before the colon", format!("Content-Length : {length}"), EVENT.to_owned()),
        ("a folded header", format!("X-A: b\r\n {own}"), EVENT.to_owned()),
        ("a length with a sign", format!("Content-Length: +{length}"), EVENT.to_owned()),
        ("a negative length", "Content-Length: -1".to_owned(), EVENT.to_owned()),
        ("a length in hex", format!("Content-Length: {length:#x}"), EVENT.to_owned()),
        ("a length of 30 digits", "Content-Length: 999999999999999999999999999999".to_owned(), EVENT.to_owned()),
        ("a chunk of an exabyte and more", "Transfer-Encoding: chunked".to_owned(), format!("fffffffffffffffff\r\n{EVENT}\r\n0\r\n\r\n")),
        ("a chunk with a sign", "Transfer-Encoding: chunked".to_owned(), format!("-1\r\n{EVENT}\r\n0\r\n\r\n")),
        ("a NUL in a header", format!("X-A: a\0b\r\n{own}"), EVENT.to_owned()),
        ("a carriage return in a header", format!("X-A: a\rb\r\n{own}"), EVENT.to_owned()),
    ];
    for (name, headers, body) in table {
        let key = &running.client.key;
        let head = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{headers}\r\n\r\n");
        let before = events(&running).await;
        let received = raw(running.client.address, format!("{head}{body}{hidden}").as_bytes()).await;
        assert!(received.answers() <= 1, "{name}: {}", received.text);
        // RFC 9112, 6.3: chunks win over a length, and the connection is closed behind them.
        if ["a length and chunks", "chunks and a length"].contains(&name) && received.status() == Some(202) {
            assert_eq!(events(&running).await, before + 1, "{name}: {}", received.text);
            continue;
        }
        assert!(received.status().is_none_or(|status| (400..500).contains(&status)), "{name}: {}", received.text);
        assert_eq!(events(&running).await, before, "{name}: {}", received.text);
    }
    for (name, bytes) in [
        ("HTTP/0.9", "GET /healthz\r\n".to_owned()),
        ("HTTP/3.0", "GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n".to_owned()),
        ("no method", " /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("a blank in the target", "GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("a head of 100 KiB", format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: {}\r\n\r\n", "x".repeat(100 * 1024))),
        ("a target of 100 KiB", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100 * 1024))),
        ("a thousand headers", format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(1_000))),
        ("garbage", "\u{1}\u{2}\u{3}garbage\r\n\r\n".to_owned()),
    ] {
        let received = raw(running.client.address, bytes.as_bytes()).await;
        assert!(received.status().is_none_or(|status| (400..500).contains(&status)), "{name}: {}", received.text);
    }
    assert_eq!(running.client.post("/v1/events", EVENT).await.status, 202, "the same without tricks is taken");
}

#[tokio::test]
async fn h12_methods_and_targets_do_what_they_say_and_nothing_else() {
    let running = Running::start().await;
    let created = running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}", json!({"state": "paused"})).await;
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    for method in ["TRACE", "OPTIONS", "PROPFIND", "DELETE", "get"] {
        let answer = running.client.send(method, "/v1/events", &[("X-Canary", "canary")], b"").await;
        assert_eq!((answer.status, answer.json()["code"].clone()), (405, json!("method_not_allowed")), "{method}");
        assert!(!answer.body.contains("canary"), "{method} repeats the request");
    }
    // Only the method counts, whatever a header or a parameter says.
    for (name, value) in [("X-HTTP-Method-Override", "DELETE"), ("X-HTTP-Method", "DELETE"), ("X-Method-Override", "DELETE")] {
        assert_eq!(running.client.send("GET", &path, &[(name, value)], b"").await.status, 200);
        assert_eq!(running.client.send("POST", &path, &[(name, value)], b"").await.status, 405);
    }
    assert_eq!(running.client.get(&path).await.status, 200, "it was not deleted");
    let key = &running.client.key;
    let head =
        raw(running.client.address, format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n").as_bytes()).await;
    assert!(head.status() == Some(200) && head.text.ends_with("\r\n\r\n"), "a head without a body: {}", head.text);
    // A target in absolute form is not forwarded and needs the key as any other.
    let stranger = Client { key: String::new(), ..running.client.clone() };
    for target in ["http://other.example/v1/events", "http://169.254.169.254/v1/events"] {
        assert_eq!((stranger.get(target).await.status, running.client.get(target).await.status), (401, 200), "{target}");
    }
    let connect = stranger.call("CONNECT", "other.example:443", &[], b"").await;
    assert!(connect.is_err() || connect.is_ok_and(|answer| (400..500).contains(&answer.status)));
    assert_eq!(stranger.send("GET", "/v1/events", &[("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz")], b"").await.status, 401);
}

#[tokio::test]
async fn h13_paths_lead_nowhere_but_to_routes() {
    let running = Running::start().await;
    let data = running.folder.path().join("data/operator.key");
    let data = data.display().to_string();
    for path in [
        "/v1/../../etc/passwd",
        "/../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/v1/events/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/subscriptions/..%5c..%5cetc",
        "/v1/events/%00",
        "/v1/events/evt_%00",
        "/v1/accounts/..",
        "/v1/accounts/%2e%2e%2f%2e%2e",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/v1//events",
        "/V1/events",
        "/v1/events/",
        "/v1/events;x=y",
        data.as_str(),
        "/operator.key",
        "/.git/config",
    ] {
        let answer = running.client.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
        assert!(!answer.body.contains("root:") && !answer.body.contains(&running.client.key), "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
    }
}

#[tokio::test]
async fn h10_text_that_is_no_utf8_is_refused_and_never_stored() {
    let running = Running::start().await;
    let key = format!("Authorization: Bearer {}\r\nConnection: close", running.client.key);
    let get = |target: &[u8]| [b"GET ", target, b" HTTP/1.1\r\nHost: x\r\n", key.as_bytes(), b"\r\n\r\n"].concat();
    let table: [(&str, Vec<u8>, &[u16]); 7] = [
        ("an escaped path", get(b"/v1/accounts/%ff%fe"), &[400, 404]),
        ("a raw path", get(b"/v1/accounts/\xff"), &[400, 404]),
        ("an escaped account", get(b"/v1/events?account=%ff"), &[422]),
        ("an escaped name of a parameter", get(b"/v1/events?%ff=1"), &[422]),
        ("an escaped cursor", get(b"/v1/events?cursor=%c3%28"), &[422]),
        (
            "a header",
            [b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n".to_vec()].concat(),
            &[401],
        ),
        (
            "an idempotency key",
            [
                b"POST /v1/events HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \xff\r\n",
                key.as_bytes(),
                format!("\r\nContent-Length: {}\r\n\r\n{EVENT}", EVENT.len()).as_bytes(),
            ]
            .concat(),
            &[422],
        ),
    ];
    for (name, bytes, statuses) in table {
        let received = raw(running.client.address, &bytes).await;
        assert!(received.status().is_some_and(|status| statuses.contains(&status)), "{name}: {}", received.text);
        // A request line that cannot be read is refused by the HTTP server, without a word.
        assert!(received.text.contains("application/problem+json") || name == "a raw path", "{name}: {}", received.text);
    }
    for body in [
        &b"{\"account\":\"acme\",\"type\":\"action.tracked\",\"data\":{\"ActionId\":\"\xc3\x28\"}}"[..],
        b"\xff\xfe{\x00}\x00",
        b"\xed\xa0\x80",
    ] {
        let answer = running.client.send("POST", "/v1/events", &[], body).await;
        assert_eq!((answer.status, answer.json()["code"].clone()), (400, json!("invalid_utf8")));
    }
    assert_eq!(events(&running).await, 0);
}

#[tokio::test]
async fn h9_json_that_tricks_parsers_is_refused_or_kept_as_it_is() {
    let running = Running::start().await;
    let event = |data: &str| format!(r#"{{"account":"acme","type":"action.tracked","data":{data}}}"#);
    let table = [
        ("two accounts", r#"{"account":"acme","account":"other","type":"action.tracked","data":{}}"#.to_owned()),
        ("two of one field", event(r#"{"a":1,"a":2}"#)),
        ("two of one field, one escaped", event(r#"{"ab":1,"\u0061b":2}"#)),
        ("two of one field within an item", event(r#"{"items":[{"sku":"1","sku":"2"}]}"#)),
        ("NaN", event(r#"{"a":NaN}"#)),
        ("infinity", event(r#"{"a":-Infinity}"#)),
        ("a number with a leading zero", event(r#"{"a":01}"#)),
        ("a number in hex", event(r#"{"a":0x1}"#)),
        ("a lone surrogate", event(r#"{"a":"\ud800"}"#)),
        ("a turned surrogate pair", event(r#"{"a":"\udc00\ud800"}"#)),
        ("a raw control character", event("{\"a\":\"\u{1}\"}")),
        ("a byte order mark", format!("\u{feff}{}", event("{}"))),
        ("something behind it", format!("{}{}", event("{}"), event("{}"))),
        ("a comment", event("{/* no */}")),
        ("a trailing comma", event(r#"{"a":1,}"#)),
        ("single quotes", event("{'a':1}")),
        ("a list as data", event("[]")),
        ("lists 100,000 deep", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("an object 100,000 deep as account", format!(r#"{{"account":{}"#, r#"{"a":"#.repeat(100_000))),
        ("data 100,000 deep", event(&r#"{"a":"#.repeat(100_000))),
        ("prototype fields beside it", r#"{"account":"acme","type":"action.tracked","data":{},"__proto__":{"x":1}}"#.to_owned()),
    ];
    for (name, body) in table {
        let answer = running.client.post("/v1/events", body).await;
        assert!(matches!(answer.status, 400 | 422), "{name}: {} {}", answer.status, answer.body);
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty(), "{name}");
    }
    assert_eq!(events(&running).await, 0);
    let data =
        r#"{"a":1e400,"b":12345678901234567890123456789012.50,"c":-0,"d":1E-7,"e":"\u0000\ud83d\ude00","__proto__":"x","constructor":1}"#;
    let id = running.client.post("/v1/events", event(data)).await.json()["id"].as_str().unwrap().to_owned();
    let kept = running.client.get(&format!("/v1/events/{id}")).await.body;
    assert!(kept.contains(data), "{kept}");
}

#[tokio::test]
async fn h15_problems_tell_nothing_of_the_inside() {
    let running = Running::with(|_| {}).await;
    let created = running.subscribe("http://127.0.0.1:9/?i={ActionId}&s={Status}&token=canary-url", json!({"state": "paused"})).await;
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    let long = "n".repeat(1_000_000);
    let calls: Vec<(&str, String, String)> = vec![
        ("POST", "/v1/events".into(), "{".into()),
        ("POST", "/v1/events".into(), format!(r#"{{"{long}":1}}"#)),
        ("POST", "/v1/events".into(), format!(r#"{{"account":"{long}","type":"action.tracked","data":{{}}}}"#)),
        ("POST", "/v1/events".into(), format!(r#"{{"account":"acme","type":"action.tracked","data":{{"{long}":1,"{long}":1}}}}"#)),
        ("POST", "/v1/subscriptions".into(), "{}".into()),
        (
            "POST",
            "/v1/subscriptions".into(),
            json!({"account": "acme", "name": "x", "event_types": vec!["?"; 50_000], "request": {"url": "https://t.example/"}}).to_string(),
        ),
        (
            "POST",
            "/v1/subscriptions".into(),
            json!({"account": "acme", "name": "x", "event_types": ["*"], "request": {"url": format!("https://t.example/?a={{{long}}}")}})
                .to_string(),
        ),
        ("POST", "/v1/accounts".into(), json!({"id": "other", "fields": vec!["?"; 50_000]}).to_string()),
        ("POST", "/v1/accounts".into(), json!({"id": "acme"}).to_string()),
        ("PATCH", path.clone(), r#"{"request":{"url":7}}"#.into()),
        ("PATCH", path.clone(), r#"[1]"#.into()),
        ("PUT", path.clone(), "null".into()),
        ("POST", format!("{path}/test"), r#"{"event":{"type":"action.vanished"}}"#.into()),
        ("GET", format!("/v1/events/{}", "x".repeat(5_000)), String::new()),
        ("GET", "/v1/deliveries?subscription=canary".into(), String::new()),
        ("GET", "/v1/deliveries/dlv_00000000000000000000000001".into(), String::new()),
        ("GET", "/v1/nowhere".into(), String::new()),
        ("DELETE", "/v1/accounts/nobody".into(), String::new()),
    ];
    let folder = running.folder.path().display().to_string();
    for (method, path, body) in calls {
        let answer = running.client.send(method, &path, &[("Content-Type", "application/json")], body.as_bytes()).await;
        let name = format!("{method} {path:.60} {body:.60}");
        assert!((400..500).contains(&answer.status), "{name}: {}", answer.status);
        assert!(answer.body.len() < 80_000, "{name}: an answer of {} bytes", answer.body.len());
        let inside =
            ["canary-url", &running.client.key, &folder, "src/", ".rs", "panicked", "sled", "redb", "serde", "axum", "Error {", "Box<"];
        for word in inside {
            assert!(!answer.body.contains(word), "{name} tells `{word}`: {:.500}", answer.body);
        }
        assert_eq!(answer.header("server"), None, "{name}");
    }
}
