//! One subscription's lane: what it has read ahead, what it has in flight, when it may go.
//!
//! The due index is the truth; the lane only reads ahead. Three rules keep a row from being lost or
//! leased twice:
//!
//! 1. A scan always starts at the lane's first row and skips what the lane knows (read ahead or in
//!    flight). There is no cursor that could pass a row which commits late.
//! 2. A settled delivery is known until the notices of all earlier commits were taken, or a notice of
//!    its first row, still under way, would lease it again.
//! 3. No delivery is forgotten while a scan is under way: the scan may still bring its old row.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::health::Health;
use super::pace::Pace;
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::cluster::Tenure;
use crate::delivery::not_sent_wait;
use crate::id::DeliveryId;
use crate::queue::{DuePage, DueRow, LaneNotice};
use crate::subscription::{RateScope, Subscription, SubscriptionState};

/// Rows that a lane reads ahead.
pub(super) const WINDOW_ROWS: usize = 256;
/// Rows that a lane looks through for a first attempt when its retries are held back by their ceiling.
const LOOK_AHEAD_ROWS: usize = 4_096;
/// How far ahead of its permit an attempt is prepared.
const PREPARE_AHEAD: Duration = Duration::from_millis(25);

/// When a lane is looked at again whose lease has ended and may be renewed.
const LAPSE_CHECK: Duration = Duration::from_secs(1);

/// A lane. The dispatcher's task owns it.
#[derive(Debug)]
pub(super) struct Lane {
    pub subscription: Subscription,
    pub pace: Option<Arc<Pace>>,
    pub health: Health,
    pub endpoint: Endpoint,
    /// Rows read ahead, earliest due first.
    window: VecDeque<DueRow>,
    /// Rows of which the request was not handed over yet, and which the ceiling counts.
    pub before_gate: usize,
    pub in_flight: usize,
    /// Ids in the window or in flight, or settled and not yet safe to forget.
    known: HashSet<DeliveryId>,
    settled: Vec<DeliveryId>,
    /// Deliveries in flight whose rows were moved meanwhile; a scan may have had to skip their new ones.
    moved: HashSet<DeliveryId>,
    /// Rows are due in the index that were not read.
    backlog: bool,
    pub scanning: bool,
    /// Deliveries whose rows went while a scan is under way, which may still bring them.
    gone: HashSet<DeliveryId>,
    /// So much went that the scan's result is of no use.
    scan_is_stale: bool,
    /// When the next row that was not read is due.
    next_due: Option<Timestamp>,
    /// Until when the receiver asked to be left alone, or our own side is given time to recover.
    pause_until: Option<Instant>,
    /// How many times in a row our own side could not send.
    not_sent: u32,
    /// The lease by which it is owned, where lanes are leased.
    pub tenure: Option<Arc<Tenure>>,
    /// Set if nothing of it is started any more.
    pub closing: Option<Closing>,
    /// Whether what earlier owners had in flight is on record.
    pub is_recovered: bool,
    /// Whether it stands in the ready queue.
    pub queued: bool,
    /// When its timer is set to.
    pub timer: Option<Instant>,
}

/// What becomes of a lane when nothing of it is in flight any more.
#[derive(Debug, Clone)]
pub(super) enum Closing {
    /// It is given back.
    GivenBack,
    /// It is another node's already, or was; then it begins anew under this lease.
    Lost { then: Option<Arc<Tenure>> },
}

/// What a lane can do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this row.
    Start(DueRow),
    /// Read its index: this many rows at most.
    Scan { limit: usize },
    /// Nothing before this moment.
    WaitUntil(Instant),
    /// Nothing until something else happens.
    Idle,
}

impl Lane {
    pub fn new(subscription: Subscription, pace: Option<Arc<Pace>>, in_flight_max: usize, endpoint: Endpoint) -> Self {
        Self {
            subscription,
            pace,
            health: Health::new(in_flight_max),
            endpoint,
            window: VecDeque::new(),
            before_gate: 0,
            in_flight: 0,
            known: HashSet::new(),
            settled: Vec::new(),
            moved: HashSet::new(),
            backlog: true,
            scanning: false,
            gone: HashSet::new(),
            scan_is_stale: false,
            next_due: None,
            pause_until: None,
            not_sent: 0,
            tenure: None,
            closing: None,
            is_recovered: true,
            queued: false,
            timer: None,
        }
    }

