//! Writes down and reports what happens to receivers, beside the dispatcher's task and in its order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::id::SubscriptionId;
use crate::queue::{AcceptError, ConfigureError, EmitError, EndpointHealth, OperationReport, Queue, StoreError};

/// Pause before something is written again for which the database was away.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// What is to be written down.
#[derive(Debug)]
pub(super) enum Entry {
    /// A receiver is failing, or with no health it is not any more.
    Turn { health: Option<EndpointHealth>, report: OperationReport },
    /// A subscription whose receiver was failing is gone.
    Gone(SubscriptionId),
}

/// Writes until nobody can send any more. Receivers turn at most once in a probe interval, so that
/// little can pile up.
pub(super) async fn keep(queue: Arc<Queue>, mut entries: UnboundedReceiver<Entry>) {
    while let Some(entry) = entries.recv().await {
        let (subscription, health, report) = match entry {
            Entry::Turn { health, report } => (report.subscription, health, Some(report)),
            Entry::Gone(subscription) => (subscription, None, None),
        };
        write(queue.as_ref(), subscription, health).await;
        if let Some(report) = report {
            tell(&queue, &report).await;
        }
    }
}

/// Stores how a receiver is doing, as soon as the database is there.
async fn write(queue: &Queue, subscription: SubscriptionId, health: Option<EndpointHealth>) {
    loop {
        match queue.store_failing(subscription, health).await {
            Ok(()) => return,
            Err(ConfigureError::Store(StoreError::Unavailable { .. })) => tokio::time::sleep(AWAY_PAUSE).await,
            Err(error) => {
                tracing::warn!(subscription.id = %subscription, %error, "how a receiver is doing was not stored; after a restart it counts anew");
                return;
            }
        }
    }
}

/// Reports something, as soon as the database is there; what cannot be reported is in the log. A report that was
/// stored although nobody heard of it is stored once: it has a key.
pub(super) async fn tell(queue: &Queue, report: &OperationReport) {
    loop {
        let error = match queue.report(report).await {
            Ok(()) => return,
            Err(EmitError::Accept(AcceptError::Store(StoreError::Unavailable { .. }))) => {
                tokio::time::sleep(AWAY_PAUSE).await;
                continue;
            }
            Err(error) => error,
        };
        return tracing::warn!(
            subscription.id = %report.subscription,
            delivery.id = %report.delivery,
            operation = ?report.operation,
            %error,
            "an operational event was not stored"
        );
    }
}
