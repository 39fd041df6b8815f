//! `postrider serve`: the server.

use clap::Args;

use super::settings::SettingsArguments;
use super::{Failure, STORE_FAILED};
use crate::config::Settings;
use crate::server::{Reloader, Server};
use crate::systemd::Notifier;
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Forget all stored secrets of subscriptions, since the master key is lost
    #[arg(long)]
    discard_secrets: bool,
}

impl ServeArguments {
    /// The settings as they are at this moment.
    fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings { discard_secrets: self.discard_secrets, ..self.settings.settings()? })
    }
}

pub(super) async fn run(arguments: ServeArguments) -> Result<(), Failure> {
    let settings = arguments.settings()?;
    let log = telemetry::start(settings.log_format, &settings.log).map_err(Failure::usage)?;
    // Before anything else: until it is waited for, a hang-up ends the process.
    let hang_ups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let notifier = Notifier::from_variables(|name| std::env::var(name).ok()).unwrap_or_else(|error| {
        tracing::warn!(%error, "systemd is not told how it goes");
        None
    });
    let server = Server::start_notifying(&settings, notifier).await?;
    // In one piece: whoever waits for these lines finds them whole, and next to each other, whatever is logged.
    let told = format!("Postrider serves http://{}\nThe operator's key is in {}\n", server.address(), server.operator_key_file().display());
    eprint!("{told}");
    let reloader = server.reloader().clone();
    let reloading = async {
        match hang_ups {
            Ok(mut hang_ups) => {
                while hang_ups.recv().await.is_some() {
                    reloader.tell_begin();
                    reload(&arguments, &reloader, &log).await;
                    reloader.tell_end();
                }
            }
            Err(error) => tracing::warn!(%error, "a hang-up cannot be waited for; restart to change settings"),
        }
        std::future::pending().await
    };
    let serving = server.run_until(stop_signal());
    tokio::select! {
        ended = serving => ended.map_err(|error| Failure { code: STORE_FAILED, error: error.into() }),
        () = reloading => Ok(()),
    }
}

/// Reads the settings again and takes over those that changed, or none.
async fn reload(arguments: &ServeArguments, reloader: &Reloader, log: &telemetry::Log) {
    let settings = match arguments.settings() {
        Ok(settings) => settings,
        Err(failure) => {
            tracing::error!(error = format!("{:#}", failure.error), "settings are not reloaded; the present ones hold");
            return;
        }
    };
    match reloader.reload(&settings).await {
        Ok(changed) => {
            if let Err(error) = log.set_filter(&settings.log) {
                tracing::error!(%error, "the log goes on as before");
            }
            tracing::info!(changed = changed.join(", "), "settings are reloaded");
        }
        Err(error) => tracing::error!(%error, "settings are not reloaded; the present ones hold"),
    }
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
