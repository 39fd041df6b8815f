//! Creating, rotating and deleting API keys, and remembering when they were used.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use super::audit::{Actor, AuditAction, Deed};
use super::configure::record;
use super::key::{Key, KeyHash, KeyRef, KeyScope, LastUse, StoredKey, draw_key_text, prefix_of};
use super::{Queue, Registry};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::KeyId;
use crate::rng::Rng;
use crate::secret::Secret;
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, RecordQuery, StoreError};

/// Most keys that are kept.
const KEYS_MAX: usize = 10_000;
/// The record that holds when keys were used last.
const LAST_USES: &str = "key_last_uses";

/// A key to be created.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scope: KeyScope,
    /// Whose; none: every account's.
    pub account: Option<AccountId>,
    /// From when on it is not taken any more; none: never.
    pub expires_at: Option<Timestamp>,
}

/// A key that was just made, with its text, which is not kept.
#[derive(Debug)]
pub struct IssuedKey {
    /// The key.
    pub key: Key,
    /// Its text.
    pub text: Secret,
}

/// Why a key was not created, rotated or deleted. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureKeyError {
    /// No account of this id exists.
    #[error("account `{0}` does not exist; create it with `POST /v1/accounts`")]
    UnknownAccount(AccountId),
    /// There is no such key.
    #[error("there is no key {0}")]
    NotFound(KeyId),
    /// It has expired.
    #[error("key {0} has expired, so there is nothing to hand over; create another one")]
    Expired(KeyId),
    /// There are too many keys.
    #[error("there are {KEYS_MAX} keys, the most that are kept; delete those that have expired or are not used")]
    TooMany,
    /// It was not stored.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

impl Queue {
    /// Creates a key and draws its text.
    ///
    /// # Errors
    /// [`ConfigureKeyError`], and nothing is stored.
    pub async fn create_key(&self, by: &Actor, new: KeySpec, rng: &dyn Rng) -> Result<IssuedKey, ConfigureKeyError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        if let Some(account) = new.account.as_ref().filter(|account| registry.account(account).is_none()) {
            return Err(ConfigureKeyError::UnknownAccount(account.clone()));
        }
        let lifetime_ms = new.expires_at.map(|expires_at| expires_at.unix_ms() - self.clock.now().unix_ms());
        let (id, issued) = self.issue(&registry, new, lifetime_ms, rng)?;
        self.write_configuration(vec![put_key(id, &issued.key), self.audit(by, created(&issued.key))]).await?;
        drop(registry);
        self.publish(|registry| registry.put_key(id, issued.key.clone()));
        Ok(issued)
    }

    /// Creates a key that takes the place of another, which is taken for `overlap` more, or up to its own end.
    /// The new one is valid for as long as the old one was meant to be.
    ///
    /// # Errors
    /// [`ConfigureKeyError`], and nothing is stored.
    pub async fn rotate_key(&self, by: &Actor, id: KeyId, overlap: Duration, rng: &dyn Rng) -> Result<IssuedKey, ConfigureKeyError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let now = self.clock.now();
        let present = registry.key(id).ok_or(ConfigureKeyError::NotFound(id))?;
        if present.has_expired(now) {
            return Err(ConfigureKeyError::Expired(id));
        }
        let Key { name, scope, account, lifetime_ms, .. } = Key::clone(present);
        let expires_at = lifetime_ms.map(|ms| now.after(Duration::from_millis(ms.unsigned_abs())));
        let (new_id, issued) = self.issue(&registry, KeySpec { name, scope, account, expires_at }, lifetime_ms, rng)?;
        let end = present.expires_at.into_iter().chain([now.after(overlap)]).min();
        let old = Key { expires_at: end, ..Key::clone(present) };
        let rotated = Deed::new(AuditAction::KeyRotated, old.account.as_ref(), &id).changing(vec!["/expires_at".into()]);
        let changes = vec![put_key(id, &old), put_key(new_id, &issued.key), self.audit(by, rotated), self.audit(by, created(&issued.key))];
        self.write_configuration(changes).await?;
        self.publish(|registry| {
            registry.put_key(id, old);
            registry.put_key(new_id, issued.key.clone());
        });
        Ok(issued)
    }

    /// Deletes a key; it is not taken any more when this returns.
    ///
    /// # Errors
    /// [`ConfigureKeyError`], and nothing is changed.
    pub async fn delete_key(&self, by: &Actor, id: KeyId) -> Result<(), ConfigureKeyError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let present = registry.key(id).ok_or(ConfigureKeyError::NotFound(id))?;
        let deleted = Deed::new(AuditAction::KeyDeleted, present.account.as_ref(), &id);
        let remove = ConfigurationChange::Remove { kind: ConfigurationKind::Key, id: id.to_string() };
        self.write_configuration(vec![remove, self.audit(by, deleted)]).await?;
        self.publish(|registry| registry.remove_key(id));
        Ok(())
    }

    fn issue(
        &self,
        registry: &Registry,
        new: KeySpec,
        lifetime_ms: Option<i64>,
        rng: &dyn Rng,
    ) -> Result<(KeyId, IssuedKey), ConfigureKeyError> {
        if registry.keys().count() >= KEYS_MAX {
            return Err(ConfigureKeyError::TooMany);
        }
        let created_at = self.clock.now();
        let id = KeyId::from_raw(self.next_id(created_at));
        let text = draw_key_text(rng);
        let KeySpec { name, scope, account, expires_at } = new;
        let (prefix, hash) = (prefix_of(text.expose()), KeyHash::of(text.expose()));
        let (reference, last_use) = (KeyRef::Created(id), LastUse::default());
        let key = Key { id: reference, name, scope, account, created_at, expires_at, lifetime_ms, prefix, hash, last_use };
        Ok((id, IssuedKey { key, text }))
    }

    /// Writes when keys were used last, if any was used since the last call.
    ///
    /// # Errors
    /// [`ConfigureError`] if the store is full or fails; the next call writes it again.
    pub async fn save_last_uses(&self) -> Result<(), ConfigureError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let created = registry.keys().map(|(_, key)| (key.id, &key.last_use));
        let all = created.chain([(KeyRef::Operator, &self.operator_last_use)]);
        let inbound = registry.inbound_keys().iter().map(|key| (key.id.to_string(), &key.last_use));
        let all = all.map(|(id, last_use)| (id.to_string(), last_use)).chain(inbound);
        let uses: LastUses = all.filter_map(|(id, last_use)| Some((id, last_use.get()?))).collect();
        if *self.saved_last_uses.lock().unwrap_or_else(PoisonError::into_inner) == uses {
            return Ok(());
        }
        let record = record(ConfigurationKind::Setting, LAST_USES.into(), &uses);
        self.write_configuration(vec![ConfigurationChange::Put { record, if_absent: false }]).await?;
        *self.saved_last_uses.lock().unwrap_or_else(PoisonError::into_inner) = uses;
        Ok(())
    }
}

