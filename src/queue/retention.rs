//! Removal of what is old: in small steps, so that it never stands in the way of deliveries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{ConfigureError, Queue, StoreError};
use crate::cluster::Turn;

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct RetentionSettings {
    /// Events with their deliveries and attempts, counted from receipt, once all deliveries are decided.
    pub events: Duration,
    /// Entries of the audit log.
    pub audit: Duration,
    /// Pause between two rounds.
    pub interval: Duration,
}

/// Most events that one commit removes.
const STEP: usize = 200;
/// Pause after each step, which leaves the writer to others most of the time.
const BREATH: Duration = Duration::from_millis(50);
/// Pause between two steps of removing a deleted account.
const REMOVAL_PAUSE: Duration = Duration::from_millis(250);

/// How often a node looks whether it is its turn.
const TURN_CHECK: Duration = Duration::from_secs(5);

/// Removes what is old and ends deliveries of deleted subscriptions, until the store fails or is closed.
/// Other settings hold from the next round on. Once an interval it also saves when API keys were used, which
/// every node does for itself; the rest it does when it is its turn.
pub async fn sweep(queue: Arc<Queue>, settings: watch::Receiver<RetentionSettings>, turn: Turn) {
    let mut changes = queue.changes();
    let mut round_due = queue.clock.instant();
    loop {
        let RetentionSettings { events, audit, interval } = *settings.borrow();
        if queue.clock.instant() >= round_due {
            round_due = queue.clock.instant() + interval;
            // A full disk takes no configuration, and that is no reason to stop the rest.
            let pruned = if turn.is_ours() { queue.prune_audit_log(audit).await } else { Ok(()) };
            for done in [queue.save_last_uses().await, pruned] {
                match done {
                    Ok(()) | Err(ConfigureError::Store(StoreError::StorageFull) | ConfigureError::Conflict { .. }) => {}
                    Err(ConfigureError::Store(_)) => return,
                }
            }
        }
        if !turn.is_ours() {
            let _ = tokio::time::timeout(TURN_CHECK, changes.changed()).await;
            continue;
        }
        if queue.end_orphans().await.is_err() {
            return;
        }
        let is_left = match queue.remove_deleted_accounts().await {
            Ok(is_left) => is_left,
            Err(ConfigureError::Store(StoreError::StorageFull) | ConfigureError::Conflict { .. }) => true,
            Err(ConfigureError::Store(_)) => return,
        };
        loop {
            let now = queue.clock.now();
            match queue.store.prune(now.before(events), now, STEP).await {
                Ok(pruned) if pruned.more => tokio::time::sleep(BREATH).await,
                Ok(_) => break,
                Err(_) => return,
            }
        }
        // A deleted subscription's deliveries are ended at once, not at the next round.
        let wait = round_due.saturating_duration_since(queue.clock.instant());
        let wait = if is_left { wait.min(REMOVAL_PAUSE) } else { wait };
        let _ = tokio::time::timeout(wait, changes.changed()).await;
    }
}
