//! Nodes and lanes: which node of several over one store sends for which subscription.
//!
//! A lane, that is all sending of one subscription, is owned by one node at a time, by a lease that runs out
//! by itself. So ceiling and order hold over all nodes without a call per request. The promises rest on three
//! things: nobody hands a request over after its own, earlier end of the lease; nobody claims before the
//! store's later end; and every write of a lane names the claim under which it was made.
//!
//! This module decides who owns what and knows no deliveries: the dispatcher starts and stops lanes as told.

mod node;
mod lease;
mod leases;
mod share;
mod sole;
mod memory;
mod orders;
mod keeper;

pub use keeper::{Keeper, KeeperSettings, Load};
pub use lease::{Epoch, Tenure};
pub use leases::{Claim, JOBS, Job, LaneLeases, LeaseError};
pub use memory::MemoryLeases;
pub use node::{Node, NodeReport, Role, Roles, RolesError};
pub use orders::{Membership, Order, Turn};
pub use share::share_of;
pub use sole::SoleNode;