impl Queue {
    /// Takes note of when keys were used on other servers.
    pub(super) async fn refresh_last_uses(&self) -> Result<(), StoreError> {
        let (kind, from) = (ConfigurationKind::Setting, LAST_USES.to_owned());
        let query = RecordQuery { kind, before: Some(format!("{from}0")), from, limit: 1 };
        self.note_last_uses(&read_last_uses(&self.store.records(&query).await?));
        Ok(())
    }

    pub(super) fn note_last_uses(&self, saved: &LastUses) {
        let registry = self.registry();
        let created = registry.keys().map(|(_, key)| (key.id, &key.last_use));
        for (id, last_use) in created.chain([(KeyRef::Operator, &self.operator_last_use)]) {
            saved.get(&id.to_string()).iter().for_each(|at| last_use.note(**at));
        }
        for key in registry.inbound_keys().iter() {
            saved.get(&key.id.to_string()).iter().for_each(|at| key.last_use.note(**at));
        }
    }
}

/// When keys were used last, by their ids.
pub(super) type LastUses = HashMap<String, Timestamp>;

/// When keys were used last, as an earlier process saved it.
pub(super) fn read_last_uses(records: &[ConfigurationRecord]) -> LastUses {
    let saved = records.iter().find(|record| record.kind == ConfigurationKind::Setting && record.id == LAST_USES);
    saved.and_then(|record| serde_json::from_str(&record.value).ok()).unwrap_or_default()
}

fn created(key: &Key) -> Deed<'_> {
    Deed::new(AuditAction::KeyCreated, key.account.as_ref(), &key.id)
}

fn put_key(id: KeyId, key: &Key) -> ConfigurationChange {
    let record = record(ConfigurationKind::Key, id.to_string(), &StoredKey::of(key));
    ConfigurationChange::Put { record, if_absent: false }
}
