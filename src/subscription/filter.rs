//! The condition of a subscription on an event's fields: `{"CampaignId": ["1000", "1001"]}`.

use std::collections::BTreeMap;

use crate::event::EventData;

/// Every named field must hold one of the values listed for it, compared as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    fields: Vec<(String, Vec<String>)>,
}

impl Filter {
    /// A filter over these fields; an empty one holds for every event.
    #[must_use]
    pub fn new(fields: &BTreeMap<String, Vec<String>>) -> Self {
        Self { fields: fields.iter().map(|(name, values)| (name.clone(), values.clone())).collect() }
    }

    /// Whether `data` fulfils every condition. A missing field, null or a list fulfils none.
    #[must_use]
    pub fn holds(&self, data: &EventData) -> bool {
        self.fields.iter().all(|(name, values)| data.scalar(name).is_some_and(|found| values.contains(&found)))
    }

    /// The first condition that `data` does not fulfil: the field and the values it may hold.
    #[must_use]
    pub fn first_unmet(&self, data: &EventData) -> Option<(&str, &[String])> {
        let unmet = self.fields.iter().find(|(name, values)| !data.scalar(name).is_some_and(|found| values.contains(&found)));
        unmet.map(|(name, values)| (name.as_str(), values.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_must_hold_one_of_their_values() {
        let fields =
            BTreeMap::from([("CampaignId".into(), vec!["1000".into(), "1001".into()]), ("Status".into(), vec!["APPROVED".into()])]);
        let filter = Filter::new(&fields);
        let holds = |text: &str| filter.holds(&EventData::parse(text).unwrap());
        assert!(holds(r#"{"CampaignId":1000,"Status":"APPROVED"}"#));
        assert!(holds(r#"{"CampaignId":"1001","Status":"APPROVED"}"#));
        assert!(!holds(r#"{"CampaignId":"1002","Status":"APPROVED"}"#));
        assert!(!holds(r#"{"CampaignId":"1000"}"#));
        let unmet = |text: &str| filter.first_unmet(&EventData::parse(text).unwrap()).map(|(name, _)| name.to_owned());
        assert_eq!(unmet(r#"{"CampaignId":1000,"Status":"PENDING"}"#).as_deref(), Some("Status"));
        assert_eq!(unmet(r#"{"CampaignId":1000,"Status":"APPROVED"}"#), None);
        assert!(Filter::default().holds(&EventData::parse("{}").unwrap()));
    }
}
