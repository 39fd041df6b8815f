//! Credentials on the wire and in the API: four types, tokens, certificates; written, never read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postrider::clock::{Clock, SystemClock};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::receiver::Receiver;
use super::scripted::tls::{AUTHORITY, CLIENT_AUTHORITY, KeepingReceiver};
use super::scripted::{self, Script, Step, answer, ok};
use super::server::Running;

const CERTIFICATE: &str = include_str!("../receiver/certificates/client/p256.pem");
const KEY: &str = include_str!("../receiver/certificates/client/p256-pkcs8.key");
const OTHER_CERTIFICATE: &str = include_str!("../receiver/certificates/client/p384.pem");

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn codes(answer: &Value) -> Vec<String> {
    let list = answer["errors"].as_array().or(answer["warnings"].as_array()).unwrap();
    list.iter().map(|fault| format!("{} {}", fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap())).collect()
}

fn recorded_header<'a>(attempt: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = attempt["request"]["headers"].as_array().unwrap();
    let named = headers.iter().filter(|header| header["name"].as_str().unwrap().eq_ignore_ascii_case(name));
    named.map(|header| header["value"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_on_the_wire_and_not_on_record() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let table = [
        (
            json!({"type": "basic", "username": "ann", "password": "geheim:ä"}),
            "authorization",
            format!("Basic {}", STANDARD.encode("ann:geheim:ä")),
        ),
        (json!({"type": "bearer", "token": "geheim-2"}), "authorization", "Bearer geheim-2".to_owned()),
        (json!({"type": "header", "name": "X-Partner-Key", "value": "geheim 3"}), "x-partner-key", "geheim 3".to_owned()),
    ];
    for (credentials, header, expected) in table {
        let count = receiver.arrived().len();
        let created = running.subscribe(&format!("http://{}/?a={{ActionId}}", receiver.address), json!({"credentials": credentials})).await;
        assert!(codes(&created).contains(&"/request/url plain_http_credentials".to_owned()), "{created}");
        assert_eq!(created["credentials"]["has_secret"], true);
        assert!(!created.to_string().contains("geheim"), "{created}");
        let delivery = running.emit(json!({"ActionId": "1"})).await;
        assert_eq!(receiver.wait_for(count + 1).await[count].header(header), expected);
        let shown = running.attempts(&delivery, 1).await;
        assert_eq!(recorded_header(&shown["attempt_log"][0], header), ["(secret)"]);
        let id = created["id"].as_str().unwrap();
        let tried = running.client.post(&format!("/v1/subscriptions/{id}/test"), "").await;
        assert_eq!(receiver.arrived()[count + 1].header(header), expected, "a test goes the same way");
        assert!(!tried.body.contains("geheim") && tried.body.contains("(secret)"), "{}", tried.body);
        assert_eq!(running.client.send("DELETE", &format!("/v1/subscriptions/{id}"), &[], b"").await.status, 204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_can_be_sent_back_and_keeps_the_secrets() {
    let running = Running::start().await;
    let receiver = Receiver::start().await;
    let url = format!("http://{}/?a={{ActionId}}", receiver.address);
    let headers = json!([{"name": "X-Api-Key", "value": "typed-{ActionId}"}, {"name": "X-Plain", "value": "p"}]);
    let created = running
        .subscribe(
            "x",
            json!({"credentials": {"type": "bearer", "token": "t1"}, "signing": {}, "request": {"url": url, "headers": headers}}),
        )
        .await;
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    let read = running.client.get(&path).await;
    assert!(!read.body.contains("typed-") && read.json()["request"]["headers"][1]["value"] == "p", "{}", read.body);
    let put = running.client.send("PUT", &path, &[], read.body.as_bytes()).await;
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(put.json()["template_version"], created["template_version"], "the request is the same");
    let patched = running.client.send("PATCH", &path, &[], created.to_string().as_bytes()).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    let delivery = running.emit(json!({"ActionId": "7"})).await;
    let arrived = &receiver.wait_for(1).await[0];
    assert_eq!((arrived.header("authorization"), arrived.header("x-api-key")), ("Bearer t1", "typed-7"));
    let shown = running.attempts(&delivery, 1).await;
    assert_eq!(recorded_header(&shown["attempt_log"][0], "x-api-key"), ["(secret)"], "masked where it is shown");

    let (status, moved) = running.patch(created["id"].as_str().unwrap(), json!({"request": {"url": "https://evil.example/"}})).await;
    assert_eq!(
        (status, codes(&moved)),
        (422, vec!["/request/headers/0/value secret_required".into(), "/credentials/token secret_required".into()])
    );
    let (status, other) = running.patch(created["id"].as_str().unwrap(), json!({"credentials": {"type": "basic", "username": "u"}})).await;
    assert_eq!((status, codes(&other)), (422, vec!["/credentials/password secret_missing".into()]));
    let (status, other) =
        running.patch(created["id"].as_str().unwrap(), json!({"credentials": {"type": "basic", "username": "u", "password": "p"}})).await;
    assert_eq!((status, &other["credentials"]), (200, &json!({"type": "basic", "username": "u", "has_secret": true})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_credentials_are_named_and_never_quoted() {
    let running = Running::start().await;
    let header = |name: &str| json!({"url": "https://a.example/", "headers": [{"name": name, "value": "v"}]});
    let table = [
        (
            json!({"credentials": {"type": "bearer", "token": "s3cret"}, "request": header("AUTHORIZATION")}),
            "/request/headers/0/name header_conflict",
        ),
        (
            json!({"credentials": {"type": "header", "name": "x-a", "value": "s3cret"}, "request": header("X-A")}),
            "/request/headers/0/name header_conflict",
        ),
        (json!({"credentials": {"type": "header", "name": "Host", "value": "s3cret"}}), "/credentials/name reserved_header"),
        (json!({"credentials": {"type": "header", "name": "a b", "value": "s3cret"}}), "/credentials/name invalid_header"),
        (
            json!({"credentials": {"type": "header", "name": "webhook-id", "value": "s3cret"}, "signing": {}}),
            "/credentials/name header_conflict",
        ),
        (json!({"credentials": {"type": "basic", "username": "a:b", "password": "s3cret"}}), "/credentials/username invalid_value"),
        (
            json!({"credentials": {"type": "oauth2", "token_url": "https://u:s3cret@a.example/", "client_id": "c", "client_secret": "s"}}),
            "/credentials/token_url bad_url",
        ),
        (
            json!({"credentials": {"type": "oauth2", "token_url": "ftp://a.example/", "client_id": "c", "client_secret": "s3cret"}}),
            "/credentials/token_url bad_url",
        ),
        (json!({"credentials": {"type": "bearer", "token": ["s3cret"]}}), "/credentials invalid_value"),
        (json!({"credentials": "s3cret"}), "/credentials invalid_value"),
        (json!({"signing": "s3cret"}), "/signing invalid_value"),
        (json!({"tls": {"client_certificate": CERTIFICATE, "client_key": 53}}), "/tls/client_key invalid_value"),
        (json!({"credentials": {"type": "bearer", "token": "s3cret", "pasword": "x"}}), "/credentials unknown_field"),
        (json!({"credentials": {"type": "bearer"}}), "/credentials/token secret_missing"),
        (
            json!({"request": header("cookie").as_object().map(|request| json!({"url": request["url"], "headers": [{"name": "Cookie", "value": "(secret)"}]}))}),
            "/request/headers/0/value secret_missing",
        ),
    ];
    for (patch, expected) in table {
        let mut spec = json!({"account": "acme", "name": "x", "event_types": ["*"], "request": {"url": "https://a.example/"}});
        patch.as_object().unwrap().iter().for_each(|(name, value)| spec[name] = value.clone());
        let answer = running.client.post("/v1/subscriptions", spec).await;
        assert_eq!(answer.status, 422, "{patch}: {}", answer.body);
        assert_eq!(codes(&answer.json())[0], expected, "{patch}");
        assert!(!answer.body.contains("s3cret"), "{}", answer.body);
    }
}

// Tokens.

/// A token endpoint and a receiver on one address: `/token` grants `T1`, `T2` and so on by `grant`, every
/// other path answers by `receive`, which gets the `Authorization` header.
async fn oauth(
    grant: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static,
    receive: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
) -> scripted::Receiver {
    let fetched = Arc::new(AtomicUsize::new(0));
    let script = Script::each(move |arrived| match arrived.target.as_str() {
        "/token" => grant(fetched.fetch_add(1, Ordering::SeqCst) + 1),
        _ => receive(arrived.header("authorization").unwrap_or_default()),
    });
    scripted::Receiver::start(script).await.unwrap()
}

fn granted(number: usize) -> Vec<Step> {
    answer(200, &[], format!(r#"{{"access_token":"geheim-T{number}","token_type":"Bearer","expires_in":3600}}"#))
}

fn client_credentials(receiver: &scripted::Receiver) -> Value {
    json!({
        "credentials": {"type": "oauth2", "token_url": receiver.url("/token"), "client_id": "id:1", "client_secret": "geheim+1", "scope": "post", "audience": "a"},
        "retry": {"attempts": 3, "schedule_s": [0], "jitter": 0}, "timeout_ms": 2000,
    })
}

fn paths(receiver: &scripted::Receiver) -> Vec<String> {
    receiver.requests().iter().map(|request| request.target.split('?').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_fetched_once_and_used_for_all() {
    let running = Running::start().await;
    let receiver = oauth(granted, |_| ok()).await;
    running.subscribe(&receiver.url("/pb?a={ActionId}"), client_credentials(&receiver)).await;
    let events: Vec<_> =
        (0..20).map(|number| json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": number.to_string()}})).collect();
    assert_eq!(running.client.post("/v1/events", json!(events)).await.status, 202);
    tokio::time::timeout(Duration::from_secs(60), receiver.arrived(21)).await.unwrap();
    let requests = receiver.requests();
    let (fetches, posts): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.target == "/token");
    assert_eq!((fetches.len(), posts.len()), (1, 20), "one fetch at a time, also for many at once");
    assert!(posts.iter().all(|request| request.header("authorization") == Some("Bearer geheim-T1")));
    assert_eq!(fetches[0].header("authorization"), Some(format!("Basic {}", STANDARD.encode("id%3A1:geheim%2B1")).as_str()));
    assert_eq!(fetches[0].body, b"grant_type=client_credentials&scope=post&audience=a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_is_fetched_anew_once() {
    let running = Running::start().await;
    let receiver = oauth(granted, |token| if token == "Bearer geheim-T1" { answer(401, &[], "") } else { ok() }).await;
    running.subscribe(&receiver.url("/pb?a={ActionId}"), client_credentials(&receiver)).await;
    // The first token was fetched for this attempt: its 401 is the receiver's last word.
    let first = running.emit(json!({"ActionId": "1"})).await;
    let shown = running.attempts(&first, 1).await;
    assert_eq!((&shown["state"], &shown["attempt_log"][0]["outcome"]), (&json!("dead"), &json!("refused")));
    assert_eq!(paths(&receiver), ["/token", "/pb"]);
    // The second attempt has it from before, so that it may have been revoked since.
    let second = running.emit(json!({"ActionId": "2"})).await;
    let shown = running.attempts(&second, 1).await;
    assert_eq!((&shown["state"], shown["attempt_log"].as_array().unwrap().len()), (&json!("delivered"), 1), "{shown}");
    assert_eq!(paths(&receiver)[2..], ["/pb", "/token", "/pb"]);
    assert_eq!(recorded_header(&shown["attempt_log"][0], "authorization"), ["(secret)"]);
    assert!(!shown.to_string().contains("geheim"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_that_fails_is_named_and_asked_again() {
    let running = Running::start().await;
    type Grant = fn(usize) -> Vec<Step>;
    let table: [(Grant, &str); 6] = [
        (|_| answer(500, &[], "geheim"), "it answered status 500"),
        (|_| answer(401, &[], r#"{"error":"invalid_client","error_description":"geheim"}"#), "it answered status 401, `invalid_client`"),
        (|_| answer(200, &[], "geheim"), "no JSON object with an `access_token`"),
        (|_| answer(200, &[], format!("{{\"x\":\"{}\"}}", "geheim".repeat(20_000))), "its answer is larger than is read"),
        (|_| vec![Step::Reset], "reset the connection"),
        (|_| vec![Step::Hang], "gave no answer within 300 ms"),
    ];
    for (fails, what) in table {
        let receiver = oauth(move |number| if number < 3 { fails(number) } else { granted(number) }, |_| ok()).await;
        let mut subscription = client_credentials(&receiver);
        subscription["timeout_ms"] = json!(300);
        let created = running.subscribe(&receiver.url("/pb?a={ActionId}"), subscription).await;
        let delivery = running.emit(json!({"ActionId": "1"})).await;
        let shown = running.attempts(&delivery, 3).await;
        let log = shown["attempt_log"].as_array().unwrap();
        for attempt in &log[..2] {
            let reason = attempt["reason"].as_str().unwrap();
            assert!(reason.starts_with(&format!("no token from `{}`: ", receiver.url("/token"))) && reason.contains(what), "{reason}");
            assert_eq!(
                (&attempt["outcome"], &attempt["request"]),
                (&json!("unreachable"), &Value::Null),
                "nothing was sent to the receiver"
            );
        }
        assert_eq!(shown["state"], "delivered", "{shown}");
        assert!(!shown.to_string().contains("geheim"), "{shown}");
        let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
        assert_eq!(running.client.send("DELETE", &path, &[], b"").await.status, 204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_the_token_endpoint_is_guarded_like_a_receiver() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.allow_private = false;
    })
    .await;
    let receiver = oauth(granted, |_| ok()).await;
    let created = running.subscribe("https://a.example/?a={ActionId}", client_credentials(&receiver)).await;
    assert!(codes(&created).contains(&"/credentials/token_url blocked_address".to_owned()), "{created}");
    let delivery = running.emit(json!({"ActionId": "1"})).await;
    let shown = running.attempts(&delivery, 1).await;
    assert_eq!((&shown["state"], &shown["attempt_log"][0]["outcome"]), (&json!("dead"), &json!("blocked")), "{shown}");
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_of_before_does_not_carry_credentials_to_the_old_host() {
    let running = Running::start().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let created = running
        .subscribe(
            &format!("http://{}/?a={{ActionId}}", old.address),
            json!({"state": "paused", "credentials": {"type": "bearer", "token": "t1"}}),
        )
        .await;
    let id = created["id"].as_str().unwrap();
    let delivery = running.emit(json!({"ActionId": "1"})).await;
    let url = format!("http://{}/?a={{ActionId}}", new.address);
    let change = json!({"state": "active", "request": {"url": url}, "credentials": {"token": "t2"}});
    assert_eq!(running.patch(id, change).await.0, 200);
    let shown = running.attempts(&delivery, 1).await;
    assert_eq!(shown["attempt_log"][0]["outcome"], "not_rendered", "{shown}");
    assert_eq!(running.client.post(&format!("/v1/deliveries/{delivery}/retry"), "").await.status, 200);
    assert_eq!(new.wait_for(1).await[0].header("authorization"), "Bearer t2");
    assert_eq!(old.arrived().len(), 0);
}

// Certificates.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_asks_for_our_certificate_gets_it() {
    let running = Running::start().await;
    let receiver = KeepingReceiver::start(Some(CLIENT_AUTHORITY)).await.unwrap();
    let tls = json!({"client_certificate": CERTIFICATE, "client_key": KEY, "ca": pem(AUTHORITY)});
    let url = format!("https://{}/?a={{ActionId}}", receiver.addr());
    let created = running.subscribe(&url, json!({"tls": tls})).await;
    assert_eq!(created["tls"]["client_certificate_expires_at"], "2124-01-01T00:00:00.000Z");
    assert_eq!((&created["tls"]["has_secret"], created["tls"].get("client_key")), (&json!(true), None));
    assert!(!created.to_string().contains(KEY.lines().nth(1).unwrap()), "{created}");
    let delivery = running.emit(json!({"ActionId": "1"})).await;
    let shown = running.attempts(&delivery, 1).await;
    assert_eq!(shown["state"], "delivered", "{shown}");
    let ours = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes()).next().unwrap().unwrap().to_vec();
    assert_eq!(receiver.shown(), [Some(ours)]);
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    let back = running.client.get(&path).await;
    let put = running.client.send("PUT", &path, &[], back.body.as_bytes()).await;
    assert_eq!((put.status, &put.json()["tls"]), (200, &back.json()["tls"]), "{}", put.body);
    let delivery = running.emit(json!({"ActionId": "2"})).await;
    assert_eq!(running.attempts(&delivery, 1).await["state"], "delivered", "the key was kept");
    // Without it the receiver lets nobody in.
    assert_eq!(running.patch(created["id"].as_str().unwrap(), json!({"tls": {"client_certificate": null}})).await.0, 200);
    let delivery = running.emit(json!({"ActionId": "3"})).await;
    assert_eq!(running.attempts(&delivery, 1).await["attempt_log"][0]["outcome"], "unreachable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_read_when_they_are_saved() {
    let running = Running::start().await;
    let table = [
        (json!({"client_certificate": CERTIFICATE}), "/tls/client_key secret_missing"),
        (json!({"client_key": KEY}), "/tls/client_certificate missing_field"),
        (json!({"client_certificate": "x", "client_key": KEY}), "/tls/client_certificate invalid_certificate"),
        (json!({"client_certificate": OTHER_CERTIFICATE, "client_key": KEY}), "/tls/client_key invalid_certificate"),
        (json!({"client_certificate": format!("{CERTIFICATE}{KEY}"), "client_key": KEY}), "/tls/client_certificate invalid_certificate"),
        (json!({"client_certificate": CERTIFICATE, "client_key": "geheim"}), "/tls/client_key invalid_certificate"),
        (json!({"ca": "geheim"}), "/tls/ca invalid_certificate"),
        (json!({}), "/tls missing_field"),
    ];
    for (tls, expected) in table {
        let spec = json!({"account": "acme", "name": "x", "event_types": ["*"], "request": {"url": "https://a.example/"}, "tls": tls});
        let answer = running.client.post("/v1/subscriptions", spec).await;
        assert_eq!((answer.status, codes(&answer.json()).contains(&expected.to_owned())), (422, true), "{tls}: {}", answer.body);
        assert!(!answer.body.contains("geheim") && !answer.body.contains(KEY.lines().nth(1).unwrap()), "{}", answer.body);
    }
    let plain = running.subscribe("http://a.example/", json!({"tls": {"ca": pem(AUTHORITY)}})).await;
    assert!(codes(&plain).contains(&"/tls tls_not_used".to_owned()), "{plain}");
}

/// A certificate that ends at the beginning of this day, and its key, both as PEM.
fn ending(day: &str) -> (String, String) {
    let parts: Vec<i32> = day.split('-').map(|part| part.parse().unwrap()).collect();
    let mut params = rcgen::CertificateParams::new(vec!["client.test".into()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(parts[0], u8::try_from(parts[1]).unwrap(), u8::try_from(parts[2]).unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = pem(params.self_signed(&key).unwrap().der());
    (certificate, pem(&key.serialize_der()).replace("CERTIFICATE", "PRIVATE KEY"))
}

#[tokio::test]
async fn a_certificate_that_ends_soon_or_has_ended_is_warned_about() {
    let running = Running::start().await;
    let in_days = |days: u64| SystemClock.now().after(Duration::from_secs(days * 86_400)).to_string()[..10].to_owned();
    for (day, expected) in [("2021-01-01".to_owned(), Some("ended at 2021-01-01")), (in_days(20), Some("ends at ")), (in_days(40), None)] {
        let (certificate, key) = ending(&day);
        let tls = json!({"client_certificate": certificate, "client_key": key});
        let created = running.subscribe("https://a.example/", json!({"tls": tls})).await;
        let warning = created["warnings"].as_array().unwrap().iter().find(|warning| warning["code"] == "certificate_expires");
        let told = warning.map(|warning| (warning["pointer"].as_str().unwrap(), warning["detail"].as_str().unwrap()));
        match (expected, told) {
            (None, None) => {}
            (Some(words), Some(("/tls/client_certificate", detail))) => {
                assert!(detail.contains(words) && detail.contains(&day), "{detail}")
            }
            other => panic!("{day}: {other:?}"),
        }
    }
}
