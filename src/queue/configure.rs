//! Changes of configuration: stored first, then visible to routing and to the dispatcher.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::audit::{Actor, AuditAction, Deed, changed_pointers};
use super::registry::StoredSubscription;
use super::sealing::{removal, secrets_change};
use super::{Account, Queue, Registry};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::SubscriptionId;
use crate::secret::Secret;
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, StoreError};
use crate::subscription::{
    FieldError, Subscription, SubscriptionSecrets, SubscriptionSpec, SubscriptionState, SubscriptionWarning, check, rotate_signing,
    settle_secrets,
};

/// Most deliveries that are ended by one commit.
const END_STEP: usize = 1_000;

/// A subscription as it is after a change, with what is allowed and probably not meant.
#[derive(Debug)]
pub struct Change {
    /// The subscription.
    pub subscription: Subscription,
    /// Findings that do not refuse it.
    pub warnings: Vec<SubscriptionWarning>,
}

/// Why a subscription was not created or changed. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureSubscriptionError {
    /// No account of this id exists.
    #[error("account `{0}` does not exist; create it with `POST /v1/accounts`")]
    UnknownAccount(AccountId),
    /// There is no such subscription.
    #[error("there is no subscription {0}")]
    NotFound(SubscriptionId),
    /// Fields are wrong.
    #[error("the subscription has {} invalid fields", .0.len())]
    Invalid(Vec<FieldError>),
    /// It does not sign, so that there is no key to replace.
    #[error("subscription {0} does not sign its requests; set `signing` first")]
    NotSigned(SubscriptionId),
    /// It belongs to another account.
    #[error("a subscription stays with its account; create another one for account `{0}`")]
    AccountChanged(AccountId),
    /// The order cannot change while deliveries wait.
    #[error("{waiting} deliveries are waiting; let them be delivered or cancel them, then change `order`")]
    OrderHasWaiting {
        /// How many.
        waiting: u64,
    },
    /// The version is not the one the caller has read.
    #[error("the subscription is at version {version}; read it again and repeat the change on that")]
    VersionMismatch {
        /// The present version.
        version: u32,
    },
    /// It was not stored.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

impl From<StoreError> for ConfigureSubscriptionError {
    fn from(error: StoreError) -> Self {
        Self::Configure(error.into())
    }
}

impl Queue {
    /// Creates an account.
    ///
    /// # Errors
    /// [`ConfigureError::Conflict`] if the id is taken.
    pub async fn create_account(&self, by: &Actor, account: Account) -> Result<(), ConfigureError> {
        let _turn = self.turn_to_configure().await;
        let record = record(ConfigurationKind::Account, account.id.to_string(), &account);
        let created = Deed::new(AuditAction::AccountCreated, Some(&account.id), &account.id);
        self.write_configuration(vec![ConfigurationChange::Put { record, if_absent: true }, self.audit(by, created)]).await?;
        self.publish(|registry| registry.put_account(account));
        Ok(())
    }

    /// Creates a subscription.
    ///
    /// # Errors
    /// [`ConfigureSubscriptionError`], and nothing is stored.
    pub async fn create_subscription(&self, by: &Actor, spec: SubscriptionSpec) -> Result<Change, ConfigureSubscriptionError> {
        let _turn = self.turn_to_configure().await;
        let now = self.clock.now();
        self.check_allowed(&spec)?;
        let (spec, secrets) = settled(spec, None, now)?;
        let (subscription, warnings) = self.checked(SubscriptionId::from_raw(self.next_id(now)), 1, 1, (now, now), (spec, secrets))?;
        let created = Deed::new(AuditAction::SubscriptionCreated, Some(&subscription.spec.account), &subscription.id);
        let mut changes = vec![
            ConfigurationChange::Put { record: subscription_record(&subscription), if_absent: true },
            ConfigurationChange::Put { record: template_record(&subscription), if_absent: true },
            self.audit(by, created),
        ];
        changes.extend(secrets_change(&self.vault, &subscription, None));
        self.write_configuration(changes).await?;
        self.publish(|registry| registry.put_subscription(subscription.clone()));
        Ok(Change { subscription, warnings })
    }

