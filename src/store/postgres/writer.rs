//! Group commit: one task per node that decides and writes for all callers.
//!
//! ```text
//! begin ─▶ locks, reads ─▶ decide in memory ─▶ statements over arrays, commit ─▶ notices ─▶ answers
//!   └──────── one round trip ────────┘           └──── one round trip ────┘
//! ```
//!
//! A group is decided as often as it takes: when a row is missing, when another node was faster, when the
//! database asks for it. When the connection is lost, nobody knows whether the last commit was made:
//! callers who wait for an event are told so, and settlements are written again, which does them once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::join;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::fault::Fault;
use super::fence::{Fence, end_in_flight, read_claims};
use super::fetch::{ConfigurationUse, fetch, lock_configuration};
use super::inbox::{Ending, Inbox, Job, Kind, Taken};
use super::known::{Known, Need};
use super::listener::News;
use super::node::Node;
use super::partitions::{Day, Partitions};
use super::questions::{present_revision, sums_of_counts};
use super::session::{Connector, Session, in_time};
use super::write::Written;
use crate::clock::Clock;
use crate::id::SubscriptionId;
use crate::store::ledger::Ledger;
use crate::store::options::StoreObserver;
use crate::store::{CommitNotices, StoreError};

/// How often a group is tried that other transactions get in the way of.
const TRIES_MAX: u32 = 20;
/// How often rows are read for a group that turn out to be missing: as often as orders can be long in a step.
const ROUNDS_MAX: u32 = 1_000;
/// How long a group may take; a statement of it may take half a minute.
const GROUP_MAX: Duration = Duration::from_secs(45);
/// After how long without an answer a database counts as away for those who arrive.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Pauses between attempts to reach the database.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// Pause before settlements are tried again for which there was no space.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// How often the counts of other nodes are read, and partitions are looked after.
const ROUNDS_EVERY: Duration = Duration::from_secs(1);
/// How long a closing store waits for a database that is away.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Begins a transaction that writes. It finds single rows by their keys, and first rows in the order of an
/// index; a plan for whole tables or lanes, made from old statistics, would be a fault.
const BEGIN_WRITING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '30s'; \
     SET LOCAL lock_timeout = '10s'; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off; \
     SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// The same where the server was told not to wait for its disk.
const WAIT_FOR_DISK: &str = "; SET LOCAL synchronous_commit = on";

/// Decides and writes.
pub(super) struct Writer {
    pub(super) connector: Connector,
    pub(super) session: Option<Session>,
    pub(super) ledger: Ledger,
    pub(super) inbox: Arc<Inbox>,
    pub(super) notices: Arc<CommitNotices>,
    pub(super) node: Arc<Node>,
    pub(super) partitions: Partitions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Option<Arc<dyn StoreObserver>>,
    /// Where other nodes are told of what happens here.
    others: Option<mpsc::UnboundedSender<News>>,
    /// How a transaction is begun.
    begin: String,
}

/// What a writer is made of.
pub(super) struct WriterParts {
    pub(super) connector: Connector,
    pub(super) session: Session,
    pub(super) ledger: Ledger,
    pub(super) inbox: Arc<Inbox>,
    pub(super) notices: Arc<CommitNotices>,
    pub(super) node: Arc<Node>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Option<Arc<dyn StoreObserver>>,
    /// Whether the server answers commits before they are on its disk, unless it is told otherwise.
    pub(super) commits_early: bool,
}

impl Writer {
    pub(super) fn new(parts: WriterParts) -> Self {
        let WriterParts { connector, session, ledger, inbox, notices, node, clock, observer, commits_early } = parts;
        Self {
            connector,
            session: Some(session),
            ledger,
            inbox,
            notices,
            node,
            partitions: Partitions::default(),
            clock,
            observer,
            others: None,
            begin: format!("{BEGIN_WRITING}{}", if commits_early { WAIT_FOR_DISK } else { "" }),
        }
    }

