//! API keys: made, shown once, expired, rotated, deleted; and kept out of everything that can be read later.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use postrider::config::Settings;
use postrider::server::Server;
use serde_json::{Value, json};

use super::http::Client;
use super::server::Running;

/// Creates a key and answers with it.
pub async fn create(running: &Running, body: Value) -> Value {
    let answer = running.client.post("/v1/keys", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()
}

/// A client with the key of an answer that made one.
pub fn client_of(running: &Running, created: &Value) -> Client {
    Client { key: created["key"].as_str().unwrap().to_owned(), ..running.client.clone() }
}

#[tokio::test]
async fn a_key_is_shown_once_and_works() {
    let running = Running::start().await;
    let created = create(&running, json!({"name": "tracker", "scope": "account", "account": "acme"})).await;
    let text = created["key"].as_str().unwrap();
    assert_eq!((text.len(), &text[..4], created["prefix"].as_str().unwrap()), (62, "prk_", &text[..8]));
    assert_eq!(
        (&created["scope"], &created["account"], &created["expires_at"], &created["last_used_at"]),
        (&json!("account"), &json!("acme"), &Value::Null, &Value::Null)
    );
    let path = format!("/v1/keys/{}", created["id"].as_str().unwrap());
    let mut expected = created.clone();
    expected.as_object_mut().unwrap().remove("key");
    assert_eq!(running.client.get(&path).await.json(), expected, "the same without the text");
    let holder = client_of(&running, &created);
    let me = holder.get("/v1/me").await.json();
    assert_eq!((&me["accounts"], &me["can_write"], &me["key"]["id"]), (&json!(["acme"]), &json!(true), &created["id"]));
    assert!(me["key"]["last_used_at"].is_string());
    assert_eq!(running.client.get(&path).await.json()["last_used_at"], me["key"]["last_used_at"]);
    let operator = running.client.get("/v1/me").await.json();
    assert_eq!(
        (&operator["accounts"], &operator["can_write"], &operator["key"]["id"], &operator["key"]["scope"]),
        (&json!("all"), &json!(true), &json!("key_operator"), &json!("operator"))
    );
    let shown = format!("{:?}", running.server);
    assert!(!shown.contains(text) && !shown.contains(running.server.operator_key()), "a key is in the debug form of the server");
    let all = client_of(&running, &create(&running, json!({"name": "monitor", "scope": "read"})).await);
    let me = all.get("/v1/me").await.json();
    assert_eq!((&me["accounts"], &me["can_write"]), (&json!("all"), &json!(false)));
    assert_eq!(all.get("/v1/accounts/acme").await.status, 200, "a reading key without account reads all of them");
}

#[tokio::test]
async fn h4_bad_keys_are_named_with_their_place() {
    let running = Running::start().await;
    let long = "x".repeat(201);
    let table = [
        (json!({"name": "x"}), "missing_field", ""),
        (json!({"scope": "read"}), "missing_field", ""),
        (json!({"name": "", "scope": "read"}), "invalid_name", "/name"),
        (json!({"name": "a\nb", "scope": "read"}), "invalid_name", "/name"),
        (json!({"name": long, "scope": "read"}), "invalid_name", "/name"),
        (json!({"name": "x", "scope": "root"}), "invalid_value", "/scope"),
        (json!({"name": "x", "scope": "account"}), "missing_field", "/account"),
        (json!({"name": "x", "scope": "operator", "account": "acme"}), "invalid_value", "/account"),
        (json!({"name": "x", "scope": "account", "account": "nobody"}), "unknown_account", "/account"),
        (json!({"name": "x", "scope": "read", "expires_at": "2001-01-01T00:00:00Z"}), "out_of_range", "/expires_at"),
        (json!({"name": "x", "scope": "read", "expires_at": "soon"}), "invalid_value", "/expires_at"),
        (json!({"name": "x", "scope": "read", "id": "key_operator"}), "unknown_field", "/id"),
        (json!({"name": "x", "scope": "read", "key": "prk_mine"}), "unknown_field", "/key"),
        (json!({"name": "x", "scope": "read", "created_at": "2001-01-01T00:00:00Z"}), "unknown_field", "/created_at"),
        (json!({"name": "x", "scope": "read", "last_used_at": null}), "unknown_field", "/last_used_at"),
    ];
    for (body, code, pointer) in table {
        let answer = running.client.post("/v1/keys", &body).await;
        let error = &answer.json()["errors"][0];
        assert_eq!((answer.status, error["code"].as_str(), error["pointer"].as_str()), (422, Some(code), Some(pointer)), "{body}");
    }
    assert_eq!(running.client.get("/v1/keys").await.json()["data"].as_array().unwrap().len(), 1, "only that of the file");
}

#[tokio::test]
async fn a_rotated_key_overlaps_with_its_successor() {
    let running = Running::start().await;
    let first = create(&running, json!({"name": "tracker", "scope": "account", "account": "acme"})).await;
    let rotate = format!("/v1/keys/{}/rotate", first["id"].as_str().unwrap());
    let answer = running.client.post(&rotate, "").await;
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")));
    let second = answer.json();
    assert!(second["id"] != first["id"] && second["key"] != first["key"]);
    assert_eq!(
        (&second["name"], &second["scope"], &second["account"], &second["expires_at"]),
        (&first["name"], &first["scope"], &first["account"], &Value::Null)
    );
    for key in [&first, &second] {
        assert_eq!(client_of(&running, key).get("/v1/me").await.status, 200, "both are taken");
    }
    let old = running.client.get(&format!("/v1/keys/{}", first["id"].as_str().unwrap())).await.json();
    assert!(old["expires_at"].is_string());
    // Again, at once: the first one's end is not put off by a longer overlap.
    let third = running.client.post(&rotate, json!({"overlap_s": 0})).await;
    assert_eq!(third.status, 201);
    let refused = client_of(&running, &first).get("/v1/me").await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (401, json!("unauthorized")));
    assert!(refused.json()["detail"].as_str().unwrap().contains("expired"), "its holder is told why");
    let again = running.client.post(&rotate, "").await;
    assert_eq!((again.status, again.json()["code"].clone()), (409, json!("key_expired")));
    for body in [json!({"overlap_s": 2_592_001}), json!({"overlap_s": -1}), json!({"overlap": 1})] {
        let path = format!("/v1/keys/{}/rotate", second["id"].as_str().unwrap());
        assert_eq!(running.client.post(&path, &body).await.status, 422, "{body}");
    }
}

