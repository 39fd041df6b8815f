//! Accepting: all or nothing, each key once, in order.

use futures_util::future::join_all;
use postrider::clock::Timestamp;
use postrider::delivery::DeliveryState;
use postrider::store::{AcceptError, StoreOptions};

use super::world::{Build, Kind, START, World, at, event, on_every_engine_and_pooled, sub};

on_every_engine_and_pooled!(
    an_event_is_stored_with_its_deliveries,
    an_event_without_deliveries_is_stored,
    a_large_event_is_stored_as_it_came,
    all_events_of_a_call_are_stored_or_none,
    an_event_with_a_known_key_is_accepted_once,
    a_key_is_known_within_a_call,
    a_key_is_known_within_a_batch,
    a_key_with_other_content_is_refused,
    a_refused_call_does_not_disturb_others,
    an_expired_key_is_a_new_key,
    a_key_belongs_to_its_account,
    a_full_queue_takes_nothing_more,
    a_full_queue_knows_its_keys,
    ids_ascend_also_when_the_clock_steps_back,
    many_deliveries_of_one_event_are_kept,
);

async fn an_event_is_stored_with_its_deliveries(world: World) {
    let accepted = world.accept(event().to(1).to_later(2, at(60)).key("k")).await;
    assert!(!accepted.duplicate);

    let stored = world.store().event(accepted.id).await.unwrap().unwrap();
    assert_eq!(stored.data.text(), r#"{"ActionId":"1000.1","Payout":5.00}"#);
    assert_eq!((stored.key.as_ref().unwrap().as_str(), stored.account.as_str()), ("k", "acme"));
    assert_eq!((stored.occurred_at, stored.received_at), (START, START));

    let deliveries = world.store().deliveries_of(accepted.id).await.unwrap();
    assert_eq!(deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), accepted.deliveries);
    assert_eq!(deliveries.iter().map(|delivery| delivery.subscription).collect::<Vec<_>>(), [sub(1), sub(2)]);
    assert_eq!(deliveries[1].state, DeliveryState::Pending { due_at: at(60) });
    assert_eq!((deliveries[0].attempts, deliveries[0].last_outcome, deliveries[0].created_at), (0, None, START));
    assert_eq!(world.due(1, START).await, [accepted.deliveries[0]]);
    assert_eq!(world.due(2, START).await, []);
}

async fn an_event_without_deliveries_is_stored(world: World) {
    let accepted = world.accept(event()).await;
    assert!(accepted.deliveries.is_empty());
    assert!(world.store().event(accepted.id).await.unwrap().is_some());
    assert_eq!(world.store().accept(vec![]).await.unwrap(), []);
}

