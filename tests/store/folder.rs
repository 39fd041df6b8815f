//! The folder of a store: who may open it, and what is said to the others.

use std::path::Path;
use std::sync::Arc;

use postrider::store::{OpenError, Store, StoreOptions, open};

use super::world::{Build, event};

fn at(engine: &str, folder: &Path) -> Result<Box<dyn Store>, OpenError> {
    open(&format!("{engine}:{}", folder.display()), StoreOptions::default())
}

/// The message that people get.
fn message(result: Result<Box<dyn Store>, OpenError>) -> String {
    result.unwrap_err().to_string()
}

async fn make(engine: &str, folder: &Path) {
    let store = at(engine, folder).unwrap();
    store.accept(vec![event().to(1)]).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_is_created_and_opened_again() {
    let parent = tempfile::tempdir().unwrap();
    for engine in ["sled", "redb"] {
        let folder = parent.path().join(engine);
        make(engine, &folder).await;
        let store = at(engine, &folder).unwrap();
        assert_eq!(store.counts().await.unwrap()[0].counts.waiting, 1);
        assert_eq!(store.unclean_stop(), None);
        let format = std::fs::read_to_string(folder.join("format")).unwrap();
        assert_eq!(format.trim(), format!(r#"{{"format":1,"engine":"{engine}"}}"#));
    }
    assert!(open("memory:", StoreOptions::default()).is_ok());
}

#[test]
fn what_is_no_location_is_refused() {
    for text in ["", "sled", "sled:", "memory:x", "mysql://host/db", "/var/lib/postrider"] {
        assert!(message(open(text, StoreOptions::default())).contains("write `sled:FOLDER`"), "{text}");
    }
}

#[tokio::test]
async fn a12_a_store_is_opened_by_one_process() {
    let parent = tempfile::tempdir().unwrap();
    for engine in ["sled", "redb"] {
        let folder = parent.path().join(engine);
        let first = at(engine, &folder).unwrap();
        let holder = format!("in use by process {}", std::process::id());
        assert!(message(at(engine, &folder)).contains(&holder));
        drop(first);
        assert!(at(engine, &folder).is_ok());
    }
}

#[tokio::test]
async fn a_store_of_the_other_engine_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    make("redb", &folder).await;
    let message = message(at("sled", &folder));
    assert!(message.contains("written by redb, not by sled") && message.contains("store copy"), "{message}");
    assert!(at("redb", &folder).is_ok());
}

#[tokio::test]
async fn a_store_of_a_later_release_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    make("sled", &folder).await;
    std::fs::write(folder.join("format"), r#"{"format":2,"engine":"fjall","more":true}"#).unwrap();
    assert!(message(at("sled", &folder)).contains("has format 2 and this release knows 1"));
    std::fs::write(folder.join("format"), "{").unwrap();
    assert!(message(at("sled", &folder)).contains("does not say what store this is"));
}

#[test]
fn a_folder_that_cannot_be_a_store_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    assert!(message(at("sled", &parent.path().join("a/b"))).contains("does not exist"));
    let file = parent.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(message(at("sled", &file)).contains("is not a folder"));
    assert!(message(at("redb", parent.path())).contains("holds other files"));
    assert!(std::fs::read_dir(parent.path()).unwrap().all(|entry| entry.unwrap().file_name() != "store.redb"));
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    // A file system that is read-only for everybody, also for root.
    let outcome = at("sled", Path::new("/proc/postrider"));
    assert!(outcome.is_err());
    let system = open("sled:/sys/kernel", StoreOptions::default());
    println!("{}", message(system));
}

/// What a kill while sled opens, or a full disk, leaves behind.
#[tokio::test]
async fn a10_leftovers_of_sled_snapshots_are_removed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    make("sled", &folder).await;
    std::fs::write(folder.join("sled/snap.00000000000FFFFF.generating"), b"half").unwrap();
    std::fs::write(folder.join("sled/snap.00000000000FFFFF"), b"").unwrap();
    let store = at("sled", &folder).unwrap();
    assert_eq!(store.counts().await.unwrap()[0].counts.waiting, 1);
}

#[tokio::test]
async fn a10_a_damaged_sled_snapshot_is_moved_aside() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    make("sled", &folder).await;
    drop(at("sled", &folder).unwrap());
    let snapshots = || std::fs::read_dir(folder.join("sled")).unwrap().map(|entry| entry.unwrap().path());
    let snapshot = snapshots().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).unwrap();
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let store = at("sled", &folder).unwrap();
    assert_eq!(store.counts().await.unwrap()[0].counts.waiting, 1);
    assert!(snapshots().any(|path| path.file_name().unwrap().to_string_lossy().starts_with("aside.snap.")));
}

#[tokio::test]
async fn a9_a_damaged_database_is_an_error_and_no_panic() {
    let parent = tempfile::tempdir().unwrap();
    for (engine, file) in [("sled", "sled/db"), ("redb", "store.redb")] {
        let folder = parent.path().join(engine);
        make(engine, &folder).await;
        let mut bytes = std::fs::read(folder.join(file)).unwrap();
        bytes.iter_mut().take(40_000).for_each(|byte| *byte ^= 0x55);
        std::fs::write(folder.join(file), bytes).unwrap();
        // sled takes a log that it cannot read for an empty one; redb refuses it.
        if let Err(error) = at(engine, &folder) {
            assert!(error.to_string().contains("docs/store.md"), "{error}");
        }
    }
}

/// sled would put large nodes into files of their own and never sync those.
#[tokio::test]
async fn sled_never_makes_blob_files() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let store = Arc::new(at("sled", &folder).unwrap());
    for size in [1_000, 6_000, 7_000, 60_000, 2_000_000] {
        let text = format!(r#"{{"note":"{}"}}"#, "x".repeat(size));
        for _ in 0..40_000_000usize.checked_div(size * 40).unwrap().clamp(2, 60) {
            store.accept(vec![event().data(&text).to(1)]).await.unwrap();
        }
    }
    store.close().await.unwrap();
    let blobs = std::fs::read_dir(folder.join("sled/blobs")).map_or(0, Iterator::count);
    assert_eq!(blobs, 0);
}
