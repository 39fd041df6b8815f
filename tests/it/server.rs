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
    settings: Settings,
}

impl Running {
    /// A server with the account `acme`, which may send to this machine.
    pub async fn start() -> Self {
        Self::with(|settings| settings.store = "memory:".into()).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            data: folder.path().join("data"),
            listen: "127.0.0.1:0".parse().unwrap(),
            allow_private: true,
            ..Settings::default()
        };
        change(&mut settings);
        let server = Server::start(&settings).await.unwrap();
        let client = Client { address: server.address(), key: server.operator_key().to_owned() };
        let running = Self { client, server, folder, settings };
        assert_eq!(running.client.post("/v1/accounts", json!({"id": "acme", "name": "Acme"})).await.status, 201);
        running
    }

    /// Stops the server in order and starts another on the same data.
    pub async fn restart(self) -> Self {
        let Self { server, folder, settings, .. } = self;
        server.stop().await.unwrap();
        let server = Server::start(&settings).await.unwrap();
        let client = Client { address: server.address(), key: server.operator_key().to_owned() };
        Self { client, server, folder, settings }
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
}
