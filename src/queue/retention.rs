//! Removal of what is old: in small steps, so that it never stands in the way of deliveries.

use std::sync::Arc;
use std::time::Duration;

use super::Queue;

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct RetentionSettings {
    /// Events with their deliveries and attempts, counted from receipt, once all deliveries are decided.
    pub events: Duration,
    /// Pause between two rounds.
    pub interval: Duration,
}

/// Most events that one commit removes.
const STEP: usize = 200;
/// Pause after each step, which leaves the writer to others most of the time.
const BREATH: Duration = Duration::from_millis(50);

/// Removes what is old and ends deliveries of deleted subscriptions, until the store fails or is closed.
pub async fn sweep(queue: Arc<Queue>, settings: RetentionSettings) {
    let mut changes = queue.changes();
    loop {
        if queue.end_orphans().await.is_err() {
            return;
        }
        loop {
            let now = queue.clock.now();
            match queue.store.prune(now.before(settings.events), now, STEP).await {
                Ok(pruned) if pruned.more => tokio::time::sleep(BREATH).await,
                Ok(_) => break,
                Err(_) => return,
            }
        }
        // A deleted subscription's deliveries are ended at once, not at the next round.
        let _ = tokio::time::timeout(settings.interval, changes.changed()).await;
    }
}