    /// The same under this lease.
    pub fn leased(self, tenure: Option<Arc<Tenure>>) -> Self {
        Self { is_recovered: tenure.is_none(), tenure, ..self }
    }

    /// Whether nothing of it is under way.
    pub const fn is_at_rest(&self) -> bool {
        self.in_flight == 0 && !self.scanning
    }

    /// Takes over what commits told, at wall-clock time `now`.
    pub fn notice(&mut self, notice: LaneNotice, now: Timestamp) {
        for row in notice.fresh {
            let in_turn = !self.backlog && !self.scanning && self.window.len() < WINDOW_ROWS;
            let overtakes = self.holds_back_retries() && row.attempts == 0 && self.window.len() < 2 * WINDOW_ROWS;
            if self.is_active() && (in_turn || overtakes) && self.known.insert(row.delivery) {
                self.window.push_back(row);
            } else {
                self.backlog = true;
            }
        }
        // After the fresh rows: what was stored and cancelled since the last look is in both.
        for id in notice.removed {
            if let Some(place) = self.window.iter().position(|row| row.delivery == id) {
                self.window.remove(place);
                self.known.remove(&id);
            } else if self.known.contains(&id) {
                self.moved.insert(id);
            }
            if self.scanning {
                self.gone.insert(id);
            }
        }
        if notice.forget {
            self.forget_window();
            self.moved.extend(&self.known);
            self.scan_is_stale = self.scanning;
        }
        if let Some(due_at) = notice.earliest_due {
            self.note_due(due_at, now);
        }
    }

    fn note_due(&mut self, due_at: Timestamp, now: Timestamp) {
        if due_at <= now {
            self.backlog = true;
        } else {
            self.next_due = Some(self.next_due.map_or(due_at, |next| next.min(due_at)));
        }
    }

    /// The ids that a scan must skip; from here on a scan is under way.
    pub fn begin_scan(&mut self) -> HashSet<DeliveryId> {
        self.scanning = true;
        self.backlog = false;
        self.next_due = None;
        self.known.clone()
    }

    /// Takes over what a scan found. A scan that failed found nothing and leaves the backlog.
    pub fn end_scan(&mut self, page: Option<DuePage>, now: Timestamp) {
        self.scanning = false;
        let gone = std::mem::take(&mut self.gone);
        match page {
            Some(page) if self.is_active() && !std::mem::take(&mut self.scan_is_stale) => {
                for row in page.rows {
                    if !gone.contains(&row.delivery) && self.known.insert(row.delivery) {
                        self.window.push_back(row);
                    }
                }
                self.backlog |= page.more;
                if let Some(due_at) = page.next_due {
                    self.note_due(due_at, now);
                }
            }
            _ => self.backlog = true,
        }
        self.forget_settled();
    }

    /// Takes note that an attempt is over; call after the notices were taken. `due_at` is when the
    /// delivery is due again: the notice of that may have led to a scan which still had to skip it.
    pub fn settle(&mut self, id: DeliveryId, due_at: Option<Timestamp>, now: Timestamp) {
        self.settled.push(id);
        if !self.scanning {
            self.forget_settled();
        }
        if let Some(due_at) = due_at {
            self.note_due(due_at, now);
        }
    }

    fn forget_settled(&mut self) {
        for id in self.settled.drain(..) {
            self.known.remove(&id);
            self.backlog |= self.moved.remove(&id);
        }
    }

    /// Forgets what was read ahead; it is still due in the index.
    fn forget_window(&mut self) {
        for row in self.window.drain(..) {
            self.known.remove(&row.delivery);
        }
        self.backlog = true;
    }

    /// Takes over a changed subscription.
    pub fn change(&mut self, subscription: Subscription, pace: Option<Arc<Pace>>, instant: Instant) {
        // It may be mended: its URL, its credentials, or the receiver itself, for which somebody resumes it.
        self.endpoint.probe_now(instant);
        if subscription.spec.state == SubscriptionState::Paused {
            self.forget_window();
        } else if self.subscription.spec.state == SubscriptionState::Paused {
            // Resumed by a person, who may know that the receiver is back earlier than it said.
            self.pause_until = None;
        }
        self.subscription = subscription;
        self.pace = pace;
    }

