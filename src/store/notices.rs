//! What a commit tells the dispatcher: which lanes have something new.
//!
//! The writer posts after a commit is visible and before it answers, so that whoever heard of a
//! settlement finds every notice of earlier commits here. Notices are merged per subscription and
//! bounded: beyond [`FRESH_ROWS_MAX`] rows a lane is only told to look into its index.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::DueRow;
use crate::clock::Timestamp;
use crate::id::{DeliveryId, SubscriptionId};

/// Most rows that are handed over by one lane's notice.
pub const FRESH_ROWS_MAX: usize = 64;

/// What is new for one lane.
///
/// Take in `fresh` first, then drop what is `removed` from all that was read ahead, `fresh` included,
/// then look into the index if `earliest_due` asks for it. In this order a delivery that was written,
/// cancelled or rescheduled within one notice ends as it stands in the store: what is rescheduled is
/// never in `fresh`, but in `removed` and `earliest_due`.
#[derive(Debug, Default)]
pub struct LaneNotice {
    /// Rows that were due when they were written, with their events.
    pub fresh: Vec<DueRow>,
    /// The earliest due time among written rows that are not in `fresh`.
    pub earliest_due: Option<Timestamp>,
    /// Deliveries whose rows are gone or were moved without having been leased. One that the lane still
    /// takes for in flight was decided and is due again: the index is to be read once more after its end.
    pub removed: Vec<DeliveryId>,
    /// More was removed than is listed: forget what was read ahead.
    pub forget: bool,
}

/// The place where the writer leaves notices and the dispatcher takes them.
#[derive(Debug, Default)]
pub struct CommitNotices {
    lanes: Mutex<HashMap<SubscriptionId, LaneNotice>>,
    posted: Notify,
}

impl CommitNotices {
    /// Adds to the notices of a lane.
    pub fn post(&self, notices: impl IntoIterator<Item = (SubscriptionId, LaneNotice)>) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for (subscription, notice) in notices {
            lanes.entry(subscription).or_default().merge(notice);
        }
        drop(lanes);
        self.posted.notify_one();
    }

    /// Takes all notices.
    #[must_use]
    pub fn take(&self) -> HashMap<SubscriptionId, LaneNotice> {
        std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something was posted since the last wait ended.
    pub async fn posted(&self) {
        self.posted.notified().await;
    }
}

impl LaneNotice {
    /// Notes that a row was written, due at `due_at`.
    pub fn note_due(&mut self, due_at: Timestamp) {
        self.earliest_due = Some(self.earliest_due.map_or(due_at, |earliest| earliest.min(due_at)));
    }

    /// Notes that a row is gone, or moved, without having been leased.
    pub fn note_removed(&mut self, delivery: DeliveryId) {
        if self.removed.len() < FRESH_ROWS_MAX {
            self.removed.push(delivery);
        } else {
            self.forget = true;
        }
    }

    /// Adds what a later commit has for the lane.
    pub(super) fn merge(&mut self, other: Self) {
        for row in other.fresh {
            if self.fresh.len() < FRESH_ROWS_MAX {
                self.fresh.push(row);
            } else {
                self.note_due(row.due_at);
            }
        }
        if let Some(due_at) = other.earliest_due {
            self.note_due(due_at);
        }
        if self.removed.len() + other.removed.len() <= FRESH_ROWS_MAX {
            self.removed.extend(other.removed);
        } else {
            self.forget = true;
        }
        self.forget |= other.forget;
    }
}
