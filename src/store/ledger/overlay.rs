//! The store as it will be once the batch that is being put together is written.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::kv::{Batch, Direction, KeyRange, Kv, KvError, Tree, Visit, after_prefix};

/// A key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// An engine with writes on top that it does not hold yet.
#[derive(Debug)]
pub(super) struct Overlay {
    kv: Arc<dyn Kv>,
    batch: Batch,
}

impl Overlay {
    pub(super) fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, batch: Batch::default() }
    }

    pub(super) fn put(&mut self, tree: Tree, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.batch.put(tree, key, value);
    }

    pub(super) fn remove(&mut self, tree: Tree, key: impl Into<Vec<u8>>) {
        self.batch.remove(tree, key);
    }

    pub(super) const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Hands out the writes; from here on the engine is expected to hold them.
    pub(super) fn take(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        match self.batch.tree(tree).get(key) {
            Some(written) => Ok(written.clone()),
            None => self.kv.get(tree, key),
        }
    }

    /// Calls `visit` with the rows of `range`, smallest key first.
    pub(super) fn scan(&self, tree: Tree, range: KeyRange<'_>, visit: &mut Visit<'_>) -> Result<(), KvError> {
        if range.is_empty() {
            return Ok(());
        }
        let mut written = self.batch.tree(tree).range::<[u8], _>(range.bounds()).peekable();
        let mut stopped = false;
        self.kv.scan(tree, range, Direction::Forward, &mut |key, value| {
            let mut overwritten = false;
            while let Some((written_key, written_value)) = written.next_if(|(written_key, _)| written_key.as_slice() <= key) {
                overwritten |= written_key == key;
                if let Some(written_value) = written_value
                    && visit(written_key, written_value).is_break()
                {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            if !overwritten && visit(key, value).is_break() {
                stopped = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if !stopped {
            let _: ControlFlow<()> = written.try_for_each(|(key, value)| match value {
                Some(value) => visit(key, value),
                None => ControlFlow::Continue(()),
            });
        }
        Ok(())
    }

    /// Up to `limit` rows whose keys begin with `prefix`, smallest key first.
    pub(super) fn rows(&self, tree: Tree, prefix: &[u8], limit: usize) -> Result<Vec<Row>, KvError> {
        let high = after_prefix(prefix);
        let mut rows = Vec::new();
        self.scan(tree, KeyRange { low: prefix, high: high.as_deref() }, &mut |key, value| {
            if rows.len() < limit {
                rows.push((key.to_vec(), value.to_vec()));
            }
            if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::memory::MemoryKv;
    use super::*;

    #[test]
    fn rows_are_those_of_engine_and_batch_together() {
        let mut overlay = Overlay::new(Arc::new(MemoryKv::default()));
        for key in *b"bdfh" {
            overlay.put(Tree::Meta, [key], vec![1]);
        }
        let batch = overlay.take();
        overlay.kv.write(batch).unwrap();
        for key in *b"acfz" {
            overlay.put(Tree::Meta, [key], vec![2]);
        }
        overlay.remove(Tree::Meta, *b"d");
        overlay.remove(Tree::Meta, *b"e");
        let rows = |limit| {
            let rows = overlay.rows(Tree::Meta, b"", limit).unwrap();
            rows.into_iter().map(|(key, value)| (key[0] as char, value[0])).collect::<Vec<_>>()
        };
        assert_eq!(rows(9), [('a', 2), ('b', 1), ('c', 2), ('f', 2), ('h', 1), ('z', 2)]);
        assert_eq!(rows(3), [('a', 2), ('b', 1), ('c', 2)]);
        assert!(rows(0).is_empty());
        assert_eq!(overlay.get(Tree::Meta, b"d").unwrap(), None);
    }
}
