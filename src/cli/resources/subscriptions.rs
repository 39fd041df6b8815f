//! `postrider subscriptions`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::apply::{self, ApplyArguments};
use super::{ListArguments, print, query, segment};
use crate::cli::Failure;
use crate::cli::client::ServerArguments;
use crate::cli::input::read_text;

#[derive(Debug, Args)]
pub(in crate::cli) struct SubscriptionsArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: SubscriptionsCommand,
}

#[derive(Debug, Subcommand)]
enum SubscriptionsCommand {
    /// Subscriptions, newest first
    List {
        /// Only this account's
        #[arg(long)]
        account: Option<String>,
        /// Only those in this state: active or paused
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        list: ListArguments,
    },
    /// One subscription
    Show {
        /// Its id
        id: String,
    },
    /// Create a subscription from a file
    Create {
        /// The file; `-` for standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Make the server's subscriptions those of a file: create, change, and with --prune delete
    Apply(ApplyArguments),
    /// Let its deliveries wait
    Pause {
        /// Its id
        id: String,
    },
    /// Send again
    Resume {
        /// Its id
        id: String,
    },
    /// Send one sample event and show what comes back; nothing is queued
    Test {
        /// Its id
        id: String,
    },
    /// Delete; waiting deliveries end as cancelled
    Delete {
        /// Its id
        id: String,
    },
}

pub(in crate::cli) async fn run(arguments: SubscriptionsArguments) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    let path = |id: &str, action: &str| Ok::<_, Failure>(format!("/v1/subscriptions/{}{action}", segment(id)?));
    match arguments.command {
        SubscriptionsCommand::List { account, state, list } => {
            let pairs = query([("account", account.as_ref()), ("state", state.as_ref())]);
            let items = client.list("/v1/subscriptions", &pairs, list.limit).await?;
            let columns = [
                ("ID", "/id"),
                ("ACCOUNT", "/account"),
                ("NAME", "/name"),
                ("EVENTS", "/event_types"),
                ("STATE", "/state"),
                ("URL", "/request/url"),
            ];
            list.print(items, &columns);
        }
        SubscriptionsCommand::Show { id } => print(&client.get(&path(&id, "")?).await?),
        SubscriptionsCommand::Create { file } => {
            let text = read_text(&file)?;
            let spec: Value =
                serde_json::from_str(&text).map_err(|error| Failure::usage(format!("`{}` is no JSON: {error}", file.display())))?;
            print(&client.post("/v1/subscriptions", &spec).await?);
        }
        SubscriptionsCommand::Apply(arguments) => apply::run(&client, arguments).await?,
        SubscriptionsCommand::Pause { id } => print(&client.act(&path(&id, "/pause")?).await?),
        SubscriptionsCommand::Resume { id } => print(&client.act(&path(&id, "/resume")?).await?),
        SubscriptionsCommand::Test { id } => print(&client.act(&path(&id, "/test")?).await?),
        SubscriptionsCommand::Delete { id } => client.delete(&path(&id, "")?).await?,
    }
    Ok(())
}
