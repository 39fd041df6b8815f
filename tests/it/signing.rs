//! Signatures as receivers see them: both versions, both forms, over retries and while a key is replaced
//! (H-19). Checked by our own code, by the reference implementation, and by the snippets of the page for receivers.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use postrider::clock::{Clock, SystemClock};
use postrider::request::sign::{Signed, SignedQuery, TOLERANCE, VerifyError, VerifyingKey, verify};
use serde_json::{Value, json};

use super::scripted::{Arrived, Receiver, Script, answer, ok};
use super::server::Running;

/// The secret of the second public vector.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// The private and the public key of the third.
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

fn header<'a>(arrived: &'a Arrived, name: &str) -> &'a str {
    arrived.header(name).unwrap_or_else(|| panic!("{name} is missing: {:?}", arrived.headers))
}

/// What our own code says of a request that just arrived.
fn verified(arrived: &Arrived, key: &str) -> Result<&'static str, VerifyError> {
    let keys: [VerifyingKey; 1] = [key.parse().unwrap()];
    let now = SystemClock.now();
    let result = match SignedQuery::parse(&arrived.target) {
        Some(query) => verify(&query.signed(), &keys, now, TOLERANCE),
        None => {
            let (id, timestamp) = (header(arrived, "webhook-id"), header(arrived, "webhook-timestamp"));
            let signed = Signed { id, timestamp, signature: header(arrived, "webhook-signature"), body: &arrived.body };
            verify(&signed, &keys, now, TOLERANCE)
        }
    };
    result.map(|verified| verified.version)
}

/// What the reference implementation says; it knows headers and `v1` only.
fn verified_independently(arrived: &Arrived, secret: &str) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in &arrived.headers {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    standardwebhooks::Webhook::new(secret).unwrap().verify(&arrived.body, &headers).is_ok()
}

fn post(receiver: &Receiver, signing: Value) -> Value {
    json!({
        "request": {"method": "POST", "url": receiver.url("/hook"), "body_format": "json", "body": "{\"id\": \"{ActionId}\", \"ü\": 1}"},
        "signing": signing,
        "retry": {"attempts": 3, "schedule_s": [0], "jitter": 0},
    })
}

async fn arrived(receiver: &Receiver, count: usize) -> Vec<Arrived> {
    tokio::time::timeout(Duration::from_secs(60), receiver.arrived(count)).await.unwrap();
    receiver.requests()
}

