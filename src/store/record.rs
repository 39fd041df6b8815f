//! Records as bytes: version, CRC-32C, length, content.
//!
//! ```text
//! ┌─────────┬──────────────┬────────┬──────────┐
//! │ version │ CRC-32C (LE) │ length │ postcard │
//! │ 1 byte  │ 4 bytes      │ varint │          │
//! └─────────┴──────────────┴────────┴──────────┘
//! ```
//!
//! The checksum covers the tree's number, the key, the version and the content, so that a record that
//! turns up under another's key is damaged too. Every type here is a stored form of its own, apart from
//! the types of the program, which may change freely. A change of a stored form raises its version and
//! keeps the reader of the old one; `tests/fixtures/store` holds the bytes of each.

use serde::{Deserialize, Serialize};

use super::kv::Tree;
use crate::attempt::{Attempt, Outcome, ReceivedResponse, SentRequest};
use crate::clock::Timestamp;
use crate::delivery::{DeadReason, Delivery, DeliveryState, OrderKey};
use crate::event::{AccountId, Event, EventData, EventType, Fingerprint};
use crate::id::{AttemptId, DeliveryId, EventId, SubscriptionId};
use crate::store::Counts;

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRecord {
    /// Fewer bytes than the head takes, or more or fewer than the head says.
    #[error("its length is wrong")]
    Length,
    /// The checksum does not fit.
    #[error("its checksum is wrong")]
    Checksum,
    /// Written by a later release.
    #[error("its version {0} is not known to this release")]
    Version(u8),
    /// The checksum fits and the content does not.
    #[error("its content cannot be read")]
    Content,
}

/// A stored form.
pub(super) trait Record<'a>: Serialize + Deserialize<'a> {
    /// The version that is written.
    const VERSION: u8 = 1;
}

/// The record as bytes for this place.
pub(super) fn encode<'a, R: Record<'a>>(tree: Tree, key: &[u8], record: &R) -> Vec<u8> {
    let content = postcard::to_allocvec(record).expect("records hold only what postcard can write");
    let mut bytes = Vec::with_capacity(content.len() + 10);
    bytes.push(R::VERSION);
    bytes.extend_from_slice(&checksum(tree, key, R::VERSION, &content).to_le_bytes());
    put_length(&mut bytes, content.len());
    bytes.extend_from_slice(&content);
    bytes
}

/// The record in the bytes found at this place.
pub(super) fn decode<'a, R: Record<'a>>(tree: Tree, key: &[u8], bytes: &'a [u8]) -> Result<R, BadRecord> {
    let (&version, rest) = bytes.split_first().ok_or(BadRecord::Length)?;
    let (stored_checksum, rest) = rest.split_first_chunk::<4>().ok_or(BadRecord::Length)?;
    let (length, content) = take_length(rest).ok_or(BadRecord::Length)?;
    if length != content.len() {
        return Err(BadRecord::Length);
    }
    if checksum(tree, key, version, content) != u32::from_le_bytes(*stored_checksum) {
        return Err(BadRecord::Checksum);
    }
    if version != R::VERSION {
        return Err(BadRecord::Version(version));
    }
    postcard::from_bytes(content).map_err(|_| BadRecord::Content)
}

fn checksum(tree: Tree, key: &[u8], version: u8, content: &[u8]) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&[tree.number(), version]), key);
    crc32c::crc32c_append(place, content)
}

fn put_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (place, &byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[place + 1..]));
        }
    }
    None
}

/// An event.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EventRecord<'a> {
    pub(super) account: &'a str,
    pub(super) event_type: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) occurred_at: i64,
    pub(super) received_at: i64,
    /// To whom delivery number `index + 1` is owed.
    pub(super) subscriptions: Vec<[u8; 16]>,
    pub(super) data: &'a str,
}

impl<'a> Record<'a> for EventRecord<'a> {}

impl EventRecord<'_> {
    /// Its deliveries with their subscriptions, by number.
    pub(super) fn deliveries(&self, id: EventId) -> Vec<(SubscriptionId, DeliveryId)> {
        let subscription = |raw: &[u8; 16]| SubscriptionId::from_raw(u128::from_be_bytes(*raw));
        (1..=u16::MAX).zip(&self.subscriptions).map(|(number, raw)| (subscription(raw), DeliveryId::of(id, number))).collect()
    }

    /// The event.
    pub(super) fn event(&self, id: EventId) -> Result<Event, BadRecord> {
        Ok(Event {
            id,
            account: self.account.parse().map_err(|_| BadRecord::Content)?,
            event_type: self.event_type.parse().map_err(|_| BadRecord::Content)?,
            key: self.key.map(str::parse).transpose().map_err(|_| BadRecord::Content)?,
            occurred_at: Timestamp::from_unix_ms(self.occurred_at),
            received_at: Timestamp::from_unix_ms(self.received_at),
            data: EventData::from_stored(self.data.into()).map_err(|_| BadRecord::Content)?.into(),
        })
    }
}

