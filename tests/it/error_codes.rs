//! Every code of the API's table of errors, reached by a request over HTTP.
//!
//! The list of what is reached here is compared with the table, so that a code that is added without a
//! case fails.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::response::IntoResponse;
use postrider::api::{ApiError, error_codes};
use postrider::event::catalogue::DefinedType;
use postrider::queue::{Actor, ConfigureError, KeyScope, KeySpec};
use postrider::request::URL_BYTES_MAX;
use postrider::rng::SeededRng;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::http::{Answer, Client};
use super::server::Running;

/// What one server with small limits answers.
const OF_ONE_SERVER: [&str; 38] = [
    "unauthorized",
    "forbidden",
    "too_many_failures",
    "not_found",
    "no_such_route",
    "method_not_allowed",
    "bad_request",
    "malformed_json",
    "invalid_utf8",
    "body_unreadable",
    "body_too_slow",
    "body_too_large",
    "unsupported_media_type",
    "invalid_input",
    "unknown_account",
    "unknown_event_type",
    "key_reused",
    "event_type_exists",
    "event_type_in_use",
    "event_type_built_in",
    "account_exists",
    "key_expired",
    "key_in_file",
    "account_being_deleted",
    "offer_exists",
    "too_many_inbound_keys",
    "too_many_clicks",
    "test_run_not_ready",
    "field_in_use",
    "delivery_decided",
    "not_signed",
    "order_has_waiting",
    "version_mismatch",
    "queue_full",
    "too_many_tests",
    "replay_over",
    "too_many_replays",
    "stopping",
];

/// What needs a server of its own.
const OF_OTHERS: [&str; 6] =
    ["too_many_offers", "too_many_event_types", "too_many_keys", "storage_full", "store_failed", "store_unavailable"];

/// What only several servers on one store can come to: changes of one server wait for each other. The
/// answer itself is looked at.
const OF_SEVERAL_SERVERS: [&str; 1] = ["conflict"];

#[test]
fn every_code_has_a_case() {
    let reached: BTreeSet<_> = OF_ONE_SERVER.iter().chain(&OF_OTHERS).chain(&OF_SEVERAL_SERVERS).copied().collect();
    let known: BTreeSet<_> = error_codes().map(|(code, _)| code).collect();
    assert_eq!(reached, known);
}

/// Notes the code of an answer, which must be a problem in every part.
fn note(answer: &Answer, reached: &mut BTreeSet<String>) {
    let problem = answer.json();
    let code = problem["code"].as_str().unwrap_or_else(|| panic!("{} without a code: {}", answer.status, answer.body)).to_owned();
    let (_, status) = error_codes().find(|(known, _)| *known == code).unwrap_or_else(|| panic!("`{code}` is not in the table"));
    assert_eq!((answer.status, problem["status"].clone()), (status, json!(status)), "{code}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{code}");
    assert_eq!(problem["type"], format!("urn:postrider:error:{code}"));
    assert!(!problem["detail"].as_str().unwrap().is_empty() && !problem["title"].as_str().unwrap().is_empty(), "{code}");
    assert_eq!(answer.header("retry-after").is_some(), [429, 503].contains(&status), "{code}");
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{code}");
    assert_eq!(answer.header("allow").is_some(), status == 405, "{code}");
    reached.insert(code);
}

/// Sends bytes as they are and reads the answer.
async fn raw(client: &Client, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    let head = format!("{head}Host: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n", client.key);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).await.unwrap();
    let (head, body) = received.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {received}"));
    Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
}

/// Calls again and again, and answers with what came when there was too much.
async fn many(client: &Client, path: &str, body: Option<Value>) -> Answer {
    for _ in 0..1_000 {
        let answer = match &body {
            Some(body) => client.post(path, body).await,
            None => client.get(path).await,
        };
        if answer.status >= 400 {
            return answer;
        }
    }
    panic!("{path} takes any number");
}

fn id(created: &Value) -> &str {
    created["id"].as_str().unwrap_or_else(|| panic!("no id: {created}"))
}

fn event(account: &str, event_type: &str) -> Value {
    json!({"account": account, "type": event_type, "data": {"ActionId": "1"}})
}

