//! Between callers and the dispatcher: accept events, lease what is due, settle attempts.
//!
//! The queue is the store: an event, its deliveries and their due times are one commit, and so are an
//! attempt and the state that follows it, and so are a change of configuration and its entry in the
//! audit log, and so are an action's row in the ledger and its events. What this module adds is the configuration in memory, by which an event finds its
//! subscriptions and a call its key, the list of what is in flight, and what happened lately.

mod accept;
mod account;
mod accounts;
mod actions;
mod audit;
mod configure;
mod endpoint;
mod event_types;
mod in_flight;
mod follow;
mod inbound_key;
mod inbound_keys;
mod key;
mod operation;
mod keys;
mod kept;
mod lease;
mod offers;
mod registry;
mod replay;
mod retention;
mod sealing;
mod stats;
mod unlock;
mod visits;

pub use accept::{EmitError, IncomingEvent};
pub use account::{Account, AccountKind, AccountKinds, AccountLimits, LIMIT_MAX};
pub use accounts::{ChangeAccountError, ChangedAccount};
pub use actions::{ActionQuery, LogReport};
pub use audit::{Actor, AuditAction, AuditEntry, AuditQuery};
pub use configure::{Change, ConfigureSubscriptionError};
pub use endpoint::EndpointHealth;
pub use event_types::DefineError;
pub use follow::{follow_configuration, follow_others};
pub use in_flight::InFlight;
pub use inbound_key::{InboundKey, InboundKeys};
pub use inbound_keys::{ConfigureInboundKeyError, InboundKeySpec};
pub use key::{Key, KeyHash, KeyRef, KeyScope, LastUse, draw_key_text, is_mistyped_key};
pub use keys::{ConfigureKeyError, IssuedKey, KeySpec};
pub use offers::{ConfigureOfferError, RegisteredOffer};
pub use operation::{Operation, OperationReport};
pub use registry::Registry;
pub use replay::{Replay, ReplayError, ReplayRequest, ReplayState, run_replays};
pub use retention::{RetentionSettings, sweep};
pub use stats::{Stats, StatsQuery, SubscriptionStats};
pub use unlock::{MasterKeySource, UnlockError, discard_secrets, unlock};
pub use visits::{ClickQuery, InboundCallQuery};

pub use crate::store::{
    AcceptError, Accepted, ChangeError, CommitNotices, ConfigureError, Counts, DeliveryQuery, DuePage, DueRow, EventQuery, LaneNotice,
    Lease, Page, Settlement, StoreError, SubscriptionCounts,
};

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::attempt::Attempt;
use crate::clock::{Clock, Timestamp};
use crate::delivery::{Delivery, DeliveryState, StateName};
use crate::event::{AccountId, Event};
use crate::id::{DeliveryId, EventId, IdSource, SubscriptionId};
use crate::metrics::Metrics;
use crate::secret::Vault;
use crate::spans::Spans;
use crate::store::archive::{ArchivePage, ArchivePlace};
use crate::store::{ConfigurationRecord, Store};
use audit::Deed;

/// The queue of one server. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Queue {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    registry: RwLock<Arc<Registry>>,
    /// Which configuration `registry` is.
    revision: AtomicU64,
    /// Held while configuration is changed, so that changes reach the registry in the order of their commits.
    configuring: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
    in_flight: InFlight,
    metrics: Arc<Metrics>,
    spans: Option<Spans>,
    oldest_due: Mutex<stats::OldestDue>,
    replays: replay::Replays,
    endpoints: endpoint::Endpoints,
    /// Reports of one action take turns.
    turns: actions::Turns,
    kept: kept::KeptCounts,
    /// How long idempotency keys are remembered.
    key_lifetime: Duration,
    vault: Vault,
    operator_last_use: LastUse,
    /// What is on disk of the last uses of API keys.
    saved_last_uses: Mutex<keys::LastUses>,
}

