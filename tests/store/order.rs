//! Order: of the deliveries with one order key, only the first undecided one is in the due index.

use postrider::delivery::{DeliveryState, Next, StateName};
use postrider::id::DeliveryId;

use super::world::{Build, EXHAUSTED, START, World, at, event, on_every_engine_and_pooled, order, sub};
use postrider::store::NewDelivery;

on_every_engine_and_pooled!(
    the_first_goes_and_the_others_wait,
    each_end_of_the_first_lets_the_next_go,
    one_that_waits_can_be_cancelled,
    one_that_waits_and_is_retried_still_waits,
    a_dead_one_that_is_retried_goes_outside_the_order,
    one_that_is_released_is_due_at_the_later_of_both_times,
    keys_and_subscriptions_do_not_wait_for_each_other,
    an_order_within_one_call_is_kept,
    an_order_is_kept_across_a_kill,
    ending_all_ends_those_that_wait,
);

async fn in_order(world: &World, key: u8) -> DeliveryId {
    world.accept(event().to_in_order(1, key)).await.deliveries[0]
}

async fn the_first_goes_and_the_others_wait(world: World) {
    let (first, second) = (in_order(&world, 1).await, in_order(&world, 1).await);
    assert_eq!(world.due(1, at(1_000)).await, [first]);
    assert_eq!(world.state(second).await, StateName::Pending);
    // Also while it waits to be retried.
    world.settle(1, first, Next::RetryAt(at(60)), at(1)).await;
    assert_eq!(world.due(1, at(59)).await, []);
    assert_eq!(world.due(1, at(60)).await, [first]);
    assert_eq!(world.counts(1).await.waiting, 2);
}

async fn each_end_of_the_first_lets_the_next_go(world: World) {
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(in_order(&world, 1).await);
    }
    world.settle(1, ids[0], Next::Delivered, at(1)).await;
    assert_eq!(world.due(1, at(1)).await, [ids[1]]);
    world.settle(1, ids[1], EXHAUSTED, at(2)).await;
    assert_eq!(world.due(1, at(2)).await, [ids[2]]);
    world.store().cancel(ids[2], at(3)).await.unwrap();
    assert_eq!(world.due(1, at(3)).await, [ids[3]]);
    world.settle(1, ids[3], Next::Delivered, at(4)).await;
    let last = in_order(&world, 1).await;
    assert_eq!(world.due(1, at(4)).await, [last]);
    world.check_counts().await;
}

async fn one_that_waits_can_be_cancelled(world: World) {
    let (first, second, third) = (in_order(&world, 1).await, in_order(&world, 1).await, in_order(&world, 1).await);
    world.store().cancel(second, at(1)).await.unwrap();
    assert_eq!(world.due(1, at(1)).await, [first]);
    world.settle(1, first, Next::Delivered, at(2)).await;
    assert_eq!(world.due(1, at(2)).await, [third]);
}

async fn one_that_waits_and_is_retried_still_waits(world: World) {
    let (first, second) = (in_order(&world, 1).await, in_order(&world, 1).await);
    let retried = world.store().retry(second, at(40), Some(2)).await.unwrap();
    assert_eq!(retried.state, DeliveryState::Pending { due_at: at(40) });
    assert_eq!(world.due(1, at(1_000)).await, [first]);
    world.settle(1, first, Next::Delivered, at(1)).await;
    let row = world.row(1, second).await;
    assert_eq!((row.due_at, row.template_version), (at(40), 2));
}

async fn a_dead_one_that_is_retried_goes_outside_the_order(world: World) {
    let (first, second) = (in_order(&world, 1).await, in_order(&world, 1).await);
    world.settle(1, first, EXHAUSTED, at(1)).await;
    world.store().retry(first, at(2), None).await.unwrap();
    assert_eq!(world.due(1, at(2)).await, [second, first]);
    // It does not hold up what comes.
    world.settle(1, second, Next::Delivered, at(3)).await;
    let third = in_order(&world, 1).await;
    assert!(world.due(1, at(3)).await.contains(&third));
    world.settle(1, first, EXHAUSTED, at(4)).await;
    assert_eq!(world.due(1, at(4)).await, [third]);
}

async fn one_that_is_released_is_due_at_the_later_of_both_times(world: World) {
    let first = in_order(&world, 1).await;
    let delivery = NewDelivery { subscription: sub(1), template_version: 1, due_at: at(100), order_key: Some(order(1)) };
    let mut late = event();
    late.deliveries = vec![delivery];
    let second = world.accept(late).await.deliveries[0];
    let third = in_order(&world, 1).await;
    world.settle(1, first, Next::Delivered, at(5)).await;
    assert_eq!(world.row(1, second).await.due_at, at(100));
    world.settle(1, second, Next::Delivered, at(101)).await;
    assert_eq!(world.row(1, third).await.due_at, at(101));
    assert_eq!(world.delivery(third).await.state, DeliveryState::Pending { due_at: at(101) });
}

async fn keys_and_subscriptions_do_not_wait_for_each_other(world: World) {
    let accepted = world.accept(event().to_in_order(1, 1).to_in_order(1, 2).to_in_order(2, 1).to(1)).await;
    assert_eq!(world.due(1, START).await.len(), 3);
    assert_eq!(world.due(2, START).await, [accepted.deliveries[2]]);
}

async fn an_order_within_one_call_is_kept(world: World) {
    let call = (0..5).map(|_| event().to_in_order(1, 1)).collect();
    let ids: Vec<_> = world.store().accept(call).await.unwrap().iter().map(|event| event.deliveries[0]).collect();
    for (place, &id) in ids.iter().enumerate() {
        let now = at(i64::try_from(place).unwrap());
        assert_eq!(world.due(1, now).await, [id]);
        world.settle(1, id, Next::Delivered, now).await;
    }
}

async fn an_order_is_kept_across_a_kill(mut world: World) {
    let (first, second) = (in_order(&world, 1).await, in_order(&world, 1).await);
    world.reopen_after_kill();
    let third = in_order(&world, 1).await;
    for id in [first, second, third] {
        assert_eq!(world.due(1, at(9)).await, [id]);
        world.settle(1, id, Next::Delivered, at(9)).await;
    }
}

async fn ending_all_ends_those_that_wait(world: World) {
    for number in 0..30 {
        world.accept(event().to_in_order(1, number % 3).to(1).to_in_order(2, 1)).await;
    }
    let mut ended = Vec::new();
    loop {
        match world.store().end_deliveries(sub(1), at(1), 7).await.unwrap() {
            0 => break,
            count => ended.push(count),
        }
    }
    assert_eq!(ended.iter().sum::<usize>(), 60);
    assert!(ended.iter().all(|&count| count <= 7));
    assert_eq!(world.due(1, at(1_000)).await, []);
    assert_eq!((world.counts(1).await.waiting, world.counts(1).await.cancelled), (0, 60));
    assert_eq!(world.counts(2).await.waiting, 30);
    world.check_counts().await;
}
