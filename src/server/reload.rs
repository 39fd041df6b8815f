//! Settings that take effect while the server runs. Others are refused by name, and then nothing changes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::StartError;
use super::parts::{dispatcher_settings, guard_settings, retention_settings};
use crate::clock::system_monotonic;
use crate::config::Settings;
use crate::dispatcher::DispatcherSettings;
use crate::queue::{Queue, RetentionSettings};
use crate::request::guard::Guard;
use crate::systemd::Notifier;

/// The settings that can be changed while the server runs.
const CHANGEABLE: [&str; 18] = [
    "actions_days",
    "allow",
    "allow_private",
    "audit_days",
    "clicks_days",
    "deny",
    "deny_hosts",
    "drain_s",
    "event_bytes_per_account_max",
    "events_per_account_max",
    "failing_after",
    "in_flight_max",
    "in_flight_per_subscription_max",
    "inbound_calls_days",
    "log",
    "ports",
    "probe_interval_s",
    "retention_days",
];

/// Why changed settings were not taken. All that was set before holds.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Some need a new start.
    #[error("{} cannot change while the server runs; restart it, or set back what was changed", quoted(.0))]
    NeedRestart(Vec<String>),
    /// One makes no sense.
    #[error(transparent)]
    Refused(#[from] StartError),
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Changes the settings of a running server.
#[derive(Debug)]
pub struct Reloader {
    pub(super) present: Mutex<Settings>,
    pub(super) address: SocketAddr,
    pub(super) queue: Arc<Queue>,
    pub(super) guard: Guard,
    pub(super) dispatcher: watch::Sender<DispatcherSettings>,
    pub(super) retention: watch::Sender<RetentionSettings>,
    pub(super) notifier: Option<Arc<Notifier>>,
}

impl Reloader {
    /// Tells systemd that settings are being read again; [`Self::tell_end`] must follow.
    pub fn tell_begin(&self) {
        self.notifier.iter().for_each(|notifier| notifier.reloading(system_monotonic()));
    }

    /// Tells systemd that the settings hold that hold now, changed or not.
    pub fn tell_end(&self) {
        self.notifier.iter().for_each(|notifier| notifier.ready());
    }

    /// Takes over changed settings; tells the names of those that were changed. The log is the caller's.
    ///
    /// # Errors
    /// [`ReloadError`], and nothing is changed.
    pub async fn reload(&self, settings: &Settings) -> Result<Vec<String>, ReloadError> {
        let changed = self.take(settings)?;
        if !changed.is_empty()
            && let Err(error) = self.queue.note_reload(&changed).await
        {
            tracing::warn!(%error, "changed settings are not in the audit log");
        }
        Ok(changed)
    }

    fn take(&self, settings: &Settings) -> Result<Vec<String>, ReloadError> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = present.changes_to(settings);
        let fixed: Vec<_> = changed.iter().filter(|name| !CHANGEABLE.contains(&name.as_str())).cloned().collect();
        if !fixed.is_empty() {
            return Err(ReloadError::NeedRestart(fixed));
        }
        self.guard.replace(guard_settings(settings, self.address)?);
        self.dispatcher.send_replace(dispatcher_settings(settings));
        self.retention.send_replace(retention_settings(settings));
        *present = settings.clone();
        Ok(changed)
    }
}