#[tokio::test]
async fn one_server_comes_to_most_of_them() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.body_bytes_max = 20_000;
        settings.request_body_s = 1;
        settings.waiting_per_subscription_max = 5;
        settings.authentication_failures_per_minute = 2;
        settings.test_sends_per_minute = 1;
    })
    .await;
    let client = &running.client;
    let reached = &mut BTreeSet::new();
    let json_type = &[("Content-Type", "application/json")];

    // Paths, methods and bodies.
    note(&client.get("/v1/nowhere").await, reached);
    note(&client.send("DELETE", "/v1/me", &[], b"").await, reached);
    note(&client.get("/v1/events/%FF").await, reached);
    note(&client.get("/v1/events/evt_00000000000000000000000000").await, reached);
    note(&client.get("/v1/events?limit=0").await, reached);
    note(&client.post("/v1/events", "{").await, reached);
    note(&client.send("POST", "/v1/events", json_type, b"{\"account\": \"\xff\"}").await, reached);
    note(&client.post("/v1/events", " ".repeat(20_001)).await, reached);
    note(&client.send("POST", "/v1/events", &[("Content-Type", "text/csv")], b"a,b").await, reached);
    note(&raw(client, "POST /v1/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", b"no length\r\n").await, reached);
    note(&raw(client, "POST /v1/events HTTP/1.1\r\nContent-Length: 100\r\n", b"{").await, reached);

    // Keys.
    let stranger = Client { key: "prk_unknown".into(), ..client.clone() };
    for _ in 0..3 {
        note(&stranger.get("/v1/me").await, reached);
    }
    let reader = client.post("/v1/keys", json!({"name": "n", "scope": "read"})).await.json();
    let reading = Client { key: reader["key"].as_str().unwrap().into(), ..client.clone() };
    note(&reading.get("/v1/keys").await, reached);
    let rotate = format!("/v1/keys/{}/rotate", id(&reader));
    assert_eq!(client.post(&rotate, json!({"overlap_s": 0})).await.status, 201);
    note(&client.post(&rotate, "").await, reached);
    note(&client.send("DELETE", "/v1/keys/key_operator", &[], b"").await, reached);

    // Events and event types.
    note(&client.post("/v1/events", event("nobody", "test.ping")).await, reached);
    note(&client.post("/v1/events", event("acme", "no.such_type")).await, reached);
    let keyed = |value: u32| json!({"account": "acme", "type": "test.ping", "key": "k", "data": {"ActionId": value}});
    assert_eq!(client.post("/v1/events", keyed(1)).await.status, 202);
    note(&client.post("/v1/events", keyed(2)).await, reached);
    assert_eq!(client.post("/v1/event-types", json!({"type": "lead.qualified"})).await.status, 201);
    note(&client.post("/v1/event-types", json!({"type": "lead.qualified"})).await, reached);
    running.subscribe("https://receiver.example/", json!({"event_types": ["lead.qualified"]})).await;
    note(&client.send("DELETE", "/v1/event-types/lead.qualified", &[], b"").await, reached);
    note(&client.send("DELETE", "/v1/event-types/test.ping", &[], b"").await, reached);

    // Accounts.
    note(&client.post("/v1/accounts", json!({"id": "acme"})).await, reached);
    assert_eq!(client.send("PATCH", "/v1/accounts/acme", json_type, br#"{"fields": ["ShopId"]}"#).await.status, 200);
    running.subscribe("https://receiver.example/?s={ShopId}", json!({"event_types": ["test.ping"]})).await;
    note(&client.send("PATCH", "/v1/accounts/acme", json_type, br#"{"fields": []}"#).await, reached);

    // Subscriptions and deliveries.
    let paused = json!({"state": "paused", "order": "action"});
    let subscription = running.subscribe("https://receiver.example/?i={ActionId}", paused).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    note(&client.send("DELETE", &path, &[("If-Match", "\"7\"")], b"").await, reached);
    note(&client.post(&format!("{path}/signing/rotate"), "").await, reached);
    let mut deliveries = Vec::new();
    for _ in 0..5 {
        deliveries
            .push(client.post("/v1/events", event("acme", "action.tracked")).await.json()["deliveries"][0].as_str().unwrap().to_owned());
    }
    note(&client.post("/v1/events", event("acme", "action.tracked")).await, reached);
    note(&client.send("PATCH", &path, json_type, br#"{"order": "none"}"#).await, reached);
    for delivery in &deliveries {
        assert_eq!(client.post(&format!("/v1/deliveries/{delivery}/cancel"), "").await.status, 200);
    }
    note(&client.post(&format!("/v1/deliveries/{}/cancel", deliveries[0]), "").await, reached);

    // A second test within the minute.
    let test = format!("/v1/subscriptions/{}/test", id(&subscription));
    assert_eq!(client.post(&test, "").await.status, 200);
    note(&client.post(&test, "").await, reached);

    // Replays that take minutes, until there are too many.
    let replay = json!({"subscription": id(&subscription), "states": ["cancelled"], "per_second": 0.01});
    let mut first = None;
    loop {
        let answer = client.post("/v1/replays", &replay).await;
        if answer.status != 201 {
            note(&answer, reached);
            break;
        }
        first.get_or_insert(answer.json());
    }
    let cancel = format!("/v1/replays/{}/cancel", id(&first.unwrap()));
    assert_eq!(client.post(&cancel, "").await.status, 200);
    note(&client.post(&cancel, "").await, reached);

    // Offers, their keys, their clicks and their tests.
    let offer = json!({"id": "o", "account": "acme", "name": "n", "landing_url": "https://shop.example/", "currency": "USD",
        "actions": [{"name": "lead", "rate": "1"}]});
    assert_eq!(client.post("/v1/offers", &offer).await.status, 201);
    note(&client.post("/v1/offers", &offer).await, reached);
    let run = client.post("/v1/offers/o/test-runs", json!({"partner": "acme", "action": "lead"})).await.json();
    note(&client.post(&format!("/v1/test-runs/{}/report", id(&run)), json!({"status": "new"})).await, reached);
    note(&many(client, "/v1/inbound-keys", Some(json!({"account": "acme", "name": "k"}))).await, reached);
    note(&many(client, "/acme/c/o", None).await, reached);

    // An account is not gone while a request of it is in flight, to a receiver that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(client.post("/v1/accounts", json!({"id": "going"})).await.status, 201);
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let spec = json!({"account": "going", "name": "n", "event_types": ["test.ping"], "request": {"url": url}});
    assert_eq!(client.post("/v1/subscriptions", spec).await.status, 201);
    assert_eq!(client.post("/v1/events", event("going", "test.ping")).await.status, 202);
    let in_flight = silent.accept().await.unwrap();
    assert_eq!(client.send("DELETE", "/v1/accounts/going", &[], b"").await.status, 202);
    note(&client.post("/v1/accounts", json!({"id": "going"})).await, reached);
    drop(in_flight);

    running.server.queue().close().await.unwrap();
    note(&client.post("/v1/events", event("acme", "test.ping")).await, reached);

    let expected: BTreeSet<_> = OF_ONE_SERVER.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(*reached, expected);
}

#[tokio::test]
async fn what_is_kept_by_the_thousand_ends_somewhere() {
    let running = Running::start().await;
    let queue = running.server.queue();
    let (by, rng) = (Actor::stranger([127, 0, 0, 1].into()), SeededRng::new(1));
    let reached = &mut BTreeSet::new();
    for number in 0..1_000 {
        let name = format!("made.up_{number}").parse().unwrap();
        let defined =
            DefinedType { name, description: String::new(), family: "made".into(), fields: Vec::new(), created_at: Default::default() };
        queue.create_event_type(&by, defined).await.unwrap();
    }
    note(&running.client.post("/v1/event-types", json!({"type": "one.more"})).await, reached);
    let key = |number: usize| KeySpec { name: format!("key {number}"), scope: KeyScope::Read, account: None, expires_at: None };
    let mut number = 0;
    while let Ok(_issued) = queue.create_key(&by, key(number), &rng).await {
        number += 1;
    }
    assert_eq!(number, 10_000);
    note(&running.client.post("/v1/keys", json!({"name": "one more", "scope": "read"})).await, reached);
    let offer = r#"{"id":"o","account":"acme","name":"n","landing_url":"https://shop.example/","currency":"USD","actions":[{"name":"lead","rate":"1"}]}"#;
    let mut spec: Value = serde_json::from_str(offer).unwrap();
    spec.as_object_mut().unwrap().retain(|name, _| !["id", "account"].contains(&name.as_str()));
    let spec: postrider::inbound::OfferSpec = serde_json::from_value(spec).unwrap();
    let mut number = 0;
    let account: postrider::event::AccountId = "acme".parse().unwrap();
    while queue.create_offer(&by, format!("o{number}").parse().unwrap(), account.clone(), spec.clone()).await.is_ok() {
        number += 1;
    }
    assert_eq!(number, 5_000);
    note(&running.client.post("/v1/offers", offer).await, reached);
    assert_eq!(*reached, ["too_many_event_types", "too_many_keys", "too_many_offers"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_full_disk_is_told_from_a_broken_one() {
    let reached = &mut BTreeSet::new();
    let full = Running::with_account(|settings| settings.disk_free_bytes_min = u64::MAX).await;
    note(&full.client.post("/v1/accounts", json!({"id": "acme"})).await, reached);
    let mut broken = Broken::start();
    let text = "x".repeat(1_000_000);
    let body = json!({"account": "acme", "type": "test.ping", "data": {"text": text}}).to_string();
    assert_eq!(broken.client.post("/v1/accounts", json!({"id": "acme"})).await.status, 201);
    let refused = loop {
        let answer = broken.client.post("/v1/events", &body).await;
        if answer.status != 202 {
            break answer;
        }
    };
    note(&refused, reached);
    assert_eq!(*reached, ["storage_full", "store_failed"].map(str::to_owned).into());
    let ended = tokio::task::spawn_blocking(move || broken.child.wait().unwrap()).await.unwrap();
    assert!(!ended.success(), "a server whose store has failed ends");
}

/// The program, whose files cannot grow beyond 4 MiB.
struct Broken {
    child: std::process::Child,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Broken {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut child = Command::new("bash")
            .args([
                "-c",
                r#"trap "" XFSZ; ulimit -f 4096; exec "$0" serve --listen 127.0.0.1:0 --data "$1""#,
                env!("CARGO_BIN_EXE_postrider"),
            ])
            .arg(&data)
            .env("POSTRIDER_LOG", "error")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.by_ref().find(|line| line.contains("http://")).expect("the server starts");
        let address = line.rsplit("http://").next().unwrap().trim().parse().unwrap();
        // Keeps the pipe open.
        std::thread::spawn(move || lines.for_each(|line| eprintln!("server: {line}")));
        // The line is written when the key is.
        let key = std::fs::read_to_string(data.join("operator.key")).unwrap().trim().to_owned();
        Self { child, client: Client { address, key }, _folder: folder }
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_change_that_another_server_was_faster_with_is_a_conflict() {
    let answer = ApiError::from(ConfigureError::Conflict { id: "acme".into() }).into_response();
    assert_eq!(answer.status(), 409);
    let body = tokio::time::timeout(Duration::from_secs(10), axum::body::to_bytes(answer.into_body(), 10_000)).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["code"], "conflict");
}

/// The codes of faults and warnings of single fields that the sources give, by the calls that make them.
fn codes_of_fields() -> BTreeSet<String> {
    let made = regex::Regex::new(
        r#"(?:Invalid::new|FieldError::new|EventDataError::new|Err\(fault|[^a-z_](?:fault|wrong)|faults?\.(?:add|warn))\(\s*[^;]{0,120}?,\s*"([a-z]+(?:_[a-z0-9]+)+)"\s*,"#,
    )
    .unwrap();
    let text = sources("src/api").into_iter().chain(sources("src/subscription")).chain(sources("src/event")).chain(sources("src/queue"));
    let before_tests = |text: String| text.split("mod tests {").next().unwrap_or_default().to_owned();
    text.map(before_tests).flat_map(|text| made.captures_iter(&text).map(|found| found[1].to_owned()).collect::<Vec<_>>()).collect()
}

fn sources(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(path.to_str().unwrap()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[test]
fn codes_of_fields_are_documented_and_named_by_a_test() {
    let codes = codes_of_fields();
    assert!(codes.len() > 40, "only {} were found: {codes:?}", codes.len());
    let page = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).unwrap();
    let of_crates = ["tests/it", "tests/security"].into_iter().flat_map(sources);
    let beside_code = ["src/event", "src/subscription"].into_iter().flat_map(sources).filter_map(tests_of);
    let tests: String = of_crates.chain(beside_code).collect();
    for code in &codes {
        assert!(page.contains(&format!("`{code}`")), "docs/errors.md has no word on `{code}`");
        assert!(tests.contains(&format!("\"{code}\"")), "no test names `{code}`");
    }
}

/// The tests beside code.
fn tests_of(text: String) -> Option<String> {
    text.split_once("mod tests {").map(|(_, tests)| tests.to_owned())
}

#[tokio::test]
async fn faults_that_no_other_test_comes_to() {
    let running = Running::start().await;
    let client = &running.client;
    let spec = |patch: Value| {
        let mut spec =
            json!({"account": "acme", "name": "n", "event_types": ["action.*"], "request": {"url": "https://receiver.example/"}});
        spec.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        spec
    };
    let subscription = running.subscribe("https://receiver.example/", json!({})).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let codes = |answer: &Answer| {
        let body = answer.json();
        let all = ["errors", "warnings"].iter().flat_map(|key| body[key].as_array().cloned().unwrap_or_default());
        all.map(|found| found["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(client.post("/v1/accounts", json!({"id": "other"})).await.status, 201);
    let moved = client.send("PUT", &path, &[], spec(json!({"account": "other"})).to_string().as_bytes()).await;
    assert_eq!(codes(&moved), ["account_changed"]);
    let test = client.post(&format!("{path}/test"), json!({"event": {"type": "no.such_type"}})).await;
    assert_eq!(codes(&test), ["no_sample"]);
    let nothing = client.post("/v1/subscriptions", spec(json!({"event_types": ["nothing.*"]}))).await;
    assert!(codes(&nothing).contains(&"matches_no_type".into()), "{}", nothing.body);
    let plain = json!({"request": {"url": "http://receiver.example/"}, "credentials": {"type": "bearer", "token": "t"}});
    let plain = client.post("/v1/subscriptions", spec(plain)).await;
    assert!(codes(&plain).contains(&"plain_http_credentials".into()), "{}", plain.body);
    let tls = client.post("/v1/subscriptions", spec(json!({"tls": {"ca": "no certificate"}}))).await;
    assert_eq!(codes(&tls), ["invalid_certificate"]);
    let authority = include_str!("../receiver/certificates/client/p256.pem");
    let unused = json!({"request": {"url": "http://receiver.example/"}, "tls": {"ca": authority}});
    let unused = client.post("/v1/subscriptions", spec(unused)).await;
    assert!(codes(&unused).contains(&"tls_not_used".into()), "{}", unused.body);
    let nested = json!({"name": "a", "type": "list", "fields": [{"name": "b", "type": "list"}]});
    let nested = client.post("/v1/event-types", json!({"type": "a.b", "fields": [nested]})).await;
    assert_eq!(codes(&nested), ["nested_list"]);
    let long = json!({"subscription": spec(json!({"request": {"url": "https://receiver.example/?s={SubId1}"}})),
        "event": {"type": "action.tracked", "data": {"SubId1": "x".repeat(100_000)}}});
    assert!(codes(&client.post("/v1/subscriptions/preview", long).await).contains(&"url_too_long".into()));
    // The URL fits, and with its signature it does not.
    let signed = json!({"signing": {"form": "query"}, "request": {"url": "https://receiver.example/?s={SubId1}"}});
    let nearly =
        json!({"subscription": spec(signed), "event": {"type": "action.tracked", "data": {"SubId1": "x".repeat(URL_BYTES_MAX - 50)}}});
    assert!(codes(&client.post("/v1/subscriptions/preview", nearly).await).contains(&"not_sendable".into()));
}
