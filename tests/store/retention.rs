//! Retention: decided events go, oldest first; undecided ones stay.

use postrider::delivery::Next;
use postrider::id::EventId;
use postrider::store::{Counts, EventSize, Excess, Pruned, Tree};

use super::world::{Build, EXHAUSTED, World, at, event, on_every_engine_and_pooled};

on_every_engine_and_pooled!(
    decided_events_are_removed_with_all_that_hangs_on_them,
    undecided_events_stay_and_do_not_stand_in_the_way,
    a_step_is_no_larger_than_its_limit,
    keys_are_removed_when_they_expired,
    named_events_are_removed_with_their_keys,
    a_named_event_stays_while_something_of_it_is_undecided,
    an_account_is_trimmed_from_its_oldest_decided_event_on,
);

async fn decided_events_are_removed_with_all_that_hangs_on_them(mut world: World) {
    let accepted = world.accept(event().to(1).to(2).key("k")).await;
    let kept = world.accept(event().received(at(100)).to(1)).await;
    world.settle(1, accepted.deliveries[0], Next::RetryAt(at(2)), at(1)).await;
    world.settle(1, accepted.deliveries[0], Next::Delivered, at(3)).await;
    world.settle(2, accepted.deliveries[1], EXHAUSTED, at(3)).await;
    world.settle(1, kept.deliveries[0], Next::Delivered, at(101)).await;

    let pruned = world.store().prune(at(50), at(50), 10).await.unwrap();
    let removed = vec![EventSize { id: accepted.id, account: "acme".parse().unwrap(), bytes: 35 }];
    assert_eq!(pruned, Pruned { events: 1, removed, keys: 0, more: false });
    assert!(world.store().event(accepted.id).await.unwrap().is_none());
    for id in accepted.deliveries {
        assert!(world.store().delivery(id).await.unwrap().is_none());
        assert!(world.store().attempts(id).await.unwrap().is_empty());
    }
    assert_eq!(world.counts(1).await, Counts { delivered: 1, attempts: 1, ..Counts::default() });
    assert_eq!(world.counts(2).await, Counts::default());
    for (tree, left) in [(Tree::Events, 1), (Tree::Deliveries, 1), (Tree::Attempts, 1), (Tree::Due, 0), (Tree::Keys, 1), (Tree::Counts, 1)]
    {
        assert_eq!(world.rows(tree).await, left, "{tree:?}");
    }
}

async fn undecided_events_stay_and_do_not_stand_in_the_way(world: World) {
    let mut waiting = Vec::new();
    for number in 0..6 {
        let accepted = world.accept(event().to(1).to(2)).await;
        world.settle(1, accepted.deliveries[0], Next::Delivered, at(1)).await;
        if number % 2 == 0 {
            world.settle(2, accepted.deliveries[1], Next::Delivered, at(1)).await;
        } else {
            waiting.push(accepted);
        }
    }
    assert_eq!(world.store().prune(at(50), at(50), 10).await.unwrap().events, 3);
    assert_eq!(world.due(2, at(50)).await.len(), 3);
    world.settle(2, waiting[0].deliveries[1], Next::Delivered, at(60)).await;
    assert_eq!(world.store().prune(at(50), at(50), 10).await.unwrap().events, 1);
    world.check_counts().await;
}

async fn a_step_is_no_larger_than_its_limit(world: World) {
    for _ in 0..300 {
        world.accept(event()).await;
    }
    let pruned = world.store().prune(at(50), at(50), 140).await.unwrap();
    assert_eq!((pruned.events, pruned.more), (140, true));
    let pruned = world.store().prune(at(50), at(50), 1_000).await.unwrap();
    assert_eq!((pruned.events, pruned.more), (160, false));
}

async fn keys_are_removed_when_they_expired(mut world: World) {
    let day = 86_400;
    world.accept(event().key("a")).await;
    world.accept(event().received(at(day)).key("b")).await;
    assert_eq!(world.store().prune(at(0), at(30 * day), 10).await.unwrap().keys, 0);
    assert_eq!(world.store().prune(at(0), at(30 * day + 120), 10).await.unwrap().keys, 1);
    assert!(!world.accept(event().received(at(10)).key("a")).await.duplicate);
    assert!(world.accept(event().received(at(day)).key("b")).await.duplicate);
    assert_eq!(world.rows(Tree::KeyExpiry).await, 2);
}

