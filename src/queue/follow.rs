//! Following what other servers on the same store do.
//!
//! A server hears of a change of the configuration by the store, at once or, if a word gets lost, at its next
//! accept: the store refuses events that were prepared by an older configuration. Before a server changes the
//! configuration itself it looks whether it knows the present one, and a change that was prepared by an older
//! one is refused too, so that no change takes another one back.
//!
//! What others find out, which decides nothing here, is read every few seconds: replays, who is failing, what
//! is in flight, when keys were used, and how much each server does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::MutexGuard;

use super::stats::ToldActivity;
use super::{Queue, Registry};
use crate::id::NodeId;
use crate::store::{ConfigurationChange, ConfigureError, Lease, Revision, StoreError};

/// Pause before the configuration is read again that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// Pause between two looks at what others find out.
const LOOK: Duration = Duration::from_secs(2);
/// How long a call of another server is taken to be under way whose subscription is not known here.
const CALL: Duration = Duration::from_secs(30);

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

/// Reads every few seconds what other servers have found out. Ends with its task.
pub async fn follow_others(queue: Arc<Queue>) {
    // Drawn anew by each process: what an earlier one told stays as it was.
    let server = NodeId::from_raw(queue.next_id(queue.clock.now()));
    let mut told = ToldActivity::default();
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = queue.look_at_others(server, &mut told).await {
            tracing::debug!(%error, "what other servers found out cannot be read yet");
        }
    }
}

impl Queue {
    async fn look_at_others(&self, server: NodeId, told: &mut ToldActivity) -> Result<(), ConfigureError> {
        self.refresh_replays().await?;
        self.refresh_endpoints().await?;
        self.refresh_last_uses().await?;
        let (calls, registry) = (self.store.in_flight().await?, self.registry());
        let timeout = |id| registry.subscription(id).map_or(CALL, |subscription| subscription.rules.timeout);
        let until = |lease: &Lease| lease.at.after(timeout(lease.subscription));
        self.in_flight.set_others(calls.iter().map(|lease| (lease.delivery, lease.subscription, until(lease))));
        self.exchange_activity(server, told).await
    }

    /// Takes over what other servers have configured by now, so that what they answered holds here too. Tells
    /// whether there was anything. If it cannot be read, the present one stays: decisions by an old one are found
    /// out when they are written.
    pub async fn catch_up(&self) -> bool {
        self.is_behind().await && self.reload().await.is_ok()
    }

    async fn is_behind(&self) -> bool {
        self.store.is_shared() && self.store.configuration_revision().await.is_ok_and(|stored| stored > self.revision())
    }

    /// Waits for the turn to change the configuration, which is then the present one as far as can be known.
    pub(super) async fn turn_to_configure(&self) -> MutexGuard<'_, ()> {
        let turn = self.configuring.lock().await;
        if self.is_behind().await
            && let Err(error) = self.take_over_stored().await
        {
            tracing::debug!(%error, "the present configuration cannot be read; a change by an old one is refused");
        }
        turn
    }

    /// Which configuration is in use.
    pub(super) fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    /// Writes configuration; refused if another server has changed it since.
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
        self.take_over_stored().await
    }

    /// The same for whoever has the turn to change it.
    async fn take_over_stored(&self) -> Result<(), StoreError> {
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
