//! `postrider trigger`: sends a sample event to a server.

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::client::Client;
use crate::config::Settings;
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
    /// The server
    #[arg(long, env = "POSTRIDER_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The API key (better in the variable than on the command line) [default: that of ./postrider-data]
    #[arg(long = "api-key", env = "POSTRIDER_KEY", hide_env_values = true)]
    api_key: Option<String>,
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
    let key = match arguments.api_key {
        Some(key) => key,
        None => local_key()?,
    };
    let answer = Client::new(&arguments.url, &key)?.post("/v1/events", &event).await?;
    println!("{answer}");
    Ok(())
}

/// The key of a server that runs from this folder with the default settings.
fn local_key() -> Result<String, Failure> {
    let file = Settings::default().data.join("operator.key");
    std::fs::read_to_string(&file)
        .map_err(|_| Failure::usage(format!("no key is given and there is no `{}`; set POSTRIDER_KEY", file.display())))
}
