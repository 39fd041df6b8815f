//! Keeps a node's leases: tells that the node is there, renews what it owns, takes its share and no more.
//!
//! ```text
//! each third of a lease:  renew ─▶ beat, see who else is there ─▶ share ─┬ too many: give some back, each when nothing of it is in flight
//!                                                                        └ too few: claim what nobody holds
//! at a stop:              give each lane back when nothing of it is in flight ─▶ leave
//! ```
//!
//! A node that does not reach the store any more does nothing about it: its leases end by its own clocks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease::{Moment, Tenure};
use super::leases::{Claim, JOBS, Job, LaneLeases, LeaseError};
use super::node::{Node, NodeReport, Role};
use super::orders::{Membership, Order, Turn};
use super::share::share_of;
use crate::clock::Clock;
use crate::id::SubscriptionId;

/// Pause before something is tried again that the store did not do.
const RETRY: Duration = Duration::from_secs(1);
/// Least time between two looks for free lanes.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How often the only node of a store tells of itself, to nobody but itself.
const BEAT_ALONE: Duration = Duration::from_secs(5);
/// How many parts of a lease are kept back, for clocks that run at different speeds.
const MARGIN_PARTS: u32 = 15;

/// What a node has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Lanes that it owns.
    pub lanes: usize,
    /// Requests in flight.
    pub in_flight: usize,
}

/// What a keeper needs to know.
#[derive(Clone)]
pub struct KeeperSettings {
    /// Where leases are kept.
    pub leases: Arc<dyn LaneLeases>,
    /// The node's clocks.
    pub clock: Arc<dyn Clock>,
    /// The node; its load is asked for at each beat.
    pub node: NodeReport,
    /// Tells what the node has to do.
    pub load: Arc<dyn Fn() -> Load + Send + Sync>,
}

impl std::fmt::Debug for KeeperSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeeperSettings").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Keeps the leases of one node. Run it once.
#[derive(Debug)]
pub struct Keeper {
    settings: KeeperSettings,
    nodes: Vec<Node>,
    held: BTreeMap<SubscriptionId, Arc<Tenure>>,
    jobs: [(Job, watch::Sender<Option<Arc<Tenure>>>); JOBS.len()],
    wanted: watch::Receiver<Arc<[SubscriptionId]>>,
    /// Set on a node that sends.
    dispatcher: Option<(UnboundedSender<Order>, UnboundedReceiver<SubscriptionId>)>,
    /// Whether the store did not answer the last time.
    is_cut_off: bool,
}

/// What a keeper waits for.
enum Wake {
    Round,
    /// There are other lanes to be owned.
    Look,
    /// Lanes are free: somebody may be leaving.
    Freed,
    Release(Vec<SubscriptionId>),
    Stop,
    /// The dispatcher is gone.
    Over,
}

impl Keeper {
    /// A keeper, and the dispatcher's end if lanes are leased and the node sends.
    #[must_use]
    pub fn new(settings: KeeperSettings) -> (Self, Option<Membership>) {
        let (wanted, seen) = watch::channel(Arc::from([]));
        let jobs = JOBS.map(|job| (job, watch::Sender::new(None)));
        let mut keeper =
            Self { settings, nodes: Vec::new(), held: BTreeMap::new(), jobs, wanted: seen, dispatcher: None, is_cut_off: false };
        if keeper.settings.leases.ttl().is_none() || !keeper.settings.node.roles.has(Role::Dispatch) {
            return (keeper, None);
        }
        let (orders, taken) = unbounded_channel();
        let (released, given_back) = unbounded_channel();
        keeper.dispatcher = Some((orders, given_back));
        (keeper, Some(Membership { orders: taken, released, wanted }))
    }

    /// Tells when it is this node that does a job.
    #[must_use]
    pub fn turn(&self, job: Job) -> Turn {
        if self.settings.leases.ttl().is_none() {
            return Turn::always();
        }
        let (_, tenure) = self.jobs.iter().find(|(other, _)| *other == job).expect("there is an entry for every job");
        Turn::leased(tenure.subscribe(), self.settings.clock.clone())
    }

