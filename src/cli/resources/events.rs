//! `postrider events`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ListArguments, print, query, segment};
use crate::cli::Failure;
use crate::cli::client::ServerArguments;
use crate::cli::input::read_text;

/// Most events that one call takes.
const EVENTS_PER_CALL_MAX: usize = 1_000;

#[derive(Debug, Args)]
pub(in crate::cli) struct EventsArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    /// Events, newest first
    List(EventsListArguments),
    /// One event with its deliveries
    Show {
        /// Its id
        id: String,
    },
    /// Report events: one, an array, or one a line; in calls of up to 1,000
    Send {
        /// The file; `-` for standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct EventsListArguments {
    /// Only this account's
    #[arg(long)]
    account: Option<String>,
    /// Only of this type
    #[arg(long = "type")]
    event_type: Option<String>,
    /// Only those received at or after this time (RFC 3339)
    #[arg(long)]
    since: Option<String>,
    /// Only those received before this time
    #[arg(long)]
    until: Option<String>,
    /// Only those with this value of a field; may be given more than once
    #[arg(long = "field", value_name = "Field=value")]
    fields: Vec<String>,
    #[command(flatten)]
    list: ListArguments,
}

pub(in crate::cli) async fn run(arguments: EventsArguments) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    match arguments.command {
        EventsCommand::List(wanted) => {
            let mut pairs: Vec<(String, String)> = query([
                ("account", wanted.account.as_ref()),
                ("type", wanted.event_type.as_ref()),
                ("since", wanted.since.as_ref()),
                ("until", wanted.until.as_ref()),
            ])
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
            for field in &wanted.fields {
                let Some((name, value)) = field.split_once('=') else {
                    return Err(Failure::usage(format!("`--field {field}` has no `=`; write `--field Field=value`")));
                };
                pairs.push((format!("data.{name}"), value.to_owned()));
            }
            let pairs: Vec<(&str, String)> = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let items = client.list("/v1/events", &pairs, wanted.list.limit).await?;
            wanted.list.print(
                items,
                &[("ID", "/id"), ("RECEIVED", "/received_at"), ("ACCOUNT", "/account"), ("TYPE", "/type"), ("ACTION", "/data/ActionId")],
            );
        }
        EventsCommand::Show { id } => print(&client.get(&format!("/v1/events/{}", segment(&id)?)).await?),
        EventsCommand::Send { file } => {
            let (mut accepted, mut duplicates) = (0, 0);
            for call in read_events(&read_text(&file)?)?.chunks(EVENTS_PER_CALL_MAX) {
                let answer = client.post("/v1/events", &Value::Array(call.to_vec())).await.map_err(|error| {
                    error.context(format!("{accepted} events were accepted before; send the file again, keys make repeats harmless"))
                })?;
                let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
                accepted += results.len();
                duplicates += results.iter().filter(|result| result["duplicate"] == true).count();
            }
            print(&json!({"accepted": accepted, "duplicates": duplicates}));
        }
    }
    Ok(())
}

/// The events of a file: an array, or objects one after another.
fn read_events(text: &str) -> Result<Vec<Value>, Failure> {
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    let values = values.map_err(|error| Failure::usage(format!("the events are no JSON: {error}")))?;
    let events = match <[Value; 1]>::try_from(values) {
        Ok([Value::Array(events)]) => events,
        Ok([event]) => vec![event],
        Err(events) => events,
    };
    if events.is_empty() { Err(Failure::usage("there are no events in the file")) } else { Ok(events) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_alone_in_arrays_and_in_lines() {
        for (text, count) in [(r#"{"a":1}"#, 1), (r#"[{"a":1},{"a":2}]"#, 2), ("{\"a\":1}\n{\"a\":2}\n\n{\"a\":3}", 3)] {
            assert_eq!(read_events(text).unwrap().len(), count, "{text}");
        }
        assert!(read_events("").is_err() && read_events("[]").is_err() && read_events("{").is_err());
        assert_eq!(read_events("{\"a\":5.00}").unwrap()[0]["a"].to_string(), "5.00", "digits are kept");
    }
}
