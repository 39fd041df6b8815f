//! Retention: removes decided events and expired keys, oldest first, in small steps.
//!
//! A step looks at a bounded number of events and the next one goes on where it ended, so that events
//! which must stay, because something of them is undecided, are not looked at again in every step. When
//! a step reaches the end, the next one begins at the oldest event again.

use super::Decision;
use super::state::Ledger;
use crate::clock::Timestamp;
use crate::event::{AccountId, KeyDigest};
use crate::id::{DeliveryId, EventId, SubscriptionId};
use crate::store::kv::{KeyRange, KvError, Tree};
use crate::store::layout::{self, MetaName};
use crate::store::record::{self, DeliveryRecord, EventRecord, KeyRecord, StateRecord};
use crate::store::{EventSize, Excess, Pruned, StoreError, Trimmed};

/// Most events one step removes.
pub(in crate::store) const EVENTS_PER_STEP_MAX: usize = 128;
/// Most events one step looks at.
const EVENTS_SEEN_PER_STEP_MAX: usize = 512;
/// Most events of all accounts one step of [`Ledger::trim`] looks at.
const TRIM_SEEN_PER_STEP_MAX: usize = 2_048;
/// Most expired keys one step removes.
const KEYS_PER_STEP_MAX: usize = 512;

impl Ledger {
    /// One step: removes up to `limit` events received before `before` with all that hangs on them,
    /// and keys that expired before `now`.
    pub(in crate::store) fn prune(&mut self, before: Timestamp, now: Timestamp, limit: usize) -> Decision<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        self.prune_keys(now, &mut pruned)?;
        self.prune_events(before, limit.min(EVENTS_PER_STEP_MAX), &mut pruned)?;
        Ok(Ok(pruned))
    }

    fn prune_events(&mut self, before: Timestamp, limit: usize, pruned: &mut Pruned) -> Result<(), KvError> {
        let high = layout::first_id_at(before).to_be_bytes();
        let mut seen = Vec::new();
        let low = layout::event_key(self.pruned_up_to);
        self.overlay.scan(Tree::Events, KeyRange::new(&low, &high), &mut |key, _| {
            seen.extend(layout::first_id(key).map(EventId::from_raw));
            if seen.len() < EVENTS_SEEN_PER_STEP_MAX { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })?;
        let mut ended_early = seen.len() == EVENTS_SEEN_PER_STEP_MAX;
        for event in seen {
            if pruned.events == limit {
                ended_early = true;
                break;
            }
            if let Some(removed) = self.prune_event(event)? {
                pruned.events += 1;
                pruned.removed.push(removed);
            }
            self.pruned_up_to = EventId::from_raw(event.raw() + 1);
        }
        if pruned.events > 0 {
            self.keep_newest_id();
        }
        if ended_early {
            pruned.more = true;
        } else {
            self.pruned_up_to = EventId::from_raw(0);
        }
        Ok(())
    }

    /// One step of removing the oldest events of an account over its limits: up to `limit`, after this one.
    pub(in crate::store) fn trim(
        &mut self,
        account: &AccountId,
        mut excess: Excess,
        after: EventId,
        limit: usize,
    ) -> Decision<Trimmed, StoreError> {
        let low = layout::event_key(EventId::from_raw(after.raw().saturating_add(1)));
        let (mut seen, mut theirs, mut last) = (0, Vec::new(), after);
        self.overlay.scan(Tree::Events, KeyRange { low: &low, high: None }, &mut |key, value| {
            let Some(id) = layout::first_id(key).map(EventId::from_raw) else { return std::ops::ControlFlow::Continue(()) };
            // A damaged record is found and set aside by the verbs that need it.
            let read = record::decode::<EventRecord<'_>>(Tree::Events, key, value);
            theirs.extend(read.ok().filter(|record| record.account == account.as_str()).map(|_| id));
            (seen, last) = (seen + 1, id);
            if seen < TRIM_SEEN_PER_STEP_MAX { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })?;
        let mut trimmed = Trimmed { removed: Vec::new(), next: (seen == TRIM_SEEN_PER_STEP_MAX).then_some(last) };
        for id in theirs {
            if excess == Excess::default() || trimmed.removed.len() == limit {
                // The next step begins with this one.
                trimmed.next = Some(EventId::from_raw(id.raw() - 1));
                break;
            }
            if let Some(removed) = self.prune_event(id)? {
                excess.events = excess.events.saturating_sub(1);
                excess.bytes = excess.bytes.saturating_sub(removed.bytes);
                trimmed.removed.push(removed);
            }
        }
        if !trimmed.removed.is_empty() {
            self.keep_newest_id();
        }
        Ok(Ok(trimmed))
    }

    /// Removes an event if nothing of it is undecided.
    fn prune_event(&mut self, event: EventId) -> Result<Option<EventSize>, KvError> {
        let read = self.of_event(event, |record| {
            let size = record.account.parse().map(|account| EventSize { id: event, account, bytes: record.data.len() as u64 });
            (record.deliveries(event), size)
        })?;
        // Damaged and set aside: nothing tells to whom its deliveries were owed.
        let Some((deliveries, Ok(size))) = read else { return Ok(None) };
        let mut decided: Vec<(SubscriptionId, DeliveryId, DeliveryRecord)> = Vec::with_capacity(deliveries.len());
        for (subscription, id) in deliveries {
            match self.read_delivery(subscription, id)? {
                Some(record) if matches!(record.state, StateRecord::Pending { .. }) => return Ok(None),
                Some(record) => decided.push((subscription, id, record)),
                None => {}
            }
        }
        for (subscription, id, record) in decided {
            self.uncount(subscription, &record);
            for number in 1..=record.attempts {
                self.overlay.remove(Tree::Attempts, layout::attempt_key(id, number));
            }
            self.overlay.remove(Tree::Deliveries, layout::delivery_key(subscription, id));
        }
        self.overlay.remove(Tree::Events, layout::event_key(event));
        self.parts.cache.remove(event);
        Ok(Some(size))
    }

    /// Removes these events with all that hangs on them and their keys, but those of which something is
    /// undecided; answers how many are gone.
    pub(in crate::store) fn remove_events(&mut self, events: &[EventId]) -> Decision<usize, StoreError> {
        let mut removed = 0;
        for &event in events {
            let key = self.key_of(event)?;
            if self.prune_event(event)?.is_none() {
                continue;
            }
            removed += 1;
            if let Some(digest) = key {
                self.remove_key(&digest, event)?;
            }
        }
        if removed > 0 {
            self.keep_newest_id();
        }
        Ok(Ok(removed))
    }

    /// What the idempotency key of an event is known by.
    fn key_of(&mut self, event: EventId) -> Result<Option<KeyDigest>, KvError> {
        let place = layout::event_key(event);
        let Some(value) = self.overlay.get(Tree::Events, &place)? else { return Ok(None) };
        let read = record::decode::<EventRecord<'_>>(Tree::Events, &place, &value).and_then(|record| record.event(event));
        Ok(read.ok().and_then(|event| Some(event.key?.digest(&event.account))))
    }

    /// Forgets a key if it is that of this event.
    fn remove_key(&mut self, digest: &KeyDigest, event: EventId) -> Result<(), KvError> {
        if let Some(known) = self.read::<KeyRecord>(Tree::Keys, digest)?
            && known.event() == event
        {
            self.overlay.remove(Tree::Keys, *digest);
            self.overlay.remove(Tree::KeyExpiry, layout::key_expiry_key(Timestamp::from_unix_ms(known.expires_at), digest));
        }
        Ok(())
    }

    fn prune_keys(&mut self, now: Timestamp, pruned: &mut Pruned) -> Result<(), KvError> {
        let high = layout::expiry_minute(now).to_be_bytes();
        let mut expired = Vec::new();
        self.overlay.scan(Tree::KeyExpiry, KeyRange::new(&[], &high), &mut |key, _| {
            expired.push(key.to_vec());
            if expired.len() < KEYS_PER_STEP_MAX { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })?;
        pruned.more |= expired.len() == KEYS_PER_STEP_MAX;
        for row in expired {
            let digest = row.get(4..).and_then(|digest| KeyDigest::try_from(digest).ok());
            if let Some(digest) = digest
                && let Some(known) = self.read::<KeyRecord>(Tree::Keys, &digest)?
                && Timestamp::from_unix_ms(known.expires_at) <= now
            {
                self.overlay.remove(Tree::Keys, digest);
                pruned.keys += 1;
            }
            self.overlay.remove(Tree::KeyExpiry, row);
        }
        Ok(())
    }

    /// Keeps the newest id where the last event may go.
    fn keep_newest_id(&mut self) {
        let newest = self.ids.next(0);
        self.put_meta(MetaName::NewestId, newest);
    }
}
