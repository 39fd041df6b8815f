//! `postrider health`: whether a server takes work, for probes that run a command.

use clap::Args;

use super::Failure;
use super::client::Client;

#[derive(Debug, Args)]
pub(super) struct HealthArguments {
    /// The server
    #[arg(long, env = "POSTRIDER_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
}

pub(super) async fn run(arguments: HealthArguments) -> Result<(), Failure> {
    Client::new(&arguments.url, "")?.get("/readyz").await?;
    println!("ready");
    Ok(())
}