/// What is known of an idempotency key.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) event: [u8; 16],
    pub(super) deliveries: u16,
    pub(super) fingerprint: Fingerprint,
    pub(super) expires_at: i64,
}

impl Record<'_> for KeyRecord {}

impl KeyRecord {
    /// The event that has the key.
    pub(super) const fn event(&self) -> EventId {
        EventId::from_raw(u128::from_be_bytes(self.event))
    }
}

/// A delivery.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DeliveryRecord {
    pub(super) state: StateRecord,
    pub(super) attempts: u32,
    pub(super) last_outcome: Option<u8>,
    pub(super) template_version: u32,
    /// The time of acceptance, in milliseconds after the time in the id; nearly always zero.
    pub(super) created_after_id_ms: i64,
    pub(super) account: AccountId,
    pub(super) event_type: EventType,
    /// Set while it has an order row.
    pub(super) order: Option<OrderKey>,
    /// It has no due row: an earlier one with its order key is undecided.
    pub(super) parked: bool,
}

impl Record<'_> for DeliveryRecord {}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum StateRecord {
    Pending { due_at: i64 },
    Delivered { at: i64 },
    Dead { at: i64, reason: u8 },
    Cancelled { at: i64 },
}

impl DeliveryRecord {
    /// The delivery.
    pub(super) fn delivery(self, id: DeliveryId, subscription: SubscriptionId) -> Result<Delivery, BadRecord> {
        Ok(Delivery {
            id,
            subscription,
            account: self.account,
            event_type: self.event_type,
            template_version: self.template_version,
            attempts: self.attempts,
            last_outcome: self.last_outcome.map(read_outcome).transpose()?,
            created_at: Timestamp::from_unix_ms(id.unix_ms().saturating_add(self.created_after_id_ms)),
            behind: self.parked,
            state: self.state.state()?,
        })
    }
}

impl StateRecord {
    /// The state that is stored for `state`: a lease in memory leaves the delivery pending.
    pub(super) fn of(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Pending { due_at } | DeliveryState::Leased { until: due_at } => Self::Pending { due_at: due_at.unix_ms() },
            DeliveryState::Delivered { at } => Self::Delivered { at: at.unix_ms() },
            DeliveryState::Dead { at, reason } => Self::Dead { at: at.unix_ms(), reason: reason_number(reason) },
            DeliveryState::Cancelled { at } => Self::Cancelled { at: at.unix_ms() },
        }
    }

    /// The state.
    pub(super) fn state(self) -> Result<DeliveryState, BadRecord> {
        let time = Timestamp::from_unix_ms;
        Ok(match self {
            Self::Pending { due_at } => DeliveryState::Pending { due_at: time(due_at) },
            Self::Delivered { at } => DeliveryState::Delivered { at: time(at) },
            Self::Dead { at, reason } => DeliveryState::Dead { at: time(at), reason: read_reason(reason)? },
            Self::Cancelled { at } => DeliveryState::Cancelled { at: time(at) },
        })
    }
}

const REASONS: [DeadReason; 3] = [DeadReason::Refused, DeadReason::Exhausted, DeadReason::NotSendable];

const fn reason_number(reason: DeadReason) -> u8 {
    match reason {
        DeadReason::Refused => 0,
        DeadReason::Exhausted => 1,
        DeadReason::NotSendable => 2,
    }
}

fn read_reason(number: u8) -> Result<DeadReason, BadRecord> {
    REASONS.into_iter().find(|&reason| reason_number(reason) == number).ok_or(BadRecord::Content)
}

/// The stored number of an outcome.
pub(super) const fn outcome_number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Delivered => 0,
        Outcome::Refused => 1,
        Outcome::UnexpectedResponse => 2,
        Outcome::Throttled => 3,
        Outcome::TimedOut => 4,
        Outcome::Unreachable => 5,
        Outcome::Blocked => 6,
        Outcome::NotRendered => 7,
        Outcome::Unknown => 8,
    }
}

fn read_outcome(number: u8) -> Result<Outcome, BadRecord> {
    Outcome::ALL.into_iter().find(|&outcome| outcome_number(outcome) == number).ok_or(BadRecord::Content)
}

/// A row of the due index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DueRecord {
    pub(super) attempts: u32,
    pub(super) template_version: u32,
}

impl Record<'_> for DueRecord {}

/// A row of the order index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderRecord {
    pub(super) due_at: i64,
}

impl Record<'_> for OrderRecord {}

/// An attempt.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AttemptRecord<'a> {
    pub(super) id: [u8; 16],
    pub(super) started_at: i64,
    pub(super) duration_ms: u64,
    pub(super) outcome: u8,
    pub(super) reason: &'a str,
    #[serde(borrow)]
    pub(super) request: Option<RequestRecord<'a>>,
    #[serde(borrow)]
    pub(super) response: Option<ResponseRecord<'a>>,
    pub(super) possible_repeat: bool,
    pub(super) next_due_at: Option<i64>,
}

