//! Whether a subscription's receiver is failing, and when it may be tried.
//!
//! ```text
//! healthy ── so many failures in a row, within 72 hours ──▶ failing: one probe per interval, the rest waits
//!    ▲                                                         │
//!    └── a probe succeeds; after a relapse two in a row, then four, then eight ──┘
//! ```
//!
//! What counts is what says something about the receiver as a whole: no answer, a status of 5xx or 3xx, an
//! answer that does not fit, and 401, 403, 407 and 410. Any other refusal is an answer about one event and
//! as good as a success. A receiver that asks for time, or an event that gives no request, says neither.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::queue::EndpointHealth;

/// The span within which failures must lie to count together.
const WITHIN: Duration = Duration::from_secs(72 * 3_600);
/// Probe intervals after a recovery within which failing again is a relapse.
const RELAPSE_INTERVALS: u32 = 10;
/// Most successes in a row that a receiver needs which fails again and again.
const NEEDED_MAX: u32 = 8;
/// The status that says that nothing is there any more.
const GONE: u16 = 410;

/// When a receiver counts as failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailingRule {
    /// After how many failures in a row; zero: never.
    pub after: u32,
    /// Time between two probes.
    pub probe_interval: Duration,
}

impl Default for FailingRule {
    fn default() -> Self {
        Self { after: 10, probe_interval: Duration::from_secs(60) }
    }
}

/// What an attempt says about the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Good,
    Bad,
    /// It was asked for time.
    Neither,
    /// No request was made.
    NotAsked,
}

impl Sign {
    const fn of(outcome: Outcome, status: Option<u16>) -> Self {
        match outcome {
            Outcome::Delivered => Self::Good,
            Outcome::Refused => match status {
                Some(401 | 403 | 407 | GONE) => Self::Bad,
                _ => Self::Good,
            },
            Outcome::UnexpectedResponse | Outcome::TimedOut | Outcome::Unreachable => Self::Bad,
            Outcome::Throttled | Outcome::Unknown => Self::Neither,
            Outcome::Blocked | Outcome::NotRendered => Self::NotAsked,
        }
    }
}

/// A change that people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Failing,
    Recovered,
}

/// How the receiver of one lane has been doing.
#[derive(Debug)]
pub(super) struct Endpoint {
    rule: FailingRule,
    /// When the last failures of the present run were; no more than the rule asks for.
    failures: VecDeque<Timestamp>,
    consecutive: u32,
    failing: Option<Failing>,
    recovered_at: Option<Instant>,
    relapses: u32,
    last_outcome: Option<Outcome>,
    gone: bool,
}

#[derive(Debug)]
struct Failing {
    since: Timestamp,
    next_probe: Instant,
    /// Successes in a row that are still needed.
    needed: u32,
}

impl Endpoint {
    /// A receiver of which nothing is known, or that was failing when an earlier process ended.
    pub fn new(rule: FailingRule, known: Option<EndpointHealth>, instant: Instant) -> Self {
        let known = known.unwrap_or_default();
        let failing = known.failing_since.filter(|_| rule.after > 0).map(|since| Failing { since, next_probe: instant, needed: 1 });
        Self {
            rule,
            failures: VecDeque::new(),
            consecutive: known.consecutive_failures,
            failing,
            recovered_at: None,
            relapses: 0,
            last_outcome: known.last_outcome,
            gone: known.gone,
        }
    }

    /// Takes over another rule.
    pub fn set_rule(&mut self, rule: FailingRule) {
        self.rule = rule;
        if rule.after == 0 {
            self.failing = None;
        }
    }

    /// When the next request may go, if the receiver is failing.
    pub fn probe_at(&self) -> Option<Instant> {
        self.failing.as_ref().map(|failing| failing.next_probe)
    }

    /// Notes that a request goes; the next probe is one interval later.
    pub fn probe(&mut self, instant: Instant) {
        if let Some(failing) = &mut self.failing {
            failing.next_probe = instant + self.rule.probe_interval;
        }
    }

    /// A person changed something that may have mended it: the next request is a probe that goes at once.
    pub fn probe_now(&mut self, instant: Instant) {
        if let Some(failing) = &mut self.failing {
            (failing.next_probe, failing.needed) = (instant, 1);
        }
        self.gone = false;
    }

