//! The audit log: who changed what, and when.
//!
//! An entry is written in the commit of the change it tells of, so that there is none without the other.
//! It holds no values, only pointers to what changed: an entry may be read by more people than the thing
//! itself. The one kind of entry without a change is that of a failed authentication.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::{Key, KeyRef};
use super::{Page, Queue};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::AuditId;
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, RecordQuery, StoreError};

/// Most pointers of one entry; what is beyond is told by the last one, which is empty and stands for the whole.
const CHANGES_MAX: usize = 100;
/// Entries that are read at a time.
const STRIDE: usize = 500;
/// Most entries that one page looks at.
const ENTRIES_PER_PAGE_MAX: usize = 10_000;
/// Most entries that one commit of retention removes.
const PRUNED_PER_STEP: usize = 500;

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The key; none: the server itself, or somebody without a valid key.
    pub key: Option<KeyRef>,
    /// What people call it.
    pub name: Option<String>,
    /// From where; none: from inside of the server.
    pub address: Option<IpAddr>,
    /// The account of the key; none: an operator's, or of no key. Other accounts are not shown the address.
    #[serde(default)]
    pub account: Option<AccountId>,
}

impl Actor {
    /// The holder of a key.
    #[must_use]
    pub fn holder(key: &Key, address: IpAddr) -> Self {
        Self { key: Some(key.id), name: Some(key.name.clone()), address: Some(address), account: key.account.clone() }
    }

    /// Somebody without a valid key.
    #[must_use]
    pub const fn stranger(address: IpAddr) -> Self {
        Self { key: None, name: None, address: Some(address), account: None }
    }

    /// The server itself.
    #[must_use]
    pub fn server() -> Self {
        Self { key: None, name: Some("server".into()), address: None, account: None }
    }
}

/// What was done. The text form is what the log shows and is searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    /// An account was created.
    AccountCreated,
    /// An account was changed.
    AccountChanged,
    /// An account was deleted with everything of it.
    AccountDeleted,
    /// An event type was registered.
    EventTypeCreated,
    /// An event type was deleted.
    EventTypeDeleted,
    /// A subscription was created.
    SubscriptionCreated,
    /// A subscription was changed.
    SubscriptionChanged,
    /// A subscription was paused, and nothing else of it was changed.
    SubscriptionPaused,
    /// A subscription was resumed, and nothing else of it was changed.
    SubscriptionResumed,
    /// The signing key of a subscription was replaced, and nothing else of it was changed.
    SubscriptionSecretRotated,
    /// A subscription was deleted.
    SubscriptionDeleted,
    /// An API key was created.
    KeyCreated,
    /// An API key was given a successor and an end.
    KeyRotated,
    /// An API key was deleted.
    KeyDeleted,
    /// An offer was created.
    OfferCreated,
    /// An offer was changed.
    OfferChanged,
    /// An offer was paused, and nothing else of it was changed.
    OfferPaused,
    /// An offer was resumed, and nothing else of it was changed.
    OfferResumed,
    /// An offer was deleted with its inbound keys.
    OfferDeleted,
    /// An inbound key was created.
    InboundKeyCreated,
    /// An inbound key was given a successor and an end.
    InboundKeyRotated,
    /// An inbound key was deleted.
    InboundKeyDeleted,
    /// A delivery was made due.
    DeliveryRetried,
    /// A delivery was cancelled.
    DeliveryCancelled,
    /// A replay was started; a dry run is none.
    ReplayCreated,
    /// A replay was ended before it was through.
    ReplayCancelled,
    /// Settings were changed while the server runs.
    SettingsReloaded,
    /// A request came without a valid key; one entry per address and minute.
    AuthenticationFailed,
}

impl AuditAction {
    /// The action as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountCreated => "account.created",
            Self::AccountChanged => "account.changed",
            Self::AccountDeleted => "account.deleted",
            Self::EventTypeCreated => "event_type.created",
            Self::EventTypeDeleted => "event_type.deleted",
            Self::SubscriptionCreated => "subscription.created",
            Self::SubscriptionChanged => "subscription.changed",
            Self::SubscriptionPaused => "subscription.paused",
            Self::SubscriptionResumed => "subscription.resumed",
            Self::SubscriptionSecretRotated => "subscription.secret_rotated",
            Self::SubscriptionDeleted => "subscription.deleted",
            Self::KeyCreated => "key.created",
            Self::KeyRotated => "key.rotated",
            Self::KeyDeleted => "key.deleted",
            Self::OfferCreated => "offer.created",
            Self::OfferChanged => "offer.changed",
            Self::OfferPaused => "offer.paused",
            Self::OfferResumed => "offer.resumed",
            Self::OfferDeleted => "offer.deleted",
            Self::InboundKeyCreated => "inbound_key.created",
            Self::InboundKeyRotated => "inbound_key.rotated",
            Self::InboundKeyDeleted => "inbound_key.deleted",
            Self::DeliveryRetried => "delivery.retried",
            Self::DeliveryCancelled => "delivery.cancelled",
            Self::ReplayCreated => "replay.created",
            Self::ReplayCancelled => "replay.cancelled",
            Self::SettingsReloaded => "settings.reloaded",
            Self::AuthenticationFailed => "authentication.failed",
        }
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its id, in order of time.
    pub id: AuditId,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// Whose account it concerns; none: the server as a whole.
    pub account: Option<AccountId>,
    /// What was done; see [`AuditAction`].
    pub action: String,
    /// The id of what it was done to.
    pub object: Option<String>,
    /// JSON pointers to what changed, where something was there before.
    pub changes: Vec<String>,
}

