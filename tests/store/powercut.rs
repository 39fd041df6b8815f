//! Power cuts: what was acknowledged is there, whatever the disk kept of what was not synced.
//!
//! A child process, this test program again, works on a store while a small preloaded library
//! (`powercut.c`) writes down what it does to its files. From that log disk images are made: at a random
//! moment, everything that a finished sync covers, and of the rest each sector of 512 bytes or not. Most
//! moments are chosen just after sled began a segment of its log: then it trusts what lies before. The
//! child's syncs take long and many large events wait for each, so that much lies before unsynced. Each
//! image is opened, and every event that was acknowledged by then must be there with its deliveries and its document.
//!
//! Names count as safe once their folder was synced; until then an image may have or lack them.
//!
//! Two tests take away what we do about sled, the keeper of its log and then our own `fdatasync` too, and
//! expect losses: they show that this harness sees them and that sled by itself is not enough.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;

use postrider::delivery::Next;
use postrider::id::EventId;
use postrider::store::{
    Direction, DocumentChange, DocumentKind, DocumentQuery, DueRow, EmbeddedStore, Engine, EventQuery, Kv, Make, SledKv, SledOptions,
    SledSync, Store, StoreOptions, open,
};

use super::world::{Build, START, at, event, settlement, sub};

/// Images that are made of one run.
const IMAGES: u64 = 40;
/// Runs, and images of each, of which one must show a loss where one is expected; about one in ten does. On a
/// busy machine little is written beside a sync, and a run may show none: then the next one's syncs take longer.
const RUNS_UNTIL_LOSS: u32 = 4;
const IMAGES_UNTIL_LOSS: u64 = 100;
/// Set to make more images.
const IMAGES_VARIABLE: &str = "POSTRIDER_POWERCUT_IMAGES";
/// Bytes of a segment of sled's log.
const SEGMENT: u64 = 512 << 10;
/// The engine's cache in the child: small, so that pages are read again.
const CACHE_BYTES: u64 = 4 << 20;
/// Set for the child: which engine, and how it syncs.
const CHILD: &str = "POWERCUT_CHILD";
const FOLDER: &str = "POWERCUT_DIR";
const LOG: &str = "POWERCUT_LOG";
/// How many microseconds longer each sync of the child takes, so that much is written beside it.
const SYNC_DELAY: &str = "POWERCUT_SYNC_US";
const SYNC_DELAY_US: u64 = 50_000;

#[test]
fn a3_sled_keeps_what_it_acknowledged_through_a_power_cut() {
    let Some(verdicts) = cut("sled") else { return };
    assert!(verdicts.iter().all(Result::is_ok), "{:?}", failures(&verdicts));
}

#[test]
fn a3_redb_keeps_what_it_acknowledged_through_a_power_cut() {
    let Some(verdicts) = cut("redb") else { return };
    assert!(verdicts.iter().all(Result::is_ok), "{:?}", failures(&verdicts));
}

#[test]
fn sled_without_our_sync_loses_what_it_acknowledged() {
    let Some(lost) = loses("sled-flush-only") else { return };
    assert!(lost, "sled's flush alone survived every cut: is the harness blind?");
}

#[test]
fn sled_that_builds_on_what_is_not_synced_loses_what_it_acknowledged() {
    let Some(lost) = loses("sled-data-only") else { return };
    assert!(lost, "sled by itself survived every cut: is the harness blind?");
}

/// A power cut in the middle of the first opening.
#[test]
fn a_description_of_the_database_that_was_cut_off_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SledKv::open(folder.path(), &SledOptions { cache_bytes: CACHE_BYTES, sync: SledSync::Data });
    open().unwrap().close().unwrap();
    let path = folder.path().join("conf");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 5, whole.len() - 4, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        open().unwrap().close().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}

fn failures(verdicts: &[Result<(), String>]) -> Vec<&String> {
    verdicts.iter().filter_map(|verdict| verdict.as_ref().err()).collect()
}

/// Images of the child's disk and their verdicts, as many as are asked for; none if this machine cannot run it.
fn cut(mode: &str) -> Option<Vec<Result<(), String>>> {
    let images = std::env::var(IMAGES_VARIABLE).map_or(IMAGES, |count| count.parse().unwrap());
    cut_until(mode, images, SYNC_DELAY_US, |_| false)
}

