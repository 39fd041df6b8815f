//! What happened lately, overall, per account and per subscription.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::series::{Point, Series};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::SubscriptionId;

/// Most accounts whose counts are kept apart; beyond that the one that was quiet longest is forgotten.
const ACCOUNTS_MAX: usize = 1_000;
const MINUTE_MS: i64 = 60_000;

/// What happened lately. Shared by whoever notes and whoever shows.
#[derive(Debug, Default)]
pub struct Activity(Mutex<State>);

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let state = self.state();
        let quiet = Series::default();
        let series = match account {
            None => &state.overall,
            Some(account) => state.accounts.get(account).unwrap_or(&quiet),
        };
        series.points(since, until, i64::try_from(step.as_millis()).unwrap_or(i64::MAX), now)
    }

    /// Forgets what is known of an account. What it did stays in the sum.
    pub fn forget(&self, account: &AccountId) {
        self.state().accounts.remove(account);
    }

    /// How many attempts a minute each subscription has had of late; those with none are left out.
    #[must_use]
    pub fn attempts_per_minute(&self, now: Timestamp) -> HashMap<SubscriptionId, f64> {
        let state = self.state();
        let rates = state.recent.iter().map(|(id, recent)| (*id, recent.per_minute(now)));
        rates.filter(|(_, rate)| *rate > 0.0).collect()
    }
}

impl State {
    fn note(&mut self, account: &AccountId, now: Timestamp, note: impl Fn(&mut super::Tally)) {
        self.overall.note(now, &note);
        if let Some(series) = self.accounts.get_mut(account) {
            series.note(now, note);
            return;
        }
        if self.accounts.len() >= ACCOUNTS_MAX {
            let quiet = self.accounts.iter().min_by_key(|(_, series)| series.last_at()).map(|(account, _)| account.clone());
            quiet.map(|account| self.accounts.remove(&account));
        }
        self.accounts.entry(account.clone()).or_default().note(now, note);
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
}
