//! What is kept, behind one trait.
//!
//! A [`Store`] keeps events, deliveries, their due times, attempts, documents and configuration. Its verbs are
//! those of a queue: accept, due, settle, cancel, retry, prune. Records and indexes are written once,
//! over a small ordered key-value interface; memory, sled and redb are thin adapters of that.
//!
//! Promises: what [`Store::accept`], [`Store::configure`], [`Store::cancel`], [`Store::retry`] and
//! [`Store::revive`] answered is on disk. What [`Store::settle`] answered is written and synced within 50 ms; a kill
//! loses none of it, a power cut at most those 50 ms, which repeats an attempt and never loses one.

mod verbs;
pub mod archive;
mod notices;
mod embedded;
mod options;
mod waiting;
mod writer;
mod syncer;
mod health;
mod ledger;
mod reader;
mod listing;
mod check;
mod cache;
mod layout;
mod measured;
mod record;
mod kv;
mod memory;
mod sled;
mod tail;
mod redb;
mod folder;
mod postgres;

pub use check::CheckReport;
pub use embedded::EmbeddedStore;
pub use folder::{Engine, FolderLock, Location, OpenError, open, open_folder};
pub use kv::{Batch, Direction, KeyRange, Kv, KvError, Tree, Visit, after_prefix};
pub use memory::MemoryKv;
pub use notices::{CommitNotices, FRESH_ROWS_MAX, LaneNotice};
pub use options::{FolderSpace, FreeSpace, StoreObserver, StoreOptions};
pub use postgres::{Address, AddressError, PasswordSources, PostgresStore};
pub use redb::RedbKv;
pub use sled::{SledKv, SledOptions, SledSync};
pub use verbs::{
    AcceptError, Accepted, ChangeError, ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, Counts, DecidedQuery,
    DeliveryQuery, Document, DocumentChange, DocumentKind, DocumentQuery, DuePage, DueRow, EventQuery, EventSize, Excess, Lease, Make,
    MakeValue, NewDelivery, NewEvent, NewKey, Page, Pruned, RecordQuery, Revision, Revival, RevivalRecord, Settlement, StoreError,
    SubscriptionCounts, Trimmed,
};

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::archive::{ArchivePage, ArchivePlace, Archived};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::cluster::{Epoch, LaneLeases};
use crate::delivery::Delivery;
use crate::event::{AccountId, Event};
use crate::id::{DeliveryId, EventId, SubscriptionId};

/// The number of the layout that this release writes. A store with a higher one is not opened.
pub const LAYOUT_NUMBER: u32 = 1;