/// Whether one of many images has lost something. None is made after that.
fn loses(mode: &str) -> Option<bool> {
    for run in 0..RUNS_UNTIL_LOSS {
        let verdicts = cut_until(mode, IMAGES_UNTIL_LOSS, SYNC_DELAY_US << run, Result::is_err)?;
        if verdicts.iter().any(Result::is_err) {
            return Some(true);
        }
    }
    Some(false)
}

/// Runs the child and judges up to so many images of its disk, until one is `enough`; none if this machine cannot run it.
fn cut_until(mode: &str, images: u64, sync_delay_us: u64, enough: impl Fn(&Result<(), String>) -> bool) -> Option<Vec<Result<(), String>>> {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("powercut.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/powercut.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).args(["-ldl", "-lpthread"]).status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no C compiler `cc`; the power-cut test of {mode} needs one");
        return None;
    }
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let log = folder.path().join("log");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::powercut::child", "--nocapture", "--test-threads=1"])
        .envs([(CHILD, OsStr::new(mode)), (FOLDER, disk.as_os_str()), (LOG, log.as_os_str())])
        .env("LD_PRELOAD", &library)
        .env(SYNC_DELAY, sync_delay_us.to_string())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    let entries = read_log(&std::fs::read(&log).unwrap());
    assert!(entries.iter().any(|entry| entry.is_ack()), "the child acknowledged nothing");
    if !entries.iter().any(|entry| entry.kind == b'e') {
        eprintln!("SKIPPED: the library saw no sync; is this program linked statically?");
        return None;
    }
    let mut verdicts = Vec::new();
    for seed in 0..images {
        let image = folder.path().join(format!("image-{seed}"));
        let acknowledged = make_image(&entries, &disk, &image, seed);
        let verdict = judge(mode, &image, &acknowledged).map_err(|error| format!("seed {seed}: {error}"));
        std::fs::remove_dir_all(&image).unwrap();
        let last = enough(&verdict);
        verdicts.push(verdict);
        if last {
            break;
        }
    }
    println!("{mode}: {} of {} images lost something", failures(&verdicts).len(), verdicts.len());
    Some(verdicts)
}

/// One change of a file, as the library wrote it down.
struct Entry {
    kind: u8,
    inode: u64,
    number: u64,
    path: PathBuf,
    data: Vec<u8>,
}

impl Entry {
    /// Whether it is the child's word that an event was acknowledged.
    fn is_ack(&self) -> bool {
        self.kind == b'w' && self.path.ends_with("acknowledged")
    }

    /// Whether it begins a segment of sled's log, which is when sled trusts what is in the ones before.
    fn begins_segment(&self) -> bool {
        self.kind == b'w' && self.path.ends_with("db") && self.number.is_multiple_of(SEGMENT)
    }

    /// Whether it changes names and not content.
    fn is_name(&self) -> bool {
        matches!(self.kind, b'c' | b'r' | b'u')
    }
}

fn read_log(mut log: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
    let length = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap()) as usize;
    while !log.is_empty() {
        let (head, rest) = log.split_at(25);
        let (path, rest) = rest.split_at(length(&head[17..21]));
        let (data, rest) = rest.split_at(length(&head[21..25]));
        entries.push(Entry {
            kind: head[0],
            inode: number(&head[1..9]),
            number: number(&head[9..17]),
            path: String::from_utf8(path.to_vec()).unwrap().into(),
            data: data.to_vec(),
        });
        log = rest;
    }
    entries
}

/// Random choices, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        postrider::rng::mix(self.0) % limit
    }
}

