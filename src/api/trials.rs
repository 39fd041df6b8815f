//! How many requests an account may have sent to try things out.
//!
//! A test send goes past the queue and its ceilings, so that a key alone could aim it at somebody in a
//! loop. The tests of each account are counted in windows of one minute that begin with the first one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::Instant;

use super::problem::Problem;
use super::{ApiError, ApiState};
use crate::event::AccountId;

/// How long the tests of an account are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts test sends by account.
#[derive(Debug)]
pub struct TrialLimit {
    most: u32,
    by_account: Mutex<HashMap<AccountId, (Instant, u32)>>,
}

impl TrialLimit {
    /// A limit of `most` test sends of one account in a minute.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { most, by_account: Mutex::default() }
    }

    /// Counts a test send, or says how long to wait for the next one.
    ///
    /// # Errors
    /// The time that is left of the window, if it holds as many as it may.
    pub(super) fn take(&self, account: &AccountId, now: Instant) -> Result<(), Duration> {
        let mut by_account = self.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |since: Instant| (since + WINDOW).saturating_duration_since(now);
        // Only accounts that sent one within the minute are kept.
        by_account.retain(|_, (since, _)| !left(*since).is_zero());
        let (since, count) = by_account.entry(account.clone()).or_insert((now, 0));
        if *count >= self.most {
            return Err(left(*since));
        }
        *count += 1;
        Ok(())
    }
}

/// Passes if this account may have another test sent.
pub(super) fn allow_trial(state: &ApiState, account: &AccountId) -> Result<(), ApiError> {
    state.trial_limit.take(account, state.clock.instant()).map_err(|wait| {
        let seconds = wait.as_secs().max(1);
        let detail = format!(
            "account `{account}` had {} tests sent within a minute, the most that are sent; try again in {seconds} seconds",
            state.trial_limit.most
        );
        ApiError(Box::new(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tests", detail).retry_after(seconds)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn the_test_after_the_limit_waits_until_the_minute_is_over() {
        let (limit, start) = (TrialLimit::new(2), SystemClock.instant());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (acme, other): (AccountId, AccountId) = ("acme".parse().unwrap(), "other".parse().unwrap());
        assert_eq!([limit.take(&acme, at(0)), limit.take(&acme, at(10))], [Ok(()), Ok(())]);
        assert_eq!(limit.take(&acme, at(20)), Err(Duration::from_secs(40)));
        assert_eq!(limit.take(&other, at(20)), Ok(()), "another account is not concerned");
        assert_eq!(limit.take(&acme, at(60)), Ok(()), "the window has passed");
        assert_eq!(limit.by_account.lock().unwrap().len(), 2, "an account is forgotten with its window");
        assert_eq!(limit.take(&other, at(80)), Ok(()));
    }
}
