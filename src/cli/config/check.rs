//! `postrider config check`: every mistake of the settings at once.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::settings::SettingsArguments;
use crate::cli::{Failure, terminal};
use crate::config::{Mistake, Origin};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let reading = arguments.settings.read();
    let (mistakes, warnings) = (&reading.mistakes, &reading.warnings);
    if arguments.json {
        let list = |all: &[Mistake]| all.iter().map(as_json).collect::<Value>();
        println!("{:#}", json!({"ok": mistakes.is_empty(), "errors": list(mistakes), "warnings": list(warnings)}));
    } else {
        mistakes.iter().for_each(|mistake| println!("error: {}", terminal::line(&mistake.to_string())));
        warnings.iter().for_each(|warning| println!("warning: {}", terminal::line(&warning.to_string())));
    }
    match mistakes.len() {
        0 => {
            eprintln!("the settings can be used");
            Ok(())
        }
        1 => Err(Failure::from(anyhow::anyhow!("the settings have a mistake; a server with them does not start"))),
        count => Err(Failure::from(anyhow::anyhow!("the settings have {count} mistakes; a server with them does not start"))),
    }
}

fn as_json(mistake: &Mistake) -> Value {
    let (from, file, line, name) = parts(&mistake.origin);
    json!({"setting": mistake.setting, "from": from, "file": file, "line": line, "name": name, "detail": mistake.detail})
}

/// An origin for programs: what it is, and its file, line or name.
pub(super) fn parts(origin: &Origin) -> (&'static str, Option<String>, Option<usize>, Option<String>) {
    match origin {
        Origin::Default => ("default", None, None, None),
        Origin::File { path, line } => ("file", Some(path.display().to_string()), *line, None),
        Origin::Variable(name) => ("variable", None, None, Some(name.clone())),
        Origin::Flag(_) => ("flag", None, None, Some(origin.to_string())),
    }
}
