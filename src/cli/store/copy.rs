//! `postrider store copy`.

use clap::Args;

use super::{each_portion, is_empty, open, open_existing};
use crate::cli::Failure;
use crate::cli::progress::Progress;
use crate::secret::MaskedAddress;
use crate::store::{ConfigurationChange, Store};

#[derive(Debug, Args)]
pub(super) struct CopyArguments {
    /// The store that is copied, as `sled:DIR`, `redb:DIR` or `postgres://USER@HOST/DATABASE`; no server may have it open
    #[arg(long, value_name = "STORE")]
    from: MaskedAddress,
    /// Where to; it must be empty, or not be there yet
    #[arg(long, value_name = "STORE")]
    to: MaskedAddress,
}

pub(super) async fn run(arguments: CopyArguments) -> Result<(), Failure> {
    if arguments.from == arguments.to {
        return Err(Failure::usage("`--from` and `--to` name the same store; name another place for the copy"));
    }
    let source = open_existing(&arguments.from).await?;
    let target = open(&arguments.to).await?;
    let copied = copy(&*source, &*target, &arguments.to).await;
    source.close().await?;
    target.close().await?;
    let copied = copied?;
    println!("copied {copied} events and keys from {} to {}", arguments.from, arguments.to);
    Ok(())
}

/// Copies everything into an empty store and compares the counts; answers how many events and keys there were.
pub(super) async fn copy(source: &dyn Store, target: &dyn Store, target_name: &MaskedAddress) -> Result<u64, Failure> {
    if !is_empty(target).await? {
        return Err(Failure::usage(format!(
            "the store `{}` is not empty; copy to a new folder or database, so that nothing is mixed",
            target_name
        )));
    }
    let mut progress = Progress::new("copied", None);
    let mut copied = 0;
    each_portion(source, async |items| {
        let count = items.len() as u64;
        target.restore(items).await?;
        copied += count;
        progress.add(count);
        Ok(())
    })
    .await?;
    let records = source.configuration().await?;
    let changes = records.into_iter().map(|record| ConfigurationChange::Put { record, if_absent: true }).collect();
    target.configure(changes).await?;
    progress.end();
    let by_id = |mut counts: Vec<crate::store::SubscriptionCounts>| {
        counts.sort_by_key(|counts| counts.subscription);
        counts
    };
    if by_id(source.counts().await?) != by_id(target.counts().await?) {
        return Err(anyhow::anyhow!(
            "the copy has not the same number of deliveries; run `postrider store check` on the source, it may be damaged; the copy is left for you to look at"
        )
        .into());
    }
    Ok(copied)
}
