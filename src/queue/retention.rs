//! Removal of what is old: in small steps, so that it never stands in the way of deliveries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

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

/// Pause after something that the store did not do.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a server looks whether it is its turn.
const TURN_CHECK: Duration = Duration::from_secs(5);

/// Where a sweep stands.
struct Sweep {
    queue: Arc<Queue>,
    turn: Turn,
    round_due: Instant,
    action_place: Option<u128>,
    trimming: Trimming,
}

/// Removes what is old and ends deliveries of deleted subscriptions, until the store is closed. Other settings
/// hold from the next round on. Once an interval it also saves when API keys were used, which every server
/// does for itself; the rest it does when it is its turn.
pub async fn sweep(queue: Arc<Queue>, settings: watch::Receiver<RetentionSettings>, turn: Turn) {
    let mut changes = queue.changes();
    let round_due = queue.clock.instant();
    let mut sweep = Sweep { queue, turn, round_due, action_place: None, trimming: Trimming::default() };
    loop {
        let settings = *settings.borrow();
        let wait = match sweep.step(settings).await {
            Ok(wait) => wait,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::debug!(%error, "what is old cannot be removed yet");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // A deleted subscription's deliveries are ended at once, not at the next round.
        let _ = tokio::time::timeout(wait, changes.changed()).await;
    }
}

impl Sweep {
    /// Does what there is to do, and tells when there may be more.
    async fn step(&mut self, settings: RetentionSettings) -> Result<Duration, StoreError> {
        if self.queue.clock.instant() >= self.round_due {
            self.round(settings).await?;
            self.round_due = self.queue.clock.instant() + settings.interval;
        }
        if !self.turn.is_ours() {
            return Ok(TURN_CHECK);
        }
        let queue = &self.queue;
        queue.end_orphans().await?;
        let is_left = passing(queue.remove_deleted_accounts().await)?.unwrap_or(true);
        loop {
            let now = queue.clock.now();
            let pruned = queue.store.prune(now.before(settings.events), now, STEP).await?;
            queue.kept.removed(&pruned);
            queue.metrics.events_removed("age", pruned.events);
            if !pruned.more {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        let mut is_behind = false;
        for _ in 0..STEPS_PER_TURN {
            if !queue.keep_to_limits(settings.per_account, &mut self.trimming).await? {
                break;
            }
            tokio::time::sleep(BREATH).await;
            is_behind = true;
        }
        let wait = self.round_due.saturating_duration_since(queue.clock.instant());
        Ok(if is_left || is_behind { wait.min(REMOVAL_PAUSE) } else { wait })
    }

    /// What is done once an interval.
    async fn round(&mut self, settings: RetentionSettings) -> Result<(), StoreError> {
        passing(self.queue.save_last_uses().await)?;
        if !self.turn.is_ours() {
            return Ok(());
        }
        self.action_place = match prune_actions(&self.queue, settings.actions, self.action_place).await {
            Ok(place) => place,
            Err(AcceptError::Store(error)) => return Err(error),
            // A row was changed meanwhile; it is looked at again from the start.
            Err(_) => None,
        };
        passing(self.queue.prune_inbound(settings.clicks, settings.inbound_calls).await.map_err(ConfigureError::from))?;
        passing(self.queue.prune_audit_log(settings.audit).await)?;
        passing(self.queue.prune_activity().await)?;
        Ok(())
    }
}

/// None if it was not done for a reason that is no reason to stop the rest: a full disk takes no configuration.
fn passing<T>(done: Result<T, ConfigureError>) -> Result<Option<T>, StoreError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(ConfigureError::Store(StoreError::StorageFull | StoreError::Overtaken) | ConfigureError::Conflict { .. }) => Ok(None),
        Err(ConfigureError::Store(error)) => Err(error),
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
