//! A server inside the test, on a folder of its own.

use postrider::config::Settings;
use postrider::server::Server;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Client;

pub struct Running {
    pub client: Client,
    pub server: Server,
    pub folder: TempDir,
}

impl Running {
    /// A server with the account `acme`, which may send to this machine.
    pub async fn start() -> Self {
        Self::with(|settings| settings.store = "memory:".into()).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let running = Self::with_account(change).await;
        assert_eq!(running.client.post("/v1/accounts", json!({"id": "acme", "name": "Acme"})).await.status, 201);
        running
    }

    /// A server on a store that has its account already.
    pub async fn with_account(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(tempfile::tempdir().unwrap(), change).await
    }

    pub async fn on(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            data: folder.path().join("data"),
            listen: "127.0.0.1:0".parse().unwrap(),
            allow_private: true,
            ..Settings::default()
        };
        change(&mut settings);
        let server = Server::start(&settings).await.unwrap();
        let client = Client { address: server.address(), key: server.operator_key().to_owned() };
        Self { client, server, folder }
    }

    /// Stops the server in order and starts another one on the same folder.
    pub async fn restart(self, change: impl FnOnce(&mut Settings)) -> Self {
        self.server.stop().await.unwrap();
        Self::on(self.folder, change).await
    }

    /// Waits until so many deliveries of a subscription are in this state; panics after a minute.
    pub async fn wait_for_state(&self, subscription: &str, state: &str, count: usize) {
        let mut found = 0;
        for _ in 0..1_200 {
            let page = self.client.get(&format!("/v1/deliveries?subscription={subscription}&state={state}&limit=200")).await.json();
            found = page["data"].as_array().unwrap().len();
            if found >= count {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("only {found} of {count} deliveries are {state}");
    }

    /// Creates a subscription of `acme` to `action.*`, changed by `patch`, and answers with it.
    pub async fn subscribe(&self, url: &str, patch: Value) -> Value {
        let mut spec = json!({"account": "acme", "name": "test", "event_types": ["action.*"], "request": {"url": url}});
        for (name, value) in patch.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let answer = self.client.post("/v1/subscriptions", spec).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()
    }

    /// Changes a subscription with PATCH and answers with the status and the JSON of the answer.
    pub async fn patch(&self, id: &str, patch: Value) -> (u16, Value) {
        let answer = self.client.send("PATCH", &format!("/v1/subscriptions/{id}"), &[], patch.to_string().as_bytes()).await;
        (answer.status, answer.json())
    }

    /// Reports one action and answers with the id of its delivery.
    pub async fn emit(&self, data: Value) -> String {
        let event = json!({"account": "acme", "type": "action.tracked", "data": data});
        let accepted = self.client.post("/v1/events", event).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        accepted.json()["deliveries"][0].as_str().unwrap().to_owned()
    }

    /// Waits until a delivery has this many attempts on record, and answers with it; panics after a minute.
    pub async fn attempts(&self, delivery: &str, count: usize) -> Value {
        for _ in 0..2_000 {
            let shown = self.client.get(&format!("/v1/deliveries/{delivery}")).await.json();
            if shown["attempt_log"].as_array().is_some_and(|log| log.len() >= count) {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
        panic!("{delivery} has fewer than {count} attempts");
    }
}
