//! The page for receivers: its snippets are run against requests that were really sent, and its examples hold.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postrider::clock::Timestamp;
use postrider::request::sign::{SignedQuery, TOLERANCE, verify};
use serde_json::{Value, json};

use super::scripted::{Receiver, Script, ok};
use super::server::Running;
use super::snippet;

const PAGE: &str = include_str!("../../docs/signatures.md");
const V1: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

fn block(language: &str) -> &'static str {
    let start = PAGE.find(&format!("```{language}\n")).unwrap() + language.len() + 4;
    &PAGE[start..start + PAGE[start..].find("\n```").unwrap()]
}

/// One request to be checked, and what should come of it.
struct Case {
    key: String,
    version: &'static str,
    target: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
    good: bool,
}

impl Case {
    fn in_query(&self) -> bool {
        !self.headers.contains_key("webhook-id")
    }

    fn json(&self) -> Value {
        json!({"key": self.key, "target": self.target, "headers": self.headers, "body": STANDARD.encode(&self.body), "query": self.in_query()})
    }
}

/// Requests in both forms and versions, signed by one key and by two; and each of them changed.
async fn cases() -> Vec<Case> {
    let running = Running::start().await;
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let mut cases = Vec::new();
    for (version, key, public, rotates) in [("v1", V1, V1, false), ("v1", V1, V1, true), ("v1a", PRIVATE, PUBLIC, true)] {
        for method in ["GET", "POST"] {
            let url = receiver.url("/p?id={ActionId}&s={SubId1}");
            let body = if method == "POST" { "{\"ü\": \"{SubId1}\"}\n" } else { "" };
            let format = if method == "POST" { "json" } else { "query" };
            let request = json!({"method": method, "url": url, "body": body, "body_format": format});
            let created = running.subscribe("x", json!({"request": request, "signing": {"version": version, "secret": key}})).await;
            let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
            if rotates {
                assert_eq!(running.client.post(&format!("{path}/signing/rotate"), "").await.status, 200);
            }
            let count = receiver.requests().len();
            running.emit(json!({"ActionId": "1", "SubId1": "a b&c~d=é"})).await;
            tokio::time::timeout(Duration::from_secs(60), receiver.arrived(count + 1)).await.unwrap();
            let sent = receiver.requests().pop().unwrap();
            let headers: HashMap<_, _> = sent.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
            let case = |key: &str, target: &str, body: &[u8], good| Case {
                key: key.into(),
                version,
                target: target.into(),
                headers: headers.clone(),
                body: body.to_vec(),
                good,
            };
            cases.push(case(public, &sent.target, &sent.body, true));
            let other = if version == "v1" {
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            } else {
                "whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
            };
            cases.push(case(other, &sent.target, &sent.body, false));
            cases.push(case(public, &sent.target.replace("id=1", "id=2"), &[&sent.body[..], b" "].concat(), false));
            assert_eq!(running.client.send("DELETE", &path, &[], b"").await.status, 204);
        }
    }
    cases
}

/// Runs a program that reads one case a line and answers `true` or `false` to each.
fn run(program: &str, arguments: &[&str], cases: &[Case]) {
    let input: String = cases.iter().map(|case| format!("{}\n", case.json())).collect();
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} failed");
    let answers = String::from_utf8(output.stdout).unwrap().to_lowercase();
    let expected: Vec<_> = cases.iter().map(|case| case.good.to_string()).collect();
    assert_eq!(answers.lines().collect::<Vec<_>>(), expected, "{program}: {}", input);
}

/// Whether a program is there; says so loudly if not.
fn is_there(program: &str) -> bool {
    // An `openssl` of before 3.0 knows the word without dashes only, as all do.
    let argument = if program == "openssl" { "version" } else { "--version" };
    let found =
        Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: `{program}` is not on this machine, so that its snippet in docs/signatures.md was not run");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_snippets_for_receivers_tell_good_from_changed() {
    let cases = cases().await;
    assert_eq!(cases.len(), 18);
    let (v1, v1a): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.version == "v1");

    for case in &v1 {
        let held = if case.in_query() {
            snippet::verify_query(&case.key, &case.target) == Some(true)
        } else {
            let mut headers = http::HeaderMap::new();
            for (name, value) in &case.headers {
                headers.insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
            }
            snippet::verify_headers(&case.key, &headers, &case.body)
        };
        assert_eq!(held, case.good, "rust: {}", case.json());
    }
    if is_there("python3") {
        let harness = "\nimport json, sys\nfor line in sys.stdin:\n    c = json.loads(line)\n    print(verify_query(c['key'], c['target']) if c['query'] else verify_headers(c['key'], c['headers'], base64.b64decode(c['body'])))\n";
        run("python3", &["-c", &format!("{}{harness}", block("python"))], &v1);
    }
    if is_there("node") {
        let harness = "\nfor (const line of require('node:fs').readFileSync(0, 'utf8').trim().split('\\n')) {\n  const c = JSON.parse(line);\n  console.log(c.query ? verifyQuery(c.key, c.target) : verifyHeaders(c.key, c.headers, Buffer.from(c.body, 'base64')));\n}\n";
        let program = format!("{}{harness}", block("js"));
        run("node", &["-e", &program], &v1);
        run("node", &["-e", &program], &v1a);
    }
    if is_there("openssl") {
        for case in &v1 {
            assert_eq!(by_shell(case), case.good, "shell: {}", case.json());
        }
    }
}

fn by_shell(case: &Case) -> bool {
    let call = if case.in_query() { "verify_query \"$1\" \"$2\"" } else { "verify_headers \"$1\" \"$2\" \"$3\" \"$4\"" };
    let header = |name: &str| case.headers.get(name).map_or("", String::as_str);
    let arguments = if case.in_query() {
        vec![case.key.as_str(), case.target.as_str()]
    } else {
        vec![case.key.as_str(), header("webhook-id"), header("webhook-timestamp"), header("webhook-signature")]
    };
    let mut child =
        Command::new("sh").args(["-c", &format!("{}\n{call}", block("sh")), "sh"]).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&case.body).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn the_page_shows_the_rust_that_is_tested_and_an_example_that_holds() {
    let tested = include_str!("snippet.rs").split_once("\n\n").unwrap().1.trim_end();
    assert_eq!(block("rust"), tested);
    let example = PAGE.lines().find(|line| line.starts_with("/postback?cid=1001")).unwrap();
    let keys = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()];
    let query = SignedQuery::parse(example).unwrap();
    assert!(verify(&query.signed(), &keys, Timestamp::from_unix_ms(1_614_265_330_000), TOLERANCE).is_ok());
}
