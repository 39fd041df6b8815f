//! The sync beside the writes: what waits for it, what does not, and what a failure of either does.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use postrider::delivery::Next;
use postrider::id::DeliveryId;
use postrider::store::{
    AcceptError, Accepted, Batch, Direction, EmbeddedStore, KeyRange, Kv, KvError, MemoryKv, Store, StoreError, StoreOptions, Tree, Visit,
};
use tokio::task::JoinHandle;

use super::world::{Build, START, event, settlement, sub};

/// Most time that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// An engine whose syncs, once held, begin and go on only as the test lets them.
#[derive(Debug, Clone, Default)]
struct Gated {
    kv: MemoryKv,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Debug, Default)]
struct Gate {
    held: bool,
    /// How many held syncs may end.
    passes: usize,
    sync_fails: bool,
    write_fails: bool,
    /// What the engine did since syncs are held.
    log: Vec<&'static str>,
}

impl Gated {
    fn change(&self, change: impl FnOnce(&mut Gate)) {
        change(&mut self.gate.0.lock().unwrap());
        self.gate.1.notify_all();
    }

    fn log(&self) -> Vec<&'static str> {
        self.gate.0.lock().unwrap().log.clone()
    }

    fn count(&self, what: &str) -> usize {
        self.log().into_iter().filter(|&entry| entry == what).count()
    }

    /// Waits until the engine has done this so many times.
    async fn has_done(&self, what: &str, times: usize) {
        until(|| self.count(what) >= times, &format!("`{what}` did not happen {times} times: {:?}", self.log())).await;
    }
}

impl Kv for Gated {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.kv.get(tree, key)
    }
    fn scan(&self, tree: Tree, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.kv.scan(tree, range, direction, visit)
    }
    fn write(&self, batch: Batch) -> Result<(), KvError> {
        let fails = self.gate.0.lock().unwrap().write_fails;
        if fails {
            return Err(KvError::new("writing", "input/output error"));
        }
        self.kv.write(batch)?;
        self.change(|gate| gate.log.push("write"));
        Ok(())
    }
    fn sync(&self) -> Result<(), KvError> {
        let (gate, changed) = &*self.gate;
        let mut gate = gate.lock().unwrap();
        gate.log.push("sync begins");
        // Bounded, or a test that fails while a sync is held would never end.
        gate = changed.wait_timeout_while(gate, PATIENCE, |gate| gate.held && gate.passes == 0).unwrap().0;
        gate.passes = gate.passes.saturating_sub(1);
        gate.log.push("sync ends");
        if gate.sync_fails { Err(KvError::new("syncing", "input/output error")) } else { Ok(()) }
    }
    fn syncs_beside_writes(&self) -> bool {
        true
    }
    fn close(&self) -> Result<(), KvError> {
        self.change(|gate| gate.log.push("close"));
        Ok(())
    }
}

async fn until(condition: impl Fn() -> bool, otherwise: &str) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{otherwise}");
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it is answered")
}

type Answer = JoinHandle<Result<Vec<Accepted>, AcceptError>>;

fn accept(store: &Arc<EmbeddedStore>) -> Answer {
    let store = store.clone();
    tokio::spawn(async move { store.accept(vec![event().to(1)]).await })
}

/// A store with one delivery that is due and acknowledged; then syncs are held.
async fn held() -> (Arc<EmbeddedStore>, Gated, DeliveryId) {
    let gated = Gated::default();
    let store = Arc::new(EmbeddedStore::threaded(gated.clone(), StoreOptions::default()).unwrap());
    let first = store.accept(vec![event().to(1)]).await.unwrap().remove(0);
    drop(store.notices().take());
    gated.change(|gate| {
        gate.held = true;
        gate.log.clear();
    });
    (store, gated, first.deliveries[0])
}

/// Settles a due delivery as delivered.
async fn settle(store: &EmbeddedStore, id: DeliveryId) -> Result<(), StoreError> {
    let rows = store.due(sub(1), START, &Default::default(), 100).await.unwrap().rows;
    let row = rows.into_iter().find(|row| row.delivery == id).unwrap();
    store.settle(settlement(1, &row, Next::Delivered, START)).await.map(drop)
}

fn is_failed(answer: &Result<Vec<Accepted>, AcceptError>) -> bool {
    matches!(answer, Err(AcceptError::Store(StoreError::Failed { .. })))
}

#[tokio::test]
async fn a_durable_answer_waits_for_a_sync_that_began_after_its_write() {
    let (store, gated, _) = held().await;
    let first = accept(&store);
    gated.has_done("sync begins", 1).await;
    let second = accept(&store);
    gated.has_done("write", 2).await;
    assert!(!first.is_finished() && !second.is_finished());
    gated.change(|gate| gate.passes = 1);
    soon(first).await.unwrap().unwrap();
    // The sync under way began before the second write and says nothing about it.
    gated.has_done("sync begins", 2).await;
    assert!(!second.is_finished());
    gated.change(|gate| gate.passes = 1);
    soon(second).await.unwrap().unwrap();
    assert_eq!(gated.log(), ["write", "sync begins", "write", "sync ends", "sync begins", "sync ends"]);
}

