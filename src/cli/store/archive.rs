//! `postrider store export` and `import`: everything as lines of JSON.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::{PORTION, Place, each_portion, is_empty, open};
use crate::cli::Failure;
use crate::cli::client::ServerArguments;
use crate::cli::progress::Progress;
use crate::clock::{Clock, SystemClock};
use crate::secret::MaskedAddress;
use crate::store::archive::{Archived, Line, LinesReader, LinesWriter};
use crate::store::{ConfigurationChange, ConfigurationKind, Store};

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    place: Place,
    /// Export from the running server at `--url` in place of a folder: a backup while it works
    #[arg(long, conflicts_with_all = ["data", "store"])]
    server: bool,
    #[command(flatten)]
    call: ServerArguments,
    /// The file to write; `-` for standard output. It holds all data, and secrets in sealed form
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    #[command(flatten)]
    place: Place,
    /// The file to read; `-` for standard input
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Pause every subscription, so that what would be sent can be looked at before it is
    #[arg(long)]
    paused: bool,
}

pub(super) async fn export(arguments: ExportArguments) -> Result<(), Failure> {
    if arguments.server {
        return download(&arguments).await;
    }
    let store = arguments.place.open().await?;
    let written = write_all(&*store, output(&arguments.output)?).await;
    store.close().await?;
    written
}

async fn write_all(store: &dyn Store, output: Box<dyn Write + Send>) -> Result<(), Failure> {
    let mut writer = LinesWriter::begin(output, SystemClock.now())?;
    let mut progress = Progress::new("exported", None);
    each_portion(store, async |items| {
        progress.add(items.len() as u64);
        items.into_iter().try_for_each(|item| writer.item(item))?;
        Ok(())
    })
    .await?;
    for record in store.configuration().await? {
        writer.configuration(record)?;
    }
    writer.end()?;
    progress.end();
    Ok(())
}

/// Writes what the server sends to the file, and takes it for whole only if its last line is there.
async fn download(arguments: &ExportArguments) -> Result<(), Failure> {
    let mut output = output(&arguments.output)?;
    let mut progress = Progress::new("bytes exported", None);
    let mut tail = Vec::new();
    let mut answer = arguments.call.client()?.download("/v1/export").await?;
    while let Some(chunk) = answer.chunk().await.context("the server's answer ended early; export again")? {
        output.write_all(&chunk).context("the export cannot be written")?;
        progress.add(chunk.len() as u64);
        tail.extend_from_slice(&chunk);
        let old = tail.len().saturating_sub(128);
        tail.drain(..old);
    }
    output.flush().context("the export cannot be written")?;
    progress.end();
    if !String::from_utf8_lossy(&tail).trim_end().rsplit('\n').next().is_some_and(|line| line.starts_with(r#"{"record":"end","#)) {
        return Err(anyhow::anyhow!("the export was cut off; do not keep it, export again").into());
    }
    Ok(())
}

fn output(path: &Path) -> Result<Box<dyn Write + Send>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufWriter::new(std::io::stdout())));
    }
    let file =
        new_private_file(path).with_context(|| format!("`{}` cannot be created; name a file that is not there yet", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// An export is as confidential as the store.
fn new_private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

pub(super) async fn import(arguments: ImportArguments) -> Result<(), Failure> {
    let input: Box<dyn Read + Send> = if arguments.input.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        let shown = arguments.input.display();
        Box::new(File::open(&arguments.input).with_context(|| format!("`{shown}` cannot be read"))?)
    };
    let (reader, header) = LinesReader::begin(BufReader::new(input))?;
    let location = arguments.place.location();
    if let Some((_, folder)) = location.expose().split_once(':')
        && let Some(parent) = Path::new(folder).parent()
    {
        std::fs::create_dir_all(parent).with_context(|| format!("the folder `{}` cannot be created", parent.display()))?;
    }
    let store = open(&location).await?;
    let read = read_all(&*store, reader, &location, arguments.paused).await;
    store.close().await?;
    let items = read?;
    println!("imported {items} events and keys of {} into {}", header.created_at, location);
    Ok(())
}

async fn read_all(
    store: &dyn Store,
    mut reader: LinesReader<BufReader<Box<dyn Read + Send>>>,
    location: &MaskedAddress,
    paused: bool,
) -> Result<u64, Failure> {
    if !is_empty(store).await? {
        return Err(Failure::usage(format!(
            "the store `{}` is not empty; import into a new folder or database, so that nothing is mixed",
            location
        )));
    }
    let mut progress = Progress::new("imported", None);
    let (mut items, mut changes, mut count): (Vec<Archived>, Vec<ConfigurationChange>, u64) = (Vec::new(), Vec::new(), 0);
    while let Some(line) = reader.next_line()? {
        match line {
            Line::Item(item) => items.push(item),
            Line::Configuration(mut record) => {
                if paused && record.kind == ConfigurationKind::Subscription {
                    record.value = pause(&record.value)?;
                }
                changes.push(ConfigurationChange::Put { record, if_absent: false });
            }
            Line::Header(_) => return Err(anyhow::anyhow!("the archive has a second header; import one archive only").into()),
        }
        if items.len() == PORTION {
            count += items.len() as u64;
            progress.set(count);
            store.restore(std::mem::take(&mut items)).await?;
        }
    }
    count += items.len() as u64;
    store.restore(items).await?;
    // Last, so that a store whose import was broken off has no subscription that would send.
    store.configure(changes).await?;
    progress.set(count);
    progress.end();
    Ok(count)
}

/// A stored subscription that sends nothing until it is resumed.
fn pause(value: &str) -> Result<String, Failure> {
    let mut stored: serde_json::Value = serde_json::from_str(value).context("a subscription in the archive is no JSON")?;
    stored["spec"]["state"] = "paused".into();
    Ok(stored.to_string())
}
