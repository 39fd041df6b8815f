//! `postrider events|subscriptions|deliveries|replays|accounts|keys|nodes`: clients of the REST API.
//!
//! Lists are tables for people and, with `--json`, arrays of what the API answers. Everything else prints
//! the API's answer as JSON.

mod accounts;
mod apply;
mod deliveries;
mod difference;
mod events;
mod nodes;
mod replays;
mod subscriptions;
mod table;

pub(super) use accounts::{AccountsArguments, KeysArguments};
pub(super) use deliveries::DeliveriesArguments;
pub(super) use events::EventsArguments;
pub(super) use nodes::NodesArguments;
pub(super) use replays::ReplaysArguments;
pub(super) use subscriptions::SubscriptionsArguments;

use clap::Args;
use serde_json::Value;

use super::Failure;
use table::Column;

pub(super) use accounts::{accounts, keys};
pub(super) use deliveries::run as deliveries;
pub(super) use events::run as events;
pub(super) use nodes::run as nodes;
pub(super) use replays::run as replays;
pub(super) use subscriptions::run as subscriptions;

/// What every list takes.
#[derive(Debug, Args)]
struct ListArguments {
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl ListArguments {
    fn print(&self, items: Vec<Value>, columns: &[Column]) {
        if self.json {
            println!("{:#}", Value::Array(items));
        } else {
            print!("{}", table::render(&items, columns));
        }
    }
}

/// The pairs of a query whose values were given.
fn query<const N: usize>(pairs: [(&'static str, Option<&String>); N]) -> Vec<(&'static str, String)> {
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?.clone()))).collect()
}

fn print(answer: &Value) {
    println!("{answer:#}");
}

/// A part of a path that a person typed.
fn segment(text: &str) -> Result<String, Failure> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if plain {
        Ok(text.to_owned())
    } else {
        Err(Failure::usage(format!("`{}` is no id; copy it whole from where it was shown", text.escape_debug())))
    }
}