    /// Tells other nodes by `teller`, when there are any.
    pub(super) fn tell_others_by(&mut self, teller: mpsc::UnboundedSender<News>) {
        self.others = Some(teller);
    }

    /// Serves the inbox until it ends.
    pub(super) async fn run(mut self) {
        let inbox = self.inbox.clone();
        let mut rounds = tokio::time::interval(ROUNDS_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.session.as_ref().is_none_or(Session::is_closed) {
                if !self.reconnect().await {
                    return;
                }
                rounds.reset_immediately();
            }
            tokio::select! {
                taken = inbox.take() => match taken {
                    Taken::Group(group) => self.commit(group).await,
                    Taken::Ended(Ending::Abandon) => return,
                    Taken::Ended(Ending::Clean(answer)) => {
                        // The caller may be gone.
                        let _ = answer.send(self.close().await);
                        return;
                    }
                },
                _ = rounds.tick() => self.look_around().await,
            }
        }
    }

    /// Once a second: reads what other nodes counted, says that this one is there, makes tomorrow's partitions.
    async fn look_around(&mut self) {
        let Some(session) = &self.session else { return };
        let looked = async {
            self.node.beat(session).await?;
            let counts = sums_of_counts(session).await?;
            self.node.see_revision(present_revision(session).await?);
            let today = Day::at(self.clock.now().unix_ms());
            self.partitions.make(session, self.partitions.missing([today, today.next()])).await?;
            Ok::<_, Fault>(counts)
        };
        let looked = refusing_while_slow(&self.inbox, &self.node, tokio::time::timeout(GROUP_MAX, looked)).await;
        let looked = looked.unwrap_or_else(|_| Err(Fault::too_slow("looking around")));
        self.note_answer(&looked);
        match looked {
            Ok(counts) => self.ledger.set_counts(counts),
            Err(Fault::Lost(detail)) => self.lose(&detail),
            Err(fault) => tracing::warn!(?fault, "the database did not answer a routine question; it is asked again"),
        }
    }

    /// A database that answers, be it with a fault, is there.
    fn note_answer<T>(&self, answer: &Result<T, Fault>) {
        if !matches!(answer, Err(Fault::Lost(_))) && self.node.set_reachable(true) {
            tracing::warn!("the database answers again");
        }
    }

    fn lose(&mut self, detail: &str) {
        self.session = None;
        self.partitions.forget();
        self.node.set_lost(true);
        if self.node.set_reachable(false) {
            tracing::error!(detail, "the database cannot be reached; nothing is taken until it is back");
        }
    }

    /// Connects again; false if the store is to end.
    async fn reconnect(&mut self) -> bool {
        if self.session.take().is_some() {
            self.lose("it closed the connection");
        }
        let mut pause = RECONNECT_MIN;
        let mut detail = "it closed the connection".to_owned();
        loop {
            let connecting = self.connector.connect();
            tokio::pin!(connecting);
            let connected = loop {
                if !self.refuse_waiting(&detail) {
                    return false;
                }
                tokio::select! {
                    connected = &mut connecting => break connected,
                    () = self.inbox.arrived() => {}
                }
            };
            match connected {
                Ok(session) => {
                    self.session = Some(session);
                    self.node.set_lost(false);
                    if self.node.set_reachable(true) {
                        tracing::warn!("the database is back");
                    }
                    return true;
                }
                Err(fault) => detail = StoreError::from(fault).to_string(),
            }
            let over = tokio::time::sleep(pause);
            tokio::pin!(over);
            loop {
                if !self.refuse_waiting(&detail) {
                    return false;
                }
                tokio::select! {
                    () = &mut over => break,
                    () = self.inbox.arrived() => {}
                }
            }
            pause = (pause * 2).min(RECONNECT_MAX);
        }
    }

