//! Following the configuration where several servers change it.
//!
//! A server hears of a change by the store, at once or, if a word gets lost, at its next accept: the store
//! refuses events that were prepared by an older configuration.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Queue, Registry};
use crate::store::{ConfigurationChange, ConfigureError, Revision, StoreError};

/// Pause before the configuration is read again that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Reads the configuration again whenever another server has changed it. Ends with its task.
pub async fn follow_configuration(queue: Arc<Queue>) {
    loop {
        let found = queue.store.configuration_after(queue.revision()).await;
        if found <= queue.revision() {
            // It was a change of our own.
            continue;
        }
        if let Err(error) = queue.reload().await {
            tracing::warn!(%error, "the configuration of another server cannot be read yet");
            tokio::time::sleep(READ_AGAIN).await;
        }
    }
}

impl Queue {
    /// Which configuration is in use.
    pub(super) fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    /// Writes configuration. If that follows on what this server knows, it knows the present one afterwards.
    pub(super) async fn write_configuration(&self, changes: Vec<ConfigurationChange>) -> Result<(), ConfigureError> {
        let before = self.revision();
        let after = self.store.configure_under(before, changes).await?;
        // Another change may have been faster, and knows better.
        let _ = self.revision.compare_exchange(before.0, after.0, Ordering::AcqRel, Ordering::Acquire);
        Ok(())
    }

    /// Takes over the stored configuration.
    pub(super) async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.configuring.lock().await;
        let (revision, records) = self.store.configuration_with_revision().await?;
        if revision <= self.revision() {
            return Ok(());
        }
        let read = Registry::read(&records, &self.vault);
        self.publish(|registry| registry.replace_with(read));
        self.revision.store(revision.0, Ordering::Release);
        Ok(())
    }
}
