//! What is in flight where lanes are leased: noted before it is handed over, so that whoever takes a lane
//! over knows what its earlier owner may have sent.

use std::time::Duration;

use super::{Lease, Queue, Settlement, StoreError};
use crate::attempt::{Attempt, Outcome};
use crate::cluster::Epoch;
use crate::delivery::{Delivery, Next};
use crate::id::{AttemptId, SubscriptionId};

/// First and longest pause before a settlement is written again that was not written.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Queue {
    /// Notes that a request is about to be handed over; see [`Store::lease`](crate::store::Store::lease).
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written; the request must not be handed over.
    pub async fn lease(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.store.lease(lease).await
    }

    /// Takes that back, since nothing was handed over.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written; it is then taken for sent if this node ends.
    pub async fn let_go(&self, lease: &Lease) -> Result<(), StoreError> {
        self.store.let_go(lease).await
    }

    /// Records what earlier owners of a lane had in flight and never settled. Each is an attempt whose outcome
    /// is unknown, and its delivery is due at once, also if it was the last attempt: we do not know whether
    /// there is anything to give up. Answers how many there were.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read or written; call it again then.
    pub async fn recover(&self, subscription: SubscriptionId, epoch: Epoch) -> Result<usize, StoreError> {
        let leases = self.store.leased(subscription, epoch).await?;
        for lease in &leases {
            let now = self.clock.now();
            let attempt = Attempt {
                // Another than the request's own: should its end be heard of after all, it goes on record too.
                id: AttemptId::from_raw(self.next_id(now)),
                number: lease.number,
                started_at: lease.at,
                duration_ms: 0,
                outcome: Outcome::Unknown,
                reason: "the node that sent this ended, or lost its lane, before the answer was recorded".into(),
                request: None,
                response: None,
                possible_repeat: false,
                next_due_at: Some(now),
            };
            let settlement = Settlement {
                delivery: lease.delivery,
                subscription,
                leased_due_at: lease.due_at,
                attempt,
                next: Next::RetryAt(now),
                at: now,
                epoch: Some(epoch),
            };
            self.settle(settlement).await?;
            tracing::warn!(
                subscription.id = %subscription,
                delivery.id = %lease.delivery,
                attempt.number = lease.number,
                "an attempt of an earlier owner of the lane is recorded as unknown; the delivery is due again"
            );
        }
        Ok(leases.len())
    }

    /// Settles and does not give up as long as the store may come back: what was sent is known here alone, and
    /// would be sent again. The lane's next owner, if there is one, ends it, since the write then changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if this process is stopping.
    pub async fn settle_surely(&self, settlement: Settlement) -> Result<Option<Delivery>, StoreError> {
        let mut pause = PAUSE;
        loop {
            match self.settle(settlement.clone()).await {
                Err(error) if !matches!(error, StoreError::Closed) => {
                    // That the store is away is told elsewhere, once. A refusal stays until somebody looks into it.
                    if matches!(error, StoreError::Failed { .. }) {
                        tracing::error!(delivery.id = %settlement.delivery, %error, "the store refuses to record an attempt; trying again");
                    } else {
                        tracing::debug!(delivery.id = %settlement.delivery, %error, "an attempt was not recorded; trying again");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                answer => return answer,
            }
        }
    }
}
