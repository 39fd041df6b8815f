//! The folder of a store: who holds it, what is in it, and opening it.
//!
//! ```text
//! DIR/lock          held by flock as long as the store is open; names the process that holds it
//! DIR/format        {"format":1,"engine":"sled"}: written before the engine creates anything
//! DIR/sled/         the files of sled, or
//! DIR/store.redb    the file of redb
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::embedded::EmbeddedStore;
use super::kv::{ENGINE_LOCKED, Kv, KvError};
use super::memory::MemoryKv;
use super::options::{FolderSpace, StoreOptions};
use super::postgres::{Address, AddressError, PasswordSources, PostgresStore};
use super::redb::RedbKv;
use super::sled::{SledKv, SledOptions, SledSync};
use super::{Store, StoreError};
use crate::secret::MaskedAddress;

/// The number of the folder's form that this release writes.
const FORMAT: u32 = 1;

/// How often, and after what wait each, an engine is tried whose own lock is still held.
const ENGINE_LOCK_TRIES: u32 = 100;
const ENGINE_LOCK_WAIT: Duration = Duration::from_millis(20);

const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";

/// Where a store is, as written in the configuration: `sled:DIR`, `redb:DIR`, `postgres://…` or `memory:`.
#[derive(Debug, Clone)]
pub enum Location {
    /// Nowhere: it is forgotten when it is closed.
    Memory,
    /// A folder with a database of this engine.
    Folder(Engine, PathBuf),
    /// A database of Postgres.
    Postgres(Box<Address>),
}

/// The embedded engines that keep what they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// sled, the default.
    Sled,
    /// redb, for heavy loads.
    Redb,
}

impl Engine {
    /// How much it may keep in memory if nothing else was said. With 64 MiB a server on sled took about
    /// 50 MB more at 600,000 waiting deliveries, and was not faster.
    const fn cache_bytes(self) -> u64 {
        match self {
            Self::Sled => 32 << 20,
            Self::Redb => 64 << 20,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        })
    }
}

impl FromStr for Location {
    type Err = OpenError;
    fn from_str(text: &str) -> Result<Self, OpenError> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sled", folder)) if !folder.is_empty() => Ok(Self::Folder(Engine::Sled, folder.into())),
            Some(("redb", folder)) if !folder.is_empty() => Ok(Self::Folder(Engine::Redb, folder.into())),
            Some(("postgres" | "postgresql", _)) => {
                // As the tools of Postgres do, so that a password need not be in an address.
                Ok(Self::Postgres(Box::new(Address::parse(text, &PasswordSources::of_the_environment())?)))
            }
            _ => Err(OpenError::Location(text.into())),
        }
    }
}

