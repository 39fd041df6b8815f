//! The stored form of secrets: one record for each object that has any, every field sealed by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::SubscriptionId;
use crate::secret::{OpenError, Place, Sealed, Secret, Vault};
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord};
use crate::subscription::{Subscription, SubscriptionSecrets, SubscriptionSpec};

/// The sealed secrets of one subscription, by field.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SealedSecrets(BTreeMap<String, Sealed>);

impl SealedSecrets {
    fn seal<'a>(vault: &Vault, id: &str, fields: impl IntoIterator<Item = (String, &'a Secret)>) -> Self {
        let record = place_of(id);
        let seal = |(field, secret): (String, &Secret)| {
            let sealed = vault.seal(Place { record: &record, field: &field }, secret);
            (field, sealed)
        };
        Self(fields.into_iter().map(seal).collect())
    }

    /// The secrets that `spec` needs. What does not open is reported and left out: the subscription then
    /// does not send until it is given again.
    pub(super) fn open(&self, vault: &Vault, id: &str, spec: &SubscriptionSpec) -> SubscriptionSecrets {
        SubscriptionSecrets::collect(spec, |field| match self.open_field(vault, id, field)? {
            Ok(secret) => Some(secret),
            Err(error) => {
                tracing::error!(subscription.id = id, field, %error, "a stored secret does not open; send it again with PATCH");
                None
            }
        })
    }

    pub(super) fn open_field(&self, vault: &Vault, id: &str, field: &str) -> Option<Result<Secret, OpenError>> {
        Some(vault.open(Place { record: &place_of(id), field }, self.0.get(field)?))
    }

    /// The ids of the keys with which its fields are sealed.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter_map(Sealed::key)
    }

    /// The same, sealed with the first key; none if it is already, or does not open.
    pub(super) fn sealed_again(&self, vault: &Vault, id: &str) -> Option<Self> {
        if self.0.values().all(|sealed| vault.is_current(sealed)) {
            return None;
        }
        let open = |field: &String| self.open_field(vault, id, field)?.ok().map(|secret| (field.clone(), secret));
        // A field that does not open is kept as it is: the other fields are not lost with it.
        let opened: Vec<_> = self.0.keys().filter_map(open).collect();
        let mut again = Self::seal(vault, id, opened.iter().map(|(field, secret)| (field.clone(), secret)));
        for (field, sealed) in &self.0 {
            again.0.entry(field.clone()).or_insert_with(|| sealed.clone());
        }
        Some(again)
    }

    pub(super) fn record(&self, id: &str) -> ConfigurationRecord {
        let value = serde_json::to_string(self).expect("sealed secrets have only text keys, so they can be written as JSON");
        ConfigurationRecord { kind: ConfigurationKind::Secret, id: id.to_owned(), value }
    }
}

/// The record of one secret of something that has no other.
pub(super) fn seal_one(vault: &Vault, id: &str, field: &str, secret: &Secret) -> ConfigurationRecord {
    SealedSecrets::seal(vault, id, [(field.to_owned(), secret)]).record(id)
}

/// What the record of a subscription's secrets is called where they are sealed.
fn place_of(id: &str) -> String {
    format!("secret/{id}")
}

/// The change that keeps the secrets of `subscription`; none if they are those of before.
pub(super) fn secrets_change(vault: &Vault, subscription: &Subscription, before: Option<&Subscription>) -> Option<ConfigurationChange> {
    let fields = |subscription: &Subscription| -> Vec<(String, Secret)> {
        subscription.secrets.fields(&subscription.spec).into_iter().map(|(field, secret)| (field, secret.clone())).collect()
    };
    let (now, then) = (fields(subscription), before.map(fields).unwrap_or_default());
    let id = subscription.id.to_string();
    if now == then {
        return None;
    }
    if now.is_empty() {
        return Some(removal(subscription.id));
    }
    let sealed = SealedSecrets::seal(vault, &id, now.iter().map(|(field, secret)| (field.clone(), secret)));
    Some(ConfigurationChange::Put { record: sealed.record(&id), if_absent: false })
}

/// The change that removes the secrets of a subscription.
pub(super) fn removal(id: SubscriptionId) -> ConfigurationChange {
    ConfigurationChange::Remove { kind: ConfigurationKind::Secret, id: id.to_string() }
}
