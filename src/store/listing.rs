//! Lists, newest first but for one, a page at a time.
//!
//! A page looks at no more than [`ROWS_PER_PAGE_MAX`] rows and ends at [`PAGE_BYTES_MAX`]: a filter that
//! fits little, and events that are large, give short pages, each of which says where to go on. Deliveries of several subscriptions are merged by their ids.

use std::collections::{BinaryHeap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::kv::{Direction, KeyRange, KvError, Tree};
use super::layout;
use super::reader::Reader;
use super::record::{self, BadRecord, DeliveryRecord, EventRecord};
use super::{DecidedQuery, DeliveryQuery, EventQuery, Page};
use crate::clock::Timestamp;
use crate::delivery::{Delivery, DeliveryState, StateName};
use crate::event::Event;
use crate::id::{DeliveryId, EventId, SubscriptionId};

/// Most rows that one page looks at.
pub(super) const ROWS_PER_PAGE_MAX: usize = 10_000;

/// Bytes of records after which a page ends.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Most rows of one subscription that are read ahead while several are merged.
const ROWS_AHEAD_MAX: usize = 256;

/// The ids of a query: from `low` on, below `high`.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdRange {
    pub(super) low: u128,
    pub(super) high: u128,
}

impl IdRange {
    pub(super) fn new(since: Option<Timestamp>, until: Option<Timestamp>, before: Option<u128>) -> Self {
        let until = until.map_or(u128::MAX, layout::first_id_at);
        Self { low: since.map_or(0, layout::first_id_at), high: until.min(before.unwrap_or(u128::MAX)) }
    }
}

/// What has been found of a page.
pub(super) struct Findings<T> {
    pub(super) items: Vec<T>,
    limit: usize,
    seen: usize,
    pub(super) bytes: usize,
    /// The row seen last.
    last: Option<u128>,
    more: bool,
}

impl<T> Findings<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { items: Vec::new(), limit: limit.max(1), seen: 0, bytes: 0, last: None, more: false }
    }

    /// Whether the row `id`, which is there, is still to be looked at.
    pub(super) fn takes(&mut self, id: u128) -> bool {
        self.more = self.items.len() == self.limit || self.seen == ROWS_PER_PAGE_MAX || self.bytes >= PAGE_BYTES_MAX;
        if !self.more {
            self.seen += 1;
            self.last = Some(id);
        }
        !self.more
    }

    pub(super) fn page(self) -> Page<T> {
        Page { items: self.items, next: if self.more { self.last } else { None } }
    }
}

