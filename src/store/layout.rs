//! The keys of every tree. Numbers are big-endian, so that byte order is number order.
//!
//! | tree | key | value |
//! |---|---|---|
//! | events | event id | the event, and to which subscriptions its deliveries are owed, by number |
//! | keys | digest of account and key | event id, number of deliveries, fingerprint, expiry |
//! | key_expiry | minute of expiry, digest | – |
//! | deliveries | subscription, delivery id | the delivery: record and log index in one |
//! | due | subscription, due time, delivery id | attempts made, template version |
//! | order | subscription, order key, delivery id | due time |
//! | attempts | delivery id, number | the attempt |
//! | counts | subscription | account, counts |
//! | configuration | kind, id | JSON |
//! | meta | name | see [`MetaName`] |
//! | quarantine | number of the tree, key | the damaged bytes |
//! | documents | kind, id | revision, JSON |

use crate::clock::Timestamp;
use crate::delivery::OrderKey;
use crate::event::KeyDigest;
use crate::id::{DeliveryId, EventId, SubscriptionId};
use crate::store::kv::Tree;
use crate::store::{ConfigurationKind, DocumentKind};

/// Bytes of an id.
const ID: usize = 16;

/// What the store keeps about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetaName {
    /// The number of the layout.
    Layout,
    /// Is there while a store is open; what is found at opening was left by an unclean stop.
    Running,
    /// The newest id given, for when no event is left that tells.
    NewestId,
}

impl MetaName {
    /// The key.
    pub(super) const fn key(self) -> &'static [u8] {
        match self {
            Self::Layout => b"layout",
            Self::Running => b"running",
            Self::NewestId => b"newest_id",
        }
    }
}

/// Key of an event.
pub(super) fn event_key(id: EventId) -> [u8; ID] {
    id.raw().to_be_bytes()
}

/// The first event id of the millisecond of `moment`.
pub(super) fn first_id_at(moment: Timestamp) -> u128 {
    u128::from(u64::try_from(moment.unix_ms()).unwrap_or(0)) << 80
}

/// Key of a row in the order of expiry. The minute is rounded up: it is over when the key has expired.
pub(super) fn key_expiry_key(expires_at: Timestamp, digest: &KeyDigest) -> [u8; 4 + ID] {
    let mut key = [0; 4 + ID];
    key[..4].copy_from_slice(&expiry_minute(expires_at).to_be_bytes());
    key[4..].copy_from_slice(digest);
    key
}

/// The minute after which a key that expires at this moment may be forgotten.
pub(super) fn expiry_minute(expires_at: Timestamp) -> u32 {
    u32::try_from((expires_at.unix_ms().max(0) + 59_999) / 60_000).unwrap_or(u32::MAX)
}

/// Key of a delivery; begins with [`subscription_key`].
pub(super) fn delivery_key(subscription: SubscriptionId, delivery: DeliveryId) -> [u8; 2 * ID] {
    join(subscription_key(subscription), delivery.raw().to_be_bytes())
}

/// Key of a subscription's counts, and the prefix of its rows.
pub(super) fn subscription_key(subscription: SubscriptionId) -> [u8; ID] {
    subscription.raw().to_be_bytes()
}

/// Key of a due row; begins with [`subscription_key`].
pub(super) fn due_key(subscription: SubscriptionId, due_at: Timestamp, delivery: DeliveryId) -> [u8; 2 * ID + 8] {
    let mut key = [0; 2 * ID + 8];
    key[..ID].copy_from_slice(&subscription_key(subscription));
    key[ID..ID + 8].copy_from_slice(&ordered_ms(due_at));
    key[ID + 8..].copy_from_slice(&delivery.raw().to_be_bytes());
    key
}

/// Key of an order row; begins with [`order_prefix`].
pub(super) fn order_row_key(subscription: SubscriptionId, order: &OrderKey, delivery: DeliveryId) -> [u8; 3 * ID] {
    let mut key = [0; 3 * ID];
    key[..2 * ID].copy_from_slice(&order_prefix(subscription, order));
    key[2 * ID..].copy_from_slice(&delivery.raw().to_be_bytes());
    key
}

/// What the order rows that wait for each other begin with.
pub(super) fn order_prefix(subscription: SubscriptionId, order: &OrderKey) -> [u8; 2 * ID] {
    join(subscription_key(subscription), *order)
}

/// Key of an attempt; begins with the delivery's id.
pub(super) fn attempt_key(delivery: DeliveryId, number: u32) -> [u8; ID + 4] {
    let mut key = [0; ID + 4];
    key[..ID].copy_from_slice(&delivery.raw().to_be_bytes());
    key[ID..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Key of a record of configuration.
pub(super) fn configuration_key(kind: ConfigurationKind, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + id.len());
    key.push(kind_number(kind));
    key.extend_from_slice(id.as_bytes());
    key
}

/// Key of a document, and with an empty or partial id the prefix of those that begin with it.
pub(super) fn document_key(kind: DocumentKind, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + id.len());
    key.push(document_number(kind));
    key.extend_from_slice(id.as_bytes());
    key
}