    /// Tells those who wait that the database is away; false if the store is to end.
    fn refuse_waiting(&self, detail: &str) -> bool {
        let (jobs, ending) = self.inbox.take_impatient();
        for job in jobs {
            job.change.refuse(StoreError::Unavailable { detail: detail.to_owned() });
        }
        match ending {
            None => true,
            Some(Ending::Abandon) => false,
            Some(Ending::Clean(answer)) => {
                // The caller may be gone.
                let _ = answer.send(Err(StoreError::Unavailable { detail: detail.to_owned() }));
                false
            }
        }
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        let Some(session) = &self.session else { return Ok(()) };
        let left = tokio::time::timeout(CLOSE_MAX, self.node.leave(session)).await;
        Ok(left.unwrap_or_else(|_| Err(Fault::too_slow("closing")))?)
    }

    pub(super) fn commit(&mut self, group: Vec<Job>) -> BoxFuture<'_, ()> {
        // Boxed since a group that is refused is taken apart into groups of one.
        self.commit_group(group).boxed()
    }

    async fn commit_group(&mut self, mut group: Vec<Job>) {
        let began = self.clock.instant();
        let fault = match self.commit_patiently(&mut group).await {
            Ok(changes_configuration) => {
                self.observer.iter().for_each(|observer| observer.written(self.clock.instant().duration_since(began)));
                let notices = self.ledger.take_notices();
                self.tell_others(notices.keys().copied().collect(), changes_configuration);
                self.notices.post(notices);
                group.into_iter().for_each(|job| job.change.answer());
                return;
            }
            Err(fault) => fault,
        };
        match fault {
            Fault::Lost(ref detail) => {
                self.lose(detail);
                self.refuse(group, &fault);
            }
            Fault::Repeat(_) | Fault::NoPartition(_) => self.refuse(group, &fault),
            Fault::Full(ref detail) => {
                tracing::error!(detail, "the database's disk is full; nothing is taken until there is space");
                self.refuse(group, &fault);
                tokio::time::sleep(FULL_PAUSE).await;
            }
            Fault::Refused(ref detail) if group.len() == 1 => {
                tracing::error!(detail, "the database refuses a change");
                group.into_iter().for_each(|job| job.change.refuse(fault.clone().into()));
            }
            Fault::Refused(_) => {
                for job in group {
                    // What follows a lost connection waits, or is told, like all others.
                    if self.session.is_some() {
                        self.commit(vec![job]).await;
                    } else {
                        self.refuse(vec![job], &Fault::Lost("it closed the connection".to_owned()));
                    }
                }
            }
        }
    }

    fn tell_others(&self, lanes: Vec<SubscriptionId>, changes_configuration: bool) {
        let Some(others) = self.others.as_ref().filter(|_| self.node.has_others()) else { return };
        let lanes = (!lanes.is_empty()).then_some(News::Lanes(lanes));
        let configuration = changes_configuration.then_some(News::Configuration);
        // The listener ends with the store.
        lanes.into_iter().chain(configuration).for_each(|news| drop(others.send(news)));
    }

    /// Tells the callers of a group; settlements are kept for later.
    fn refuse(&self, group: Vec<Job>, fault: &Fault) {
        let (settles, others): (Vec<Job>, Vec<Job>) = group.into_iter().partition(|job| job.kind == Kind::Settle);
        self.inbox.put_back(settles);
        others.into_iter().for_each(|job| job.change.refuse(fault.clone().into()));
    }

    /// Commits a group, again and again while something is in the way that goes away.
    /// Tells whether it changed the configuration.
    async fn commit_patiently(&mut self, group: &mut [Job]) -> Result<bool, Fault> {
        let mut tries = 0;
        loop {
            let (inbox, node) = (self.inbox.clone(), self.node.clone());
            let committed = refusing_while_slow(&inbox, &node, tokio::time::timeout(GROUP_MAX, self.try_commit(group))).await;
            let committed = committed.unwrap_or_else(|_| Err(Fault::too_slow("a transaction")));
            self.note_answer(&committed);
            let fault = match committed {
                Ok(changes_configuration) => {
                    self.ledger.keep();
                    return Ok(changes_configuration);
                }
                Err(fault) => fault,
            };
            if let (Some(session), false) = (&self.session, matches!(fault, Fault::Lost(_))) {
                in_time(session.run("ROLLBACK")).await?;
            }
            tries += 1;
            match fault {
                Fault::Repeat(ref detail) | Fault::NoPartition(ref detail) if tries < TRIES_MAX => {
                    tracing::debug!(detail, tries, "a group is committed again");
                    if matches!(fault, Fault::NoPartition(_)) {
                        self.partitions.forget();
                    }
                    // Each node waits a time of its own.
                    let wait = (1_u64 << tries.min(8)) + u64::from(self.node.slot().unsigned_abs());
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                fault => return Err(fault),
            }
        }
    }

    async fn try_commit(&mut self, group: &mut [Job]) -> Result<bool, Fault> {
        let Some(session) = &self.session else { return Err(Fault::Lost("it closed the connection".to_owned())) };
        let known = Arc::new(Known::default());
        let mut needs: Vec<Need> = group.iter().flat_map(|job| job.needs.iter().cloned()).collect();
        needs.sort_unstable();
        needs.dedup();
        let usage = group.iter().map(|job| job.configuration).max().unwrap_or(ConfigurationUse::None);
        let fences: Vec<_> = group.iter().filter_map(|job| job.fence.clone()).collect();
        let (begun, revision, claims, fetched) = join!(
            session.run(&self.begin),
            lock_configuration(session, usage),
            read_claims(session, &fences),
            fetch(session, &needs, &known)
        );
        begun?;
        claims?;
        let revision = revision?;
        fetched?;
        for _ in 0..ROUNDS_MAX {
            self.ledger.begin_anew(known.clone());
            self.ledger.raise_ids(known.newest());
            for job in &mut *group {
                // It stops where a row is missing, of which `known` has taken note.
                let _ = job.change.decide(&mut self.ledger, revision);
            }
            let missing = known.take_missing();
            if missing.is_empty() {
                return self.write(&known, &fences).await;
            }
            fetch(session, &missing, &known).await?;
        }
        Err(Fault::Refused("a change needs more rows than can be read for it".to_owned()))
    }

    async fn write(&mut self, known: &Known, fences: &[Arc<Fence>]) -> Result<bool, Fault> {
        let Some(session) = &self.session else { return Err(Fault::Lost("it closed the connection".to_owned())) };
        let (batch, counts) = self.ledger.decided();
        let written = Written::of(&batch, counts, known);
        if written.is_empty() {
            session.run("ROLLBACK").await?;
            return Ok(false);
        }
        let missing = self.partitions.missing(written.days());
        if !missing.is_empty() {
            session.run("ROLLBACK").await?;
            self.partitions.make(session, missing).await?;
            return Err(Fault::Repeat("partitions of a day were missing".to_owned()));
        }
        let (sent, ended, committed) =
            join!(written.send(session, self.node.slot()), end_in_flight(session, fences), session.run("COMMIT"));
        sent?;
        ended?;
        committed?;
        Ok(written.changes_configuration)
    }
}

/// Waits for an answer of the database. If that takes long, the node is not ready any more, and those who arrive
/// are told so at once.
async fn refusing_while_slow<T>(inbox: &Inbox, node: &Node, answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    if let Ok(answer) = tokio::time::timeout(ANSWER_MAX, &mut answer).await {
        return answer;
    }
    let error = StoreError::Unavailable { detail: "it does not answer".to_owned() };
    if node.set_reachable(false) {
        tracing::error!("the database does not answer; nothing is taken until it does");
    }
    loop {
        inbox.refuse_impatient(&error);
        tokio::select! {
            answer = &mut answer => return answer,
            () = inbox.arrived() => {}
        }
    }
}