impl<'a> Record<'a> for AttemptRecord<'a> {}

/// A request.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RequestRecord<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    #[serde(borrow)]
    pub(super) headers: Vec<(&'a str, &'a str)>,
    pub(super) body: &'a [u8],
}

/// A response.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ResponseRecord<'a> {
    pub(super) status: u16,
    #[serde(borrow)]
    pub(super) headers: Vec<(&'a str, &'a str)>,
    pub(super) body: &'a [u8],
    pub(super) truncated: bool,
}

impl<'a> AttemptRecord<'a> {
    /// The record of `attempt`, whose number is in its key.
    pub(super) fn of(attempt: &'a Attempt) -> Self {
        Self {
            id: attempt.id.raw().to_be_bytes(),
            started_at: attempt.started_at.unix_ms(),
            duration_ms: attempt.duration_ms,
            outcome: outcome_number(attempt.outcome),
            reason: &attempt.reason,
            request: attempt.request.as_ref().map(|request| RequestRecord {
                method: &request.method,
                url: &request.url,
                headers: borrowed(&request.headers),
                body: &request.body,
            }),
            response: attempt.response.as_ref().map(|response| ResponseRecord {
                status: response.status,
                headers: borrowed(&response.headers),
                body: &response.body,
                truncated: response.truncated,
            }),
            possible_repeat: attempt.possible_repeat,
            next_due_at: attempt.next_due_at.map(Timestamp::unix_ms),
        }
    }

    /// The attempt with this number.
    pub(super) fn attempt(self, number: u32) -> Result<Attempt, BadRecord> {
        Ok(Attempt {
            id: AttemptId::from_raw(u128::from_be_bytes(self.id)),
            number,
            started_at: Timestamp::from_unix_ms(self.started_at),
            duration_ms: self.duration_ms,
            outcome: read_outcome(self.outcome)?,
            reason: self.reason.to_owned(),
            request: self.request.map(|request| SentRequest {
                method: request.method.to_owned(),
                url: request.url.to_owned(),
                headers: owned(&request.headers),
                body: request.body.to_vec(),
            }),
            response: self.response.map(|response| ReceivedResponse {
                status: response.status,
                headers: owned(&response.headers),
                body: response.body.to_vec(),
                truncated: response.truncated,
            }),
            possible_repeat: self.possible_repeat,
            next_due_at: self.next_due_at.map(Timestamp::from_unix_ms),
        })
    }
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The counts of a subscription.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CountsRecord {
    pub(super) account: AccountId,
    pub(super) waiting: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) cancelled: u64,
    pub(super) attempts: u64,
}

impl Record<'_> for CountsRecord {}

impl CountsRecord {
    /// The record of `counts`.
    pub(super) fn of(account: AccountId, counts: Counts) -> Self {
        let Counts { waiting, delivered, dead, cancelled, attempts } = counts;
        Self { account, waiting, delivered, dead, cancelled, attempts }
    }

    /// The counts.
    pub(super) const fn counts(&self) -> Counts {
        Counts { waiting: self.waiting, delivered: self.delivered, dead: self.dead, cancelled: self.cancelled, attempts: self.attempts }
    }
}

/// The value of a record of configuration.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ValueRecord<'a> {
    pub(super) json: &'a str,
}

impl<'a> Record<'a> for ValueRecord<'a> {}

/// A document.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DocumentRecord<'a> {
    pub(super) revision: u64,
    pub(super) json: &'a str,
}

impl<'a> Record<'a> for DocumentRecord<'a> {}

/// A number or an id that the store keeps about itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MetaRecord {
    pub(super) number: u128,
}

impl Record<'_> for MetaRecord {}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"key";

    fn due() -> DueRecord {
        DueRecord { attempts: 3, template_version: 700 }
    }

    #[test]
    fn a_record_is_read_back() {
        let bytes = encode(Tree::Due, KEY, &due());
        assert_eq!(decode(Tree::Due, KEY, &bytes), Ok(due()));
        let data = format!("{{\"x\":\"{}\"}}", "y".repeat(20_000));
        let long = ValueRecord { json: &data };
        assert_eq!(decode(Tree::Configuration, KEY, &encode(Tree::Configuration, KEY, &long)), Ok(long));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let bytes = encode(Tree::Due, KEY, &due());
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<DueRecord>(Tree::Due, KEY, &changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_cut_record_and_one_in_the_wrong_place_are_noticed() {
        let bytes = encode(Tree::Due, KEY, &due());
        for length in 0..bytes.len() {
            assert!(decode::<DueRecord>(Tree::Due, KEY, &bytes[..length]).is_err());
        }
        assert_eq!(decode::<DueRecord>(Tree::Due, b"other", &bytes), Err(BadRecord::Checksum));
        assert_eq!(decode::<DueRecord>(Tree::Order, KEY, &bytes), Err(BadRecord::Checksum));
    }
}
