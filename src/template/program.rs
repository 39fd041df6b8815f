//! A compiled template: literal text, values with their escape, and loops.
//!
//! Everything that does not depend on the event is decided here, so that rendering only appends.

use std::sync::atomic::AtomicUsize;

use serde_json::{Map, Value};

use super::error::Span;
use super::format::Format;
use super::position::Escape;
use super::token::Origin;
use super::tree::Expression;
use super::validity::Certainty;

/// One instruction.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Literal(Text),
    Value(Hole),
    Join(Box<Loop>),
}

/// Text that is appended as it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) origin: Origin,
    /// Begins inside a CDATA section, where a value before it may end in brackets.
    pub(super) cdata_seam: bool,
}

/// A value to append.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    pub(super) expression: Expression,
    pub(super) escape: Escape,
    /// Written by `raw`.
    pub(super) raw: bool,
    pub(super) span: Span,
}

/// `join`.
#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub(super) list: Expression,
    pub(super) list_name: String,
    pub(super) list_span: Span,
    pub(super) fields: NameTable,
    pub(super) body: Vec<Op>,
    pub(super) separator: Text,
    pub(super) span: Span,
    pub(super) body_span: Span,
}

/// A compiled template.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) format: Format,
    pub(super) ops: Vec<Op>,
    /// Top-level names used.
    pub(super) names: NameTable,
    /// Whether a value stands inside a JSON string depends on the event, through a separator with
    /// an odd number of quotes.
    pub(super) position_varies: bool,
    pub(super) certainty: Certainty,
    /// Room to set aside for a result: an estimate at first, then the longest result so far.
    pub(super) room_bytes: AtomicUsize,
}

/// Names with their numbers, found by a cheap hash: field names are few and known beforehand.
#[derive(Debug, Clone, Default)]
pub(super) struct NameTable {
    names: Vec<String>,
    /// Number of a name plus one, or zero; a power of two long.
    buckets: Vec<u16>,
}

impl NameTable {
    pub(super) fn new(names: Vec<String>) -> NameTable {
        let size = (names.len() * 4).next_power_of_two();
        let mut table = NameTable { names: Vec::new(), buckets: vec![0; size] };
        for name in names.into_iter().take(usize::from(u16::MAX) - 1) {
            let mut bucket = table.bucket(&name);
            while table.buckets[bucket] != 0 {
                bucket = (bucket + 1) & (size - 1);
            }
            table.names.push(name);
            table.buckets[bucket] = table.names.len() as u16;
        }
        table
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    fn bucket(&self, name: &str) -> usize {
        let bytes = name.as_bytes();
        let byte = |at: usize| bytes.get(at).copied().map_or(0, usize::from);
        let last = byte(bytes.len().wrapping_sub(1));
        let hash = bytes.len() ^ byte(0) << 3 ^ byte(bytes.len() / 2) << 5 ^ last << 1 ^ byte(4) << 7;
        (hash ^ hash >> 6) & (self.buckets.len() - 1)
    }

    /// The number of `name`.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        if self.names.is_empty() {
            return None;
        }
        let mut bucket = self.bucket(name);
        loop {
            let slot = usize::from(self.buckets[bucket]).checked_sub(1)?;
            if self.names[slot] == name {
                return Some(slot);
            }
            bucket = (bucket + 1) & (self.buckets.len() - 1);
        }
    }

    /// Puts the values of `object` into `slots`, by number. `guesses` carries from one object to the
    /// next which entry had which number, as objects of a list mostly look alike.
    pub(super) fn fill<'v>(&self, object: &'v Map<String, Value>, slots: &mut [Option<&'v Value>], guesses: &mut Vec<u16>) {
        if object.len() > self.names.len() * 4 + 8 {
            for (slot, name) in slots.iter_mut().zip(&self.names) {
                *slot = object.get(name);
            }
            return;
        }
        for (entry, (key, value)) in object.iter().enumerate() {
            let guess = guesses.get(entry).map(|guess| usize::from(*guess));
            let slot = match guess.and_then(|guess| self.names.get(guess)) {
                Some(name) if name == key => guess,
                _ => self.find(key),
            };
            if entry == guesses.len() {
                guesses.push(slot.map_or(u16::MAX, |slot| slot as u16));
            }
            if let Some(place) = slot.and_then(|slot| slots.get_mut(slot)) {
                *place = Some(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<String> = (0..500).map(|n| format!("Name{n}")).collect();
        let table = NameTable::new(names.clone());
        for (number, name) in names.iter().enumerate() {
            assert_eq!(table.find(name), Some(number));
        }
        for name in ["", "Name", "Name500", "name1"] {
            assert_eq!(table.find(name), None);
        }
        assert_eq!(NameTable::new(Vec::new()).find("x"), None);
    }

    #[test]
    fn objects_of_different_shape_are_filled_alike() {
        let table = NameTable::new(vec!["a".into(), "b".into()]);
        let mut guesses = Vec::new();
        for text in [r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, r#"{"x":0,"b":2,"a":1,"y":3}"#] {
            let object: Map<String, Value> = serde_json::from_str(text).unwrap();
            let mut slots = [None; 2];
            table.fill(&object, &mut slots, &mut guesses);
            let found = slots.map(|value| value.map(Value::to_string).unwrap_or_default());
            assert_eq!(found, ["1", "2"], "{text}");
        }
    }
}
