//! The end of sled's log, of which a power cut may take any part.
//!
//! The log is a row of segments in one file. sled takes for stable what it has written, and a power cut
//! does not keep to that: only what an `fdatasync` covers is safe. On its own word sled does two things:
//!
//! - **The head of each new segment claims** up to where the log is stable. An opening looks for the end of
//!   the log only above the highest claim; a hole below it is passed over, with all that was in it.
//! - **A segment is used again** when what replaced its pages is stable by such a claim.
//!
//! Both are put right from outside, by a [`Keeper`] while the database is open and by [`prepare`] before:
//!
//! - The keeper's thread syncs the log many times a second, while it grows, and then notes in a file, the mark, up to where
//!   the log was stable before that sync. sled frees segments through the collector of its memory, which
//!   waits for whoever is pinned: the thread is pinned from before one sync until after the next mark. So
//!   no segment is used again before what replaced its pages is on disk, and the mark says so.
//! - Before an opening, the claims are made to end at the mark: those above are lowered to it, and the
//!   segment in which it lies is given it. So sled looks for holes from the mark on, where no segment was
//!   used again, and ends the log at the first one. Below the mark there are none that matter.
//!
//! After a clean stop everything is synced, so that no claim is too high. The mark still raises one: an
//! opening overwrites free segments before its snapshot has a safe name, and without that snapshot the next
//! opening must not look for the end of the log among them.
//!
//! A mark of a run that did not stop and is older than the newest snapshot belongs to an earlier run, and is
//! not used: an opening leaves a snapshot.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_epoch::{Guard, default_collector};

use super::health::panic_text;

/// How often the mark is raised. Segments and memory are freed that much later.
const RAISE_EVERY: Duration = Duration::from_millis(50);

/// Name of sled's log in its folder.
pub(super) const LOG: &str = "db";
/// Name of the mark in the same folder.
const MARK: &str = "synced";
/// Place in the log (8 bytes, little-endian), whether it was closed there (1), CRC-32C of both (4). Lies in one sector, which a disk writes whole.
const MARK_BYTES: usize = 13;

/// A place in the log, counted in bytes over all its segments since the database was made.
pub(super) type Place = i64;

/// Pins sled's memory for this thread, so that no segment is used again while the guard lives.
pub(super) fn pin() -> Guard {
    crossbeam_epoch::pin()
}

/// Writes out the log and tells up to where it is written.
type Flush = Box<dyn Fn() -> io::Result<Place> + Send>;

/// Keeps segments from being used again too early, and the mark up to date.
///
/// The database is closed first, but for what `flush` holds of it; then this is finished or dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    failed: Arc<OnceLock<String>>,
}

impl Keeper {
    /// Starts to keep the log in `folder`. `flush` writes it out and tells up to where it is written.
    ///
    /// The caller is pinned until this has returned, and syncs the folder before it lets anybody write.
    pub(super) fn start(folder: &Path, flush: impl Fn() -> io::Result<Place> + Send + 'static) -> io::Result<Self> {
        // Descriptors of its own: each is told once of a write-back that failed.
        let log = File::open(folder.join(LOG))?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(MARK))?;
        let mut keeping = Keeping { flush: Box::new(flush), log, file, marked: None, failed: Arc::default() };
        keeping.mark(false)?;
        let failed = keeping.failed.clone();
        let (stop, stopped) = channel();
        let (pinned, is_pinned) = channel();
        let thread = std::thread::Builder::new().name("store-keeper".to_owned()).spawn(move || keeping.run(&stopped, &pinned))?;
        // An error means that the thread has ended, of which `finish` tells.
        let _ = is_pinned.recv();
        Ok(Self { stop: Some(stop), thread: Some(thread), failed })
    }

    /// Why the mark could not be raised, if that happened.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Syncs the log for the last time, marks it as closed, and lets go of it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.stop = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic))))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Without a last mark the next opening goes by the one before.
        let _ = self.end();
    }
}

/// What the keeper's thread works on.
struct Keeping {
    flush: Flush,
    log: File,
    file: File,
    marked: Option<Place>,
    failed: Arc<OnceLock<String>>,
}

