//! Events that are likely to be read soon, kept parsed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Event;
use crate::id::EventId;

/// About how many bytes a parsed event takes for each byte of its text, and for itself.
const BYTES_PER_TEXT_BYTE: usize = 4;
const BYTES_PER_EVENT: usize = 512;
/// Most events that wait for somebody to take them apart.
const DROPPED_MAX: usize = 1_024;

/// The events seen last, up to a number of bytes. First in, first out: most events are sent once, soon
/// after they came.
#[derive(Debug)]
pub(super) struct EventCache {
    bytes_max: usize,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    events: HashMap<EventId, Arc<Event>>,
    ids: VecDeque<EventId>,
    bytes: usize,
    /// No longer cached. Taking an event apart costs more than all the rest here, and the writer, which
    /// inserts most of them, has little time: it is left to the next caller.
    dropped: Vec<Arc<Event>>,
}

impl EventCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, content: Mutex::default() }
    }

    pub(super) fn get(&self, id: EventId) -> Option<Arc<Event>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).events.get(&id).cloned()
    }

    pub(super) fn insert(&self, event: Arc<Event>) {
        if size(&event) > self.bytes_max / 4 {
            return;
        }
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.bytes += size(&event);
        content.ids.push_back(event.id);
        if let Some(before) = content.events.insert(event.id, event) {
            content.bytes -= size(&before);
            content.ids.pop_back();
        }
        while content.bytes > self.bytes_max {
            let Some(oldest) = content.ids.pop_front() else { break };
            if let Some(event) = content.events.remove(&oldest) {
                content.bytes -= size(&event);
                content.dropped.push(event);
            }
        }
        let full = content.dropped.len() > DROPPED_MAX;
        drop(content);
        if full {
            self.clear_dropped();
        }
    }

    /// Takes apart what is no longer cached.
    pub(super) fn clear_dropped(&self) {
        let dropped = std::mem::take(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner).dropped);
        // After the lock.
        drop(dropped);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let content = std::mem::take(&mut *self.content.lock().unwrap_or_else(PoisonError::into_inner));
        // After the lock.
        drop(content);
    }

    pub(super) fn remove(&self, id: EventId) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(event) = content.events.remove(&id) {
            content.bytes -= size(&event);
            content.ids.retain(|&cached| cached != id);
        }
    }
}

fn size(event: &Event) -> usize {
    BYTES_PER_EVENT + BYTES_PER_TEXT_BYTE * event.data.stored().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::EventData;

    fn event(id: u128) -> Arc<Event> {
        Arc::new(Event {
            id: EventId::from_raw(id),
            account: "acme".parse().unwrap(),
            event_type: "action.tracked".parse().unwrap(),
            key: None,
            occurred_at: Timestamp::default(),
            received_at: Timestamp::default(),
            data: EventData::parse("{}").unwrap().into(),
        })
    }

    #[test]
    fn the_oldest_make_room() {
        let cache = EventCache::new(5 * BYTES_PER_EVENT);
        (0..20).for_each(|id| cache.insert(event(id)));
        let kept = |id| cache.get(EventId::from_raw(id)).is_some();
        assert!(!kept(0) && kept(19));
        assert!(!cache.content.lock().unwrap().dropped.is_empty());
        cache.clear_dropped();
        assert!(cache.content.lock().unwrap().dropped.is_empty());
        cache.remove(EventId::from_raw(19));
        assert!(!kept(19) && kept(18));
    }

    #[test]
    fn the_same_event_counts_once() {
        let cache = EventCache::new(5 * BYTES_PER_EVENT);
        cache.insert(event(1));
        (0..100).for_each(|_| cache.insert(event(2)));
        assert!(cache.get(EventId::from_raw(1)).is_some());
    }
}
