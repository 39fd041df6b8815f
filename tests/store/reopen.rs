//! Opening again: everything is there, and how it was closed is known.

use std::time::Duration;

use postrider::delivery::Next;
use postrider::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, StoreError};

use super::world::{Build, EXHAUSTED, START, World, at, event, on_every_engine};

on_every_engine!(
    everything_is_kept,
    everything_is_kept_after_a_kill,
    an_unclean_stop_is_noticed_once,
    a_closed_store_does_nothing,
    what_waits_is_written_before_closing,
);

async fn fill(world: &World) {
    let accepted = world.accept(event().to(1).to_later(2, at(60)).to_in_order(3, 1).key("k")).await;
    world.accept(event().to(1).to_in_order(3, 1).to_in_order(3, 1)).await;
    let last = world.accept(event().received(at(1)).to(1).to(1).to(1)).await;
    world.settle(1, accepted.deliveries[0], Next::RetryAt(at(30)), at(1)).await;
    world.settle(1, last.deliveries[0], Next::Delivered, at(1)).await;
    world.settle(1, last.deliveries[1], EXHAUSTED, at(1)).await;
    world.store().cancel(last.deliveries[2], at(2)).await.unwrap();
    let record = ConfigurationRecord { kind: ConfigurationKind::Account, id: "acme".into(), value: "{}".into() };
    world.store().configure(vec![ConfigurationChange::Put { record, if_absent: true }]).await.unwrap();
}

async fn everything_is_kept(mut world: World) {
    fill(&world).await;
    let before = world.everything().await;
    world.reopen().await;
    assert_eq!(world.everything().await, before);
    world.check_counts().await;
}

async fn everything_is_kept_after_a_kill(mut world: World) {
    fill(&world).await;
    let before = world.everything().await;
    world.reopen_after_kill();
    assert_eq!(world.everything().await, before);
    world.check_counts().await;
}

async fn an_unclean_stop_is_noticed_once(mut world: World) {
    assert_eq!(world.store().unclean_stop(), None);
    world.owe(1).await;
    world.reopen().await;
    assert_eq!(world.store().unclean_stop(), None);
    world.clock.advance(Duration::from_secs(90));
    world.reopen_after_kill();
    assert_eq!(world.store().unclean_stop(), Some(at(90)));
    world.reopen().await;
    assert_eq!(world.store().unclean_stop(), None);
}

async fn a_closed_store_does_nothing(mut world: World) {
    let id = world.owe(1).await;
    let store = world.store();
    store.close().await.unwrap();
    assert!(matches!(store.close().await, Err(StoreError::Closed)));
    assert!(store.accept(vec![event()]).await.is_err());
    assert!(matches!(store.delivery(id).await, Err(StoreError::Closed)));
    world.kill();
    world.reopen().await;
    assert_eq!(world.due(1, START).await, [id]);
}

async fn what_waits_is_written_before_closing(mut world: World) {
    let calls = (0..200).map(|_| world.store().accept(vec![event().to(1)]));
    let (answers, closed) = futures_util::future::join(futures_util::future::join_all(calls), world.store().close()).await;
    closed.unwrap();
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    world.kill();
    world.reopen().await;
    assert_eq!(world.due(1, START).await.len(), accepted);
}
