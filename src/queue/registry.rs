//! The configuration in memory: accounts, subscriptions, event types, template versions.
//!
//! A registry never changes; a change makes another one. Readers keep the one they took.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account::{Account, AccountKind, AccountKinds};
use super::inbound_key::InboundKeys;
use super::key::{Key, KeyHash, StoredKey};
use super::offers::RegisteredOffer;
use super::sealing::SealedSecrets;
use crate::clock::Timestamp;
use crate::event::catalogue::{self, DefinedType};
use crate::event::{AccountId, EventType, OfferId};
use crate::id::{KeyId, SubscriptionId};
use crate::inbound::Offer;
use crate::metrics::AccountClass;
use crate::secret::Vault;
use crate::store::{ConfigurationKind, ConfigurationRecord};
use crate::subscription::{FieldNames, RequestSpec, Subscription, SubscriptionSpec, check};

/// A subscription as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredSubscription {
    pub version: u32,
    pub template_version: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub spec: SubscriptionSpec,
}

/// The sealed secrets, by the text of their subscription's id.
fn read_secrets(records: &[ConfigurationRecord]) -> HashMap<&str, SealedSecrets> {
    let read = |record: &'_ ConfigurationRecord| match serde_json::from_str(&record.value) {
        Ok(sealed) => Some(sealed),
        Err(error) => {
            tracing::error!(subscription.id = record.id, %error, "stored secrets cannot be read; send them again with PATCH");
            None
        }
    };
    let secrets = records.iter().filter(|record| record.kind == ConfigurationKind::Secret);
    secrets.filter_map(|record| Some((record.id.as_str(), read(record)?))).collect()
}

/// The configuration at one moment.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    accounts: HashMap<AccountId, Arc<Account>>,
    /// Accounts whose data are being removed.
    deleting: HashMap<AccountId, Arc<Account>>,
    /// Which families the accounts of a kind may have; from the settings.
    pub(super) kinds: Arc<AccountKinds>,
    subscriptions: HashMap<SubscriptionId, Subscription>,
    by_account: HashMap<AccountId, Vec<SubscriptionId>>,
    templates: HashMap<(SubscriptionId, u32), Arc<RequestSpec>>,
    keys: BTreeMap<KeyId, Arc<Key>>,
    keys_by_hash: HashMap<KeyHash, KeyId>,
    offers: BTreeMap<OfferId, Arc<RegisteredOffer>>,
    pub(super) inbound: InboundKeys,
    /// Operator-defined event types by name, and the same in a list that names are looked up in.
    event_types: BTreeMap<EventType, Arc<DefinedType>>,
    defined: Arc<Vec<Arc<DefinedType>>>,
}

impl Registry {
    /// Reads stored configuration. A record that cannot be read is reported and left out, so that one
    /// bad record does not stop the rest.
    pub(super) fn read(records: &[ConfigurationRecord], vault: &Vault) -> Self {
        let mut registry = Self::default();
        // Event types and accounts first: the fields they declare are names in templates.
        for record in records.iter().filter(|record| record.kind == ConfigurationKind::EventType) {
            match serde_json::from_str::<DefinedType>(&record.value) {
                Ok(defined) => registry.put_event_type(defined),
                Err(error) => tracing::error!(event_type = record.id, %error, "a stored event type cannot be read; it is left out"),
            }
        }
        for record in records.iter().filter(|record| record.kind == ConfigurationKind::Account) {
            match serde_json::from_str::<Account>(&record.value) {
                Ok(account) => registry.put_account(account),
                Err(error) => tracing::error!(account = record.id, %error, "a stored account cannot be read; it is left out"),
            }
        }
        let secrets = read_secrets(records);
        for record in records {
            match record.kind {
                ConfigurationKind::Subscription => registry.read_subscription(record, &secrets, vault),
                ConfigurationKind::TemplateVersion => registry.read_template(record),
                ConfigurationKind::Key => registry.read_key(record),
                ConfigurationKind::Offer => registry.read_offer(record),
                _ => {}
            }
        }
        registry.inbound = InboundKeys::read(records, &secrets, vault);
        registry
    }

    /// Takes over what another one has read from the store; settings and what was noted in memory stay.
    pub(super) fn replace_with(&mut self, read: Self) {
        for (id, key) in &read.keys {
            if let Some(at) = self.keys.get(id).and_then(|present| present.last_use.get()) {
                key.last_use.note(at);
            }
        }
        read.inbound.keep_last_uses(&self.inbound);
        *self = Self { kinds: self.kinds.clone(), ..read };
    }

