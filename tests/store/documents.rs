//! Documents: written with events or alone, all changes of a call or none, read by id and in order.

use std::sync::Arc;

use futures_util::future::join_all;
use postrider::id::EventId;
use postrider::store::{AcceptError, Direction, Document, DocumentChange, DocumentKind, DocumentQuery, Make, NewEvent, Store};

use super::world::{Build, World, event, on_every_engine};

on_every_engine!(
    documents_are_kept,
    a_large_document_leaves_nothing_behind,
    a_document_is_written_with_its_event_or_not_at_all,
    a_repeat_changes_no_document,
    a_document_that_is_not_as_expected_refuses_the_whole_call,
    changes_of_a_call_follow_on_each_other,
    a_value_is_made_from_the_event_and_what_is_there,
    values_made_at_the_same_time_miss_none,
    documents_are_read_in_order_and_in_parts,
    kinds_are_apart,
);

const KIND: DocumentKind = DocumentKind::Action;

fn change(id: &str, expected: Option<u64>, make: Make) -> DocumentChange {
    DocumentChange { kind: KIND, id: id.into(), expected, make }
}

fn put(id: &str, value: &str) -> DocumentChange {
    change(id, None, Make::Put(value.into()))
}

fn remove(id: &str) -> DocumentChange {
    change(id, None, Make::Remove)
}

/// Adds the event, or `-`, to the end of the value.
fn append(id: &str) -> DocumentChange {
    let make = |event: Option<EventId>, present: Option<&str>| {
        let event = event.map_or_else(|| "-".to_owned(), |event| event.to_string());
        Some(format!("{}{event}", present.unwrap_or_default()))
    };
    change(id, None, Make::From(Arc::new(make)))
}

fn with(event: NewEvent, documents: Vec<DocumentChange>) -> NewEvent {
    NewEvent { documents, ..event }
}

async fn make(world: &World, documents: Vec<DocumentChange>) {
    assert_eq!(world.store().accept_with(vec![], documents).await.unwrap(), []);
}

/// Revision and value.
async fn read(world: &World, id: &str) -> Option<(u64, String)> {
    let found = world.store().document(KIND, id).await.unwrap();
    assert!(found.iter().all(|found| found.kind == KIND && found.id == id));
    found.map(|found| (found.revision, found.value))
}

fn found(revision: u64, value: &str) -> Option<(u64, String)> {
    Some((revision, value.into()))
}

async fn documents_are_kept(mut world: World) {
    make(&world, vec![put("a", "1"), put("b", "2")]).await;
    world.reopen_after_kill();
    make(&world, vec![put("a", "3"), remove("b"), remove("missing")]).await;
    world.reopen().await;
    assert_eq!(read(&world, "a").await, found(2, "3"));
    assert_eq!(read(&world, "b").await, None);
    make(&world, vec![put("b", "4")]).await;
    assert_eq!(read(&world, "b").await, found(1, "4"));
}

async fn a_large_document_leaves_nothing_behind(mut world: World) {
    let large = |length| format!("\"{}\"", "x".repeat(length));
    for (revision, length) in (1..).zip([90_000, 10, 50_000, 5_000]) {
        make(&world, vec![put("a", &large(length))]).await;
        assert_eq!(read(&world, "a").await, found(revision, &large(length)));
    }
    make(&world, vec![put("a", &large(70_000))]).await;
    make(&world, vec![remove("a"), put("ab", &large(30_000))]).await;
    world.reopen().await;
    assert_eq!(read(&world, "a").await, None);
    make(&world, vec![put("a", &large(8_000))]).await;
    assert_eq!((read(&world, "a").await, read(&world, "ab").await), (found(1, &large(8_000)), found(1, &large(30_000))));
}

async fn a_document_is_written_with_its_event_or_not_at_all(mut world: World) {
    world.accept(event().key("known")).await;
    world.accept(with(event().to(1), vec![put("a", "1")])).await;
    let before = world.everything().await;
    let refused = vec![with(event(), vec![put("a", "2"), put("b", "2")]), event().data("{}").key("known")];
    assert!(matches!(world.store().accept(refused).await, Err(AcceptError::KeyReused { index: 1, .. })));
    world.reopen().await;
    assert_eq!(world.everything().await, before);
    assert_eq!((read(&world, "a").await, read(&world, "b").await), (found(1, "1"), None));
}

async fn a_repeat_changes_no_document(world: World) {
    let reported = || with(event().key("k"), vec![append("a")]);
    let first = world.accept(reported()).await;
    assert!(world.accept(reported()).await.duplicate);
    // Not within a call either, and what it expects does not matter.
    let call = vec![with(event().key("l"), vec![put("b", "1")]), with(event().key("l"), vec![change("b", Some(9), Make::Remove)])];
    assert!(world.store().accept(call).await.unwrap()[1].duplicate);
    assert_eq!(read(&world, "a").await, found(1, &first.id.to_string()));
    assert_eq!(read(&world, "b").await, found(1, "1"));
    // What hangs on no event is changed with a repeat too.
    world.store().accept_with(vec![reported()], vec![put("c", "1")]).await.unwrap();
    assert_eq!(read(&world, "c").await, found(1, "1"));
}

