//! Everything that a store holds, in a form that any store can take: for copies, exports and backups.
//!
//! An archive is read in pages, beside a running server: keys first, then events from the oldest on, each
//! with its deliveries and their attempts, so that one item is complete in itself, then the audit log, then documents. Indexes and counts are
//! not part of it; the store that takes it makes them anew. What changes while an archive is read is in it
//! as it was at some moment of the reading, so that a restored store may send again what was delivered
//! meanwhile, and never loses what was accepted before.
//!
//! [`LinesWriter`] writes archives as lines of JSON, [`LinesReader`] reads them.

mod lines;
mod read;

pub use lines::{ArchiveError, Header, Line, LinesReader, LinesWriter};

use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, OrderKey};
use crate::event::{Event, Fingerprint, KeyDigest};
use crate::id::{EventId, SubscriptionId};
use crate::store::{ConfigurationRecord, Document, DocumentKind};

/// A part of an archive.
#[derive(Debug, Clone, PartialEq)]
pub enum Archived {
    /// An idempotency key.
    Key(ArchivedKey),
    /// An event with all that belongs to it.
    Event(Box<ArchivedEvent>),
    /// An entry of the audit log, which is not part of the configuration.
    Audit(ConfigurationRecord),
    /// A document.
    Document(Document),
}

/// What is known of an idempotency key. It may outlive its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedKey {
    /// What the store knows the key by.
    pub digest: KeyDigest,
    /// The event that has it.
    pub event: EventId,
    /// How many deliveries that event had.
    pub deliveries: u16,
    /// What the event said.
    pub fingerprint: Fingerprint,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
}

/// An event with its deliveries.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedEvent {
    /// The event.
    pub event: Event,
    /// To whom delivery number `index + 1` is owed, also of those that are missing below.
    pub subscriptions: Vec<SubscriptionId>,
    /// Its deliveries, by number; a damaged one is missing.
    pub deliveries: Vec<ArchivedDelivery>,
}

/// A delivery with its attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// Set while it is undecided and waits for earlier ones with this key.
    pub order_key: Option<OrderKey>,
    /// Its attempts, first to last.
    pub attempts: Vec<Attempt>,
}

/// How far an archive was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ArchivePlace {
    /// Not at all.
    #[default]
    Start,
    /// Up to and with this key.
    Key(KeyDigest),
    /// Up to and with this event; all keys.
    Event(EventId),
    /// Up to and with this entry of the audit log; all keys and events. Empty: none of it yet.
    Audit(String),
    /// Up to and with the document of this kind and id; all that comes before documents. An empty id: none of
    /// this kind yet.
    Document(DocumentKind, String),
}

/// A part of an archive and where to go on.
#[derive(Debug, Clone, Default)]
pub struct ArchivePage {
    /// What was read.
    pub items: Vec<Archived>,
    /// Where to go on; none at the end.
    pub next: Option<ArchivePlace>,
}
