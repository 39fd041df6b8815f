//! Makes what is owed happen: leases due deliveries, sends them under limits, settles the attempts.
//!
//! One task, the [`Dispatcher`], owns all lanes and decides who goes next; each attempt is a task of
//! its own. A lane per subscription holds a small window of due rows, what it has in flight, its rate
//! ceiling and its health. Ready lanes are served in turn, not by age, and each has its own cap, so
//! that a receiver that hangs holds no more than that cap.
//!
//! Where lanes are leased it has those that its node owns, and starts and stops them as the keeper of
//! [`crate::cluster`] orders.
//!
//! What it does not do: it opens no store and answers no caller. What it covers: after any fault that
//! ends, the queue drains without help, because due rows stay in the store until they are settled.

mod attempt;
mod clerk;
mod endpoint;
mod health;
mod heartbeat;
mod lane;
mod leased;
mod pace;
mod schedule;

pub use endpoint::FailingRule;
pub use heartbeat::Heartbeat;
pub use schedule::{Dispatcher, DispatcherSettings};
