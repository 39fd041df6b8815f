//! `postrider demo`: from nothing to the first postback, with no set-up.
//!
//! Everything is real: a server on an embedded store in a temporary folder, called over its REST API,
//! sending over HTTP to a receiver in this process.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Failure;
use super::client::Client;
use super::receiver::{self, Arrived, printable};
use super::serve::stop_signal;
use crate::config::{LogFormat, Settings};
use crate::event::catalogue;
use crate::server::Server;
use crate::subscription::{BodyFormat, Preset};
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// End when everything is delivered
    #[arg(long)]
    once: bool,
    /// Address and port of the API
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
}

/// The events of the demo: one action, told three times as its life goes on.
const EVENTS: [&str; 3] = ["action.tracked", "action.modified", "action.reversed"];
/// The templates of its subscriptions.
const PRESETS: [(&str, &str); 3] = [
    ("impact-query", "GET with a query string, for a tracker"),
    ("impact-json", "POST with JSON and line items"),
    ("impact-xml", "POST with XML and line items"),
];
/// How long the demo waits for its deliveries.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(arguments: DemoArguments) -> Result<(), Failure> {
    let _log = telemetry::start(LogFormat::Text, "warn").map_err(Failure::usage)?;
    let listen = arguments
        .listen
        .parse()
        .map_err(|_| Failure::usage(format!("`{}` is not an address with a port, like 127.0.0.1:8080", arguments.listen)))?;
    let folder = tempfile::Builder::new().prefix("postrider-demo-").tempdir().context("no temporary folder can be made")?;
    let settings = Settings { data: folder.path().to_owned(), listen, allow_private: true, ..Settings::default() };
    let server = Server::start(&settings).await?;
    let told = tell(&server, arguments.once).await;
    if told.is_ok() && !arguments.once {
        stop_signal().await;
    }
    server.stop().await?;
    Ok(told?)
}

async fn tell(server: &Server, once: bool) -> anyhow::Result<()> {
    let (receiver, mut arrived) = receiver::start().await.context("the demo's receiver cannot listen")?;
    let url = format!("http://{}", server.address());
    let client = Client::new(&url, server.operator_key())?;
    println!("Postrider demo: a server with an embedded store, and a receiver on http://{receiver}\n");

    client.post("/v1/accounts", &json!({"id": "acme", "name": "Acme"})).await?;
    println!("1. Account `acme` and its three subscriptions:");
    for (preset, what) in PRESETS {
        let subscription = subscription(preset, what, &format!("http://{receiver}/{preset}"))?;
        let created = client.post("/v1/subscriptions", &subscription).await?;
        println!("   {}  {what}", text(&created["id"]));
    }

    println!("\n2. Three events about one sale are reported; each is answered when it is on disk:");
    for event_type in EVENTS {
        let event = catalogue::sample_event(event_type).context("every event type has a sample")?;
        let accepted = client.post("/v1/events", &event).await?;
        println!(
            "   {}  {event_type}, owed to {} subscriptions",
            text(&accepted["id"]),
            accepted["deliveries"].as_array().map_or(0, Vec::len)
        );
    }

    println!("\n3. What the receiver got:");
    let expected = EVENTS.len() * PRESETS.len();
    let requests = collect(&mut arrived, expected).await?;
    for (preset, what) in PRESETS {
        let of_preset: Vec<_> = requests.iter().filter(|request| request.target.starts_with(&format!("/{preset}"))).collect();
        println!("\n   {what}: {} requests, the first of them:\n", of_preset.len());
        if let Some(first) = of_preset.first() {
            print_request(first);
        }
    }

    println!("\n4. What came back:\n");
    println!("   {:<31}{:<17}{:<10}{:<9}{:<12}", "delivery", "event type", "state", "attempts", "outcome");
    for delivery in deliveries(&client, expected).await? {
        println!(
            "   {:<31}{:<17}{:<10}{:<9}{:<12}",
            text(&delivery["id"]),
            text(&delivery["type"]),
            text(&delivery["state"]),
            delivery["attempts"].to_string(),
            text(&delivery["last_outcome"])
        );
    }
    println!("\nAll {expected} deliveries are delivered.");
    if !once {
        println!("\nThe server stays at {url}; the operator's key is {}", server.operator_key());
        if cfg!(feature = "dashboard") {
            println!("  The dashboard is at {url}/; sign in with that key");
        }
        println!("  curl -H 'Authorization: Bearer {}' {url}/v1/deliveries", server.operator_key());
        println!("Ctrl-C ends it and removes its data.");
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn subscription(preset: &str, name: &str, url: &str) -> anyhow::Result<Value> {
    let preset = Preset::find(preset).with_context(|| format!("there is no preset `{preset}`"))?;
    let mut request = serde_json::to_value(&preset.request)?;
    request["url"] = json!(url);
    if preset.request.body_format == BodyFormat::Query {
        // Line ends in a query template are for people and are not sent.
        request["body"] = json!(preset.request.body);
    }
    Ok(json!({
        "account": "acme",
        "name": name,
        "event_types": ["action.*"],
        "request": request,
        "success_response": "contains:OK",
    }))
}

async fn collect(arrived: &mut UnboundedReceiver<Arrived>, expected: usize) -> anyhow::Result<Vec<Arrived>> {
    let mut requests = Vec::new();
    while requests.len() < expected {
        match tokio::time::timeout(PATIENCE, arrived.recv()).await {
            Ok(Some(request)) => requests.push(request),
            _ => bail!("only {} of {expected} requests arrived within {PATIENCE:?}", requests.len()),
        }
    }
    Ok(requests)
}

/// All deliveries, once every one of them is delivered.
async fn deliveries(client: &Client, expected: usize) -> anyhow::Result<Vec<Value>> {
    let deadline = tokio::time::sleep(PATIENCE);
    tokio::pin!(deadline);
    loop {
        let page = client.get("/v1/deliveries?state=delivered").await?;
        let delivered = page["data"].as_array().cloned().unwrap_or_default();
        if delivered.len() == expected {
            return Ok(delivered);
        }
        tokio::select! {
            () = &mut deadline => bail!("only {} of {expected} deliveries are delivered", delivered.len()),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
}

fn print_request(request: &Arrived) {
    println!("   {} {}", request.method, shortened(&request.target, 600));
    if let Some(content_type) = &request.content_type {
        println!("   Content-Type: {content_type}");
    }
    if !request.body.is_empty() {
        println!();
        for line in printable(&request.body).lines() {
            println!("   {line}");
        }
    }
}

fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters { text.to_owned() } else { text.chars().take(characters).chain("…".chars()).collect() }
}