async fn a_document_that_is_not_as_expected_refuses_the_whole_call(world: World) {
    make(&world, vec![put("a", "1"), put("a", "2")]).await;
    let before = world.everything().await;
    for (id, expected) in [("a", 0), ("a", 1), ("a", 3), ("missing", 1)] {
        let refused = change(id, Some(expected), Make::Put("9".into()));
        for (events, documents) in [
            (vec![event().to(1), with(event().to(1).key("k"), vec![put("b", "1"), refused.clone()])], vec![]),
            (vec![with(event().to(1).key("k"), vec![put("b", "1")])], vec![put("c", "1"), refused]),
        ] {
            match world.store().accept_with(events, documents).await {
                Err(AcceptError::DocumentChanged { kind: KIND, id: changed }) => assert_eq!(changed, id),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(world.everything().await, before);
    make(&world, vec![change("a", Some(2), Make::Remove), change("missing", Some(0), Make::Put("1".into()))]).await;
    assert_eq!((read(&world, "a").await, read(&world, "missing").await), (None, found(1, "1")));
    assert!(!world.accept(event().data("{}").key("k")).await.duplicate);
    world.check_counts().await;
}

async fn changes_of_a_call_follow_on_each_other(world: World) {
    let first = with(event(), vec![change("a", Some(0), Make::Put("1".into())), change("a", Some(1), Make::Put("2".into()))]);
    let second = with(event(), vec![change("a", Some(2), Make::Remove), change("a", Some(0), Make::Put("3".into()))]);
    world.store().accept_with(vec![first, second], vec![change("a", Some(1), Make::Put("4".into()))]).await.unwrap();
    assert_eq!(read(&world, "a").await, found(2, "4"));
    make(&world, vec![put("b", "1"), remove("b")]).await;
    assert_eq!(read(&world, "b").await, None);
}

async fn a_value_is_made_from_the_event_and_what_is_there(world: World) {
    let accepted = world.store().accept_with(vec![with(event(), vec![append("a")]), with(event(), vec![append("a")])], vec![append("a")]);
    let ids: Vec<_> = accepted.await.unwrap().into_iter().map(|event| event.id).collect();
    assert_eq!(read(&world, "a").await, found(3, &format!("{}{}-", ids[0], ids[1])));
    // A function may leave it as it is, and may expect it as it is.
    let leave = |expected| change("a", Some(expected), Make::From(Arc::new(|_, _| None)));
    make(&world, vec![leave(3)]).await;
    assert!(world.store().accept_with(vec![], vec![leave(2)]).await.is_err());
    make(&world, vec![change("b", Some(0), Make::From(Arc::new(|_, _| None)))]).await;
    assert_eq!((read(&world, "a").await.unwrap().0, read(&world, "b").await), (3, None));
    make(&world, vec![put("c", "1"), change("c", None, Make::From(Arc::new(|_, _| None)))]).await;
    assert_eq!(read(&world, "c").await, found(1, "1"));
}

async fn values_made_at_the_same_time_miss_none(world: World) {
    let one_more = |_: Option<EventId>, present: Option<&str>| Some((present.map_or(0, |text| text.parse().unwrap()) + 1).to_string());
    let count = || change("count", None, Make::From(Arc::new(one_more)));
    join_all((0..60).map(|_| world.accept(with(event().to(1), vec![count()])))).await;
    assert_eq!(read(&world, "count").await, found(60, "60"));
}

async fn listed(world: &World, prefix: &str, after: Option<&str>, before: Option<&str>, direction: Direction, limit: usize) -> String {
    let (after, before) = (after.map(Into::into), before.map(Into::into));
    let query = DocumentQuery { kind: KIND, prefix: prefix.into(), after, before, direction, limit };
    let documents = world.store().documents(&query).await.unwrap();
    documents.into_iter().map(|document| document.id).collect::<Vec<_>>().join(" ")
}

async fn documents_are_read_in_order_and_in_parts(mut world: World) {
    let ids = ["a/1", "a/2", "a/3", "a/30", "ab/1", "b/1"];
    make(&world, ids.iter().rev().map(|id| put(id, "1")).collect()).await;
    world.reopen().await;
    use Direction::{Backward, Forward};
    assert_eq!(listed(&world, "", None, None, Forward, 9).await, "a/1 a/2 a/3 a/30 ab/1 b/1");
    assert_eq!(listed(&world, "a/", None, None, Forward, 9).await, "a/1 a/2 a/3 a/30");
    assert_eq!(listed(&world, "a/", None, None, Backward, 2).await, "a/30 a/3");
    assert_eq!(listed(&world, "a/", None, Some("a/3"), Backward, 2).await, "a/2 a/1");
    assert_eq!(listed(&world, "a/", Some("a/2"), None, Forward, 9).await, "a/3 a/30");
    assert_eq!(listed(&world, "a/", Some("a/1"), Some("a/30"), Forward, 9).await, "a/2 a/3");
    assert_eq!(listed(&world, "a/", Some("0"), Some("z"), Backward, 9).await, "a/30 a/3 a/2 a/1");
    assert_eq!(listed(&world, "a/", Some("b"), None, Forward, 9).await, "");
    assert_eq!(listed(&world, "b/", None, Some("a"), Forward, 9).await, "");
    assert_eq!(listed(&world, "", None, None, Forward, 0).await, "");
}

async fn kinds_are_apart(world: World) {
    let of = |kind, value: &str| DocumentChange { kind, id: "a".into(), expected: Some(0), make: Make::Put(value.into()) };
    let changes = DocumentKind::ALL.map(|kind| of(kind, kind.as_str()));
    make(&world, changes.to_vec()).await;
    for kind in DocumentKind::ALL {
        let query = DocumentQuery { kind, prefix: String::new(), after: None, before: None, direction: Direction::Forward, limit: 9 };
        let expected = Document { kind, id: "a".into(), revision: 1, value: kind.as_str().into() };
        assert_eq!(world.store().documents(&query).await.unwrap(), [expected]);
        assert_eq!(DocumentKind::from_name(kind.as_str()), Some(kind));
    }
}
