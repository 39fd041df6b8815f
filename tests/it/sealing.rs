//! The master key: made, given, replaced, wrong, missing; and what is sealed with it (H-20).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postrider::config::Settings;
use postrider::secret::Secret;
use postrider::server::Server;
use postrider::store::{self, ConfigurationChange, ConfigurationKind, ConfigurationRecord, Store, StoreOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::receiver::Receiver;
use super::server::Running;

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

/// A data folder that servers are started on one after another.
struct Folder {
    data: PathBuf,
    _folder: TempDir,
}

impl Folder {
    fn settings(&self) -> Settings {
        Settings { data: self.data.clone(), listen: "127.0.0.1:0".parse().unwrap(), allow_private: true, ..Settings::default() }
    }

    fn master_key(&self) -> PathBuf {
        self.data.join("master.key")
    }

    fn write_key(&self, text: &str) {
        std::fs::write(self.master_key(), text).unwrap();
        std::fs::set_permissions(self.master_key(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    async fn refusal(&self, change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = self.settings();
        change(&mut settings);
        format!("{:#}", anyhow::Error::from(Server::start(&settings).await.unwrap_err()))
    }

    async fn start(&self) -> Running {
        let server = Server::start(&self.settings()).await.unwrap();
        let client = super::http::Client { address: server.address(), key: server.operator_key().to_owned() };
        Running { client, server, folder: tempfile::tempdir().unwrap() }
    }

    /// The records of one kind, read from the store of a server that has stopped.
    async fn records(&self, kind: ConfigurationKind) -> Vec<ConfigurationRecord> {
        let store = open(&self.data);
        let mut records = store.configuration().await.unwrap();
        records.retain(|record| record.kind == kind);
        store.close().await.unwrap();
        records
    }

    async fn write(&self, record: ConfigurationRecord) {
        let store = open(&self.data);
        store.configure(vec![ConfigurationChange::Put { record, if_absent: false }]).await.unwrap();
        store.close().await.unwrap();
    }
}

fn open(data: &Path) -> Box<dyn Store> {
    store::open(&format!("sled:{}", data.join("store").display()), StoreOptions::default()).unwrap()
}

/// A folder in which a server has stored two subscriptions with bearer tokens; their ids.
async fn filled(receiver: &Receiver, change: impl FnOnce(&mut Settings)) -> (Folder, [String; 2]) {
    let running = Running::with(change).await;
    let mut ids = Vec::new();
    for token in ["token-of-one", "token-of-two"] {
        let credentials =
            json!({"credentials": {"type": "bearer", "token": token}, "retry": {"attempts": 2, "schedule_s": [0], "jitter": 0}});
        let subscription = running.subscribe(&format!("http://{}/{token}?a={{ActionId}}", receiver.address), credentials).await;
        ids.push(subscription["id"].as_str().unwrap().to_owned());
    }
    let folder = Folder { data: running.folder.path().join("data"), _folder: running.folder };
    running.server.stop().await.unwrap();
    (folder, ids.try_into().unwrap())
}

/// What the receiver is shown by each subscription after one event, by path.
async fn shown(running: &Running, receiver: &Receiver) -> Vec<String> {
    let before = receiver.arrived().len();
    running.emit(json!({"ActionId": "1"})).await;
    let mut shown: Vec<_> = receiver.wait_for(before + 2).await[before..]
        .iter()
        .map(|arrived| format!("{} {}", arrived.target.split('?').next().unwrap(), arrived.header("authorization")))
        .collect();
    shown.sort();
    shown
}

const BOTH: [&str; 2] = ["/token-of-one Bearer token-of-one", "/token-of-two Bearer token-of-two"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_the_first_start_makes_a_key_and_a_wrong_or_missing_one_refuses_the_next() {
    let receiver = Receiver::start().await;
    let (folder, _) = filled(&receiver, |_| {}).await;
    let text = std::fs::read_to_string(folder.master_key()).unwrap();
    assert_eq!(std::fs::metadata(folder.master_key()).unwrap().permissions().mode() & 0o777, 0o600);

    folder.write_key(&key(9));
    let wrong = folder.refusal(|_| {}).await;
    assert!(wrong.contains("the master key is another one") && wrong.contains("master.key` has `"), "{wrong}");
    std::fs::remove_file(folder.master_key()).unwrap();
    let missing = folder.refusal(|_| {}).await;
    assert!(missing.contains("the master key is missing") && missing.contains("POSTRIDER_MASTER_KEY"), "{missing}");
    assert!(!folder.master_key().exists(), "no other key is made in its place");
    let variable = folder.refusal(|settings| settings.master_key = Some(Secret::new(key(9)))).await;
    assert!(variable.contains("`POSTRIDER_MASTER_KEY` has"), "{variable}");
    let nonsense = folder.refusal(|settings| settings.master_key = Some(Secret::new("geheim"))).await;
    assert!(nonsense.contains("key 1 is not 32 bytes") && !nonsense.contains("geheim"), "{nonsense}");
    folder.write_key(&text);
    std::fs::set_permissions(folder.master_key(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let readable = folder.refusal(|_| {}).await;
    assert!(readable.contains("can be read by others") && readable.contains("chmod 600"), "{readable}");

    folder.write_key(&text);
    let running = folder.start().await;
    assert_eq!(shown(&running, &receiver).await, BOTH, "nothing was changed by the refusals");
    running.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_the_variable_wins_and_a_replaced_key_seals_again() {
    let receiver = Receiver::start().await;
    let (folder, _) = filled(&receiver, |settings| settings.master_key = Some(Secret::new(key(1)))).await;
    assert!(!folder.master_key().exists(), "the variable is enough");
    let before = folder.records(ConfigurationKind::Secret).await;
    folder.write_key(&format!("# the new one\n{}\n{}\n", key(2), key(1)));
    let running = folder.start().await;
    assert_eq!(shown(&running, &receiver).await, BOTH);
    running.server.stop().await.unwrap();
    let after = folder.records(ConfigurationKind::Secret).await;
    assert_eq!(after.len(), 2);
    assert!(before.iter().zip(&after).all(|(before, after)| before.value != after.value), "every record is sealed again");
    folder.write_key(&key(2));
    let running = folder.start().await;
    assert_eq!(shown(&running, &receiver).await, BOTH, "the old key can be taken away");
    running.server.stop().await.unwrap();
    assert_eq!(folder.records(ConfigurationKind::Secret).await, after, "and nothing is sealed again without need");
    folder.write_key(&key(1));
    assert!(folder.refusal(|_| {}).await.contains("the master key is another one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_secrets_swapped_between_records_do_not_open_and_nothing_is_sent() {
    let receiver = Receiver::start().await;
    let (folder, [one, two]) = filled(&receiver, |_| {}).await;
    let records = folder.records(ConfigurationKind::Secret).await;
    let value_of = |id: &str| records.iter().find(|record| record.id == id).unwrap().value.clone();
    folder.write(ConfigurationRecord { kind: ConfigurationKind::Secret, id: two.clone(), value: value_of(&one) }).await;
    // A flipped character in the middle of the other.
    let mut damaged = value_of(&one).into_bytes();
    let middle = damaged.len() - 20;
    damaged[middle] = if damaged[middle] == b'A' { b'B' } else { b'A' };
    folder
        .write(ConfigurationRecord { kind: ConfigurationKind::Secret, id: one.clone(), value: String::from_utf8(damaged).unwrap() })
        .await;

    let running = folder.start().await;
    for id in [&one, &two] {
        let shown = running.client.get(&format!("/v1/subscriptions/{id}")).await.json();
        assert_eq!(shown["credentials"], json!({"type": "bearer", "has_secret": false}));
    }
    let accepted = running.client.post("/v1/events", json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1"}})).await;
    for id in [&one, &two] {
        let tried = running.client.post(&format!("/v1/subscriptions/{id}/test"), "").await.json();
        assert_eq!((&tried["outcome"], &tried["request"]), (&json!("unreachable"), &Value::Null), "{tried}");
        assert!(tried["reason"].as_str().unwrap().contains("send it again with PATCH"), "{tried}");
    }
    assert_eq!(receiver.arrived().len(), 0, "nothing goes out without its credentials");
    let (status, answer) = running.patch(&one, json!({"name": "other"})).await;
    assert_eq!((status, answer["errors"][0]["code"].as_str()), (422, Some("secret_missing")), "{answer}");
    for (id, token) in [(&one, "token-of-one"), (&two, "token-of-two")] {
        assert_eq!(running.patch(id, json!({"credentials": {"token": token}})).await.0, 200);
    }
    let mut waited: Vec<_> = receiver.wait_for(2).await.iter().map(|arrived| arrived.header("authorization").to_owned()).collect();
    waited.sort();
    assert_eq!(waited, ["Bearer token-of-one", "Bearer token-of-two"], "what was owed has waited for its secret");
    for delivery in accepted.json()["deliveries"].as_array().unwrap() {
        assert_eq!(running.attempts(delivery.as_str().unwrap(), 1).await["state"], "delivered");
    }
    assert_eq!(shown(&running, &receiver).await, BOTH, "what is set again is used again");
    running.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_subscription_takes_its_secrets_along() {
    let receiver = Receiver::start().await;
    let (folder, [one, two]) = filled(&receiver, |_| {}).await;
    let running = folder.start().await;
    assert_eq!(running.client.send("DELETE", &format!("/v1/subscriptions/{one}"), &[], b"").await.status, 204);
    running.server.stop().await.unwrap();
    let left: Vec<_> = folder.records(ConfigurationKind::Secret).await.into_iter().map(|record| record.id).collect();
    assert_eq!(left, std::slice::from_ref(&two));
    let running = folder.start().await;
    assert_eq!(running.patch(&two, json!({"credentials": null})).await.0, 200);
    running.server.stop().await.unwrap();
    assert_eq!(folder.records(ConfigurationKind::Secret).await, [], "and so do credentials that are taken away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_the_key_can_start_without_the_secrets() {
    let receiver = Receiver::start().await;
    let (folder, [one, _]) = filled(&receiver, |_| {}).await;
    std::fs::remove_file(folder.master_key()).unwrap();
    let settings = Settings { discard_secrets: true, ..folder.settings() };
    Server::start(&settings).await.unwrap().stop().await.unwrap();
    assert_eq!(folder.records(ConfigurationKind::Secret).await, []);
    let running = folder.start().await;
    let shown = running.client.get(&format!("/v1/subscriptions/{one}")).await.json();
    assert_eq!(shown["credentials"]["has_secret"], false);
    running.server.stop().await.unwrap();
}