async fn a_large_event_is_stored_as_it_came(mut world: World) {
    let text = format!(r#"{{"note":"{}"}}"#, "ü".repeat(600_000));
    let accepted = world.accept(event().data(&text).to(1)).await;
    let again = world.accept(event().data(&text).to(1)).await;
    world.reopen().await;
    for id in [accepted.id, again.id] {
        assert_eq!(world.store().event(id).await.unwrap().unwrap().data.text(), text);
    }
}

async fn all_events_of_a_call_are_stored_or_none(world: World) {
    world.accept(event().key("k")).await;
    let before = world.everything().await;
    let call = vec![event().to(1), event().to(1).key("new"), event().data(r#"{"a":2}"#).key("k")];
    assert!(matches!(world.store().accept(call).await, Err(AcceptError::KeyReused { index: 2, .. })));
    assert_eq!(world.everything().await, before);
    assert!(!world.accept(event().data(r#"{"b":3}"#).key("new")).await.duplicate);
}

async fn an_event_with_a_known_key_is_accepted_once(mut world: World) {
    let first = world.accept(event().to(1).to(2).key("k")).await;
    world.reopen().await;
    let second = world.accept(event().to(1).to(2).to(3).key("k")).await;
    assert!(second.duplicate);
    assert_eq!((second.id, &second.deliveries), (first.id, &first.deliveries));
    assert_eq!(world.due(1, START).await.len(), 1);
    assert_eq!(world.due(3, START).await, []);
}

async fn a_key_is_known_within_a_call(world: World) {
    let call = vec![event().to(1).key("k"), event().to(1), event().to(1).key("k")];
    let accepted = world.store().accept(call).await.unwrap();
    assert_eq!(accepted.iter().map(|event| event.duplicate).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!((accepted[2].id, &accepted[2].deliveries), (accepted[0].id, &accepted[0].deliveries));

    let call = vec![event().key("l"), event().data("{}").key("l")];
    assert!(matches!(world.store().accept(call).await, Err(AcceptError::KeyReused { index: 1, .. })));
}

async fn a_key_is_known_within_a_batch(world: World) {
    let calls = (0..60).map(|number| world.accept(event().to(1).key(&format!("k{}", number % 3))));
    let accepted = join_all(calls).await;
    assert_eq!(accepted.iter().filter(|event| !event.duplicate).count(), 3);
    assert_eq!(world.due(1, START).await.len(), 3);
    assert!((3..60).all(|number| accepted[number].id == accepted[number % 3].id));
}

async fn a_key_with_other_content_is_refused(world: World) {
    let first = world.accept(event().key("k")).await;
    match world.store().accept(vec![event().data("{}").key("k")]).await {
        Err(AcceptError::KeyReused { index: 0, first: known }) => assert_eq!(known, first.id),
        other => panic!("{other:?}"),
    }
}

async fn a_refused_call_does_not_disturb_others(world: World) {
    world.accept(event().key("k")).await;
    let calls = (0..40).map(|number| {
        let event = if number % 2 == 0 { event().to(1) } else { event().to(1).data("{}").key("k") };
        world.store().accept(vec![event])
    });
    let answers = join_all(calls).await;
    assert!(answers.iter().enumerate().all(|(number, answer)| answer.is_ok() == (number % 2 == 0)));
    assert_eq!(world.due(1, START).await.len(), 20);
    world.check_counts().await;
}

async fn an_expired_key_is_a_new_key(mut world: World) {
    let day = 86_400;
    let first = world.accept(event().key("k")).await;
    assert!(world.accept(event().received(at(30 * day - 1)).key("k")).await.duplicate);
    let second = world.accept(event().received(at(30 * day)).data("{}").key("k")).await;
    assert!(!second.duplicate && second.id != first.id);
    world.reopen().await;
    // The expiry of the first must not take away the second.
    let pruned = world.store().prune(START, at(31 * day), 100).await.unwrap();
    assert_eq!((pruned.keys, pruned.more), (0, false));
    assert_eq!(world.accept(event().received(at(31 * day)).data("{}").key("k")).await.id, second.id);
    assert_eq!(world.store().prune(START, at(61 * day), 100).await.unwrap().keys, 1);
    assert!(!world.accept(event().received(at(59 * day)).key("k")).await.duplicate);
}

async fn a_key_belongs_to_its_account(world: World) {
    world.accept(event().key("k")).await;
    assert!(!world.accept(event().account("other").key("k")).await.duplicate);
}

fn at_most_three(options: &mut StoreOptions) {
    options.waiting_per_subscription_max = 3;
}

async fn a_full_queue_takes_nothing_more(world: World) {
    let world = World::with(world.kind, at_most_three);
    assert!(matches!(
        world.store().accept(vec![event().to(1).to(1), event().to(1).to(1)]).await,
        Err(AcceptError::QueueFull { waiting: 0, .. })
    ));
    let first = world.owe(1).await;
    world.accept(event().to(1).to(1)).await;
    match world.store().accept(vec![event().to(2), event().to(1)]).await {
        Err(AcceptError::QueueFull { subscription, waiting: 3 }) => assert_eq!(subscription, sub(1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.due(2, START).await, []);
    world.owe(2).await;
    world.store().cancel(first, START).await.unwrap();
    world.owe(1).await;
    world.check_counts().await;
}

async fn a_full_queue_knows_its_keys(world: World) {
    let world = World::with(world.kind, at_most_three);
    let first = world.accept(event().to(1).to(1).to(1).key("k")).await;
    assert_eq!(world.accept(event().to(1).to(1).to(1).key("k")).await.id, first.id);
}

async fn ids_ascend_also_when_the_clock_steps_back(mut world: World) {
    let mut ids = Vec::new();
    for seconds in [5, 5, 3, 9] {
        ids.push(world.accept(event().received(at(seconds))).await.id);
    }
    world.reopen_after_kill();
    ids.push(world.accept(event().received(START)).await.id);
    // Retention may take the newest event; its id is not given again.
    world.store().prune(at(100), at(100), 100).await.unwrap();
    world.reopen().await;
    ids.push(world.accept(event().received(START)).await.id);
    assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    assert_eq!(world.store().event(ids[5]).await.unwrap().unwrap().received_at, START);
}

async fn many_deliveries_of_one_event_are_kept(world: World) {
    let mut wide = event();
    for subscription in 0..2_000 {
        wide = wide.to(subscription);
    }
    let accepted = world.accept(wide).await;
    assert_eq!(world.store().deliveries_of(accepted.id).await.unwrap().len(), 2_000);
    assert_eq!(world.delivery(accepted.deliveries[1_999]).await.subscription, sub(1_999));
    assert_eq!(world.page(7, Timestamp::from_unix_ms(i64::MAX), &[], 5).await.rows.len(), 1);
}

#[tokio::test]
async fn more_deliveries_than_numbers_are_refused() {
    let world = World::new(Kind::MemoryInline);
    let mut wide = event();
    for _ in 0..=65_535 {
        wide = wide.to(1);
    }
    assert!(world.store().accept(vec![wide]).await.is_err());
    assert_eq!(world.counts(1).await.waiting, 0);
}
