//! Offers that are created, changed and deleted.

use std::sync::Arc;

use super::audit::{Actor, AuditAction, Deed, changed_pointers};
use super::configure::record;
use super::{ConfigureError, Queue};
use crate::event::{AccountId, OfferId};
use crate::inbound::{Landing, Offer, OfferSpec, OfferState, check_offer};
use crate::store::{ConfigurationChange, ConfigurationKind};
use crate::subscription::FieldError;

/// Most offers that are kept, since all are held in memory.
const OFFERS_MAX: usize = 5_000;

/// An offer with its landing address, ready to be filled.
#[derive(Debug, Clone)]
pub struct RegisteredOffer {
    /// The offer.
    pub offer: Arc<Offer>,
    /// Where its visitors are sent.
    pub landing: Landing,
}

impl RegisteredOffer {
    /// The offer with every part checked.
    ///
    /// # Errors
    /// Every [`FieldError`] of its spec.
    pub(super) fn checked(offer: Offer) -> Result<Self, Vec<FieldError>> {
        let landing = check_offer(&offer.spec)?;
        Ok(Self { offer: Arc::new(offer), landing })
    }
}

/// Why an offer was not created, changed or deleted. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureOfferError {
    /// No account of this id exists.
    #[error("account `{0}` does not exist; create it with `POST /v1/accounts`")]
    UnknownAccount(AccountId),
    /// There is no such offer.
    #[error("there is no offer `{0}`")]
    NotFound(OfferId),
    /// The id is taken.
    #[error("offer `{0}` exists already; use it, or choose another id")]
    Exists(OfferId),
    /// Fields are wrong.
    #[error("the offer has {} invalid fields", .0.len())]
    Invalid(Vec<FieldError>),
    /// It belongs to another account.
    #[error("an offer stays with its account; create another one for account `{0}`")]
    AccountChanged(AccountId),
    /// The version is not the one the caller has read.
    #[error("the offer is at version {version}; read it again and repeat the change on that")]
    VersionMismatch {
        /// The present version.
        version: u32,
    },
    /// There are too many.
    #[error("there are {OFFERS_MAX} offers, the most that are kept; delete those that are not used")]
    TooMany,
    /// It was not stored.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

impl Queue {
    /// Creates an offer.
    ///
    /// # Errors
    /// [`ConfigureOfferError`], and nothing is stored.
    pub async fn create_offer(
        &self,
        by: &Actor,
        id: OfferId,
        account: AccountId,
        spec: OfferSpec,
    ) -> Result<Arc<Offer>, ConfigureOfferError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        if registry.account(&account).is_none() {
            return Err(ConfigureOfferError::UnknownAccount(account));
        }
        if registry.offer(&id).is_some() {
            return Err(ConfigureOfferError::Exists(id));
        }
        if registry.offers().count() >= OFFERS_MAX {
            return Err(ConfigureOfferError::TooMany);
        }
        let now = self.clock.now();
        let offer = Offer { id, account, spec, version: 1, created_at: now, updated_at: now };
        let created = RegisteredOffer::checked(offer).map_err(ConfigureOfferError::Invalid)?;
        let deed = Deed::new(AuditAction::OfferCreated, Some(&created.offer.account), &created.offer.id);
        self.write_configuration(vec![put(&created.offer, true), self.audit(by, deed)]).await?;
        let offer = created.offer.clone();
        drop(registry);
        self.publish(|registry| registry.put_offer(created));
        Ok(offer)
    }

    /// Changes an offer to what `edit` makes of its present spec.
    ///
    /// `expected_version` refuses the change if somebody else was faster.
    ///
    /// # Errors
    /// [`ConfigureOfferError`], and nothing is stored; what `edit` returns is passed on.
    pub async fn change_offer<E: From<ConfigureOfferError>>(
        &self,
        by: &Actor,
        id: &OfferId,
        expected_version: Option<u32>,
        edit: impl FnOnce(&Offer) -> Result<OfferSpec, E> + Send,
    ) -> Result<Arc<Offer>, E> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let present = &registry.offer(id).ok_or_else(|| ConfigureOfferError::NotFound(id.clone()))?.offer;
        check_version(present, expected_version)?;
        let spec = edit(present)?;
        Ok(self.put_changed_offer(by, present, spec).await?)
    }

    async fn put_changed_offer(&self, by: &Actor, present: &Offer, spec: OfferSpec) -> Result<Arc<Offer>, ConfigureOfferError> {
        let offer = Offer { spec, version: present.version + 1, updated_at: self.clock.now(), ..present.clone() };
        let changed = RegisteredOffer::checked(offer).map_err(ConfigureOfferError::Invalid)?;
        let deed = changed_deed(present, &changed.offer);
        self.write_configuration(vec![put(&changed.offer, false), self.audit(by, deed)]).await?;
        let offer = changed.offer.clone();
        self.publish(|registry| registry.put_offer(changed));
        Ok(offer)
    }

    /// Deletes an offer with the inbound keys that are for it alone. Its clicks and actions stay for as long as they are kept.
    ///
    /// # Errors
    /// [`ConfigureOfferError`], and nothing is changed.
    pub async fn delete_offer(&self, by: &Actor, id: &OfferId, expected_version: Option<u32>) -> Result<(), ConfigureOfferError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let present = &registry.offer(id).ok_or_else(|| ConfigureOfferError::NotFound(id.clone()))?.offer;
        check_version(present, expected_version)?;
        let keys: Vec<_> = registry.inbound_keys().iter().filter(|key| key.offer.as_ref() == Some(id)).map(|key| key.id).collect();
        let mut changes = vec![
            ConfigurationChange::Remove { kind: ConfigurationKind::Offer, id: id.to_string() },
            self.audit(by, Deed::new(AuditAction::OfferDeleted, Some(&present.account), id)),
        ];
        for key in &keys {
            changes.extend(super::inbound_key::removals(*key));
            changes.push(self.audit(by, Deed::new(AuditAction::InboundKeyDeleted, Some(&present.account), key)));
        }
        self.write_configuration(changes).await?;
        self.publish(|registry| {
            registry.remove_offer(id);
            keys.iter().for_each(|key| registry.inbound.remove(*key));
        });
        Ok(())
    }
}

fn check_version(offer: &Offer, expected: Option<u32>) -> Result<(), ConfigureOfferError> {
    match expected {
        Some(version) if version != offer.version => Err(ConfigureOfferError::VersionMismatch { version: offer.version }),
        _ => Ok(()),
    }
}

fn put(offer: &Offer, if_absent: bool) -> ConfigurationChange {
    ConfigurationChange::Put { record: record(ConfigurationKind::Offer, offer.id.to_string(), offer), if_absent }
}

/// What the audit log says of a change.
fn changed_deed<'a>(before: &Offer, after: &'a Offer) -> Deed<'a> {
    let as_json = |offer: &Offer| serde_json::to_value(&offer.spec).expect("an offer has only text keys, so it can be written as JSON");
    let changes = changed_pointers(&as_json(before), &as_json(after));
    let action = match (changes.as_slice(), after.spec.state) {
        ([only], OfferState::Paused) if only == "/state" => AuditAction::OfferPaused,
        ([only], OfferState::Active) if only == "/state" => AuditAction::OfferResumed,
        _ => AuditAction::OfferChanged,
    };
    Deed::new(action, Some(&after.account), &after.id).changing(changes)
}
