//! What is kept of nodes and leases, behind one trait.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::lease::Epoch;
use super::node::{Node, NodeReport};
use crate::id::{NodeId, SubscriptionId};

/// Work that is done for all nodes and by one of them at a time. It is leased as a lane is, under an id that
/// no subscription has, since theirs begin with the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Carries out replays.
    Replays,
    /// Removes what is old, and ends deliveries of what was deleted.
    Sweep,
}

/// Every job.
pub const JOBS: [Job; 2] = [Job::Replays, Job::Sweep];

impl Job {
    /// The lane by which it is leased.
    #[must_use]
    pub const fn lane(self) -> SubscriptionId {
        SubscriptionId::from_raw(match self {
            Self::Replays => 1,
            Self::Sweep => 2,
        })
    }
}

/// A lane that a node has claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whose lane.
    pub lane: SubscriptionId,
    /// The number of the claim.
    pub epoch: Epoch,
}

/// The store could not say or do it. What was asked for may have been done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("leases of lanes cannot be read or written: {detail}; lanes go on until their leases end")]
pub struct LeaseError {
    /// What the store said.
    pub detail: String,
}

/// Who is there and who owns which lane. The time is that of whoever keeps it.
#[async_trait]
pub trait LaneLeases: Debug + Send + Sync {
    /// How long a lease holds. None: there is but one node, every lane is always its own, and it neither
    /// claims, renews nor releases.
    fn ttl(&self) -> Option<Duration>;

    /// Takes note of how a node is doing, and tells of all nodes.
    async fn beat(&self, report: &NodeReport) -> Result<Vec<Node>, LeaseError>;

    /// Gives the node up to `most` of these lanes, of those that nobody holds by this time. Each gets an epoch
    /// that is higher than all before.
    async fn claim(&self, node: NodeId, lanes: &[SubscriptionId], most: usize) -> Result<Vec<Claim>, LeaseError>;

    /// Extends these claims by the time to live, and answers with those that still stand: nobody else has
    /// claimed the lane since, even if the lease had ended meanwhile.
    async fn renew(&self, node: NodeId, claims: &[Claim]) -> Result<Vec<Claim>, LeaseError>;

    /// Gives these lanes back, those that are still held under this claim.
    async fn release(&self, node: NodeId, claims: &[Claim]) -> Result<(), LeaseError>;

    /// Forgets a node that has released everything.
    async fn leave(&self, node: NodeId) -> Result<(), LeaseError>;

    /// All nodes, the first by id first.
    async fn nodes(&self) -> Result<Vec<Node>, LeaseError>;

    /// Changes when lanes may have become free. Need not tell of every one.
    fn freed(&self) -> watch::Receiver<u64>;
}
