//! The dispatcher's task: who goes next.
//!
//! Each turn takes the messages of attempts and scans, then the notices of commits, then lets settled
//! deliveries be forgotten (that order is what [`super::lane`] relies on), then serves the ready lanes
//! in turn while places in flight are free, and waits for whatever comes first.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{Ended, Facts, Job, Workshop};
use super::clerk::{self, Entry};
use super::endpoint::{Endpoint, FailingRule, Turn};
use super::heartbeat::Heartbeat;
use super::lane::{Closing, Lane, Step};
use super::pace::Pace;
use crate::attempt::{Failure, FailureKind, Outcome};
use crate::clock::{Clock, Timestamp};
use crate::cluster::{Membership, Order};
use crate::id::{DeliveryId, SubscriptionId};
use crate::queue::{CommitNotices, DuePage, DueRow, EndpointHealth, Operation, OperationReport, Queue, Registry, StoreError};
use crate::request::RequestTemplate;
use crate::request::channel::Channel;
use crate::request::send::Transport;
use crate::subscription::{Subscription, SubscriptionState};

/// Longest wait for a due time before the wall clock is asked again, since it may have jumped.
const CLOCK_CHECK: Duration = Duration::from_secs(10);
/// Wait before an index is read again that could not be read.
const SCAN_RETRY: Duration = Duration::from_secs(1);
/// Starts of one lane before the next ready lane has its turn.
const STARTS_PER_TURN: usize = 4;

/// Limits of the dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct DispatcherSettings {
    /// Most requests in flight.
    pub in_flight_max: usize,
    /// Most requests in flight for one subscription.
    pub in_flight_per_subscription_max: usize,
    /// How long a shutdown waits for what is in flight.
    pub drain_max: Duration,
    /// When a receiver counts as failing.
    pub failing: FailingRule,
}

impl Default for DispatcherSettings {
    fn default() -> Self {
        Self { in_flight_max: 512, in_flight_per_subscription_max: 32, drain_max: Duration::from_secs(25), failing: FailingRule::default() }
    }
}

/// What attempts and scans tell the dispatcher.
#[derive(Debug)]
pub(super) enum Message {
    /// An attempt handed its request to the client under the ceiling.
    PassedGate { subscription: SubscriptionId },
    /// An attempt is over and settled.
    Ended { subscription: SubscriptionId, delivery: DeliveryId, ended: Ended },
    /// An index was read; the first time of a leased lane with what is stored of its receiver.
    Scanned { subscription: SubscriptionId, page: Result<(DuePage, Option<EndpointHealth>), StoreError> },
}

/// Sends what is due. Run it once per server.
#[derive(Debug)]
pub struct Dispatcher {
    pub(super) workshop: Arc<Workshop>,
    settings: DispatcherSettings,
    /// Where other settings come in.
    adjusted: watch::Sender<DispatcherSettings>,
    heartbeat: Option<Heartbeat>,
    messages: UnboundedReceiver<Message>,
    notices: Arc<CommitNotices>,
    pub(super) lanes: HashMap<SubscriptionId, Lane>,
    templates: HashMap<(SubscriptionId, u32), Result<Arc<RequestTemplate>, Failure>>,
    /// By subscription, for the version that is named.
    channels: HashMap<SubscriptionId, (u32, Result<Arc<Channel>, Failure>)>,
    pub(super) ready: VecDeque<SubscriptionId>,
    /// Lanes of receivers that are taken for dead, which wait for a place among those for probes.
    pub(super) held: VecDeque<SubscriptionId>,
    timers: BTreeSet<(Instant, SubscriptionId)>,
    in_flight: usize,
    /// How many of these are probes of receivers that are taken for dead.
    probes: usize,
    /// Attempts and scans; they end with the dispatcher.
    tasks: JoinSet<()>,
    /// Ends of attempts whose deliveries are forgotten after the next notices.
    ended: Vec<(SubscriptionId, DeliveryId, Option<Timestamp>)>,
    pub(super) registry: Arc<Registry>,
    /// What the clerk is to write down, and the clerk.
    entries: UnboundedSender<Entry>,
    clerk: JoinSet<()>,
    /// Set if lanes are leased. Last, since when it is dropped nothing may be in flight.
    pub(super) membership: Option<Membership>,
}

