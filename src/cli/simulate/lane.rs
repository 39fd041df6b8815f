//! The simulation: deliveries of one subscription, from one moment to the next at which something happens.
//!
//! What may start starts, under the ceiling, the receiver's `Retry-After` and the cap in flight; then the
//! clock jumps. The deliveries are alike: the same event, accepted at the same time, with ids of their own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::exchange::exchange;
use crate::attempt::{Exchange, Failure, Outcome};
use crate::cli::listen::{Asked, Chooser, Script};
use crate::clock::Timestamp;
use crate::delivery::{DeadReason, Next, StateName, Verdict, judge, next};
use crate::event::Event;
use crate::id::{DeliveryId, EventId, IdSource};
use crate::request::{DeliveryFacts, RequestTemplate};
use crate::rng::mix;
use crate::subscription::{RateScope, Subscription};

/// What is simulated.
#[derive(Debug)]
pub struct Lane<'a> {
    /// The subscription.
    pub subscription: &'a Subscription,
    /// Its compiled request.
    pub template: &'a RequestTemplate,
    /// The event that every delivery owes; it is accepted when it happened.
    pub event: Event,
    /// The receiver.
    pub script: Script,
    /// How many deliveries.
    pub deliveries: u32,
    /// Decides the ids, and with them the jitter.
    pub seed: u64,
    /// Most requests in flight.
    pub in_flight_max: usize,
}

/// One attempt of the first delivery. Times are counted from the acceptance.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedAttempt {
    /// From 1.
    pub number: u32,
    /// When it began.
    pub at: Duration,
    /// How long after the end of the attempt before, or after the acceptance.
    pub wait: Duration,
    /// How long it took.
    pub took: Duration,
    /// Which answer of the script it got, from 1; none if none applied or nothing was sent.
    pub rule: Option<usize>,
    /// The status that came, if one came.
    pub status: Option<u16>,
    /// Its outcome.
    pub outcome: Outcome,
    /// Why it is this outcome.
    pub reason: String,
}

/// What came of all deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many ended delivered.
    pub delivered: u32,
    /// How many ended dead.
    pub dead: u32,
    /// How many requests were made.
    pub requests: u64,
    /// Attempts by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// When the last of the first attempts began.
    pub first_attempts_over: Duration,
    /// When the last delivery was decided.
    pub all_decided: Duration,
}

/// The result of a simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// The attempts of the first delivery.
    pub attempts: Vec<SimulatedAttempt>,
    /// Its last state.
    pub state: StateName,
    /// Why it died, if it did.
    pub dead_reason: Option<DeadReason>,
    /// When it was decided.
    pub decided: Duration,
    /// All deliveries together.
    pub summary: Summary,
}

/// Runs all deliveries to their end.
#[must_use]
pub fn simulate(lane: Lane<'_>) -> Simulated {
    let ids = IdSource::new(mix(lane.seed), 0);
    let start = lane.event.occurred_at;
    let ids: Vec<_> = (0..lane.deliveries.max(1)).map(|_| EventId::from_raw(ids.next(start.unix_ms()))).collect();
    let mut world = World {
        chooser: Chooser::new(lane.script.clone()),
        deliveries: ids.iter().map(|event| Delivery { id: DeliveryId::of(*event, 1), attempts: 0, ended: Duration::ZERO }).collect(),
        waiting: BinaryHeap::new(),
        ready: [VecDeque::new(), VecDeque::new()],
        in_flight: BinaryHeap::new(),
        paused_until: Duration::ZERO,
        next_permit: Duration::ZERO,
        begun: 0,
        result: Simulated {
            attempts: Vec::new(),
            state: StateName::Pending,
            dead_reason: None,
            decided: Duration::ZERO,
            summary: Summary::default(),
        },
        lane,
    };
    world.run();
    world.result
}

/// Index of a delivery.
type Index = usize;

