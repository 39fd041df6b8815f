//! What happened lately, overall, per account and per subscription.
//!
//! Where several servers share a store each counts what it does itself, and tells the others by the minute.
//! What they tell is kept apart, and is part of what is shown.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::series::{Point, Series, Tally};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::SubscriptionId;

/// Most accounts whose counts are kept apart; beyond that the one that was quiet longest is forgotten.
const ACCOUNTS_MAX: usize = 1_000;
const MINUTE_MS: i64 = 60_000;

/// Most subscriptions of which a server tells the others, the busiest first.
const TOLD_SUBSCRIPTIONS_MAX: usize = 2_000;

/// What happened lately. Shared by whoever notes and whoever shows.
#[derive(Debug, Default)]
pub struct Activity {
    own: Mutex<State>,
    elsewhere: Mutex<Elsewhere>,
}

/// What one server did in one minute, for the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MinuteReport {
    overall: Tally,
    accounts: Vec<(AccountId, Tally)>,
    /// Attempts.
    subscriptions: Vec<(SubscriptionId, u32)>,
}

/// What other servers told.
#[derive(Debug, Default)]
struct Elsewhere {
    sums: State,
    /// By server and minute, as it was told last.
    told: HashMap<(String, i64), MinuteReport>,
}

#[derive(Debug, Default)]
struct State {
    overall: Series,
    accounts: HashMap<AccountId, Series>,
    recent: HashMap<SubscriptionId, Recent>,
    /// The minute in which `recent` was last cleared of what is over.
    cleared: i64,
}

/// Attempts of one subscription in this minute and in the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    minute: i64,
    this: u32,
    before: u32,
}

/// One attempt that was settled.
#[derive(Debug, Clone, Copy)]
pub struct AttemptNote {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Whether it delivered.
    pub delivered: bool,
    /// Whether the delivery was given up after it.
    pub dead: bool,
    /// For a first attempt: from its due time to its end.
    pub latency: Option<Duration>,
}

impl Activity {
    fn state(&self) -> MutexGuard<'_, State> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this server did in the minute of `at`; none if it did nothing.
    #[must_use]
    pub fn minute(&self, at: Timestamp) -> Option<MinuteReport> {
        let state = self.state();
        let overall = state.overall.minute(at)?.clone();
        let accounts = state.accounts.iter().filter_map(|(account, series)| Some((account.clone(), series.minute(at)?.clone()))).collect();
        let minute = at.unix_ms().div_euclid(MINUTE_MS);
        let counts = state.recent.iter().map(|(id, recent)| (*id, recent.in_minute(minute)));
        let mut subscriptions: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        drop(state);
        subscriptions.sort_unstable_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        subscriptions.truncate(TOLD_SUBSCRIPTIONS_MAX);
        Some(MinuteReport { overall, accounts, subscriptions })
    }

    /// Takes note of what another server did in the minute of `at`. What it told of that minute before is part of it.
    /// Minutes before that of `oldest` are not heard of again.
    pub fn hear(&self, server: &str, at: Timestamp, report: MinuteReport, oldest: Timestamp) {
        let minute = at.unix_ms().div_euclid(MINUTE_MS);
        let oldest = oldest.unix_ms().div_euclid(MINUTE_MS);
        let Elsewhere { sums, told } = &mut *self.elsewhere();
        let nothing = MinuteReport::default();
        let before = told.get(&(server.to_owned(), minute)).unwrap_or(&nothing);
        if *before == report {
            return;
        }
        sums.overall.note(at, |tally| tally.merge(&report.overall.since(&before.overall)));
        let earlier: HashMap<_, _> = before.accounts.iter().map(|(account, tally)| (account, tally)).collect();
        for (account, tally) in &report.accounts {
            let added = earlier.get(account).map_or_else(|| tally.clone(), |earlier| tally.since(earlier));
            sums.series_of(account).note(at, |sum| sum.merge(&added));
        }
        told.insert((server.to_owned(), minute), report);
        told.retain(|(_, minute), _| *minute >= oldest);
    }

