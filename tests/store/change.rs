//! What a person does: cancel and retry.

use postrider::delivery::{DeliveryState, Next, StateName};
use postrider::id::DeliveryId;
use postrider::store::{ChangeError, Store};

use super::world::{EXHAUSTED, START, World, at, on_every_engine};

on_every_engine!(
    a_pending_delivery_is_cancelled,
    a_dead_delivery_is_cancelled,
    a_dead_delivery_is_due_again,
    a_pending_delivery_is_moved,
    what_is_decided_is_not_changed,
    what_is_unknown_is_not_changed,
);

async fn a_pending_delivery_is_cancelled(world: World) {
    let id = world.owe(1).await;
    let cancelled = world.store().cancel(id, at(1)).await.unwrap();
    assert_eq!(cancelled.state, DeliveryState::Cancelled { at: at(1) });
    assert_eq!(world.due(1, at(1_000)).await, []);
    assert_eq!(world.delivery(id).await, cancelled);
}

async fn a_dead_delivery_is_cancelled(world: World) {
    let id = world.owe(1).await;
    world.settle(1, id, EXHAUSTED, at(1)).await;
    assert_eq!(world.store().cancel(id, at(2)).await.unwrap().state, DeliveryState::Cancelled { at: at(2) });
    world.check_counts().await;
}

async fn a_dead_delivery_is_due_again(world: World) {
    let id = world.owe(1).await;
    world.settle(1, id, EXHAUSTED, at(1)).await;
    let retried = world.store().retry(id, at(2), Some(3)).await.unwrap();
    assert_eq!((retried.state, retried.attempts, retried.template_version), (DeliveryState::Pending { due_at: at(2) }, 1, 3));
    let row = world.row(1, id).await;
    assert_eq!((row.due_at, row.attempts, row.template_version), (at(2), 1, 3));
    world.settle(1, id, Next::Delivered, at(3)).await;
    assert_eq!(world.store().attempts(id).await.unwrap().len(), 2);
}

async fn a_pending_delivery_is_moved(world: World) {
    let id = world.owe(1).await;
    world.store().retry(id, at(50), None).await.unwrap();
    assert_eq!(world.due(1, at(49)).await, []);
    assert_eq!(world.due(1, at(50)).await, [id]);
    world.store().retry(id, at(50), Some(2)).await.unwrap();
    assert_eq!(world.row(1, id).await.template_version, 2);
    world.check_counts().await;
}

async fn what_is_decided_is_not_changed(world: World) {
    let (delivered, cancelled) = (world.owe(1).await, world.owe(1).await);
    world.settle(1, delivered, Next::Delivered, at(1)).await;
    world.store().cancel(cancelled, at(1)).await.unwrap();
    for (id, state) in [(delivered, StateName::Delivered), (cancelled, StateName::Cancelled)] {
        for answer in [world.store().cancel(id, at(2)).await, world.store().retry(id, at(2), None).await] {
            assert!(matches!(answer, Err(ChangeError::Decided { state: found, .. }) if found == state));
        }
    }
    assert_eq!(world.due(1, at(1_000)).await, []);
}

async fn what_is_unknown_is_not_changed(world: World) {
    let known = world.owe(1).await;
    for id in [DeliveryId::of(known.event(), 2), DeliveryId::from_raw(1 << 90)] {
        assert!(matches!(world.store().cancel(id, START).await, Err(ChangeError::NotFound(_))));
        assert!(matches!(world.store().retry(id, START, None).await, Err(ChangeError::NotFound(_))));
        assert_eq!(world.store().delivery(id).await.unwrap(), None);
    }
}
