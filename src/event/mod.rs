//! What happened: event, event type, account, idempotency key, field catalogue.
//!
//! An event is a fact that a caller reported; it never changes after it was accepted. Its `data` is
//! kept as the text that came in, so that `5.00` stays `5.00`. Nothing here stores or sends.

pub mod catalogue;
mod data;
mod key;
mod names;
mod trace;

pub use data::{DATA_FIELDS_MAX, DEPTH_MAX, EventData, EventDataError, LIST_ITEMS_MAX};
pub use key::{Fingerprint, IdempotencyKey, IdempotencyKeyError, KeyDigest, fingerprint};
pub use names::{AccountId, EventType, EventTypePattern, NameError, OfferId};
pub use trace::{NoTraceContext, TraceContext};

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::EventId;

/// A stored event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id, in order of acceptance.
    pub id: EventId,
    /// Whose event this is.
    pub account: AccountId,
    /// What kind of thing happened.
    pub event_type: EventType,
    /// The caller's key, if one was given.
    pub key: Option<IdempotencyKey>,
    /// When it happened, by the caller's word; the time of receipt if none was given.
    pub occurred_at: Timestamp,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// The macro values.
    pub data: Arc<EventData>,
}