/// What an entry tells besides who and when.
#[derive(Debug)]
pub(super) struct Deed<'a> {
    pub action: AuditAction,
    pub account: Option<&'a AccountId>,
    pub object: Option<String>,
    pub changes: Vec<String>,
}

impl<'a> Deed<'a> {
    /// Something done to an object of an account, or of the server.
    pub fn new(action: AuditAction, account: Option<&'a AccountId>, object: &impl ToString) -> Self {
        Self { action, account, object: Some(object.to_string()), changes: Vec::new() }
    }

    /// The same with what changed.
    pub fn changing(self, changes: Vec<String>) -> Self {
        Self { changes, ..self }
    }
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only those that concern this account.
    pub account: Option<AccountId>,
    /// Only those of this key.
    pub actor: Option<KeyRef>,
    /// Only this action.
    pub action: Option<String>,
    /// Only those about the object of this id.
    pub object: Option<String>,
    /// Only those at or after.
    pub since: Option<Timestamp>,
    /// Only those before.
    pub until: Option<Timestamp>,
    /// Only those before this one: where the last page ended.
    pub before: Option<AuditId>,
    /// How many at most.
    pub limit: usize,
}

impl AuditQuery {
    fn wants(&self, entry: &AuditEntry) -> bool {
        self.account.as_ref().is_none_or(|account| entry.account.as_ref() == Some(account))
            && self.actor.is_none_or(|actor| entry.actor.key == Some(actor))
            && self.action.as_ref().is_none_or(|action| *action == entry.action)
            && self.object.as_ref().is_none_or(|object| entry.object.as_ref() == Some(object))
    }
}

impl Queue {
    /// The record of an entry, to be written with what it tells of.
    pub(super) fn audit_record(&self, by: &Actor, deed: Deed<'_>) -> ConfigurationRecord {
        let at = self.clock.now();
        let id = AuditId::from_raw(self.next_id(at));
        let Deed { action, account, object, changes } = deed;
        let (account, action) = (account.cloned(), action.as_str().to_owned());
        let entry = AuditEntry { id, at, actor: by.clone(), account, action, object, changes };
        let value = serde_json::to_string(&entry).expect("an entry has only text keys, so it can be written as JSON");
        ConfigurationRecord { kind: ConfigurationKind::Audit, id: id.to_string(), value }
    }

    /// The same as one change among others.
    pub(super) fn audit(&self, by: &Actor, deed: Deed<'_>) -> ConfigurationChange {
        ConfigurationChange::Put { record: self.audit_record(by, deed), if_absent: true }
    }

    /// Notes which settings were changed while the server runs.
    ///
    /// # Errors
    /// [`ConfigureError`] if it was not stored.
    pub async fn note_reload(&self, names: &[String]) -> Result<(), ConfigureError> {
        let changes = names.iter().map(|name| format!("/{name}")).collect();
        let deed = Deed { action: AuditAction::SettingsReloaded, account: None, object: None, changes };
        self.write_configuration(vec![self.audit(&Actor::server(), deed)]).await
    }

    /// Notes that somebody came without a valid key.
    ///
    /// # Errors
    /// [`ConfigureError`] if it was not stored.
    pub async fn note_failed_authentication(&self, by: &Actor) -> Result<(), ConfigureError> {
        let deed = Deed { action: AuditAction::AuthenticationFailed, account: None, object: None, changes: Vec::new() };
        self.write_configuration(vec![self.audit(by, deed)]).await
    }