    /// Leaves the receiver alone until `until`.
    pub fn pause(&mut self, until: Instant) {
        self.pause_until = Some(self.pause_until.map_or(until, |present| present.max(until)));
    }

    /// Takes note of how an attempt ended.
    pub fn note_outcome(&mut self, outcome: Outcome) {
        self.health.note(outcome);
        self.not_sent = 0;
    }

    /// Takes note that our own side could not send. What is owed waits in its place, and the first to go
    /// after a wait that grows goes alone.
    pub fn note_not_sent(&mut self, instant: Instant) {
        self.health.note(Outcome::Unreachable);
        // Those that were in flight together are one failure.
        if self.pause_until.is_none_or(|until| until <= instant) {
            self.pause(instant + not_sent_wait(self.not_sent));
            self.not_sent = self.not_sent.saturating_add(1);
        }
    }

    fn is_active(&self) -> bool {
        self.subscription.spec.state == SubscriptionState::Active
    }

    fn holds_back_retries(&self) -> bool {
        self.pace.is_some() && self.subscription.spec.rate_scope == RateScope::Retries
    }

    /// Whether the ceiling counts the request for a row.
    pub fn is_paced(&self, row: &DueRow) -> bool {
        self.pace.is_some() && (self.subscription.spec.rate_scope == RateScope::All || row.attempts > 0)
    }

    /// What to do at this moment of the two clocks.
    pub fn step(&mut self, now: Timestamp, instant: Instant) -> Step {
        if !self.is_active() || self.closing.is_some() {
            return Step::Idle;
        }
        if self.tenure.as_ref().is_some_and(|tenure| !tenure.holds_at(now, instant)) {
            return Step::WaitUntil(instant + LAPSE_CHECK);
        }
        if let Some(next) = self.next_due.filter(|next| *next <= now) {
            self.next_due = None;
            self.note_due(next, now);
        }
        if let Some(until) = self.pause_until.filter(|until| *until > instant) {
            return Step::WaitUntil(until);
        }
        if self.in_flight >= self.health.allowance() {
            return Step::Idle;
        }
        if let Some(probe_at) = self.endpoint.probe_at() {
            // What is still in flight may show that the receiver is back.
            if self.in_flight > 0 {
                return Step::Idle;
            }
            if probe_at > instant {
                return Step::WaitUntil(probe_at);
            }
        }
        let gate_opens = self.gate_opens(instant);
        let place = match gate_opens {
            None => (!self.window.is_empty()).then_some(0),
            Some(_) => self.window.iter().position(|row| !self.is_paced(row)),
        };
        if let Some(row) = place.and_then(|place| self.window.remove(place)) {
            if self.is_paced(&row) {
                self.before_gate += 1;
            }
            self.in_flight += 1;
            self.endpoint.probe(instant);
            return Step::Start(row);
        }
        if self.backlog && !self.scanning {
            if self.window.is_empty() {
                return Step::Scan { limit: WINDOW_ROWS };
            }
            if self.holds_back_retries() && self.window.len() < LOOK_AHEAD_ROWS {
                return Step::Scan { limit: LOOK_AHEAD_ROWS - self.window.len() };
            }
        }
        let wakes_at_due = self.next_due.map(|due_at| instant + due_at.since(now));
        let wakes_at_gate = gate_opens.filter(|_| !self.window.is_empty());
        match (wakes_at_due, wakes_at_gate) {
            (Some(due), Some(gate)) => Step::WaitUntil(due.min(gate)),
            (Some(at), None) | (None, Some(at)) => Step::WaitUntil(at),
            (None, None) => Step::Idle,
        }
    }

    /// When the next paced row may be started, if not at once. Enough are started early to keep the
    /// gate busy, and no more, since each holds a place in flight.
    fn gate_opens(&self, instant: Instant) -> Option<Instant> {
        let pace = self.pace.as_ref()?;
        let passes = u32::try_from(self.before_gate).unwrap_or(u32::MAX);
        let next_pass = pace.next_pass().unwrap_or(instant).max(instant) + pace.interval().saturating_mul(passes);
        let opens = next_pass.checked_sub(PREPARE_AHEAD).unwrap_or(next_pass);
        // One attempt is always prepared ahead, or a long interval would begin only when it is over.
        (opens > instant).then_some(opens)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::endpoint::FailingRule;
    use super::*;
    use crate::id::{EventId, SubscriptionId};
    use crate::subscription::{FieldNames, SubscriptionSpec, check};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);