async fn named_events_are_removed_with_their_keys(mut world: World) {
    let first = world.accept(event().account("going").to(1).key("k")).await;
    let second = world.accept(event().account("going").key("l")).await;
    let kept = world.accept(event().to(2).key("k")).await;
    world.settle(1, first.deliveries[0], Next::RetryAt(at(2)), at(1)).await;
    world.settle(1, first.deliveries[0], Next::Delivered, at(3)).await;
    world.settle(2, kept.deliveries[0], Next::Delivered, at(3)).await;
    let gone = postrider::id::EventId::from_raw(9);
    assert_eq!(world.store().remove_events(vec![first.id, second.id, gone]).await.unwrap(), 2);
    for accepted in [&first, &second] {
        assert!(world.store().event(accepted.id).await.unwrap().is_none());
    }
    assert!(world.store().delivery(first.deliveries[0]).await.unwrap().is_none());
    assert_eq!((world.counts(1).await, world.counts(2).await.delivered), (Counts::default(), 1));
    for (tree, left) in [
        (Tree::Events, 1),
        (Tree::Deliveries, 1),
        (Tree::Attempts, 1),
        (Tree::Due, 0),
        (Tree::Keys, 1),
        (Tree::KeyExpiry, 1),
        (Tree::Counts, 1),
    ] {
        assert_eq!(world.rows(tree).await, left, "{tree:?}");
    }
    assert!(world.accept(event().key("k")).await.duplicate, "the same key of another account is still known");
    let again = world.accept(event().account("going").key("k")).await;
    assert!(!again.duplicate && again.id > kept.id, "ids go on from where they were");
    world.check_counts().await;
}

async fn a_named_event_stays_while_something_of_it_is_undecided(world: World) {
    let accepted = world.accept(event().to(1).to(2).key("k")).await;
    world.settle(1, accepted.deliveries[0], Next::Delivered, at(1)).await;
    assert_eq!(world.store().remove_events(vec![accepted.id]).await.unwrap(), 0);
    assert!(world.accept(event().key("k")).await.duplicate);
    world.settle(2, accepted.deliveries[1], Next::Delivered, at(2)).await;
    let many: Vec<_> =
        futures_util::future::join_all((0..300).map(|_| world.accept(event()))).await.into_iter().map(|one| one.id).collect();
    assert_eq!(world.store().remove_events([vec![accepted.id], many].concat()).await.unwrap(), 301, "in as many steps as it takes");
    world.check_counts().await;
}

async fn an_account_is_trimmed_from_its_oldest_decided_event_on(mut world: World) {
    let mut theirs = Vec::new();
    for number in 0..8 {
        world.accept(event().account("other").to(3)).await;
        theirs.push(world.accept(event().account("going").to(1).key(&format!("k{number}"))).await);
    }
    for (number, accepted) in theirs.iter().enumerate().filter(|(number, _)| *number != 1) {
        world.settle(1, accepted.deliveries[0], Next::Delivered, at(number as i64)).await;
    }
    let start = EventId::from_raw(0);
    let account = "going".parse().unwrap();
    let ids = |trimmed: &postrider::store::Trimmed| trimmed.removed.iter().map(|event| event.id).collect::<Vec<_>>();
    let step = world.store().trim(&account, Excess { events: 4, bytes: 0 }, start, 2).await.unwrap();
    assert_eq!(ids(&step), [theirs[0].id, theirs[2].id], "the limit of the step, and the undecided one stays");
    let step = world.store().trim(&account, Excess { events: 2, bytes: 0 }, step.next.unwrap(), 100).await.unwrap();
    assert_eq!(ids(&step), [theirs[3].id, theirs[4].id], "no more than the excess");
    let bytes = step.removed[0].bytes;
    let step = world.store().trim(&account, Excess { events: 0, bytes: bytes + 1 }, step.next.unwrap(), 100).await.unwrap();
    assert_eq!(ids(&step), [theirs[5].id, theirs[6].id], "bytes count too");
    let step = world.store().trim(&account, Excess { events: 9, bytes: 0 }, start, 100).await.unwrap();
    assert_eq!((ids(&step), step.next), (vec![theirs[7].id], None));
    for (number, accepted) in theirs.iter().enumerate() {
        assert_eq!(world.store().event(accepted.id).await.unwrap().is_some(), number == 1, "{number}");
        let again = world.accept(event().account("going").to(1).key(&format!("k{number}"))).await;
        assert!(again.duplicate && again.id == accepted.id, "the key of {number} is still known");
    }
    assert_eq!(world.rows(Tree::Events).await, 9);
    assert_eq!(world.rows(Tree::Attempts).await, 0);
    world.check_counts().await;
}
