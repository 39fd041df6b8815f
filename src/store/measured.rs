//! An engine whose writes and syncs are timed for somebody who counts them.

use std::sync::Arc;

use super::kv::{Batch, Direction, KeyRange, Kv, KvError, Tree, Visit};
use super::options::StoreObserver;
use crate::clock::Clock;

/// Passes everything on to another engine.
#[derive(Debug)]
pub(super) struct MeasuredKv {
    pub(super) kv: Arc<dyn Kv>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<dyn StoreObserver>,
}

impl Kv for MeasuredKv {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.kv.get(tree, key)
    }

    fn scan(&self, tree: Tree, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.kv.scan(tree, range, direction, visit)
    }

    fn write(&self, batch: Batch) -> Result<(), KvError> {
        let began = self.clock.instant();
        let written = self.kv.write(batch);
        self.observer.written(self.clock.instant().duration_since(began));
        written
    }

    fn sync(&self) -> Result<(), KvError> {
        let began = self.clock.instant();
        let synced = self.kv.sync();
        self.observer.synced(self.clock.instant().duration_since(began));
        synced
    }

    fn syncs_beside_writes(&self) -> bool {
        self.kv.syncs_beside_writes()
    }

    fn writes_max(&self) -> usize {
        self.kv.writes_max()
    }

    fn close(&self) -> Result<(), KvError> {
        self.kv.close()
    }
}
