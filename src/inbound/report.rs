//! What an advertiser reports of an action, and what came of the report.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Click, Earned, Offer, PayoutAction};
use crate::clock::Timestamp;
use crate::id::EventId;

/// A report that was checked: the action, its click and its offer are there, and nothing required is missing.
#[derive(Debug, Clone)]
pub struct Report {
    /// The action's id: a name-based UUID of the account's first inbound key and the request id.
    pub lead: Uuid,
    /// The offer.
    pub offer: Arc<Offer>,
    /// Which of the offer's actions.
    pub action: PayoutAction,
    /// The click that it came of.
    pub click: Arc<Click>,
    /// The advertiser's own id of the action.
    pub request_id: String,
    /// The status.
    pub status: ReportedStatus,
    /// The word that the advertiser used for it.
    pub status_word: String,
    /// What the advertiser earned; for a recurring action by percentage, what was given with the customer.
    pub price: Option<Decimal>,
    /// The advertiser's id of the customer.
    pub customer: Option<String>,
    /// What the advertiser says about it.
    pub comment: Option<String>,
    /// Fields of the event, from the parameters of the action's template.
    pub extra: Vec<(String, String)>,
    /// When it came in.
    pub at: Timestamp,
}

impl Report {
    /// What the action earned by this report; none if the rate is a percentage and no price was sent.
    #[must_use]
    pub fn earned(&self) -> Option<Earned> {
        self.action.earned(self.price, self.offer.spec.currency)
    }
}

/// What an advertiser says of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportedStatus {
    /// Not decided yet.
    Hold,
    /// It is paid.
    Approved,
    /// It is not paid.
    Rejected,
}

impl ReportedStatus {
    /// The status as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

/// What came of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It changed the action.
    Recorded {
        /// The action.
        lead: Uuid,
        /// What happened, in order.
        events: Vec<EventId>,
    },
    /// It says what is known.
    Repeated {
        /// The action.
        lead: Uuid,
    },
    /// It says something else than what is decided; nothing changed but the count of conflicts.
    Conflict {
        /// The action.
        lead: Uuid,
        /// In what.
        reason: Conflict,
    },
}

/// In what a report contradicts what is known of its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another status after a final one.
    #[error("the action is final, and this is another status; use another `request_id` for another action")]
    FinalStatus,
    /// Another price after a final status.
    #[error("the action is final, and this is another price; use another `request_id` for another action")]
    FinalPrice,
    /// Another click.
    #[error("this `request_id` was reported with another `click_id`; use another `request_id` for another action")]
    OtherClick,
    /// Another offer.
    #[error("this `request_id` was reported for another offer; use another `request_id` for another action")]
    OtherOffer,
    /// Another action of the offer.
    #[error("this `request_id` was reported with another `action`; use another `request_id` for another action")]
    OtherAction,
    /// Another customer.
    #[error("this `request_id` was reported with another `customer_id`; use another `request_id` for another action")]
    OtherCustomer,
}

impl Conflict {
    /// Stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::FinalStatus => "final_status",
            Self::FinalPrice => "final_price",
            Self::OtherClick => "other_click",
            Self::OtherOffer => "other_offer",
            Self::OtherAction => "other_action",
            Self::OtherCustomer => "other_customer",
        }
    }
}
