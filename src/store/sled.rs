//! The sled adapter: all that this program knows of sled.
//!
//! sled 0.34.7 needs the following from us; each is measured, and told at length in `docs/store.md`:
//!
//! - its flush ends in `sync_file_range`, which survives a kill and not a power cut: [`Kv::sync`] calls
//!   `fdatasync` on a descriptor of our own, which sees every write-back error of the file;
//! - it builds on what it has written before that is synced: [`super::tail`] keeps it from that;
//! - its nodes hold up to 17 values, and a node above an eighth of a megabyte goes to a file of its own,
//!   which is never synced: a value above [`INLINE_MAX`] is cut into pieces of that size in a tree aside;
//! - space is reclaimed by its flusher only, which therefore always runs;
//! - old pages are freed only when a thread pins: the transaction reads each key before it writes, and
//!   one read follows each batch.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use ::sled::transaction::{ConflictableTransactionError, Transactional, TransactionalTree};

use super::health::panic_text;
use super::kv::{Batch, Direction, ENGINE_LOCKED, KeyRange, Kv, KvError, Tree, Visit};
use super::tail::{self, Keeper};

/// Largest value that is kept beside its key. 17 of them fit into a node that stays in the log.
const INLINE_MAX: usize = 6 * 1_024;
/// About how many writes one batch should hold at most, so that readers wait for milliseconds only.
const WRITES_MAX: usize = 1_024;
/// How often sled's flusher runs. It also reclaims space, and must.
const FLUSH_EVERY_MS: u64 = 500;

/// First byte of a value in a tree that may hold large ones.
const WHOLE: u8 = 0;
const IN_PIECES: u8 = 1;

/// How a sled database is opened.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Bytes of pages that sled keeps in memory.
    pub cache_bytes: u64,
    /// How an acknowledged write is made safe from a power cut.
    pub sync: SledSync,
}

/// How an acknowledged write is made safe from a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SledSync {
    /// sled's flush, then `fdatasync`.
    #[default]
    Data,
    /// The same, and sled builds on what is not synced. Loses acknowledged writes in some power cuts: for the test which shows that.
    DataOnly,
    /// sled's flush alone. Loses acknowledged writes in a power cut: for the test which shows that.
    FlushOnly,
}

/// A sled database.
#[derive(Debug)]
pub struct SledKv {
    open: RwLock<Option<Open>>,
    sync: SledSync,
}

#[derive(Debug)]
struct Open {
    // The trees hold the database open; it is named for its flush.
    database: ::sled::Db,
    trees: Vec<::sled::Tree>,
    /// The rest of values above [`INLINE_MAX`].
    pieces: ::sled::Tree,
    /// Held by who puts a value together, and by a batch that may change one: sled's transactions are
    /// whole for each read, and not for several in a row.
    assembling: RwLock<()>,
    /// Our own descriptor of the data file.
    data_file: File,
    /// The last, since the database is closed before it.
    keeper: Option<Keeper>,
}

impl SledKv {
    /// Opens or creates the database in `folder`, which must exist.
    ///
    /// Removes what a kill may leave behind and sled stumbles over. If sled finds damage, its snapshots,
    /// which it can do without, are moved aside, and it is tried once more.
    ///
    /// # Errors
    /// [`KvError`] if sled cannot open it, also where sled panics.
    pub fn open(folder: &Path, options: &SledOptions) -> Result<Self, KvError> {
        let fail = |error: io::Error| KvError::new("opening", error);
        remove_leftovers(folder).map_err(fail)?;
        // Until the keeper is: sled may free and use segments as soon as it has opened.
        let _pinned = tail::pin();
        let database = match open_guarded(folder, options) {
            Ok(database) => database,
            Err(locked) if locked.action == ENGINE_LOCKED => return Err(locked),
            Err(first) => {
                let moved = move_snapshots_aside(folder).map_err(fail)?;
                if moved.is_empty() {
                    return Err(first);
                }
                tracing::warn!(error = %first, store.moved_aside = ?moved, "sled could not open its database; trying without its snapshots");
                open_guarded(folder, options)?
            }
        };
        let open = guarded("opening", || Open::new(database, folder, options.sync))?;
        Ok(Self { open: RwLock::new(Some(open)), sync: options.sync })
    }

    fn with<T>(&self, action: &'static str, act: impl FnOnce(&Open) -> Result<T, KvError>) -> Result<T, KvError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_ref().ok_or_else(|| KvError::new(action, "the database is closed"))?;
        guarded(action, || act(open))
    }
}

