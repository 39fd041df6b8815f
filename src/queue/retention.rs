//! Removal of what is old: in small steps, so that it never stands in the way of deliveries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::kept::Trimming;
use super::{AcceptError, AccountLimits, ConfigureError, Queue, StoreError};
use crate::cluster::Turn;

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct RetentionSettings {
    /// Events with their deliveries and attempts, counted from receipt, once all deliveries are decided.
    pub events: Duration,
    /// Entries of the audit log.
    pub audit: Duration,
    /// Rows of the action ledger, counted from their last change.
    pub actions: Duration,
    /// Of accounts that have no limits of their own.
    pub per_account: AccountLimits,
    /// Clicks.
    pub clicks: Duration,
    /// Reports of advertisers as they came in, and test runs.
    pub inbound_calls: Duration,
    /// Pause between two rounds.
    pub interval: Duration,
}

/// Most events that one commit removes.
const STEP: usize = 200;
/// Most steps of removing actions in one round.
const ACTION_STEPS: usize = 20;
/// Pause after each step, which leaves the writer to others most of the time.
const BREATH: Duration = Duration::from_millis(50);
/// Steps of counting and of keeping accounts to their limits, before everything else has its turn again.
const STEPS_PER_TURN: usize = 40;
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
    let mut action_place = None;
    let mut trimming = Trimming::default();
    loop {
        let RetentionSettings { events, audit, actions, clicks, inbound_calls, per_account, interval } = *settings.borrow();
        if queue.clock.instant() >= round_due {
            round_due = queue.clock.instant() + interval;
            action_place = match prune_actions(&queue, actions, action_place).await {
                Ok(place) => place,
                Err(_) => return,
            };
            // A full disk takes no configuration, and that is no reason to stop the rest.
            let inbound = queue.prune_inbound(clicks, inbound_calls).await.map_err(ConfigureError::from);
            let pruned = if turn.is_ours() { queue.prune_audit_log(audit).await } else { Ok(()) };
            for done in [queue.save_last_uses().await, pruned, inbound] {
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
            let Ok(pruned) = queue.store.prune(now.before(events), now, STEP).await else { return };
            queue.kept.removed(&pruned);
            queue.metrics.events_removed("age", pruned.events);
            if !pruned.more {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        let mut is_behind = false;
        for _ in 0..STEPS_PER_TURN {
            match queue.keep_to_limits(per_account, &mut trimming).await {
                Ok(true) => tokio::time::sleep(BREATH).await,
                Ok(false) => break,
                Err(_) => return,
            }
            is_behind = true;
        }
        // A deleted subscription's deliveries are ended at once, not at the next round.
        let wait = round_due.saturating_duration_since(queue.clock.instant());
        let wait = if is_left || is_behind { wait.min(REMOVAL_PAUSE) } else { wait };
        let _ = tokio::time::timeout(wait, changes.changed()).await;
    }
}

/// Removes old actions; goes on after `place` and says where it ended, so that rows that stay are not read again each round.
async fn prune_actions(queue: &Queue, kept: Duration, mut place: Option<u128>) -> Result<Option<u128>, AcceptError> {
    for _ in 0..ACTION_STEPS {
        place = queue.prune_actions(kept, place).await?;
        if place.is_none() {
            break;
        }
        tokio::time::sleep(BREATH).await;
    }
    Ok(place)
}