    fn lane() -> Lane {
        let spec = json!({"account": "acme", "name": "x", "event_types": ["*"], "request": {"url": "https://a.example/"}});
        let spec: SubscriptionSpec = serde_json::from_value(spec).unwrap();
        let (rules, _) = check(&spec, &FieldNames::default(), &|_| true).unwrap();
        let subscription = Subscription {
            id: SubscriptionId::from_raw(1),
            version: 1,
            template_version: 1,
            created_at: NOW,
            updated_at: NOW,
            spec: Arc::new(spec),
            rules: Arc::new(rules),
            secrets: Arc::default(),
        };
        let endpoint = Endpoint::new(FailingRule::default(), None, now());
        let mut lane = Lane::new(subscription, None, 32, endpoint);
        // A lane begins with a scan; here it found nothing.
        scan(&mut lane, vec![]);
        lane
    }

    fn id() -> DeliveryId {
        DeliveryId::of(EventId::from_raw(1 << 80), 1)
    }

    fn row() -> DueRow {
        DueRow { delivery: id(), due_at: NOW, attempts: 0, template_version: 1, event: None }
    }

    fn scan(lane: &mut Lane, rows: Vec<DueRow>) {
        lane.begin_scan();
        lane.end_scan(Some(DuePage { rows, ..DuePage::default() }), NOW);
    }

    fn fresh() -> LaneNotice {
        LaneNotice { fresh: vec![row()], ..LaneNotice::default() }
    }

    fn removed() -> LaneNotice {
        LaneNotice { removed: vec![id()], ..LaneNotice::default() }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    fn step(lane: &mut Lane) -> Step {
        lane.step(NOW, now())
    }

    #[test]
    fn what_is_stored_and_removed_in_one_notice_is_not_started() {
        let mut lane = lane();
        lane.notice(LaneNotice { removed: vec![id()], ..fresh() }, NOW);
        assert!(matches!(step(&mut lane), Step::Idle));
    }

    #[test]
    fn what_is_removed_while_a_scan_is_under_way_is_not_started() {
        let mut lane = lane();
        lane.begin_scan();
        lane.notice(removed(), NOW);
        lane.end_scan(Some(DuePage { rows: vec![row()], ..DuePage::default() }), NOW);
        assert!(!matches!(step(&mut lane), Step::Start(_)));
    }

    #[test]
    fn a_delivery_that_is_due_again_is_found_after_a_scan_had_to_skip_it() {
        let mut lane = lane();
        lane.notice(fresh(), NOW);
        assert!(matches!(step(&mut lane), Step::Start(_)));
        // The notice of its next due row leads to a scan before its end is heard of.
        lane.notice(LaneNotice { earliest_due: Some(NOW), ..LaneNotice::default() }, NOW);
        assert!(lane.begin_scan().contains(&id()));
        lane.end_scan(Some(DuePage::default()), NOW);
        lane.in_flight -= 1;
        lane.settle(id(), Some(NOW), NOW);
        assert!(matches!(step(&mut lane), Step::Scan { .. }));
        assert!(!lane.begin_scan().contains(&id()));
    }

    #[test]
    fn a_delivery_that_is_replayed_before_its_end_is_heard_of_is_found() {
        let mut lane = lane();
        lane.notice(fresh(), NOW);
        assert!(matches!(step(&mut lane), Step::Start(_)));
        lane.notice(LaneNotice { earliest_due: Some(NOW), ..removed() }, NOW);
        // The scan has to skip it, since it is in flight as far as the lane knows.
        scan(&mut lane, vec![]);
        lane.in_flight -= 1;
        lane.settle(id(), None, NOW);
        assert!(matches!(step(&mut lane), Step::Scan { .. }));
        assert!(!lane.begin_scan().contains(&id()));
    }

    #[test]
    fn a_settled_delivery_is_not_forgotten_while_a_scan_may_still_bring_it() {
        let mut lane = lane();
        lane.notice(fresh(), NOW);
        assert!(matches!(step(&mut lane), Step::Start(_)));
        lane.begin_scan();
        lane.in_flight -= 1;
        lane.settle(id(), None, NOW);
        lane.end_scan(Some(DuePage { rows: vec![row()], ..DuePage::default() }), NOW);
        assert!(matches!(step(&mut lane), Step::Idle));
    }
}