impl Reader {
    pub(super) fn events(&mut self, query: &EventQuery) -> Result<Page<Arc<Event>>, KvError> {
        let ids = IdRange::new(query.since, query.until, query.before.map(EventId::raw));
        let (low, high) = (ids.low.to_be_bytes(), ids.high.to_be_bytes());
        let (mut found, mut damaged) = (Findings::new(query.limit), Vec::new());
        self.parts.kv.scan(Tree::Events, KeyRange::new(&low, &high), Direction::Backward, &mut |key, value| {
            let Some(id) = layout::first_id(key) else { return ControlFlow::Continue(()) };
            if !found.takes(id) {
                return ControlFlow::Break(());
            }
            match matching_event(query, EventId::from_raw(id), key, value) {
                Ok(event) => {
                    found.bytes += event.as_ref().map_or(0, |_| value.len());
                    found.items.extend(event.map(Arc::new));
                }
                Err(_) => damaged.push((Tree::Events, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        Ok(found.page())
    }

    pub(super) fn deliveries(&mut self, query: &DeliveryQuery) -> Result<Page<Delivery>, KvError> {
        let ids = IdRange::new(query.since, query.until, query.before.map(DeliveryId::raw));
        if let Some(event) = query.event {
            return self.deliveries_of_event(query, event, ids);
        }
        let subscriptions = match query.subscription {
            Some(subscription) => vec![subscription],
            None => {
                let counts = self.counts()?.into_iter();
                let wanted = counts.filter(|counts| query.account.as_ref().is_none_or(|account| *account == counts.account));
                wanted.map(|counts| counts.subscription).collect()
            }
        };
        self.merged(query, &subscriptions, ids)
    }

    /// Decided deliveries of one subscription, oldest first.
    pub(super) fn decided(&mut self, query: &DecidedQuery) -> Result<Page<DeliveryId>, KvError> {
        let after = query.after.map_or(0, |id| id.raw().saturating_add(1));
        let low = query.since.map_or(0, layout::first_id_at).max(after);
        let high = query.until.map_or(u128::MAX, layout::first_id_at);
        let key = |raw| layout::delivery_key(query.subscription, DeliveryId::from_raw(raw));
        let (low_key, high_key) = (key(low), key(high));
        let (mut found, mut damaged) = (Findings::new(query.limit), Vec::new());
        if low >= high {
            return Ok(found.page());
        }
        self.parts.kv.scan(Tree::Deliveries, KeyRange::new(&low_key, &high_key), Direction::Forward, &mut |key, value| {
            let Some(id) = layout::last_id(key) else { return ControlFlow::Continue(()) };
            if !found.takes(id) {
                return ControlFlow::Break(());
            }
            match record::decode::<DeliveryRecord>(Tree::Deliveries, key, value).and_then(|record| record.state.state()) {
                Ok(state) if is_decided_as(state, &query.states, query.decided_by) => found.items.push(DeliveryId::from_raw(id)),
                Ok(_) => {}
                Err(_) => damaged.push((Tree::Deliveries, key.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        self.damaged.append(&mut damaged);
        Ok(found.page())
    }

    fn deliveries_of_event(&mut self, query: &DeliveryQuery, event: EventId, ids: IdRange) -> Result<Page<Delivery>, KvError> {
        let mut found = Findings::new(query.limit);
        for delivery in self.deliveries_of(event)?.into_iter().rev() {
            let id = delivery.id.raw();
            if id < ids.low || id >= ids.high {
                continue;
            }
            if !found.takes(id) {
                break;
            }
            if matches(query, &delivery) {
                found.items.push(delivery);
            }
        }
        Ok(found.page())
    }

    /// Merges the rows of several subscriptions, the newest of all first.
    fn merged(&mut self, query: &DeliveryQuery, subscriptions: &[SubscriptionId], ids: IdRange) -> Result<Page<Delivery>, KvError> {
        let mut sources: Vec<Source> = subscriptions.iter().map(|&subscription| Source::new(subscription, ids)).collect();
        let mut newest = BinaryHeap::new();
        for (place, source) in sources.iter_mut().enumerate() {
            newest.extend(source.newest(self)?.map(|id| (id, place)));
        }
        let mut found = Findings::new(query.limit);
        while let Some((id, place)) = newest.pop() {
            if !found.takes(id) {
                break;
            }
            let source = &mut sources[place];
            if let Some((id, key, value)) = source.rows.pop_front() {
                let delivery = self.read_delivery(&key, &value, source.subscription, DeliveryId::from_raw(id));
                found.items.extend(delivery.filter(|delivery| matches(query, delivery)));
            }
            newest.extend(source.newest(self)?.map(|id| (id, place)));
        }
        Ok(found.page())
    }
}

/// The rows of one subscription, newest first, some of them read ahead.
struct Source {
    subscription: SubscriptionId,
    ids: IdRange,
    rows: VecDeque<(u128, Vec<u8>, Vec<u8>)>,
    ahead: usize,
}

impl Source {
    const fn new(subscription: SubscriptionId, ids: IdRange) -> Self {
        Self { subscription, ids, rows: VecDeque::new(), ahead: 1 }
    }

    /// The id of its first row; none if it has no more.
    fn newest(&mut self, reader: &Reader) -> Result<Option<u128>, KvError> {
        if self.rows.is_empty() && self.ids.low < self.ids.high {
            self.fill(reader)?;
        }
        Ok(self.rows.front().map(|(id, _, _)| *id))
    }

    fn fill(&mut self, reader: &Reader) -> Result<(), KvError> {
        let low = layout::delivery_key(self.subscription, DeliveryId::from_raw(self.ids.low));
        let high = layout::delivery_key(self.subscription, DeliveryId::from_raw(self.ids.high));
        let rows = &mut self.rows;
        reader.parts.kv.scan(Tree::Deliveries, KeyRange::new(&low, &high), Direction::Backward, &mut |key, value| {
            rows.extend(layout::last_id(key).map(|id| (id, key.to_vec(), value.to_vec())));
            if rows.len() < self.ahead { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        // One row is enough of a subscription that has had nothing new; a busy one is read in strides.
        self.ids.high = if rows.len() < self.ahead { self.ids.low } else { rows.back().map_or(self.ids.low, |(id, _, _)| *id) };
        self.ahead = (self.ahead * 4).min(ROWS_AHEAD_MAX);
        Ok(())
    }
}

/// Whether a delivery is in one of the states and was decided by then.
pub(super) fn is_decided_as(state: DeliveryState, states: &[StateName], decided_by: Timestamp) -> bool {
    states.contains(&state.name()) && state.decided_at().is_some_and(|at| at <= decided_by)
}

/// Whether the query wants this delivery, whose id is in its range.
pub(super) fn matches(query: &DeliveryQuery, delivery: &Delivery) -> bool {
    query.account.as_ref().is_none_or(|account| *account == delivery.account)
        && query.subscription.is_none_or(|subscription| subscription == delivery.subscription)
        && (query.states.is_empty() || query.states.contains(&delivery.state.name()))
}

/// The event in a row, if it is one that the query wants.
fn matching_event(query: &EventQuery, id: EventId, key: &[u8], value: &[u8]) -> Result<Option<Event>, BadRecord> {
    let record: EventRecord<'_> = record::decode(Tree::Events, key, value)?;
    let wanted = query.account.as_ref().is_none_or(|account| account.as_str() == record.account)
        && (query.event_types.is_empty() || query.event_types.iter().any(|event_type| event_type.as_str() == record.event_type));
    if !wanted {
        return Ok(None);
    }
    let event = record.event(id)?;
    Ok(holds_fields(query, &event).then_some(event))
}

/// Whether an event has the values that the query asks for.
pub(super) fn holds_fields(query: &EventQuery, event: &Event) -> bool {
    query.fields.iter().all(|(name, _)| {
        let found = event.data.scalar(name);
        query.fields.iter().any(|(other, value)| other == name && found.as_ref() == Some(value))
    })
}