    /// Notes that an event of `account` was stored at `now`, which owes this many deliveries.
    pub fn accepted(&self, account: &AccountId, now: Timestamp, deliveries: usize) {
        self.state().note(account, now, |tally| {
            tally.events += 1;
            tally.accepted += deliveries as u64;
        });
    }

    /// Notes that an attempt for `account` was settled at `now`.
    pub fn attempted(&self, account: &AccountId, now: Timestamp, note: &AttemptNote) {
        let mut state = self.state();
        state.note(account, now, |tally| {
            tally.attempts += 1;
            tally.delivered += u64::from(note.delivered);
            tally.failed_attempts += u64::from(!note.delivered);
            tally.dead += u64::from(note.dead);
            if let Some(latency) = note.latency {
                tally.latencies.add(latency);
            }
        });
        state.note_recent(note.subscription, now);
    }

    /// What happened between two moments in steps; of one account, or overall. See [`Series::points`].
    #[must_use]
    pub fn points(
        &self,
        account: Option<&AccountId>,
        (since, until): (Timestamp, Timestamp),
        step: Duration,
        now: Timestamp,
    ) -> Vec<Point> {
        let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
        let quiet = Series::default();
        let of = |state: &State| state.series(account).unwrap_or(&quiet).points(since, until, step_ms, now);
        let mut points = of(&self.state());
        let others = of(&self.elsewhere().sums);
        points.iter_mut().zip(&others).for_each(|(point, other)| point.tally.merge(&other.tally));
        points
    }

    /// Forgets what is known of an account. What it did stays in the sum.
    pub fn forget(&self, account: &AccountId) {
        self.state().accounts.remove(account);
        self.elsewhere().sums.accounts.remove(account);
    }

    /// How many attempts a minute each subscription has had of late; those with none are left out.
    #[must_use]
    pub fn attempts_per_minute(&self, now: Timestamp) -> HashMap<SubscriptionId, f64> {
        let minute = now.unix_ms().div_euclid(MINUTE_MS);
        let mut rates: HashMap<_, _> = self.state().recent.iter().map(|(id, recent)| (*id, recent.per_minute(now))).collect();
        for ((_, told_for), report) in &self.elsewhere().told {
            for (id, count) in report.subscriptions.iter().filter(|_| (minute - 1..=minute).contains(told_for)) {
                *rates.entry(*id).or_default() += Recent { minute: *told_for, this: *count, before: 0 }.per_minute(now);
            }
        }
        rates.retain(|_, rate| *rate > 0.0);
        rates
    }
}

impl State {
    fn note(&mut self, account: &AccountId, now: Timestamp, note: impl Fn(&mut Tally)) {
        self.overall.note(now, &note);
        self.series_of(account).note(now, note);
    }

    /// What is counted of one account, or of all.
    fn series(&self, account: Option<&AccountId>) -> Option<&Series> {
        match account {
            None => Some(&self.overall),
            Some(account) => self.accounts.get(account),
        }
    }

    fn series_of(&mut self, account: &AccountId) -> &mut Series {
        if !self.accounts.contains_key(account) && self.accounts.len() >= ACCOUNTS_MAX {
            let quiet = self.accounts.iter().min_by_key(|(_, series)| series.last_at()).map(|(account, _)| account.clone());
            quiet.map(|account| self.accounts.remove(&account));
        }
        self.accounts.entry(account.clone()).or_default()
    }

    fn note_recent(&mut self, subscription: SubscriptionId, now: Timestamp) {
        let minute = now.unix_ms().div_euclid(MINUTE_MS);
        if self.cleared != minute {
            self.cleared = minute;
            self.recent.retain(|_, recent| (recent.minute - minute).abs() <= 1);
        }
        let recent = self.recent.entry(subscription).or_default();
        if recent.minute != minute {
            let before = if recent.minute == minute - 1 { recent.this } else { 0 };
            *recent = Recent { minute, this: 0, before };
        }
        recent.this = recent.this.saturating_add(1);
    }
}

impl Recent {
    const fn in_minute(self, minute: i64) -> u32 {
        match minute - self.minute {
            0 => self.this,
            -1 => self.before,
            _ => 0,
        }
    }

