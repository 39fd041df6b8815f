//! A row of the ledger: where an action stands, and its story.

use std::str::FromStr;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::event::{AccountId, EventType, OfferId};
use crate::id::EventId;

/// How many of the first events of an action are remembered, and of the last.
const FIRST_EVENTS_MAX: usize = 8;
const LAST_EVENTS_MAX: usize = 56;

/// Where an action stands: a row of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionState {
    /// The partner.
    pub account: AccountId,
    /// The action's id; of a reported one the lead's.
    pub action_id: String,
    /// The advertiser, if it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertiser: Option<AccountId>,
    /// The offer, if it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferId>,
    /// What came of the click, by the offer's or the platform's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The advertiser's own id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The click.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click: Option<String>,
    /// The advertiser's id of the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Where it stands.
    pub state: Standing,
    /// What the advertiser earned; none: it was not told, or not as a number.
    #[serde(default, with = "amount", skip_serializing_if = "Option::is_none")]
    pub amount: Option<Decimal>,
    /// What the partner earns.
    #[serde(default, with = "amount", skip_serializing_if = "Option::is_none")]
    pub payout: Option<Decimal>,
    /// The amount before anything was changed.
    #[serde(default, with = "amount", skip_serializing_if = "Option::is_none")]
    pub intended_amount: Option<Decimal>,
    /// The payout before anything was changed.
    #[serde(default, with = "amount", skip_serializing_if = "Option::is_none")]
    pub intended_payout: Option<Decimal>,
    /// The price that was reported last; a reversal leaves it.
    #[serde(default, with = "amount", skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// The currency of all amounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The advertiser's word for the state, or the platform's detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_word: Option<String>,
    /// What the advertiser says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Which way it came first.
    pub source: Source,
    /// Whether it belongs to a test run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// Its place in the lists of actions: 32 hexadecimal digits, in order of time.
    #[serde(default)]
    pub place: String,
    /// When it came in first.
    pub created_at: Timestamp,
    /// When it came in last.
    pub changed_at: Timestamp,
    /// When the latest of it happened, by the reporters' word.
    pub occurred_at: Timestamp,
    /// Its events.
    pub events: Story,
    /// How many reports contradicted it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conflicts: u64,
}

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It may still change.
    Pending,
    /// It will be paid, and does not change any more.
    Locked,
    /// Its payout is payable.
    Cleared,
    /// Its payout was paid.
    Paid,
    /// It will not be paid.
    Reversed,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Locked, Self::Cleared, Self::Paid, Self::Reversed];

    /// The standing as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Locked => "locked",
            Self::Cleared => "cleared",
            Self::Paid => "paid",
            Self::Reversed => "reversed",
        }
    }

    /// What events carry as `Status`.
    pub(super) const fn status(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Locked | Self::Cleared | Self::Paid => "APPROVED",
            Self::Reversed => "REVERSED",
        }
    }
}

/// Why a text is no standing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a state of an action; use `pending`, `locked`, `cleared`, `paid` or `reversed`")]
pub struct StandingError {
    text: String,
}

impl FromStr for Standing {
    type Err = StandingError;
    fn from_str(text: &str) -> Result<Self, StandingError> {
        let found = Self::ALL.into_iter().find(|standing| standing.as_str() == text);
        found.ok_or_else(|| StandingError { text: text.chars().take(40).collect() })
    }
}

/// Which way an action came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// An advertiser's server reported it.
    S2s,
    /// A platform emitted its events.
    Events,
}

/// The ids of an action's events: the first few and the latest, of however many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// How many events it has.
    pub count: u64,
    /// The first ones.
    pub first: Vec<EventId>,
    /// The last ones, without those in `first`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<EventId>,
}

impl Story {
    /// Adds an event.
    pub fn add(&mut self, event: EventId) {
        self.count += 1;
        if self.first.len() < FIRST_EVENTS_MAX {
            self.first.push(event);
            return;
        }
        if self.last.len() == LAST_EVENTS_MAX {
            self.last.remove(0);
        }
        self.last.push(event);
    }

    /// Those that are remembered, in order of acceptance.
    pub fn events(&self) -> impl Iterator<Item = EventId> {
        self.first.iter().chain(&self.last).copied()
    }
}

/// A step in the life of an action, which is an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `action.tracked`
    Tracked,
    /// `action.modified`
    Modified,
    /// `action.locked`
    Locked,
    /// `action.cleared`
    Cleared,
    /// `action.paid`
    Paid,
    /// `action.reversed`
    Reversed,
    /// Any other that begins with `action.`; it tells nothing of the state.
    Other,
}

impl Step {
    const KNOWN: [(Self, &'static str); 6] = [
        (Self::Tracked, "action.tracked"),
        (Self::Modified, "action.modified"),
        (Self::Locked, "action.locked"),
        (Self::Cleared, "action.cleared"),
        (Self::Paid, "action.paid"),
        (Self::Reversed, "action.reversed"),
    ];

    /// The step that events of this type are; none if they are not about actions.
    #[must_use]
    pub fn of(event_type: &EventType) -> Option<Self> {
        let name = event_type.as_str();
        let known = Self::KNOWN.iter().find(|(_, known)| *known == name).map(|(step, _)| *step);
        known.or_else(|| name.starts_with("action.").then_some(Self::Other))
    }

    /// The type of its events.
    #[must_use]
    pub fn event_type(self) -> EventType {
        let known = Self::KNOWN.iter().find(|(step, _)| *step == self).map_or("action.tracked", |(_, name)| name);
        known.parse().expect("these are event types")
    }

    /// Where an action stands after it.
    pub(super) const fn standing_after(self, before: Option<Standing>) -> Standing {
        match (self, before) {
            (Self::Locked, _) => Standing::Locked,
            (Self::Cleared, _) => Standing::Cleared,
            (Self::Paid, _) => Standing::Paid,
            (Self::Reversed, _) => Standing::Reversed,
            // What is changed again is not worth nothing any more.
            (Self::Modified, Some(Standing::Reversed)) | (_, None) => Standing::Pending,
            (Self::Tracked | Self::Modified | Self::Other, Some(before)) => before,
        }
    }
}

/// The id of an action's document.
#[must_use]
pub fn action_document_id(account: &AccountId, action_id: &str) -> String {
    let digest = Sha256::digest(action_id.as_bytes());
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{account}/{hex}")
}

/// The difference; of numbers with more digits than are exact, nothing.
pub(super) fn less(from: Decimal, what: Decimal) -> Decimal {
    from.checked_sub(what).unwrap_or_default()
}

const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Amounts as texts, which keep their digits.
mod amount {
    use rust_decimal::Decimal;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| Decimal::from_str_exact(&text).map_err(serde::de::Error::custom)).transpose()
    }
}
