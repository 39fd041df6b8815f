//! The command line. Results go to standard output, everything else to standard error.
//!
//! Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage, 3 the store failed while serving.

mod bench;
mod client;
mod config;
mod demo;
mod health;
mod input;
mod progress;
pub mod listen;
mod receiver;
mod resources;
mod send;
mod serve;
mod settings;
mod shell;
pub mod simulate;
mod store;
mod template;
mod terminal;
mod trigger;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::secret::masked;

/// Stores events and delivers them as postbacks, durably and under limits.
#[derive(Debug, Parser)]
#[command(
    name = "postrider",
    version,
    about,
    after_help = "Examples:\n  postrider demo --once                 see three postbacks being delivered\n  postrider serve --allow-private       run the server, sending to this machine too\n  postrider trigger action.tracked      send a sample event to the server\n  postrider send --subscription sub.json --event examples/events/action.tracked.json --dry-run\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 the store failed while serving."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// From nothing to the first postback: a server, a receiver, three subscriptions, sample events
    Demo(demo::DemoArguments),
    /// Run the server
    Serve(serve::ServeArguments),
    /// Check, show and describe the settings of a server
    Config(config::ConfigArguments),
    /// Whether a server takes work; exit 0 if it does
    Health(health::HealthArguments),
    /// Make one delivery without a server, and show request, response and verdict
    Send(send::SendArguments),
    /// A local receiver that prints what arrives and answers as told
    Listen(listen::ListenArguments),
    /// What a subscription does with a receiver, days of it in milliseconds
    Simulate(simulate::SimulateArguments),
    /// Render, check, import and list templates
    Template(template::TemplateArguments),
    /// Measure the server against yardsticks in the same run
    Bench(bench::BenchArguments),
    /// Look after a store: check, copy, export, import, compact
    Store(store::StoreArguments),
    /// Report, list and show events
    Events(resources::EventsArguments),
    /// List, create, change, test and delete subscriptions
    Subscriptions(resources::SubscriptionsArguments),
    /// List, show, retry and cancel deliveries
    Deliveries(resources::DeliveriesArguments),
    /// Make many deliveries due again
    Replays(resources::ReplaysArguments),
    /// List and create accounts
    Accounts(resources::AccountsArguments),
    /// List, create, rotate and end API keys
    Keys(resources::KeysArguments),
    /// The nodes that share a server's store
    Nodes(resources::NodesArguments),
    /// Send a sample event to a server
    Trigger(trigger::TriggerArguments),
    /// Check a signature the way a receiver should
    Verify(verify::VerifyArguments),
    /// Completions for a shell
    Completions(shell::CompletionsArguments),
    /// The manual
    Man(shell::ManArguments),
}

/// Exit code of a command that failed.
const FAILED: u8 = 1;
/// Exit code of wrong usage.
const USAGE: u8 = 2;
/// Exit code of a server whose store failed.
const STORE_FAILED: u8 = 3;

/// Why a command ended without doing what was asked.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: FAILED, error: error.into() }
    }
}

impl Failure {
    fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: USAGE, error: anyhow::anyhow!("{message}") }
    }
}

/// Runs the program with the arguments and the environment of this process.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(failure) = refuse_passwords(std::env::args()) {
        return report(&failure);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::from(error)),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Bench(arguments) => bench::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Config(arguments) => config::run(arguments).await,
            Command::Health(arguments) => health::run(arguments).await,
            Command::Send(arguments) => send::run(arguments).await,
            Command::Listen(arguments) => listen::run(arguments).await,
            Command::Simulate(arguments) => simulate::run(arguments).await,
            Command::Verify(arguments) => verify::run(arguments).await,
            Command::Completions(arguments) => shell::completions(arguments).await,
            Command::Man(arguments) => shell::man(arguments).await,
            Command::Store(arguments) => store::run(arguments).await,
            Command::Template(arguments) => template::run(arguments).await,
            Command::Events(arguments) => resources::events(arguments).await,
            Command::Subscriptions(arguments) => resources::subscriptions(arguments).await,
            Command::Deliveries(arguments) => resources::deliveries(arguments).await,
            Command::Replays(arguments) => resources::replays(arguments).await,
            Command::Accounts(arguments) => resources::accounts(arguments).await,
            Command::Keys(arguments) => resources::keys(arguments).await,
            Command::Nodes(arguments) => resources::nodes(arguments).await,
            Command::Trigger(arguments) => trigger::run(arguments).await,
        }
    });
    // Look-ups of names may still hold a thread; nobody waits for their answers.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Refuses the password of a database among the arguments, which every user of the machine can read.
fn refuse_passwords(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    for argument in arguments {
        let address =
            argument.split_once('=').map_or(argument.as_str(), |(flag, value)| if flag.starts_with("--") { value } else { &argument });
        if address.starts_with("postgres") && masked(address) != address {
            return Err(Failure::usage(
                "a password on the command line can be read by everybody on this machine; leave it out of the address and set the variable `PGPASSWORD`, or give the whole address by `POSTRIDER_STORE` or the settings file",
            ));
        }
    }
    Ok(())
}

/// Prints an error with its causes, once.
fn report(failure: &Failure) -> ExitCode {
    // A cause may repeat what a server or a receiver said.
    eprintln!("error: {}", terminal::lines(&format!("{:#}", failure.error)));
    ExitCode::from(failure.code)
}