    /// The last sixty seconds, taking the minute before as even.
    fn per_minute(self, now: Timestamp) -> f64 {
        let minute = now.unix_ms().div_euclid(MINUTE_MS);
        let over = now.unix_ms().rem_euclid(MINUTE_MS) as f64 / MINUTE_MS as f64;
        match minute - self.minute {
            0 => f64::from(self.this) + f64::from(self.before) * (1.0 - over),
            1 => f64::from(self.this) * (1.0 - over),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_732_233_600_000 + seconds * 1_000)
    }

    fn attempt(subscription: u128) -> AttemptNote {
        AttemptNote { subscription: SubscriptionId::from_raw(subscription), delivered: true, dead: false, latency: None }
    }

    #[test]
    fn an_account_sees_its_own_and_the_whole_is_the_sum() {
        let activity = Activity::default();
        let (a, b): (AccountId, AccountId) = ("a".parse().unwrap(), "b".parse().unwrap());
        activity.accepted(&a, at(0), 2);
        activity.accepted(&b, at(0), 3);
        activity.attempted(&a, at(1), &AttemptNote { delivered: false, dead: true, ..attempt(1) });
        let seen = |account: Option<&AccountId>| {
            let points = activity.points(account, (at(0), at(60)), Duration::from_secs(60), at(60));
            (points[0].tally.events, points[0].tally.accepted, points[0].tally.failed_attempts, points[0].tally.dead)
        };
        assert_eq!((seen(Some(&a)), seen(Some(&b)), seen(None)), ((1, 2, 1, 1), (1, 3, 0, 0), (2, 5, 1, 1)));
    }

    #[test]
    fn accounts_beyond_the_limit_displace_the_one_that_was_quiet_longest() {
        let activity = Activity::default();
        for number in 0..ACCOUNTS_MAX + 5 {
            let hours = i64::try_from(number).unwrap();
            activity.accepted(&format!("account-{number}").parse().unwrap(), at(hours * 3_600), 1);
        }
        let state = activity.state();
        assert_eq!(state.accounts.len(), ACCOUNTS_MAX);
        assert!(!state.accounts.contains_key(&"account-4".parse().unwrap()) && state.accounts.contains_key(&"account-5".parse().unwrap()));
    }

    #[test]
    fn the_rate_covers_the_last_minute_and_ends() {
        let activity = Activity::default();
        for second in 0..60 {
            activity.attempted(&"a".parse().unwrap(), at(second), &attempt(1));
        }
        let rate = |seconds| activity.attempts_per_minute(at(seconds)).get(&SubscriptionId::from_raw(1)).copied();
        assert_eq!((rate(59), rate(90), rate(120)), (Some(60.0), Some(30.0), None));
        activity.attempted(&"a".parse().unwrap(), at(600), &attempt(2));
        assert_eq!(activity.state().recent.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn what_another_server_tells_again_is_counted_once() {
        let (here, there) = (Activity::default(), Activity::default());
        let account: AccountId = "a".parse().unwrap();
        here.accepted(&account, at(0), 1);
        for second in [1, 2, 3] {
            there.attempted(&account, at(second), &AttemptNote { latency: Some(Duration::from_millis(7)), ..attempt(1) });
            let report = there.minute(at(second)).unwrap();
            let report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
            here.hear("there", at(0), report, at(0));
        }
        let seen = |activity: &Activity, account: Option<&AccountId>| {
            let tally = activity.points(account, (at(0), at(60)), Duration::from_secs(60), at(60)).remove(0).tally;
            (tally.events, tally.delivered, tally.latencies.percentile_ms(1.0))
        };
        assert_eq!((seen(&here, Some(&account)), seen(&here, None)), ((1, 3, Some(7)), (1, 3, Some(7))));
        assert_eq!(seen(&there, None), (0, 3, Some(7)));
        assert_eq!(here.attempts_per_minute(at(59)).values().copied().collect::<Vec<_>>(), [3.0]);
        assert!(here.minute(at(0)).unwrap().subscriptions.is_empty(), "it tells of itself only");
        here.hear("there", at(600), there.minute(at(0)).unwrap(), at(480));
        assert_eq!(here.elsewhere().told.len(), 1, "what is over is forgotten");
    }
}
