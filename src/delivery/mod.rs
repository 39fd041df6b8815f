//! What is owed: states, which state follows which, verdicts, backoff.
//!
//! Everything here decides and does nothing: it gets the time, the answer and the jitter's seed as
//! arguments and returns what should happen. The dispatcher makes it happen.

mod backoff;
mod retry_after;
mod state;
mod verdict;

pub use backoff::{jittered, wait_after};
pub use retry_after::{RETRY_AFTER_MAX, RetryAfterError, retry_after};
pub use state::{DeadReason, Delivery, DeliveryState, OrderKey, StateName};
pub use verdict::{Judgement, Next, Verdict, judge, next, not_sent_wait};