    /// Entries of the audit log, newest first. A page may be short of its limit and not be the last.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn audit_log(&self, query: &AuditQuery) -> Result<Page<AuditEntry>, StoreError> {
        let until = query.until.map(first_id_at);
        let mut before = query.before.into_iter().chain(until).min();
        let from = query.since.map(|since| first_id_at(since).to_string()).unwrap_or_default();
        let mut items = Vec::new();
        let mut seen = 0;
        loop {
            let before_text = before.map(|id| id.to_string());
            let stride = RecordQuery { kind: ConfigurationKind::Audit, from: from.clone(), before: before_text, limit: STRIDE };
            let records = self.store.records(&stride).await?;
            let is_last = records.len() < STRIDE;
            for record in records {
                if items.len() == query.limit || seen == ENTRIES_PER_PAGE_MAX {
                    return Ok(Page { items, next: before.map(AuditId::raw) });
                }
                seen += 1;
                before = record.id.parse().ok().or(before);
                match serde_json::from_str::<AuditEntry>(&record.value) {
                    Ok(entry) if query.wants(&entry) => items.push(entry),
                    Ok(_) => {}
                    Err(error) => tracing::error!(entry = record.id, %error, "an entry of the audit log cannot be read; it is left out"),
                }
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// Removes entries that are older than `kept`.
    ///
    /// # Errors
    /// [`ConfigureError`] if the store is full or fails; the rest is removed by the next call.
    pub async fn prune_audit_log(&self, kept: Duration) -> Result<(), ConfigureError> {
        let cutoff = first_id_at(self.clock.now().before(kept)).to_string();
        let old = RecordQuery { kind: ConfigurationKind::Audit, from: String::new(), before: Some(cutoff), limit: PRUNED_PER_STEP };
        loop {
            let records = self.store.records(&old).await?;
            let is_last = records.len() < PRUNED_PER_STEP;
            if !records.is_empty() {
                let remove = |ConfigurationRecord { kind, id, .. }| ConfigurationChange::Remove { kind, id };
                self.write_configuration(records.into_iter().map(remove).collect()).await?;
            }
            if is_last {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The first id that is given in the millisecond of `moment`.
fn first_id_at(moment: Timestamp) -> AuditId {
    AuditId::from_raw(u128::from(u64::try_from(moment.unix_ms()).unwrap_or(0) & 0xffff_ffff_ffff) << 80)
}

/// Pointers to the values in which two JSON values differ, in the order of the first.
pub(super) fn changed_pointers(before: &Value, after: &Value) -> Vec<String> {
    let mut pointers = Vec::new();
    collect_changes(before, after, String::new(), &mut pointers);
    if pointers.len() > CHANGES_MAX {
        pointers.truncate(CHANGES_MAX - 1);
        pointers.push(String::new());
    }
    pointers
}

fn collect_changes(before: &Value, after: &Value, pointer: String, pointers: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                collect_changes(value, new.get(name).unwrap_or(&Value::Null), step(&pointer, name), pointers);
            }
            pointers.extend(new.keys().filter(|name| !old.contains_key(*name)).map(|name| step(&pointer, name)));
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                collect_changes(old, new, step(&pointer, &index.to_string()), pointers);
            }
        }
        _ if before == after => {}
        _ => pointers.push(pointer),
    }
}

fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_by_pointers_without_values() {
        let before =
            json!({"name": "a", "request": {"url": "u", "headers": [{"name": "x", "value": "old"}]}, "where": {"A/B": ["1"]}, "gone": 1});
        let after = json!({"name": "a", "request": {"url": "v", "headers": [{"name": "x", "value": "new"}]}, "where": {"A/B": ["1", "2"]}, "new": 2});
        assert_eq!(changed_pointers(&before, &after), ["/request/url", "/request/headers/0/value", "/where/A~1B", "/gone", "/new"]);
        assert_eq!(changed_pointers(&after, &after), [""; 0]);
    }

    #[test]
    fn pointers_are_bounded() {
        let many = |value: u32| Value::Object((0..500).map(|number| (number.to_string(), json!(value))).collect());
        let pointers = changed_pointers(&many(1), &many(2));
        assert_eq!((pointers.len(), pointers.last().map(String::as_str)), (CHANGES_MAX, Some("")));
    }

    #[test]
    fn the_stored_form_of_an_entry_is_read() {
        let stored = r#"{"id":"aud_01jd9w0fz00000000000000000","at":"2024-11-22T00:00:00.000Z",
            "actor":{"key":"key_operator","name":"operator.key","address":"203.0.113.9","account":null},"account":"acme",
            "action":"subscription.changed","object":"sub_01jd9w0fz00000000000000000","changes":["/name"]}"#;
        let entry: AuditEntry = serde_json::from_str(stored).unwrap();
        assert_eq!((entry.actor.key, entry.action.as_str()), (Some(KeyRef::Operator), "subscription.changed"));
        assert_eq!(serde_json::to_value(&entry).unwrap(), serde_json::from_str::<Value>(stored).unwrap());
    }
}
