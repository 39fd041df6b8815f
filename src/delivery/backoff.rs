//! How long a delivery waits between attempts.
//!
//! A pure function of the policy, the attempts made and a seed: the same delivery waits the same time
//! in a test, in a simulation and after a restart. Jitter only lengthens, so that a wait is never
//! shorter than what was promised.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::rng::mix;
use crate::subscription::{ATTEMPTS_MAX, ExponentialSpec, RetrySpec};

/// The wait after attempt `attempts_made` (from 1), before jitter.
///
/// From `exponential` if it is set, else entry `attempts_made` of the schedule; its last entry
/// repeats. An empty schedule gives zero.
#[must_use]
pub fn wait_after(attempts_made: u32, retry: &RetrySpec) -> Duration {
    let attempts_made = attempts_made.clamp(1, ATTEMPTS_MAX);
    match &retry.exponential {
        Some(rule) => exponential_wait(attempts_made, rule),
        None => {
            let entry = retry.schedule_s.get(attempts_made as usize - 1).or(retry.schedule_s.last());
            Duration::from_secs_f64(entry.copied().unwrap_or_default().max(0.0))
        }
    }
}

/// The `backoff` crate gives the series; its clock, its own jitter and its end after 15 minutes stay off.
fn exponential_wait(attempts_made: u32, rule: &ExponentialSpec) -> Duration {
    let initial = Duration::from_secs_f64(rule.initial_s);
    let mut series = ExponentialBackoff {
        current_interval: initial,
        initial_interval: initial,
        randomization_factor: 0.0,
        multiplier: rule.factor,
        max_interval: Duration::from_secs_f64(rule.max_s),
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    let mut wait = initial;
    for _ in 0..attempts_made {
        wait = series.next_backoff().unwrap_or(series.max_interval);
    }
    // The crate adds up to a nanosecond of chance even without jitter; whole milliseconds have none.
    Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// `wait` lengthened by a share between zero and `jitter_max` that `seed` decides.
#[must_use]
pub fn jittered(wait: Duration, jitter_max: f64, seed: u64) -> Duration {
    let share = (mix(seed) >> 11) as f64 / (1u64 << 53) as f64;
    wait + wait.mul_f64(share * jitter_max.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_schedule_is_followed_and_its_last_entry_repeats() {
        let retry = RetrySpec { schedule_s: vec![0.5, 10.0], ..RetrySpec::default() };
        let waits: Vec<_> = (1..=4).map(|n| wait_after(n, &retry).as_secs_f64()).collect();
        assert_eq!(waits, [0.5, 10.0, 10.0, 10.0]);
    }

    #[test]
    fn the_default_is_fifteen_retries_over_two_and_a_half_days() {
        let retry = RetrySpec::default();
        let total: f64 = (1..retry.attempts).map(|n| wait_after(n, &retry).as_secs_f64()).sum();
        assert_eq!(retry.attempts, 16);
        assert!((total / 86_400.0 - 2.4).abs() < 0.05, "{total}");
    }

    #[test]
    fn the_exponential_rule_doubles_up_to_its_limit() {
        let rule = ExponentialSpec { initial_s: 1.0, factor: 2.0, max_s: 5.0 };
        let retry = RetrySpec { exponential: Some(rule), ..RetrySpec::default() };
        let waits: Vec<_> = (1..=5).map(|n| wait_after(n, &retry).as_secs_f64()).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 5.0, 5.0]);
    }

    proptest! {
        #[test]
        fn jitter_only_lengthens_within_its_share(ms in 0u64..3_000_000_000, jitter in 0.0f64..=1.0, seed: u64) {
            let wait = Duration::from_millis(ms);
            let drawn = jittered(wait, jitter, seed);
            prop_assert!(drawn >= wait && drawn <= wait + wait.mul_f64(jitter) + Duration::from_nanos(1));
        }

        #[test]
        fn exponential_waits_grow_and_never_overflow(initial_s in 0.001f64..2_592_000.0, factor in 1.0f64..=10.0) {
            let rule = ExponentialSpec { initial_s, factor, max_s: 2_592_000.0 };
            let retry = RetrySpec { exponential: Some(rule), ..RetrySpec::default() };
            let waits: Vec<_> = (1..=100).map(|n| wait_after(n, &retry)).collect();
            prop_assert!(waits.is_sorted());
            prop_assert!(waits[99] <= Duration::from_secs(2_592_000));
        }
    }
}
