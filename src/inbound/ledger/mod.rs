//! The action ledger: where each action stands, and which events follow from a report.
//!
//! ```text
//! pending ─▶ locked ─▶ cleared ─▶ paid      what S2S reports bring:  hold      pending
//!    │                                                               approved  (locked, if the action locks) cleared
//!    └─────▶ reversed                                                rejected  reversed
//! ```
//!
//! Two ways lead here. [`decide`] judges what an advertiser reports: a report that says something new gives
//! events whose deltas are against what was known, so that the sum of all deltas of an action is its present
//! amount; one that says what is known changes nothing; one that contradicts what is final is a conflict.
//! [`apply`] follows events that a platform emitted itself: they are facts, and are never refused. Both are
//! pure: the queue reads the present state, and writes the new one with the events in one commit.
//!
//! The terms are those of the moment in which a price is reported: a repeat with the same price changes
//! nothing, even if the offer pays another rate by then.

mod action;
mod apply;
mod decide;
#[cfg(test)]
mod tests;

pub use action::{ActionState, Source, Standing, StandingError, Step, Story, action_document_id};
pub use apply::{ACTION_ID_BYTES_MAX, ActionFact, apply};
pub use decide::{Decision, LedgerEvent, decide, is_ledger_field};
