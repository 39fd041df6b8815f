//! The [`Store`] over a database of Postgres.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::fence::Fence;
use super::fetch::ConfigurationUse;
use super::inbox::{Asked, Inbox, Job, Kind};
use super::known::Need;
use super::lanes::PostgresLeases;
use super::leases::Leases;
use super::node::Node;
use super::opening::{Opened, Opening};
use super::retention::{Retention, remove_events, trim};
use super::session::{Connector, Readers};
use super::write::is_decided_by;
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::cluster::{Epoch, LaneLeases};
use crate::delivery::Delivery;
use crate::event::{AccountId, Event};
use crate::id::{DeliveryId, EventId, SubscriptionId};
use crate::store::archive::{ArchivePage, ArchivePlace, Archived};
use crate::store::cache::EventCache;
use crate::store::kv::Tree;
use crate::store::ledger::{Decision, Ledger};
use crate::store::{
    AcceptError, Accepted, ChangeError, CheckReport, CommitNotices, ConfigurationChange, ConfigurationKind, ConfigurationRecord,
    ConfigureError, DecidedQuery, DeliveryQuery, Document, DocumentChange, DocumentKind, DocumentQuery, DuePage, EventQuery, Excess, Lease,
    Make, NewEvent, OpenError, Page, Pruned, RecordQuery, Revision, Revival, Settlement, Store, StoreError, StoreOptions,
    SubscriptionCounts, Trimmed, layout,
};

/// Most deliveries that one step of [`Store::end_deliveries`] ends.
const ENDED_PER_STEP_MAX: usize = 256;
/// Most parts of an archive that are restored in one transaction.
const RESTORED_PER_STEP_MAX: usize = 128;
/// About how many bytes a value has that is made in the writer.
const MADE_VALUE_BYTES: usize = 1_024;

/// A store in a database.
///
/// A thread of its own drives the connections and the writer. Dropped without [`Store::close`], it stops as
/// a kill would: nothing acknowledged is lost, and the next opening reports an unclean stop.
#[derive(Debug)]
pub struct PostgresStore {
    inbox: Arc<Inbox>,
    readers: Arc<Readers>,
    node: Arc<Node>,
    leases: Leases,
    cache: Arc<EventCache>,
    notices: Arc<CommitNotices>,
    retention: Retention,
    unclean_stop: Option<Timestamp>,
    closed: AtomicBool,
    abandoned: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a change is, besides what it does.
struct Terms {
    kind: Kind,
    configuration: ConfigurationUse,
    bytes: usize,
    needs: Vec<Need>,
    fence: Option<Arc<Fence>>,
}

impl Terms {
    fn other(needs: Vec<Need>) -> Self {
        Self { kind: Kind::Other, configuration: ConfigurationUse::None, bytes: 512, needs, fence: None }
    }
}

impl PostgresStore {
    /// Connects, makes or updates the tables, and takes up what an earlier process left. Blocks.
    ///
    /// # Errors
    /// [`OpenError::Database`] if the database cannot be reached or its tables cannot be used.
    pub fn open(address: &Address, options: StoreOptions) -> Result<Self, OpenError> {
        let fail = |detail: String| OpenError::Database { address: address.to_string(), detail };
        let node = Arc::new(Node::new(options.node.clone(), options.tag));
        let (inbox, notices) = (Arc::new(Inbox::new()), Arc::new(CommitNotices::default()));
        let cache = Arc::new(EventCache::new(options.event_cache_bytes));
        let opening = Opening {
            connector: Connector::new(address.clone()).map_err(fail)?,
            node: node.clone(),
            inbox: inbox.clone(),
            notices: notices.clone(),
            cache: cache.clone(),
            options,
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| fail(error.to_string()))?;
        let abandoned = CancellationToken::new();
        let (opened, wait) = mpsc::channel();
        let ended = abandoned.clone();
        let thread = std::thread::Builder::new()
            .name("store-postgres".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = opening.serve(&opened) => {}
                        () = ended.cancelled() => {}
                    }
                });
                // Connections that are still being made or driven go with it.
                runtime.shutdown_background();
            })
            .map_err(|error| fail(error.to_string()))?;
        let opened = wait.recv().unwrap_or_else(|_| Err("its thread ended".to_owned()));
        let Opened { readers, leases, unclean_stop } = opened.map_err(fail)?;
        Ok(Self {
            inbox,
            readers,
            node,
            leases,
            cache,
            notices,
            retention: Retention::default(),
            unclean_stop,
            closed: AtomicBool::new(false),
            abandoned,
            thread: Mutex::new(Some(thread)),
        })
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Has a change decided and written.
    async fn change<T, E>(
        &self,
        terms: Terms,
        decide: impl FnMut(&mut Ledger, Option<Revision>) -> Decision<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.check_open()?;
        let Terms { kind, configuration, bytes, needs, fence } = terms;
        let (change, answer) = Asked::new(decide);
        self.inbox.push(Job { kind, configuration, bytes, needs, fence, change: Box::new(change) }).await?;
        // Unanswered: the store was closed, or dropped.
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// To which subscription a delivery is owed, which never changes.
    async fn subscription_of(&self, delivery: DeliveryId) -> Result<SubscriptionId, ChangeError> {
        self.check_open()?;
        Ok(self.readers.delivery(delivery).await?.ok_or(ChangeError::NotFound(delivery))?.subscription)
    }
}

