//! The log: one line per attempt with its fields, and nothing that may be secret.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::http::Client;
use super::receiver::Receiver;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_is_one_line_without_secrets_or_bodies() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["serve", "--allow-private", "--listen", "127.0.0.1:0", "--log-format", "json", "--data"])
        .arg(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.by_ref().find_map(|line| Some(line.strip_prefix("Postrider serves http://")?.trim().parse().unwrap())).unwrap();
    let key = std::fs::read_to_string(folder.path().join("operator.key")).unwrap().trim().to_owned();
    let client = Client { address, key };
    client.post("/v1/accounts", json!({"id": "acme"})).await;
    let url = format!("http://{}/?token=canary-url&s={{SubId1}}&i={{ActionId}}", receiver.address);
    let request = json!({"method": "POST", "url": url, "body": "b={SubId2}", "headers": [{"name": "X-Key", "value": "canary-header"}]});
    client.post("/v1/subscriptions", json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": request})).await;
    let data = json!({"ActionId": "1", "SubId1": "canary-query", "SubId2": "canary-body"});
    client.post("/v1/events", json!({"account": "acme", "type": "action.tracked", "data": data})).await;
    assert_eq!(receiver.wait_for(1).await[0].body, b"b=canary-body");
    let attempt = tokio::task::spawn_blocking(move || {
        let found = lines.by_ref().find(|line| line.contains("\"attempt\"")).unwrap();
        (found, lines)
    });
    let (attempt, lines) = attempt.await.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "a termination is an orderly stop: {rest:?}");
    let parsed: Value = serde_json::from_str(&attempt).unwrap();
    assert_eq!(
        (parsed["outcome"].clone(), parsed["status"].clone(), parsed["attempt.number"].clone()),
        (json!("delivered"), json!(200), json!(1))
    );
    for field in ["account", "subscription.id", "delivery.id", "duration_ms"] {
        assert!(!parsed[field].is_null(), "{field} is missing: {attempt}");
    }
    for canary in ["canary", client.key.as_str()] {
        assert!(!attempt.contains(canary) && !rest.iter().any(|line| line.contains(canary)), "{canary} is in the log");
    }
}
