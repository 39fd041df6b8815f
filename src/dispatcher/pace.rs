//! The ceiling of requests per second: a hard one, over every half-open window of one second.
//!
//! Requests are spaced evenly, at least one interval apart, without burst. A permit is taken
//! immediately before the request is handed to the client and by one attempt at a time, so that what
//! is counted is the handing over and not some earlier intention.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::clock::Clock;

/// The pace of one lane.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    limiter: RateLimiter<NotKeyed, InMemoryState, LaneClock, NoOpMiddleware<LaneInstant>>,
    /// Attempts pass in the order in which they came.
    gate: tokio::sync::Mutex<()>,
    last_pass: Mutex<Option<Instant>>,
    clock: Arc<dyn Clock>,
}

impl Pace {
    /// A pace of one request per `interval`. With `wait_first` the first one waits an interval too:
    /// an earlier process may have sent one just before.
    #[must_use]
    pub fn new(interval: Duration, clock: Arc<dyn Clock>, wait_first: bool) -> Self {
        let interval = interval.max(Duration::from_nanos(1));
        let quota = Quota::with_period(interval).expect("the interval is not zero").allow_burst(NonZeroU32::MIN);
        let limiter = RateLimiter::direct_with_clock(quota, LaneClock(clock.clone()));
        let pace = Self { interval, limiter, gate: tokio::sync::Mutex::default(), last_pass: Mutex::default(), clock };
        if wait_first && pace.limiter.check().is_ok() {
            pace.note_pass();
        }
        pace
    }

    /// The least time between two requests.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// When the next request may go, as far as is known; none: at once.
    #[must_use]
    pub fn next_pass(&self) -> Option<Instant> {
        self.last_pass.lock().unwrap_or_else(PoisonError::into_inner).map(|last| last + self.interval)
    }

    /// Waits for the permit of one request, which must be handed to the client as soon as this returns.
    pub async fn pass(&self) {
        let _turn = self.gate.lock().await;
        while let Err(not_until) = self.limiter.check() {
            let instant = self.clock.instant();
            self.clock.until(instant + not_until.wait_time_from(LaneInstant(instant))).await;
        }
        self.note_pass();
    }

    fn note_pass(&self) {
        *self.last_pass.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.instant());
    }
}

/// Our clock, as governor wants to see it.
#[derive(Debug, Clone)]
struct LaneClock(Arc<dyn Clock>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LaneInstant(Instant);

impl GovernorClock for LaneClock {
    type Instant = LaneInstant;
    fn now(&self) -> LaneInstant {
        LaneInstant(self.0.instant())
    }
}

impl std::ops::Add<Nanos> for LaneInstant {
    type Output = Self;
    fn add(self, wait: Nanos) -> Self {
        Self(self.0 + Duration::from(wait))
    }
}

impl Reference for LaneInstant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, span: Nanos) -> Self {
        Self(self.0.checked_sub(span.into()).unwrap_or(self.0))
    }
}
