//! Event types that operators register: stored as configuration, known to routing and to templates.

use std::sync::Arc;

use super::audit::{Actor, AuditAction, Deed};
use super::configure::record;
use super::{Queue, Registry};
use crate::event::catalogue::{self, DefinedType, DefinitionFault};
use crate::event::{AccountId, EventType};
use crate::id::SubscriptionId;
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigureError};
use crate::subscription::{RequestSpec, Subscription, SubscriptionSpec, check};

/// Most operator-defined event types.
const EVENT_TYPES_MAX: usize = 1_000;

/// Why an event type was not registered or removed. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum DefineError {
    /// The name is taken.
    #[error("event type `{0}` exists already; choose another name, or delete it first")]
    Exists(EventType),
    /// There are too many.
    #[error("{EVENT_TYPES_MAX} event types are registered, the most that are kept; delete one that is not used")]
    TooMany,
    /// The definition is wrong.
    #[error("the definition has {} faults", .0.len())]
    Invalid(Vec<DefinitionFault>),
    /// No event type of this name exists.
    #[error("there is no event type `{0}`")]
    NotFound(EventType),
    /// It is not the operator's.
    #[error("event type `{0}` is built in and cannot be deleted")]
    BuiltIn(EventType),
    /// A subscription names it, or a template uses its fields.
    #[error("subscription {subscription} of account `{account}` names event type `{event_type}` or uses its fields; change that first")]
    InUse {
        /// The event type.
        event_type: EventType,
        /// One of those that need it.
        subscription: SubscriptionId,
        /// Whose it is.
        account: String,
    },
    /// It was not stored.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

impl Queue {
    /// Registers an event type.
    ///
    /// # Errors
    /// [`DefineError`], and nothing is stored.
    pub async fn create_event_type(&self, by: &Actor, defined: DefinedType) -> Result<(), DefineError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        if registry.knows_event_type(&defined.name) {
            return Err(DefineError::Exists(defined.name));
        }
        if registry.event_types().count() >= EVENT_TYPES_MAX {
            return Err(DefineError::TooMany);
        }
        let others: Vec<&DefinedType> = registry.event_types().map(|other| &**other).collect();
        let faults = defined.faults(&others);
        if !faults.is_empty() {
            return Err(DefineError::Invalid(faults));
        }
        let record = record(ConfigurationKind::EventType, defined.name.to_string(), &defined);
        let created = Deed::new(AuditAction::EventTypeCreated, None, &defined.name);
        self.write_configuration(vec![ConfigurationChange::Put { record, if_absent: true }, self.audit(by, created)]).await?;
        drop(registry);
        self.publish(|registry| registry.put_event_type(defined));
        Ok(())
    }

    /// Removes an event type that no subscription needs. Events of it that are stored stay as they are.
    ///
    /// # Errors
    /// [`DefineError`], and nothing is changed.
    pub async fn delete_event_type(&self, by: &Actor, name: &EventType) -> Result<(), DefineError> {
        let _turn = self.turn_to_configure().await;
        let registry = self.registry();
        if registry.event_type(name).is_none() {
            let built_in = catalogue::find(name.as_str()).is_some();
            return Err(if built_in { DefineError::BuiltIn(name.clone()) } else { DefineError::NotFound(name.clone()) });
        }
        let mut without = Registry::clone(&registry);
        without.remove_event_type(name);
        if let Some(user) = first_broken(&registry, &without, None) {
            let account = user.spec.account.to_string();
            return Err(DefineError::InUse { event_type: name.clone(), subscription: user.id, account });
        }
        let removal = ConfigurationChange::Remove { kind: ConfigurationKind::EventType, id: name.to_string() };
        self.write_configuration(vec![removal, self.audit(by, Deed::new(AuditAction::EventTypeDeleted, None, name))]).await?;
        self.publish(|registry| registry.remove_event_type(name));
        Ok(())
    }
}

/// The first subscription of `present` that would not be accepted by `changed`, also for one of its kept
/// templates; if `account` is given, only its are looked at.
///
/// Such a subscription would be left out at the next start, and its waiting deliveries would fail.
pub(super) fn first_broken<'a>(present: &'a Registry, changed: &Registry, account: Option<&AccountId>) -> Option<&'a Subscription> {
    let holds = |subscription: &Subscription, request: &RequestSpec| {
        let spec = SubscriptionSpec { request: request.clone(), ..(*subscription.spec).clone() };
        let fits = |registry: &Registry| {
            check(&spec, &registry.field_names(&spec.account), &|event_type| registry.knows_event_type(event_type)).is_ok()
        };
        // What does not fit as it is, is not broken by the change.
        fits(changed) || !fits(present)
    };
    let mut subscriptions: Vec<&Subscription> =
        present.subscriptions().filter(|subscription| account.is_none_or(|account| *account == subscription.spec.account)).collect();
    subscriptions.sort_unstable_by_key(|subscription| subscription.id);
    subscriptions.into_iter().find(|subscription| {
        let versions = present.template_versions(subscription.id);
        let templates: Vec<&Arc<RequestSpec>> =
            versions.into_iter().filter_map(|version| present.template(subscription.id, version)).collect();
        !templates.iter().all(|request| holds(subscription, request))
    })
}
