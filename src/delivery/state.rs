//! The states of a delivery.
//!
//! ```text
//!               lease                    success
//!   Pending ─────────────▶ (in flight) ─────────▶ Delivered
//!      ▲                       │   │
//!      │  retry, later due     │   └─ refused, exhausted, not sendable ─▶ Dead
//!      └───────────────────────┘                                          │
//!      ▲                                   a person retries               │
//!      └──────────────────────────────────────────────────────────────────┘
//!   Pending, Dead ── a person cancels, or the subscription is deleted ──▶ Cancelled
//!   Delivered, Dead, Cancelled ── a replay ──▶ Pending
//! ```
//!
//! On one node a lease is held in memory only: the row stays `Pending` until its attempt is settled,
//! so that after a crash what was in flight is simply due again. The log shows it as `leased`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::event::{AccountId, EventType};
use crate::id::{DeliveryId, SubscriptionId};

/// The first 16 bytes of SHA-256 of the `ActionId` by which a delivery is ordered.
pub type OrderKey = [u8; 16];

/// One event owed to one subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its id; it also names the event.
    pub id: DeliveryId,
    /// To which subscription it is owed.
    pub subscription: SubscriptionId,
    /// Whose it is.
    pub account: AccountId,
    /// The type of the event.
    pub event_type: EventType,
    /// The version of the subscription whose request template is used.
    pub template_version: u32,
    /// How many requests were made.
    pub attempts: u32,
    /// How the last one ended.
    pub last_outcome: Option<Outcome>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Whether it waits for an earlier delivery of its action.
    pub behind: bool,
    /// Where it stands.
    pub state: DeliveryState,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Owed. The dispatcher leases it when it is due; if the process dies meanwhile, it is still this.
    Pending {
        /// The earliest moment it may be leased.
        due_at: Timestamp,
    },
    /// Taken by a worker. Only where leases are durable, or in what the log shows from memory; a lost
    /// lease runs out by itself and the delivery is pending again.
    Leased {
        /// When the lease runs out.
        until: Timestamp,
    },
    /// The receiver took it. Only a replay sends it again.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// Given up, kept for a person, who may retry it.
    Dead {
        /// When.
        at: Timestamp,
        /// Why.
        reason: DeadReason,
    },
    /// A person, or the deletion of the subscription, ended it. Only a replay sends it after all.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// Why a delivery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// The receiver refused it for good.
    Refused,
    /// The last attempt that the policy allows failed.
    Exhausted,
    /// It cannot be sent: not rendered, or the address is blocked.
    NotSendable,
}

/// The name of a state, as in the API, in filters and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateName {
    /// Owed: it is sent when it is due.
    Pending,
    /// In flight.
    Leased,
    /// The receiver took it.
    Delivered,
    /// Given up, kept for a person, who may retry it.
    Dead,
    /// Ended by a person, or with its subscription.
    Cancelled,
}

impl StateName {
    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DeliveryState {
    /// The state's name.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            Self::Pending { .. } => StateName::Pending,
            Self::Leased { .. } => StateName::Leased,
            Self::Delivered { .. } => StateName::Delivered,
            Self::Dead { .. } => StateName::Dead,
            Self::Cancelled { .. } => StateName::Cancelled,
        }
    }

    /// Whether something is still owed.
    #[must_use]
    pub const fn is_undecided(&self) -> bool {
        matches!(self, Self::Pending { .. } | Self::Leased { .. })
    }

    /// When it was decided; none if it is not.
    #[must_use]
    pub const fn decided_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { .. } | Self::Leased { .. } => None,
            Self::Delivered { at } | Self::Dead { at, .. } | Self::Cancelled { at } => Some(*at),
        }
    }

    /// When it is due, if it is pending.
    #[must_use]
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { due_at } => Some(*due_at),
            _ => None,
        }
    }
}