impl Open {
    fn new(database: ::sled::Db, folder: &Path, sync: SledSync) -> Result<Self, KvError> {
        let tree = |name: &str| database.open_tree(name).map_err(|error| KvError::new("opening", error));
        let trees = Tree::ALL.into_iter().map(|tree_name| tree(tree_name.name())).collect::<Result<_, _>>()?;
        let pieces = tree("pieces")?;
        let synced = |path: &Path| -> io::Result<File> {
            let file = File::open(path)?;
            file.sync_all()?;
            Ok(file)
        };
        // The files that were just created must be found again after a power cut.
        database.flush().map_err(|error| KvError::new("opening", error))?;
        let data_file = synced(&folder.join(tail::LOG)).map_err(|error| KvError::new("opening", error))?;
        let pages = database.context.pagecache.clone();
        let flush = move || match pages.log.flush() {
            Ok(_) => Ok(pages.log.stable_offset()),
            Err(error) => Err(io::Error::other(error)),
        };
        let keeper = (sync == SledSync::Data).then(|| Keeper::start(folder, flush)).transpose();
        let keeper = keeper.map_err(|error| KvError::new("opening", error))?;
        let open = Self { database, trees, pieces, assembling: RwLock::default(), data_file, keeper };
        synced(&folder.join("conf")).and_then(|_| synced(folder)).map_err(|error| KvError::new("opening", error))?;
        Ok(open)
    }

    fn tree(&self, tree: Tree) -> &::sled::Tree {
        &self.trees[tree as usize]
    }

    /// The value as it was given to [`Kv::write`]; none if it was removed since `stored` was read.
    fn whole(&self, tree: Tree, key: &[u8], stored: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        if !tree.holds_large_values() {
            return Ok(Some(stored.to_vec()));
        }
        match stored.split_first() {
            Some((&IN_PIECES, _)) => self.assembled(tree, key).map_err(|error| KvError::new("reading", error)),
            Some((_, value)) => Ok(Some(value.to_vec())),
            None => Ok(None),
        }
    }

    fn assembled(&self, tree: Tree, key: &[u8]) -> ::sled::Result<Option<Vec<u8>>> {
        let _unchanged = self.assembling.read().unwrap_or_else(PoisonError::into_inner);
        let Some(stored) = self.tree(tree).get(key)? else { return Ok(None) };
        let mut value = stored.get(1..).unwrap_or_default().to_vec();
        if stored.first() == Some(&IN_PIECES) {
            for piece in self.pieces.scan_prefix(piece_prefix(tree, key)) {
                value.extend_from_slice(&piece?.1);
            }
        }
        Ok(Some(value))
    }
}

/// Whether a batch may change a value that lies in pieces: new rows with small values do not, and only these trees' rows are written again.
fn may_change_pieces(batch: &Batch) -> bool {
    let large = |value: &Option<Vec<u8>>| value.as_ref().is_none_or(|value| value.len() > INLINE_MAX);
    [Tree::Configuration, Tree::Quarantine, Tree::Documents].into_iter().any(|tree| !batch.tree(tree).is_empty())
        || Tree::ALL.into_iter().filter(|tree| tree.holds_large_values()).any(|tree| batch.tree(tree).values().any(large))
}