impl Keeping {
    fn run(mut self, stopped: &Receiver<()>, pinned: &Sender<()>) -> io::Result<()> {
        // Two, since what one participant pins counts from its first pin until its last guard is gone.
        let participants = [default_collector().register(), default_collector().register()];
        let mut guards = [Some(participants[0].pin()), None];
        let mut next = 1;
        let _ = pinned.send(());
        while stopped.recv_timeout(RAISE_EVERY) == Err(RecvTimeoutError::Timeout) {
            if self.failed.get().is_some() {
                continue;
            }
            // Whatever is freed from here on waits for the next round, whose sync covers it.
            guards[next] = Some(participants[next].pin());
            if let Err(error) = self.mark(false) {
                // What a failed sync has covered is unknown for good: nothing is freed any more.
                tracing::error!(%error, "the store's log could not be synced");
                let _ = self.failed.set(error.to_string());
                continue;
            }
            next = 1 - next;
            guards[next] = None;
        }
        if let Some(failure) = self.failed.get() {
            return Err(io::Error::other(failure.clone()));
        }
        self.mark(true)
    }

    /// Writes out and syncs the log, then notes up to where, unless that is noted already.
    fn mark(&mut self, closed: bool) -> io::Result<()> {
        let place = (self.flush)()?;
        if self.marked == Some(place) && !closed {
            return Ok(());
        }
        self.log.sync_data()?;
        self.file.write_all_at(&Mark { place, closed }.encode(), 0)?;
        self.file.sync_data()?;
        self.marked = Some(place);
        Ok(())
    }
}

/// Up to where the log is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    place: Place,
    /// Whether the log was closed there.
    closed: bool,
}

