//! Events that are likely to be read soon, kept parsed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Event;
use crate::id::EventId;

/// About how many bytes a parsed event takes for each byte of its text, and for itself.
const BYTES_PER_TEXT_BYTE: usize = 4;
const BYTES_PER_EVENT: usize = 512;

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
        let mut dropped = Vec::new();
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
                dropped.push(event);
            }
        }
        // Freed after the lock: taking an event apart costs more than all the rest here.
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
    BYTES_PER_EVENT + BYTES_PER_TEXT_BYTE * event.data.text().len()
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