impl Dispatcher {
    /// A dispatcher of `queue` that sends by `transport`.
    #[must_use]
    pub fn new(queue: Arc<Queue>, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>, settings: DispatcherSettings) -> Self {
        let (sender, messages) = unbounded_channel();
        let notices = queue.notices();
        let (entries, to_write) = unbounded_channel();
        let mut clerk = JoinSet::new();
        clerk.spawn(clerk::keep(queue.clone(), to_write));
        Self {
            workshop: Arc::new(Workshop { queue, transport, clock, messages: sender }),
            settings,
            adjusted: watch::Sender::new(settings),
            heartbeat: None,
            messages,
            notices,
            lanes: HashMap::new(),
            templates: HashMap::new(),
            channels: HashMap::new(),
            ready: VecDeque::new(),
            held: VecDeque::new(),
            timers: BTreeSet::new(),
            in_flight: 0,
            probes: 0,
            tasks: JoinSet::new(),
            ended: Vec::new(),
            registry: Arc::default(),
            entries,
            clerk,
            membership: None,
        }
    }

    /// The same, which sends for the lanes that it is ordered to. Without a membership: for all.
    #[must_use]
    pub fn with_membership(self, membership: Option<Membership>) -> Self {
        Self { membership, ..self }
    }

    /// The same, which shows that it is alive.
    #[must_use]
    pub fn with_heartbeat(self, heartbeat: Heartbeat) -> Self {
        Self { heartbeat: Some(heartbeat), ..self }
    }

    /// Where settings are sent to change them while it runs.
    #[must_use]
    pub fn adjust(&self) -> watch::Sender<DispatcherSettings> {
        self.adjusted.clone()
    }

