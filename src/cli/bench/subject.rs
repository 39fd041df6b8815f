//! The server under test: a process of its own, set up over its REST API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::load::Target;
use super::process::{Child, Usage, parent_left};
use crate::cli::client::Client;
use crate::config::{LogFormat, Settings};
use crate::id::SubscriptionId;
use crate::server::Server;
use crate::store::{self, Counts, StoreOptions};
use crate::telemetry;

/// Ten macros, as a receiver of JSON might want them.
const TEMPLATE: &str = concat!(
    r#"{"action":"{ActionId}","campaign":"{CampaignId}","partner":"{MediaPartnerId}","status":"{Status}","payout":"{Payout}","#,
    r#""amount":"{Amount}","currency":"{Currency}","click":"{RefClickId}","sub_id":"{SubId1}","date":"{EventDate}"}"#
);

/// In the child: the server as `postrider serve` runs it, on a free port, until the parent stops it.
pub(super) async fn serve(store: String, data: PathBuf, log: String) -> anyhow::Result<()> {
    let _log = telemetry::start(LogFormat::Text, &log)?;
    let settings =
        Settings { store: store.into(), data, log, listen: ([127, 0, 0, 1], 0).into(), allow_private: true, ..Settings::default() };
    let server = Server::start(&settings).await?;
    println!("{}", json!({"address": server.address(), "key": server.operator_key()}));
    Ok(server.run_until(parent_left()).await?)
}

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Subject {
    /// Where events are reported.
    pub events: Target,
    child: Child,
    client: Client,
    location: String,
}

/// What becomes of a subscription that is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub url: &'a str,
    /// `active` or `paused`.
    pub state: &'a str,
    pub timeout: Duration,
    /// Most requests per second.
    pub ceiling: Option<f64>,
}

impl Subject {
    /// Starts a server on the store at `location`, with its own files in `folder`; it is ready when this returns.
    pub async fn start(location: &str, folder: &Path, log: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let data = folder.to_str().context("the path of the data folder is no UTF-8")?;
        let (child, ready) = Child::start(&["server", location, data, log], &folder.join("server.log")).await?;
        let (address, key) = (ready["address"].as_str().unwrap_or_default(), ready["key"].as_str().unwrap_or_default());
        let client = Client::new(&format!("http://{address}"), key)?;
        client.get("/readyz").await?;
        let events = Target { address: address.parse()?, path: "/v1/events".to_owned(), key: Some(key.to_owned()) };
        Ok(Self { events, child, client, location: location.to_owned() })
    }

    /// Creates an account.
    pub async fn create_account(&self, account: &str) -> anyhow::Result<()> {
        self.client.post("/v1/accounts", &json!({"id": account})).await?;
        Ok(())
    }

    /// Creates a subscription of `account` to all its actions, with the JSON template of ten macros.
    pub async fn subscribe(&self, account: &str, url: &str, state: &str, timeout: Duration) -> anyhow::Result<()> {
        self.subscribe_as(account, Wish { url, state, timeout, ceiling: None }).await.map(drop)
    }

    /// The same; answers with its id.
    pub async fn subscribe_as(&self, account: &str, wish: Wish<'_>) -> anyhow::Result<SubscriptionId> {
        let request = json!({"method": "POST", "url": wish.url, "body_format": "json", "body": TEMPLATE});
        let subscription: Value = json!({
            "account": account, "name": "bench", "event_types": ["action.*"], "request": request, "state": wish.state,
            "timeout_ms": u64::try_from(wish.timeout.as_millis())?, "max_requests_per_second": wish.ceiling,
        });
        let made = self.client.post("/v1/subscriptions", &subscription).await?;
        Ok(made["id"].as_str().context("the server's answer lacks an id")?.parse()?)
    }

    /// How many lanes each node owns that shares its store.
    pub async fn lanes(&self) -> anyhow::Result<Vec<u64>> {
        let nodes = self.client.get("/v1/nodes").await?;
        let nodes = nodes["data"].as_array().context("the server does not tell of its nodes")?;
        Ok(nodes.iter().filter(|node| node["live"] == true).map(|node| node["lanes"].as_u64().unwrap_or(0)).collect())
    }

    /// Creates an offer of `advertiser` and a click of `partner` on it; where reports of the click go, and its id.
    pub async fn offer(&self, advertiser: &str, partner: &str) -> anyhow::Result<(Target, String)> {
        let actions = json!([{"name": "sale", "model": "percent", "rate": "5", "partner_percent": "80"}]);
        let offer = json!({
            "id": "bench", "account": advertiser, "name": "Bench", "landing_url": "https://shop.example/", "currency": "USD", "actions": actions,
        });
        self.client.post("/v1/offers", &offer).await?;
        let key = json!({"account": advertiser, "name": "bench", "per_second": 100_000});
        let key: Value = self.client.post("/v1/inbound-keys", &key).await?;
        let click = json!({"account": partner, "offer": "bench", "sub_id1": "w8TnE3kQ5u2Lx0", "ip": "203.0.113.7"});
        let click: Value = self.client.post("/v1/clicks", &click).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("the server's answer lacks an id");
        let path = format!("/{}/s2s", text(&key["key"])?);
        Ok((Target { address: self.events.address, path, key: None }, text(&click["click_id"])?))
    }

    pub fn usage(&self) -> anyhow::Result<Usage> {
        self.child.usage()
    }

    /// Stops it in order, and counts what its store holds then.
    pub async fn stop(self) -> anyhow::Result<Counts> {
        let location = self.location.clone();
        self.end().await?;
        counts_in(&location).await
    }

    /// Stops it in order.
    pub async fn end(self) -> anyhow::Result<()> {
        self.child.stop().await
    }

    /// Ends it as `kill -9` does.
    pub fn kill(self) {
        self.child.kill();
    }
}

/// What a store holds that no server uses.
pub(super) async fn counts_in(location: &str) -> anyhow::Result<Counts> {
    let store = store::open(location, StoreOptions::default())?;
    let mut sum = Counts::default();
    for one in store.counts().await? {
        sum.waiting += one.counts.waiting;
        sum.delivered += one.counts.delivered;
        sum.attempts += one.counts.attempts;
    }
    store.close().await?;
    Ok(sum)
}
