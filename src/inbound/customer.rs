//! Customers of an advertiser: added once with the click that brought them, and named by each later action.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Click, Conflict, Offer, decimal};
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};

/// A customer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The advertiser's id of it.
    pub id: String,
    /// The advertiser.
    pub account: AccountId,
    /// The offer it came by.
    pub offer: OfferId,
    /// The click that brought it.
    pub click: String,
    /// The partner who gets its actions.
    pub partner: AccountId,
    /// What it pays each time, if the rate is a percentage.
    #[serde(default, with = "price", skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// Whether actions of it are taken.
    pub active: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
}

/// What an advertiser reports of a customer; checked like a report of an action.
#[derive(Debug, Clone)]
pub struct CustomerReport {
    /// The id that is answered: a name-based UUID of the account's first inbound key and the customer's id.
    pub lead: Uuid,
    /// The offer.
    pub offer: Arc<Offer>,
    /// The click that brought it.
    pub click: Arc<Click>,
    /// The advertiser's id of it.
    pub customer: String,
    /// What becomes of it.
    pub change: CustomerChange,
    /// When it came in.
    pub at: Timestamp,
}

/// What becomes of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerChange {
    /// It is added, or its actions are taken again.
    Activate {
        /// What it pays each time, if that is known.
        price: Option<Decimal>,
    },
    /// No more actions of it are taken.
    Deactivate,
}

/// What follows from a report of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerDecision {
    /// It is this from now on.
    Changed(Box<Customer>),
    /// Nothing: it is known.
    Repeated,
    /// Nothing: it contradicts what is known.
    Conflicting(Conflict),
    /// Nothing: there is no such customer to deactivate.
    Unknown,
}

/// The id of a customer's document.
#[must_use]
pub fn customer_document_id(advertiser: &AccountId, customer: &str) -> String {
    let digest = Sha256::digest(customer.as_bytes());
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{advertiser}/{hex}")
}

/// What a report comes to, by what is known of the customer. A customer stays with the click that brought it.
#[must_use]
pub fn decide_customer(present: Option<&Customer>, report: &CustomerReport) -> CustomerDecision {
    let CustomerReport { offer, click, customer, change, at, .. } = report;
    let Some(present) = present else {
        let CustomerChange::Activate { price } = *change else { return CustomerDecision::Unknown };
        return CustomerDecision::Changed(Box::new(Customer {
            id: customer.clone(),
            account: offer.account.clone(),
            offer: offer.id.clone(),
            click: click.id.clone(),
            partner: click.account.clone(),
            price,
            active: true,
            created_at: *at,
            changed_at: *at,
        }));
    };
    if present.offer != offer.id {
        return CustomerDecision::Conflicting(Conflict::OtherOffer);
    }
    if present.click != click.id {
        return CustomerDecision::Conflicting(Conflict::OtherClick);
    }
    let (active, price) = match *change {
        CustomerChange::Activate { price } => (true, price.or(present.price)),
        CustomerChange::Deactivate => (false, present.price),
    };
    if (active, price) == (present.active, present.price) {
        return CustomerDecision::Repeated;
    }
    CustomerDecision::Changed(Box::new(Customer { active, price, changed_at: *at, ..present.clone() }))
}

/// A price as text, if there is one.
mod price {
    use rust_decimal::Decimal;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::decimal::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
        #[derive(Deserialize)]
        struct Price(#[serde(with = "super::decimal")] Decimal);
        Ok(Option::<Price>::deserialize(deserializer)?.map(|Price(value)| value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(change: CustomerChange, click: &str, second: i64) -> CustomerReport {
        let at = Timestamp::from_unix_ms(second * 1_000);
        let offer = json!({
            "id": "club", "account": "shop", "name": "Club", "landing_url": "https://shop.example/", "currency": "USD", "version": 1,
            "actions": [{"name": "renewal", "model": "recurring", "rate": "10", "rate_type": "percent"}], "created_at": at, "updated_at": at,
        });
        let (account, offer_id) = ("acme".parse().unwrap(), "club".parse().unwrap());
        CustomerReport {
            lead: Uuid::nil(),
            offer: Arc::new(serde_json::from_value(offer).unwrap()),
            click: Arc::new(Click::unknown(click.into(), account, offer_id, at)),
            customer: "7".into(),
            change,
            at,
        }
    }

    const fn activate(price: Option<Decimal>) -> CustomerChange {
        CustomerChange::Activate { price }
    }

    #[test]
    fn a_customer_is_added_changed_and_ended() {
        let nine = Some(Decimal::from(9));
        let steps = [
            (CustomerChange::Deactivate, "c1", "unknown"),
            (activate(nine), "c1", "changed true 9"),
            (activate(None), "c1", "repeated"),
            (activate(nine), "c1", "repeated"),
            (activate(nine), "c2", "OtherClick"),
            (CustomerChange::Deactivate, "c2", "OtherClick"),
            (activate(Some(Decimal::TEN)), "c1", "changed true 10"),
            (CustomerChange::Deactivate, "c1", "changed false 10"),
            (CustomerChange::Deactivate, "c1", "repeated"),
            (activate(None), "c1", "changed true 10"),
        ];
        let mut present: Option<Customer> = None;
        for (second, (change, click, expected)) in (1..).zip(steps) {
            let shown = match decide_customer(present.as_ref(), &report(change, click, second)) {
                CustomerDecision::Changed(customer) => {
                    let shown = format!("changed {} {}", customer.active, customer.price.unwrap());
                    present = Some(*customer);
                    shown
                }
                CustomerDecision::Repeated => "repeated".into(),
                CustomerDecision::Conflicting(reason) => format!("{reason:?}"),
                CustomerDecision::Unknown => "unknown".into(),
            };
            assert_eq!(shown, expected, "at {second}");
        }
        let customer = present.unwrap();
        assert_eq!((customer.created_at.unix_ms(), customer.changed_at.unix_ms(), customer.partner.as_str()), (2_000, 10_000, "acme"));
        let mut other = report(activate(None), "c1", 11);
        Arc::make_mut(&mut other.offer).id = "gym".parse().unwrap();
        assert_eq!(decide_customer(Some(&customer), &other), CustomerDecision::Conflicting(Conflict::OtherOffer));
        let text = serde_json::to_string(&customer).unwrap();
        assert_eq!(serde_json::from_str::<Customer>(&text).unwrap(), customer);
    }
}
