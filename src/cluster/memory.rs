//! Leases in memory, for several nodes in one process: tests and simulations.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::lease::Epoch;
use super::leases::{Claim, LaneLeases, LeaseError};
use super::node::{Node, NodeReport};
use crate::clock::{Clock, Timestamp};
use crate::id::{NodeId, SubscriptionId};

/// A row of the lanes: who holds it, or held it last.
#[derive(Debug, Clone, Copy)]
struct Held {
    owner: Option<NodeId>,
    epoch: Epoch,
    until: Timestamp,
}

#[derive(Debug, Default)]
struct Tables {
    lanes: HashMap<SubscriptionId, Held>,
    nodes: BTreeMap<NodeId, (NodeReport, Timestamp)>,
    epochs: u64,
}

/// Leases that all nodes of a process share. The time is that of `clock`, as a database has its own.
#[derive(Debug)]
pub struct MemoryLeases {
    ttl: Duration,
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
    freed: watch::Sender<u64>,
}

impl MemoryLeases {
    /// No nodes, no leases; each will hold for `ttl`.
    #[must_use]
    pub fn new(ttl: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { ttl, clock, tables: Mutex::default(), freed: watch::Sender::new(0) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who owns a lane at this time, and under which claim.
    #[must_use]
    pub fn owner(&self, lane: SubscriptionId) -> Option<(NodeId, Epoch)> {
        let held = *self.tables().lanes.get(&lane)?;
        held.owner.filter(|_| held.until > self.clock.now()).map(|owner| (owner, held.epoch))
    }

    /// The last claim of a lane, whether it still holds or not.
    #[must_use]
    pub fn epoch(&self, lane: SubscriptionId) -> Option<Epoch> {
        self.tables().lanes.get(&lane).map(|held| held.epoch)
    }

    fn list(&self, tables: &Tables) -> Vec<Node> {
        let now = self.clock.now();
        let node = |(report, beat_at): &(NodeReport, Timestamp)| Node {
            report: report.clone(),
            beat_at: *beat_at,
            live: now.since(*beat_at) < self.ttl,
        };
        tables.nodes.values().map(node).collect()
    }
}

#[async_trait]
impl LaneLeases for MemoryLeases {
    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    async fn beat(&self, report: &NodeReport) -> Result<Vec<Node>, LeaseError> {
        let mut tables = self.tables();
        tables.nodes.insert(report.id, (report.clone(), self.clock.now()));
        Ok(self.list(&tables))
    }

    async fn claim(&self, node: NodeId, lanes: &[SubscriptionId], most: usize) -> Result<Vec<Claim>, LeaseError> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let is_free = |lane: &&SubscriptionId| tables.lanes.get(lane).is_none_or(|held| held.owner.is_none() || held.until <= now);
        let free: Vec<_> = lanes.iter().filter(is_free).take(most).copied().collect();
        let claim = |lane| {
            tables.epochs += 1;
            let epoch = Epoch::from_number(tables.epochs);
            tables.lanes.insert(lane, Held { owner: Some(node), epoch, until: now.after(self.ttl) });
            Claim { lane, epoch }
        };
        Ok(free.into_iter().map(claim).collect())
    }

    async fn renew(&self, node: NodeId, claims: &[Claim]) -> Result<Vec<Claim>, LeaseError> {
        let until = self.clock.now().after(self.ttl);
        let mut tables = self.tables();
        let mut stands = |claim: &&Claim| {
            let held = tables.lanes.get_mut(&claim.lane).filter(|held| held.owner == Some(node) && held.epoch == claim.epoch);
            held.map(|held| held.until = until).is_some()
        };
        Ok(claims.iter().filter(&mut stands).copied().collect())
    }

    async fn release(&self, node: NodeId, claims: &[Claim]) -> Result<(), LeaseError> {
        let mut tables = self.tables();
        for claim in claims {
            if let Some(held) = tables.lanes.get_mut(&claim.lane)
                && held.owner == Some(node)
                && held.epoch == claim.epoch
            {
                held.owner = None;
            }
        }
        drop(tables);
        self.freed.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn leave(&self, node: NodeId) -> Result<(), LeaseError> {
        self.tables().nodes.remove(&node);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<Node>, LeaseError> {
        Ok(self.list(&self.tables()))
    }

    fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }
}
