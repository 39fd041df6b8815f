//! `postrider store`: look after a store that no server has open; and archives of one that runs.

mod archive;
mod check;
mod compact;
mod copy;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::rng::{Rng, SystemRng};
use crate::secret::MaskedAddress;
use crate::store::archive::{ArchivePlace, Archived};
use crate::store::{self, Location, Store, StoreError, StoreOptions};

/// How many parts of an archive are moved together.
const PORTION: usize = 500;

#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Look at every record, and whether records, indexes and counts tell the same story
    Check(check::CheckArguments),
    /// What a store holds
    Stats(check::StatsArguments),
    /// Copy a store to another place or engine
    Copy(copy::CopyArguments),
    /// Write everything as lines of JSON: of a store that no server has open, or of a running server
    Export(archive::ExportArguments),
    /// Fill an empty store from an export
    Import(archive::ImportArguments),
    /// Write a store anew without the space that removed records left
    Compact(compact::CompactArguments),
}

pub(super) async fn run(arguments: StoreArguments) -> Result<(), Failure> {
    match arguments.command {
        StoreCommand::Check(arguments) => check::check(arguments).await,
        StoreCommand::Stats(arguments) => check::stats(arguments).await,
        StoreCommand::Copy(arguments) => copy::run(arguments).await,
        StoreCommand::Export(arguments) => archive::export(arguments).await,
        StoreCommand::Import(arguments) => archive::import(arguments).await,
        StoreCommand::Compact(arguments) => compact::run(arguments).await,
    }
}

/// Which store.
#[derive(Debug, Args)]
struct Place {
    /// Folder of the server's data [default: postrider-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// `sled` or `redb` in that folder, `sled:DIR`, `redb:DIR` or `postgres://USER@HOST/DATABASE` [default: sled]
    #[arg(long, value_name = "STORE", env = "POSTRIDER_STORE", hide_env_values = true)]
    store: Option<MaskedAddress>,
}

impl Place {
    /// The location in full, as `engine:folder`.
    fn location(&self) -> MaskedAddress {
        let defaults = Settings::default();
        let data = self.data.clone().unwrap_or(defaults.data);
        Settings { data, store: self.store.clone().unwrap_or(defaults.store), ..Settings::default() }.store_location()
    }

    /// Opens a store that is there.
    async fn open(&self) -> Result<Box<dyn Store>, Failure> {
        open_existing(&self.location()).await
    }
}

/// Opens a store that is there; a mistyped folder must not make a new one.
async fn open_existing(location: &MaskedAddress) -> Result<Box<dyn Store>, Failure> {
    if matches!(location.expose().parse::<Location>()?, Location::Postgres(_)) {
        return open_with(location, true).await;
    }
    if let Some((_, folder)) = location.expose().split_once(':')
        && !folder.is_empty()
        && !PathBuf::from(folder).join("format").exists()
    {
        return Err(Failure::usage(format!(
            "there is no store in `{folder}`; name its data folder with `--data`, or the store with `--store`"
        )));
    }
    open(location).await
}

async fn open(location: &MaskedAddress) -> Result<Box<dyn Store>, Failure> {
    open_with(location, false).await
}

async fn open_with(location: &MaskedAddress, must_exist: bool) -> Result<Box<dyn Store>, Failure> {
    let (location, options) = (
        location.clone(),
        StoreOptions { tag: SystemRng.bits(), clock: std::sync::Arc::new(SystemClock), must_exist, ..StoreOptions::default() },
    );
    let opened = tokio::task::spawn_blocking(move || store::open(location.expose(), options)).await;
    Ok(opened.expect("opening a store turns panics into errors")?)
}

/// Whether nothing was ever stored in it.
async fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.configuration().await?.is_empty() && store.archive(ArchivePlace::Start, 1).await?.items.is_empty())
}

/// Hands all parts of the archive of `store` to `take`, a portion at a time.
async fn each_portion(store: &dyn Store, mut take: impl AsyncFnMut(Vec<Archived>) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut place = Some(ArchivePlace::Start);
    while let Some(after) = place {
        let page = store.archive(after, PORTION).await?;
        place = page.next;
        take(page.items).await?;
    }
    Ok(())
}
