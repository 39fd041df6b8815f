//! The catalogue of the conformance cases: all documented names, plus whatever the event holds.

use std::collections::BTreeMap;

use postrider::template::{FieldKind, Names};
use serde_json::{Map, Value};

const ORDER: &[(&str, FieldKind)] = &[
    ("CampaignId", FieldKind::Integer),
    ("CampaignName", FieldKind::Text),
    ("ActionTrackerId", FieldKind::Integer),
    ("ActionTrackerName", FieldKind::Text),
    ("MediaPartnerId", FieldKind::Integer),
    ("MediaPartnerName", FieldKind::Text),
    ("ActionType", FieldKind::Text),
    ("ReferringType", FieldKind::Text),
    ("ActionId", FieldKind::Text),
    ("Status", FieldKind::Text),
    ("StatusDetail", FieldKind::Text),
    ("AdId", FieldKind::Integer),
    ("Payout", FieldKind::Decimal),
    ("DeltaPayout", FieldKind::Decimal),
    ("IntendedPayout", FieldKind::Decimal),
    ("Amount", FieldKind::Decimal),
    ("DeltaAmount", FieldKind::Decimal),
    ("IntendedAmount", FieldKind::Decimal),
    ("Currency", FieldKind::Text),
    ("OriginalCurrency", FieldKind::Text),
    ("OriginalAmount", FieldKind::Decimal),
    ("EventDate", FieldKind::Date),
    ("CreationDate", FieldKind::Date),
    ("LockingDate", FieldKind::Date),
    ("ClearedDate", FieldKind::Date),
    ("ReferringDomain", FieldKind::Text),
    ("LandingPageUrl", FieldKind::Url),
    ("RefCustomerArea", FieldKind::Text),
    ("RefCustomerCity", FieldKind::Text),
    ("RefCustomerRegion", FieldKind::Text),
    ("RefCustomerCountry", FieldKind::Text),
    ("RefClickId", FieldKind::Text),
    ("SharedId", FieldKind::Text),
    ("SubId1", FieldKind::Text),
    ("SubId2", FieldKind::Text),
    ("SubId3", FieldKind::Text),
    ("Text1", FieldKind::Text),
    ("Text2", FieldKind::Text),
    ("PromoCode", FieldKind::Text),
    ("items", FieldKind::List),
    ("InquiryId", FieldKind::Integer),
    ("OrderId", FieldKind::Text),
    ("ResolutionStatus", FieldKind::Text),
    ("comments", FieldKind::List),
    ("RequestId", FieldKind::Integer),
    ("phones", FieldKind::List),
    ("JobId", FieldKind::Text),
    ("CatalogItemId", FieldKind::Text),
    ("NotificationId", FieldKind::Text),
    ("EventFamily", FieldKind::Text),
    ("EventKind", FieldKind::Text),
    ("SentDate", FieldKind::Date),
    ("Attempt", FieldKind::Integer),
];

const ITEMS: &[(&str, FieldKind)] = &[
    ("sku", FieldKind::Text),
    ("amt", FieldKind::Decimal),
    ("cat", FieldKind::Text),
    ("qty", FieldKind::Integer),
    ("cartamt", FieldKind::Decimal),
    ("rbt", FieldKind::Decimal),
    ("name", FieldKind::Text),
    ("itemlist", FieldKind::Text),
];

/// The documented names and those of one event.
pub struct Catalogue {
    names: BTreeMap<String, FieldKind>,
    fields: BTreeMap<(String, String), FieldKind>,
}

impl Catalogue {
    /// The documented names alone.
    pub fn documented() -> Catalogue {
        Catalogue::with(&Map::new())
    }

    /// The documented names and those of `event`.
    pub fn with(event: &Map<String, Value>) -> Catalogue {
        let owned = |(name, kind): &(&str, FieldKind)| ((*name).to_owned(), *kind);
        let mut catalogue = Catalogue {
            names: ORDER.iter().map(owned).collect(),
            fields: ITEMS.iter().map(|(name, kind)| (("items".to_owned(), (*name).to_owned()), *kind)).collect(),
        };
        for (name, value) in event {
            catalogue.names.entry(name.clone()).or_insert(kind_of(value));
            catalogue.add_items(name, value);
        }
        catalogue
    }

    fn add_items(&mut self, list: &str, value: &Value) {
        let Value::Array(items) = value else { return };
        for (field, value) in items.iter().filter_map(Value::as_object).flatten() {
            let key = (list.to_owned(), field.clone());
            self.fields.entry(key).or_insert(kind_of(value));
            self.add_items(&format!("{list}.{field}"), value);
        }
    }
}

fn kind_of(value: &Value) -> FieldKind {
    match value {
        Value::Array(_) => FieldKind::List,
        Value::Bool(_) => FieldKind::Boolean,
        Value::Number(_) => FieldKind::Decimal,
        _ => FieldKind::Text,
    }
}

impl Names for Catalogue {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        self.names.get(name).copied()
    }

    fn item_kind(&self, list: &str, field: &str) -> Option<FieldKind> {
        self.fields.get(&(list.to_owned(), field.to_owned())).copied()
    }

    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        self.names.keys().for_each(|name| f(name));
    }

    fn for_each_item_field(&self, list: &str, f: &mut dyn FnMut(&str)) {
        let of_list = self.fields.keys().filter(|(of, _)| of == list);
        of_list.for_each(|(_, field)| f(field));
    }
}
