//! What goes into the store's verbs and what comes out.

use std::sync::Arc;

use super::kv::Direction;
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::cluster::Epoch;
use crate::delivery::{Next, OrderKey, StateName};
use crate::event::{AccountId, Event, EventData, EventType, Fingerprint, IdempotencyKey, KeyDigest};
use crate::id::{AttemptId, DeliveryId, EventId, SubscriptionId};

/// An event to be stored, with the deliveries it causes.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Whose.
    pub account: AccountId,
    /// What kind.
    pub event_type: EventType,
    /// The caller's key.
    pub key: Option<NewKey>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it came in.
    pub received_at: Timestamp,
    /// The macro values.
    pub data: Arc<EventData>,
    /// One for each interested subscription; at most 65,535.
    pub deliveries: Vec<NewDelivery>,
    /// Documents that are changed in the same commit, if the event is stored: not for a repeat of a known key.
    pub documents: Vec<DocumentChange>,
}

/// The idempotency key of a new event.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The key as the caller wrote it.
    pub text: IdempotencyKey,
    /// What the store knows it by.
    pub digest: KeyDigest,
    /// What the event says, to tell a repeat from another event.
    pub fingerprint: Fingerprint,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
}

/// A delivery to be stored.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// To whom.
    pub subscription: SubscriptionId,
    /// The version of the subscription whose request template is used.
    pub template_version: u32,
    /// When it is first due.
    pub due_at: Timestamp,
    /// Set if it must wait for earlier undecided deliveries of this subscription with the same key.
    pub order_key: Option<OrderKey>,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id, or that of the first event with its key.
    pub id: EventId,
    /// The ids of its deliveries.
    pub deliveries: Vec<DeliveryId>,
    /// Whether its key was known.
    pub duplicate: bool,
}

/// A row of the due index: what a lease needs.
#[derive(Debug, Clone)]
pub struct DueRow {
    /// The delivery.
    pub delivery: DeliveryId,
    /// When it is due.
    pub due_at: Timestamp,
    /// Attempts made so far.
    pub attempts: u32,
    /// The version of the subscription whose request template is used.
    pub template_version: u32,
    /// The event, if it is at hand; else read it by its id.
    pub event: Option<Arc<Event>>,
}

/// A part of a due index.
#[derive(Debug, Clone, Default)]
pub struct DuePage {
    /// Rows that are due, earliest first.
    pub rows: Vec<DueRow>,
    /// Whether more rows are due than `rows` holds.
    pub more: bool,
    /// If no more are due: when the next row is.
    pub next_due: Option<Timestamp>,
}

/// Which configuration it is, where several servers may change it: each change has a higher number. Zero
/// where one process has the store to itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// An attempt and what follows it.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its subscription.
    pub subscription: SubscriptionId,
    /// The due time of the row that was leased.
    pub leased_due_at: Timestamp,
    /// The attempt.
    pub attempt: Attempt,
    /// What follows.
    pub next: Next,
    /// When it was decided.
    pub at: Timestamp,
    /// Under which claim of the lane it was sent; none if lanes are not leased.
    pub epoch: Option<Epoch>,
}

/// A request that is about to be handed over, as it is noted where lanes are leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its subscription.
    pub subscription: SubscriptionId,
    /// Under which claim of the lane.
    pub epoch: Epoch,
    /// The due time of the row.
    pub due_at: Timestamp,
    /// The id of the attempt.
    pub attempt: AttemptId,
    /// Which attempt of the delivery it is, from 1.
    pub number: u32,
    /// When it was noted.
    pub at: Timestamp,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only these types; none: all.
    pub event_types: Vec<EventType>,
    /// Only those received at or after.
    pub since: Option<Timestamp>,
    /// Only those received before.
    pub until: Option<Timestamp>,
    /// Only those whose fields hold these values, compared as text; of several for one field, one.
    pub fields: Vec<(String, String)>,
    /// Only those before this one: where the last page ended.
    pub before: Option<EventId>,
    /// How many at most.
    pub limit: usize,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryQuery {
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only this subscription's.
    pub subscription: Option<SubscriptionId>,
    /// Only this event's.
    pub event: Option<EventId>,
    /// Only those in one of these states; none: all.
    pub states: Vec<StateName>,
    /// Only those created at or after.
    pub since: Option<Timestamp>,
    /// Only those created before.
    pub until: Option<Timestamp>,
    /// Only those before this one: where the last page ended.
    pub before: Option<DeliveryId>,
    /// How many at most.
    pub limit: usize,
}

