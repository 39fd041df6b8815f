//! The [`Store`] over an embedded engine.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::archive::{ArchivePage, ArchivePlace, Archived};
use super::cache::EventCache;
use super::check::CheckReport;
use super::health::Health;
use super::kv::{Kv, KvError};
use super::ledger::{Decision, Durability, EVENTS_PER_STEP_MAX, Ledger, LedgerParts};
use super::measured::MeasuredKv;
use super::options::StoreOptions;
use super::reader::Reader;
use super::waiting::{Answer, Job, QueueName, Queues, Terms};
use super::writer::Writer;
use super::{
    AcceptError, Accepted, ChangeError, CommitNotices, ConfigurationChange, ConfigurationRecord, ConfigureError, DecidedQuery,
    DeliveryQuery, Document, DocumentChange, DocumentKind, DocumentQuery, DuePage, EventQuery, Excess, LAYOUT_NUMBER, Make, NewEvent, Page,
    Pruned, RecordQuery, Revival, Settlement, Store, StoreError, SubscriptionCounts, Trimmed,
};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::event::{AccountId, Event};
use crate::id::{DeliveryId, EventId, SubscriptionId};

/// Most deliveries that one step of [`Store::end_deliveries`] ends.
const ENDED_PER_STEP_MAX: usize = 256;
/// About how many bytes a value has that is made in the writer.
const MADE_VALUE_BYTES: usize = 1_024;

/// A store in this process, over any [`Kv`].
///
/// Dropped without [`Store::close`], it stops as a kill would: nothing acknowledged is lost, and the next
/// opening reports an unclean stop.
#[derive(Debug)]
pub struct EmbeddedStore {
    parts: LedgerParts,
    notices: Arc<CommitNotices>,
    health: Arc<Health>,
    unclean_stop: Option<Timestamp>,
    closed: AtomicBool,
    mode: Mode,
    /// Held as long as the store is open, and let go last.
    _guard: Option<Box<dyn std::fmt::Debug + Send + Sync>>,
}

/// Who applies the changes.
#[derive(Debug)]
enum Mode {
    /// Each caller, one after another.
    Inline(Box<Mutex<Writer>>),
    /// The writer's thread.
    Threaded { queues: Arc<Queues>, thread: Mutex<Option<JoinHandle<()>>> },
}

/// How much a question may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// A few rows.
    Short,
    /// Thousands of rows: not on a thread that serves others.
    Long,
}

impl EmbeddedStore {
    /// A store whose changes are written in groups by a thread of its own.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the engine fails or its content was written by a later release.
    pub fn threaded(kv: impl Kv + 'static, options: StoreOptions) -> Result<Self, StoreError> {
        Self::threaded_guarded(Arc::new(kv), options, None)
    }

    /// The same, with something that is let go when the store is: a lock.
    pub(super) fn threaded_guarded(
        kv: Arc<dyn Kv>,
        options: StoreOptions,
        guard: Option<Box<dyn std::fmt::Debug + Send + Sync>>,
    ) -> Result<Self, StoreError> {
        Self::start(kv, options, guard, |mut writer| {
            writer.sync_beside()?;
            let queues = Arc::new(Queues::new());
            let served = queues.clone();
            let thread = std::thread::Builder::new()
                .name("store-writer".to_owned())
                .spawn(move || writer.run(&served))
                .map_err(|error| KvError::new("starting the writer's thread", error))?;
            Ok(Mode::Threaded { queues, thread: Mutex::new(Some(thread)) })
        })
    }

    /// A store without a thread: each change is written when its future is first polled. For tests and
    /// simulations with a paused clock.
    ///
    /// # Errors
    /// As [`EmbeddedStore::threaded`].
    pub fn inline(kv: impl Kv + 'static, options: StoreOptions) -> Result<Self, StoreError> {
        Self::start(Arc::new(kv), options, None, |writer| Ok(Mode::Inline(Box::new(Mutex::new(writer)))))
    }

