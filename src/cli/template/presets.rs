//! `postrider template presets`.

use clap::Args;
use serde_json::json;

use crate::cli::Failure;
use crate::subscription::Preset;

#[derive(Debug, Args)]
pub(super) struct PresetsArguments {
    /// The preset to print; none: list them
    name: Option<String>,
    /// Print a subscription made from the preset, or the list, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &PresetsArguments) -> Result<(), Failure> {
    match &arguments.name {
        None => list(arguments.json),
        Some(name) => {
            let (Some(preset), Some(source)) = (Preset::find(name), Preset::source(name)) else {
                let names: Vec<_> = Preset::names().collect();
                return Err(Failure::usage(format!("there is no preset `{name}`; use one of {}", names.join(", "))));
            };
            if arguments.json {
                println!("{:#}", subscription(&preset));
            } else {
                print!("{source}");
            }
        }
    }
    Ok(())
}

fn list(as_json: bool) {
    let presets = Preset::names().filter_map(Preset::find);
    if as_json {
        let listed: Vec<_> = presets
            .map(|preset| json!({"name": preset.name, "title": preset.title, "receiver": preset.receiver, "verified": preset.verified}))
            .collect();
        println!("{:#}", json!(listed));
    } else {
        for preset in presets {
            println!("{:<18}{:<34}{}", preset.name, preset.title, preset.receiver);
        }
    }
}

/// What to post to `/v1/subscriptions`, once the literals in capitals are replaced.
fn subscription(preset: &Preset) -> serde_json::Value {
    json!({
        "account": "acme",
        "name": preset.title,
        "event_types": preset.event_types,
        "request": preset.request,
        "success_response": preset.success_response,
        "error_response": preset.error_response,
    })
}