    fn read_offer(&mut self, record: &ConfigurationRecord) {
        let read = || {
            let offer: Offer = serde_json::from_str(&record.value).map_err(|error| error.to_string())?;
            RegisteredOffer::checked(offer)
                .map_err(|errors| errors.first().map_or_else(String::new, |error| format!("{}: {}", error.pointer, error.detail)))
        };
        match read() {
            Ok(offer) => self.put_offer(offer),
            Err(error) => tracing::error!(offer = record.id, error, "a stored offer cannot be read; it is left out"),
        }
    }

    pub(super) fn put_offer(&mut self, offer: RegisteredOffer) {
        self.offers.insert(offer.offer.id.clone(), Arc::new(offer));
    }

    pub(super) fn remove_offer(&mut self, id: &OfferId) {
        self.offers.remove(id);
    }

    /// An offer.
    #[must_use]
    pub fn offer(&self, id: &OfferId) -> Option<&Arc<RegisteredOffer>> {
        self.offers.get(id)
    }

    /// All offers, by id.
    pub fn offers(&self) -> impl Iterator<Item = &Arc<RegisteredOffer>> {
        self.offers.values()
    }

    /// The keys under which advertisers report.
    #[must_use]
    pub const fn inbound_keys(&self) -> &InboundKeys {
        &self.inbound
    }

    fn read_subscription(&mut self, record: &ConfigurationRecord, secrets: &HashMap<&str, SealedSecrets>, vault: &Vault) {
        let parsed = record.id.parse().map_err(|error| format!("{error}")).and_then(|id| self.parse_subscription(id, &record.value));
        match parsed {
            Ok(mut subscription) => {
                let sealed = secrets.get(record.id.as_str());
                let opened = sealed.map(|sealed| sealed.open(vault, &record.id, &subscription.spec)).unwrap_or_default();
                subscription.secrets = Arc::new(opened);
                self.put_subscription(subscription);
            }
            Err(error) => tracing::error!(subscription = record.id, error, "a stored subscription cannot be read; it is left out"),
        }
    }

    fn read_template(&mut self, record: &ConfigurationRecord) {
        let key = record.id.split_once('/').and_then(|(id, version)| Some((id.parse().ok()?, version.parse().ok()?)));
        match (key, serde_json::from_str(&record.value)) {
            (Some((id, version)), Ok(request)) => self.put_template(id, version, Arc::new(request)),
            _ => tracing::error!(template = record.id, "a stored template cannot be read; it is left out"),
        }
    }

    fn read_key(&mut self, record: &ConfigurationRecord) {
        match (record.id.parse(), serde_json::from_str::<StoredKey>(&record.value)) {
            (Ok(id), Ok(stored)) => self.put_key(id, stored.key(id)),
            _ => tracing::error!(key = record.id, "a stored API key cannot be read; it is left out"),
        }
    }

    /// A subscription from its stored form, without its secrets.
    pub(super) fn parse_subscription(&self, id: SubscriptionId, value: &str) -> Result<Subscription, String> {
        let stored: StoredSubscription = serde_json::from_str(value).map_err(|error| error.to_string())?;
        let names = self.field_names(&stored.spec.account);
        let (rules, _) = check(&stored.spec, &names, &|event_type| self.knows_event_type(event_type))
            .map_err(|errors| errors.first().map_or_else(String::new, |error| format!("{}: {}", error.pointer, error.detail)))?;
        Ok(Subscription {
            id,
            version: stored.version,
            template_version: stored.template_version,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            spec: Arc::new(stored.spec),
            rules: Arc::new(rules),
            secrets: Arc::default(),
        })
    }

    pub(super) fn put_event_type(&mut self, defined: DefinedType) {
        self.event_types.insert(defined.name.clone(), Arc::new(defined));
        self.list_event_types();
    }

    pub(super) fn remove_event_type(&mut self, name: &EventType) {
        self.event_types.remove(name);
        self.list_event_types();
    }

    fn list_event_types(&mut self) {
        self.defined = Arc::new(self.event_types.values().cloned().collect());
    }

    pub(super) fn put_account(&mut self, account: Account) {
        let id = account.id.clone();
        if account.deleting_since.is_some() {
            self.accounts.remove(&id);
            self.deleting.insert(id, Arc::new(account));
        } else {
            self.accounts.insert(id, Arc::new(account));
        }
    }

    pub(super) fn remove_account(&mut self, id: &AccountId) {
        self.accounts.remove(id);
        self.deleting.remove(id);
    }