/// Why a store was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a location.
    #[error("`{0}` is not a place for a store; write `sled:FOLDER`, `redb:FOLDER`, `postgres://USER@HOST/DATABASE` or `memory:`")]
    Location(MaskedAddress),
    /// The folder above it is missing.
    #[error("the folder `{parent}` does not exist, in which the store `{folder}` was to be created; create it, or correct the path")]
    MissingParent {
        /// The store's folder.
        folder: PathBuf,
        /// The folder above.
        parent: PathBuf,
    },
    /// There is something else of this name.
    #[error("`{0}` is not a folder; name a folder for the store")]
    NotAFolder(PathBuf),
    /// There is something in it that is not ours.
    #[error("the folder `{0}` holds other files and no store; name an empty folder, or one that does not exist yet")]
    NotAStore(PathBuf),
    /// Another process has it open.
    #[error("the store `{folder}` is in use by process {holder}; stop that first, two servers cannot share a store")]
    InUse {
        /// The store's folder.
        folder: PathBuf,
        /// The process id, or what is known of it.
        holder: String,
    },
    /// The file system cannot be written.
    #[error("the file system of `{0}` is read-only; mount it for writing, or put the store elsewhere")]
    ReadOnly(PathBuf),
    /// Its owner does not let us.
    #[error(
        "`{path}` belongs to user {owner} and this is user {user}, who may not write there; start as user {owner}, or change the owner"
    )]
    NotPermitted {
        /// What was to be written or read.
        path: PathBuf,
        /// Number of the user to whom it belongs.
        owner: u32,
        /// Number of the user that tried.
        user: u32,
    },
    /// Its form is that of a later release.
    #[error("the store `{folder}` has format {found} and this release knows {FORMAT}; use the release that wrote it, or a later one")]
    NewerFormat {
        /// The store's folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It belongs to another engine.
    #[error(
        "the store `{folder}` was written by {found}, not by {wanted}; open it as `{found}:{folder}`, or copy it with `postrider store copy`"
    )]
    OtherEngine {
        /// The store's folder.
        folder: PathBuf,
        /// The engine that wrote it.
        found: Engine,
        /// The engine that was asked for.
        wanted: Engine,
    },
    /// The file that says what it is cannot be read.
    #[error(
        "`{path}` does not say what store this is: {detail}; restore it from a backup, it reads like {{\"format\":1,\"engine\":\"sled\"}}"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The engine cannot open its files.
    #[error(
        "{engine} cannot open its database in `{folder}`: {detail}; nothing was removed. Keep a copy of the folder, then restore a backup, or start with an empty folder; see the part on recovery in docs/store.md"
    )]
    Damaged {
        /// The engine.
        engine: Engine,
        /// The store's folder.
        folder: PathBuf,
        /// What the engine said.
        detail: String,
    },
    /// The address of a database is wrong.
    #[error("the store was not opened")]
    Address(#[from] AddressError),
    /// The database cannot be reached or its tables cannot be used.
    #[error("the database `{address}` cannot be used: {detail}")]
    Database {
        /// Its address, without the password.
        address: String,
        /// What is wrong.
        detail: String,
    },
    /// The records cannot be read.
    #[error("the store was not opened")]
    Store(#[from] StoreError),
    /// The operating system refused something else.
    #[error("`{path}` cannot be opened")]
    Io {
        /// What was to be opened.
        path: PathBuf,
        /// Why it cannot.
        #[source]
        error: io::Error,
    },
}

/// Opens or creates the store at `location`: `sled:DIR`, `redb:DIR`, `postgres://…` or `memory:`.
///
/// Reads what it needs to begin: less than a second for redb, up to some seconds for sled after a kill.
/// The folder is created if the one above exists. Blocks; call it where that does not matter.
///
/// # Errors
/// [`OpenError`], whose message says what to do.
pub fn open(location: &str, mut options: StoreOptions) -> Result<Box<dyn Store>, OpenError> {
    match location.parse()? {
        Location::Memory => Ok(Box::new(EmbeddedStore::threaded(MemoryKv::default(), options)?)),
        Location::Postgres(address) => Ok(Box::new(PostgresStore::open(&address, options)?)),
        Location::Folder(engine, folder) => {
            let (kv, lock) = open_folder(engine, &folder, options.engine_cache_bytes.unwrap_or_else(|| engine.cache_bytes()))?;
            options.free_space.get_or_insert_with(|| Arc::new(FolderSpace(folder)));
            Ok(Box::new(EmbeddedStore::threaded_guarded(kv, options, Some(Box::new(lock)))?))
        }
    }
}

/// Opens or creates the bare engine of a folder. The lock must be kept as long as the engine is used.
///
/// # Errors
/// As [`open`].
pub fn open_folder(engine: Engine, folder: &Path, cache_bytes: u64) -> Result<(Arc<dyn Kv>, FolderLock), OpenError> {
    create_folder(folder)?;
    let lock = FolderLock::take(folder)?;
    check_format(engine, folder)?;
    let damaged = |KvError { detail, .. }| OpenError::Damaged { engine, folder: folder.to_owned(), detail };
    let kv: Arc<dyn Kv> = match engine {
        Engine::Sled => {
            let path = folder.join("sled");
            create_folder(&path)?;
            sync_folder(folder)?;
            let options = SledOptions { cache_bytes, sync: SledSync::default() };
            Arc::new(patiently(|| SledKv::open(&path, &options)).map_err(damaged)?)
        }
        Engine::Redb => {
            let kv = patiently(|| RedbKv::open(&folder.join("store.redb"), cache_bytes)).map_err(damaged)?;
            sync_folder(folder)?;
            Arc::new(kv)
        }
    };
    Ok((kv, lock))
}

/// Tries again while the engine's own lock is held. Ours is taken, so that it can only be held by what
/// is left of an earlier opening: sled's threads end a moment after its database was let go.
fn patiently<T>(open: impl Fn() -> Result<T, KvError>) -> Result<T, KvError> {
    for _ in 0..ENGINE_LOCK_TRIES {
        match open() {
            Err(error) if error.action == ENGINE_LOCKED => std::thread::sleep(ENGINE_LOCK_WAIT),
            other => return other,
        }
    }
    open()
}

/// Holds a store's folder for this process. The operating system lets go of it when the process ends.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Not left to the closing of the file: a child process that is being started may hold a copy of
        // the descriptor for a moment. If it fails, closing does it.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl FolderLock {
    fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(LOCK_FILE);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|error| refused(folder, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Whatever is in it: the message is good without.
                let _ = file.take(20).read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { "(unknown)".to_owned() } else { holder.to_owned() };
                return Err(OpenError::InUse { folder: folder.to_owned(), holder });
            }
            Err(error) => return Err(OpenError::Io { path, error: error.into() }),
        }
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| refused(&path, error))?;
        Ok(Self { file })
    }
}