/// Which decided deliveries of a subscription to go through, oldest first.
#[derive(Debug, Clone)]
pub struct DecidedQuery {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Only those in one of these states.
    pub states: Vec<StateName>,
    /// Only those that were decided by then.
    pub decided_by: Timestamp,
    /// Only those created at or after.
    pub since: Option<Timestamp>,
    /// Only those created before.
    pub until: Option<Timestamp>,
    /// Only those after this one: where the last page ended.
    pub after: Option<DeliveryId>,
    /// How many at most.
    pub limit: usize,
}

/// Makes decided deliveries due again, and takes note of that in the same commit.
#[derive(Clone)]
pub struct Revival {
    /// Whose they are.
    pub subscription: SubscriptionId,
    /// Which.
    pub deliveries: Vec<DeliveryId>,
    /// Only those that are in one of these states by then.
    pub states: Vec<StateName>,
    /// Only those that were decided by then.
    pub decided_by: Timestamp,
    /// When they are due.
    pub at: Timestamp,
    /// The version of the subscription whose request template is used.
    pub template_version: u32,
    /// The record of configuration that is written with them, by how many were made due.
    pub record: RevivalRecord,
}

/// Makes a record from how many deliveries were made due. Asked again if the change is decided again.
pub type RevivalRecord = Arc<dyn Fn(usize) -> ConfigurationRecord + Send + Sync>;

impl std::fmt::Debug for Revival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revival").field("subscription", &self.subscription).field("deliveries", &self.deliveries).finish_non_exhaustive()
    }
}

/// A part of a list. A page looks at a bounded number of records, so that it may be short of its
/// limit, or empty, and still not be the last.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// What was found, newest first unless the question says otherwise.
    pub items: Vec<T>,
    /// Raw id to go on from; none at the end of the list.
    pub next: Option<u128>,
}

/// The kinds of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigurationKind {
    /// An account, by its id.
    Account,
    /// The present form of a subscription, by its id.
    Subscription,
    /// The request template of one version of a subscription, by `id/version`.
    TemplateVersion,
    /// A registered event type, by its name.
    EventType,
    /// An API key, by its id.
    Key,
    /// A replay, by its id.
    Replay,
    /// Anything else of the server, by name.
    Setting,
    /// The sealed secrets of a subscription or an inbound key, by its id, and what an account's lead ids are made of.
    Secret,
    /// An entry of the audit log, by its id, which is in order of time.
    Audit,
    /// An offer, by its id.
    Offer,
    /// A key under which an advertiser reports, by its id.
    InboundKey,
}

/// Which records of one kind to read.
#[derive(Debug, Clone)]
pub struct RecordQuery {
    /// The kind.
    pub kind: ConfigurationKind,
    /// Only those whose id is this one or comes after it; empty: all.
    pub from: String,
    /// Only those whose id comes before this one: where the last page ended.
    pub before: Option<String>,
    /// How many at most.
    pub limit: usize,
}

impl ConfigurationKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Account,
        Self::Subscription,
        Self::TemplateVersion,
        Self::EventType,
        Self::Key,
        Self::Replay,
        Self::Setting,
        Self::Secret,
        Self::Audit,
        Self::Offer,
        Self::InboundKey,
    ];

    /// Its stable name, as in archives.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Subscription => "subscription",
            Self::TemplateVersion => "template_version",
            Self::EventType => "event_type",
            Self::Key => "key",
            Self::Replay => "replay",
            Self::Setting => "setting",
            Self::Secret => "secret",
            Self::Audit => "audit",
            Self::Offer => "offer",
            Self::InboundKey => "inbound_key",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One record of configuration. The value is JSON that its owner reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationRecord {
    /// Its kind.
    pub kind: ConfigurationKind,
    /// Its id within the kind; at most 200 bytes.
    pub id: String,
    /// Its content.
    pub value: String,
}

