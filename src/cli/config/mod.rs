//! `postrider config`: look at the settings of a server without starting it.

mod check;
mod show;

use clap::{Args, Subcommand};

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Look for mistakes, as `serve` would with the same flags and variables; exit 1 if there are any
    Check(check::CheckArguments),
    /// The settings that `serve` would have, and where each comes from
    Show(show::ShowArguments),
    /// The JSON Schema of the settings file, for editors
    Schema,
}

pub(super) async fn run(arguments: ConfigArguments) -> Result<(), Failure> {
    match arguments.command {
        ConfigCommand::Check(arguments) => check::run(&arguments),
        ConfigCommand::Show(arguments) => show::run(&arguments),
        ConfigCommand::Schema => {
            println!("{:#}", crate::config::schema());
            Ok(())
        }
    }
}
