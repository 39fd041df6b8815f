//! Accounts that change, and accounts that go with everything of theirs.
//!
//! A deleted account is gone for callers at once: one commit marks it, and removes its subscriptions and
//! keys, so that nothing is accepted for it and nothing more is started. What is in flight ends; then its
//! events go in small steps, with their deliveries, attempts and idempotency keys, and last the mark. The
//! mark is stored, so that a restart goes on, and as long as it is there the id cannot be used again.

use std::time::Duration;

use super::account::Account;
use super::audit::{Actor, AuditAction, Deed, changed_pointers};
use super::configure::{record, subscription_removals};
use super::event_types::first_broken;
use super::{Queue, Registry};
use crate::event::{AccountId, EventType, EventTypePattern, catalogue};
use crate::id::{EventId, SubscriptionId};
use crate::store::{AcceptError, ConfigurationChange, ConfigurationKind, ConfigureError, EventQuery, StoreError};
use crate::subscription::{FieldError, SubscriptionSpec, SubscriptionWarning};

/// Events that are looked up and removed at a time.
const STEP: usize = 128;
/// How long after the mark an event may still come in that was being accepted when it was set.
const LATE_EVENTS: Duration = Duration::from_secs(1);

/// Why an account was not changed or deleted. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ChangeAccountError {
    /// There is no such account.
    #[error("there is no account `{0}`")]
    NotFound(AccountId),
    /// The version is not the one the caller has read.
    #[error("the account is at version {version}; read it again and repeat the change on that")]
    VersionMismatch {
        /// The present version.
        version: u32,
    },
    /// A template uses a field that would not be declared any more.
    #[error("subscription {0} uses a field that is left out of `fields`; change its template first")]
    FieldInUse(SubscriptionId),
    /// It was not stored.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

/// An account as it is after a change, with what the change leaves unfulfilled.
#[derive(Debug)]
pub struct ChangedAccount {
    /// The account.
    pub account: Account,
    /// Subscriptions that ask for more than the account may have.
    pub warnings: Vec<SubscriptionWarning>,
}