impl Queue {
    /// Reads the configuration from `store`.
    ///
    /// `tag` marks the ids that this process gives to everything but events; `key_lifetime` is
    /// how long idempotency keys are remembered; `vault` seals and opens the secrets of subscriptions.
    ///
    /// # Errors
    /// [`StoreError`] if the configuration cannot be read.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        tag: u64,
        key_lifetime: Duration,
        vault: Vault,
    ) -> Result<Self, StoreError> {
        let (revision, records) = store.configuration_with_revision().await?;
        let registry = Registry::read(&records, &vault);
        let saved_last_uses = keys::read_last_uses(&records);
        let queue = Self {
            store,
            clock,
            ids: IdSource::new(tag, 0),
            registry: RwLock::new(Arc::new(registry)),
            revision: AtomicU64::new(revision.0),
            configuring: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(0),
            in_flight: InFlight::default(),
            metrics: Arc::default(),
            spans: None,
            oldest_due: Mutex::default(),
            replays: replay::Replays::read(&records),
            endpoints: endpoint::Endpoints::read(&records),
            turns: actions::Turns::default(),
            kept: kept::KeptCounts::default(),
            key_lifetime,
            vault,
            operator_last_use: LastUse::default(),
            saved_last_uses: Mutex::new(saved_last_uses.clone()),
        };
        queue.note_last_uses(&saved_last_uses);
        Ok(queue)
    }

    /// The same with these metrics, which others count into too.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// The same, that tells of accepted events and of attempts in spans.
    #[must_use]
    pub fn with_spans(self, spans: Option<Spans>) -> Self {
        Self { spans, ..self }
    }

    /// Where spans are told, if they are.
    #[must_use]
    pub const fn spans(&self) -> Option<&Spans> {
        self.spans.as_ref()
    }

    /// What happens, counted.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The same queue, whose accounts are kept to the families of their kinds.
    #[must_use]
    pub fn with_account_kinds(self, kinds: AccountKinds) -> Self {
        self.publish(|registry| registry.kinds = Arc::new(kinds));
        self
    }

    /// The present configuration.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells of changes of the configuration.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether the store can be asked anything; if not, it comes back by itself.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.store.is_reachable()
    }

    /// What is in flight.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// What commits tell the dispatcher.
    #[must_use]
    pub fn notices(&self) -> Arc<CommitNotices> {
        self.store.notices()
    }

    /// An id for something that happens at `now`.
    #[must_use]
    pub fn next_id(&self, now: Timestamp) -> u128 {
        self.ids.next(now.unix_ms())
    }

    /// Whether a request for a row with this due time may have been sent by an earlier process.
    #[must_use]
    pub fn possibly_sent(&self, due_at: Timestamp) -> bool {
        self.store.unclean_stop().is_some_and(|opened_at| due_at <= opened_at)
    }

    /// The next part of everything that is kept but configuration; see [`Store::archive`].
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn archive(&self, after: ArchivePlace, limit: usize) -> Result<ArchivePage, StoreError> {
        self.store.archive(after, limit).await
    }

    /// All stored configuration, secrets sealed and keys hashed.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn configuration(&self) -> Result<Vec<ConfigurationRecord>, StoreError> {
        self.store.configuration().await
    }

    /// The rows of a subscription that are due at `until`; see [`Store::due`].
    ///
    /// # Errors
    /// [`StoreError`] if the index cannot be read.
    pub async fn due(
        &self,
        subscription: SubscriptionId,
        until: Timestamp,
        skip: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        self.store.due(subscription, until, skip, limit).await
    }

    /// Records an attempt and what follows it; see [`Store::settle`].
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written; the delivery is then still due.
    pub async fn settle(&self, settlement: Settlement) -> Result<Option<Delivery>, StoreError> {
        let (mut measure, at) = (stats::measure_of(&settlement), settlement.at);
        let delivery = self.store.settle(settlement).await?;
        if let Some(delivery) = &delivery {
            measure.note.dead = matches!(delivery.state, DeliveryState::Dead { .. });
            let class = self.registry().class_of(&delivery.account);
            self.metrics.attempted((&delivery.account, class), at, &measure);
        }
        Ok(delivery)
    }

    /// One event.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        self.store.event(id).await
    }

    /// Events, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn events(&self, query: &EventQuery) -> Result<Page<Arc<Event>>, StoreError> {
        self.store.events(query).await
    }

    /// The deliveries of one event.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn deliveries_of(&self, id: EventId) -> Result<Vec<Delivery>, StoreError> {
        let mut deliveries = self.store.deliveries_of(id).await?;
        deliveries.iter_mut().for_each(|delivery| self.show_lease(delivery));
        Ok(deliveries)
    }

    /// One delivery; shown as leased while its request is in flight.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let mut delivery = self.store.delivery(id).await?;
        if let Some(delivery) = &mut delivery {
            self.show_lease(delivery);
        }
        Ok(delivery)
    }

    /// The attempts of one delivery.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.store.attempts(id).await
    }

    /// One delivery with its attempts: the state follows from those that are listed, or from later ones.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn delivery_with_attempts(&self, id: DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError> {
        let mut delivery = self.delivery(id).await?;
        let attempts = self.attempts(id).await?;
        // One was settled between the two reads.
        if delivery.as_ref().is_some_and(|delivery| attempts.len() > usize::try_from(delivery.attempts).unwrap_or(usize::MAX)) {
            delivery = self.delivery(id).await?;
        }
        Ok(delivery.map(|delivery| (delivery, attempts)))
    }

    /// Deliveries, newest first; those in flight are shown, and found, as leased.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, StoreError> {
        let wanted = &query.states;
        let stored = DeliveryQuery { states: wanted.iter().copied().map(as_stored).collect(), ..query.clone() };
        let mut page = self.store.deliveries(&stored).await?;
        page.items.iter_mut().for_each(|delivery| self.show_lease(delivery));
        page.items.retain(|delivery| wanted.is_empty() || wanted.contains(&delivery.state.name()));
        Ok(page)
    }

    fn show_lease(&self, delivery: &mut Delivery) {
        if let (DeliveryState::Pending { .. }, Some(until)) = (delivery.state, self.in_flight.until(delivery.id)) {
            delivery.state = DeliveryState::Leased { until };
        }
    }

    /// When the key of the file `operator.key` was used last.
    #[must_use]
    pub fn operator_last_use(&self) -> LastUse {
        self.operator_last_use.clone()
    }

    /// Ends a delivery as cancelled.
    ///
    /// # Errors
    /// [`ChangeError`] if there is none, it is decided, or it could not be stored.
    pub async fn cancel(&self, by: &Actor, id: DeliveryId) -> Result<Delivery, ChangeError> {
        let delivery = self.store.delivery(id).await?.ok_or(ChangeError::NotFound(id))?;
        let note = self.audit_record(by, Deed::new(AuditAction::DeliveryCancelled, Some(&delivery.account), &id));
        self.store.cancel_noted(id, self.clock.now(), Some(note)).await
    }

    /// Makes a pending or dead delivery due now, rendered with the subscription's present template.
    ///
    /// # Errors
    /// [`ChangeError`] if there is none, it is decided, or it could not be stored.
    pub async fn retry(&self, by: &Actor, id: DeliveryId) -> Result<Delivery, ChangeError> {
        let delivery = self.store.delivery(id).await?.ok_or(ChangeError::NotFound(id))?;
        let registry = self.registry();
        let Some(subscription) = registry.subscription(delivery.subscription) else {
            return Err(ChangeError::Decided { delivery: id, state: StateName::Cancelled });
        };
        let note = self.audit_record(by, Deed::new(AuditAction::DeliveryRetried, Some(&delivery.account), &id));
        self.store.retry_noted(id, self.clock.now(), Some(subscription.template_version), Some(note)).await
    }

    /// Whose a subscription is or was; none if it never had a delivery and is not there.
    ///
    /// # Errors
    /// [`StoreError`] if the counts cannot be read.
    pub async fn account_of(&self, subscription: SubscriptionId) -> Result<Option<AccountId>, StoreError> {
        if let Some(present) = self.registry().subscription(subscription) {
            return Ok(Some(present.spec.account.clone()));
        }
        // A deleted one's deliveries are kept for a while.
        Ok(self.store.counts().await?.into_iter().find(|counts| counts.subscription == subscription).map(|counts| counts.account))
    }

    /// The counts of every subscription.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn counts(&self) -> Result<Vec<SubscriptionCounts>, StoreError> {
        self.store.counts().await
    }

    /// Waits until the store has failed for good and says why.
    pub async fn failed(&self) -> StoreError {
        self.store.failed().await
    }

    /// Syncs and closes the store.
    ///
    /// # Errors
    /// [`StoreError`] if the last sync failed.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

/// The state under which the store keeps what is shown as `state`.
const fn as_stored(state: StateName) -> StateName {
    match state {
        StateName::Leased => StateName::Pending,
        other => other,
    }
}
