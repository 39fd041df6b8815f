//! The command: its arguments, and what it makes of them.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::lane::{Lane, event_at, simulate};
use super::report;
use crate::cli::Failure;
use crate::cli::input::{LocalSubscription, read_event, read_subscription};
use crate::cli::listen::read_script;
use crate::clock::Timestamp;
use crate::config::Settings;
use crate::event::{EventData, EventType, catalogue};
use crate::request::RequestTemplate;
use crate::subscription::Subscription;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postrider simulate --subscription sub.json --script examples/scripts/flaky.toml
  postrider simulate --subscription sub.json --script examples/scripts/maintenance-window.toml --events 10000

Scripts are those of `postrider listen`; docs/local-lab.md describes them. Nothing is sent.")]
pub(in crate::cli) struct SimulateArguments {
    /// A subscription (JSON, as for the API), or `-`
    #[arg(long, value_name = "FILE")]
    subscription: PathBuf,
    /// What the receiver answers (TOML)
    #[arg(long, value_name = "FILE")]
    script: PathBuf,
    /// An event (JSON, as for the API) [default: a sample of the first type the subscription wants]
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// How many such events are accepted at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// Decides the jitter
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When the events are accepted (RFC 3339); dates in scripts count from here
    #[arg(long, value_name = "TIME", default_value = "2026-01-01T00:00:00Z")]
    start: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(arguments: SimulateArguments) -> Result<(), Failure> {
    let start: Timestamp = arguments.start.parse().map_err(Failure::usage)?;
    let LocalSubscription { subscription, names, .. } = read_subscription(&arguments.subscription, None, start)?;
    let script = read_script(&arguments.script)?;
    let (event_type, data) = match &arguments.event {
        Some(path) => read_event(path)?,
        None => sample_event(&subscription)?,
    };
    if !subscription.wants(&event_type, &data) {
        eprintln!("warning: the subscription does not want this event; it is simulated all the same");
    }
    let template = RequestTemplate::compile(&subscription.spec.request, &names)?;
    let simulated = simulate(Lane {
        subscription: &subscription,
        template: &template,
        event: event_at(&subscription, event_type, data, start),
        script,
        deliveries: arguments.events,
        seed: arguments.seed,
        in_flight_max: Settings::default().in_flight_per_subscription_max,
    });
    if arguments.json {
        println!("{:#}", report::json(&simulated, &start.to_string(), arguments.seed));
    } else {
        println!("{}", report::text(&simulated, &subscription, arguments.events));
    }
    Ok(())
}

/// The sample of the first catalogue type that the subscription wants.
fn sample_event(subscription: &Subscription) -> anyhow::Result<(EventType, EventData)> {
    for entry in catalogue::types() {
        let event_type: EventType = entry.name.parse()?;
        if subscription.rules.event_types.iter().any(|pattern| pattern.matches(&event_type)) {
            let sample = catalogue::sample(entry.name).map(serde_json::Value::Object).unwrap_or_default();
            return Ok((event_type, EventData::parse(&sample.to_string())?));
        }
    }
    bail!("there is no sample of an event that the subscription wants; name one with `--event`")
}
