//! An engine that fails, a disk that fills: nothing is acknowledged that is not safe.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use postrider::delivery::Next;
use postrider::store::{
    AcceptError, Batch, ChangeError, ConfigurationChange, ConfigurationKind, ConfigureError, Direction, DocumentChange, DocumentKind,
    EmbeddedStore, FreeSpace, KeyRange, Kv, KvError, Make, MemoryKv, Store, StoreError, StoreOptions, Tree, Visit,
};

use super::world::{Build, START, World, at, event, on_every_engine, settlement, sub};

/// What an engine does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Write,
    Sync,
    Panic,
}

/// An engine whose operation of the kind `fault` fails once, when asked to.
#[derive(Debug, Clone)]
struct Faulty {
    kv: MemoryKv,
    fault: Fault,
    armed: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { kv: MemoryKv::default(), fault, armed: Arc::default(), syncs: Arc::default() }
    }

    fn strike(&self, fault: Fault) -> Result<(), KvError> {
        if self.fault == fault && self.armed.swap(false, Ordering::SeqCst) {
            return Err(KvError::new("writing", "input/output error"));
        }
        assert!(!(self.fault == Fault::Panic && self.armed.swap(false, Ordering::SeqCst)), "the engine panics");
        Ok(())
    }
}

impl Kv for Faulty {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.kv.get(tree, key)
    }
    fn scan(&self, tree: Tree, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.kv.scan(tree, range, direction, visit)
    }
    fn write(&self, batch: Batch) -> Result<(), KvError> {
        self.strike(Fault::Write)?;
        self.kv.write(batch)
    }
    fn sync(&self) -> Result<(), KvError> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.strike(Fault::Sync)
    }
}

async fn fails_for_good(store: EmbeddedStore, faulty: &Faulty) {
    store.accept(vec![event().to(1)]).await.unwrap();
    faulty.armed.store(true, Ordering::SeqCst);
    let answers = join_all((0..20).map(|_| store.accept(vec![event().to(1)]))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(AcceptError::Store(StoreError::Failed { .. })))), "{answers:?}");
    // The engine works again; the store does not believe it.
    let id = store.deliveries(&Default::default()).await.unwrap().items[0].id;
    assert!(matches!(store.cancel(id, START).await, Err(ChangeError::Store(StoreError::Failed { .. }))));
    assert!(matches!(store.failed().await, StoreError::Failed { .. }));
    assert!(store.close().await.is_err());
}

#[tokio::test]
async fn a6_a7_a_failed_write_fails_the_store_for_good() {
    for fault in [Fault::Write, Fault::Sync, Fault::Panic] {
        let faulty = Faulty::new(fault);
        fails_for_good(EmbeddedStore::threaded(faulty.clone(), StoreOptions::default()).unwrap(), &faulty).await;
        let faulty = Faulty::new(fault);
        fails_for_good(EmbeddedStore::inline(faulty.clone(), StoreOptions::default()).unwrap(), &faulty).await;
    }
}

#[tokio::test]
async fn a_failed_store_is_unclean_when_it_is_opened_again() {
    let faulty = Faulty::new(Fault::Sync);
    let store = EmbeddedStore::threaded(faulty.clone(), StoreOptions::default()).unwrap();
    faulty.armed.store(true, Ordering::SeqCst);
    assert!(store.accept(vec![event()]).await.is_err());
    assert!(store.close().await.is_err());
    assert!(EmbeddedStore::inline(faulty.kv.clone(), StoreOptions::default()).unwrap().unclean_stop().is_some());
}

#[tokio::test]
async fn a_settlement_is_answered_before_its_sync_and_synced_soon_after() {
    let faulty = Faulty::new(Fault::Sync);
    let store = EmbeddedStore::threaded(faulty.clone(), StoreOptions::default()).unwrap();
    store.accept(vec![event().to(1)]).await.unwrap();
    let row = store.due(sub(1), START, &Default::default(), 1).await.unwrap().rows.remove(0);
    let syncs = faulty.syncs.load(Ordering::SeqCst);
    store.settle(settlement(1, &row, Next::Delivered, START)).await.unwrap();
    for _ in 0..400 {
        if faulty.syncs.load(Ordering::SeqCst) > syncs {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a settlement was never synced");
}

/// A disk that is as full as the test says.
#[derive(Debug, Default)]
struct Disk {
    free: AtomicU64,
}

impl FreeSpace for Disk {
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }
}

on_every_engine!(a4_a_full_disk_takes_nothing_new_and_lets_settle);

async fn a4_a_full_disk_takes_nothing_new_and_lets_settle(world: World) {
    let disk = Arc::new(Disk { free: AtomicU64::new(1 << 30) });
    let world = World::with(world.kind, |options| options.free_space = Some(disk.clone()));
    let first = world.accept(event().to(1).key("k")).await;
    let id = first.deliveries[0];
    disk.free.store(1 << 20, Ordering::SeqCst);
    // Looked at once a second at most.
    let second = world.owe(1).await;
    world.clock.advance(Duration::from_secs(1));
    let accept = async || world.store().accept(vec![event().to(1)]).await;
    let configure = async || {
        let change = ConfigurationChange::Remove { kind: ConfigurationKind::Setting, id: "x".into() };
        world.store().configure(vec![change]).await
    };
    let document = async |make| {
        let change = DocumentChange { kind: DocumentKind::Action, id: "x".into(), expected: None, make };
        world.store().accept_with(vec![], vec![change]).await
    };
    assert!(matches!(accept().await, Err(AcceptError::Store(StoreError::StorageFull))));
    assert!(matches!(document(Make::Put("1".into())).await, Err(AcceptError::Store(StoreError::StorageFull))));
    assert!(matches!(configure().await, Err(ConfigureError::Store(StoreError::StorageFull))));
    // What is stored goes on: a repeat is answered, attempts are settled, people may cancel.
    assert_eq!(world.accept(event().to(1).key("k")).await.id, first.id);
    world.settle(1, id, Next::Delivered, at(1)).await.unwrap();
    world.store().cancel(second, at(2)).await.unwrap();
    world.store().prune(at(100), at(100), 10).await.unwrap();
    document(Make::Remove).await.unwrap();

    disk.free.store(1 << 30, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(1));
    accept().await.unwrap();
    configure().await.unwrap();
}