    /// Takes note of how an attempt ended.
    pub fn note(&mut self, (outcome, status): (Outcome, Option<u16>), now: Timestamp, instant: Instant) -> Option<Turn> {
        self.last_outcome = Some(outcome);
        match Sign::of(outcome, status) {
            Sign::Good => self.note_good(instant),
            Sign::Bad => {
                self.gone |= status == Some(GONE);
                self.note_bad(now, instant)
            }
            Sign::Neither => None,
            Sign::NotAsked => {
                self.not_asked(instant);
                None
            }
        }
    }

    /// Takes note that no request was made: what was started was no probe.
    pub fn not_asked(&mut self, instant: Instant) {
        if let Some(failing) = &mut self.failing {
            failing.next_probe = failing.next_probe.min(instant);
        }
    }

    fn note_good(&mut self, instant: Instant) -> Option<Turn> {
        self.failures.clear();
        (self.consecutive, self.gone) = (0, false);
        let failing = self.failing.as_mut()?;
        failing.needed = failing.needed.saturating_sub(1);
        if failing.needed > 0 {
            return None;
        }
        self.failing = None;
        self.recovered_at = Some(instant);
        Some(Turn::Recovered)
    }

    fn note_bad(&mut self, now: Timestamp, instant: Instant) -> Option<Turn> {
        self.consecutive = self.consecutive.saturating_add(1);
        if let Some(failing) = &mut self.failing {
            failing.needed = needed(self.relapses);
            return None;
        }
        if self.rule.after == 0 {
            return None;
        }
        self.failures.push_back(now);
        let surplus = self.failures.len().saturating_sub(self.rule.after as usize);
        self.failures.drain(..surplus);
        let run = self.failures.len() >= self.rule.after as usize;
        if !run || self.failures.front().is_some_and(|first| now.since(*first) > WITHIN) {
            return None;
        }
        let window = self.rule.probe_interval.saturating_mul(RELAPSE_INTERVALS);
        let is_relapse = self.recovered_at.is_some_and(|at| instant.saturating_duration_since(at) <= window);
        self.relapses = if is_relapse { self.relapses + 1 } else { 0 };
        self.failures.clear();
        self.failing = Some(Failing { since: now, next_probe: instant + self.rule.probe_interval, needed: needed(self.relapses) });
        Some(Turn::Failing)
    }

    /// What there is to tell at this moment of the two clocks.
    pub fn report(&self, now: Timestamp, instant: Instant) -> EndpointHealth {
        EndpointHealth {
            failing_since: self.failing.as_ref().map(|failing| failing.since),
            consecutive_failures: self.consecutive,
            last_outcome: self.last_outcome,
            next_probe_at: self.failing.as_ref().map(|failing| now.after(failing.next_probe.saturating_duration_since(instant))),
            gone: self.gone,
        }
    }
}

