//! A click on a partner's link.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};

/// A click on a partner's link, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click {
    /// Its id: a UUID in order of time; for a click that was not recorded, what the advertiser sent.
    pub id: String,
    /// The partner whose link it was; for a click that was not recorded, the offer's account.
    pub account: AccountId,
    /// The offer.
    pub offer: OfferId,
    /// When it happened.
    pub at: Timestamp,
    /// First value of the partner's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_id1: Option<String>,
    /// Second value of the partner's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_id2: Option<String>,
    /// Third value of the partner's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_id3: Option<String>,
    /// A value that partner and advertiser see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_id: Option<String>,
    /// The promotion that the link was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promo_id: Option<String>,
    /// The code that the link was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promo_code: Option<String>,
    /// The campaign that the link named; none: the offer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_id: Option<String>,
    /// Where the visitor came from, by the link's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_source: Option<String>,
    /// The same in the words of web analytics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utm_source: Option<String>,
    /// The visitor's address, as far as the offer keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The visitor's country, if a proxy in front tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The visitor's program, if the offer keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The host of the page with the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referring_domain: Option<String>,
    /// Where the visitor was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landing_url: Option<String>,
    /// The test run that it belongs to; none for a visitor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_run: Option<String>,
    /// Whether it was not recorded here and is known from a report alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
}

impl Click {
    /// Whether it belongs to a test run.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.test_run.is_some()
    }

    /// A click that is known from a report alone; it counts for `account`, the offer's own.
    #[must_use]
    pub fn unknown(id: String, account: AccountId, offer: OfferId, at: Timestamp) -> Self {
        Self {
            id,
            account,
            offer,
            at,
            sub_id1: None,
            sub_id2: None,
            sub_id3: None,
            shared_id: None,
            promo_id: None,
            promo_code: None,
            campaign_id: None,
            traffic_source: None,
            utm_source: None,
            ip: None,
            country: None,
            user_agent: None,
            referring_domain: None,
            landing_url: None,
            test_run: None,
            unknown: true,
        }
    }
}
