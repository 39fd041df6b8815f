//! `postrider store compact`: copy, compare, put in the place of the old one.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::check::folder_bytes;
use super::copy::copy;
use super::{Place, open, open_existing};
use crate::cli::Failure;
use crate::secret::MaskedAddress;

#[derive(Debug, Args)]
pub(super) struct CompactArguments {
    #[command(flatten)]
    place: Place,
    /// Keep the old files beside the new ones, as `DIR.before-compaction`
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(arguments: CompactArguments) -> Result<(), Failure> {
    let location = arguments.place.location();
    let Some((engine, folder)) =
        location.expose().split_once(':').filter(|(engine, folder)| ["sled", "redb"].contains(engine) && !folder.is_empty())
    else {
        return Err(Failure::usage(format!("`{location}` has no files of its own that could be compacted")));
    };
    let folder = PathBuf::from(folder);
    let (new, old) = (beside(&folder, "compacting"), beside(&folder, "before-compaction"));
    if old.exists() && !folder.exists() {
        return Err(Failure::usage(format!(
            "an earlier compaction was interrupted; rename `{}` to `{}`, nothing is lost, then compact again",
            old.display(),
            folder.display()
        )));
    }
    if let Some(leftover) = [&new, &old].into_iter().find(|path| path.exists()) {
        return Err(Failure::usage(format!("`{}` is left of an earlier compaction; remove it, then compact again", leftover.display())));
    }
    let bytes_before = folder_bytes(&folder);
    let source = open_existing(&location).await?;
    let target_name = MaskedAddress::from(format!("{engine}:{}", new.display()));
    let target = open(&target_name).await?;
    let copied = copy(&*source, &*target, &target_name).await;
    source.close().await?;
    target.close().await?;
    if let Err(error) = copied {
        let _ = std::fs::remove_dir_all(&new);
        return Err(error);
    }
    rename(&folder, &old)?;
    rename(&new, &folder)?;
    if !arguments.keep {
        std::fs::remove_dir_all(&old).with_context(|| format!("`{}` cannot be removed; remove it by hand", old.display()))?;
    }
    println!("{location}: {} MiB before, {} MiB now", bytes_before >> 20, folder_bytes(&folder) >> 20);
    Ok(())
}

fn beside(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    folder.with_file_name(name)
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    let (shown_from, shown_to) = (from.display(), to.display());
    std::fs::rename(from, to).with_context(|| format!("`{shown_from}` cannot be renamed to `{shown_to}`"))?;
    Ok(())
}
