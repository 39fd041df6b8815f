//! Counts by minute for three hours and by hour for three days.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::latencies::Latencies;
use crate::clock::Timestamp;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// What happened in one span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Events stored.
    pub events: u64,
    /// Deliveries that these events owe.
    pub accepted: u64,
    /// Deliveries that a receiver took.
    pub delivered: u64,
    /// Attempts made.
    pub attempts: u64,
    /// Attempts that did not deliver.
    pub failed_attempts: u64,
    /// Deliveries given up.
    pub dead: u64,
    /// From the due time to the end of the first attempt.
    pub latencies: Latencies,
}

impl Tally {
    /// Adds what another span has counted.
    pub fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.attempts += other.attempts;
        self.failed_attempts += other.failed_attempts;
        self.dead += other.dead;
        self.latencies.merge(&other.latencies);
    }

    /// What was counted beyond `earlier`, an earlier state of the same counts.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            events: self.events.saturating_sub(earlier.events),
            accepted: self.accepted.saturating_sub(earlier.accepted),
            delivered: self.delivered.saturating_sub(earlier.delivered),
            attempts: self.attempts.saturating_sub(earlier.attempts),
            failed_attempts: self.failed_attempts.saturating_sub(earlier.failed_attempts),
            dead: self.dead.saturating_sub(earlier.dead),
            latencies: self.latencies.since(&earlier.latencies),
        }
    }
}

/// What happened from `at` on, for one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// When the step begins.
    pub at: Timestamp,
    /// What happened in it.
    pub tally: Tally,
}

/// The counts of the last three hours and of the last three days. Spans in which nothing happened take
/// no memory.
#[derive(Debug, Clone)]
pub struct Series {
    minutes: Spans,
    hours: Spans,
}

impl Default for Series {
    fn default() -> Self {
        Self { minutes: Spans::new(MINUTE_MS, Self::MINUTES), hours: Spans::new(HOUR_MS, Self::HOURS) }
    }
}

impl Series {
    /// For how many minutes there are counts by minute.
    pub const MINUTES: i64 = 180;
    /// For how many hours there are counts by hour.
    pub const HOURS: i64 = 72;

    /// Notes something that happens at `now`.
    pub fn note(&mut self, now: Timestamp, note: impl Fn(&mut Tally)) {
        note(self.minutes.tally(now));
        note(self.hours.tally(now));
    }

    /// What happened from `since` to `until` in steps of `step_ms`, which is a number of whole minutes,
    /// or of whole hours where counts by minute are no longer kept at `now`. Steps begin at multiples of
    /// their length; those without a happening are there too.
    #[must_use]
    pub fn points(&self, since: Timestamp, until: Timestamp, step_ms: i64, now: Timestamp) -> Vec<Point> {
        let spans = if Self::has_minutes(since, now) { &self.minutes } else { &self.hours };
        spans.points(since, until, step_ms)
    }

    /// Whether counts by minute are still kept for `since`.
    #[must_use]
    pub fn has_minutes(since: Timestamp, now: Timestamp) -> bool {
        now.unix_ms() - since.unix_ms() <= Self::MINUTES * MINUTE_MS
    }

    /// What happened in the minute of `at`; none if nothing did, or it is too long ago.
    #[must_use]
    pub fn minute(&self, at: Timestamp) -> Option<&Tally> {
        let begin = floor(at.unix_ms(), MINUTE_MS);
        self.minutes.tallies.iter().rev().find(|(minute, _)| *minute == begin).map(|(_, tally)| tally)
    }

    /// When something last happened; none if never, or too long ago.
    #[must_use]
    pub fn last_at(&self) -> Option<Timestamp> {
        self.hours.tallies.back().map(|(at, _)| Timestamp::from_unix_ms(*at))
    }
}

/// Counts of spans of one length, oldest first.
#[derive(Debug, Clone)]
struct Spans {
    length_ms: i64,
    kept: i64,
    tallies: VecDeque<(i64, Tally)>,
}

impl Spans {
    const fn new(length_ms: i64, kept: i64) -> Self {
        Self { length_ms, kept, tallies: VecDeque::new() }
    }

    /// The counts of the span at `now`. A clock that was set back finds the earlier span again.
    fn tally(&mut self, now: Timestamp) -> &mut Tally {
        let begin = floor(now.unix_ms(), self.length_ms);
        let place = match self.tallies.iter().rposition(|(at, _)| *at <= begin) {
            Some(place) if self.tallies[place].0 == begin => place,
            found => {
                let oldest = begin - self.kept * self.length_ms;
                let gone = self.tallies.iter().take_while(|(at, _)| *at < oldest).count();
                self.tallies.drain(..gone);
                let place = found.map_or(0, |place| place + 1).saturating_sub(gone);
                self.tallies.insert(place, (begin, Tally::default()));
                place
            }
        };
        &mut self.tallies[place].1
    }

    fn points(&self, since: Timestamp, until: Timestamp, step_ms: i64) -> Vec<Point> {
        let step_ms = step_ms.max(self.length_ms);
        let mut points: Vec<Point> = Vec::new();
        let mut at = floor(since.unix_ms(), step_ms);
        while at < until.unix_ms() {
            points.push(Point { at: Timestamp::from_unix_ms(at), tally: Tally::default() });
            at += step_ms;
        }
        let Some(first) = points.first().map(|point| point.at.unix_ms()) else { return points };
        for (begin, tally) in self.tallies.iter().filter(|(begin, _)| *begin >= first) {
            let place = usize::try_from((begin - first) / step_ms).unwrap_or(usize::MAX);
            if let Some(point) = points.get_mut(place) {
                point.tally.merge(tally);
            }
        }
        points
    }
}

const fn floor(ms: i64, step_ms: i64) -> i64 {
    ms.div_euclid(step_ms) * step_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(number: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_732_233_600_000 + number * MINUTE_MS)
    }

    fn delivered(points: &[Point]) -> Vec<u64> {
        points.iter().map(|point| point.tally.delivered).collect()
    }

    fn series(minutes: impl IntoIterator<Item = i64>) -> Series {
        let mut series = Series::default();
        minutes.into_iter().for_each(|number| series.note(minute(number), |tally| tally.delivered += 1));
        series
    }

    #[test]
    fn steps_without_a_happening_are_there_too() {
        let series = series([0, 0, 3]);
        assert_eq!(delivered(&series.points(minute(0), minute(5), MINUTE_MS, minute(5))), [2, 0, 0, 1, 0]);
        assert_eq!(delivered(&series.points(minute(0), minute(5), 2 * MINUTE_MS, minute(5))), [2, 1, 0]);
    }

    #[test]
    fn what_is_old_is_forgotten_and_memory_stays_bounded() {
        let series = series(0..10_000);
        assert_eq!((series.minutes.tallies.len(), series.hours.tallies.len()), (181, 73));
        let points = series.points(minute(10_000 - 72 * 60), minute(10_000), HOUR_MS, minute(10_000));
        assert!(delivered(&points[1..points.len() - 1]).iter().all(|count| *count == 60), "{points:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_and_forth_loses_nothing() {
        let series = series([10, 4, 10, 5, 4, 11]);
        assert_eq!(delivered(&series.points(minute(4), minute(12), MINUTE_MS, minute(12))), [2, 1, 0, 0, 0, 0, 2, 1]);
    }
}