#[tokio::test]
async fn a_successor_is_valid_as_long_as_the_key_was_meant_to_be() {
    let running = Running::start().await;
    let first = create(&running, json!({"name": "x", "scope": "read", "expires_at": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(first["expires_at"], "2999-01-01T00:00:00.000Z");
    let second = running.client.post(&format!("/v1/keys/{}/rotate", first["id"].as_str().unwrap()), "").await.json();
    let third = running.client.post(&format!("/v1/keys/{}/rotate", second["id"].as_str().unwrap()), "").await.json();
    assert!(third["expires_at"].as_str().unwrap().starts_with("2999-01-01T0"), "{third}");
}

#[tokio::test]
async fn a_deleted_key_is_not_taken_any_more() {
    let running = Running::start().await;
    let created = create(&running, json!({"name": "x", "scope": "operator"})).await;
    let holder = client_of(&running, &created);
    let path = format!("/v1/keys/{}", created["id"].as_str().unwrap());
    assert_eq!(holder.send("DELETE", &path, &[], b"").await.status, 204, "also by its own holder");
    let unknown = Client { key: "prk_unknown".into(), ..holder.clone() };
    let (refused, stranger) = (holder.get("/v1/me").await, unknown.get("/v1/me").await);
    assert_eq!((refused.status, refused.comparable()), (401, stranger.comparable()), "nothing tells that there was such a key");
    assert_eq!(running.client.get(&path).await.status, 404);
    assert_eq!(running.client.send("DELETE", &path, &[], b"").await.status, 404);
}

#[tokio::test]
async fn the_key_of_the_file_is_listed_and_not_changed_here() {
    let running = Running::start().await;
    let ids: Vec<Value> = {
        let mut ids = Vec::new();
        for number in 0..3 {
            ids.push(create(&running, json!({"name": number.to_string(), "scope": "read"})).await["id"].clone());
        }
        ids
    };
    let first = running.client.get("/v1/keys?limit=2").await.json();
    let second = running.client.get(&format!("/v1/keys?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    let listed: Vec<_> =
        first["data"].as_array().unwrap().iter().chain(second["data"].as_array().unwrap()).map(|key| key["id"].clone()).collect();
    assert_eq!(listed, [ids[2].clone(), ids[1].clone(), ids[0].clone(), json!("key_operator")]);
    assert_eq!(second["next_cursor"], Value::Null);
    assert_eq!(running.client.get("/v1/keys/key_operator").await.json()["name"], "operator.key");
    let deleted = running.client.send("DELETE", "/v1/keys/key_operator", &[], b"").await;
    assert_eq!((deleted.status, deleted.json()["code"].clone()), (409, json!("key_in_file")));
    assert_eq!(running.client.post("/v1/keys/key_operator/rotate", "").await.json()["code"], "key_in_file");
}

#[tokio::test]
async fn a_mistyped_key_is_told_from_an_unknown_one() {
    let running = Running::start().await;
    let mut text = running.client.key.clone();
    assert_eq!(text.len(), 62, "the first start writes a key of the same form");
    let last = if text.pop() == Some('0') { '1' } else { '0' };
    text.push(last);
    let answer = Client { key: text, ..running.client.clone() }.get("/v1/me").await;
    assert!(answer.status == 401 && answer.json()["detail"].as_str().unwrap().contains("copied wrongly"), "{}", answer.body);
}

#[tokio::test]
async fn keys_and_their_last_use_survive_a_restart() {
    let running = Running::with(|_| {}).await;
    let created = create(&running, json!({"name": "x", "scope": "account", "account": "acme"})).await;
    let used = client_of(&running, &created).get("/v1/me").await.json()["key"]["last_used_at"].clone();
    let deleted = create(&running, json!({"name": "y", "scope": "read"})).await;
    running.client.send("DELETE", &format!("/v1/keys/{}", deleted["id"].as_str().unwrap()), &[], b"").await;
    let settings = Settings { data: running.folder.path().join("data"), listen: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
    running.server.stop().await.unwrap();
    let again = Server::start(&settings).await.unwrap();
    let operator = Client { address: again.address(), key: again.operator_key().to_owned() };
    let path = format!("/v1/keys/{}", created["id"].as_str().unwrap());
    assert_eq!(operator.get(&path).await.json()["last_used_at"], used);
    let holder = |created: &Value| Client { key: created["key"].as_str().unwrap().to_owned(), ..operator.clone() };
    assert_eq!(holder(&created).get("/v1/me").await.status, 200);
    assert_eq!(holder(&deleted).get("/v1/me").await.status, 401);
    again.stop().await.unwrap();
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j2_the_text_of_a_key_is_nowhere_but_in_the_answer_that_made_it() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .env("POSTRIDER_LOG", "trace,sled=info")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address =
        lines.by_ref().find_map(|line| line.strip_prefix("Postrider serves http://").map(|text| text.trim().parse().unwrap())).unwrap();
    let rest = std::thread::spawn(move || lines.collect::<Vec<String>>());
    let key = std::fs::read_to_string(folder.path().join("operator.key")).unwrap().trim().to_owned();
    let operator = Client { address, key: key.clone() };
    let first = operator.post("/v1/keys", json!({"name": "canary", "scope": "read"})).await.json();
    let second = operator.post(&format!("/v1/keys/{}/rotate", first["id"].as_str().unwrap()), json!({"overlap_s": 0})).await.json();
    let text = |created: &Value| created["key"].as_str().unwrap().to_owned();
    let secrets = [key, text(&first), text(&second), "prk_guessed-canary".into()];
    let mut bodies = Vec::new();
    for secret in &secrets {
        let holder = Client { address, key: secret.clone() };
        bodies.push(holder.get("/v1/me").await.body);
        bodies.push(holder.post("/v1/events", "{").await.body);
        bodies.push(holder.get("/v1/keys").await.body);
        bodies.push(holder.get("/v1/nothing").await.body);
    }
    bodies.push(operator.get("/v1/audit").await.body);
    assert!(bodies.last().unwrap().contains("authentication.failed") && bodies.last().unwrap().contains("key.rotated"));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let log = rest.join().unwrap();
    assert!(log.iter().any(|line| line.contains("without a valid key")), "{log:?}");
    let stored = files(&folder.path().join("store"));
    assert!(stored.iter().any(|(_, bytes)| holds(bytes, "canary")), "the names are found, so the search is a real one");
    for secret in secrets {
        // The last part alone would do as well as the whole.
        let part = &secret[secret.len() - 16..];
        assert!(!bodies.iter().any(|body| body.contains(part)), "a key is in an answer");
        assert!(!log.iter().any(|line| line.contains(part)), "a key is in the log");
        let found = stored.iter().find(|(_, bytes)| holds(bytes, part)).map(|(path, _)| path);
        assert_eq!(found, None, "a key is in the store");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h17_a_key_file_that_others_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("operator.key");
    std::fs::write(&file, "a key of the operator's own").unwrap();
    let start = |mode: u32| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(["serve", "--listen", "127.0.0.1:0", "--store", "memory:", "--data"])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        while !seen.contains("Postrider serves") {
            assert!(std::io::BufRead::read_line(&mut log, &mut seen).unwrap() > 0, "{seen}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        seen
    };
    let warned = tokio::task::block_in_place(|| (start(0o640), start(0o600)));
    assert!(warned.0.contains("others can read the operator's key") && warned.0.contains("640"), "{}", warned.0);
    assert!(!warned.0.contains("of the operator's own") && !warned.1.contains("others can read"), "{}", warned.1);
}
