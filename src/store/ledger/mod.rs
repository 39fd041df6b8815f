//! What each change does to the records and indexes.
//!
//! A [`Ledger`] decides changes one after another, against the engine plus what the present batch holds
//! already, so that two events with one key in one batch make one event. It does not know threads or
//! queues: the writer feeds it and writes its batches.
//!
//! A decision has three ends: it is made (its writes are in the batch), it is refused (nothing of it is
//! in the batch), or the engine failed, after which the store is failed as a whole.

mod accept;
mod change;
mod configure;
mod documents;
mod overlay;
mod prune;
mod repair;
mod restore;
mod settle;
mod state;

pub(super) use prune::EVENTS_PER_STEP_MAX;
pub(super) use state::{Durability, Ledger, LedgerParts};

use super::kv::KvError;

/// What came of a change: made, refused, or the engine failed.
pub(super) type Decision<T, E> = Result<Result<T, E>, KvError>;