struct Delivery {
    id: DeliveryId,
    attempts: u32,
    /// When the attempt before ended.
    ended: Duration,
}

/// What an attempt in flight comes to when it ends.
struct InFlight {
    delivery: Index,
    began: Duration,
    rule: Option<usize>,
    exchange: Exchange,
}

struct World<'a> {
    lane: Lane<'a>,
    chooser: Chooser,
    deliveries: Vec<Delivery>,
    /// Due later, by due time.
    waiting: BinaryHeap<Reverse<(Duration, Index)>>,
    /// Due, in order: those that the ceiling does not count, and those that it does.
    ready: [VecDeque<Index>; 2],
    /// By end; of those that end together the one that began first.
    in_flight: BinaryHeap<Reverse<Ending>>,
    paused_until: Duration,
    next_permit: Duration,
    /// How many attempts began.
    begun: u64,
    result: Simulated,
}

/// An attempt in flight, ordered by when it ends.
struct Ending {
    at: Duration,
    order: u64,
    what: InFlight,
}

impl PartialEq for Ending {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Ending {}
impl PartialOrd for Ending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

const UNPACED: usize = 0;
const PACED: usize = 1;

impl World<'_> {
    fn run(&mut self) {
        let first_due = self.lane.subscription.rules.minimum_delay;
        self.waiting = (0..self.deliveries.len()).map(|index| Reverse((first_due, index))).collect();
        let mut now = Duration::ZERO;
        while let Some(moment) = self.next_moment(now) {
            now = moment;
            while self.in_flight.peek().is_some_and(|Reverse(ending)| ending.at <= now) {
                let Some(Reverse(ending)) = self.in_flight.pop() else { break };
                self.end(ending.what, now);
            }
            while let Some(Reverse((_, index))) = self.waiting.peek().copied().filter(|Reverse((due, _))| *due <= now) {
                self.waiting.pop();
                self.ready[self.queue_of(index)].push_back(index);
            }
            self.start_what_may(now);
        }
    }

    /// The earliest moment from `now` on at which something happens.
    fn next_moment(&self, now: Duration) -> Option<Duration> {
        let ends = self.in_flight.peek().map(|Reverse(ending)| ending.at);
        let due = self.waiting.peek().map(|Reverse((due, _))| *due);
        let starts = if self.in_flight.len() >= self.lane.in_flight_max {
            None
        } else if !self.ready[UNPACED].is_empty() {
            Some(self.paused_until.max(now))
        } else if !self.ready[PACED].is_empty() {
            Some(self.paused_until.max(self.next_permit).max(now))
        } else {
            None
        };
        [ends, due, starts].into_iter().flatten().min()
    }

    fn queue_of(&self, index: Index) -> usize {
        let rules = &self.lane.subscription.rules;
        let counted = self.lane.subscription.spec.rate_scope == RateScope::All || self.deliveries[index].attempts > 0;
        if rules.request_interval.is_some() && counted { PACED } else { UNPACED }
    }

    fn start_what_may(&mut self, now: Duration) {
        while now >= self.paused_until && self.in_flight.len() < self.lane.in_flight_max {
            let paced = if self.ready[UNPACED].is_empty() { PACED } else { UNPACED };
            if paced == PACED && now < self.next_permit {
                return;
            }
            let Some(index) = self.ready[paced].pop_front() else { return };
            if let Some(interval) = self.lane.subscription.rules.request_interval.filter(|_| paced == PACED) {
                self.next_permit = now + interval;
            }
            self.start(index, now);
        }
    }

