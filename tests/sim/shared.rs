//! One store for several nodes, as a database is: each node has its own way to it, which takes time, can be
//! cut, and can lose an answer; it hears of what the others commit late, and without rows.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use postrider::attempt::Attempt;
use postrider::clock::Timestamp;
use postrider::cluster::{Claim, Epoch, LaneLeases, LeaseError, MemoryLeases, Node, NodeReport};
use postrider::delivery::{Delivery, DeliveryState, Next};
use postrider::event::{AccountId, Event};
use postrider::id::{DeliveryId, EventId, NodeId, SubscriptionId};
use postrider::rng::{Rng, SeededRng, mix};
use postrider::store::archive::{ArchivePage, ArchivePlace, Archived};
use postrider::store::{
    AcceptError, Accepted, ChangeError, CheckReport, CommitNotices, ConfigurationChange, ConfigurationRecord, ConfigureError, DecidedQuery,
    DeliveryQuery, Document, DocumentChange, DocumentKind, DocumentQuery, DuePage, EventQuery, Excess, LaneNotice, Lease, NewEvent, Page,
    Pruned, RecordQuery, Revival, Settlement, Store, StoreError, SubscriptionCounts, Trimmed,
};
use tokio::sync::watch;

/// What all nodes share.
#[derive(Debug)]
pub struct Shared {
    pub store: Arc<dyn Store>,
    pub leases: Arc<MemoryLeases>,
    seed: u64,
    in_flight: Mutex<BTreeMap<DeliveryId, Lease>>,
    listeners: Mutex<Vec<(Arc<CommitNotices>, Arc<Link>)>>,
}

/// A node's way to the store.
#[derive(Debug)]
pub struct Link {
    cut: AtomicBool,
    rng: SeededRng,
}

impl Link {
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// A time that something takes, or another choice.
    fn below(&self, limit: u64) -> u64 {
        self.rng.bits() % limit
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub fn new(store: Arc<dyn Store>, leases: Arc<MemoryLeases>, seed: u64) -> Arc<Self> {
        Arc::new(Self { store, leases, seed, in_flight: Mutex::default(), listeners: Mutex::default() })
    }

    /// A node's view of the store, and its way there.
    pub fn join(self: &Arc<Self>) -> (NodeStore, NodeLeases, Arc<Link>) {
        let notices = Arc::new(CommitNotices::default());
        let mut listeners = self.listeners.lock().unwrap();
        let rng = SeededRng::new(mix(self.seed ^ listeners.len() as u64));
        let link = Arc::new(Link { cut: AtomicBool::new(false), rng });
        listeners.push((notices.clone(), link.clone()));
        drop(listeners);
        (NodeStore { shared: self.clone(), notices, link: link.clone() }, NodeLeases { shared: self.clone(), link: link.clone() }, link)
    }

    /// Mends a node's way; it is told to look into all lanes, since it may have missed something.
    pub fn mend(&self, link: &Arc<Link>, lanes: &[SubscriptionId]) {
        link.cut.store(false, Ordering::Relaxed);
        let listeners = self.listeners.lock().unwrap();
        let (notices, _) = listeners.iter().find(|(_, other)| Arc::ptr_eq(link, other)).unwrap();
        notices.post(lanes.iter().map(|lane| (*lane, look())));
    }

    fn tell(&self, from: &Arc<CommitNotices>) {
        let mut news: Vec<_> = self.store.notices().take().into_iter().collect();
        news.sort_unstable_by_key(|(lane, _)| *lane);
        for (lane, notice) in news {
            for (notices, link) in &*self.listeners.lock().unwrap() {
                let copy = LaneNotice {
                    fresh: Vec::new(),
                    earliest_due: notice.earliest_due.into_iter().chain(notice.fresh.iter().map(|row| row.due_at)).min(),
                    removed: notice.removed.clone(),
                    forget: notice.forget,
                };
                if !Arc::ptr_eq(notices, from) {
                    self.tell_later(notices, link, lane, copy);
                }
            }
            from.post([(lane, notice)]);
        }
    }

    fn tell_later(&self, notices: &Arc<CommitNotices>, link: &Arc<Link>, lane: SubscriptionId, notice: LaneNotice) {
        let (notices, link, wait) = (notices.clone(), link.clone(), Duration::from_millis(link.below(30)));
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if !link.is_cut() {
                notices.post([(lane, notice)]);
            }
        });
    }
}

fn look() -> LaneNotice {
    LaneNotice { earliest_due: Some(Timestamp::default()), ..LaneNotice::default() }
}

