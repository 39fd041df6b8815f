//! Offers: what an advertiser pays for, and to whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Currency, ParameterTemplate, PayoutAction, Statuses};
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};

/// A stored offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The caller's id, unique on the server.
    pub id: OfferId,
    /// The advertiser.
    pub account: AccountId,
    /// What the caller wrote, with the defaults filled in.
    #[serde(flatten)]
    pub spec: OfferSpec,
    /// Counts the changes, from 1; the API's `ETag`.
    pub version: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What a caller says of an offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferSpec {
    /// What people call it, which events carry as `CampaignName`.
    pub name: String,
    /// Whether it takes clicks and reports.
    #[serde(default)]
    pub state: OfferState,
    /// Where visitors are sent, a template of the macros of clicks; macros stand behind the host only.
    pub landing_url: String,
    /// The parameter in which the click id is added to the landing address, if that does not name `{click_id}`.
    #[serde(default = "default_click_parameter")]
    pub click_parameter: String,
    /// The currency of all amounts.
    pub currency: Currency,
    /// What events carry as `CampaignId`; the offer's id if null.
    #[serde(default)]
    pub campaign_id: Option<String>,
    /// Which accounts may have links of it: `"all"`, or a list.
    #[serde(default)]
    pub partners: Partners,
    /// What becomes of a report whose click is not known here.
    #[serde(default)]
    pub unknown_clicks: UnknownClicks,
    /// What is paid for.
    pub actions: Vec<PayoutAction>,
    /// The words for each status.
    #[serde(default)]
    pub statuses: Statuses,
    /// Templates of extra parameters.
    #[serde(default)]
    pub parameter_templates: Vec<ParameterTemplate>,
    /// What is kept of visitors.
    #[serde(default)]
    pub privacy: Privacy,
}

/// Whether an offer takes clicks and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OfferState {
    /// It does.
    #[default]
    Active,
    /// It does not; both are refused.
    Paused,
}

/// Which accounts may have links of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Partners {
    /// All of them.
    #[default]
    #[serde(with = "all")]
    #[schemars(schema_with = "all::schema")]
    All,
    /// These.
    Listed(Vec<AccountId>),
}

impl Partners {
    /// Whether this account may.
    #[must_use]
    pub fn include(&self, account: &AccountId) -> bool {
        match self {
            Self::All => true,
            Self::Listed(listed) => listed.contains(account),
        }
    }
}

/// What becomes of a report whose click is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownClicks {
    /// It is refused.
    #[default]
    Reject,
    /// It is taken, and its events go to the offer's own account.
    Accept,
}

/// What is kept of visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// How much of the address.
    #[serde(default)]
    pub ip: KeptAddress,
    /// Whether the `User-Agent`.
    #[serde(default = "yes")]
    pub user_agent: bool,
}

/// How much of an address is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeptAddress {
    /// All of it.
    Full,
    /// The network: the first 24 bits of an IPv4 address, the first 48 of an IPv6 address.
    #[default]
    Truncated,
    /// Nothing.
    None,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { ip: KeptAddress::default(), user_agent: true }
    }
}

impl OfferSpec {
    /// The action of this name; case and blanks around it do not matter.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&PayoutAction> {
        let name = name.trim().to_lowercase();
        self.actions.iter().find(|action| action.name.to_lowercase() == name)
    }
}

fn default_click_parameter() -> String {
    "click_id".into()
}

const fn yes() -> bool {
    true
}

/// The word `all`.
mod all {
    use schemars::{Schema, SchemaGenerator, json_schema};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("all")
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "all" => Ok(()),
            other => Err(serde::de::Error::custom(format_args!("`{other}` is neither `all` nor a list of accounts"))),
        }
    }

    pub fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "const": "all"})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_offer_is_read_with_its_defaults_and_written_back() {
        let written = r#"{"name": "Summer shop", "landing_url": "https://shop.example/p", "currency": "USD", "actions": [
            {"name": "Lead", "rate": 30.00}, {"name": "sale", "model": "percent", "rate": "7.5", "partner_percent": "80"}]}"#;
        let spec: OfferSpec = serde_json::from_str(written).unwrap();
        assert_eq!(
            (spec.state, &spec.partners, spec.statuses.find("paid")),
            (OfferState::Active, &Partners::All, Some(super::super::ReportedStatus::Approved))
        );
        assert_eq!(spec.action(" LEAD ").map(|action| action.rate.to_string()), Some("30.00".into()));
        let shown = serde_json::to_value(&spec).unwrap();
        assert_eq!(
            (&shown["partners"], &shown["actions"][1]["rate"], &shown["privacy"]["ip"]),
            (&json!("all"), &json!("7.5"), &json!("truncated"))
        );
        assert_eq!(serde_json::from_value::<OfferSpec>(shown).unwrap(), spec);
    }

    #[test]
    fn partners_are_all_or_a_list() {
        let read = |value: serde_json::Value| serde_json::from_value::<Partners>(value);
        assert_eq!(read(json!("all")).unwrap(), Partners::All);
        let listed = read(json!(["acme", "b"])).unwrap();
        assert!(listed.include(&"acme".parse().unwrap()) && !listed.include(&"shop".parse().unwrap()));
        assert!(read(json!("some")).is_err() && read(json!([""])).is_err() && read(json!(null)).is_err());
    }
}