    /// Changes a subscription to what `edit` makes of its present spec.
    ///
    /// `expected_version` refuses the change if somebody else was faster.
    ///
    /// # Errors
    /// [`ConfigureSubscriptionError`], and nothing is stored; what `edit` returns is passed on.
    pub async fn change_subscription<E: From<ConfigureSubscriptionError>>(
        &self,
        by: &Actor,
        id: SubscriptionId,
        expected_version: Option<u32>,
        edit: impl FnOnce(&SubscriptionSpec) -> Result<SubscriptionSpec, E> + Send,
    ) -> Result<Change, E> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let present = registry.subscription(id).ok_or(ConfigureSubscriptionError::NotFound(id))?;
        if expected_version.is_some_and(|version| version != present.version) {
            return Err(ConfigureSubscriptionError::VersionMismatch { version: present.version }.into());
        }
        let spec = edit(&present.spec)?;
        if spec.account != present.spec.account {
            return Err(ConfigureSubscriptionError::AccountChanged(spec.account).into());
        }
        let settled = settled(spec, Some(present), self.clock.now())?;
        Ok(self.replace(by, &registry, present, settled).await?)
    }

    /// Replaces the signing key of a subscription by `key`, which is a secret and, for `v1a`, its public key.
    /// The present one signs too for as long as `overlap`; not at all if that is zero.
    ///
    /// # Errors
    /// [`ConfigureSubscriptionError`], and nothing is stored.
    pub async fn rotate_signing(
        &self,
        by: &Actor,
        id: SubscriptionId,
        expected_version: Option<u32>,
        key: impl FnOnce(&SubscriptionSpec) -> Result<(Secret, Option<String>), Vec<FieldError>> + Send,
        overlap: Duration,
    ) -> Result<Change, ConfigureSubscriptionError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let present = registry.subscription(id).ok_or(ConfigureSubscriptionError::NotFound(id))?;
        if expected_version.is_some_and(|version| version != present.version) {
            return Err(ConfigureSubscriptionError::VersionMismatch { version: present.version });
        }
        let (mut spec, mut secrets) = ((*present.spec).clone(), (*present.secrets).clone());
        let Some(signing) = &mut spec.signing else { return Err(ConfigureSubscriptionError::NotSigned(id)) };
        let key = key(&present.spec).map_err(ConfigureSubscriptionError::Invalid)?;
        let now = self.clock.now();
        rotate_signing(signing, &mut secrets, key, now, (!overlap.is_zero()).then(|| now.after(overlap)));
        self.replace(by, &registry, present, (spec, secrets)).await
    }

    async fn replace(
        &self,
        by: &Actor,
        registry: &Registry,
        present: &Subscription,
        (spec, secrets): (SubscriptionSpec, SubscriptionSecrets),
    ) -> Result<Change, ConfigureSubscriptionError> {
        let id = present.id;
        let waiting = self.waiting(id).await?;
        if spec.order != present.spec.order && waiting > 0 {
            return Err(ConfigureSubscriptionError::OrderHasWaiting { waiting });
        }
        let version = present.version + 1;
        let template_version = if spec.request == present.spec.request { present.template_version } else { version };
        let times = (present.created_at, self.clock.now());
        // What was allowed when it was saved can still be paused or renamed.
        if spec.event_types != present.spec.event_types {
            self.check_allowed(&spec)?;
        }
        let (subscription, warnings) = self.checked(id, version, template_version, times, (spec, secrets))?;
        let mut changes = vec![
            ConfigurationChange::Put { record: subscription_record(&subscription), if_absent: false },
            ConfigurationChange::Put { record: template_record(&subscription), if_absent: false },
            self.audit(by, changed(present, &subscription)),
        ];
        changes.extend(secrets_change(&self.vault, &subscription, Some(present)));
        // An old template is needed as long as a delivery that is pinned to it may still be sent.
        let forgotten: Vec<u32> = if waiting == 0 {
            registry
                .template_versions(id)
                .into_iter()
                .filter(|kept| *kept != template_version && *kept != present.template_version)
                .collect()
        } else {
            Vec::new()
        };
        changes.extend(
            forgotten
                .iter()
                .map(|version| ConfigurationChange::Remove { kind: ConfigurationKind::TemplateVersion, id: template_id(id, *version) }),
        );
        self.write_configuration(changes).await?;
        self.publish(|registry| {
            registry.put_subscription(subscription.clone());
            forgotten.iter().for_each(|version| registry.remove_template(id, *version));
        });
        Ok(Change { subscription, warnings })
    }

    /// Deletes a subscription. Its waiting deliveries end as cancelled, in steps, after this returns.
    ///
    /// # Errors
    /// [`ConfigureSubscriptionError`], and nothing is changed.
    pub async fn delete_subscription(
        &self,
        by: &Actor,
        id: SubscriptionId,
        expected_version: Option<u32>,
    ) -> Result<(), ConfigureSubscriptionError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let present = registry.subscription(id).ok_or(ConfigureSubscriptionError::NotFound(id))?;
        if expected_version.is_some_and(|version| version != present.version) {
            return Err(ConfigureSubscriptionError::VersionMismatch { version: present.version });
        }
        let deleted = Deed::new(AuditAction::SubscriptionDeleted, Some(&present.spec.account), &id);
        let mut changes = subscription_removals(&registry, id);
        changes.push(self.audit(by, deleted));
        self.write_configuration(changes).await?;
        self.publish(|registry| registry.remove_subscription(id));
        Ok(())
    }

    /// Ends the waiting deliveries of subscriptions that no longer exist, in small steps.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; the rest is ended by the next call.
    pub async fn end_orphans(&self) -> Result<(), StoreError> {
        for counts in self.store.counts().await? {
            if counts.counts.waiting == 0 || self.registry().subscription(counts.subscription).is_some() {
                continue;
            }
            while self.store.end_deliveries(counts.subscription, self.clock.now(), END_STEP).await? > 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Checks a spec as it would be stored, without storing it: a new one, or in the place of `present`, whose
    /// secrets it keeps under the same rules as a change does.
    ///
    /// # Errors
    /// [`ConfigureSubscriptionError`] as for creating it.
    pub fn preview_subscription(
        &self,
        spec: SubscriptionSpec,
        present: Option<&Subscription>,
    ) -> Result<Change, ConfigureSubscriptionError> {
        let now = self.clock.now();
        if present.is_some_and(|present| present.spec.account != spec.account) {
            return Err(ConfigureSubscriptionError::AccountChanged(spec.account));
        }
        self.check_allowed(&spec)?;
        let (spec, secrets) = settled(spec, present, now)?;
        let (subscription, warnings) = self.checked(SubscriptionId::from_raw(self.next_id(now)), 1, 1, (now, now), (spec, secrets))?;
        Ok(Change { subscription, warnings })
    }

    fn check_allowed(&self, spec: &SubscriptionSpec) -> Result<(), ConfigureSubscriptionError> {
        let refused = self.registry().refused_types(spec);
        if refused.is_empty() { Ok(()) } else { Err(ConfigureSubscriptionError::Invalid(refused)) }
    }

    fn checked(
        &self,
        id: SubscriptionId,
        version: u32,
        template_version: u32,
        (created_at, updated_at): (Timestamp, Timestamp),
        (spec, secrets): (SubscriptionSpec, SubscriptionSecrets),
    ) -> Result<(Subscription, Vec<SubscriptionWarning>), ConfigureSubscriptionError> {
        let registry = self.registry();
        if registry.account(&spec.account).is_none() {
            return Err(ConfigureSubscriptionError::UnknownAccount(spec.account));
        }
        let names = registry.field_names(&spec.account);
        let (rules, warnings) =
            check(&spec, &names, &|event_type| registry.knows_event_type(event_type)).map_err(ConfigureSubscriptionError::Invalid)?;
        let (spec, rules, secrets) = (Arc::new(spec), Arc::new(rules), Arc::new(secrets));
        Ok((Subscription { id, version, template_version, created_at, updated_at, spec, rules, secrets }, warnings))
    }

    async fn waiting(&self, id: SubscriptionId) -> Result<u64, StoreError> {
        let counts = self.store.counts().await?;
        Ok(counts.iter().find(|counts| counts.subscription == id).map_or(0, |counts| counts.counts.waiting))
    }

    /// Makes a change of the configuration seen, for whoever has the turn to change it.
    pub(super) fn publish(&self, edit: impl FnOnce(&mut Registry)) {
        let mut present = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(sole) = Arc::get_mut(&mut present) {
            // Nobody looks at it at this moment, so that it need not be copied.
            edit(sole);
            drop(present);
        } else {
            let mut registry = Registry::clone(&present);
            drop(present);
            edit(&mut registry);
            *self.registry.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
        }
        self.changed.send_modify(|version| *version += 1);
    }
}

/// The spec without its secrets, and the secrets.
fn settled(
    mut spec: SubscriptionSpec,
    present: Option<&Subscription>,
    now: Timestamp,
) -> Result<(SubscriptionSpec, SubscriptionSecrets), ConfigureSubscriptionError> {
    let secrets = settle_secrets(&mut spec, present, now).map_err(ConfigureSubscriptionError::Invalid)?;
    Ok((spec, secrets))
}

/// What the audit log says of a change.
fn changed<'a>(before: &Subscription, after: &'a Subscription) -> Deed<'a> {
    let as_json = |spec: &SubscriptionSpec| serde_json::to_value(spec).expect("a spec has only text keys, so it can be written as JSON");
    let mut changes = changed_pointers(&as_json(&before.spec), &as_json(&after.spec));
    changes.extend(changed_secrets(before, after));
    let replaces_key = before.spec.signing.is_some() && after.spec.signing.is_some() && before.secrets.signing != after.secrets.signing;
    let action = match (changes.as_slice(), after.spec.state) {
        ([only], SubscriptionState::Paused) if only == "/state" => AuditAction::SubscriptionPaused,
        ([only], SubscriptionState::Active) if only == "/state" => AuditAction::SubscriptionResumed,
        (all, _) if replaces_key && all.iter().all(|pointer| pointer.starts_with("/signing/")) => AuditAction::SubscriptionSecretRotated,
        _ => AuditAction::SubscriptionChanged,
    };
    Deed::new(action, Some(&after.spec.account), &after.id).changing(changes)
}

