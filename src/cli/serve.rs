//! `postrider serve`: the server.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, STORE_FAILED};
use crate::config::Settings;
use crate::server::Server;
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", env = "POSTRIDER_CONFIG")]
    config: Option<PathBuf>,
    /// Folder for the embedded store and the operator's key [default: postrider-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port of the API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// `sled` or `redb` in the data folder, `sled:DIR`, `redb:DIR`, or `memory:` [default: sled]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Send to loopback, private and link-local addresses too
    #[arg(long)]
    allow_private: bool,
    /// Forget all stored secrets of subscriptions, since the master key is lost
    #[arg(long)]
    discard_secrets: bool,
    /// Form of the log: `text` or `json` [default: text]
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
}

impl ServeArguments {
    fn flags(&self) -> Vec<(&'static str, String)> {
        let mut flags = Vec::new();
        flags.extend(self.data.as_ref().map(|value| ("data", value.display().to_string())));
        flags.extend(self.listen.as_ref().map(|value| ("listen", value.clone())));
        flags.extend(self.store.as_ref().map(|value| ("store", value.clone())));
        flags.extend(self.allow_private.then(|| ("allow_private", "true".to_owned())));
        flags.extend(self.log_format.as_ref().map(|value| ("log_format", value.clone())));
        flags
    }
}

pub(super) async fn run(arguments: ServeArguments) -> Result<(), Failure> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut settings = Settings::read(arguments.config.as_deref(), variables, &arguments.flags()).map_err(Failure::usage)?;
    settings.discard_secrets = arguments.discard_secrets;
    let _log = telemetry::start(settings.log_format, &settings.log).map_err(Failure::usage)?;
    let server = Server::start(&settings).await?;
    eprintln!("Postrider serves http://{}", server.address());
    eprintln!("The operator's key is in {}", server.operator_key_file().display());
    server.run_until(stop_signal()).await.map_err(|error| Failure { code: STORE_FAILED, error: error.into() })
}

/// Resolves at the first interrupt or termination; a second one ends the process at once, which loses
/// nothing: what was in flight is due again.
pub(super) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        _ => {
            tracing::warn!("signals cannot be waited for; end the process to stop");
            return std::future::pending().await;
        }
    };
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    // Whoever reads our lines may have stopped reading, and must not hold up the stop.
    let said = tokio::task::spawn_blocking(|| eprintln!("Stopping; a second signal stops at once."));
    let _ = tokio::time::timeout(std::time::Duration::from_millis(200), said).await;
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        std::process::exit(130);
    });
}
