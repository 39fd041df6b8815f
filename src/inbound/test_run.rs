//! A test of an offer, from the click to the postback.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::id::TestRunId;

/// A test of an offer, as it is stored. Its click and what comes of that are marked as tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestRun {
    /// Its id.
    pub id: TestRunId,
    /// The advertiser.
    pub account: AccountId,
    /// The offer.
    pub offer: OfferId,
    /// The partner whose link is tested.
    pub partner: AccountId,
    /// The action that is tested.
    pub action: String,
    /// The price that the played advertiser reports; null for none.
    pub price: Option<String>,
    /// The click; null until the link is opened.
    pub click: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was finished; null while it goes on.
    pub finished_at: Option<Timestamp>,
}
