//! The redb adapter: all that this program knows of redb.
//!
//! Every commit is `Immediate`: redb 4.5 keeps a commit of the other kind in memory only, where a kill
//! would take away attempts that were answered as settled. Every commit also saves what redb needs to
//! open at once after a crash (quick repair, which implies two-phase commit); a single plain commit
//! before a crash costs a walk through the whole file.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use ::redb::{Builder, Database, Durability, ReadableDatabase, StorageBackend, TableDefinition};

use super::kv::{Batch, Direction, ENGINE_LOCKED, KeyRange, Kv, KvError, Tree, Visit};

/// About how many writes one batch should hold at most: more do not make a write cheaper, and what
/// comes next waits for all of them.
const WRITES_MAX: usize = 4_096;

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

const fn table(tree: Tree) -> Rows {
    TableDefinition::new(tree.name())
}

/// A redb database.
#[derive(Debug)]
pub struct RedbKv {
    database: RwLock<Option<Database>>,
}

impl RedbKv {
    /// Opens or creates the database in the file `path`, with a page cache of `cache_bytes`.
    ///
    /// # Errors
    /// [`KvError`] if redb cannot open it.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self, KvError> {
        Self::with(builder(cache_bytes).create(path))
    }

    /// Opens or creates the database in `backend`: the files of a test.
    ///
    /// # Errors
    /// As [`RedbKv::open`].
    pub fn open_backend(backend: impl StorageBackend, cache_bytes: u64) -> Result<Self, KvError> {
        Self::with(builder(cache_bytes).create_with_backend(backend))
    }

    fn with(opened: Result<Database, ::redb::DatabaseError>) -> Result<Self, KvError> {
        let opened = opened.map_err(|error| match error {
            ::redb::DatabaseError::DatabaseAlreadyOpen => KvError::new(ENGINE_LOCKED, error),
            error => KvError::new("opening", error),
        });
        let kv = Self { database: RwLock::new(Some(opened?)) };
        kv.create_tables()?;
        Ok(kv)
    }

    /// Creates every table, so that readers find them.
    fn create_tables(&self) -> Result<(), KvError> {
        self.transact("opening", |transaction| {
            for tree in Tree::ALL {
                transaction.open_table(table(tree))?;
            }
            Ok(())
        })
    }

    fn open_database<T>(&self, action: &'static str, act: impl FnOnce(&Database) -> Result<T, ::redb::Error>) -> Result<T, KvError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| KvError::new(action, "the database is closed"))?;
        act(database).map_err(|error| KvError::new(action, error))
    }

    fn transact(
        &self,
        action: &'static str,
        act: impl FnOnce(&::redb::WriteTransaction) -> Result<(), ::redb::Error>,
    ) -> Result<(), KvError> {
        self.open_database(action, |database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_quick_repair(true);
            act(&transaction)?;
            Ok(transaction.commit()?)
        })
    }
}

fn builder(cache_bytes: u64) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(usize::try_from(cache_bytes).unwrap_or(usize::MAX));
    builder
}

impl Kv for RedbKv {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.open_database("reading", |database| {
            let rows = database.begin_read()?.open_table(table(tree))?;
            Ok(rows.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn scan(&self, tree: Tree, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), KvError> {
        if range.is_empty() {
            return Ok(());
        }
        self.open_database("reading", |database| {
            let table = database.begin_read()?.open_table(table(tree))?;
            let mut rows = table.range::<&[u8]>(range.bounds())?;
            let mut next = || match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.next_back(),
            };
            while let Some(row) = next() {
                let (key, value) = row?;
                if visit(key.value(), value.value()) == ControlFlow::Break(()) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn write(&self, batch: Batch) -> Result<(), KvError> {
        self.transact("writing", |transaction| {
            for tree in Tree::ALL.into_iter().filter(|&tree| !batch.tree(tree).is_empty()) {
                let mut rows = transaction.open_table(table(tree))?;
                for (key, value) in batch.tree(tree) {
                    match value {
                        Some(value) => drop(rows.insert(key.as_slice(), value.as_slice())?),
                        None => drop(rows.remove(key.as_slice())?),
                    }
                }
            }
            Ok(())
        })
    }

    /// Nothing is left to do: every commit is synced.
    fn sync(&self) -> Result<(), KvError> {
        Ok(())
    }

    fn writes_max(&self) -> usize {
        WRITES_MAX
    }

    fn close(&self) -> Result<(), KvError> {
        match self.database.write().unwrap_or_else(PoisonError::into_inner).take() {
            Some(database) => database.close().map_err(|error| KvError::new("closing", error)),
            None => Ok(()),
        }
    }
}