/// Makes what the disk may hold at a random moment; answers what was acknowledged by then.
fn make_image(entries: &[Entry], disk: &Path, image: &Path, seed: u64) -> Vec<EventId> {
    let mut chance = Chance(seed);
    let begun: Vec<usize> = (0..entries.len()).filter(|&place| entries[place].begins_segment()).collect();
    let mut below = |limit: usize| usize::try_from(chance.below(limit as u64)).unwrap();
    let end = if begun.is_empty() || below(4) == 0 {
        1 + below(entries.len())
    } else {
        (begun[below(begun.len())] + 1 + below(8)).min(entries.len())
    };
    // Of the rest: nothing, everything, or each sector with this chance out of four.
    let kept_of_rest = [0, 0, 4, 1, 2, 3][usize::try_from(seed % 6).unwrap()];
    let entries = &entries[..end];

    // Up to where each file, and each folder by its path, is covered by a finished sync.
    let mut synced: HashMap<u64, usize> = HashMap::new();
    let mut synced_folders: HashMap<&Path, usize> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.kind == b'e') {
        let began = usize::try_from(entry.number).unwrap();
        synced.insert(entry.inode, began);
        synced_folders.insert(&entry.path, began);
    }

    let mut files: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut names: HashMap<PathBuf, u64> = HashMap::new();
    let mut folders = vec![disk.to_owned()];
    let mut acknowledged = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if entry.is_ack() {
            acknowledged.extend(String::from_utf8_lossy(&entry.data).lines().map(|line| line.parse::<EventId>().unwrap()));
            continue;
        }
        let covered = if entry.is_name() {
            entry.path.parent().and_then(|folder| synced_folders.get(folder)).is_some_and(|&began| place < began)
        } else {
            synced.get(&entry.inode).is_some_and(|&began| place < began)
        };
        let mut kept = || covered || chance.below(4) < kept_of_rest;
        match entry.kind {
            b'd' => folders.push(entry.path.clone()),
            b'c' => {
                files.insert(entry.inode, Vec::new());
                if kept() {
                    names.insert(entry.path.clone(), entry.inode);
                }
            }
            b'r' if kept() => {
                if let Some(inode) = names.remove(&entry.path) {
                    names.insert(PathBuf::from(String::from_utf8(entry.data.clone()).unwrap()), inode);
                }
            }
            b'u' if kept() => drop(names.remove(&entry.path)),
            b't' if kept() => files.entry(entry.inode).or_default().resize(usize::try_from(entry.number).unwrap(), 0),
            b'w' => {
                let file = files.entry(entry.inode).or_default();
                let mut offset = usize::try_from(entry.number).unwrap();
                let mut data = entry.data.as_slice();
                while !data.is_empty() {
                    let (sector, rest) = data.split_at(data.len().min(512 - offset % 512));
                    if kept() {
                        file.resize(file.len().max(offset + sector.len()), 0);
                        file[offset..offset + sector.len()].copy_from_slice(sector);
                    }
                    offset += sector.len();
                    data = rest;
                }
            }
            _ => {}
        }
    }
    let place = |path: &Path| image.join(path.strip_prefix(disk).unwrap());
    folders.iter().for_each(|folder| std::fs::create_dir_all(place(folder)).unwrap());
    for (path, inode) in names {
        std::fs::write(place(&path), &files[&inode]).unwrap();
    }
    acknowledged
}

/// Opens an image and looks for what was acknowledged.
fn judge(mode: &str, image: &Path, acknowledged: &[EventId]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open_store(mode, &image.join("store"))?;
        let mut due = HashSet::new();
        for subscription in [sub(1), sub(2)] {
            let page = store.due(subscription, at(1_000), &HashSet::new(), 100_000).await.map_err(|error| error.to_string())?;
            due.extend(page.rows.iter().map(|row| row.delivery));
        }
        for &id in acknowledged {
            let event = store.event(id).await.map_err(|error| error.to_string())?;
            let event = event.ok_or_else(|| format!("{id} of {} is lost", acknowledged.len()))?;
            let deliveries = store.deliveries_of(id).await.map_err(|error| error.to_string())?;
            if deliveries.len() != 2 {
                return Err(format!("{id} has {} deliveries", deliveries.len()));
            }
            for delivery in &deliveries {
                if delivery.state.is_undecided() != due.contains(&delivery.id) {
                    return Err(format!("{} is {:?} and its due row says something else", delivery.id, delivery.state));
                }
            }
            let number: u32 = event.key.as_ref().unwrap().as_str().parse().unwrap();
            let again = store.accept(vec![numbered(number)]).await.map_err(|error| error.to_string())?;
            if !again[0].duplicate {
                return Err(format!("the key of {id} is lost"));
            }
        }
        // Also of what was not acknowledged there are both or neither.
        let documents = store.documents(&all_documents()).await.map_err(|error| error.to_string())?;
        let events = store.events(&EventQuery { limit: 10_000, ..EventQuery::default() }).await.map_err(|error| error.to_string())?;
        let mut named: Vec<EventId> = documents.iter().map(|document| document.value.parse().unwrap()).collect();
        named.sort_by(|a, b| b.cmp(a));
        if named != events.items.iter().map(|event| event.id).collect::<Vec<_>>() {
            return Err(format!("{} events and {} documents are not each other's", events.items.len(), documents.len()));
        }
        if let Some(document) = documents.iter().find(|document| document.revision != 1) {
            return Err(format!("document {} was written again", document.id));
        }
        if store.quarantined() > 0 {
            return Err(format!("{} records are damaged", store.quarantined()));
        }
        // A folder in which nothing was acknowledged yet may be anything that opens.
        store.close().await.map_err(|error| error.to_string())
    })
}

