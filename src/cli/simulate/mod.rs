//! `postrider simulate`: what a subscription does with a receiver, days of it in milliseconds.
//!
//! `lane` runs deliveries on a clock that is only a number, with the functions that the dispatcher
//! uses: render, judge, next. `exchange` says what a scripted answer comes to without a network,
//! `report` prints. Nothing is sent, stored or waited for.
//!
//! Not covered: how a lane slows down for a receiver that fails (it only makes a backlog take longer),
//! `"order": "action"`, connections that are used again, and the time the network takes.

mod command;
mod exchange;
mod lane;
mod report;

pub use exchange::exchange;
pub use lane::{Lane, Simulated, SimulatedAttempt, Summary, simulate};

pub(super) use command::{SimulateArguments, run};
