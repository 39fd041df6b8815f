//! `postrider replays`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{ListArguments, print, segment};
use crate::cli::Failure;
use crate::cli::client::{Client, ServerArguments};
use crate::cli::progress::Progress;

/// How often a replay that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplaysArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: ReplaysCommand,
}

#[derive(Debug, Subcommand)]
enum ReplaysCommand {
    /// Replays, newest first
    List(ListArguments),
    /// One replay and how far it is
    Show {
        /// Its id
        id: String,
    },
    /// Make deliveries of a subscription due again
    Create(CreateArguments),
    /// Stop a replay; what it made due stays due
    Cancel {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// Whose deliveries
    #[arg(long)]
    subscription: String,
    /// In which states; may be given more than once [default: dead]
    #[arg(long = "state")]
    states: Vec<String>,
    /// Only those created at or after this time (RFC 3339)
    #[arg(long)]
    since: Option<String>,
    /// Only those created before this time
    #[arg(long)]
    until: Option<String>,
    /// Most that become due in a second
    #[arg(long)]
    per_second: Option<f64>,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    /// Wait until it is done
    #[arg(long)]
    wait: bool,
}

pub(in crate::cli) async fn run(arguments: ReplaysArguments) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    match arguments.command {
        ReplaysCommand::List(list) => {
            let items = client.list("/v1/replays", &[], list.limit).await?;
            let columns = [
                ("ID", "/id"),
                ("CREATED", "/created_at"),
                ("SUBSCRIPTION", "/subscription"),
                ("STATE", "/state"),
                ("DONE", "/done"),
                ("OF", "/matched"),
            ];
            list.print(items, &columns);
        }
        ReplaysCommand::Show { id } => print(&client.get(&format!("/v1/replays/{}", segment(&id)?)).await?),
        ReplaysCommand::Cancel { id } => print(&client.act(&format!("/v1/replays/{}/cancel", segment(&id)?)).await?),
        ReplaysCommand::Create(wanted) => create(&client, wanted).await?,
    }
    Ok(())
}

async fn create(client: &Client, wanted: CreateArguments) -> Result<(), Failure> {
    let mut body = Map::from_iter([("subscription".to_owned(), json!(wanted.subscription)), ("dry_run".to_owned(), json!(wanted.dry_run))]);
    if !wanted.states.is_empty() {
        body.insert("states".into(), json!(wanted.states));
    }
    for (name, value) in [
        ("since", wanted.since.map(Value::from)),
        ("until", wanted.until.map(Value::from)),
        ("per_second", wanted.per_second.map(Value::from)),
    ] {
        body.extend(value.map(|value| (name.to_owned(), value)));
    }
    let mut replay = client.post("/v1/replays", &Value::Object(body)).await?;
    if wanted.wait
        && let Some(id) = replay["id"].as_str().map(str::to_owned)
    {
        let mut progress = Progress::new("replayed", None);
        while matches!(replay["state"].as_str(), Some("counting" | "running")) {
            tokio::time::sleep(LOOK_EVERY).await;
            replay = client.get(&format!("/v1/replays/{}", segment(&id)?)).await?;
            progress.expect(replay["matched"].as_u64());
            progress.set(replay["done"].as_u64().unwrap_or_default());
        }
        progress.end();
    }
    print(&replay);
    Ok(())
}