fn numbered(number: u32) -> postrider::store::NewEvent {
    let note = "x".repeat(if number % 3 == 1 { 50_000 } else { 300 });
    let event = event().data(&format!(r#"{{"n":{number},"note":"{note}"}}"#)).to(1).to(2).key(&number.to_string());
    let make = Make::From(Arc::new(|event: Option<EventId>, _: Option<&str>| event.map(|event| event.to_string())));
    let document = DocumentChange { kind: DocumentKind::Action, id: number.to_string(), expected: None, make };
    postrider::store::NewEvent { documents: vec![document], ..event }
}

fn all_documents() -> DocumentQuery {
    let (kind, prefix) = (DocumentKind::Action, String::new());
    DocumentQuery { kind, prefix, after: None, before: None, direction: Direction::Forward, limit: 10_000 }
}

fn open_store(mode: &str, folder: &Path) -> Result<Box<dyn Store>, String> {
    let options = StoreOptions { tag: 9, engine_cache_bytes: Some(CACHE_BYTES), ..StoreOptions::default() };
    let without = match mode {
        "sled-flush-only" => Some(SledSync::FlushOnly),
        "sled-data-only" => Some(SledSync::DataOnly),
        _ => None,
    };
    if let Some(sync) = without {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let sled = SledOptions { cache_bytes: CACHE_BYTES, sync };
        let kv = SledKv::open(folder, &sled).map_err(|error| error.to_string())?;
        let store = EmbeddedStore::threaded(kv, options).map_err(|error| error.to_string())?;
        return Ok(Box::new(store));
    }
    let engine = if mode == "redb" { Engine::Redb } else { Engine::Sled };
    open(&format!("{engine}:{}", folder.display()), options).map_err(|error| error.to_string())
}

/// The child: accepts and settles in two lives of the store, and writes down each acknowledgement.
#[test]
fn child() {
    let (Ok(mode), Ok(folder)) = (std::env::var(CHILD), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    let log = std::fs::File::create(folder.join("acknowledged")).unwrap();
    let log = Arc::new(Mutex::new(log));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for life in 0..2 {
        runtime.block_on(async {
            let store = Arc::new(open_store(&mode, &folder.join("store")).unwrap());
            let callers = (0..72).map(|caller| {
                let (store, log) = (store.clone(), log.clone());
                tokio::spawn(async move {
                    for number in 0..3 {
                        let accepted = store.accept(vec![numbered(life * 10_000 + caller * 100 + number)]).await.unwrap().remove(0);
                        // In one write, which the library takes down as one entry.
                        log.lock().unwrap().write_all(format!("{}\n", accepted.id).as_bytes()).unwrap();
                        if number % 2 == 0 {
                            let row =
                                DueRow { delivery: accepted.deliveries[0], due_at: START, attempts: 0, template_version: 1, event: None };
                            let next = if number % 4 == 0 { Next::Delivered } else { Next::RetryAt(at(9)) };
                            store.settle(settlement(1, &row, next, at(1))).await.unwrap();
                        }
                    }
                })
            });
            for caller in callers.collect::<Vec<_>>() {
                caller.await.unwrap();
            }
            assert_eq!(store.counts().await.unwrap()[0].subscription, sub(1));
            store.close().await.unwrap();
        });
    }
}
