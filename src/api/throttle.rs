//! Slows down whoever guesses keys.
//!
//! Requests without a valid key are counted by address, in windows of one minute that begin with the
//! first one. Beyond the limit they are answered with 429. A request with a valid key passes whatever
//! others at its address do, so that nobody can lock out anybody. An IPv6 address counts with its
//! network of 64 bits, which one subscriber of a provider has as a whole.
//!
//! What is kept is bounded: addresses beyond [`ADDRESSES_MAX`] share one count, and of the addresses of
//! one minute only [`NOTED_MAX`] are worth a line of the log and an entry of the audit log.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long failures of one address are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// Most addresses that are counted by themselves.
const ADDRESSES_MAX: usize = 10_000;
/// How often room is made at most, since that looks at all addresses.
const CLEAR_EVERY: Duration = Duration::from_secs(1);
/// Most addresses that are noted in one window.
const NOTED_MAX: u32 = 100;

/// Counts failed authentication by address.
#[derive(Debug)]
pub(super) struct Throttle {
    failures_max: u32,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, Window>,
    /// Addresses that found no place of their own.
    others: Option<Window>,
    /// When room was made last.
    cleared_at: Option<Instant>,
    noted: Option<Window>,
}

/// A count that begins again when its window is over.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    count: u32,
}

impl Window {
    const fn at(now: Instant) -> Self {
        Self { since: now, count: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }

    /// Counts one more and tells how many there are in this window.
    fn add(&mut self, now: Instant) -> u32 {
        if self.is_over(now) {
            *self = Self::at(now);
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    fn left(&self, now: Instant) -> Duration {
        (self.since + WINDOW).saturating_duration_since(now)
    }
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer it. `note`: it is the first of its address in this window and worth noting.
    Counted {
        /// Whether to note it.
        note: bool,
    },
    /// There were too many; turn it away for so long.
    TooMany {
        /// Until the window is over.
        wait: Duration,
    },
}

impl Throttle {
    /// A throttle that lets `failures_max` failures of one address pass in a minute.
    pub fn new(failures_max: u32) -> Self {
        Self { failures_max, counts: Mutex::default() }
    }

    /// Counts a failure.
    pub fn fail(&self, address: IpAddr, now: Instant) -> Verdict {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { by_address, others, cleared_at, noted } = &mut *counts;
        let address = network(address);
        let may_clear = cleared_at.is_none_or(|at| now.saturating_duration_since(at) >= CLEAR_EVERY);
        if by_address.len() >= ADDRESSES_MAX && may_clear {
            by_address.retain(|_, window| !window.is_over(now));
            *cleared_at = Some(now);
        }
        let has_place = by_address.len() < ADDRESSES_MAX || by_address.contains_key(&address);
        let window = if has_place { by_address.entry(address).or_insert(Window::at(now)) } else { others.get_or_insert(Window::at(now)) };
        match window.add(now) {
            1 => Verdict::Counted { note: noted.get_or_insert(Window::at(now)).add(now) <= NOTED_MAX },
            count if count <= self.failures_max => Verdict::Counted { note: false },
            _ => Verdict::TooMany { wait: window.left(now) },
        }
    }
}

/// What counts as one address.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn h1_the_failure_after_the_limit_is_turned_away_until_the_minute_is_over() {
        let (throttle, start) = (Throttle::new(20), SystemClock.instant());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (guesser, other) = (address("203.0.113.1"), address("203.0.113.2"));
        assert_eq!(throttle.fail(guesser, at(0)), Verdict::Counted { note: true });
        for _ in 1..20 {
            assert_eq!(throttle.fail(guesser, at(1)), Verdict::Counted { note: false });
        }
        assert_eq!(throttle.fail(guesser, at(10)), Verdict::TooMany { wait: Duration::from_secs(50) });
        assert_eq!(throttle.fail(other, at(10)), Verdict::Counted { note: true }, "another address is not concerned");
        assert_eq!(throttle.fail(guesser, at(59)), Verdict::TooMany { wait: Duration::from_secs(1) });
        assert_eq!(throttle.fail(guesser, at(60)), Verdict::Counted { note: true }, "the window has passed");
    }

    #[test]
    fn one_subscriber_of_a_provider_is_one_address() {
        let (throttle, now) = (Throttle::new(1), SystemClock.instant());
        throttle.fail(address("2001:db8:1:2::1"), now);
        assert!(matches!(throttle.fail(address("2001:db8:1:2:ffff::9"), now), Verdict::TooMany { .. }));
        assert!(matches!(throttle.fail(address("2001:db8:1:3::1"), now), Verdict::Counted { .. }));
        throttle.fail(address("203.0.113.1"), now);
        assert!(matches!(throttle.fail(address("::ffff:203.0.113.1"), now), Verdict::TooMany { .. }));
    }

    #[test]
    fn memory_and_notes_are_bounded() {
        let (throttle, now) = (Throttle::new(5), SystemClock.instant());
        let v4 = |number: u32| IpAddr::from(number.to_be_bytes());
        let fail = |number| throttle.fail(v4(number), now);
        let noted = (0..20_000).filter(|number| fail(*number) == Verdict::Counted { note: true }).count();
        assert_eq!(noted, NOTED_MAX as usize);
        assert_eq!(throttle.counts.lock().unwrap().by_address.len(), ADDRESSES_MAX);
        assert!(matches!(fail(30_000), Verdict::TooMany { .. }), "those without a place share one count");
        assert!(matches!(throttle.fail(v4(30_000), now + WINDOW), Verdict::Counted { note: true }));
        assert_eq!(throttle.counts.lock().unwrap().by_address.len(), 1, "what is over makes room");
    }
}
