//! How many calls of one kind may come in a second from one sender, in bounded memory.
//!
//! Each sender has a bucket that holds a second's worth and is filled evenly. Senders beyond those that have a place of
//! their own share one bucket. A bucket that is full again says nothing and makes room.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Most senders that have a bucket of their own.
const SENDERS_MAX: usize = 10_000;
/// How often room is made at most, since that looks at all buckets.
const CLEAR_EVERY: Duration = Duration::from_secs(1);

/// Rates by sender.
#[derive(Debug)]
pub(super) struct Rates<K>(Mutex<Buckets<K>>);

#[derive(Debug)]
struct Buckets<K> {
    /// When each bucket is full again.
    by_sender: HashMap<K, Instant>,
    others: Option<Instant>,
    cleared_at: Option<Instant>,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self(Mutex::new(Buckets { by_sender: HashMap::new(), others: None, cleared_at: None }))
    }
}

impl<K: Eq + Hash> Rates<K> {
    /// Takes one call of `sender`, which may have `per_second` of them.
    ///
    /// # Errors
    /// How long to wait, if there were too many.
    pub fn take(&self, sender: K, per_second: u32, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { by_sender, others, cleared_at } = &mut *buckets;
        if by_sender.len() >= SENDERS_MAX && cleared_at.is_none_or(|at| now.saturating_duration_since(at) >= CLEAR_EVERY) {
            by_sender.retain(|_, full_at| *full_at > now);
            *cleared_at = Some(now);
        }
        let has_place = by_sender.len() < SENDERS_MAX || by_sender.contains_key(&sender);
        let full_at = if has_place { by_sender.entry(sender).or_insert(now) } else { others.get_or_insert(now) };
        let cost = Duration::from_secs(1) / per_second.max(1);
        let next = (*full_at).max(now) + cost;
        let ahead = next.saturating_duration_since(now);
        if ahead > Duration::from_secs(1) {
            return Err(ahead - Duration::from_secs(1));
        }
        *full_at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn a_second_holds_so_many_and_then_they_come_evenly() {
        let (rates, start) = (Rates::default(), SystemClock.instant());
        let taken = (0..30).filter(|_| rates.take("a", 10, start).is_ok()).count();
        assert_eq!(taken, 10);
        assert_eq!(rates.take("a", 10, start), Err(Duration::from_millis(100)));
        assert!(rates.take("b", 10, start).is_ok(), "another sender is not concerned");
        let later = start + Duration::from_millis(250);
        assert_eq!((0..10).filter(|_| rates.take("a", 10, later).is_ok()).count(), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let (rates, now) = (Rates::default(), SystemClock.instant());
        let taken = (0..20_000).filter(|sender| rates.take(*sender, 5, now).is_ok()).count();
        assert_eq!(taken, SENDERS_MAX + 5, "those without a place share one bucket");
        assert!(rates.take(30_000, 5, now + Duration::from_secs(2)).is_ok());
        assert_eq!(rates.0.lock().unwrap().by_sender.len(), 1, "what is full makes room");
    }
}
