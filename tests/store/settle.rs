//! Settling: attempts go on record and decide.

use postrider::attempt::Outcome;
use postrider::delivery::{DeliveryState, Next, StateName};
use postrider::id::{AttemptId, DeliveryId};
use postrider::store::Counts;

use super::world::{Build, EXHAUSTED, START, World, at, event, on_every_engine_and_pooled, settlement};

on_every_engine_and_pooled!(
    a_page_of_the_due_index_is_in_order_of_time,
    what_is_in_flight_is_skipped,
    a_page_says_what_comes_later,
    a_success_ends_a_delivery,
    a_failure_is_due_again_later,
    the_last_failure_makes_it_dead,
    the_same_attempt_is_recorded_once,
    what_follows_an_attempt_of_unknown_outcome_may_be_a_repeat,
    what_is_gone_is_not_settled,
    a_cancelled_delivery_stays_cancelled_unless_it_was_delivered,
    a_retry_asked_for_in_flight_is_kept,
    a_retry_asked_for_in_flight_ends_with_a_success,
    attempts_are_kept_as_they_were,
    counts_follow_every_change,
);

async fn a_page_of_the_due_index_is_in_order_of_time(world: World) {
    for seconds in [30, 10, 20, 40] {
        world.accept(event().to_later(1, at(seconds)).to_later(2, at(1))).await;
    }
    let page = world.page(1, at(35), &[], 2).await;
    assert_eq!(page.rows.iter().map(|row| row.due_at).collect::<Vec<_>>(), [at(10), at(20)]);
    assert!(page.more);
    let page = world.page(1, at(35), &[], 3).await;
    assert_eq!((page.rows.len(), page.more, page.next_due), (3, false, Some(at(40))));
    let page = world.page(3, at(35), &[], 3).await;
    assert_eq!((page.rows.len(), page.more, page.next_due), (0, false, None));
}

async fn what_is_in_flight_is_skipped(world: World) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.owe(1).await);
    }
    let page = world.page(1, START, &[ids[0], ids[1], ids[4]], 2).await;
    assert_eq!(page.rows.iter().map(|row| row.delivery).collect::<Vec<_>>(), ids[2..4]);
    assert!(!page.more);
    assert!(world.page(1, START, &ids[..2], 2).await.more);
}

async fn a_page_says_what_comes_later(world: World) {
    let early = world.accept(event().to_later(1, at(10))).await.deliveries[0];
    world.accept(event().to_later(1, at(20))).await;
    assert_eq!(world.page(1, START, &[], 9).await.next_due, Some(at(10)));
    assert_eq!(world.page(1, START, &[early], 9).await.next_due, Some(at(20)));
    // A row that is due in this millisecond is due.
    assert_eq!(world.page(1, at(10), &[], 9).await.rows.len(), 1);
}

async fn a_success_ends_a_delivery(mut world: World) {
    let id = world.owe(1).await;
    let settled = world.settle(1, id, Next::Delivered, at(1)).await.unwrap();
    assert_eq!(settled.state, DeliveryState::Delivered { at: at(1) });
    assert_eq!((settled.attempts, settled.last_outcome), (1, Some(Outcome::Delivered)));
    assert_eq!(world.delivery(id).await, settled);
    assert_eq!(world.due(1, at(1_000)).await, []);
    world.reopen().await;
    assert_eq!(world.delivery(id).await, settled);
}

async fn a_failure_is_due_again_later(world: World) {
    let id = world.owe(1).await;
    let settled = world.settle(1, id, Next::RetryAt(at(30)), at(1)).await.unwrap();
    assert_eq!(settled.state, DeliveryState::Pending { due_at: at(30) });
    assert_eq!(world.due(1, at(29)).await, []);
    let row = world.row(1, id).await;
    assert_eq!((row.due_at, row.attempts), (at(30), 1));
    let attempts = world.store().attempts(id).await.unwrap();
    assert_eq!(attempts[0].next_due_at, Some(at(30)));
}

async fn the_last_failure_makes_it_dead(world: World) {
    let id = world.owe(1).await;
    world.settle(1, id, Next::RetryAt(at(5)), at(1)).await;
    let settled = world.settle(1, id, EXHAUSTED, at(6)).await.unwrap();
    assert_eq!((settled.state.name(), settled.attempts), (StateName::Dead, 2));
    assert_eq!(world.due(1, at(1_000)).await, []);
}

async fn the_same_attempt_is_recorded_once(world: World) {
    let id = world.owe(1).await;
    let row = world.row(1, id).await;
    world.settle_row(1, &row, Next::RetryAt(at(30)), at(1)).await;
    let again = world.settle_row(1, &row, Next::RetryAt(at(30)), at(1)).await.unwrap();
    assert_eq!((again.attempts, world.counts(1).await.attempts), (1, 1));

    // Another attempt with the same number is another attempt.
    let mut other = settlement(1, &world.row(1, id).await, Next::RetryAt(at(60)), at(31));
    (other.attempt.number, other.attempt.id) = (1, AttemptId::from_raw(99));
    assert_eq!(world.store().settle(other).await.unwrap().unwrap().attempts, 2);
    let numbers: Vec<u32> = world.store().attempts(id).await.unwrap().iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2]);
}