/// What the file `format` says.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    format: u32,
    engine: Engine,
}

/// The part that every later format keeps.
#[derive(Debug, Deserialize)]
struct FormatNumber {
    format: u32,
}

/// Checks that the folder is a store of this engine, or makes an empty one so.
fn check_format(engine: Engine, folder: &Path) -> Result<(), OpenError> {
    let path = folder.join(FORMAT_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return create_format(engine, folder, &path),
        Err(error) => return Err(refused(&path, error)),
    };
    let unreadable = |error: serde_json::Error| OpenError::Format { path: path.clone(), detail: error.to_string() };
    let FormatNumber { format } = serde_json::from_str(&text).map_err(unreadable)?;
    if format > FORMAT {
        return Err(OpenError::NewerFormat { folder: folder.to_owned(), found: format });
    }
    let Format { engine: found, .. } = serde_json::from_str(&text).map_err(unreadable)?;
    if found != engine {
        return Err(OpenError::OtherEngine { folder: folder.to_owned(), found, wanted: engine });
    }
    Ok(())
}

fn create_format(engine: Engine, folder: &Path, path: &Path) -> Result<(), OpenError> {
    let ours = [LOCK_FILE, "format.new", "lost+found"];
    for entry in folder.read_dir().map_err(|error| refused(folder, error))? {
        let entry = entry.map_err(|error| refused(folder, error))?;
        if !ours.iter().any(|name| entry.file_name() == *name) {
            return Err(OpenError::NotAStore(folder.to_owned()));
        }
    }
    let draft = folder.join("format.new");
    let create = || -> io::Result<()> {
        let mut file = File::create(&draft)?;
        writeln!(file, "{}", serde_json::to_string(&Format { format: FORMAT, engine })?)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    create().map_err(|error| refused(path, error))?;
    sync_folder(folder)
}

fn create_folder(folder: &Path) -> Result<(), OpenError> {
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(OpenError::NotAFolder(folder.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !parent.is_dir() {
                return Err(OpenError::MissingParent { folder: folder.to_owned(), parent: parent.to_owned() });
            }
            std::fs::create_dir(folder).map_err(|error| refused(folder, error))?;
            sync_folder(parent)
        }
        Err(error) => Err(refused(folder, error)),
    }
}

/// Makes the names in a folder safe from a power cut.
fn sync_folder(folder: &Path) -> Result<(), OpenError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| refused(folder, error))
}

/// The error in words for the kinds that people meet.
fn refused(path: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly(path.to_owned()),
        ErrorKind::PermissionDenied => {
            let nearest = path.ancestors().find_map(|path| Some((path, path.metadata().ok()?)));
            match nearest {
                Some((path, metadata)) => {
                    OpenError::NotPermitted { path: path.to_owned(), owner: metadata.uid(), user: rustix::process::geteuid().as_raw() }
                }
                None => OpenError::Io { path: path.to_owned(), error },
            }
        }
        _ => OpenError::Io { path: path.to_owned(), error },
    }
}
