//! The keys under which advertisers report, in memory and as they are stored.
//!
//! A key is a random UUID and stands in the path of the address to which an advertiser's server sends. Unlike an API key it is
//! shown again to who may change it, since people copy the address from here; so it is kept sealed, and found by its hash. It
//! only lets reports in, of one account's offers, and reads nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::{KeyHash, LastUse};
use super::sealing::{SealedSecrets, seal_one};
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::id::InboundKeyId;
use crate::secret::{Secret, Vault};
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord};

/// The field under which a key's text, and that of a namespace, is sealed.
const FIELD: &str = "key";

/// A key under which an advertiser reports.
#[derive(Debug, Clone)]
pub struct InboundKey {
    /// Its id.
    pub id: InboundKeyId,
    /// The advertiser.
    pub account: AccountId,
    /// The only offer that it is for; none: all of the account.
    pub offer: Option<OfferId>,
    /// What people call it.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// From when on it is not taken any more; none: never.
    pub expires_at: Option<Timestamp>,
    /// Most reports in a second; none: what the settings say.
    pub per_second: Option<u32>,
    /// The only networks that it is taken from; empty: all.
    pub addresses: Vec<IpNet>,
    /// What its text begins with.
    pub prefix: String,
    /// The hash of its text.
    pub hash: KeyHash,
    /// Its text; none if it was lost with the master key. It is still taken then.
    pub text: Option<Secret>,
    /// When it was used last.
    pub last_use: LastUse,
}

impl InboundKey {
    /// Whether it is not taken any more.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A key as it is stored, without its text.
#[derive(Debug, Serialize, Deserialize)]
struct StoredInboundKey {
    account: AccountId,
    offer: Option<OfferId>,
    name: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    per_second: Option<u32>,
    #[serde(default)]
    addresses: Vec<IpNet>,
    prefix: String,
    hash: KeyHash,
}

/// All keys, by id and by hash, and what the lead ids of each account are made of.
#[derive(Debug, Clone, Default)]
pub struct InboundKeys {
    by_id: BTreeMap<InboundKeyId, Arc<InboundKey>>,
    by_hash: HashMap<KeyHash, InboundKeyId>,
    /// The text of each account's first key, which stays when that key goes.
    namespaces: HashMap<AccountId, Secret>,
}

impl InboundKeys {
    /// Takes over from `present` when keys were used last.
    pub(super) fn keep_last_uses(&self, present: &Self) {
        for (id, key) in &self.by_id {
            if let Some(at) = present.by_id.get(id).and_then(|present| present.last_use.get()) {
                key.last_use.note(at);
            }
        }
    }

    /// Reads what is stored. What cannot be read is reported and left out.
    pub(super) fn read(records: &[ConfigurationRecord], secrets: &HashMap<&str, SealedSecrets>, vault: &Vault) -> Self {
        let mut keys = Self::default();
        let opened = |id: &str| match secrets.get(id)?.open_field(vault, id, FIELD)? {
            Ok(secret) => Some(secret),
            Err(error) => {
                tracing::error!(record = id, %error, "the sealed text of an inbound key does not open; make another key");
                None
            }
        };
        for record in records.iter().filter(|record| record.kind == ConfigurationKind::InboundKey) {
            match (record.id.parse(), serde_json::from_str::<StoredInboundKey>(&record.value)) {
                (Ok(id), Ok(stored)) => {
                    let StoredInboundKey { account, offer, name, created_at, expires_at, per_second, addresses, prefix, hash } = stored;
                    let (text, last_use) = (opened(&record.id), LastUse::default());
                    keys.put(InboundKey {
                        id,
                        account,
                        offer,
                        name,
                        created_at,
                        expires_at,
                        per_second,
                        addresses,
                        prefix,
                        hash,
                        text,
                        last_use,
                    });
                }
                _ => tracing::error!(inbound_key = record.id, "a stored inbound key cannot be read; it is left out"),
            }
        }
        for id in secrets.keys() {
            if let Some(account) = id.strip_prefix(NAMESPACE_PREFIX).and_then(|account| account.parse::<AccountId>().ok())
                && let Some(secret) = opened(id)
            {
                keys.namespaces.insert(account, secret);
            }
        }
        keys
    }

