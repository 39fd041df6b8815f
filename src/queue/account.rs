//! One account: whose events and subscriptions, and which event types it may have.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::catalogue::Family;
use crate::event::{AccountId, EventType, EventTypePattern};
use crate::subscription::whole_number_or_none;

/// Whose events and subscriptions: a partner or a brand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// The caller's id.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
    /// What kind of account it is, by which the operator's settings keep it to families of event types.
    #[serde(default)]
    pub kind: Option<AccountKind>,
    /// Macro names beyond the catalogue that its templates may use.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The event types that it may have; none: all that its kind may.
    #[serde(default)]
    pub allowed_event_types: Option<Vec<EventTypePattern>>,
    /// How much of it is kept.
    #[serde(default)]
    pub limits: AccountLimits,
    /// Counts the changes, from 1; the API's `ETag`.
    #[serde(default = "first_version")]
    pub version: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed; none: never.
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
    /// Since when it is being deleted; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting_since: Option<Timestamp>,
}

const fn first_version() -> u32 {
    1
}

impl Account {
    /// An account that may have everything, created now.
    #[must_use]
    pub fn new(id: AccountId, name: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            id,
            name: name.into(),
            kind: None,
            fields: Vec::new(),
            allowed_event_types: None,
            limits: AccountLimits::default(),
            version: 1,
            created_at,
            updated_at: None,
            deleting_since: None,
        }
    }
}

/// How much is kept of an account. Beyond that its oldest decided events are removed; undecided ones stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountLimits {
    /// Most events that are kept; null: as many as the setting `events_per_account_max` says.
    #[serde(deserialize_with = "whole_number_or_none")]
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    pub events_max: Option<u64>,
    /// Most bytes of their data that are kept; null: as many as the setting `event_bytes_per_account_max` says.
    #[serde(deserialize_with = "whole_number_or_none")]
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    pub bytes_max: Option<u64>,
}

/// The highest limit.
pub const LIMIT_MAX: u64 = 1_000_000_000_000_000;

impl AccountLimits {
    /// Whether there is a limit.
    #[must_use]
    pub const fn are_set(&self) -> bool {
        self.events_max.is_some() || self.bytes_max.is_some()
    }

    /// These, and where one is not set the one of `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self { events_max: self.events_max.or(others.events_max), bytes_max: self.bytes_max.or(others.bytes_max) }
    }
}

/// The kinds of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// A partner: publisher, affiliate.
    Partner,
    /// A brand: advertiser, merchant.
    Brand,
    /// A partner that pays cashback to its customers.
    Cashback,
    /// A partner that runs a loyalty program.
    Loyalty,
}

impl AccountKind {
    /// The kind as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Brand => "brand",
            Self::Cashback => "cashback",
            Self::Loyalty => "loyalty",
        }
    }
}

/// The families of event types that accounts of each kind may have. A kind that is not listed, and an
/// account without a kind, may have all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountKinds(HashMap<AccountKind, Vec<String>>);

impl AccountKinds {
    /// Kinds with their families, by code.
    #[must_use]
    pub fn new(families: impl IntoIterator<Item = (AccountKind, Vec<String>)>) -> Self {
        Self(families.into_iter().collect())
    }

    /// Why an account may not have events of a type of this family, in words; none if it may.
    ///
    /// Tests and what concerns the account's own subscriptions is for everybody.
    #[must_use]
    pub fn refusal(&self, account: &Account, event_type: &EventType, family: &str) -> Option<String> {
        if let Some(allowed) = &account.allowed_event_types
            && !allowed.iter().any(|pattern| pattern.matches(event_type))
        {
            return Some(format!("account `{}` may not have `{event_type}`: its `allowed_event_types` leave it out", account.id));
        }
        let kind = account.kind?;
        let families = self.0.get(&kind)?;
        let is_for_all = [Family::Test, Family::Operation].iter().any(|open| open.code() == family);
        (!is_for_all && !families.iter().any(|known| known == family)).then(|| {
            let (id, kind) = (&account.id, kind.as_str());
            format!("account `{id}` may not have `{event_type}`: accounts of the kind `{kind}` are kept from the family `{family}` by the operator's settings")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(account: &Account, kinds: &AccountKinds, event_type: &str, family: &str) -> bool {
        kinds.refusal(account, &event_type.parse().unwrap(), family).is_none()
    }

    #[test]
    fn an_account_may_have_what_both_its_kind_and_its_own_list_allow() {
        let kinds = AccountKinds::new([(AccountKind::Partner, vec!["action_life_cycle".to_owned(), "loyalty".to_owned()])]);
        let mut account = Account::new("acme".parse().unwrap(), "Acme", Timestamp::default());
        assert!(may(&account, &kinds, "action.cleared", "action_clearing"), "an account without a kind may have all");
        account.kind = Some(AccountKind::Brand);
        assert!(may(&account, &kinds, "action.cleared", "action_clearing"), "a kind that is not listed may have all");
        account.kind = Some(AccountKind::Partner);
        let table = [
            ("action.tracked", "action_life_cycle", true),
            ("action.cleared", "action_clearing", false),
            ("coupon.redeemed", "loyalty", true),
            ("test.ping", "test", true),
            ("delivery.dead", "operation", true),
        ];
        for (event_type, family, allowed) in table {
            assert_eq!(may(&account, &kinds, event_type, family), allowed, "{event_type}");
        }
        account.allowed_event_types = Some(vec!["action.tracked".parse().unwrap(), "action.cleared".parse().unwrap()]);
        assert!(may(&account, &kinds, "action.tracked", "action_life_cycle"));
        assert!(!may(&account, &kinds, "action.reversed", "action_life_cycle"), "not on its list");
        assert!(!may(&account, &kinds, "action.cleared", "action_clearing"), "on its list, and its kind may not");
    }
}
