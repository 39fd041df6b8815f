//! `postrider subscriptions apply`: what a file says is made so.
//!
//! A subscription is known by its account and name. Those of the file that the server does not have are
//! created, those that differ are replaced, and with `--prune` those of the same accounts that the file
//! does not name are deleted. Nothing is done before all of the file was checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::difference::{Difference, differences};
use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::input::read_text;
use crate::subscription::SubscriptionSpec;

#[derive(Debug, Args)]
pub(super) struct ApplyArguments {
    /// The file: a subscription, an array of them, or an object with `subscriptions`; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Delete subscriptions of the file's accounts that the file does not name
    #[arg(long)]
    prune: bool,
    /// Print what is done as JSON
    #[arg(long)]
    json: bool,
}

/// Account and name.
type Identity = (String, String);

/// One thing to do.
#[derive(Debug)]
enum Step {
    Create { wanted: Value },
    Change { id: String, version: String, wanted: Value, differences: Vec<Difference> },
    Delete { id: String },
}

pub(super) async fn run(client: &Client, arguments: ApplyArguments) -> Result<(), Failure> {
    let wanted = read(&read_text(&arguments.file)?)?;
    let accounts: BTreeSet<&String> = wanted.keys().map(|(account, _)| account).collect();
    let mut present: BTreeMap<Identity, Value> = BTreeMap::new();
    for account in accounts {
        for subscription in client.list("/v1/subscriptions", &[("account", account.clone())], usize::MAX).await? {
            let identity = identity(&subscription)?;
            if let Some(other) = present.insert(identity.clone(), subscription)
                && wanted.contains_key(&identity)
            {
                let other = other["id"].as_str().unwrap_or_default().to_owned();
                return Err(Failure::usage(format!(
                    "account `{}` has two subscriptions named `{}` ({other} is one); give them different names first",
                    identity.0, identity.1
                )));
            }
        }
    }
    let steps = plan(wanted, &present, arguments.prune)?;
    for (identity, step) in &steps {
        if !arguments.json {
            print!("{}", describe(identity, step));
        }
    }
    let mut done = Vec::new();
    for (identity, step) in steps {
        done.push(summary(&identity, &step));
        if !arguments.dry_run {
            perform(client, step).await.map_err(|error| {
                error.context(format!("`{}` of account `{}` was not applied; what is listed before it was", identity.1, identity.0))
            })?;
        }
    }
    if arguments.json {
        println!("{:#}", json!({"dry_run": arguments.dry_run, "steps": done}));
    } else if done.is_empty() {
        println!("nothing to do");
    } else if arguments.dry_run {
        println!("{} steps; nothing was done (--dry-run)", done.len());
    } else {
        println!("{} steps done", done.len());
    }
    Ok(())
}

/// The subscriptions of a file, each checked as far as that goes without a server.
fn read(text: &str) -> Result<BTreeMap<Identity, Value>, Failure> {
    let value: Value = serde_json::from_str(text).map_err(|error| Failure::usage(format!("the file is no JSON: {error}")))?;
    let items = match value {
        Value::Array(items) => items,
        Value::Object(mut fields) if fields.contains_key("subscriptions") => match fields.remove("subscriptions") {
            Some(Value::Array(items)) => items,
            _ => return Err(Failure::usage("`subscriptions` must be a list")),
        },
        single => vec![single],
    };
    let mut wanted = BTreeMap::new();
    for (number, item) in items.into_iter().enumerate() {
        spec_of(&item).map_err(|error| Failure::usage(format!("subscription {number} of the file: {error}")))?;
        let identity = identity(&item)?;
        if wanted.insert(identity.clone(), item).is_some() {
            return Err(Failure::usage(format!("the file names `{}` of account `{}` twice; names must differ", identity.1, identity.0)));
        }
    }
    Ok(wanted)
}

fn identity(subscription: &Value) -> Result<Identity, Failure> {
    match (subscription["account"].as_str(), subscription["name"].as_str()) {
        (Some(account), Some(name)) => Ok((account.to_owned(), name.to_owned())),
        _ => Err(Failure::usage("a subscription needs `account` and `name`, by which it is known")),
    }
}

/// A spec with its defaults, as the server would show it.
fn spec_of(value: &Value) -> Result<Value, String> {
    let spec: SubscriptionSpec = serde_path_to_error::deserialize(value).map_err(|error| error.to_string())?;
    serde_json::to_value(spec).map_err(|error| error.to_string())
}

fn plan(wanted: BTreeMap<Identity, Value>, present: &BTreeMap<Identity, Value>, prune: bool) -> Result<Vec<(Identity, Step)>, Failure> {
    let mut steps = Vec::new();
    let text = |subscription: &Value, field: &str| subscription[field].as_str().unwrap_or_default().to_owned();
    if prune {
        let surplus = present.iter().filter(|(identity, _)| !wanted.contains_key(*identity));
        steps.extend(surplus.map(|(identity, subscription)| (identity.clone(), Step::Delete { id: text(subscription, "id") })));
    }
    for (identity, wanted) in wanted {
        let Some(there) = present.get(&identity) else {
            steps.push((identity, Step::Create { wanted }));
            continue;
        };
        let full = spec_of(&wanted).map_err(Failure::usage)?;
        // Only what a spec has is compared; the server's own fields are not the file's business.
        let known: Map<String, Value> =
            full.as_object().into_iter().flatten().filter_map(|(name, _)| Some((name.clone(), there.get(name)?.clone()))).collect();
        let differences = differences(&Value::Object(known), &full);
        if !differences.is_empty() {
            let version = format!("\"{}\"", there["version"]);
            steps.push((identity, Step::Change { id: text(there, "id"), version, wanted, differences }));
        }
    }
    Ok(steps)
}

fn describe((account, name): &Identity, step: &Step) -> String {
    match step {
        Step::Create { .. } => format!("+ create `{name}` of {account}\n"),
        Step::Delete { id } => format!("- delete `{name}` of {account} ({id}); waiting deliveries end as cancelled\n"),
        Step::Change { id, differences, .. } => {
            let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
            let lines = differences
                .iter()
                .map(|difference| format!("    {}: {} -> {}\n", difference.pointer, shown(&difference.present), shown(&difference.wanted)));
            format!("~ change `{name}` of {account} ({id})\n{}", lines.collect::<String>())
        }
    }
}

fn summary((account, name): &Identity, step: &Step) -> Value {
    let mut value = json!({"account": account, "name": name});
    match step {
        Step::Create { .. } => value["step"] = json!("create"),
        Step::Delete { id } => {
            value["step"] = json!("delete");
            value["id"] = json!(id);
        }
        Step::Change { id, differences, .. } => {
            value["step"] = json!("change");
            value["id"] = json!(id);
            value["changes"] = differences.iter().map(|difference| json!(difference.pointer)).collect();
        }
    }
    value
}

async fn perform(client: &Client, step: Step) -> anyhow::Result<()> {
    match step {
        Step::Create { wanted } => client.post("/v1/subscriptions", &wanted).await.map(drop),
        Step::Change { id, version, wanted, .. } => client.put(&format!("/v1/subscriptions/{id}"), &wanted, &version).await.map(drop),
        Step::Delete { id } => client.delete(&format!("/v1/subscriptions/{id}")).await,
    }
}
