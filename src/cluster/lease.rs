//! How long a node may trust a lease, by its own clocks alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::id::SubscriptionId;

/// The number of a claim. A later claim of any lane has a higher one, so that a write can tell under which
/// claim it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    instant: Instant,
    wall: Timestamp,
}

impl Moment {
    /// This moment.
    pub fn of(clock: &dyn Clock) -> Self {
        Self { instant: clock.instant(), wall: clock.now() }
    }

    fn after(self, span: Duration) -> Self {
        Self { instant: self.instant + span, wall: self.wall.after(span) }
    }
}

/// A lane as its owner holds it.
///
/// It is held until a moment of the node's own clocks that lies before the end which the store has, since it
/// is counted from before the request was sent, and with a margin. Both clocks must lie before it: the
/// monotonic one does not run while a machine sleeps, the other one may be set back.
#[derive(Debug)]
pub struct Tenure {
    lane: SubscriptionId,
    epoch: Epoch,
    until: Mutex<Moment>,
}

impl Tenure {
    /// A lane that was asked for at `asked`, for `span`.
    pub(super) fn new(lane: SubscriptionId, epoch: Epoch, asked: Moment, span: Duration) -> Self {
        Self { lane, epoch, until: Mutex::new(asked.after(span)) }
    }

    /// Whose lane.
    #[must_use]
    pub const fn lane(&self) -> SubscriptionId {
        self.lane
    }

    /// Under which claim.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether a request may be handed over at this moment.
    #[must_use]
    pub fn holds(&self, clock: &dyn Clock) -> bool {
        self.holds_at(clock.now(), clock.instant())
    }

    /// Whether one may be at this moment of the two clocks.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp, instant: Instant) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        instant < until.instant && now < until.wall
    }

    /// Notes that it was renewed by a request that was sent at `asked`.
    pub(super) fn renew(&self, asked: Moment, span: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = asked.after(span);
    }
}
