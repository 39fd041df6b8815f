//! The only node of its store: owns everything and asks nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::leases::{Claim, LaneLeases, LeaseError};
use super::node::{Node, NodeReport};
use crate::clock::Clock;
use crate::id::{NodeId, SubscriptionId};

/// What an embedded store has for leases.
#[derive(Debug)]
pub struct SoleNode {
    clock: Arc<dyn Clock>,
    last: Mutex<Option<Node>>,
}

impl SoleNode {
    /// Of a node that has not told of itself.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Mutex::default() }
    }

    fn list(&self) -> Vec<Node> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[async_trait]
impl LaneLeases for SoleNode {
    fn ttl(&self) -> Option<Duration> {
        None
    }

    async fn beat(&self, report: &NodeReport) -> Result<Vec<Node>, LeaseError> {
        let node = Node { report: report.clone(), beat_at: self.clock.now(), live: true };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
        Ok(self.list())
    }

    async fn claim(&self, _: NodeId, _: &[SubscriptionId], _: usize) -> Result<Vec<Claim>, LeaseError> {
        Ok(Vec::new())
    }

    async fn renew(&self, _: NodeId, claims: &[Claim]) -> Result<Vec<Claim>, LeaseError> {
        Ok(claims.to_vec())
    }

    async fn release(&self, _: NodeId, _: &[Claim]) -> Result<(), LeaseError> {
        Ok(())
    }

    async fn leave(&self, _: NodeId) -> Result<(), LeaseError> {
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<Node>, LeaseError> {
        Ok(self.list())
    }

    fn freed(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}
