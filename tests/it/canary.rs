//! The canary scan (H18, J2): unique texts are planted as every secret; then everything that the server
//! wrote or answered is searched for them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::http::{Answer, Client};
use super::scripted::tls::{AUTHORITY, CLIENT_AUTHORITY, KeepingReceiver};
use super::scripted::{Receiver, Script, answer, ok};
use super::server::Running;

const CERTIFICATE: &str = include_str!("../receiver/certificates/client/p256.pem");
const KEY: &str = include_str!("../receiver/certificates/client/p256-pkcs8.key");

const PASSWORD: &str = "canary-password-5d1f";
const BEARER: &str = "canary-bearer-8a2c";
const VALUE: &str = "canary-value-77e0";
const CLIENT_SECRET: &str = "canary-client-secret-c4b9";
const TOKEN: &str = "canary-access-token-19aa";
const SIGNING: &str = "canary-signing-key-of-32-bytes--";
const REPLACED: &str = "canary-signing-key-that-came-2nd";

/// Everything that must be found nowhere, in the spellings in which it could be written.
fn canaries() -> Vec<(String, Vec<u8>)> {
    let mut canaries = Vec::new();
    for secret in [PASSWORD, BEARER, VALUE, CLIENT_SECRET, TOKEN, SIGNING, REPLACED] {
        canaries.push((secret.to_owned(), secret.as_bytes().to_vec()));
        canaries.push((format!("{secret} in base64"), STANDARD.encode(secret).trim_end_matches('=').as_bytes()[..20].to_vec()));
    }
    canaries.push(("basic credentials".into(), STANDARD.encode(format!("ann:{PASSWORD}")).into_bytes()));
    canaries.push(("client id and secret".into(), STANDARD.encode(format!("id:{CLIENT_SECRET}")).into_bytes()));
    let key_line = KEY.lines().nth(1).unwrap();
    canaries.push(("client key".into(), key_line.as_bytes().to_vec()));
    canaries.push(("client key in DER".into(), STANDARD.decode(&key_line[..40]).unwrap()));
    canaries
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

fn assert_clean(place: &str, text: &[u8]) {
    for (name, canary) in canaries() {
        assert!(!contains(text, &canary), "{name} is in {place}");
    }
}

fn secret_of(signing: &str) -> String {
    format!("whsec_{}", STANDARD.encode(signing))
}

/// Sends back what it got, so that every secret comes back in an answer: 500 at first, then 200.
fn echo() -> Script {
    let seen = std::sync::atomic::AtomicUsize::new(0);
    Script::each(move |arrived| {
        if arrived.target == "/token" {
            return answer(200, &[], json!({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}).to_string());
        }
        let number = seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let proof = arrived.header("authorization").or(arrived.header("x-key")).unwrap_or_default().to_owned();
        let status = if number.is_multiple_of(2) { 500 } else { 200 };
        let body = json!({"you_sent": proof, "url": arrived.target}).to_string();
        let decoded = if proof.starts_with("Basic ") { PASSWORD } else { "" };
        answer(status, &[("X-Echo", &proof), ("Location", &proof)], format!("{proof} {body} {decoded}"))
    })
}

/// Calls the server and keeps every answer.
struct Caller {
    client: Client,
    answers: Vec<(String, Answer)>,
}

impl Caller {
    async fn call(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.client.send(method, path, &[], body.as_bytes()).await;
        let value = if answer.body.is_empty() { Value::Null } else { answer.json() };
        self.answers.push((format!("the answer to {method} {path}"), answer));
        value
    }
}

fn subscriptions(receiver: &Receiver, tls: &KeepingReceiver) -> Vec<Value> {
    let url = receiver.url("/pb?a={ActionId}");
    let credentials = [
        json!({"type": "basic", "username": "ann", "password": PASSWORD}),
        json!({"type": "bearer", "token": BEARER}),
        json!({"type": "header", "name": "X-Key", "value": VALUE}),
        json!({"type": "oauth2", "token_url": receiver.url("/token"), "client_id": "id", "client_secret": CLIENT_SECRET}),
        json!({"type": "oauth2", "token_url": receiver.url("/token"), "client_id": "id", "client_secret": CLIENT_SECRET, "client_authentication": "body"}),
    ];
    let spec = |request: Value| {
        json!({
            "account": "acme", "name": "canary-control", "event_types": ["action.*"], "request": request,
            "retry": {"attempts": 2, "schedule_s": [0], "jitter": 0}, "signing": {"secret": secret_of(SIGNING)},
        })
    };
    let mut all: Vec<_> = credentials
        .into_iter()
        .map(|credentials| {
            let mut spec = spec(json!({"method": "POST", "url": url, "body": "a={ActionId}"}));
            spec["credentials"] = credentials;
            spec
        })
        .collect();
    let mut with_key = spec(json!({"url": format!("https://{}/?a={{ActionId}}", tls.addr())}));
    let authority = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(AUTHORITY));
    with_key["tls"] = json!({"client_certificate": CERTIFICATE, "client_key": KEY, "ca": authority});
    all.push(with_key);
    all
}