    pub(super) fn put(&mut self, key: InboundKey) {
        self.by_hash.insert(key.hash, key.id);
        self.by_id.insert(key.id, Arc::new(key));
    }

    pub(super) fn put_namespace(&mut self, account: AccountId, text: Secret) {
        self.namespaces.insert(account, text);
    }

    pub(super) fn remove(&mut self, id: InboundKeyId) {
        if let Some(key) = self.by_id.remove(&id) {
            self.by_hash.remove(&key.hash);
        }
    }

    pub(super) fn remove_account(&mut self, account: &AccountId) {
        let gone: Vec<_> = self.iter().filter(|key| key.account == *account).map(|key| key.id).collect();
        gone.into_iter().for_each(|id| self.remove(id));
        self.namespaces.remove(account);
    }

    /// What removes the keys of an account from the store.
    pub(super) fn removals_of_account(&self, account: &AccountId) -> Vec<ConfigurationChange> {
        let keys = self.iter().filter(|key| key.account == *account).flat_map(|key| removals(key.id));
        keys.chain([ConfigurationChange::Remove { kind: ConfigurationKind::Secret, id: namespace_id(account) }]).collect()
    }

    /// A key, expired or not.
    #[must_use]
    pub fn get(&self, id: InboundKeyId) -> Option<&Arc<InboundKey>> {
        self.by_id.get(&id)
    }

    /// The key with this text, expired or not.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&Arc<InboundKey>> {
        let hash = KeyHash::of(text);
        self.by_hash.get(&hash).and_then(|id| self.by_id.get(id)).filter(|key| key.hash.is(&hash))
    }

    /// All keys, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<InboundKey>> {
        self.by_id.values()
    }

    /// What the lead ids of an account are made of; none if it never had a key.
    #[must_use]
    pub fn namespace(&self, account: &AccountId) -> Option<Uuid> {
        self.namespaces.get(account).and_then(|text| text.expose().parse().ok())
    }
}

/// What the record of an account's namespace begins with.
const NAMESPACE_PREFIX: &str = "leads/";

fn namespace_id(account: &AccountId) -> String {
    format!("{NAMESPACE_PREFIX}{account}")
}

/// What stores a key, with its text if it is a new one.
pub(super) fn put_changes(vault: &Vault, key: &InboundKey, is_new: bool) -> Vec<ConfigurationChange> {
    let InboundKey { id, account, offer, name, created_at, expires_at, per_second, addresses, prefix, hash, text, last_use: _ } =
        key.clone();
    let stored = StoredInboundKey { account, offer, name, created_at, expires_at, per_second, addresses, prefix, hash };
    let record = super::configure::record(ConfigurationKind::InboundKey, id.to_string(), &stored);
    let mut changes = vec![ConfigurationChange::Put { record, if_absent: is_new }];
    if let Some(text) = text.filter(|_| is_new) {
        changes.push(ConfigurationChange::Put { record: seal_one(vault, &id.to_string(), FIELD, &text), if_absent: true });
    }
    changes
}

/// What stores the namespace of an account that has none.
pub(super) fn put_namespace(vault: &Vault, account: &AccountId, text: &Secret) -> ConfigurationChange {
    ConfigurationChange::Put { record: seal_one(vault, &namespace_id(account), FIELD, text), if_absent: false }
}

/// What removes a key.
pub(super) fn removals(id: InboundKeyId) -> [ConfigurationChange; 2] {
    [ConfigurationKind::InboundKey, ConfigurationKind::Secret].map(|kind| ConfigurationChange::Remove { kind, id: id.to_string() })
}