fn needed(relapses: u32) -> u32 {
    1u32.checked_shl(relapses).unwrap_or(NEEDED_MAX).min(NEEDED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    const GOOD: (Outcome, Option<u16>) = (Outcome::Delivered, Some(200));
    const BAD: (Outcome, Option<u16>) = (Outcome::UnexpectedResponse, Some(500));

    struct Bench {
        endpoint: Endpoint,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let start = SystemClock.instant();
            Self { endpoint: Endpoint::new(FailingRule::default(), None, start), start }
        }

        fn note(&mut self, end: (Outcome, Option<u16>), second: u64) -> Option<Turn> {
            let span = Duration::from_secs(second);
            self.endpoint.note(end, Timestamp::from_unix_ms(0).after(span), self.start + span)
        }

        fn fail(&mut self, second: u64) {
            let turns: Vec<_> = (0..10).map(|_| self.note(BAD, second)).collect();
            assert_eq!((turns[..9].iter().flatten().count(), turns[9]), (0, Some(Turn::Failing)));
        }
    }

    #[test]
    fn ten_failures_in_a_row_are_failing_and_one_success_is_healthy_again() {
        let mut bench = Bench::new();
        for _ in 0..9 {
            assert_eq!(bench.note(BAD, 0), None);
        }
        assert_eq!(bench.note(GOOD, 1), None);
        bench.fail(2);
        assert_eq!(bench.endpoint.probe_at(), Some(bench.start + Duration::from_secs(62)));
        assert_eq!((bench.note(BAD, 62), bench.note(GOOD, 122)), (None, Some(Turn::Recovered)));
        assert_eq!(bench.endpoint.probe_at(), None);
    }

    #[test]
    fn failures_that_lie_more_than_three_days_apart_do_not_count_together() {
        let mut bench = Bench::new();
        let hours = |hours: u64| hours * 3_600;
        for number in 0..40 {
            assert_eq!(bench.note(BAD, hours(9 * number)), None, "ten lie 81 hours apart");
        }
        let turns: Vec<_> = (1..=9).map(|number| bench.note(BAD, hours(351 + number))).collect();
        assert!(turns.contains(&Some(Turn::Failing)));
    }

    #[test]
    fn what_speaks_of_the_receiver_counts_and_what_speaks_of_the_event_does_not() {
        let table = [
            (Outcome::Delivered, Some(200), Sign::Good),
            (Outcome::Refused, Some(404), Sign::Good),
            (Outcome::Refused, Some(200), Sign::Good),
            (Outcome::Refused, Some(401), Sign::Bad),
            (Outcome::Refused, Some(410), Sign::Bad),
            (Outcome::UnexpectedResponse, Some(302), Sign::Bad),
            (Outcome::TimedOut, None, Sign::Bad),
            (Outcome::Unreachable, None, Sign::Bad),
            (Outcome::Throttled, Some(429), Sign::Neither),
            (Outcome::NotRendered, None, Sign::NotAsked),
            (Outcome::Blocked, None, Sign::NotAsked),
        ];
        for (outcome, status, sign) in table {
            assert_eq!(Sign::of(outcome, status), sign, "{outcome} {status:?}");
        }
    }

    #[test]
    fn c17_a_receiver_that_relapses_needs_more_successes_each_time() {
        let mut bench = Bench::new();
        for (round, needed) in (0..).zip([1, 2, 4, 8, 8]) {
            let second = 1_000 * round;
            // Within ten minutes of the recovery before.
            bench.fail(if round == 0 { 0 } else { second - 1_000 + 100 });
            for number in 1..=needed {
                let turn = bench.note(GOOD, second + number);
                assert_eq!(turn.is_some(), number == needed, "round {round}, success {number}");
            }
        }
        bench.fail(100_000);
        assert_eq!(bench.note(GOOD, 100_001), Some(Turn::Recovered), "after a long quiet time it begins anew");
    }

    #[test]
    fn a_failure_between_successes_begins_the_count_anew() {
        let mut bench = Bench::new();
        bench.fail(0);
        bench.note(GOOD, 1);
        bench.fail(2);
        assert_eq!([GOOD, BAD, GOOD, GOOD].map(|end| bench.note(end, 3)), [None, None, None, Some(Turn::Recovered)]);
    }

    #[test]
    fn what_was_no_request_is_no_probe_and_a_person_brings_the_next_one_forward() {
        let mut bench = Bench::new();
        bench.fail(0);
        bench.note((Outcome::NotRendered, None), 5);
        assert_eq!(bench.endpoint.probe_at(), Some(bench.start + Duration::from_secs(5)));
        bench.endpoint.probe(bench.start + Duration::from_secs(5));
        assert_eq!(bench.endpoint.probe_at(), Some(bench.start + Duration::from_secs(65)));
        bench.endpoint.probe_now(bench.start + Duration::from_secs(10));
        assert_eq!(bench.endpoint.probe_at(), Some(bench.start + Duration::from_secs(10)));
    }

    #[test]
    fn c20_gone_is_told_until_something_else_is_heard_and_zero_turns_it_off() {
        let mut bench = Bench::new();
        let report = |bench: &Bench| bench.endpoint.report(Timestamp::default(), bench.start);
        bench.note((Outcome::Refused, Some(410)), 0);
        assert!(report(&bench).gone && report(&bench).failing_since.is_none());
        bench.note(GOOD, 1);
        assert!(!report(&bench).gone);
        bench.endpoint.rule.after = 0;
        assert!((0..1_000).all(|second| bench.note(BAD, second).is_none()));
        assert_eq!(report(&bench).consecutive_failures, 1_000);
    }
}