fn delivery_need(subscription: SubscriptionId, delivery: DeliveryId) -> Need {
    Need::Record(Tree::Deliveries, layout::delivery_key(subscription, delivery).to_vec())
}

/// What an accept has to know: its keys, the heads of its orders, its documents.
fn accept_needs(events: &[NewEvent], documents: &[DocumentChange]) -> Vec<Need> {
    let mut needs = Vec::new();
    for event in events {
        needs.extend(event.key.as_ref().map(|key| Need::Record(Tree::Keys, key.digest.to_vec())));
        for delivery in &event.deliveries {
            let order = delivery.order_key.as_ref();
            needs.extend(order.map(|order| Need::First(Tree::Order, layout::order_prefix(delivery.subscription, order).to_vec(), 1)));
        }
    }
    let changes = events.iter().flat_map(|event| &event.documents).chain(documents);
    needs.extend(changes.map(|change| Need::Record(Tree::Documents, layout::document_key(change.kind, &change.id))));
    needs
}

fn accept_bytes(events: &[NewEvent], documents: &[DocumentChange]) -> usize {
    let value_bytes = |change: &DocumentChange| match &change.make {
        Make::Put(value) => value.len(),
        Make::Remove => 0,
        Make::From(_) => MADE_VALUE_BYTES,
    };
    let changes = events.iter().flat_map(|event| &event.documents).chain(documents);
    events.iter().map(|event| event.data.text().len() + 128 * (1 + event.deliveries.len())).sum::<usize>()
        + changes.map(|change| 128 + value_bytes(change)).sum::<usize>()
}

fn configuration_place(change: &ConfigurationChange) -> Vec<u8> {
    match change {
        ConfigurationChange::Put { record, .. } | ConfigurationChange::Replace { record, .. } => {
            layout::configuration_key(record.kind, &record.id)
        }
        ConfigurationChange::Remove { kind, id } => layout::configuration_key(*kind, id),
    }
}

fn configure_terms(changes: &[ConfigurationChange]) -> Terms {
    Terms {
        kind: Kind::Other,
        configuration: ConfigurationUse::Writes,
        bytes: 1_024 * changes.len(),
        needs: changes.iter().map(|change| Need::Record(Tree::Configuration, configuration_place(change))).collect(),
        fence: None,
    }
}

const fn kind_of(change: &ConfigurationChange) -> ConfigurationKind {
    match change {
        ConfigurationChange::Put { record, .. } | ConfigurationChange::Replace { record, .. } => record.kind,
        ConfigurationChange::Remove { kind, .. } => *kind,
    }
}

