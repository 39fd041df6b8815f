//! The small ordered key-value interface that every embedded engine offers.
//!
//! Records and indexes are written once over it; an adapter knows its engine and nothing of events.
//! Keys are compared bytewise. One [`Batch`] may touch any number of trees and is applied whole or
//! not at all, also across a kill or a power cut.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, ControlFlow};

/// The trees, one for each kind of record or index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tree {
    /// Events with the subscriptions of their deliveries.
    Events = 0,
    /// Idempotency keys.
    Keys = 1,
    /// When idempotency keys expire.
    KeyExpiry = 2,
    /// Deliveries: record and log index in one.
    Deliveries = 3,
    /// What is due when.
    Due = 4,
    /// Undecided deliveries that are sent in order.
    Order = 5,
    /// Attempts.
    Attempts = 6,
    /// Counts by subscription.
    Counts = 7,
    /// Configuration.
    Configuration = 8,
    /// What the store keeps about itself.
    Meta = 9,
    /// Damaged records, as they were found.
    Quarantine = 10,
    /// Documents.
    Documents = 11,
}

impl Tree {
    /// Every tree, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Events,
        Self::Keys,
        Self::KeyExpiry,
        Self::Deliveries,
        Self::Due,
        Self::Order,
        Self::Attempts,
        Self::Counts,
        Self::Configuration,
        Self::Meta,
        Self::Quarantine,
        Self::Documents,
    ];

    /// Its stable name in the engine.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Keys => "keys",
            Self::KeyExpiry => "key_expiry",
            Self::Deliveries => "deliveries",
            Self::Due => "due",
            Self::Order => "order",
            Self::Attempts => "attempts",
            Self::Counts => "counts",
            Self::Configuration => "configuration",
            Self::Meta => "meta",
            Self::Quarantine => "quarantine",
            Self::Documents => "documents",
        }
    }

    /// Its stable number, part of checksums and of quarantine keys.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether its values may be larger than a few kilobytes.
    #[must_use]
    pub const fn holds_large_values(self) -> bool {
        matches!(self, Self::Events | Self::Attempts | Self::Configuration | Self::Quarantine | Self::Documents)
    }
}

/// The keys from `low` on, up to but without `high`; no `high` means up to the last.
#[derive(Debug, Clone, Copy)]
pub struct KeyRange<'a> {
    /// The first key.
    pub low: &'a [u8],
    /// The first key after the range.
    pub high: Option<&'a [u8]>,
}

impl<'a> KeyRange<'a> {
    /// All keys.
    pub const ALL: KeyRange<'static> = KeyRange { low: &[], high: None };

    /// The keys from `low` up to but without `high`.
    #[must_use]
    pub const fn new(low: &'a [u8], high: &'a [u8]) -> Self {
        Self { low, high: Some(high) }
    }

    /// The range in the form that ordered maps take.
    #[must_use]
    pub fn bounds(self) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
        (Bound::Included(self.low), self.high.map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// Whether no key can lie in it; some engines panic on such a range.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.high.is_some_and(|high| self.low >= high)
    }
}

/// Which end of a range comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Backward,
}

/// What a scan calls with each key and value. It may stop the scan; it must not call the engine.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Writes to any number of trees. A value of `None` removes the key; the last write of a key counts.
#[derive(Debug, Default)]
pub struct Batch {
    trees: [BTreeMap<Vec<u8>, Option<Vec<u8>>>; Tree::ALL.len()],
    bytes: usize,
}

impl Batch {
    /// Writes `value` at `key`.
    pub fn put(&mut self, tree: Tree, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.set(tree, key.into(), Some(value));
    }

    /// Removes `key`, whether it is there or not.
    pub fn remove(&mut self, tree: Tree, key: impl Into<Vec<u8>>) {
        self.set(tree, key.into(), None);
    }

    fn set(&mut self, tree: Tree, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.trees[tree as usize].insert(key, value);
    }

    /// The writes to one tree, in key order.
    #[must_use]
    pub fn tree(&self, tree: Tree) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.trees[tree as usize]
    }

    /// How many keys are written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trees.iter().map(BTreeMap::len).sum()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trees.iter().all(BTreeMap::is_empty)
    }

    /// About how many bytes are written.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The action of an opening that met the engine's own lock.
pub(super) const ENGINE_LOCKED: &str = "locking";

/// What an engine said when it could not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct KvError {
    /// What was being done.
    pub action: &'static str,
    /// The engine's or the operating system's words.
    pub detail: String,
}

impl KvError {
    /// The error of `action` for this reason.
    #[must_use]
    pub fn new(action: &'static str, reason: impl std::fmt::Display) -> Self {
        Self { action, detail: reason.to_string() }
    }
}

/// An embedded engine. One writer calls [`Kv::write`], and [`Kv::sync`] unless another thread may do so
/// meanwhile, see [`Kv::syncs_beside_writes`]; any thread may read.
pub trait Kv: Debug + Send + Sync {
    /// The value at `key`.
    ///
    /// # Errors
    /// [`KvError`] if the engine cannot read.
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError>;

    /// Calls `visit` with each key of `range` until there is none left or it stops.
    ///
    /// # Errors
    /// [`KvError`] if the engine cannot read.
    fn scan(&self, tree: Tree, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), KvError>;

    /// Applies all of `batch` or nothing. When this returns, it is visible, and a kill of the process
    /// does not take it away any more.
    ///
    /// # Errors
    /// [`KvError`] if the engine cannot write. What is on disk is then unknown until the next opening.
    fn write(&self, batch: Batch) -> Result<(), KvError>;

    /// Returns when a power cut does not take away any more what was written before.
    ///
    /// # Errors
    /// [`KvError`] if the engine cannot sync. A later success would prove nothing.
    fn sync(&self) -> Result<(), KvError>;

    /// Whether [`Kv::sync`] may be called, and takes its time, while another thread calls [`Kv::write`].
    /// A sync then covers what was written before it began. Else the writer syncs between its writes.
    fn syncs_beside_writes(&self) -> bool {
        false
    }

    /// About how many writes one batch should hold at most.
    fn writes_max(&self) -> usize {
        usize::MAX
    }

    /// Lets go of the files. Nothing is called afterwards.
    ///
    /// # Errors
    /// [`KvError`] if something is left that could not be written.
    fn close(&self) -> Result<(), KvError> {
        Ok(())
    }
}

/// The first key after all keys that begin with `prefix`; none if there is no such key.
#[must_use]
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_comes_after_all_its_keys() {
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255]), None);
        assert_eq!(after_prefix(&[]), None);
    }

    #[test]
    fn trees_have_the_number_of_their_place() {
        for (place, tree) in Tree::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(tree.number()), place);
        }
    }

    #[test]
    fn the_last_write_of_a_key_counts() {
        let mut batch = Batch::default();
        batch.put(Tree::Meta, *b"a", vec![1]);
        batch.remove(Tree::Meta, *b"a");
        assert_eq!((batch.len(), batch.tree(Tree::Meta).get(b"a".as_slice())), (1, Some(&None)));
    }
}