    /// Sends until `stop`, then waits for what is in flight, up to the limit. What is not over by then
    /// stays due and is sent again by the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.workshop.queue.changes();
        let notices = self.notices.clone();
        let mut adjusted = self.adjusted.subscribe();
        self.follow_registry(true);
        loop {
            // A change that was answered holds for every event that was accepted after it.
            if changes.has_changed().unwrap_or(false) {
                changes.mark_unchanged();
                self.follow_registry(false);
            }
            self.take_orders();
            self.take_messages();
            self.take_notices();
            self.forget_ended();
            self.fire_timers();
            self.serve();
            let wakes_at = self.timers.first().map(|(at, _)| *at).into_iter().chain(self.beat()).min();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(message) = self.messages.recv() => self.take(message),
                order = next_order(&mut self.membership) => self.follow_order(order),
                () = notices.posted() => {}
                Ok(()) = changes.changed() => changes.mark_changed(),
                Ok(()) = adjusted.changed() => {
                    let settings = *adjusted.borrow_and_update();
                    self.follow_settings(settings);
                }
                () = sleep_until(wakes_at) => {}
            }
        }
        self.drain().await;
    }

    async fn drain(mut self) {
        let deadline = self.workshop.clock.instant() + self.settings.drain_max;
        tracing::info!(in_flight = self.in_flight, "stopping: waiting for what is in flight");
        self.keep_lanes(0);
        while self.in_flight > 0 && self.workshop.clock.instant() < deadline {
            let until = self.beat().map_or(deadline, |next| next.min(deadline));
            match tokio::time::timeout_at(until, self.messages.recv()).await {
                Ok(Some(message)) => self.take(message),
                Ok(None) => break,
                // It is time for the next beat, or to stop.
                Err(_) => {}
            }
        }
        if self.in_flight > 0 {
            tracing::warn!(in_flight = self.in_flight, "stopped with requests in flight; they stay due and may be repeated");
            return;
        }
        // What is left to be told is told, if there is time.
        let Self { mut tasks, mut clerk, entries, .. } = self;
        drop(entries);
        let told = async {
            while tasks.join_next().await.is_some() {}
            while clerk.join_next().await.is_some() {}
        };
        if tokio::time::timeout_at(deadline, told).await.is_err() {
            tracing::warn!("stopped before all operational events were stored");
        }
    }

    /// Shows that it is alive; tells when to do so again.
    fn beat(&mut self) -> Option<Instant> {
        let instant = self.workshop.clock.instant();
        self.heartbeat.as_mut().map(|heartbeat| heartbeat.turn(instant))
    }

    /// Takes over other settings. What is in flight beyond a lower limit ends by itself.
    fn follow_settings(&mut self, settings: DispatcherSettings) {
        self.settings = settings;
        let ids: Vec<_> = self.lanes.keys().copied().collect();
        for id in ids {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.health.set_cap(settings.in_flight_per_subscription_max);
                lane.endpoint.set_rule(settings.failing);
            }
            self.make_ready(id);
        }
    }

    fn take_messages(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::PassedGate { subscription } => {
                if let Some(lane) = self.lanes.get_mut(&subscription) {
                    lane.before_gate = lane.before_gate.saturating_sub(1);
                }
                self.make_ready(subscription);
            }
            Message::Ended { subscription, delivery, ended } => self.take_end(subscription, delivery, &ended),
            Message::Scanned { subscription, page } => self.take_scan(subscription, page),
        }
    }

    fn take_end(&mut self, subscription: SubscriptionId, delivery: DeliveryId, ended: &Ended) {
        self.in_flight -= 1;
        self.probes -= usize::from(ended.is_probe);
        self.ended.push((subscription, delivery, ended.due_at));
        let (now, instant) = (self.workshop.clock.now(), self.workshop.clock.instant());
        if let Some(lane) = self.lanes.get_mut(&subscription) {
            lane.in_flight -= 1;
            if ended.left_gate {
                lane.before_gate = lane.before_gate.saturating_sub(1);
            }
            if let Some(outcome) = ended.outcome {
                let was_failing = lane.health.is_failing();
                lane.note_outcome(outcome);
                if was_failing && !lane.health.is_failing() {
                    // Alive again, it does not wait among the dead.
                    let place = self.held.iter().position(|held| *held == subscription);
                    self.ready.extend(place.and_then(|place| self.held.remove(place)));
                }
                let status = ended.facts.as_ref().and_then(|facts| facts.status);
                let turn = lane.endpoint.note((outcome, status), now, instant);
                let health = lane.endpoint.report(now, instant);
                self.workshop.queue.note_endpoint(subscription, health);
                if let Some(turn) = turn {
                    lane.health.restart();
                    log_turn(&lane.subscription, turn, &health);
                    if let Some(facts) = &ended.facts {
                        // The clerk ends after the dispatcher.
                        let _ = self.entries.send(entry(turn, health, subscription, delivery, outcome, facts, now));
                    }
                }
            }
            if ended.not_sent {
                lane.note_not_sent(instant);
                lane.endpoint.not_asked(instant);
            }
            if let Some(wait) = ended.retry_after.filter(|wait| !wait.is_zero()) {
                lane.pause(instant + wait);
            }
        }
        self.make_ready(subscription);
        self.end_closing(subscription);
    }

    fn take_scan(&mut self, subscription: SubscriptionId, page: Result<(DuePage, Option<EndpointHealth>), StoreError>) {
        let (now, instant) = (self.workshop.clock.now(), self.workshop.clock.instant());
        let Some(lane) = self.lanes.get_mut(&subscription) else { return };
        match page {
            Ok((page, known)) => {
                if !std::mem::replace(&mut lane.is_recovered, true) {
                    lane.endpoint = Endpoint::new(self.settings.failing, known, instant);
                    if lane.endpoint.probe_at().is_some() {
                        lane.health.restart();
                    }
                    self.workshop.queue.note_endpoint(subscription, lane.endpoint.report(now, instant));
                }
                lane.end_scan(Some(page), now);
                self.make_ready(subscription);
            }
            Err(error) => {
                if matches!(error, StoreError::Unavailable { .. }) {
                    // That it is away is told once, by the store, and not by every lane.
                    tracing::debug!(subscription.id = %subscription, %error, "due deliveries cannot be read; trying again");
                } else {
                    tracing::error!(subscription.id = %subscription, %error, "due deliveries cannot be read; trying again");
                }
                lane.end_scan(None, now);
                self.set_timer(subscription, instant + SCAN_RETRY);
            }
        }
        self.end_closing(subscription);
    }

    fn take_notices(&mut self) {
        let now = self.workshop.clock.now();
        // In the order of ids, so that a simulation runs the same way twice.
        let mut notices: Vec<_> = self.notices.take().into_iter().collect();
        notices.sort_unstable_by_key(|(subscription, _)| *subscription);
        for (subscription, notice) in notices {
            // A subscription without a lane was just created, and its lane reads its index when it
            // starts; or it was deleted, and its rows are being ended.
            if let Some(lane) = self.lanes.get_mut(&subscription) {
                lane.notice(notice, now);
                self.make_ready(subscription);
            }
        }
    }

    fn forget_ended(&mut self) {
        let now = self.workshop.clock.now();
        for (subscription, delivery, due_at) in self.ended.drain(..) {
            if let Some(lane) = self.lanes.get_mut(&subscription) {
                lane.settle(delivery, due_at, now);
            }
        }
    }

    fn fire_timers(&mut self) {
        let instant = self.workshop.clock.instant();
        while let Some((at, subscription)) = self.timers.first().copied().filter(|(at, _)| *at <= instant) {
            self.timers.remove(&(at, subscription));
            if let Some(lane) = self.lanes.get_mut(&subscription) {
                lane.timer = None;
            }
            self.make_ready(subscription);
        }
    }

    fn set_timer(&mut self, subscription: SubscriptionId, at: Instant) {
        let latest = self.workshop.clock.instant() + CLOCK_CHECK;
        let Some(lane) = self.lanes.get_mut(&subscription) else { return };
        if let Some(previous) = lane.timer.replace(at.min(latest)) {
            self.timers.remove(&(previous, subscription));
        }
        self.timers.insert((at.min(latest), subscription));
    }

    pub(super) fn make_ready(&mut self, subscription: SubscriptionId) {
        if let Some(lane) = self.lanes.get_mut(&subscription)
            && !lane.queued
        {
            lane.queued = true;
            self.ready.push_back(subscription);
        }
    }

    /// Serves the ready lanes in turn. A lane that could go on but finds no place keeps its turn. Dead
    /// receivers hold their places long; many of them together get half of the places and no more.
    fn serve(&mut self) {
        while self.in_flight < self.settings.in_flight_max {
            let may_probe = self.probes < (self.settings.in_flight_max / 2).max(1);
            let next = self.ready.pop_front();
            let Some(subscription) = next.or_else(|| self.held.pop_front_if(|_| may_probe)) else { return };
            if !may_probe && self.lanes.get(&subscription).is_some_and(|lane| lane.health.is_failing()) {
                self.held.push_back(subscription);
                continue;
            }
            if self.serve_lane(subscription) {
                self.ready.push_back(subscription);
            } else if let Some(lane) = self.lanes.get_mut(&subscription) {
                lane.queued = false;
            }
        }
    }

    /// Lets one lane have its turn; tells whether it may have more to do at once.
    fn serve_lane(&mut self, subscription: SubscriptionId) -> bool {
        for _ in 0..STARTS_PER_TURN {
            if self.in_flight >= self.settings.in_flight_max {
                return true;
            }
            let (now, instant) = (self.workshop.clock.now(), self.workshop.clock.instant());
            let Some(lane) = self.lanes.get_mut(&subscription) else { return false };
            match lane.step(now, instant) {
                Step::Start(row) => self.start(subscription, row),
                Step::Scan { limit } => {
                    self.scan(subscription, limit);
                    return false;
                }
                Step::WaitUntil(at) => {
                    self.set_timer(subscription, at);
                    return false;
                }
                Step::Idle => return false,
            }
        }
        true
    }

    fn start(&mut self, subscription: SubscriptionId, row: DueRow) {
        let template = self.template(subscription, row.template_version);
        let Some(lane) = self.lanes.get(&subscription) else { return };
        let channel = channel(&mut self.channels, &lane.subscription);
        let timeout = lane.subscription.rules.timeout;
        let pace = lane.pace.clone().filter(|_| lane.is_paced(&row));
        if lane.endpoint.probe_at().is_some() {
            let (now, instant) = (self.workshop.clock.now(), self.workshop.clock.instant());
            self.workshop.queue.note_endpoint(subscription, lane.endpoint.report(now, instant));
        }
        let is_probe = lane.health.is_failing();
        let tenure = lane.tenure.clone();
        let job = Job { subscription: lane.subscription.clone(), template, channel, row, pace, tenure, is_probe };
        self.workshop.queue.in_flight().begin(job.row.delivery, subscription, self.workshop.clock.now().after(timeout));
        self.in_flight += 1;
        self.probes += usize::from(is_probe);
        self.tasks.spawn(self.workshop.clone().run(job));
    }

    fn scan(&mut self, subscription: SubscriptionId, limit: usize) {
        let Some(lane) = self.lanes.get_mut(&subscription) else { return };
        let skip = lane.begin_scan();
        let taken_over = lane.tenure.clone().filter(|_| !lane.is_recovered);
        let workshop = self.workshop.clone();
        self.tasks.spawn(async move {
            let scan = async {
                let mut known = None;
                if let Some(tenure) = taken_over {
                    workshop.queue.recover(subscription, tenure.epoch()).await?;
                    known = workshop.queue.stored_failing(subscription).await?;
                }
                let page = workshop.queue.due(subscription, workshop.clock.now(), &skip, limit).await?;
                Ok((page, known))
            };
            let page = scan.await;
            let _ = workshop.messages.send(Message::Scanned { subscription, page });
        });
    }

    /// The compiled template of one version, compiled on first use.
    fn template(&mut self, id: SubscriptionId, version: u32) -> Result<Arc<RequestTemplate>, Failure> {
        let registry = &self.registry;
        self.templates.entry((id, version)).or_insert_with(|| compile(registry, id, version)).clone()
    }

    /// Makes the lanes those of the present configuration.
    fn follow_registry(&mut self, at_start: bool) {
        self.registry = self.workshop.queue.registry();
        let registry = self.registry.clone();
        self.templates.retain(|(id, version), _| registry.template(*id, *version).is_some());
        self.channels.retain(|id, (version, _)| registry.subscription(*id).is_some_and(|present| present.version == *version));
        let gone: Vec<_> = self.lanes.keys().filter(|id| registry.subscription(**id).is_none()).copied().collect();
        for id in gone {
            let Some(lane) = self.lanes.remove(&id) else { continue };
            self.forget_timer(id, &lane);
            self.workshop.queue.forget_endpoint(id);
            self.give_back(id, &lane);
            if lane.endpoint.probe_at().is_some() {
                let _ = self.entries.send(Entry::Gone(id));
            }
        }
        let mut subscriptions: Vec<_> = registry.subscriptions().collect();
        subscriptions.sort_unstable_by_key(|subscription| subscription.id);
        self.want_lanes(&subscriptions);
        for subscription in subscriptions {
            self.follow_subscription(subscription, at_start);
        }
        self.note_lanes();
    }

    fn follow_subscription(&mut self, subscription: &Subscription, at_start: bool) {
        let id = subscription.id;
        match self.lanes.get_mut(&id) {
            Some(lane) if lane.subscription.version == subscription.version => return,
            Some(lane) => {
                let pace = changed_pace(lane, subscription, &self.workshop.clock);
                let (now, instant) = (self.workshop.clock.now(), self.workshop.clock.instant());
                lane.change(subscription.clone(), pace, instant);
                self.workshop.queue.note_endpoint(id, lane.endpoint.report(now, instant));
                if self.membership.is_some() && subscription.spec.state == SubscriptionState::Paused {
                    self.close(id, Closing::GivenBack);
                }
            }
            // It begins when it is owned.
            None if self.membership.is_some() => return,
            None => {
                let known = at_start.then(|| self.workshop.queue.endpoint(id));
                let mut lane = self.new_lane(subscription, known, at_start);
                if lane.endpoint.probe_at().is_some() {
                    lane.health.restart();
                }
                self.lanes.insert(id, lane);
            }
        }
        self.make_ready(id);
    }

    /// A lane that has done nothing yet. With `wait_first` another may have sent for it just before.
    pub(super) fn new_lane(&self, subscription: &Subscription, known: Option<EndpointHealth>, wait_first: bool) -> Lane {
        let interval = subscription.rules.request_interval;
        let pace = interval.map(|interval| Arc::new(Pace::new(interval, self.workshop.clock.clone(), wait_first)));
        let endpoint = Endpoint::new(self.settings.failing, known, self.workshop.clock.instant());
        Lane::new(subscription.clone(), pace, self.settings.in_flight_per_subscription_max, endpoint)
    }

    pub(super) fn forget_timer(&mut self, id: SubscriptionId, lane: &Lane) {
        if let Some(at) = lane.timer {
            self.timers.remove(&(at, id));
        }
    }
}

