//! `postrider trigger`: sends a sample event to a server.

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::client::ServerArguments;
use crate::event::catalogue;

#[derive(Debug, Args)]
pub(super) struct TriggerArguments {
    /// The event type, such as action.tracked
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// Set a field of the sample; may be given more than once
    #[arg(long = "set", value_name = "Field=value")]
    set: Vec<String>,
    /// Whose event
    #[arg(long, default_value = "acme")]
    account: String,
    /// The idempotency key; none: every call is a new event
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) async fn run(arguments: TriggerArguments) -> Result<(), Failure> {
    let Some(mut data) = catalogue::sample(&arguments.event_type) else {
        let known: Vec<_> = catalogue::types().map(|entry| entry.name).collect();
        return Err(Failure::usage(format!("there is no sample of `{}`; use one of {}", arguments.event_type, known.join(", "))));
    };
    for set in &arguments.set {
        let (name, value) =
            set.split_once('=').ok_or_else(|| Failure::usage(format!("`--set {set}` has no `=`; write `--set Field=value`")))?;
        data.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    let mut event = json!({"account": arguments.account, "type": arguments.event_type, "data": data});
    if let Some(key) = arguments.key {
        event["key"] = json!(key);
    }
    let answer = arguments.server.client()?.post("/v1/events", &event).await?;
    println!("{answer}");
    Ok(())
}
