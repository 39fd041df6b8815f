//! How many requests a lane may have in flight, by how its receiver has been doing.
//!
//! Each exchange that ends without an answer halves the allowance, down to one; each answer doubles
//! it, up to the lane's cap. A dead receiver is thus probed by one request at a time, and after an
//! outage its backlog ramps up instead of storming. Nothing is remembered over a restart.

use crate::attempt::Outcome;

/// The allowance of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    cap: usize,
    allowance: usize,
    /// Whether the last exchange ended without an answer.
    failing: bool,
}

impl Health {
    /// Starts with the whole cap.
    #[must_use]
    pub const fn new(cap: usize) -> Self {
        Self { cap, allowance: cap, failing: false }
    }

    /// How many requests may be in flight.
    #[must_use]
    pub const fn allowance(&self) -> usize {
        self.allowance
    }

    /// Takes over another cap.
    pub fn set_cap(&mut self, cap: usize) {
        // One that had all it could have gets all again.
        self.allowance = if self.allowance == self.cap { cap } else { self.allowance.min(cap) };
        self.cap = cap;
    }

    /// Begins again with one request at a time.
    pub const fn restart(&mut self) {
        self.allowance = 1;
    }

    /// Whether the receiver is taken for dead: its next requests are likely to hold their places long.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failing
    }

    /// Takes note of how an attempt ended.
    pub fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::TimedOut | Outcome::Unreachable => self.failing = true,
            Outcome::Throttled | Outcome::Delivered | Outcome::Refused | Outcome::UnexpectedResponse => self.failing = false,
            Outcome::Blocked | Outcome::NotRendered | Outcome::Unknown => {}
        }
        match outcome {
            Outcome::TimedOut | Outcome::Unreachable | Outcome::Throttled => self.allowance = (self.allowance / 2).max(1),
            Outcome::Delivered | Outcome::Refused | Outcome::UnexpectedResponse => self.allowance = (self.allowance * 2).min(self.cap),
            Outcome::Blocked | Outcome::NotRendered | Outcome::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c17_a_dead_receiver_is_probed_one_by_one_and_a_living_one_ramps_up() {
        let mut health = Health::new(32);
        for _ in 0..10 {
            health.note(Outcome::TimedOut);
        }
        assert_eq!((health.allowance(), health.is_failing()), (1, true));
        let ramp: Vec<_> = (0..6)
            .map(|_| {
                health.note(Outcome::Delivered);
                health.allowance()
            })
            .collect();
        assert_eq!(ramp, [2, 4, 8, 16, 32, 32]);
        assert!(!health.is_failing());
    }
}