impl Mark {
    fn encode(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(&self.place.to_le_bytes());
        bytes[8] = self.closed.into();
        let sum = crc32c::crc32c(&bytes[..9]);
        bytes[9..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (place, rest) = bytes.split_first_chunk::<8>()?;
        let mark = Self { place: Place::from_le_bytes(*place), closed: *rest.first()? == 1 };
        (mark.encode() == bytes).then_some(mark)
    }

    /// The mark in `folder`; none if there is none, or it is not whole.
    fn read(folder: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(folder.join(MARK)) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the head should claim, given this mark.
    fn claim_of(self, head: Head, segment_bytes: Place) -> Place {
        let holds_mark = (head.begin..head.begin.saturating_add(segment_bytes)).contains(&self.place);
        match (holds_mark, self.closed) {
            (true, _) => self.place.max(if self.closed { head.claim } else { self.place }),
            (false, true) => head.claim,
            (false, false) => head.claim.min(self.place),
        }
    }
}

/// Syncs the log in `folder` and makes what its segments claim end at the mark. Tells how many claims were changed.
///
/// `snapshots` are the names of sled's snapshots, which hold the place up to which each was taken.
pub(super) fn prepare(folder: &Path, segment_bytes: usize, snapshots: &[PathBuf]) -> io::Result<usize> {
    let log = match OpenOptions::new().read(true).write(true).open(folder.join(LOG)) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    // What a killed process wrote may lie in memory still; sled builds on all that it reads.
    log.sync_data()?;
    let taken = snapshots.iter().filter_map(|path| {
        let (_, place) = path.file_name()?.to_str()?.split_once('.')?;
        Place::from_str_radix(place, 16).ok()
    });
    let taken = taken.max().unwrap_or_default();
    let Some(mark) = Mark::read(folder)?.filter(|mark| mark.closed || mark.place.saturating_add(1) >= taken) else { return Ok(0) };
    let segment_length = Place::try_from(segment_bytes).unwrap_or(Place::MAX);
    let mut changed = 0;
    for at in (0..log.metadata()?.len()).step_by(segment_bytes) {
        let mut bytes = [0; Head::BYTES];
        match log.read_exact_at(&mut bytes, at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        let Some(head) = Head::decode(bytes) else { continue };
        let claim = mark.claim_of(head, segment_length);
        if claim != head.claim {
            log.write_all_at(&Head { claim, ..head }.encode(), at)?;
            changed += 1;
        }
    }
    if changed > 0 {
        log.sync_data()?;
    }
    Ok(changed)
}

/// The head of a segment, as sled 0.34 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    /// Where in the log the segment begins.
    begin: Place,
    /// Up to where the log was stable when the segment was begun.
    claim: Place,
}

impl Head {
    /// CRC-32 with its bits turned round (4 bytes), begin (8), claim (8), both with all bits but the sign's turned round.
    const BYTES: usize = 20;

    /// None if these bytes are not the head of a segment.
    fn decode(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let (sum, places) = bytes.split_first_chunk::<4>()?;
        let (begin, claim) = places.split_first_chunk::<8>()?;
        let place = |bytes: [u8; 8]| Place::from_le_bytes(bytes) ^ Place::MAX;
        let head = Self { begin: place(*begin), claim: place(claim.try_into().ok()?) };
        (u32::from_le_bytes(*sum) == !crc32(places)).then_some(head)
    }

    fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[4..12].copy_from_slice(&(self.begin ^ Place::MAX).to_le_bytes());
        bytes[12..].copy_from_slice(&(self.claim ^ Place::MAX).to_le_bytes());
        let sum = !crc32(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// Whether `bytes` end in the check sum of those before, as sled's description of a database does.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    bytes.split_last_chunk::<4>().is_some_and(|(text, sum)| crc32(text).to_le_bytes() == *sum)
}

/// The check sum of Ethernet and zip, which sled uses; here of a few bytes only.
fn crc32(bytes: &[u8]) -> u32 {
    let shifted = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| shifted(sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::{Batch, Kv, SledKv, SledOptions, SledSync, Tree};

    const SEGMENT: Place = 1_000;
    /// Of a segment as the store makes it.
    const SLED_SEGMENT: Place = 512 << 10;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_damage_is_no_mark() {
        for mark in [Mark { place: 9_386_510, closed: false }, Mark { place: -1, closed: true }] {
            let mut bytes = mark.encode();
            assert_eq!(Mark::decode(&bytes), Some(mark));
            bytes[3] ^= 4;
            assert_eq!(Mark::decode(&bytes), None);
        }
        assert_eq!(Mark::decode(&[]), None);
        assert_eq!(Mark::decode(&[0; MARK_BYTES]), None);
    }

    #[test]
    fn after_a_crash_claims_end_at_the_mark() {
        let mark = Mark { place: 5_300, closed: false };
        let claim_of = |begin, claim| mark.claim_of(Head { begin, claim }, SEGMENT);
        assert_eq!(claim_of(4_000, 3_700), 3_700, "below the mark");
        assert_eq!(claim_of(5_000, 4_800), 5_300, "holds the mark");
        assert_eq!(claim_of(6_000, 5_900), 5_300, "above the mark");
        assert_eq!(claim_of(6_000, 5_200), 5_200, "above the mark, and claims less");
    }

    #[test]
    fn after_a_clean_stop_no_claim_is_lowered() {
        let mark = Mark { place: 5_300, closed: true };
        let claim_of = |begin, claim| mark.claim_of(Head { begin, claim }, SEGMENT);
        assert_eq!(claim_of(5_000, 4_800), 5_300);
        assert_eq!(claim_of(5_000, 5_400), 5_400);
        assert_eq!(claim_of(9_000, 8_900), 8_900, "written by a program that keeps no mark");
    }

    /// The heads as sled itself writes them, the stop that was clean, and the mark that was not.
    #[test]
    fn what_sled_writes_is_read_and_changed_by_the_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (segment, bytes) = (SLED_SEGMENT, SLED_SEGMENT as usize);
        let kv = SledKv::open(path, &SledOptions { cache_bytes: 1 << 20, sync: SledSync::Data }).unwrap();
        for number in 0..4_u8 {
            let mut batch = Batch::default();
            (0..200_u8).for_each(|key| batch.put(Tree::Attempts, [number, key], vec![number; 5_000]));
            kv.write(batch).unwrap();
        }
        kv.close().unwrap();
        let closed = Mark::read(path).unwrap().unwrap();
        assert!(closed.closed && closed.place > 3 * segment, "{closed:?}");
        let heads = || {
            let log = File::open(path.join(LOG)).unwrap();
            let whole = (0..log.metadata().unwrap().len()).step_by(bytes);
            whole
                .filter_map(|at| {
                    let mut bytes = [0; Head::BYTES];
                    log.read_exact_at(&mut bytes, at).unwrap();
                    Head::decode(bytes)
                })
                .collect::<Vec<_>>()
        };
        let highest = |heads: Vec<Head>| heads.iter().map(|head| head.claim).max().unwrap();
        assert!(heads().len() > 3 && highest(heads()) < closed.place);
        prepare(path, bytes, &[]).unwrap();
        assert_eq!(highest(heads()), closed.place);

        let place = 2 * segment + 77;
        std::fs::write(path.join(MARK), Mark { place, closed: false }.encode()).unwrap();
        let newer = [path.join(format!("snap.{:016X}", place + 2))];
        assert_eq!(prepare(path, bytes, &newer).unwrap(), 0, "of an earlier run");
        let taken_there = [path.join(format!("snap.{:016X}", place + 1))];
        assert!(prepare(path, bytes, &taken_there).unwrap() > 0);
        assert_eq!(highest(heads()), place);
    }
}