/// One change of configuration.
#[derive(Debug, Clone)]
pub enum ConfigurationChange {
    /// Writes a record; with `if_absent`, only if there is none yet.
    Put {
        /// The record.
        record: ConfigurationRecord,
        /// Whether an existing one is a conflict.
        if_absent: bool,
    },
    /// Writes a record if the present value is exactly `expected`.
    Replace {
        /// The record.
        record: ConfigurationRecord,
        /// The value it replaces.
        expected: String,
    },
    /// Removes a record, whether it is there or not. For a subscription: from now on no delivery is
    /// stored for it, even by an accept that was prepared before.
    Remove {
        /// Its kind.
        kind: ConfigurationKind,
        /// Its id.
        id: String,
    },
}

/// The kinds of documents: records that are many, are found by id or in the order of ids, and are never
/// loaded as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocumentKind {
    /// Where an action of a partner stands.
    Action,
    /// The actions of an account in order of time.
    ActionLog,
    /// A click on a partner's link.
    Click,
    /// A customer of an advertiser whose payments come back.
    Customer,
    /// A call of an advertiser's server, as it came in.
    InboundCall,
    /// A test of an offer from click to postback.
    TestRun,
    /// Where the row of a reported action is, by the lead's id.
    Lead,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [Self::Action, Self::ActionLog, Self::Click, Self::Customer, Self::InboundCall, Self::TestRun, Self::Lead];

    /// Its stable name, as in archives.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::ActionLog => "action_log",
            Self::Click => "click",
            Self::Customer => "customer",
            Self::InboundCall => "inbound_call",
            Self::TestRun => "test_run",
            Self::Lead => "lead",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A document. The value is JSON that its owner reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its id within the kind; at most 200 bytes.
    pub id: String,
    /// How often it was written since it was created; 1 at first.
    pub revision: u64,
    /// Its content.
    pub value: String,
}

/// One change of a document.
#[derive(Debug, Clone)]
pub struct DocumentChange {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its id within the kind; at most 200 bytes.
    pub id: String,
    /// The revision that it must have, 0 if it must not be there; none: whatever it is. What changes before
    /// this one in the same call did counts.
    pub expected: Option<u64>,
    /// What becomes of it.
    pub make: Make,
}

/// What becomes of a document.
#[derive(Clone)]
pub enum Make {
    /// This value.
    Put(String),
    /// It is removed, whether it is there or not.
    Remove,
    /// What the function makes of the event it goes with, if any, and of the present value, if any. None:
    /// it stays as it is.
    From(Arc<MakeValue>),
}

/// Makes a value from the event and the present value. It is called by the store's writer, once or more
/// for a change: it must be quick, must not panic, and gives the same for the same.
pub type MakeValue = dyn Fn(Option<EventId>, Option<&str>) -> Option<String> + Send + Sync;

impl std::fmt::Debug for Make {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(value) => f.debug_tuple("Put").field(value).finish(),
            Self::Remove => f.write_str("Remove"),
            Self::From(_) => f.write_str("From(…)"),
        }
    }
}

/// Which documents of one kind to read.
#[derive(Debug, Clone)]
pub struct DocumentQuery {
    /// The kind.
    pub kind: DocumentKind,
    /// Only those whose id begins with this; empty: all.
    pub prefix: String,
    /// Only those whose id comes after this one.
    pub after: Option<String>,
    /// Only those whose id comes before this one.
    pub before: Option<String>,
    /// Which end comes first.
    pub direction: Direction,
    /// How many at most.
    pub limit: usize,
}

/// How many deliveries are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pending, in flight or not.
    pub waiting: u64,
    /// Delivered.
    pub delivered: u64,
    /// Dead.
    pub dead: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Attempts made.
    pub attempts: u64,
}

