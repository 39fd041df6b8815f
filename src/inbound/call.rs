//! A report as it came in, and what was answered: the incoming log.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::id::{EventId, InboundCallId, InboundKeyId};

/// A report as it came in, and what was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "InboundCall")]
pub struct InboundCall {
    /// Its id, in order of time.
    pub id: InboundCallId,
    /// When it came.
    pub at: Timestamp,
    /// The advertiser; null if the key is not known.
    pub account: Option<AccountId>,
    /// The key; null if it is not known, and for the reports of test runs.
    pub key: Option<InboundKeyId>,
    /// The offer, as far as it was found.
    pub offer: Option<OfferId>,
    /// The HTTP method.
    pub method: String,
    /// In which form it came.
    pub kind: CallKind,
    /// The parameters as they came; what is long is cut.
    pub parameters: BTreeMap<String, String>,
    /// Whether parameters were cut or left out, since there was more than is kept.
    #[serde(default)]
    pub truncated: bool,
    /// What came of it.
    pub result: CallResult,
    /// Why it was refused or conflicts; null if neither.
    pub code: Option<String>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The answer.
    pub reply: Value,
    /// The action, as `ActionId` of its events.
    pub lead: Option<String>,
    /// The name of the action.
    pub action: Option<String>,
    /// The advertiser's own id of the action.
    pub request_id: Option<String>,
    /// The click.
    pub click: Option<String>,
    /// The events that came of it.
    pub events: Vec<EventId>,
    /// From where it came.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// What the sender calls itself.
    pub user_agent: Option<String>,
}

/// In which form a report came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallKind {
    /// From a server.
    S2s,
    /// From a visitor's browser, as an image.
    Pixel,
    /// From a visitor's browser, as a frame.
    Frame,
    /// From a test run that plays the advertiser.
    Test,
}

/// What came of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallResult {
    /// It changed something.
    Success,
    /// It said what was known.
    Repeated,
    /// It contradicted what is decided.
    Conflict,
    /// It was refused.
    Error,
}

impl CallResult {
    /// The result as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Repeated => "repeated",
            Self::Conflict => "conflict",
            Self::Error => "error",
        }
    }
}