/// Keeps what Postrider must not forget. One instance per data folder or database.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Stores events with their deliveries: all of them or none, on disk when this returns.
    ///
    /// An event whose key is known with the same fingerprint is not stored again; its answer names
    /// the first one. Keys are also compared within the call. Ids are given in order of acceptance.
    async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, AcceptError> {
        self.accept_with(events, Vec::new()).await
    }

    /// The same, and makes these changes of documents, which hang on no event, in the same commit, after those
    /// of the events. If a document is not as a change expects it, nothing of the call is stored.
    async fn accept_with(&self, events: Vec<NewEvent>, documents: Vec<DocumentChange>) -> Result<Vec<Accepted>, AcceptError>;

    /// The same, of events that were prepared by the configuration of this revision: if there is a newer one,
    /// [`AcceptError::ConfigurationChanged`], and nothing is stored.
    async fn accept_under(
        &self,
        revision: Revision,
        events: Vec<NewEvent>,
        documents: Vec<DocumentChange>,
    ) -> Result<Vec<Accepted>, AcceptError> {
        let Revision(_) = revision;
        self.accept_with(events, documents).await
    }

    /// One document.
    async fn document(&self, kind: DocumentKind, id: &str) -> Result<Option<Document>, StoreError>;

    /// Documents of one kind in the order of their ids, which is that of their bytes.
    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<Document>, StoreError>;

    /// The rows of one subscription that are due at `until`, earliest first, without those in `skip`.
    async fn due(
        &self,
        subscription: SubscriptionId,
        until: Timestamp,
        skip: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<DuePage, StoreError>;

    /// Records an attempt and the state that follows it. Answers with the delivery as it then stands.
    ///
    /// A delivery that was cancelled meanwhile stays so, unless the attempt delivered it. `None`: the
    /// delivery is gone, or its lane has been claimed again and the attempt did not deliver it, and nothing
    /// was written.
    async fn settle(&self, settlement: Settlement) -> Result<Option<Delivery>, StoreError>;

    /// Notes that a request is about to be handed over, until it is settled. Answers whether it may be: the
    /// row is still due as it was read, and its lane was not claimed again. Asked only where lanes are leased.
    async fn lease(&self, _lease: &Lease) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// Takes a note back, since nothing was handed over.
    async fn let_go(&self, _lease: &Lease) -> Result<(), StoreError> {
        Ok(())
    }

    /// What was in flight of a lane under claims before `epoch` and was never settled.
    async fn leased(&self, _subscription: SubscriptionId, _before: Epoch) -> Result<Vec<Lease>, StoreError> {
        Ok(Vec::new())
    }

    /// What is noted as in flight by all nodes, the lowest delivery first.
    async fn in_flight(&self) -> Result<Vec<Lease>, StoreError> {
        Ok(Vec::new())
    }

    /// Ends a pending or dead delivery as cancelled.
    async fn cancel(&self, delivery: DeliveryId, at: Timestamp) -> Result<Delivery, ChangeError> {
        self.cancel_noted(delivery, at, None).await
    }

    /// The same, and writes `note` with the change if it is made.
    async fn cancel_noted(&self, delivery: DeliveryId, at: Timestamp, note: Option<ConfigurationRecord>) -> Result<Delivery, ChangeError>;

    /// Makes a pending or dead delivery due at `at`, its counters kept, with this template version if given.
    async fn retry(&self, delivery: DeliveryId, at: Timestamp, template_version: Option<u32>) -> Result<Delivery, ChangeError> {
        self.retry_noted(delivery, at, template_version, None).await
    }

    /// The same, and writes `note` with the change if it is made.
    async fn retry_noted(
        &self,
        delivery: DeliveryId,
        at: Timestamp,
        template_version: Option<u32>,
        note: Option<ConfigurationRecord>,
    ) -> Result<Delivery, ChangeError>;

    /// Makes those of the named deliveries due that are decided as asked for, their counters kept, and writes
    /// the record that `record` makes of their number: both or neither, on disk when this returns. Answers
    /// with the number. They go outside the order they may have had.
    async fn revive(&self, revival: Revival) -> Result<usize, StoreError>;

    /// Ids of decided deliveries of one subscription, oldest first.
    async fn decided(&self, query: &DecidedQuery) -> Result<Page<DeliveryId>, StoreError>;

    /// Ends up to `limit` waiting deliveries of a subscription as cancelled; answers how many. Zero: none is left.
    async fn end_deliveries(&self, subscription: SubscriptionId, at: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// One event.
    async fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, StoreError>;

    /// The deliveries of one event, in the order of their numbers.
    async fn deliveries_of(&self, id: EventId) -> Result<Vec<Delivery>, StoreError>;

    /// One delivery.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;

    /// The attempts of one delivery, first to last.
    async fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError>;

    /// Events, newest first.
    async fn events(&self, query: &EventQuery) -> Result<Page<Arc<Event>>, StoreError>;

    /// Deliveries, newest first.
    async fn deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, StoreError>;

    /// Writes configuration: all changes or none, on disk when this returns.
    async fn configure(&self, changes: Vec<ConfigurationChange>) -> Result<(), ConfigureError>;

    /// The same by somebody who knows the configuration of this revision. If another server has changed it since,
    /// nothing is written ([`StoreError::Overtaken`]). Answers with the revision that is known then.
    async fn configure_under(&self, revision: Revision, changes: Vec<ConfigurationChange>) -> Result<Revision, ConfigureError> {
        self.configure(changes).await?;
        Ok(revision)
    }

    /// All configuration but the audit log, which is read in parts by [`Store::records`].
    async fn configuration(&self) -> Result<Vec<ConfigurationRecord>, StoreError>;

    /// The same, and which revision it is.
    async fn configuration_with_revision(&self) -> Result<(Revision, Vec<ConfigurationRecord>), StoreError> {
        Ok((Revision::default(), self.configuration().await?))
    }

    /// Which configuration is stored.
    async fn configuration_revision(&self) -> Result<Revision, StoreError> {
        Ok(Revision::default())
    }

    /// Waits until there is a configuration that is newer than `revision`, written by another server. Never,
    /// if no other server can write to the store.
    async fn configuration_after(&self, revision: Revision) -> Revision {
        let Revision(_) = revision;
        std::future::pending().await
    }

    /// Records of one kind, the last id first.
    async fn records(&self, query: &RecordQuery) -> Result<Vec<ConfigurationRecord>, StoreError>;

    /// How many deliveries of each subscription are in which state.
    async fn counts(&self) -> Result<Vec<SubscriptionCounts>, StoreError>;

    /// Removes up to `limit` events received before `before` whose deliveries are all decided, with
    /// their deliveries and attempts, and idempotency keys that expired before `now`. A store that keeps
    /// each day apart may remove more at once: the whole of a day.
    async fn prune(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<Pruned, StoreError>;

    /// One step of removing the oldest events of an account that is over its limits: of those after `after` whose
    /// deliveries are all decided at most `limit`, and no more than the excess takes, with their deliveries and
    /// attempts. Their idempotency keys stay until they expire.
    async fn trim(&self, account: &AccountId, excess: Excess, after: EventId, limit: usize) -> Result<Trimmed, StoreError>;

    /// Removes these events with their deliveries, attempts and idempotency keys, but those of which
    /// something is undecided; answers how many are gone.
    async fn remove_events(&self, events: Vec<EventId>) -> Result<usize, StoreError>;

    /// The next part of everything that is kept but configuration, oldest first; see [`archive`].
    async fn archive(&self, after: ArchivePlace, limit: usize) -> Result<ArchivePage, StoreError>;

    /// Stores parts of an archive, in its order; on disk when this returns. What is there already stays
    /// as it is. Answers how many parts were new.
    async fn restore(&self, items: Vec<Archived>) -> Result<usize, StoreError>;

    /// Whether other servers may write to the store too.
    fn is_shared(&self) -> bool {
        false
    }

    /// The leases by which several nodes share the lanes, if several may share the store.
    fn lane_leases(&self, _ttl: Duration) -> Option<Arc<dyn LaneLeases>> {
        None
    }

    /// Looks at every record and at what belongs to it, and changes nothing.
    async fn check(&self) -> Result<CheckReport, StoreError>;

    /// How many damaged records were set aside since the store was opened.
    fn quarantined(&self) -> u64 {
        0
    }

    /// Whether the store can be asked anything. One that cannot be is there again by itself.
    fn is_reachable(&self) -> bool {
        true
    }

    /// What commits tell the dispatcher.
    fn notices(&self) -> Arc<CommitNotices>;

    /// If the store was not closed properly before this opening: when it was opened. Rows that were
    /// due by then may have been sent already.
    fn unclean_stop(&self) -> Option<Timestamp>;

    /// Waits until the store has failed for good and says why. A failed store acknowledges nothing any more.
    async fn failed(&self) -> StoreError;

    /// Syncs, marks the stop as clean and lets go of the files. Later calls fail.
    async fn close(&self) -> Result<(), StoreError>;
}