fn log_turn(subscription: &Subscription, turn: Turn, health: &EndpointHealth) {
    let (account, id) = (&subscription.spec.account, subscription.id);
    match turn {
        Turn::Failing => {
            tracing::warn!(%account, subscription.id = %id, failures = health.consecutive_failures, "a receiver is failing; it is probed now and then");
        }
        Turn::Recovered => tracing::info!(%account, subscription.id = %id, "a receiver that was failing delivers again"),
    }
}

/// What the clerk has to write down about a receiver that turned.
fn entry(
    turn: Turn,
    health: EndpointHealth,
    subscription: SubscriptionId,
    delivery: DeliveryId,
    outcome: Outcome,
    facts: &Facts,
    at: Timestamp,
) -> Entry {
    let (operation, health) = match turn {
        Turn::Failing => (Operation::Failing, Some(health)),
        Turn::Recovered => (Operation::Recovered, None),
    };
    let (attempts, reason, event_type) = (facts.number, facts.reason.clone(), facts.event_type.clone());
    Entry::Turn { health, report: OperationReport { operation, subscription, delivery, event_type, outcome, attempts, reason, at } }
}

/// The pace of a changed subscription: the present one if its interval is the same, since it knows the last pass.
fn changed_pace(lane: &Lane, subscription: &Subscription, clock: &Arc<dyn Clock>) -> Option<Arc<Pace>> {
    let interval = subscription.rules.request_interval?;
    match &lane.pace {
        Some(pace) if pace.interval() == interval => Some(pace.clone()),
        _ => Some(Arc::new(Pace::new(interval, clock.clone(), true))),
    }
}