impl Queue {
    /// Changes an account to what `edit` makes of it; its id and its times stay.
    ///
    /// # Errors
    /// [`ChangeAccountError`], and nothing is stored; what `edit` returns is passed on.
    pub async fn change_account<E: From<ChangeAccountError>>(
        &self,
        by: &Actor,
        id: &AccountId,
        expected_version: Option<u32>,
        edit: impl FnOnce(&Account) -> Result<Account, E> + Send,
    ) -> Result<ChangedAccount, E> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        let present = registry.account(id).ok_or_else(|| ChangeAccountError::NotFound(id.clone()))?;
        check_version(present, expected_version)?;
        let edited = edit(present)?;
        let account = Account {
            id: id.clone(),
            version: present.version + 1,
            created_at: present.created_at,
            updated_at: Some(self.clock.now()),
            deleting_since: None,
            ..edited
        };
        Ok(self.put_changed(by, &registry, present, account).await?)
    }

    async fn put_changed(
        &self,
        by: &Actor,
        registry: &Registry,
        present: &Account,
        account: Account,
    ) -> Result<ChangedAccount, ChangeAccountError> {
        let mut changed = registry.clone();
        changed.put_account(account.clone());
        if let Some(broken) = first_broken(registry, &changed, Some(&account.id)) {
            return Err(ChangeAccountError::FieldInUse(broken.id));
        }
        let warnings = changed.asking_for_more(&account.id);
        let as_json = |account: &Account| {
            // The version and the time of the change say nothing of what changed.
            let plain = Account { version: 0, updated_at: None, ..account.clone() };
            serde_json::to_value(plain).expect("an account has only text keys, so it can be written as JSON")
        };
        let changes = changed_pointers(&as_json(present), &as_json(&account));
        let deed = Deed::new(AuditAction::AccountChanged, Some(&account.id), &account.id).changing(changes);
        let record = record(ConfigurationKind::Account, account.id.to_string(), &account);
        self.write_configuration(vec![ConfigurationChange::Put { record, if_absent: false }, self.audit(by, deed)]).await?;
        self.publish(|registry| registry.put_account(account.clone()));
        Ok(ChangedAccount { account, warnings })
    }

    /// Deletes an account: its subscriptions and keys at once, everything else in steps after this returns.
    ///
    /// # Errors
    /// [`ChangeAccountError`], and nothing is changed.
    pub async fn delete_account(&self, by: &Actor, id: &AccountId, expected_version: Option<u32>) -> Result<Account, ChangeAccountError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        if let Some(going) = registry.deleting_account(id) {
            return Ok(Account::clone(going));
        }
        let present = registry.account(id).ok_or_else(|| ChangeAccountError::NotFound(id.clone()))?;
        check_version(present, expected_version)?;
        let account = Account { deleting_since: Some(self.clock.now()), version: present.version + 1, ..Account::clone(present) };
        let subscriptions: Vec<SubscriptionId> = registry.subscriptions_of(id).map(|subscription| subscription.id).collect();
        let keys: Vec<_> = registry.keys().filter(|(_, key)| key.account.as_ref() == Some(id)).map(|(id, _)| id).collect();
        let deed = Deed::new(AuditAction::AccountDeleted, Some(id), id);
        let record = record(ConfigurationKind::Account, id.to_string(), &account);
        let mut changes = vec![ConfigurationChange::Put { record, if_absent: false }, self.audit(by, deed)];
        changes.extend(subscriptions.iter().flat_map(|id| subscription_removals(&registry, *id)));
        changes.extend(keys.iter().map(|id| ConfigurationChange::Remove { kind: ConfigurationKind::Key, id: id.to_string() }));
        let offers: Vec<_> = registry.offers().filter(|known| known.offer.account == *id).map(|known| known.offer.id.clone()).collect();
        changes.extend(offers.iter().map(|id| ConfigurationChange::Remove { kind: ConfigurationKind::Offer, id: id.to_string() }));
        changes.extend(registry.inbound_keys().removals_of_account(id));
        self.write_configuration(changes).await?;
        self.publish(|registry| {
            offers.iter().for_each(|id| registry.remove_offer(id));
            registry.inbound.remove_account(id);
            subscriptions.iter().for_each(|id| registry.remove_subscription(*id));
            keys.iter().for_each(|id| registry.remove_key(*id));
            registry.put_account(account.clone());
        });
        Ok(account)
    }

    /// Goes on removing what accounts that are being deleted have left; tells whether something is still left.
    ///
    /// # Errors
    /// [`ConfigureError`] if the store is full or fails; the next call goes on.
    pub async fn remove_deleted_accounts(&self) -> Result<bool, ConfigureError> {
        let going: Vec<_> = self.registry().deleting_accounts().cloned().collect();
        let mut is_left = false;
        for account in going {
            let since = account.deleting_since.unwrap_or_default();
            let may_be_late = self.clock.now().since(since) < LATE_EVENTS;
            if self.has_in_flight(&account.id).await?
                || self.remove_events_of(&account.id).await?
                || self.remove_documents_of(&account.id).await?
                || may_be_late
            {
                is_left = true;
                continue;
            }
            self.forget_replays_of(&account.id).await?;
            self.remove_inbound_of(&account.id).await?;
            self.metrics.activity().forget(&account.id);
            self.kept.forget(&account.id);
            let _turn = self.turn_to_configure().await;
            self.write_configuration(vec![ConfigurationChange::Remove { kind: ConfigurationKind::Account, id: account.id.to_string() }])
                .await?;
            self.publish(|registry| registry.remove_account(&account.id));
            tracing::info!(account = %account.id, "everything of a deleted account is removed");
        }
        Ok(is_left)
    }

    /// Removes the documents of an account; tells whether there were any.
    async fn remove_documents_of(&self, account: &AccountId) -> Result<bool, StoreError> {
        match self.remove_actions_of(account).await {
            Ok(found) => Ok(found),
            Err(AcceptError::Store(error)) => Err(error),
            // Something was changed meanwhile, so that there is something.
            Err(_) => Ok(true),
        }
    }

    async fn has_in_flight(&self, account: &AccountId) -> Result<bool, StoreError> {
        let others = self.store.in_flight().await?;
        for id in self.in_flight.ids().into_iter().chain(others.iter().map(|lease| lease.delivery)) {
            if self.store.delivery(id).await?.is_some_and(|delivery| delivery.account == *account) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the events of an account whose deliveries are decided; tells whether there were any events.
    async fn remove_events_of(&self, account: &AccountId) -> Result<bool, StoreError> {
        let mut query = EventQuery { account: Some(account.clone()), limit: STEP, ..EventQuery::default() };
        let mut found = false;
        loop {
            let page = self.store.events(&query).await?;
            let events: Vec<EventId> = page.items.iter().map(|event| event.id).collect();
            if !events.is_empty() {
                found = true;
                self.store.remove_events(events).await?;
                tokio::task::yield_now().await;
            }
            match page.next {
                Some(next) => query.before = Some(EventId::from_raw(next)),
                None => return Ok(found),
            }
        }
    }
}

fn check_version(account: &Account, expected: Option<u32>) -> Result<(), ChangeAccountError> {
    match expected {
        Some(version) if version != account.version => Err(ChangeAccountError::VersionMismatch { version: account.version }),
        _ => Ok(()),
    }
}

impl Registry {
    /// The family of an event type, by its code.
    fn family<'a>(&'a self, event_type: &'a EventType) -> &'a str {
        let built_in = catalogue::find(event_type.as_str()).map(|entry| entry.family.code());
        let defined = || self.event_type(event_type).map(|defined| defined.family.as_str());
        built_in.or_else(defined).unwrap_or_else(|| event_type.as_str().split('.').next().unwrap_or_default())
    }

    /// Why an account may not have events of this type, in words; none if it may.
    #[must_use]
    pub fn type_refusal(&self, account: &AccountId, event_type: &EventType) -> Option<String> {
        self.kinds.refusal(self.account(account)?, event_type, self.family(event_type))
    }

    /// What a subscription asks for that its account may not have. A `*` asks for what the account may have.
    pub(super) fn refused_types(&self, spec: &SubscriptionSpec) -> Vec<FieldError> {
        let asked = |pattern: &EventTypePattern| -> Vec<EventType> {
            let built_in = catalogue::types().filter_map(|entry| entry.name.parse().ok());
            built_in
                .chain(self.event_types().map(|defined| defined.name.clone()))
                .filter(|event_type| pattern.matches(event_type))
                .collect()
        };
        let mut errors = Vec::new();
        for (index, text) in spec.event_types.iter().enumerate() {
            let Ok(pattern) = text.parse::<EventTypePattern>() else { continue };
            let types = asked(&pattern);
            let mut refused = types.iter().filter_map(|event_type| self.type_refusal(&spec.account, event_type));
            let first = refused.next();
            let all = first.is_some() && 1 + refused.count() == types.len();
            if let Some(detail) = first.filter(|_| all || pattern != EventTypePattern::Any) {
                let detail = format!("{detail}; leave it out, or ask the operator");
                errors.push(FieldError {
                    pointer: format!("/event_types/{index}"),
                    code: "event_type_not_allowed".into(),
                    detail,
                    finding: None,
                });
            }
        }
        errors
    }

    /// A warning for each subscription of an account that asks for more than it gets.
    fn asking_for_more(&self, account: &AccountId) -> Vec<SubscriptionWarning> {
        let refused = self.subscriptions_of(account).filter(|subscription| !self.refused_types(&subscription.spec).is_empty());
        refused
            .map(|subscription| SubscriptionWarning {
                pointer: "/allowed_event_types".into(),
                code: "subscription_asks_for_more".into(),
                detail: format!(
                    "subscription {} asks for event types that the account may not have; they are not sent to it",
                    subscription.id
                ),
            })
            .collect()
    }
}
