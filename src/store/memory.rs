//! The engine that forgets: for tests, simulations and `memory:`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock};

use super::kv::{Batch, Direction, KeyRange, Kv, KvError, Tree, Visit};

type Trees = [BTreeMap<Vec<u8>, Vec<u8>>; Tree::ALL.len()];

/// Ordered maps in memory. A clone shares the content, so that a test can open it again.
#[derive(Debug, Clone, Default)]
pub struct MemoryKv {
    trees: Arc<RwLock<Trees>>,
}

impl Kv for MemoryKv {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.trees.read().unwrap_or_else(PoisonError::into_inner)[tree as usize].get(key).cloned())
    }

    fn scan(&self, tree: Tree, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), KvError> {
        if range.is_empty() {
            return Ok(());
        }
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        let rows = trees[tree as usize].range::<[u8], _>(range.bounds());
        let mut go = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value);
        let _: ControlFlow<()> = match direction {
            Direction::Forward => rows.into_iter().try_for_each(&mut go),
            Direction::Backward => rows.into_iter().rev().try_for_each(&mut go),
        };
        Ok(())
    }

    fn write(&self, batch: Batch) -> Result<(), KvError> {
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        for tree in Tree::ALL {
            for (key, value) in batch.tree(tree) {
                match value {
                    Some(value) => drop(trees[tree as usize].insert(key.clone(), value.clone())),
                    None => drop(trees[tree as usize].remove(key)),
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), KvError> {
        Ok(())
    }
}