/// The channel of this version of a subscription, opened on first use; attempts share it, and its token.
fn channel(
    channels: &mut HashMap<SubscriptionId, (u32, Result<Arc<Channel>, Failure>)>,
    subscription: &Subscription,
) -> Result<Arc<Channel>, Failure> {
    let open = || (subscription.version, Channel::open(subscription).map(Arc::new));
    let (version, channel) = channels.entry(subscription.id).or_insert_with(open);
    if *version != subscription.version {
        (*version, *channel) = open();
    }
    channel.clone()
}

fn compile(registry: &Registry, id: SubscriptionId, version: u32) -> Result<Arc<RequestTemplate>, Failure> {
    let not_rendered = |detail: String| Failure { kind: FailureKind::NotRendered, detail };
    let request = registry.template(id, version).ok_or_else(|| {
        not_rendered(format!("version {version} of the template is not kept any more; retry the delivery to use the present one"))
    })?;
    let account = registry.subscription(id).map(|subscription| subscription.spec.account.clone());
    let names = account.map(|account| registry.field_names(&account)).unwrap_or_default();
    RequestTemplate::compile(request, &names).map(Arc::new).map_err(Failure::from)
}

async fn next_order(membership: &mut Option<Membership>) -> Order {
    match membership {
        Some(membership) => match membership.order().await {
            Some(order) => order,
            // A keeper that is gone gives no orders; leases end by themselves.
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