/// The kind and id of a document's key.
pub(super) fn read_document_key(key: &[u8]) -> Option<(DocumentKind, &str)> {
    let (&number, id) = key.split_first()?;
    Some((document_of_number(number.into())?, std::str::from_utf8(id).ok()?))
}

/// The kind of document with this number.
pub(super) fn document_of_number(number: i16) -> Option<DocumentKind> {
    DocumentKind::ALL.into_iter().find(|&kind| i16::from(document_number(kind)) == number)
}

/// Key of a damaged record.
pub(super) fn quarantine_key(tree: Tree, key: &[u8]) -> Vec<u8> {
    let mut quarantined = Vec::with_capacity(1 + key.len());
    quarantined.push(tree.number());
    quarantined.extend_from_slice(key);
    quarantined
}

/// The kind and id of a configuration key.
pub(super) fn read_configuration_key(key: &[u8]) -> Option<(ConfigurationKind, &str)> {
    let (&number, id) = key.split_first()?;
    Some((kind_of_number(number.into())?, std::str::from_utf8(id).ok()?))
}

/// The kind of configuration with this number.
pub(super) fn kind_of_number(number: i16) -> Option<ConfigurationKind> {
    ConfigurationKind::ALL.into_iter().find(|&kind| i16::from(kind_number(kind)) == number)
}

/// The due time and delivery of a due key.
pub(super) fn read_due_key(key: &[u8]) -> Option<(Timestamp, DeliveryId)> {
    let ms = u64::from_be_bytes(key.get(ID..ID + 8)?.try_into().ok()?) ^ SIGN;
    Some((Timestamp::from_unix_ms(ms.cast_signed()), DeliveryId::from_raw(last_id(key)?)))
}

/// The order key in the key of an order row.
pub(super) fn read_order_key(key: &[u8]) -> Option<OrderKey> {
    key.get(ID..2 * ID)?.try_into().ok()
}

/// The id that a key begins with.
pub(super) fn first_id(key: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(key.get(..ID)?.try_into().ok()?))
}

/// The id that a key ends with.
pub(super) fn last_id(key: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(key.get(key.len().checked_sub(ID)?..)?.try_into().ok()?))
}

const SIGN: u64 = 1 << 63;

/// Milliseconds so that moments before 1970 sort before those after.
fn ordered_ms(moment: Timestamp) -> [u8; 8] {
    (moment.unix_ms().cast_unsigned() ^ SIGN).to_be_bytes()
}

fn join(first: [u8; ID], second: [u8; ID]) -> [u8; 2 * ID] {
    let mut key = [0; 2 * ID];
    key[..ID].copy_from_slice(&first);
    key[ID..].copy_from_slice(&second);
    key
}

/// The stable number of a kind of configuration.
pub(super) const fn kind_number(kind: ConfigurationKind) -> u8 {
    match kind {
        ConfigurationKind::Account => 1,
        ConfigurationKind::Subscription => 2,
        ConfigurationKind::TemplateVersion => 3,
        ConfigurationKind::EventType => 4,
        ConfigurationKind::Key => 5,
        ConfigurationKind::Replay => 6,
        ConfigurationKind::Setting => 7,
        ConfigurationKind::Secret => 8,
        ConfigurationKind::Audit => 9,
        ConfigurationKind::Offer => 10,
        ConfigurationKind::InboundKey => 11,
    }
}

/// The stable number of a kind of document.
pub(super) const fn document_number(kind: DocumentKind) -> u8 {
    match kind {
        DocumentKind::Action => 1,
        DocumentKind::ActionLog => 2,
        DocumentKind::Click => 3,
        DocumentKind::Customer => 4,
        DocumentKind::InboundCall => 5,
        DocumentKind::TestRun => 6,
        DocumentKind::Lead => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_sort_by_time_and_are_read_back() {
        let (subscription, delivery) = (SubscriptionId::from_raw(7), DeliveryId::from_raw(9));
        let moments = [-5, 0, 3, 1_732_233_600_000].map(Timestamp::from_unix_ms);
        let keys = moments.map(|due_at| due_key(subscription, due_at, delivery));
        assert!(keys.is_sorted());
        assert_eq!(keys.map(|key| read_due_key(&key)), moments.map(|due_at| Some((due_at, delivery))));
    }

    #[test]
    fn configuration_keys_are_read_back() {
        for kind in ConfigurationKind::ALL {
            assert_eq!(read_configuration_key(&configuration_key(kind, "sub_1/2")), Some((kind, "sub_1/2")));
        }
    }

    #[test]
    fn document_keys_are_read_back() {
        for kind in DocumentKind::ALL {
            assert_eq!(read_document_key(&document_key(kind, "acme/1")), Some((kind, "acme/1")));
        }
    }

    #[test]
    fn a_key_may_be_forgotten_when_its_minute_is_over() {
        let minute_of = |ms| expiry_minute(Timestamp::from_unix_ms(ms));
        assert_eq!([0, 1, 60_000, 60_001].map(minute_of), [0, 1, 1, 2]);
    }
}
