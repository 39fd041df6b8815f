//! What commits tell the lanes.

use postrider::delivery::Next;
use postrider::store::{FRESH_ROWS_MAX, LaneNotice};

use super::world::{Build, EXHAUSTED, START, World, at, event, on_every_engine, sub};

on_every_engine!(
    a_row_that_is_due_comes_with_its_event,
    a_row_that_is_due_later_is_told_by_its_time,
    a_large_event_is_left_to_be_read,
    more_rows_than_fit_are_told_by_their_time,
    a_retry_by_rule_is_told_by_its_time,
    a_cancelled_row_is_told_as_removed,
    a_moved_row_is_told_as_removed_and_by_its_time,
    a_row_that_is_released_is_told,
    nothing_is_told_of_what_was_refused,
    a_notice_is_there_before_the_answer,
);

fn taken(world: &World, to: u128) -> LaneNotice {
    world.store().notices().take().remove(&sub(to)).unwrap_or_default()
}

async fn a_row_that_is_due_comes_with_its_event(world: World) {
    let accepted = world.accept(event().to(1).to(2)).await;
    let mut notices = world.store().notices().take();
    assert_eq!(notices.len(), 2);
    let notice = notices.remove(&sub(2)).unwrap();
    let row = &notice.fresh[0];
    assert_eq!((row.delivery, row.due_at, row.attempts, row.template_version), (accepted.deliveries[1], START, 0, 1));
    let read = world.store().event(accepted.id).await.unwrap();
    assert_eq!(row.event, read);
    assert_eq!((notice.earliest_due, notice.removed.len(), notice.forget), (None, 0, false));
    assert!(world.store().notices().take().is_empty());
}

async fn a_row_that_is_due_later_is_told_by_its_time(world: World) {
    world.accept(event().to_later(1, at(20)).to_later(1, at(10))).await;
    let notice = taken(&world, 1);
    assert_eq!((notice.fresh.len(), notice.earliest_due), (0, Some(at(10))));
}

async fn a_large_event_is_left_to_be_read(world: World) {
    let text = format!(r#"{{"note":"{}"}}"#, "x".repeat(20_000));
    world.accept(event().data(&text).to(1)).await;
    let notice = taken(&world, 1);
    assert_eq!((notice.fresh.len(), notice.fresh[0].event.is_none()), (1, true));
}

async fn more_rows_than_fit_are_told_by_their_time(world: World) {
    let call = (0..FRESH_ROWS_MAX + 5).map(|_| event().to(1)).collect();
    world.store().accept(call).await.unwrap();
    let notice = taken(&world, 1);
    assert_eq!((notice.fresh.len(), notice.earliest_due), (FRESH_ROWS_MAX, Some(START)));
}

async fn a_retry_by_rule_is_told_by_its_time(world: World) {
    let id = world.owe(1).await;
    let _ = world.store().notices().take();
    world.settle(1, id, Next::RetryAt(at(30)), at(1)).await;
    let notice = taken(&world, 1);
    assert_eq!((notice.fresh.len(), notice.earliest_due, notice.removed.len()), (0, Some(at(30)), 0));
    world.settle(1, id, EXHAUSTED, at(31)).await;
    assert!(world.store().notices().take().is_empty());
    world.store().retry(id, at(40), None).await.unwrap();
    let notice = taken(&world, 1);
    // The lane may not have heard yet how the last attempt ended, and has to look once more then.
    assert_eq!((notice.earliest_due, notice.removed), (Some(at(40)), vec![id]));
}

async fn a_cancelled_row_is_told_as_removed(world: World) {
    let id = world.owe(1).await;
    let _ = world.store().notices().take();
    world.store().cancel(id, at(1)).await.unwrap();
    assert_eq!(taken(&world, 1).removed, [id]);
    for _ in 0..FRESH_ROWS_MAX + 5 {
        world.owe(1).await;
    }
    let _ = world.store().notices().take();
    world.store().end_deliveries(sub(1), at(1), 1_000).await.unwrap();
    let notice = taken(&world, 1);
    assert!(notice.forget && notice.removed.len() <= FRESH_ROWS_MAX);
}

async fn a_moved_row_is_told_as_removed_and_by_its_time(world: World) {
    let id = world.owe(1).await;
    world.store().retry(id, at(7), None).await.unwrap();
    // In this order: taken in, dropped, read again from the index.
    let notice = taken(&world, 1);
    assert_eq!((notice.fresh[0].delivery, notice.removed, notice.earliest_due), (id, vec![id], Some(at(7))));
}

async fn a_row_that_is_released_is_told(world: World) {
    let first = world.accept(event().to_in_order(1, 1)).await.deliveries[0];
    let second = world.accept(event().to_in_order(1, 1)).await.deliveries[0];
    assert_eq!(taken(&world, 1).fresh.len(), 1);
    world.settle(1, first, Next::Delivered, at(1)).await;
    let notice = taken(&world, 1);
    assert_eq!((notice.fresh[0].delivery, notice.fresh[0].due_at), (second, at(1)));
}

async fn nothing_is_told_of_what_was_refused(world: World) {
    world.accept(event().key("k")).await;
    assert!(world.store().accept(vec![event().to(1), event().data("{}").key("k")]).await.is_err());
    assert!(world.store().notices().take().is_empty());
}

async fn a_notice_is_there_before_the_answer(world: World) {
    for _ in 0..50 {
        let id = world.owe(1).await;
        assert_eq!(taken(&world, 1).fresh[0].delivery, id);
        let again = world.settle(1, id, Next::RetryAt(at(5)), at(1)).await.unwrap();
        assert_eq!(taken(&world, 1).earliest_due, again.state.due_at());
    }
}