    /// Keeps leases until `stop` and until the dispatcher is over, then gives everything back.
    pub async fn run(mut self, stop: CancellationToken) {
        let Some(ttl) = self.settings.leases.ttl() else { return self.run_alone(stop).await };
        let mut freed = self.settings.leases.freed();
        let mut round_at = self.settings.clock.instant();
        loop {
            match self.wake(round_at, &stop, &mut freed).await {
                Wake::Round => {
                    let done = self.round(ttl).await;
                    round_at = self.settings.clock.instant() + if self.is_done(done) { ttl / 3 } else { RETRY };
                }
                Wake::Look => {
                    // What cannot be claimed now is claimed in the next round.
                    let done = self.balance(ttl).await;
                    self.is_done(done);
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                Wake::Freed => {
                    let done = self.look_around(ttl).await;
                    self.is_done(done);
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                Wake::Release(lanes) => self.release(&lanes, ttl).await,
                Wake::Stop => {
                    self.settings.node.leaving = true;
                    if self.dispatcher.is_none() {
                        return self.leave(ttl).await;
                    }
                    // Before lanes are given back, so that the others know that they may take more.
                    let done = self.look_around(ttl).await;
                    self.is_done(done);
                    self.end_jobs(ttl).await;
                }
                Wake::Over => return self.leave(ttl).await,
            }
        }
    }

    async fn run_alone(self, stop: CancellationToken) {
        loop {
            let report = self.report();
            // It has nobody to ask, so that it cannot fail.
            let _ = self.settings.leases.beat(&report).await;
            tokio::select! {
                () = stop.cancelled(), if !self.settings.node.leaving => return,
                () = tokio::time::sleep(BEAT_ALONE) => {}
            }
        }
    }

    async fn wake(&mut self, round_at: Instant, stop: &CancellationToken, freed: &mut watch::Receiver<u64>) -> Wake {
        let leaving = self.settings.node.leaving;
        let released = async {
            match &mut self.dispatcher {
                None => std::future::pending().await,
                Some((_, released)) => {
                    let mut lanes = Vec::new();
                    released.recv_many(&mut lanes, usize::MAX >> 1).await;
                    lanes
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled(), if !leaving => Wake::Stop,
            lanes = released => if lanes.is_empty() { Wake::Over } else { Wake::Release(lanes) },
            () = tokio::time::sleep_until(round_at) => Wake::Round,
            Ok(()) = self.wanted.changed(), if !leaving => Wake::Look,
            Ok(()) = freed.changed(), if !leaving => Wake::Freed,
        }
    }

    /// Renews, tells of the node, and takes or gives back lanes.
    async fn round(&mut self, ttl: Duration) -> Result<(), LeaseError> {
        self.renew(ttl).await?;
        self.look_around(ttl).await?;
        self.take_jobs(ttl).await
    }

    /// Tells of the node, and takes or gives back lanes by who else is there.
    async fn look_around(&mut self, ttl: Duration) -> Result<(), LeaseError> {
        let report = self.report();
        self.nodes = within(ttl, self.settings.leases.beat(&report)).await?;
        self.balance(ttl).await
    }

    fn report(&self) -> NodeReport {
        let Load { lanes, in_flight } = (self.settings.load)();
        NodeReport { lanes, in_flight, ..self.settings.node.clone() }
    }

    fn job_tenures(&self) -> Vec<Arc<Tenure>> {
        self.jobs.iter().filter_map(|(_, tenure)| tenure.borrow().clone()).collect()
    }

    async fn renew(&mut self, ttl: Duration) -> Result<(), LeaseError> {
        let claims: Vec<_> = self.held.values().chain(&self.job_tenures()).map(claim_of).collect();
        if claims.is_empty() {
            return Ok(());
        }
        let asked = Moment::of(&*self.settings.clock);
        let stand = within(ttl, self.settings.leases.renew(self.settings.node.id, &claims)).await?;
        let span = span(ttl);
        for (_, job) in &self.jobs {
            job.send_modify(|tenure| match tenure.take() {
                Some(present) if stand.contains(&claim_of(&present)) => {
                    present.renew(asked, span);
                    *tenure = Some(present);
                }
                _ => {}
            });
        }
        let stand: BTreeMap<_, _> = stand.into_iter().map(|claim| (claim.lane, claim.epoch)).collect();
        let (mut lost, mut resumed) = (Vec::new(), Vec::new());
        for (lane, tenure) in &self.held {
            if stand.get(lane) == Some(&tenure.epoch()) {
                let had_ended = !tenure.holds(&*self.settings.clock);
                tenure.renew(asked, span);
                resumed.extend(had_ended.then_some(*lane));
            } else {
                lost.push(*lane);
            }
        }
        if !lost.is_empty() {
            tracing::warn!(lanes = lost.len(), "lanes are with another node, since their leases had ended");
        }
        for lane in lost {
            self.held.remove(&lane);
            self.order(Order::Stop(lane));
        }
        resumed.into_iter().for_each(|lane| self.order(Order::Resume(lane)));
        Ok(())
    }

    /// Claims what is short of the share; has given back what is beyond it.
    async fn balance(&mut self, ttl: Duration) -> Result<(), LeaseError> {
        if self.dispatcher.is_none() || self.nodes.is_empty() || self.settings.node.leaving {
            return Ok(());
        }
        let wanted = self.wanted.borrow_and_update().clone();
        let share = share_of(self.settings.node.id, &self.nodes, wanted.len());
        if self.held.len() > share {
            self.order(Order::Keep(share));
            return Ok(());
        }
        let free: Vec<_> = wanted.iter().filter(|lane| !self.held.contains_key(lane)).copied().collect();
        let short = (share - self.held.len()).min(free.len());
        if short == 0 {
            return Ok(());
        }
        for tenure in self.claim(&free, short, ttl).await? {
            self.held.insert(tenure.lane(), tenure.clone());
            self.order(Order::Start(tenure));
        }
        Ok(())
    }

    async fn take_jobs(&mut self, ttl: Duration) -> Result<(), LeaseError> {
        if self.settings.node.leaving || !self.settings.node.roles.has(Role::Dispatch) {
            return Ok(());
        }
        let open: Vec<_> = self.jobs.iter().filter(|(_, tenure)| tenure.borrow().is_none()).map(|(job, _)| job.lane()).collect();
        if open.is_empty() {
            return Ok(());
        }
        for tenure in self.claim(&open, open.len(), ttl).await? {
            let job = self.jobs.iter().find(|(job, _)| job.lane() == tenure.lane());
            job.iter().for_each(|(_, turn)| drop(turn.send_replace(Some(tenure.clone()))));
        }
        Ok(())
    }

    async fn claim(&self, lanes: &[SubscriptionId], most: usize, ttl: Duration) -> Result<Vec<Arc<Tenure>>, LeaseError> {
        let asked = Moment::of(&*self.settings.clock);
        let claims = within(ttl, self.settings.leases.claim(self.settings.node.id, lanes, most)).await?;
        Ok(claims.into_iter().map(|claim| Arc::new(Tenure::new(claim.lane, claim.epoch, asked, span(ttl)))).collect())
    }

    /// Gives lanes back. If the store does not hear of it, their leases end by themselves.
    async fn release(&mut self, lanes: &[SubscriptionId], ttl: Duration) {
        let claims: Vec<_> = lanes.iter().filter_map(|lane| self.held.remove(lane)).map(|tenure| claim_of(&tenure)).collect();
        self.give_back(&claims, ttl).await;
    }

    async fn end_jobs(&mut self, ttl: Duration) {
        let claims: Vec<_> = self.job_tenures().iter().map(claim_of).collect();
        self.jobs.iter().for_each(|(_, turn)| drop(turn.send_replace(None)));
        self.give_back(&claims, ttl).await;
    }

    async fn give_back(&mut self, claims: &[Claim], ttl: Duration) {
        if !claims.is_empty() {
            let done = within(ttl, self.settings.leases.release(self.settings.node.id, claims)).await;
            self.is_done(done);
        }
    }

    async fn leave(mut self, ttl: Duration) {
        let lanes: Vec<_> = self.held.keys().copied().collect();
        self.release(&lanes, ttl).await;
        self.end_jobs(ttl).await;
        let done = within(ttl, self.settings.leases.leave(self.settings.node.id)).await;
        self.is_done(done);
    }

    fn order(&self, order: Order) {
        if let Some((orders, _)) = &self.dispatcher {
            // A dispatcher that is gone is heard of as soon as the keeper waits.
            let _ = orders.send(order);
        }
    }

    /// Tells in the log when the store stops answering, and when it begins again.
    fn is_done(&mut self, done: Result<(), LeaseError>) -> bool {
        match &done {
            Err(error) if !self.is_cut_off => tracing::warn!(%error, "this node stops its lanes when their leases end, and goes on trying"),
            Ok(()) if self.is_cut_off => tracing::info!("leases of lanes are renewed again"),
            _ => {}
        }
        self.is_cut_off = done.is_err();
        done.is_ok()
    }
}

fn claim_of(tenure: &Arc<Tenure>) -> Claim {
    Claim { lane: tenure.lane(), epoch: tenure.epoch() }
}

/// For how long a node trusts a lease.
fn span(ttl: Duration) -> Duration {
    ttl - ttl / MARGIN_PARTS
}

/// The answer of the store, if it comes in time to be of use.
async fn within<T>(ttl: Duration, answer: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
    let limit = ttl / 3;
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(LeaseError { detail: format!("no answer within {} ms", limit.as_millis()) }))
}
