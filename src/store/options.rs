//! What can be set when a store is opened.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};

/// Settings of a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Its low 40 bits are part of every id, so that two stores give different ones. Draw it at random.
    pub tag: u64,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Most undecided deliveries of one subscription; default 10 million.
    pub waiting_per_subscription_max: u64,
    /// Bytes of free space below which nothing new is taken; default 64 MiB.
    pub free_space_floor: u64,
    /// Tells how much space is free; none: there is always enough. [`open`](super::open) sets it.
    pub free_space: Option<Arc<dyn FreeSpace>>,
    /// About how many bytes of parsed events are kept in memory; default 16 MiB.
    pub event_cache_bytes: usize,
    /// About how many bytes the engine may keep in memory; none: what suits it, 32 MiB with sled, which
    /// takes more than it is given, and 64 MiB with redb.
    pub engine_cache_bytes: Option<u64>,
    /// The name of this server among those that share a database, the same after a restart; none: a command,
    /// which sends nothing. Only for Postgres.
    pub node: Option<String>,
    /// Whether to refuse a database in which there is no store yet, in place of making one. Only for Postgres.
    pub must_exist: bool,
    /// Is told how long writes and syncs take; none: nobody.
    pub observer: Option<Arc<dyn StoreObserver>>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            tag: 0,
            clock: Arc::new(SystemClock),
            waiting_per_subscription_max: 10_000_000,
            free_space_floor: 64 << 20,
            free_space: None,
            event_cache_bytes: 16 << 20,
            engine_cache_bytes: None,
            node: None,
            must_exist: false,
            observer: None,
        }
    }
}

/// Is told how long the engine takes. It is called by the threads that write and must not hold them up.
pub trait StoreObserver: Debug + Send + Sync {
    /// A batch was written, or could not be.
    fn written(&self, took: Duration);
    /// What was written was synced, or could not be.
    fn synced(&self, took: Duration);
}

/// Tells how much space is free where the store lies.
pub trait FreeSpace: Debug + Send + Sync {
    /// Bytes that an ordinary user may still write.
    ///
    /// # Errors
    /// What the operating system said.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// The free space of the file system that holds a folder.
#[derive(Debug, Clone)]
pub struct FolderSpace(pub PathBuf);

impl FreeSpace for FolderSpace {
    fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.0)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}