impl Kv for SledKv {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.with("reading", |open| match open.tree(tree).get(key).map_err(|error| KvError::new("reading", error))? {
            Some(stored) => open.whole(tree, key, &stored),
            None => Ok(None),
        })
    }

    fn scan(&self, tree: Tree, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), KvError> {
        if range.is_empty() {
            return Ok(());
        }
        self.with("reading", |open| {
            let mut rows = open.tree(tree).range::<&[u8], _>(range.bounds());
            let mut next = || match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.next_back(),
            };
            while let Some(row) = next() {
                let (key, stored) = row.map_err(|error| KvError::new("reading", error))?;
                let flow = if tree.holds_large_values() {
                    open.whole(tree, &key, &stored)?.map_or(ControlFlow::Continue(()), |value| visit(&key, &value))
                } else {
                    visit(&key, &stored)
                };
                if flow == ControlFlow::Break(()) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn write(&self, batch: Batch) -> Result<(), KvError> {
        self.with("writing", |open| {
            let written: Vec<Tree> = Tree::ALL.into_iter().filter(|&tree| !batch.tree(tree).is_empty()).collect();
            // The pieces come last, and only where there may be some: each tree costs a little.
            let mut trees: Vec<&::sled::Tree> = written.iter().map(|&tree| open.tree(tree)).collect();
            trees.push(&open.pieces);
            let alone = may_change_pieces(&batch).then(|| open.assembling.write().unwrap_or_else(PoisonError::into_inner));
            let outcome = trees.as_slice().transaction(|trees| {
                let (pieces, trees) = trees.split_last().ok_or(ConflictableTransactionError::Abort(()))?;
                for (&tree, view) in written.iter().zip(trees) {
                    write_tree(&batch, tree, view, pieces)?;
                }
                Ok(())
            });
            drop(alone);
            outcome.map_err(|error| KvError::new("writing", format_args!("{error:?}")))?;
            // Written to the file, so that a kill takes nothing away any more.
            open.database.flush().map_err(|error| KvError::new("writing", error))?;
            // Any read pins, and so lets sled free the pages that this batch replaced.
            if let Some(&tree) = written.first() {
                open.tree(tree).get([]).map_err(|error| KvError::new("writing", error))?;
            }
            Ok(())
        })
    }

    fn sync(&self) -> Result<(), KvError> {
        match self.sync {
            SledSync::Data | SledSync::DataOnly => self.with("syncing", |open| {
                if let Some(failure) = open.keeper.as_ref().and_then(Keeper::failure) {
                    return Err(KvError::new("syncing", failure));
                }
                open.data_file.sync_data().map_err(|error| KvError::new("syncing", error))
            }),
            SledSync::FlushOnly => Ok(()),
        }
    }

    /// The sync is a call on a file descriptor, of which sled's writes know nothing.
    fn syncs_beside_writes(&self) -> bool {
        true
    }

    fn writes_max(&self) -> usize {
        WRITES_MAX
    }

    fn close(&self) -> Result<(), KvError> {
        let closed = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        guarded("closing", || {
            let Some(mut closed) = closed else { return Ok(()) };
            let keeper = closed.keeper.take();
            drop(closed);
            keeper.map_or(Ok(()), Keeper::finish).map_err(|error| KvError::new("closing", error))
        })
    }
}

type Written = Result<(), ConflictableTransactionError<()>>;

fn write_tree(batch: &Batch, tree: Tree, view: &TransactionalTree, pieces: &TransactionalTree) -> Written {
    for (key, value) in batch.tree(tree) {
        let key = key.as_slice();
        let Some(value) = value else {
            let old = view.remove(key)?;
            remove_pieces(tree, key, old.as_deref(), pieces)?;
            continue;
        };
        if !tree.holds_large_values() {
            view.insert(key, value.as_slice())?;
            continue;
        }
        let first = &value[..value.len().min(INLINE_MAX)];
        let form = if first.len() == value.len() { WHOLE } else { IN_PIECES };
        let mut stored = Vec::with_capacity(1 + first.len());
        stored.push(form);
        stored.extend_from_slice(first);
        let old = view.insert(key, stored)?;
        remove_pieces(tree, key, old.as_deref(), pieces)?;
        for (number, piece) in (0u32..).zip(value[first.len()..].chunks(INLINE_MAX)) {
            pieces.insert(piece_key(tree, key, number), piece)?;
        }
    }
    Ok(())
}

fn remove_pieces(tree: Tree, key: &[u8], old: Option<&[u8]>, pieces: &TransactionalTree) -> Written {
    if !tree.holds_large_values() || old.and_then(<[u8]>::first) != Some(&IN_PIECES) {
        return Ok(());
    }
    for number in 0u32.. {
        if pieces.remove(piece_key(tree, key, number))?.is_none() {
            break;
        }
    }
    Ok(())
}

/// The key with its length, so that no key's pieces are taken for those of a longer key.
fn piece_prefix(tree: Tree, key: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(3 + key.len() + 4);
    prefix.push(tree.number());
    prefix.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    prefix.extend_from_slice(key);
    prefix
}

fn piece_key(tree: Tree, key: &[u8], number: u32) -> Vec<u8> {
    let mut piece = piece_prefix(tree, key);
    piece.extend_from_slice(&number.to_be_bytes());
    piece
}

/// Fails to compile if sled's collector is not the one that is pinned.
const _: fn() -> crossbeam_epoch::Guard = ::sled::crossbeam_pin;

/// Calls sled, which panics where it meets what it takes for impossible, such as damage.
fn guarded<T>(action: &'static str, act: impl FnOnce() -> Result<T, KvError>) -> Result<T, KvError> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(KvError::new(action, panic_text(&*panic))))
}

/// Opens in a thread of its own, so that a panic becomes an error and leaves nothing locked here.
fn open_guarded(folder: &Path, options: &SledOptions) -> Result<::sled::Db, KvError> {
    let config = ::sled::Config::new().path(folder).cache_capacity(options.cache_bytes).flush_every_ms(Some(FLUSH_EVERY_MS));
    let changed = snapshots(folder).and_then(|snapshots| tail::prepare(folder, config.segment_size, &snapshots));
    let changed = changed.map_err(|error| KvError::new("opening", error))?;
    tracing::debug!(store.segments = changed, "the end of sled's log is looked for from its mark on");
    let opening = std::thread::Builder::new().name("sled-open".to_owned()).spawn(move || config.open());
    let opened = opening.map_err(|error| KvError::new("opening", error))?.join();
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(::sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
            Err(KvError::new(ENGINE_LOCKED, error))
        }
        Ok(Err(error)) => Err(KvError::new("opening", error)),
        Err(panic) => Err(KvError::new("opening", format_args!("sled panicked: {}", panic_text(&*panic)))),
    }
}

/// Removes half-written and empty snapshots, which a kill during an opening leaves and sled refuses; and a
/// half-written description of the database, which a power cut during its first opening leaves. sled writes
/// that anew, and there is one form of it only.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let conf = folder.join("conf");
    match std::fs::read(&conf) {
        Ok(bytes) if !tail::is_whole(&bytes) => std::fs::remove_file(&conf)?,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for path in snapshots(folder)? {
        if path.extension().is_some_and(|extension| extension == "generating") || path.metadata()?.len() == 0 {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn move_snapshots_aside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for path in snapshots(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let aside = folder.join(format!("aside.{name}"));
        std::fs::rename(&path, &aside)?;
        moved.push(aside);
    }
    Ok(moved)
}

fn snapshots(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut snapshots = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            snapshots.push(entry.path());
        }
    }
    Ok(snapshots)
}
