//! Writes down and reports what happens to receivers, beside the dispatcher's task and in its order.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::id::SubscriptionId;
use crate::queue::{EndpointHealth, OperationReport, Queue};

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
        if let Err(error) = queue.store_failing(subscription, health).await {
            tracing::warn!(subscription.id = %subscription, %error, "how a receiver is doing was not stored; after a restart it counts anew");
        }
        if let Some(report) = report {
            tell(&queue, &report).await;
        }
    }
}

/// Reports something; what cannot be reported is in the log.
pub(super) async fn tell(queue: &Queue, report: &OperationReport) {
    if let Err(error) = queue.report(report).await {
        tracing::warn!(
            subscription.id = %report.subscription,
            delivery.id = %report.delivery,
            operation = ?report.operation,
            %error,
            "an operational event was not stored"
        );
    }
}