/// Pointers to the secrets that a change replaces, which the specs do not show.
fn changed_secrets(before: &Subscription, after: &Subscription) -> Vec<String> {
    let field = after.spec.credentials.as_ref().map_or("", |credentials| credentials.secret_field());
    let (old, new) = (&before.secrets, &after.secrets);
    [
        ("/signing/secret".to_owned(), &old.signing, &new.signing),
        (format!("/credentials/{field}"), &old.credentials, &new.credentials),
        ("/tls/client_key".to_owned(), &old.client_key, &new.client_key),
    ]
    .into_iter()
    .filter_map(|(pointer, old, new)| (new.is_some() && old != new).then_some(pointer))
    .collect()
}

/// What removes a subscription with all that hangs on it.
pub(super) fn subscription_removals(registry: &Registry, id: SubscriptionId) -> Vec<ConfigurationChange> {
    let mut changes = vec![ConfigurationChange::Remove { kind: ConfigurationKind::Subscription, id: id.to_string() }, removal(id)];
    let versions = registry.template_versions(id).into_iter();
    changes.extend(
        versions.map(|version| ConfigurationChange::Remove { kind: ConfigurationKind::TemplateVersion, id: template_id(id, version) }),
    );
    changes
}

pub(super) fn record(kind: ConfigurationKind, id: String, value: &impl serde::Serialize) -> ConfigurationRecord {
    let value = serde_json::to_string(value).expect("configuration has only text keys, so it can be written as JSON");
    ConfigurationRecord { kind, id, value }
}

fn subscription_record(subscription: &Subscription) -> ConfigurationRecord {
    let stored = StoredSubscription {
        version: subscription.version,
        template_version: subscription.template_version,
        created_at: subscription.created_at,
        updated_at: subscription.updated_at,
        spec: (*subscription.spec).clone(),
    };
    record(ConfigurationKind::Subscription, subscription.id.to_string(), &stored)
}

fn template_id(id: SubscriptionId, version: u32) -> String {
    format!("{id}/{version}")
}

fn template_record(subscription: &Subscription) -> ConfigurationRecord {
    record(ConfigurationKind::TemplateVersion, template_id(subscription.id, subscription.template_version), &subscription.spec.request)
}