    fn start(
        kv: Arc<dyn Kv>,
        options: StoreOptions,
        guard: Option<Box<dyn std::fmt::Debug + Send + Sync>>,
        mode: impl FnOnce(Writer) -> Result<Mode, KvError>,
    ) -> Result<Self, StoreError> {
        let kv = match options.observer.clone() {
            Some(observer) => Arc::new(MeasuredKv { kv, clock: options.clock.clone(), observer }),
            None => kv,
        };
        let health = Arc::new(Health::new());
        let notices = Arc::new(CommitNotices::default());
        let cache = Arc::new(EventCache::new(options.event_cache_bytes));
        let parts = LedgerParts { kv: kv.clone(), cache, quarantined: Arc::default() };
        let opened_at = options.clock.now();
        let begin = || -> Result<(Mode, bool), KvError> {
            if let Some(number) = Writer::layout_number(&*kv)?
                && number > u128::from(LAYOUT_NUMBER)
            {
                return Err(KvError::new(
                    "opening",
                    format_args!(
                        "its records have layout {number} and this release knows {LAYOUT_NUMBER}; use the release that wrote them, or a later one"
                    ),
                ));
            }
            let unclean = Writer::is_marked_running(&*kv)?;
            let ledger = Ledger::load(parts.clone(), options)?;
            let mut writer = Writer::new(ledger, kv.clone(), notices.clone(), health.clone());
            writer.mark_running()?;
            Ok((mode(writer)?, unclean))
        };
        let (mode, unclean) = begin().map_err(|KvError { action, detail }| StoreError::Failed { action, detail })?;
        let unclean_stop = unclean.then_some(opened_at);
        Ok(Self { parts, notices, health, unclean_stop, closed: AtomicBool::new(false), mode, _guard: guard })
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Has a change decided and written.
    async fn change<T, E>(&self, terms: Terms, decide: impl FnOnce(&mut Ledger) -> Decision<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.check_open()?;
        match &self.mode {
            Mode::Inline(writer) => writer.lock().unwrap_or_else(PoisonError::into_inner).commit_one(terms.durability, decide)?,
            Mode::Threaded { queues, .. } => {
                let (sender, answer) = oneshot::channel();
                let decide = Box::new(move |ledger: &mut Ledger| {
                    let decision = decide(ledger)?;
                    // The caller may be gone; the change stays.
                    Ok(Box::new(move || drop(sender.send(decision))) as Answer)
                });
                queues.push(Job { terms, decide }).await?;
                match answer.await {
                    Ok(decision) => decision,
                    Err(_) => Err(self.unanswered().await.into()),
                }
            }
        }
    }

    /// Why the writer did not answer: it was closed before, or fails at this moment.
    async fn unanswered(&self) -> StoreError {
        if self.closed.load(Ordering::Acquire) {
            return self.health.failure().unwrap_or(StoreError::Closed);
        }
        self.health.failed().await
    }

    /// Answers a question, then has the damage repaired that it came across.
    async fn read<T: Send + 'static>(
        &self,
        reading: Reading,
        read: impl FnOnce(&mut Reader) -> Result<T, KvError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        let mut reader = Reader::new(self.parts.clone());
        let (answer, damaged) = if reading == Reading::Long && matches!(self.mode, Mode::Threaded { .. }) {
            let reading = tokio::task::spawn_blocking(move || (read(&mut reader), reader.damaged));
            reading.await.map_err(|error| failed(&KvError::new("reading", error)))?
        } else {
            (read(&mut reader), reader.damaged)
        };
        self.have_repaired(damaged);
        answer.map_err(|error| failed(&error))
    }

    fn have_repaired(&self, damaged: Vec<(super::kv::Tree, Vec<u8>)>) {
        for (tree, key) in damaged {
            match &self.mode {
                Mode::Inline(writer) => {
                    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                    // A failure is noted and met by the next change.
                    let _ = writer.commit_one(Durability::Relaxed, |ledger| ledger.examine(tree, &key));
                }
                Mode::Threaded { queues, .. } => queues.try_push(Job {
                    terms: Terms { durability: Durability::Relaxed, ..DURABLE },
                    decide: Box::new(move |ledger| ledger.examine(tree, &key).map(|()| Box::new(|| ()) as Answer)),
                }),
            }
        }
    }
}