async fn what_follows_an_attempt_of_unknown_outcome_may_be_a_repeat(world: World) {
    let id = world.owe(1).await;
    for (outcome, next) in
        [(Outcome::Unknown, Next::RetryAt(START)), (Outcome::TimedOut, Next::RetryAt(START)), (Outcome::Delivered, Next::Delivered)]
    {
        let row = world.page(1, START, &[], 1).await.rows.remove(0);
        let mut settlement = settlement(1, &row, next, START);
        settlement.attempt.outcome = outcome;
        world.store().settle(settlement).await.unwrap();
    }
    let attempts = world.store().attempts(id).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.possible_repeat).collect::<Vec<_>>(), [false, true, false]);
}

async fn what_is_gone_is_not_settled(world: World) {
    let id = world.owe(1).await;
    let mut row = world.row(1, id).await;
    row.delivery = DeliveryId::of(id.event(), 9);
    assert_eq!(world.settle_row(1, &row, Next::Delivered, at(1)).await, None);
    assert!(world.store().attempts(row.delivery).await.unwrap().is_empty());
}

async fn a_cancelled_delivery_stays_cancelled_unless_it_was_delivered(world: World) {
    for (next, then) in
        [(Next::RetryAt(at(30)), StateName::Cancelled), (EXHAUSTED, StateName::Cancelled), (Next::Delivered, StateName::Delivered)]
    {
        let id = world.owe(1).await;
        let row = world.row(1, id).await;
        world.store().cancel(id, at(1)).await.unwrap();
        let settled = world.settle_row(1, &row, next, at(2)).await.unwrap();
        assert_eq!((settled.state.name(), settled.attempts), (then, 1));
        assert_eq!(world.store().attempts(id).await.unwrap()[0].next_due_at, None);
    }
    assert_eq!(world.due(1, at(1_000)).await, []);
    assert_eq!(world.counts(1).await, Counts { cancelled: 2, delivered: 1, attempts: 3, ..Counts::default() });
    world.check_counts().await;
}

async fn a_retry_asked_for_in_flight_is_kept(world: World) {
    for next in [Next::RetryAt(at(500)), EXHAUSTED] {
        let id = world.owe(1).await;
        let row = world.row(1, id).await;
        world.store().retry(id, at(3), Some(4)).await.unwrap();
        let settled = world.settle_row(1, &row, next, at(5)).await.unwrap();
        assert_eq!(settled.state, DeliveryState::Pending { due_at: at(3) });
        let row = world.row(1, id).await;
        assert_eq!((row.due_at, row.attempts, row.template_version), (at(3), 1, 4));
        world.store().cancel(id, at(6)).await.unwrap();
    }
    world.check_counts().await;
}

async fn a_retry_asked_for_in_flight_ends_with_a_success(world: World) {
    let id = world.owe(1).await;
    let row = world.row(1, id).await;
    world.store().retry(id, at(3), None).await.unwrap();
    world.settle_row(1, &row, Next::Delivered, at(5)).await;
    assert_eq!(world.state(id).await, StateName::Delivered);
    assert_eq!(world.due(1, at(1_000)).await, []);
}

async fn attempts_are_kept_as_they_were(mut world: World) {
    let id = world.owe(1).await;
    let mut first = settlement(1, &world.row(1, id).await, Next::RetryAt(at(30)), at(1));
    first.attempt.response.as_mut().unwrap().body = (0..=255).cycle().take(8_192).collect();
    first.attempt.request.as_mut().unwrap().body = vec![b'x'; 1 << 20];
    first.attempt.next_due_at = Some(at(30));
    world.store().settle(first.clone()).await.unwrap();
    let mut second = settlement(1, &world.row(1, id).await, Next::Delivered, at(31));
    (second.attempt.request, second.attempt.response, second.attempt.possible_repeat) = (None, None, true);
    world.store().settle(second.clone()).await.unwrap();
    world.reopen().await;
    assert_eq!(world.store().attempts(id).await.unwrap(), [first.attempt, second.attempt]);
}

async fn counts_follow_every_change(mut world: World) {
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(world.owe(1).await);
    }
    world.settle(1, ids[0], Next::Delivered, at(1)).await;
    world.settle(1, ids[1], EXHAUSTED, at(1)).await;
    world.settle(1, ids[2], EXHAUSTED, at(1)).await;
    world.settle(1, ids[3], Next::RetryAt(at(9)), at(1)).await;
    world.store().cancel(ids[4], at(1)).await.unwrap();
    world.store().cancel(ids[1], at(1)).await.unwrap();
    world.store().retry(ids[2], at(2), None).await.unwrap();
    let expected = Counts { waiting: 3, delivered: 1, dead: 0, cancelled: 2, attempts: 4 };
    assert_eq!(world.counts(1).await, expected);
    world.check_counts().await;
    world.reopen_after_kill();
    assert_eq!(world.counts(1).await, expected);
}