/// What callers do with subscriptions that hold secrets, rightly and wrongly.
async fn exercise(caller: &mut Caller, receiver: &Receiver, tls: &KeepingReceiver) {
    caller.call("POST", "/v1/accounts", &json!({"id": "acme"})).await;
    let mut ids = Vec::new();
    for spec in subscriptions(receiver, tls) {
        let created = caller.call("POST", "/v1/subscriptions", &spec).await;
        ids.push(created["id"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned());
        // Faults in a body that holds secrets.
        let mut wrong = spec.clone();
        wrong["name"] = json!("");
        caller.call("POST", "/v1/subscriptions", &wrong).await;
        wrong["credentials"] = spec["credentials"]["password"].clone();
        wrong["signing"] = json!(secret_of(SIGNING));
        caller.call("POST", "/v1/subscriptions", &wrong).await;
        wrong["signing"] = json!({"version": "v1a", "secret": secret_of(SIGNING)});
        wrong["tls"] = json!({"client_certificate": KEY, "client_key": CERTIFICATE});
        caller.call("POST", "/v1/subscriptions", &wrong).await;
    }
    caller.call("GET", "/v1/subscriptions", &Value::Null).await;
    for id in &ids {
        let path = format!("/v1/subscriptions/{id}");
        let read = caller.call("GET", &path, &Value::Null).await;
        caller.call("PUT", &path, &read).await;
        if read["credentials"].is_object() {
            let moved = caller.call("PATCH", &path, &json!({"request": {"url": "https://evil.example/"}})).await;
            assert_eq!(moved["errors"][0]["code"], "secret_required");
        }
        caller.call("PATCH", &path, &json!({"signing": {"secret": secret_of(REPLACED)}})).await;
        caller.call("POST", &format!("{path}/test"), &Value::Null).await;
    }
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1"}});
    let accepted = caller.call("POST", "/v1/events", &event).await;
    let deliveries: Vec<_> = accepted["deliveries"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    for id in &deliveries {
        let mut looked = 0;
        while caller.client.get(&format!("/v1/deliveries/{id}")).await.json()["state"] == "pending" {
            looked += 1;
            assert!(looked < 2_000, "{id} is not decided");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        caller.call("GET", &format!("/v1/deliveries/{id}"), &Value::Null).await;
    }
    caller.call("GET", "/v1/deliveries", &Value::Null).await;
    caller.call("DELETE", &format!("/v1/subscriptions/{}", ids[0]), &Value::Null).await;
}

/// Every file under `folder` but the two that hold keys.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["master.key", "operator.key"].contains(&entry.file_name().to_str().unwrap()) {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

async fn scan(log_format: &str, log: &str) {
    let receiver = Receiver::start(echo()).await.unwrap();
    let tls = KeepingReceiver::start(Some(CLIENT_AUTHORITY)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["serve", "--allow-private", "--listen", "127.0.0.1:0", "--store", "sled", "--log-format", log_format, "--data"])
        .arg(folder.path())
        .env("POSTRIDER_LOG", log)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut written = String::new();
    let address = lines
        .by_ref()
        .find_map(|line| {
            written += &line;
            Some(line.strip_prefix("Postrider serves http://")?.trim().parse().unwrap())
        })
        .unwrap();
    let reading = std::thread::spawn(move || lines.fold(written, |text, line| text + &line + "\n"));
    let key = std::fs::read_to_string(folder.path().join("operator.key")).unwrap().trim().to_owned();
    let mut caller = Caller { client: Client { address, key }, answers: Vec::new() };
    exercise(&mut caller, &receiver, &tls).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let written = tokio::task::spawn_blocking(move || reading.join().unwrap()).await.unwrap();
    assert!(child.wait().unwrap().success());

    // They were really used.
    let sent: String =
        receiver.requests().iter().map(|request| format!("{:?}{}", request.headers, String::from_utf8_lossy(&request.body))).collect();
    for secret in [BEARER, VALUE, TOKEN, CLIENT_SECRET] {
        assert!(sent.contains(secret), "{secret} was never sent");
    }
    assert!(!tls.shown().is_empty(), "the client certificate was never shown");

    assert!(written.contains("attempt.number"), "the log holds attempts: {}", &written[..written.len().min(2_000)]);
    assert_clean("the log", written.as_bytes());
    for (place, answer) in &caller.answers {
        assert_clean(place, answer.head.as_bytes());
        assert_clean(place, answer.body.as_bytes());
    }
    let answers: String = caller.answers.iter().map(|(_, answer)| answer.body.as_str()).collect();
    assert!(answers.contains("you_sent") && answers.contains("(secret)"), "what receivers echo is on record, masked");
    let files = files(folder.path());
    assert!(files.iter().any(|(_, bytes)| contains(bytes, b"canary-control")), "the scan sees what is stored in the clear");
    for (place, bytes) in &files {
        assert_clean(place, bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h18_j2_p13_no_secret_is_in_the_store_the_json_log_or_any_answer() {
    scan("json", "trace").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h18_j2_p13_no_secret_is_in_the_store_the_text_log_or_any_answer() {
    scan("text", "debug").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j2_no_debug_form_shows_a_secret() {
    let running = Running::start().await;
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let tls = KeepingReceiver::start(Some(CLIENT_AUTHORITY)).await.unwrap();
    for spec in subscriptions(&receiver, &tls) {
        let parsed: postrider::subscription::SubscriptionSpec = serde_json::from_value(spec.clone()).unwrap();
        assert_clean("the debug form of a spec as written", format!("{parsed:?}").as_bytes());
        assert_eq!(running.client.post("/v1/subscriptions", spec).await.status, 201);
    }
    let registry = running.server.queue().registry();
    for subscription in registry.subscriptions() {
        let channel = postrider::request::channel::Channel::open(subscription).unwrap();
        assert_clean("the debug form of a subscription", format!("{subscription:?} {channel:?} {subscription:#?}").as_bytes());
    }
    assert_clean("the debug form of the queue", format!("{:?}", running.server.queue()).as_bytes());
    assert_clean("the debug form of the server", format!("{:?}", running.server).as_bytes());
}