    fn start(&mut self, index: Index, now: Duration) {
        let delivery = &mut self.deliveries[index];
        delivery.attempts += 1;
        let at = self.lane.event.occurred_at.after(now);
        let facts = DeliveryFacts { id: delivery.id, attempt: delivery.attempts, at };
        let built = self.lane.template.build(&self.lane.event, &facts);
        let (rule, exchange, took) = match built {
            Err(error) => (None, Exchange::Failed(Failure::from(error)), Duration::ZERO),
            Ok(request) => {
                self.result.summary.requests += 1;
                let timeout = self.lane.subscription.rules.timeout;
                let connection = self.chooser.connection();
                let choice = connection.is_none().then(|| {
                    let key = |name: &str| request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
                    let key = key("idempotency-key").or(key("webhook-id")).map(|(_, value)| value.as_str());
                    let target = url::Url::parse(&request.url)
                        .map_or_else(|_| request.url.clone(), |url| url[url::Position::BeforePath..].to_owned());
                    self.chooser.answer(&Asked { method: &request.method, target: &target, key, body: &request.body })
                });
                let answer = choice.as_ref().map(|choice| &choice.answer);
                let (exchange, took) = exchange(connection, answer, at, timeout);
                (choice.and_then(|choice| choice.rule), exchange, took)
            }
        };
        if self.deliveries[index].attempts == 1 {
            self.result.summary.first_attempts_over = now;
        }
        self.begun += 1;
        let order = self.begun;
        let what = InFlight { delivery: index, began: now, rule, exchange };
        self.in_flight.push(Reverse(Ending { at: now + took, order, what }));
    }

    /// What the dispatcher does when an attempt ends, in the same order.
    fn end(&mut self, ended: InFlight, now: Duration) {
        let Lane { subscription, event, seed, .. } = &self.lane;
        let delivery = &mut self.deliveries[ended.delivery];
        let at = event.occurred_at.after(now);
        let (rules, retry) = (&subscription.rules, &subscription.spec.retry);
        let judgement = judge(&ended.exchange, rules.success_response.as_ref(), rules.error_response.as_ref(), retry.profile, at);
        let jitter_seed = mix(*seed) ^ mix(ended.delivery as u64).rotate_left(17) ^ u64::from(delivery.attempts);
        let follows = next(at, delivery.attempts, retry, &judgement, jitter_seed);
        if let Verdict::Retry { retry_after: Some(asked) } = judgement.verdict {
            self.paused_until = self.paused_until.max(now + asked);
        }
        *self.result.summary.outcomes.entry(judgement.outcome.as_str()).or_default() += 1;
        if ended.delivery == 0 {
            self.result.attempts.push(SimulatedAttempt {
                number: delivery.attempts,
                at: ended.began,
                wait: ended.began.saturating_sub(delivery.ended),
                took: now - ended.began,
                rule: ended.rule,
                status: match &ended.exchange {
                    Exchange::Answered(response) => Some(response.status),
                    Exchange::Failed(_) => None,
                },
                outcome: judgement.outcome,
                reason: judgement.reason,
            });
        }
        delivery.ended = now;
        match follows {
            Next::RetryAt(due_at) => self.waiting.push(Reverse((due_at.since(event.occurred_at), ended.delivery))),
            Next::Delivered => self.decide(ended.delivery, now, StateName::Delivered, None),
            Next::Dead(reason) => self.decide(ended.delivery, now, StateName::Dead, Some(reason)),
        }
    }

    fn decide(&mut self, index: Index, now: Duration, state: StateName, dead_reason: Option<DeadReason>) {
        let summary = &mut self.result.summary;
        match dead_reason {
            None => summary.delivered += 1,
            Some(_) => summary.dead += 1,
        }
        summary.all_decided = summary.all_decided.max(now);
        if index == 0 {
            (self.result.state, self.result.dead_reason, self.result.decided) = (state, dead_reason, now);
        }
    }
}

/// An event of the subscription's account that happened and was accepted at `at`.
#[must_use]
pub fn event_at(subscription: &Subscription, event_type: crate::event::EventType, data: crate::event::EventData, at: Timestamp) -> Event {
    Event {
        id: EventId::from_raw(0),
        account: subscription.spec.account.clone(),
        event_type,
        key: None,
        occurred_at: at,
        received_at: at,
        data: Arc::new(data),
    }
}