fn failed(error: &KvError) -> StoreError {
    StoreError::Failed { action: error.action, detail: error.detail.clone() }
}

/// A change that a person or a program waits for until it is on disk.
const DURABLE: Terms = Terms { queue: QueueName::Others, durability: Durability::Durable, bytes: 0, writes: 4, settles: None };

#[async_trait]
impl Store for EmbeddedStore {
    async fn accept_with(&self, events: Vec<NewEvent>, documents: Vec<DocumentChange>) -> Result<Vec<Accepted>, AcceptError> {
        let value_bytes = |change: &DocumentChange| match &change.make {
            Make::Put(value) => value.len(),
            Make::Remove => 0,
            Make::From(_) => MADE_VALUE_BYTES,
        };
        let changes = || events.iter().flat_map(|event| &event.documents).chain(&documents);
        let bytes = events.iter().map(|event| event.data.text().len() + 128 * (1 + event.deliveries.len())).sum::<usize>()
            + changes().map(|change| 128 + value_bytes(change)).sum::<usize>();
        // The event, its key with its expiry; record and due row of each delivery.
        let writes = events.iter().map(|event| 3 + 2 * event.deliveries.len()).sum::<usize>() + changes().count();
        let terms = Terms { queue: QueueName::Accepts, durability: Durability::Durable, bytes, writes, settles: None };
        self.parts.cache.clear_dropped();
        self.change(terms, |ledger| ledger.accept(events, documents)).await
    }