#[tokio::test]
async fn a_settlement_does_not_wait_for_a_sync_under_way_and_is_synced_soon_after() {
    let (store, gated, id) = held().await;
    let accepted = accept(&store);
    gated.has_done("sync begins", 1).await;
    soon(settle(&store, id)).await.unwrap();
    assert!(!accepted.is_finished());
    assert_eq!(gated.log(), ["write", "sync begins", "write"]);
    gated.change(|gate| gate.held = false);
    soon(accepted).await.unwrap().unwrap();
    gated.has_done("sync ends", 2).await;
}

#[tokio::test]
async fn a_delivery_settled_before_its_lane_is_told_of_it_is_not_told_of() {
    let (store, gated, _) = held().await;
    let accepted = accept(&store);
    gated.has_done("sync begins", 1).await;
    // One row more that waits for the next sync.
    let later = accept(&store);
    gated.has_done("write", 2).await;
    let rows = store.due(sub(1), START.after(Duration::from_secs(1 << 40)), &Default::default(), 100).await.unwrap().rows;
    assert_eq!(rows.len(), 3);
    let (covered, waiting) = (rows[1].clone(), rows[2].clone());
    for row in [&covered, &waiting] {
        soon(store.settle(settlement(1, row, Next::Delivered, START))).await.unwrap().unwrap();
    }
    let untouched = accept(&store);
    gated.change(|gate| gate.held = false);
    for answer in [accepted, later] {
        soon(answer).await.unwrap().unwrap();
    }
    let told_of = soon(untouched).await.unwrap().unwrap()[0].deliveries[0];
    let fresh: Vec<_> = store.notices().take().into_values().flat_map(|notice| notice.fresh).map(|row| row.delivery).collect();
    assert_eq!(fresh, [told_of]);
}

#[tokio::test]
async fn a_failed_sync_stops_all_acknowledgements() {
    let (store, gated, id) = held().await;
    let covered = accept(&store);
    gated.has_done("sync begins", 1).await;
    let waiting = accept(&store);
    gated.has_done("write", 2).await;
    gated.change(|gate| (gate.sync_fails, gate.held) = (true, false));
    assert!(is_failed(&soon(covered).await.unwrap()));
    // The engine works again; the store does not believe it.
    gated.change(|gate| gate.sync_fails = false);
    assert!(is_failed(&soon(waiting).await.unwrap()));
    assert!(is_failed(&soon(accept(&store)).await.unwrap()));
    assert!(matches!(soon(settle(&store, id)).await, Err(StoreError::Failed { .. })));
    assert!(matches!(soon(store.failed()).await, StoreError::Failed { .. }));
    assert!(soon(store.close()).await.is_err());
    assert_eq!((gated.count("sync begins"), gated.count("close")), (1, 0));
}

#[tokio::test]
async fn a_sync_that_succeeds_after_a_failed_write_acknowledges_nothing() {
    let (store, gated, id) = held().await;
    let covered = accept(&store);
    gated.has_done("sync begins", 1).await;
    gated.change(|gate| gate.write_fails = true);
    assert!(matches!(soon(settle(&store, id)).await, Err(StoreError::Failed { .. })));
    gated.change(|gate| (gate.write_fails, gate.held) = (false, false));
    assert!(is_failed(&soon(covered).await.unwrap()));
    assert!(store.notices().take().is_empty());
}

#[tokio::test]
async fn closing_waits_for_the_sync_and_for_what_waits_for_it() {
    let (store, gated, id) = held().await;
    let covered = accept(&store);
    gated.has_done("sync begins", 1).await;
    let waiting = accept(&store);
    gated.has_done("write", 2).await;
    soon(settle(&store, id)).await.unwrap();
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    soon(async {
        while store.counts().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!gated.log().contains(&"close"));
    gated.change(|gate| gate.held = false);
    soon(closing).await.unwrap().unwrap();
    for answer in [covered, waiting] {
        soon(answer).await.unwrap().unwrap();
    }
    // The mark of a running store goes after everything else is safe.
    let last = gated.log().split_off(gated.log().len() - 6);
    assert_eq!(last, ["sync begins", "sync ends", "write", "sync begins", "sync ends", "close"]);
    assert!(EmbeddedStore::inline(gated.kv.clone(), StoreOptions::default()).unwrap().unclean_stop().is_none());
}

#[tokio::test]
async fn a_store_that_is_dropped_ends_with_the_sync_under_way() {
    let (store, gated, _) = held().await;
    let accepted = accept(&store);
    gated.has_done("sync begins", 1).await;
    accepted.abort();
    let _ = accepted.await;
    let dropping = std::thread::spawn(move || drop(store));
    gated.change(|gate| gate.held = false);
    until(|| dropping.is_finished(), "the store still waits").await;
    assert!(EmbeddedStore::inline(gated.kv.clone(), StoreOptions::default()).unwrap().unclean_stop().is_some());
}
