//! `postrider store check` and `stats`.

use clap::Args;
use serde_json::json;

use super::Place;
use crate::cli::Failure;
use crate::store::{ConfigurationKind, Counts};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    place: Place,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct StatsArguments {
    #[command(flatten)]
    place: Place,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn check(arguments: CheckArguments) -> Result<(), Failure> {
    let store = arguments.place.open().await?;
    let report = store.check().await;
    store.close().await?;
    let report = report?;
    if arguments.json {
        let rows: serde_json::Map<_, _> = report.rows.iter().map(|(tree, rows)| ((*tree).to_owned(), json!(rows))).collect();
        println!("{:#}", json!({"ok": report.faults == 0, "rows": rows, "faults": report.faults, "described": report.described}));
    } else {
        for (tree, rows) in &report.rows {
            println!("{tree:<14}{rows:>12} rows");
        }
        for fault in &report.described {
            println!("fault: {fault}");
        }
        if report.faults > report.described.len() as u64 {
            println!("… and {} faults more", report.faults - report.described.len() as u64);
        }
    }
    if report.faults > 0 {
        return Err(anyhow::anyhow!("{} faults; keep a copy of the folder, then see docs/store.md, `Recovery`", report.faults).into());
    }
    if !arguments.json {
        println!("no faults");
    }
    Ok(())
}

pub(super) async fn stats(arguments: StatsArguments) -> Result<(), Failure> {
    let location = arguments.place.location().to_string();
    let store = arguments.place.open().await?;
    let (counts, configuration) = (store.counts().await, store.configuration().await);
    store.close().await?;
    let (counts, configuration) = (counts?, configuration?);
    let mut total = Counts::default();
    for entry in &counts {
        total.waiting += entry.counts.waiting;
        total.delivered += entry.counts.delivered;
        total.dead += entry.counts.dead;
        total.cancelled += entry.counts.cancelled;
        total.attempts += entry.counts.attempts;
    }
    let of_kind = |kind| configuration.iter().filter(|record| record.kind == kind).count();
    let (accounts, subscriptions) = (of_kind(ConfigurationKind::Account), of_kind(ConfigurationKind::Subscription));
    // A database knows its size, and tells those who may ask.
    let folder = location.split_once(':').filter(|(engine, _)| ["sled", "redb"].contains(engine));
    let bytes = folder.map(|(_, folder)| folder_bytes(folder.as_ref()));
    if arguments.json {
        let deliveries = json!({"waiting": total.waiting, "delivered": total.delivered, "dead": total.dead, "cancelled": total.cancelled});
        println!(
            "{:#}",
            json!({"store": location, "bytes": bytes, "accounts": accounts, "subscriptions": subscriptions, "deliveries": deliveries, "attempts": total.attempts})
        );
        return Ok(());
    }
    println!("store          {location}");
    if let Some(bytes) = bytes {
        println!("on disk        {} MiB", bytes >> 20);
    }
    println!("accounts       {accounts}");
    println!("subscriptions  {subscriptions}");
    println!("deliveries     {} waiting, {} delivered, {} dead, {} cancelled", total.waiting, total.delivered, total.dead, total.cancelled);
    println!("attempts       {}", total.attempts);
    Ok(())
}

/// The size of the files in a folder and below.
pub(super) fn folder_bytes(folder: &std::path::Path) -> u64 {
    let Ok(entries) = folder.read_dir() else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