/// The store as a node reaches it.
#[derive(Debug)]
pub struct NodeStore {
    shared: Arc<Shared>,
    notices: Arc<CommitNotices>,
    link: Arc<Link>,
}

impl NodeStore {
    fn reach(&self) -> Result<(), StoreError> {
        if self.link.is_cut() { Err(StoreError::Failed { action: "writing", detail: "no connection".into() }) } else { Ok(()) }
    }

    /// Does something in the store; the node hears of it if its way there is still whole.
    async fn go<T, E: From<StoreError>>(&self, act: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::time::sleep(Duration::from_millis(self.link.below(3))).await;
        self.reach()?;
        let answer = act.await;
        self.shared.tell(&self.notices);
        tokio::time::sleep(Duration::from_millis(self.link.below(3))).await;
        self.reach()?;
        answer
    }

    async fn settle_fenced(&self, settlement: Settlement) -> Result<Option<Delivery>, StoreError> {
        let (lane, delivery, settlement_epoch) = (settlement.subscription, settlement.delivery, settlement.epoch);
        let is_stale = settlement.epoch.is_some_and(|epoch| self.shared.leases.epoch(lane) != Some(epoch));
        if is_stale && settlement.next != Next::Delivered {
            return Ok(None);
        }
        let settled = self.shared.store.settle(settlement).await?;
        self.shared
            .in_flight
            .lock()
            .unwrap()
            .retain(|id, lease| *id != delivery || settlement_epoch.is_none_or(|epoch| lease.epoch > epoch));
        if is_stale {
            let notice = LaneNotice { removed: vec![delivery], ..LaneNotice::default() };
            self.shared.store.notices().post([(lane, notice)]);
        }
        Ok(settled)
    }
}

#[async_trait]
impl Store for NodeStore {
    async fn accept_with(&self, events: Vec<NewEvent>, documents: Vec<DocumentChange>) -> Result<Vec<Accepted>, AcceptError> {
        self.go(self.shared.store.accept_with(events, documents)).await
    }

