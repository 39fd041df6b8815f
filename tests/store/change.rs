//! What a person does: cancel and retry.

use postrider::delivery::{DeliveryState, Next, StateName};
use postrider::id::DeliveryId;
use postrider::store::{ChangeError, ConfigurationKind, ConfigurationRecord, DecidedQuery, Revival};

use super::world::{Build, EXHAUSTED, START, World, at, event, on_every_engine, sub};

on_every_engine!(
    a_pending_delivery_is_cancelled,
    a_dead_delivery_is_cancelled,
    a_dead_delivery_is_due_again,
    a_pending_delivery_is_moved,
    what_is_decided_is_not_changed,
    what_is_unknown_is_not_changed,
    decided_deliveries_are_due_again_with_their_record,
    a_delivery_is_revived_once_and_only_as_asked_for,
    decided_deliveries_are_gone_through_oldest_first,
    a_revived_delivery_goes_outside_its_order,
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

const ALL: [StateName; 3] = [StateName::Delivered, StateName::Dead, StateName::Cancelled];

/// Revives deliveries that were decided by second 10, at second 20, and notes their number.
async fn revive(world: &World, deliveries: &[DeliveryId], states: &[StateName]) -> usize {
    let note = |count| ConfigurationRecord { kind: ConfigurationKind::Replay, id: "rpl".into(), value: format!("{{\"done\":{count}}}") };
    let revival = Revival {
        subscription: sub(1),
        deliveries: deliveries.to_vec(),
        states: states.to_vec(),
        decided_by: at(10),
        at: at(20),
        template_version: 5,
        record: std::sync::Arc::new(note),
    };
    world.store().revive(revival).await.unwrap()
}

async fn noted(world: &World) -> String {
    let records = world.store().configuration().await.unwrap();
    records.into_iter().find(|record| record.kind == ConfigurationKind::Replay).map_or_else(String::new, |record| record.value)
}

/// One delivered, one dead, one cancelled and one pending delivery.
async fn one_of_each(world: &World) -> [DeliveryId; 4] {
    let ids = [world.owe(1).await, world.owe(1).await, world.owe(1).await, world.owe(1).await];
    world.settle(1, ids[0], Next::Delivered, at(1)).await;
    world.settle(1, ids[1], EXHAUSTED, at(2)).await;
    world.store().cancel(ids[2], at(3)).await.unwrap();
    ids
}

async fn decided_deliveries_are_due_again_with_their_record(mut world: World) {
    let ids = one_of_each(&world).await;
    assert_eq!(revive(&world, &ids, &ALL).await, 3);
    assert_eq!(noted(&world).await, r#"{"done":3}"#);
    for (id, attempts) in ids.into_iter().zip([1, 1, 0]).take(3) {
        let row = world.row(1, id).await;
        assert_eq!((row.due_at, row.attempts, row.template_version), (at(20), attempts, 5));
    }
    assert_eq!(world.row(1, ids[3]).await.template_version, 1, "what waits is left alone");
    world.check_counts().await;
    world.reopen_after_kill();
    assert_eq!((world.due(1, at(20)).await.len(), noted(&world).await), (4, r#"{"done":3}"#.into()));
    world.settle(1, ids[0], Next::Delivered, at(21)).await;
    assert_eq!(world.store().attempts(ids[0]).await.unwrap().len(), 2);
    world.check_counts().await;
}

async fn a_delivery_is_revived_once_and_only_as_asked_for(world: World) {
    let ids = one_of_each(&world).await;
    let late = world.owe(1).await;
    world.settle(1, late, EXHAUSTED, at(11)).await;
    let unknown = DeliveryId::from_raw(1 << 90);
    assert_eq!(
        revive(&world, &[ids[0], ids[1], late, unknown], &[StateName::Dead]).await,
        1,
        "the delivered, the late and the unknown stay"
    );
    assert_eq!(revive(&world, &ids, &[StateName::Dead]).await, 0, "it is pending by now");
    assert_eq!(noted(&world).await, r#"{"done":0}"#);
    world.settle(1, ids[1], EXHAUSTED, at(21)).await;
    assert_eq!(revive(&world, &ids, &[StateName::Dead]).await, 0, "it was decided later than asked for");
    assert_eq!((world.state(ids[0]).await, world.state(late).await), (StateName::Delivered, StateName::Dead));
    world.check_counts().await;
}

async fn decided_deliveries_are_gone_through_oldest_first(world: World) {
    let mut ids = Vec::new();
    for second in 0..6 {
        let accepted = world.accept(event().received(at(second)).to(1).to(2)).await;
        ids.push(accepted.deliveries[0]);
        world.settle(1, accepted.deliveries[0], if second % 2 == 0 { EXHAUSTED } else { Next::Delivered }, at(second)).await;
    }
    let query =
        DecidedQuery { subscription: sub(1), states: ALL.to_vec(), decided_by: at(10), since: None, until: None, after: None, limit: 100 };
    let found = async |query: DecidedQuery| world.store().decided(&query).await.unwrap();
    let all = found(query.clone()).await;
    assert_eq!((all.items, all.next), (ids.clone(), None));
    let dead = found(DecidedQuery { states: vec![StateName::Dead], ..query.clone() }).await;
    assert_eq!(dead.items, [ids[0], ids[2], ids[4]]);
    let early = found(DecidedQuery { decided_by: at(2), ..query.clone() }).await;
    assert_eq!(early.items, ids[..3]);
    let between = found(DecidedQuery { since: Some(at(1)), until: Some(at(4)), ..query.clone() }).await;
    assert_eq!(between.items, ids[1..4]);
    let nothing = found(DecidedQuery { since: Some(at(4)), until: Some(at(1)), ..query.clone() }).await;
    assert_eq!((nothing.items, nothing.next), (vec![], None));
    let first = found(DecidedQuery { limit: 4, ..query.clone() }).await;
    assert_eq!((first.items.as_slice(), first.next), (&ids[..4], Some(ids[3].raw())));
    let rest = found(DecidedQuery { limit: 4, after: first.next.map(DeliveryId::from_raw), ..query }).await;
    assert_eq!((rest.items.as_slice(), rest.next), (&ids[4..], None));
}

async fn a_revived_delivery_goes_outside_its_order(world: World) {
    let first = world.accept(event().to_in_order(1, 7)).await.deliveries[0];
    let second = world.accept(event().to_in_order(1, 7)).await.deliveries[0];
    world.settle(1, first, EXHAUSTED, at(1)).await;
    assert_eq!(revive(&world, &[first, second], &ALL).await, 1);
    let mut due = world.due(1, at(20)).await;
    due.sort();
    assert_eq!(due, [first, second], "neither waits for the other");
}
