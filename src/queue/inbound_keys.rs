//! Inbound keys that are created, rotated and deleted.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::audit::{Actor, AuditAction, Deed};
use super::inbound_key::{InboundKey, put_changes, put_namespace, removals};
use super::key::{KeyHash, LastUse};
use super::{ConfigureError, Queue, Registry};
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::id::InboundKeyId;
use crate::inbound::random_uuid;
use crate::rng::Rng;
use crate::secret::Secret;

/// Most inbound keys that are kept, and most of one account.
const KEYS_MAX: usize = 10_000;
const KEYS_PER_ACCOUNT_MAX: usize = 100;
/// Characters of a key's text that are shown to who may only read.
const PREFIX_LENGTH: usize = 8;

/// A key to be created.
#[derive(Debug, Clone)]
pub struct InboundKeySpec {
    /// The advertiser.
    pub account: AccountId,
    /// The only offer that it is for; none: all of the account.
    pub offer: Option<OfferId>,
    /// What people call it.
    pub name: String,
    /// From when on it is not taken any more; none: never.
    pub expires_at: Option<Timestamp>,
    /// Most reports in a second; none: what the settings say.
    pub per_second: Option<u32>,
    /// The only networks that it is taken from; empty: all.
    pub addresses: Vec<IpNet>,
}

/// Why an inbound key was not created, rotated or deleted. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureInboundKeyError {
    /// No account of this id exists.
    #[error("account `{0}` does not exist; create it with `POST /v1/accounts`")]
    UnknownAccount(AccountId),
    /// The account has no such offer.
    #[error("the account has no offer `{0}`; create it with `POST /v1/offers`, or leave `offer` out")]
    UnknownOffer(OfferId),
    /// There is no such key.
    #[error("there is no inbound key {0}")]
    NotFound(InboundKeyId),
    /// It has expired.
    #[error("inbound key {0} has expired, so there is nothing to hand over; create another one")]
    Expired(InboundKeyId),
    /// There are too many keys.
    #[error("{0} inbound keys are there, the most that are kept; delete those that have expired or are not used")]
    TooMany(usize),
    /// It was not stored.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

impl Queue {
    /// Creates an inbound key and draws its text.
    ///
    /// # Errors
    /// [`ConfigureInboundKeyError`], and nothing is stored.
    pub async fn create_inbound_key(
        &self,
        by: &Actor,
        new: InboundKeySpec,
        rng: &dyn Rng,
    ) -> Result<Arc<InboundKey>, ConfigureInboundKeyError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        if registry.account(&new.account).is_none() {
            return Err(ConfigureInboundKeyError::UnknownAccount(new.account));
        }
        let is_offer = |id: &OfferId| registry.offer(id).is_some_and(|known| known.offer.account == new.account);
        if let Some(offer) = new.offer.as_ref().filter(|offer| !is_offer(offer)) {
            return Err(ConfigureInboundKeyError::UnknownOffer(offer.clone()));
        }
        let key = self.drawn(&registry, new, rng)?;
        let mut changes = put_changes(&self.vault, &key, true);
        let first = registry.inbound_keys().namespace(&key.account).is_none().then(|| key.text.clone()).flatten();
        changes.extend(first.iter().map(|text| put_namespace(&self.vault, &key.account, text)));
        changes.push(self.audit(by, Deed::new(AuditAction::InboundKeyCreated, Some(&key.account), &key.id)));
        self.write_configuration(changes).await?;
        drop(registry);
        self.publish(|registry| {
            if let Some(text) = first {
                registry.inbound.put_namespace(key.account.clone(), text);
            }
            registry.inbound.put(key.clone());
        });
        Ok(Arc::new(key))
    }

    /// Creates a key that takes the place of another, which is taken for `overlap` more, or up to its own end.
    ///
    /// # Errors
    /// [`ConfigureInboundKeyError`], and nothing is stored.
    pub async fn rotate_inbound_key(
        &self,
        by: &Actor,
        id: InboundKeyId,
        overlap: Duration,
        rng: &dyn Rng,
    ) -> Result<Arc<InboundKey>, ConfigureInboundKeyError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let now = self.clock.now();
        let present = registry.inbound_keys().get(id).ok_or(ConfigureInboundKeyError::NotFound(id))?;
        if present.has_expired(now) {
            return Err(ConfigureInboundKeyError::Expired(id));
        }
        let InboundKey { account, offer, name, created_at, expires_at, per_second, addresses, .. } = InboundKey::clone(present);
        // The new one is valid for as long as the old one was meant to be.
        let expires_at = expires_at.map(|end| now.after(end.since(created_at)));
        let new = self.drawn(&registry, InboundKeySpec { account, offer, name, expires_at, per_second, addresses }, rng)?;
        let end = present.expires_at.into_iter().chain([now.after(overlap)]).min();
        let old = InboundKey { expires_at: end, ..InboundKey::clone(present) };
        let rotated = Deed::new(AuditAction::InboundKeyRotated, Some(&old.account), &id).changing(vec!["/expires_at".into()]);
        let mut changes = put_changes(&self.vault, &old, false);
        changes.extend(put_changes(&self.vault, &new, true));
        changes.push(self.audit(by, rotated));
        changes.push(self.audit(by, Deed::new(AuditAction::InboundKeyCreated, Some(&new.account), &new.id)));
        self.write_configuration(changes).await?;
        self.publish(|registry| {
            registry.inbound.put(old);
            registry.inbound.put(new.clone());
        });
        Ok(Arc::new(new))
    }

    /// Deletes an inbound key; it is not taken any more when this returns.
    ///
    /// # Errors
    /// [`ConfigureInboundKeyError`], and nothing is changed.
    pub async fn delete_inbound_key(&self, by: &Actor, id: InboundKeyId) -> Result<(), ConfigureInboundKeyError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let present = registry.inbound_keys().get(id).ok_or(ConfigureInboundKeyError::NotFound(id))?;
        let mut changes = removals(id).to_vec();
        changes.push(self.audit(by, Deed::new(AuditAction::InboundKeyDeleted, Some(&present.account), &id)));
        self.write_configuration(changes).await?;
        self.publish(|registry| registry.inbound.remove(id));
        Ok(())
    }

    /// A key with these properties and a text that was just drawn.
    fn drawn(&self, registry: &Registry, new: InboundKeySpec, rng: &dyn Rng) -> Result<InboundKey, ConfigureInboundKeyError> {
        let keys = registry.inbound_keys();
        if keys.iter().count() >= KEYS_MAX {
            return Err(ConfigureInboundKeyError::TooMany(KEYS_MAX));
        }
        if keys.iter().filter(|key| key.account == new.account).count() >= KEYS_PER_ACCOUNT_MAX {
            return Err(ConfigureInboundKeyError::TooMany(KEYS_PER_ACCOUNT_MAX));
        }
        let mut bits = zeroize::Zeroizing::new([0; 16]);
        rng.fill(&mut *bits);
        let text = Secret::new(random_uuid(*bits).to_string());
        let created_at = self.clock.now();
        let InboundKeySpec { account, offer, name, expires_at, per_second, addresses } = new;
        Ok(InboundKey {
            id: InboundKeyId::from_raw(self.next_id(created_at)),
            account,
            offer,
            name,
            created_at,
            expires_at,
            per_second,
            addresses,
            prefix: text.expose().chars().take(PREFIX_LENGTH).collect(),
            hash: KeyHash::of(text.expose()),
            text: Some(text),
            last_use: LastUse::default(),
        })
    }
}