    async fn document(&self, kind: DocumentKind, id: &str) -> Result<Option<Document>, StoreError> {
        let id = id.to_owned();
        self.read(Reading::Short, move |reader| reader.document(kind, &id)).await
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<Document>, StoreError> {
        let query = query.clone();
        self.read(Reading::Long, move |reader| reader.documents(&query)).await
    }

    async fn due(
        &self,
        subscription: SubscriptionId,
        until: Timestamp,
        skip: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        self.check_open()?;
        let mut reader = Reader::new(self.parts.clone());
        let page = reader.due(subscription, until, skip, limit);
        self.have_repaired(reader.damaged);
        page.map_err(|error| failed(&error))
    }

    async fn settle(&self, settlement: Settlement) -> Result<Option<Delivery>, StoreError> {
        let body = |attempt: &Attempt| {
            let request = attempt.request.as_ref().map_or(0, |request| request.body.len());
            request + attempt.response.as_ref().map_or(0, |response| response.body.len())
        };
        let bytes = 512 + body(&settlement.attempt);
        let settles = Some((settlement.subscription, settlement.delivery));
        let terms = Terms { durability: Durability::Relaxed, bytes, settles, ..DURABLE };
        self.change(terms, |ledger| ledger.settle(settlement)).await
    }

    async fn cancel_noted(&self, delivery: DeliveryId, at: Timestamp, note: Option<ConfigurationRecord>) -> Result<Delivery, ChangeError> {
        self.change(DURABLE, move |ledger| {
            let decision = ledger.cancel(delivery, at)?;
            Ok(decision.inspect(|_| ledger.put_note(note)))
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
        self.change(DURABLE, move |ledger| {
            let decision = ledger.retry(delivery, at, template_version)?;
            Ok(decision.inspect(|_| ledger.put_note(note)))
        })
        .await
    }

    async fn revive(&self, revival: Revival) -> Result<usize, StoreError> {
        self.change(DURABLE, |ledger| ledger.revive(revival)).await
    }

    async fn decided(&self, query: &DecidedQuery) -> Result<Page<DeliveryId>, StoreError> {
        let query = query.clone();
        self.read(Reading::Long, move |reader| reader.decided(&query)).await
    }

    async fn end_deliveries(&self, subscription: SubscriptionId, at: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut ended = 0;
        while ended < limit {
            let step = (limit - ended).min(ENDED_PER_STEP_MAX);
            match self.change(DURABLE, move |ledger| ledger.end_deliveries(subscription, at, step)).await? {
                0 => break,
                count => ended += count,
            }
        }
        Ok(ended)
    }

    async fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        self.read(Reading::Short, move |reader| reader.event(id)).await
    }

    async fn deliveries_of(&self, id: EventId) -> Result<Vec<Delivery>, StoreError> {
        self.read(Reading::Short, move |reader| reader.deliveries_of(id)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.read(Reading::Short, move |reader| reader.delivery(id)).await
    }

    async fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.read(Reading::Short, move |reader| reader.attempts(id)).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Page<Arc<Event>>, StoreError> {
        let query = query.clone();
        self.read(Reading::Long, move |reader| reader.events(&query)).await
    }

    async fn deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, StoreError> {
        let query = query.clone();
        self.read(Reading::Long, move |reader| reader.deliveries(&query)).await
    }

    async fn configure(&self, changes: Vec<ConfigurationChange>) -> Result<(), ConfigureError> {
        self.change(DURABLE, |ledger| ledger.configure(changes)).await
    }

    async fn configuration(&self) -> Result<Vec<ConfigurationRecord>, StoreError> {
        self.read(Reading::Long, Reader::configuration).await
    }

    async fn records(&self, query: &RecordQuery) -> Result<Vec<ConfigurationRecord>, StoreError> {
        let query = query.clone();
        self.read(Reading::Long, move |reader| reader.records(&query)).await
    }

    async fn counts(&self) -> Result<Vec<SubscriptionCounts>, StoreError> {
        self.read(Reading::Short, Reader::counts).await
    }

    async fn prune(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        loop {
            let left = limit.saturating_sub(pruned.events);
            let step = self.change(DURABLE, move |ledger| ledger.prune(before, now, left.min(EVENTS_PER_STEP_MAX))).await?;
            pruned.events += step.events;
            pruned.removed.extend(step.removed);
            pruned.keys += step.keys;
            pruned.more = step.more;
            if !step.more || pruned.events >= limit {
                return Ok(pruned);
            }
        }
    }

    async fn trim(&self, account: &AccountId, excess: Excess, after: EventId, limit: usize) -> Result<Trimmed, StoreError> {
        let account = account.clone();
        self.change(DURABLE, move |ledger| ledger.trim(&account, excess, after, limit.min(EVENTS_PER_STEP_MAX))).await
    }

    async fn remove_events(&self, events: Vec<EventId>) -> Result<usize, StoreError> {
        let mut removed = 0;
        for step in events.chunks(EVENTS_PER_STEP_MAX) {
            let step = step.to_vec();
            removed += self.change(DURABLE, move |ledger| ledger.remove_events(&step)).await?;
        }
        Ok(removed)
    }

    async fn archive(&self, after: ArchivePlace, limit: usize) -> Result<ArchivePage, StoreError> {
        self.read(Reading::Long, move |reader| reader.archive(after, limit)).await
    }

    async fn restore(&self, items: Vec<Archived>) -> Result<usize, StoreError> {
        self.change(DURABLE, move |ledger| ledger.restore(items)).await
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        self.read(Reading::Long, Reader::check).await
    }

    fn quarantined(&self) -> u64 {
        self.parts.quarantined.load(Ordering::Relaxed)
    }

    fn notices(&self) -> Arc<CommitNotices> {
        self.notices.clone()
    }

    fn unclean_stop(&self) -> Option<Timestamp> {
        self.unclean_stop
    }

    async fn failed(&self) -> StoreError {
        self.health.failed().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(StoreError::Closed);
        }
        match &self.mode {
            Mode::Inline(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                match self.health.failure() {
                    Some(failure) => Err(failure),
                    None => writer.close().map_err(|error| self.health.fail(&error)),
                }
            }
            Mode::Threaded { queues, .. } => match queues.close().await {
                Ok(closed) => closed,
                Err(_) => Err(self.health.failure().unwrap_or(StoreError::Closed)),
            },
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        let Mode::Threaded { queues, thread } = &self.mode else { return };
        queues.abandon();
        if let Some(thread) = thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The thread catches panics; there is nothing to learn from how it ended.
            let _ = thread.join();
        }
    }
}