    async fn document(&self, kind: DocumentKind, id: &str) -> Result<Option<Document>, StoreError> {
        self.go(self.shared.store.document(kind, id)).await
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<Document>, StoreError> {
        self.go(self.shared.store.documents(query)).await
    }

    async fn due(&self, lane: SubscriptionId, until: Timestamp, skip: &HashSet<DeliveryId>, limit: usize) -> Result<DuePage, StoreError> {
        self.go(self.shared.store.due(lane, until, skip, limit)).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Option<Delivery>, StoreError> {
        self.go(self.settle_fenced(settlement)).await
    }

    async fn lease(&self, lease: &Lease) -> Result<bool, StoreError> {
        let act = async {
            let delivery = self.shared.store.delivery(lease.delivery).await?;
            let is_due = delivery.is_some_and(|delivery| delivery.state == DeliveryState::Pending { due_at: lease.due_at });
            let may_go = is_due && self.shared.leases.epoch(lease.subscription) == Some(lease.epoch);
            if may_go {
                self.shared.in_flight.lock().unwrap().insert(lease.delivery, lease.clone());
            }
            Ok(may_go)
        };
        self.go(act).await
    }

    async fn let_go(&self, lease: &Lease) -> Result<(), StoreError> {
        let act = async {
            self.shared.in_flight.lock().unwrap().retain(|_, other| other.attempt != lease.attempt);
            Ok(())
        };
        self.go(act).await
    }

    async fn leased(&self, lane: SubscriptionId, before: Epoch) -> Result<Vec<Lease>, StoreError> {
        let act = async {
            let in_flight = self.shared.in_flight.lock().unwrap();
            Ok(in_flight.values().filter(|lease| lease.subscription == lane && lease.epoch < before).cloned().collect())
        };
        self.go(act).await
    }

    async fn cancel_noted(&self, id: DeliveryId, at: Timestamp, note: Option<ConfigurationRecord>) -> Result<Delivery, ChangeError> {
        self.go(self.shared.store.cancel_noted(id, at, note)).await
    }

    async fn retry_noted(
        &self,
        id: DeliveryId,
        at: Timestamp,
        version: Option<u32>,
        note: Option<ConfigurationRecord>,
    ) -> Result<Delivery, ChangeError> {
        self.go(self.shared.store.retry_noted(id, at, version, note)).await
    }

    async fn revive(&self, revival: Revival) -> Result<usize, StoreError> {
        self.go(self.shared.store.revive(revival)).await
    }

    async fn decided(&self, query: &DecidedQuery) -> Result<Page<DeliveryId>, StoreError> {
        self.go(self.shared.store.decided(query)).await
    }

    async fn trim(&self, account: &AccountId, excess: Excess, after: EventId, limit: usize) -> Result<Trimmed, StoreError> {
        self.go(self.shared.store.trim(account, excess, after, limit)).await
    }

    async fn end_deliveries(&self, lane: SubscriptionId, at: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.go(self.shared.store.end_deliveries(lane, at, limit)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        self.go(self.shared.store.event(id)).await
    }

    async fn deliveries_of(&self, id: EventId) -> Result<Vec<Delivery>, StoreError> {
        self.go(self.shared.store.deliveries_of(id)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.go(self.shared.store.delivery(id)).await
    }

    async fn attempts(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.go(self.shared.store.attempts(id)).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Page<Arc<Event>>, StoreError> {
        self.go(self.shared.store.events(query)).await
    }

    async fn deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, StoreError> {
        self.go(self.shared.store.deliveries(query)).await
    }

    async fn configure(&self, changes: Vec<ConfigurationChange>) -> Result<(), ConfigureError> {
        self.go(self.shared.store.configure(changes)).await
    }

    async fn configuration(&self) -> Result<Vec<ConfigurationRecord>, StoreError> {
        self.go(self.shared.store.configuration()).await
    }

    async fn records(&self, query: &RecordQuery) -> Result<Vec<ConfigurationRecord>, StoreError> {
        self.go(self.shared.store.records(query)).await
    }

    async fn counts(&self) -> Result<Vec<SubscriptionCounts>, StoreError> {
        self.go(self.shared.store.counts()).await
    }

    async fn prune(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        self.go(self.shared.store.prune(before, now, limit)).await
    }

    async fn remove_events(&self, events: Vec<EventId>) -> Result<usize, StoreError> {
        self.go(self.shared.store.remove_events(events)).await
    }

    async fn archive(&self, after: ArchivePlace, limit: usize) -> Result<ArchivePage, StoreError> {
        self.go(self.shared.store.archive(after, limit)).await
    }

    async fn restore(&self, items: Vec<Archived>) -> Result<usize, StoreError> {
        self.go(self.shared.store.restore(items)).await
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        self.go(self.shared.store.check()).await
    }

    fn notices(&self) -> Arc<CommitNotices> {
        self.notices.clone()
    }

    fn unclean_stop(&self) -> Option<Timestamp> {
        None
    }

    async fn failed(&self) -> StoreError {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The leases as a node reaches them.
#[derive(Debug)]
pub struct NodeLeases {
    shared: Arc<Shared>,
    link: Arc<Link>,
}

impl NodeLeases {
    async fn go<T>(&self, act: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
        tokio::time::sleep(Duration::from_millis(self.link.below(20))).await;
        self.check().await?;
        let answer = act.await;
        tokio::time::sleep(Duration::from_millis(self.link.below(20))).await;
        self.check().await?;
        answer
    }

    /// A way that is cut gives an error, or no answer at all.
    async fn check(&self) -> Result<(), LeaseError> {
        match self.link.is_cut() {
            false => Ok(()),
            true if self.link.below(2) == 0 => std::future::pending().await,
            true => Err(LeaseError { detail: "no connection".into() }),
        }
    }
}

#[async_trait]
impl LaneLeases for NodeLeases {
    fn ttl(&self) -> Option<Duration> {
        self.shared.leases.ttl()
    }

    async fn beat(&self, report: &NodeReport) -> Result<Vec<Node>, LeaseError> {
        self.go(self.shared.leases.beat(report)).await
    }

    async fn claim(&self, node: NodeId, lanes: &[SubscriptionId], most: usize) -> Result<Vec<Claim>, LeaseError> {
        self.go(self.shared.leases.claim(node, lanes, most)).await
    }

    async fn renew(&self, node: NodeId, claims: &[Claim]) -> Result<Vec<Claim>, LeaseError> {
        self.go(self.shared.leases.renew(node, claims)).await
    }

    async fn release(&self, node: NodeId, claims: &[Claim]) -> Result<(), LeaseError> {
        self.go(self.shared.leases.release(node, claims)).await
    }

    async fn leave(&self, node: NodeId) -> Result<(), LeaseError> {
        self.go(self.shared.leases.leave(node)).await
    }

    async fn nodes(&self) -> Result<Vec<Node>, LeaseError> {
        self.go(self.shared.leases.nodes()).await
    }

    fn freed(&self) -> watch::Receiver<u64> {
        self.shared.leases.freed()
    }
}