async fn rotate(running: &Running, id: &str, body: Value) -> Value {
    let answer = running.client.post(&format!("/v1/subscriptions/{id}/signing/rotate"), body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_is_signed_anew_under_the_same_id() {
    let running = Running::start().await;
    let receiver = Receiver::start(Script::in_turn(vec![answer(500, &[], ""), ok()])).await.unwrap();
    let created = running.subscribe("x", post(&receiver, json!({}))).await;
    let secret = created["signing_secret"].as_str().unwrap();
    assert_eq!(
        created["signing"],
        json!({"version": "v1", "form": "auto", "rotated_at": null, "previous_until": null, "has_secret": true})
    );
    let delivery = running.emit(json!({"ActionId": "1"})).await;
    let requests = arrived(&receiver, 2).await;
    for request in &requests {
        assert_eq!(header(request, "webhook-id"), delivery);
        assert!(verified_independently(request, secret));
        assert_eq!(verified(request, secret), Ok("v1"));
        assert_eq!(verified(request, SECRET), Err(VerifyError::NoMatch));
    }
    let shown = running.attempts(&delivery, 2).await;
    for (attempt, request) in shown["attempt_log"].as_array().unwrap().iter().zip(&requests) {
        let started: postrider::clock::Timestamp = attempt["started_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(header(request, "webhook-timestamp"), (started.unix_ms() / 1_000).to_string());
        let recorded = attempt["request"]["headers"].as_array().unwrap();
        let signature = recorded.iter().find(|header| header["name"] == "webhook-signature").unwrap();
        assert_eq!(signature["value"], header(request, "webhook-signature"), "a signature is no secret and is on record");
    }
    let read = running.client.get(&format!("/v1/subscriptions/{}", created["id"].as_str().unwrap())).await;
    assert!(!read.body.contains(secret) && !read.body.contains("signing_secret"), "{}", read.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h19_while_a_key_is_replaced_both_sign_and_then_only_the_new_one() {
    let running = Running::start().await;
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let created = running.subscribe("x", post(&receiver, json!({"secret": SECRET}))).await;
    assert_eq!(created["signing_secret"], Value::Null, "who gave the secret knows it");
    let id = created["id"].as_str().unwrap();
    let rotated = rotate(&running, id, json!({"overlap_s": 3600})).await;
    let second = rotated["signing_secret"].as_str().unwrap().to_owned();
    assert!(rotated["signing"]["rotated_at"].is_string() && rotated["signing"]["previous_until"].is_string(), "{rotated}");
    assert_eq!(rotated["version"], 2);
    running.emit(json!({"ActionId": "1"})).await;
    let both = &arrived(&receiver, 1).await[0];
    assert_eq!(header(both, "webhook-signature").split(' ').count(), 2);
    for secret in [SECRET, &second] {
        assert!(verified_independently(both, secret));
        assert_eq!(verified(both, secret), Ok("v1"));
    }
    // A change of something else does not end the overlap.
    assert_eq!(running.patch(id, json!({"name": "other"})).await.0, 200);
    running.emit(json!({"ActionId": "2"})).await;
    assert!(verified_independently(&arrived(&receiver, 2).await[1], SECRET));

    let third = rotate(&running, id, json!({"overlap_s": 0, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})).await;
    assert_eq!(third["signing"]["previous_until"], Value::Null);
    assert_eq!(third["signing_secret"], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    running.emit(json!({"ActionId": "3"})).await;
    let alone = &arrived(&receiver, 3).await[2];
    assert_eq!(header(alone, "webhook-signature").split(' ').count(), 1);
    assert!(verified_independently(alone, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    assert_eq!((verified(alone, &second), verified(alone, SECRET)), (Err(VerifyError::NoMatch), Err(VerifyError::NoMatch)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_v1a_signature_needs_only_the_public_key() {
    let running = Running::start().await;
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let created = running.subscribe("x", post(&receiver, json!({"version": "v1a", "secret": PRIVATE}))).await;
    assert_eq!((&created["signing"]["public_key"], &created["signing_secret"]), (&json!(PUBLIC), &Value::Null));
    running.emit(json!({"ActionId": "1"})).await;
    assert_eq!(verified(&arrived(&receiver, 1).await[0], PUBLIC), Ok("v1a"));
    let rotated = rotate(&running, created["id"].as_str().unwrap(), json!({})).await;
    let public = rotated["signing"]["public_key"].as_str().unwrap();
    assert_eq!(rotated["signing_secret"], Value::Null, "a private key is never shown");
    running.emit(json!({"ActionId": "2"})).await;
    let both = &arrived(&receiver, 2).await[1];
    assert_eq!((verified(both, PUBLIC), verified(both, public)), (Ok("v1a"), Ok("v1a")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postback_is_signed_in_its_query() {
    let running = Running::start().await;
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let url = receiver.url("/pb?id={ActionId}&s={SubId1}");
    let created = running.subscribe(&url, json!({"signing": {"secret": SECRET}})).await;
    let delivery = running.emit(json!({"ActionId": "1", "SubId1": "a b&webhook_signature=v1.x~\u{e4}"})).await;
    rotate(&running, created["id"].as_str().unwrap(), json!({"overlap_s": 60})).await;
    running.emit(json!({"ActionId": "2"})).await;
    let requests = arrived(&receiver, 2).await;
    for request in &requests {
        assert_eq!(verified(request, SECRET), Ok("v1"), "{}", request.target);
        assert!(request.header("webhook-id").is_none());
        let changed = Arrived { target: request.target.replace("id=1", "id=3").replace("id=2", "id=3"), ..request.clone() };
        assert_eq!(verified(&changed, SECRET), Err(VerifyError::NoMatch), "{}", changed.target);
    }
    assert!(requests.iter().any(|request| request.target.contains(&format!("&webhook_id={delivery}&webhook_timestamp="))));
    assert!(requests.iter().any(|request| request.target.contains('~')), "two keys, two signatures");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_signed_or_says_less_than_it_seems_is_told() {
    let running = Running::start().await;
    let refusals = [
        (
            json!({"signing": {"form": "query"}, "request": {"url": "https://a.example/", "method": "POST", "body": "a=1"}}),
            "/signing/form",
            "signature_without_body",
        ),
        (json!({"signing": {}, "request": {"url": "https://a.example/?webhook_id=1"}}), "/request/url", "parameter_conflict"),
        (
            json!({"signing": {}, "request": {"url": "https://a.example/", "body": "webhook_signature={ActionId}"}}),
            "/request/body",
            "parameter_conflict",
        ),
        (json!({"signing": {"secret": "whsec_AAAA"}}), "/signing/secret", "invalid_secret"),
        (json!({"signing": {"secret": PUBLIC}}), "/signing/secret", "invalid_secret"),
        (json!({"signing": {"secret": PRIVATE}}), "/signing/secret", "invalid_secret"),
        (json!({"signing": {"version": "v1a", "secret": SECRET}}), "/signing/secret", "invalid_secret"),
        (json!({"signing": {"version": "v2"}}), "/signing/version", "invalid_value"),
        (
            json!({"signing": {}, "request": {"url": "https://a.example/", "method": "POST", "headers": [{"name": "Webhook-Id", "value": "1"}]}}),
            "/request/headers/0/name",
            "header_conflict",
        ),
    ];
    for (patch, pointer, code) in refusals {
        let mut spec = json!({"account": "acme", "name": "x", "event_types": ["*"], "request": {"url": "https://a.example/"}});
        patch.as_object().unwrap().iter().for_each(|(name, value)| spec[name] = value.clone());
        let answer = running.client.post("/v1/subscriptions", spec).await;
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
            (422, &json!(pointer), &json!(code)),
            "{patch}"
        );
        assert!(!answer.body.contains(&PRIVATE[5..]) && !answer.body.contains(&SECRET[6..]), "{}", answer.body);
    }
    let created = running.subscribe("https://a.example/", json!({"signing": {"form": "headers"}})).await;
    let codes: Vec<_> = created["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"signature_without_values"), "{codes:?}");
    let plain = running.subscribe("https://a.example/", json!({})).await;
    let path = format!("/v1/subscriptions/{}/signing/rotate", plain["id"].as_str().unwrap());
    let unsigned = running.client.post(&path, "").await;
    assert_eq!((unsigned.status, unsigned.json()["code"].clone()), (409, json!("not_signed")));
    let path = format!("/v1/subscriptions/{}/signing/rotate", created["id"].as_str().unwrap());
    let long = running.client.post(&path, json!({"overlap_s": 2_592_001})).await;
    assert_eq!((long.status, long.json()["errors"][0]["pointer"].clone()), (422, json!("/overlap_s")));
    let stale = running.client.send("POST", &path, &[("If-Match", "\"7\"")], b"").await;
    assert_eq!(stale.status, 412);
    // A change of version is another key, which is made and, for `v1a`, never shown.
    let (status, changed) = running.patch(created["id"].as_str().unwrap(), json!({"signing": {"version": "v1a"}})).await;
    assert_eq!((status, changed["signing_secret"].clone(), changed["signing"]["rotated_at"].is_string()), (200, Value::Null, true));
    assert!(changed["signing"]["public_key"].as_str().unwrap().starts_with("whpk_"));
}
