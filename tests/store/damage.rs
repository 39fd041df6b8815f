//! Damaged records: set aside, counted, rebuilt where possible, and never in anybody's way.

use std::time::Duration;

use postrider::attempt::Outcome;
use postrider::delivery::{Next, StateName};
use postrider::store::{
    Batch, ConfigurationChange, ConfigurationKind, ConfigurationRecord, Direction, DocumentChange, DocumentKind, DocumentQuery, KeyRange,
    Make, Store, Tree,
};

use super::world::{Build, START, World, at, event, on_every_engine, order};

on_every_engine!(
    a_damaged_due_row_is_rebuilt,
    a_damaged_delivery_that_is_due_is_rebuilt,
    a_damaged_delivery_that_waits_in_order_is_rebuilt,
    a_damaged_delivery_that_was_delivered_is_rebuilt,
    a8_a_damaged_event_does_not_stop_its_lane,
    a_damaged_key_is_forgotten,
    damaged_counts_are_counted_again,
    damaged_attempts_and_configuration_are_left_out,
    a_damaged_document_is_left_out_and_written_again,
    damage_is_kept_for_inspection,
);

/// Flips a bit in the last byte of each record of a tree, or of those whose key holds `part`.
async fn damage(world: &mut World, tree: Tree, part: &[u8]) {
    world.close().await;
    let kv = world.kv();
    let mut batch = Batch::default();
    kv.scan(tree, KeyRange::ALL, Direction::Forward, &mut |key, value| {
        if key.windows(part.len().max(1)).any(|window| part.is_empty() || window == part) {
            let mut value = value.to_vec();
            *value.last_mut().unwrap() ^= 0x10;
            batch.put(tree, key, value);
        }
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert!(!batch.is_empty());
    kv.write(batch).unwrap();
    kv.sync().unwrap();
    kv.close().unwrap();
    drop(kv);
    world.reopen().await;
}

/// What the lane finds once the writer has had the time to repair.
async fn due_in_the_end(world: &World, to: u128) -> usize {
    for _ in 0..500 {
        let due = world.due(to, at(1_000)).await;
        if !due.is_empty() {
            return due.len();
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    0
}

/// Whether lanes are told of something; the writer tells them just after its write.
async fn told_in_the_end(world: &World) -> bool {
    for _ in 0..1_000 {
        if !world.store().notices().take().is_empty() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

async fn a_damaged_due_row_is_rebuilt(mut world: World) {
    let id = world.owe(1).await;
    world.settle(1, id, Next::RetryAt(at(5)), at(1)).await;
    damage(&mut world, Tree::Due, &[]).await;
    world.due(1, at(9)).await;
    assert_eq!(due_in_the_end(&world, 1).await, 1);
    assert_eq!((world.row(1, id).await.attempts, world.store().quarantined()), (1, 1));
    assert!(told_in_the_end(&world).await, "the lane hears of the row");
}

async fn a_damaged_delivery_that_is_due_is_rebuilt(mut world: World) {
    let id = world.owe(1).await;
    world.settle(1, id, Next::RetryAt(at(5)), at(1)).await;
    let before = world.delivery(id).await;
    damage(&mut world, Tree::Deliveries, &[]).await;
    let settled = world.settle(1, id, Next::RetryAt(at(60)), at(6)).await.unwrap();
    assert_eq!((settled.attempts, settled.account, settled.created_at), (2, before.account, before.created_at));
    world.settle(1, id, Next::Delivered, at(61)).await;
    assert_eq!(world.state(id).await, StateName::Delivered);
    world.check_counts().await;
}

async fn a_damaged_delivery_that_waits_in_order_is_rebuilt(mut world: World) {
    let first = world.accept(event().to_in_order(1, 1)).await.deliveries[0];
    let second = world.accept(event().to_in_order(1, 1)).await.deliveries[0];
    damage(&mut world, Tree::Deliveries, &second.raw().to_be_bytes()).await;
    damage(&mut world, Tree::Order, &order(1)).await;
    world.settle(1, first, Next::Delivered, at(1)).await;
    assert_eq!(world.due(1, at(1)).await, [second]);
    damage(&mut world, Tree::Deliveries, &second.raw().to_be_bytes()).await;
    let third = world.accept(event().to_in_order(1, 1)).await.deliveries[0];
    world.settle(1, second, Next::Delivered, at(2)).await;
    assert_eq!(world.due(1, at(2)).await, [third]);
    world.check_counts().await;
}

async fn a_damaged_delivery_that_was_delivered_is_rebuilt(mut world: World) {
    let id = world.owe(1).await;
    world.settle(1, id, Next::Delivered, at(1)).await;
    damage(&mut world, Tree::Deliveries, &[]).await;
    assert!(world.store().cancel(id, at(2)).await.is_err());
    let delivery = world.delivery(id).await;
    assert_eq!((delivery.state.name(), delivery.attempts, delivery.last_outcome), (StateName::Delivered, 1, Some(Outcome::Delivered)));
    assert_eq!(world.due(1, at(9)).await, []);
}

async fn a8_a_damaged_event_does_not_stop_its_lane(mut world: World) {
    let (lost, kept) = (world.owe(1).await, world.owe(1).await);
    damage(&mut world, Tree::Events, &lost.event().raw().to_be_bytes()).await;
    assert!(world.store().event(lost.event()).await.unwrap().is_none());
    assert_eq!(world.due(1, START).await, [lost, kept]);
    world.settle(1, lost, Next::Dead(postrider::delivery::DeadReason::NotSendable), at(1)).await;
    assert_eq!(world.due(1, START).await, [kept]);
    // It is still found by its id, and can still be changed.
    assert_eq!(world.state(lost).await, StateName::Dead);
    world.store().cancel(lost, at(2)).await.unwrap();
    assert!(world.store().deliveries_of(lost.event()).await.unwrap().is_empty());
}

async fn a_damaged_key_is_forgotten(mut world: World) {
    world.accept(event().key("k")).await;
    damage(&mut world, Tree::Keys, &[]).await;
    assert!(!world.accept(event().key("k")).await.duplicate);
    assert!(world.accept(event().key("k")).await.duplicate);
    assert_eq!(world.store().quarantined(), 1);
}

async fn damaged_counts_are_counted_again(mut world: World) {
    let id = world.owe(1).await;
    world.owe(1).await;
    world.settle(1, id, Next::Delivered, at(1)).await;
    let before = world.counts(1).await;
    damage(&mut world, Tree::Counts, &[]).await;
    assert_eq!(world.counts(1).await, before);
}

async fn damaged_attempts_and_configuration_are_left_out(mut world: World) {
    let id = world.owe(1).await;
    world.settle(1, id, Next::Delivered, at(1)).await;
    let record = |id: &str| ConfigurationRecord { kind: ConfigurationKind::Setting, id: id.into(), value: "1".into() };
    let changes = ["good", "bad"].map(|id| ConfigurationChange::Put { record: record(id), if_absent: true });
    world.store().configure(changes.to_vec()).await.unwrap();
    damage(&mut world, Tree::Attempts, &[]).await;
    damage(&mut world, Tree::Configuration, b"bad").await;
    assert!(world.store().attempts(id).await.unwrap().is_empty());
    assert_eq!(world.store().configuration().await.unwrap(), [record("good")]);
    assert_eq!(world.state(id).await, StateName::Delivered);
}

async fn a_damaged_document_is_left_out_and_written_again(mut world: World) {
    let kind = DocumentKind::Action;
    let put = |id: &str, expected| DocumentChange { kind, id: id.into(), expected, make: Make::Put("1".into()) };
    world.store().accept_with(vec![], vec![put("bad", None), put("bad", None), put("good", None)]).await.unwrap();
    damage(&mut world, Tree::Documents, b"bad").await;
    let query = DocumentQuery { kind, prefix: String::new(), after: None, before: None, direction: Direction::Forward, limit: 9 };
    let listed = world.store().documents(&query).await.unwrap();
    assert_eq!(listed.iter().map(|document| document.id.as_str()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(world.store().document(kind, "bad").await.unwrap(), None);
    world.store().accept_with(vec![], vec![put("bad", Some(0))]).await.unwrap();
    assert_eq!(world.store().document(kind, "bad").await.unwrap().unwrap().revision, 1);
    assert_eq!(world.store().quarantined(), 1);
}

async fn damage_is_kept_for_inspection(mut world: World) {
    let id = world.owe(1).await;
    damage(&mut world, Tree::Deliveries, &[]).await;
    world.settle(1, id, Next::Delivered, at(1)).await;
    world.close().await;
    let kv = world.kv();
    let mut kept = Vec::new();
    kv.scan(Tree::Quarantine, KeyRange::ALL, Direction::Forward, &mut |key, _| {
        kept.push(key[0]);
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(kept, [Tree::Deliveries.number()]);
    kv.close().unwrap();
}