/// Whether each part of an archive is there already.
fn restore_need(item: &Archived) -> Need {
    match item {
        Archived::Key(key) => Need::Record(Tree::Keys, key.digest.to_vec()),
        Archived::Event(event) => Need::Record(Tree::Events, layout::event_key(event.event.id).to_vec()),
        Archived::Audit(record) => Need::Record(Tree::Configuration, layout::configuration_key(record.kind, &record.id)),
        Archived::Document(document) => Need::Record(Tree::Documents, layout::document_key(document.kind, &document.id)),
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn accept_with(&self, events: Vec<NewEvent>, documents: Vec<DocumentChange>) -> Result<Vec<Accepted>, AcceptError> {
        self.accept_under(Revision(u64::MAX), events, documents).await
    }

    async fn accept_under(
        &self,
        revision: Revision,
        events: Vec<NewEvent>,
        documents: Vec<DocumentChange>,
    ) -> Result<Vec<Accepted>, AcceptError> {
        let terms = Terms {
            kind: Kind::Accept,
            configuration: ConfigurationUse::Reads,
            bytes: accept_bytes(&events, &documents),
            needs: accept_needs(&events, &documents),
            fence: None,
        };
        self.cache.clear_dropped();
        self.change(terms, move |ledger, found| {
            if found.is_some_and(|found| found > revision) {
                return Ok(Err(AcceptError::ConfigurationChanged));
            }
            ledger.accept(events.clone(), documents.clone())
        })
        .await
    }

    async fn document(&self, kind: DocumentKind, id: &str) -> Result<Option<Document>, StoreError> {
        self.readers.document(kind, id).await
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<Document>, StoreError> {
        self.readers.documents(query).await
    }

    async fn due(
        &self,
        subscription: SubscriptionId,
        until: Timestamp,
        skip: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        self.readers.due(&self.cache, subscription, until, skip, limit).await
    }

    async fn lease(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.check_open()?;
        self.leases.take(lease.clone()).await
    }

    async fn let_go(&self, lease: &Lease) -> Result<(), StoreError> {
        self.readers.let_go(lease).await
    }

    async fn leased(&self, subscription: SubscriptionId, before: Epoch) -> Result<Vec<Lease>, StoreError> {
        self.readers.leased(subscription, before).await
    }

    async fn in_flight(&self) -> Result<Vec<Lease>, StoreError> {
        self.readers.in_flight().await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Option<Delivery>, StoreError> {
        let terms = settle_terms(&settlement);
        let fence = terms.fence.clone();
        let decide = move |ledger: &mut Ledger, _| {
            if fence.as_ref().is_some_and(|fence| fence.forbids()) { Ok(Ok(None)) } else { ledger.settle(settlement.clone()) }
        };
        self.change(terms, decide).await
    }

    async fn cancel_noted(&self, delivery: DeliveryId, at: Timestamp, note: Option<ConfigurationRecord>) -> Result<Delivery, ChangeError> {
        let subscription = self.subscription_of(delivery).await?;
        self.change(Terms::other(vec![delivery_need(subscription, delivery)]), move |ledger, _| {
            let decision = ledger.cancel_of(subscription, delivery, at)?;
            Ok(decision.inspect(|_| ledger.put_note(note.clone())))
        })
        .await
    }

    async fn retry_noted(
        &self,
        delivery: DeliveryId,
        at: Timestamp,
        template_version: Option<u32>,
        note: Option<ConfigurationRecord>,
    ) -> Result<Delivery, ChangeError> {
        let subscription = self.subscription_of(delivery).await?;
        self.change(Terms::other(vec![delivery_need(subscription, delivery)]), move |ledger, _| {
            let decision = ledger.retry_of(subscription, delivery, at, template_version)?;
            Ok(decision.inspect(|_| ledger.put_note(note.clone())))
        })
        .await
    }

    async fn revive(&self, revival: Revival) -> Result<usize, StoreError> {
        let needs = revival.deliveries.iter().map(|&delivery| delivery_need(revival.subscription, delivery)).collect();
        self.change(Terms::other(needs), move |ledger, _| ledger.revive(revival.clone())).await
    }

    async fn decided(&self, query: &DecidedQuery) -> Result<Page<DeliveryId>, StoreError> {
        self.readers.decided(query).await
    }

    async fn end_deliveries(&self, subscription: SubscriptionId, at: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut ended = 0;
        while ended < limit {
            let step = (limit - ended).min(ENDED_PER_STEP_MAX);
            let range = |tree| Need::First(tree, layout::subscription_key(subscription).to_vec(), 2 * step);
            let terms = Terms::other(vec![range(Tree::Order), range(Tree::Due)]);
            match self.change(terms, move |ledger, _| ledger.end_deliveries(subscription, at, step)).await? {
                0 => break,
                count => ended += count,
            }
        }
        Ok(ended)
    }

    async fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        self.readers.event(&self.cache, id).await
    }

    async fn deliveries_of(&self, id: EventId) -> Result<Vec<Delivery>, StoreError> {
        self.readers.deliveries_of(id).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.readers.delivery(id).await
    }

    async fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.readers.attempts(id).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Page<Arc<Event>>, StoreError> {
        self.readers.events(query).await
    }

    async fn deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, StoreError> {
        self.readers.deliveries(query).await
    }

    async fn configure(&self, changes: Vec<ConfigurationChange>) -> Result<(), ConfigureError> {
        self.change(configure_terms(&changes), move |ledger, _| ledger.configure(changes.clone())).await
    }

    async fn configure_under(&self, revision: Revision, changes: Vec<ConfigurationChange>) -> Result<Revision, ConfigureError> {
        let terms = configure_terms(&changes);
        let decides = changes.iter().any(|change| is_decided_by(kind_of(change)));
        self.change(terms, move |ledger, found| {
            if decides && found.is_some_and(|found| found > revision) {
                return Ok(Err(StoreError::Overtaken.into()));
            }
            let known = if decides { Revision(revision.0 + 1) } else { revision };
            Ok(ledger.configure(changes.clone())?.map(|()| known))
        })
        .await
    }

    async fn configuration(&self) -> Result<Vec<ConfigurationRecord>, StoreError> {
        Ok(self.readers.configuration().await?.1)
    }

    async fn configuration_with_revision(&self) -> Result<(Revision, Vec<ConfigurationRecord>), StoreError> {
        self.readers.configuration().await
    }

    async fn configuration_revision(&self) -> Result<Revision, StoreError> {
        self.readers.configuration_revision().await
    }

    async fn configuration_after(&self, revision: Revision) -> Revision {
        let mut seen = self.node.revisions();
        let found = seen.wait_for(|seen| *seen > revision).await.map(|seen| *seen);
        match found {
            Ok(found) => found,
            // The node lives as long as this store.
            Err(_) => std::future::pending().await,
        }
    }

    async fn records(&self, query: &RecordQuery) -> Result<Vec<ConfigurationRecord>, StoreError> {
        self.readers.records(query).await
    }

    async fn counts(&self) -> Result<Vec<SubscriptionCounts>, StoreError> {
        self.readers.counts().await
    }

    async fn prune(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        let pruned = self.retention.prune(&self.readers, self.node.slot(), before, now, limit).await?;
        if pruned.events > 0 {
            self.cache.clear();
        }
        Ok(pruned)
    }

    async fn trim(&self, account: &AccountId, excess: Excess, after: EventId, limit: usize) -> Result<Trimmed, StoreError> {
        let trimmed = trim(&self.readers, self.node.slot(), (account, excess), after, limit).await?;
        trimmed.removed.iter().for_each(|event| self.cache.remove(event.id));
        Ok(trimmed)
    }

    async fn remove_events(&self, events: Vec<EventId>) -> Result<usize, StoreError> {
        let removed = remove_events(&self.readers, self.node.slot(), &events).await?;
        self.cache.clear();
        Ok(removed)
    }

    async fn archive(&self, after: ArchivePlace, limit: usize) -> Result<ArchivePage, StoreError> {
        self.readers.archive(after, limit).await
    }

    async fn restore(&self, mut items: Vec<Archived>) -> Result<usize, StoreError> {
        let mut taken = 0;
        // In order, one step after another: a delivery that waits for another is known by the other's row.
        while !items.is_empty() {
            let later = items.split_off(items.len().min(RESTORED_PER_STEP_MAX));
            let step = std::mem::replace(&mut items, later);
            let terms = Terms {
                kind: Kind::Other,
                configuration: ConfigurationUse::None,
                bytes: 4_096 * step.len(),
                needs: step.iter().map(restore_need).collect(),
                fence: None,
            };
            taken += self.change(terms, move |ledger, _| ledger.restore(step.clone())).await?;
        }
        Ok(taken)
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        self.readers.check().await
    }

    fn lane_leases(&self, ttl: Duration) -> Option<Arc<dyn LaneLeases>> {
        Some(Arc::new(PostgresLeases::new(ttl, self.readers.clone(), self.node.clone())))
    }

    fn notices(&self) -> Arc<CommitNotices> {
        self.notices.clone()
    }

    fn unclean_stop(&self) -> Option<Timestamp> {
        self.unclean_stop
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_reachable(&self) -> bool {
        self.node.is_reachable()
    }

    /// Never: a database that is away comes back, and what it answered it keeps.
    async fn failed(&self) -> StoreError {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(StoreError::Closed);
        }
        let closed = self.inbox.close().await.unwrap_or(Err(StoreError::Closed));
        self.readers.close();
        closed
    }
}

fn settle_terms(settlement: &Settlement) -> Terms {
    let Attempt { number, request, response, .. } = &settlement.attempt;
    let body = request.as_ref().map_or(0, |request| request.body.len()) + response.as_ref().map_or(0, |response| response.body.len());
    let needs = vec![
        delivery_need(settlement.subscription, settlement.delivery),
        Need::Record(Tree::Attempts, layout::attempt_key(settlement.delivery, *number).to_vec()),
    ];
    Terms { kind: Kind::Settle, configuration: ConfigurationUse::None, bytes: 512 + body, needs, fence: Fence::of(settlement) }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.abandoned.cancel();
        self.inbox.abandon();
        self.readers.close();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // How it ended is of no interest any more.
            let _ = thread.join();
        }
    }
}