    /// An account whose data are being removed.
    #[must_use]
    pub fn deleting_account(&self, id: &AccountId) -> Option<&Arc<Account>> {
        self.deleting.get(id)
    }

    /// All accounts whose data are being removed, in no order.
    pub fn deleting_accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.deleting.values()
    }

    pub(super) fn put_subscription(&mut self, subscription: Subscription) {
        if !self.subscriptions.contains_key(&subscription.id) {
            self.by_account.entry(subscription.spec.account.clone()).or_default().push(subscription.id);
        }
        self.put_template(subscription.id, subscription.template_version, Arc::new(subscription.spec.request.clone()));
        self.subscriptions.insert(subscription.id, subscription);
    }

    pub(super) fn put_template(&mut self, id: SubscriptionId, version: u32, request: Arc<RequestSpec>) {
        self.templates.insert((id, version), request);
    }

    pub(super) fn remove_template(&mut self, id: SubscriptionId, version: u32) {
        self.templates.remove(&(id, version));
    }

    pub(super) fn remove_subscription(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.remove(&id)
            && let Some(ids) = self.by_account.get_mut(&subscription.spec.account)
        {
            ids.retain(|other| *other != id);
        }
        self.templates.retain(|(owner, _), _| *owner != id);
    }

    /// An account.
    #[must_use]
    pub fn account(&self, id: &AccountId) -> Option<&Arc<Account>> {
        self.accounts.get(id)
    }

    /// The class under which an account is counted.
    #[must_use]
    pub fn class_of(&self, account: &AccountId) -> AccountClass {
        AccountClass::of(self.account(account).and_then(|account| account.kind).map(AccountKind::as_str))
    }

    /// All accounts, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// A subscription.
    #[must_use]
    pub fn subscription(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.subscriptions.get(&id)
    }

    /// All subscriptions, in no order.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.values()
    }

    /// The subscriptions of an account, in order of creation.
    pub fn subscriptions_of(&self, account: &AccountId) -> impl Iterator<Item = &Subscription> {
        self.by_account.get(account).into_iter().flatten().filter_map(|id| self.subscriptions.get(id))
    }

    /// The request template of one version of a subscription.
    #[must_use]
    pub fn template(&self, id: SubscriptionId, version: u32) -> Option<&Arc<RequestSpec>> {
        self.templates.get(&(id, version))
    }

    /// The versions of a subscription's template that are kept.
    #[must_use]
    pub fn template_versions(&self, id: SubscriptionId) -> Vec<u32> {
        self.templates.keys().filter(|(owner, _)| *owner == id).map(|(_, version)| *version).collect()
    }

    pub(super) fn put_key(&mut self, id: KeyId, key: Key) {
        self.keys_by_hash.insert(key.hash, id);
        self.keys.insert(id, Arc::new(key));
    }

    pub(super) fn remove_key(&mut self, id: KeyId) {
        if let Some(key) = self.keys.remove(&id) {
            self.keys_by_hash.remove(&key.hash);
        }
    }

    /// A key that was created, expired or not.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&Arc<Key>> {
        self.keys.get(&id)
    }

    /// The key whose text has this hash, expired or not.
    #[must_use]
    pub fn key_by_hash(&self, hash: &KeyHash) -> Option<&Arc<Key>> {
        self.keys_by_hash.get(hash).and_then(|id| self.keys.get(id)).filter(|key| key.hash.is(hash))
    }

    /// All keys that were created, newest first.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, &Arc<Key>)> {
        self.keys.iter().rev().map(|(id, key)| (*id, key))
    }

    /// Whether events of this type may be reported.
    #[must_use]
    pub fn knows_event_type(&self, event_type: &EventType) -> bool {
        catalogue::find(event_type.as_str()).is_some() || self.event_types.contains_key(event_type)
    }

    /// The operator-defined event type of this name.
    #[must_use]
    pub fn event_type(&self, name: &EventType) -> Option<&Arc<DefinedType>> {
        self.event_types.get(name)
    }

    /// All operator-defined event types, by name.
    pub fn event_types(&self) -> impl Iterator<Item = &Arc<DefinedType>> {
        self.defined.iter()
    }

    /// The macro names that templates of every account may use.
    #[must_use]
    pub fn declared_names(&self) -> FieldNames {
        FieldNames::default().with_types(self.defined.clone())
    }

    /// The macro names that templates of an account may use.
    #[must_use]
    pub fn field_names(&self, account: &AccountId) -> FieldNames {
        let extra = self.account(account).map(|account| account.fields.clone()).unwrap_or_default();
        FieldNames::with_extra(extra).with_types(self.defined.clone())
    }
}