/// The counts of one subscription, which may be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionCounts {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Whose it is or was.
    pub account: AccountId,
    /// Its counts.
    pub counts: Counts,
}

/// An event by what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSize {
    /// The event.
    pub id: EventId,
    /// Whose.
    pub account: AccountId,
    /// The length of its data as text.
    pub bytes: u64,
}

/// By how much an account is over its limits; zero in both if it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Excess {
    /// Events too many.
    pub events: u64,
    /// Bytes of their data too many.
    pub bytes: u64,
}

/// What one step removed of an account over its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// The events.
    pub removed: Vec<EventSize>,
    /// Where the next step goes on; none at the end.
    pub next: Option<EventId>,
}

/// What retention removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events.
    pub events: usize,
    /// The same events, one by one.
    pub removed: Vec<EventSize>,
    /// Expired idempotency keys.
    pub keys: usize,
    /// Whether the limit ended the step, so that more may be left.
    pub more: bool,
}

/// The store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Too little space is left; nothing was written. Goes away when there is space again.
    #[error("the disk is nearly full; free some space, sending goes on meanwhile")]
    StorageFull,
    /// A write or a sync failed. Nothing that was not acknowledged may be trusted; start again.
    #[error("the store failed while {action}: {detail}; restart the server, it recovers from what is on disk")]
    Failed {
        /// What was being done.
        action: &'static str,
        /// What the operating system or the engine said.
        detail: String,
    },
    /// The database cannot be reached, or did not answer in time. What was asked may or may not be stored;
    /// asking again is right. Goes away when the database is back.
    #[error("the database did not answer: {detail}; it may be stored or not, send it again with the same key")]
    Unavailable {
        /// What the network, the driver or the server said.
        detail: String,
    },
    /// Another server changed the configuration since it was read here; nothing was written.
    #[error("another server changed the configuration at the same moment; nothing was stored, send it again")]
    Overtaken,
    /// The store was closed.
    #[error("the store is closed; the server is stopping")]
    Closed,
}

/// Why events were not accepted. Nothing was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// The key of one event is known with other content.
    #[error("the key of event {index} belongs to event {first}, which says something else; use a new key for a new event")]
    KeyReused {
        /// Which event of the call, from 0.
        index: usize,
        /// The event that has the key.
        first: EventId,
    },
    /// Too many deliveries are waiting for one subscription.
    #[error("subscription {subscription} has {waiting} deliveries waiting, the most that are kept; send the events again later")]
    QueueFull {
        /// Which subscription.
        subscription: SubscriptionId,
        /// How many are waiting.
        waiting: u64,
    },
    /// A document is not what it was expected to be.
    #[error("the {} `{id}` was changed meanwhile; read it again", kind.as_str())]
    DocumentChanged {
        /// Its kind.
        kind: DocumentKind,
        /// Its id.
        id: String,
    },
    /// Another server changed the configuration by which the events were prepared; prepare them again.
    #[error("the configuration was changed meanwhile; send the events again")]
    ConfigurationChanged,
    /// The store could not do it.
    #[error("events were not stored; send them again with the same keys")]
    Store(#[from] StoreError),
}

/// Why a delivery was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangeError {
    /// There is none of this id.
    #[error("there is no delivery {0}")]
    NotFound(DeliveryId),
    /// Its state does not allow it.
    #[error("delivery {delivery} is {state}; only pending and dead deliveries can be changed")]
    Decided {
        /// Which.
        delivery: DeliveryId,
        /// Its state.
        state: StateName,
    },
    /// The store could not do it.
    #[error("the delivery was not changed")]
    Store(#[from] StoreError),
}

/// Why configuration was not changed. Nothing was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConfigureError {
    /// The record is there already, or is not what it was expected to be.
    #[error("`{id}` was changed or created by somebody else meanwhile; read it again")]
    Conflict {
        /// The record's id.
        id: String,
    },
    /// The store could not do it.
    #[error("the change was not stored")]
    Store(#[from] StoreError),
}
