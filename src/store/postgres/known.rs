//! What is known of the tables while a group of changes is decided.
//!
//! The ledger asks for records by key and gets what was read beforehand. What it asks for beyond that is
//! noted as missing; then the group is read for again, with what is missing, and decided anew.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::kv::{Batch, Direction, KeyRange, Kv, KvError, Tree, Visit};

/// How many rows of a range are read when nobody has said how many are needed.
const FIRST_ROWS: usize = 4;

/// Something that has to be read before a change can be decided. Keys are those of the embedded layout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Need {
    /// One record.
    Record(Tree, Vec<u8>),
    /// The first rows whose keys begin so.
    First(Tree, Vec<u8>, usize),
}

/// A key and its value.
pub(super) type KnownRow = (Vec<u8>, Vec<u8>);

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    records: HashMap<(Tree, Vec<u8>), Option<Vec<u8>>>,
    spans: HashMap<(Tree, Vec<u8>), Span>,
    missing: BTreeSet<Need>,
    newest: u128,
}

/// The first rows of a range.
#[derive(Debug)]
struct Span {
    rows: Vec<KnownRow>,
    /// Whether there are no more.
    whole: bool,
}

impl Known {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was read of one record.
    pub(super) fn set_record(&self, tree: Tree, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.content().records.insert((tree, key), value);
    }

    /// Notes the first rows of a range.
    pub(super) fn set_first(&self, tree: Tree, prefix: Vec<u8>, rows: Vec<KnownRow>, whole: bool) {
        self.content().spans.insert((tree, prefix), Span { rows, whole });
    }

    /// Notes a raw id that must come before every one that is given for this group.
    pub(super) fn see_id(&self, raw: u128) {
        let mut content = self.content();
        content.newest = content.newest.max(raw);
    }

    /// The newest raw id that was noted.
    pub(super) fn newest(&self) -> u128 {
        self.content().newest
    }

    /// Whether a record was found.
    pub(super) fn is_there(&self, tree: Tree, key: &[u8]) -> bool {
        self.record(tree, key).is_some()
    }

    /// A record that was found.
    pub(super) fn record(&self, tree: Tree, key: &[u8]) -> Option<Vec<u8>> {
        self.content().records.get(&(tree, key.to_vec())).cloned().flatten()
    }

    /// What was asked for and is not known, since the last call.
    pub(super) fn take_missing(&self) -> Vec<Need> {
        std::mem::take(&mut self.content().missing).into_iter().collect()
    }
}

/// Stops a decision that needs more than is known.
fn unread() -> KvError {
    KvError::new("deciding", "a row was not read beforehand")
}

impl Kv for Known {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let mut content = self.content();
        match content.records.get(&(tree, key.to_vec())) {
            Some(value) => Ok(value.clone()),
            None => {
                content.missing.insert(Need::Record(tree, key.to_vec()));
                Err(unread())
            }
        }
    }

    fn scan(&self, tree: Tree, range: KeyRange<'_>, _: Direction, visit: &mut Visit<'_>) -> Result<(), KvError> {
        let mut content = self.content();
        let place = (tree, range.low.to_vec());
        let known = match content.spans.get(&place) {
            Some(span) => {
                if span.rows.iter().any(|(key, value)| visit(key, value) == ControlFlow::Break(())) || span.whole {
                    return Ok(());
                }
                span.rows.len()
            }
            None => 0,
        };
        content.missing.insert(Need::First(tree, place.1, (known * 4).max(FIRST_ROWS)));
        Err(unread())
    }

    /// Nobody writes here: what is decided is taken out of the ledger and written as rows.
    fn write(&self, _: Batch) -> Result<(), KvError> {
        Err(KvError::new("writing", "a group is written by statements"))
    }

    fn sync(&self) -> Result<(), KvError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(known: &Known, wanted: usize) -> Result<usize, KvError> {
        let mut seen = 0;
        let mut visit = |_: &[u8], _: &[u8]| {
            seen += 1;
            if seen == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        known.scan(Tree::Order, KeyRange { low: b"a", high: None }, Direction::Forward, &mut visit)?;
        Ok(seen)
    }

    #[test]
    fn what_is_not_known_is_noted_once_and_asked_for_in_growing_parts() {
        let known = Known::default();
        assert!(known.get(Tree::Keys, b"k").is_err() && known.get(Tree::Keys, b"k").is_err());
        assert!(scan(&known, 1).is_err());
        assert_eq!(known.take_missing(), [Need::Record(Tree::Keys, b"k".to_vec()), Need::First(Tree::Order, b"a".to_vec(), FIRST_ROWS)]);
        assert!(known.take_missing().is_empty());

        known.set_record(Tree::Keys, b"k".to_vec(), None);
        assert_eq!(known.get(Tree::Keys, b"k").unwrap(), None);
        known.set_first(Tree::Order, b"a".to_vec(), vec![(b"a1".to_vec(), vec![]); 4], false);
        assert_eq!(scan(&known, 4).unwrap(), 4);
        assert!(scan(&known, 5).is_err());
        assert_eq!(known.take_missing(), [Need::First(Tree::Order, b"a".to_vec(), 16)]);
        known.set_first(Tree::Order, b"a".to_vec(), vec![(b"a1".to_vec(), vec![]); 4], true);
        assert_eq!(scan(&known, 5).unwrap(), 4);
    }
}
