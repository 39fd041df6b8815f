//! `postrider config show`: the settings in effect. Of secrets it shows only that they are there.

use clap::Args;
use serde_json::{Map, json};

use super::check::parts;
use crate::cli::settings::SettingsArguments;
use crate::cli::{Failure, terminal};

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ShowArguments) -> Result<(), Failure> {
    let reading = arguments.settings.read();
    if arguments.json {
        let mut all = Map::new();
        for (setting, value) in reading.settings.shown() {
            let (from, file, line, name) = parts(&reading.origin(&setting));
            all.insert(setting, json!({"value": value, "from": from, "file": file, "line": line, "name": name}));
        }
        println!("{:#}", serde_json::Value::Object(all));
    } else {
        let shown = reading.settings.shown();
        let rows: Vec<_> = shown.iter().map(|(name, value)| (format!("{name} = {value}"), reading.origin(name))).collect();
        let width = rows.iter().map(|(row, _)| row.chars().count()).max().unwrap_or_default().min(60);
        for (row, origin) in rows {
            println!("{}", terminal::line(&format!("{row:width$}  # {origin}")));
        }
    }
    reading.into_settings().map(drop).map_err(Failure::from)
}
