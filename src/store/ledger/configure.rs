//! Writing configuration: all changes of a call or none.

use std::collections::HashMap;

use super::Decision;
use super::state::Ledger;
use crate::id::SubscriptionId;
use crate::store::kv::{KvError, Tree};
use crate::store::record::{self, ValueRecord};
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, StoreError, layout};

impl Ledger {
    /// Makes all changes, or none and says which one does not fit.
    pub(in crate::store) fn configure(&mut self, changes: Vec<ConfigurationChange>) -> Decision<(), ConfigureError> {
        if self.storage_full() {
            return Ok(Err(StoreError::StorageFull.into()));
        }
        // What the call itself has written so far, so that its changes follow on each other.
        let mut written: HashMap<Vec<u8>, Option<String>> = HashMap::new();
        for change in &changes {
            let (kind, id) = place(change);
            let key = layout::configuration_key(kind, id);
            let present = match written.get(&key) {
                Some(value) => value.clone(),
                None => self.value(&key)?,
            };
            let fits = match change {
                ConfigurationChange::Put { if_absent, .. } => !if_absent || present.is_none(),
                ConfigurationChange::Replace { expected, .. } => present.as_ref() == Some(expected),
                ConfigurationChange::Remove { .. } => true,
            };
            if !fits {
                return Ok(Err(ConfigureError::Conflict { id: id.to_owned() }));
            }
            written.insert(key, new_value(change).map(str::to_owned));
        }
        for change in &changes {
            self.note_removal(change);
        }
        for (key, value) in written {
            match value {
                Some(json) => self.put(Tree::Configuration, &key, &ValueRecord { json: &json }),
                None => self.overlay.remove(Tree::Configuration, key),
            }
        }
        Ok(Ok(()))
    }

    /// Writes a record that goes with another change.
    pub(in crate::store) fn put_note(&mut self, note: Option<ConfigurationRecord>) {
        if let Some(ConfigurationRecord { kind, id, value }) = note {
            self.put(Tree::Configuration, &layout::configuration_key(kind, &id), &ValueRecord { json: &value });
        }
    }

    fn value(&mut self, key: &[u8]) -> Result<Option<String>, KvError> {
        let Some(value) = self.overlay.get(Tree::Configuration, key)? else { return Ok(None) };
        match record::decode::<ValueRecord<'_>>(Tree::Configuration, key, &value) {
            Ok(record) => Ok(Some(record.json.to_owned())),
            Err(error) => {
                self.repair(Tree::Configuration, key, value, error)?;
                Ok(None)
            }
        }
    }

    /// Keeps in mind which subscriptions take no deliveries any more.
    fn note_removal(&mut self, change: &ConfigurationChange) {
        let (ConfigurationKind::Subscription, id) = place(change) else { return };
        let Ok(subscription) = id.parse::<SubscriptionId>() else { return };
        self.set_removed(subscription, matches!(change, ConfigurationChange::Remove { .. }));
    }
}

fn place(change: &ConfigurationChange) -> (ConfigurationKind, &str) {
    match change {
        ConfigurationChange::Put { record, .. } | ConfigurationChange::Replace { record, .. } => (record.kind, &record.id),
        ConfigurationChange::Remove { kind, id } => (*kind, id),
    }
}

fn new_value(change: &ConfigurationChange) -> Option<&str> {
    match change {
        ConfigurationChange::Put { record, .. } | ConfigurationChange::Replace { record, .. } => Some(&record.value),
        ConfigurationChange::Remove { .. } => None,
    }
}
