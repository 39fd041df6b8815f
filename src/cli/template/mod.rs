//! `postrider template …`: everything about templates that needs no server.

mod check;
mod event_file;
mod findings;
mod import;
mod presets;
mod render;
mod watch;

use clap::{Args, Subcommand};

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct TemplateArguments {
    #[command(subcommand)]
    command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
enum TemplateCommand {
    /// Print what a template makes of an event, byte for byte
    Render(render::RenderArguments),
    /// Find what is wrong with a template, without an event
    Check(check::CheckArguments),
    /// Turn another platform's postback URL or body into ours
    Import(import::ImportArguments),
    /// List the ready-made templates, or print one
    Presets(presets::PresetsArguments),
}

pub(super) async fn run(arguments: TemplateArguments) -> Result<(), Failure> {
    match arguments.command {
        TemplateCommand::Render(arguments) => render::run(arguments).await,
        TemplateCommand::Check(arguments) => check::run(&arguments),
        TemplateCommand::Import(arguments) => import::run(&arguments),
        TemplateCommand::Presets(arguments) => presets::run(&arguments),
    }
}
