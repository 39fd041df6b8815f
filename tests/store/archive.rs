//! Archives: what one store gives another takes, also by way of lines of JSON; and the check of a store.

use postrider::delivery::Next;
use postrider::id::EventId;
use postrider::store::archive::{ArchiveError, ArchivePlace, Archived, Line, LinesReader, LinesWriter};
use postrider::store::{
    Batch, ConfigurationChange, ConfigurationKind, ConfigurationRecord, Direction, DocumentChange, DocumentKind, EventQuery, KeyRange,
    Make, Tree,
};

use super::world::{Build, EXHAUSTED, Kind, World, at, event, on_every_engine_and_pooled, sub};

/// All of an archive, read in pages of `limit`.
async fn archived(world: &World, limit: usize) -> Vec<Archived> {
    let (mut items, mut place) = (Vec::new(), Some(ArchivePlace::Start));
    while let Some(after) = place {
        let page = world.store().archive(after, limit).await.unwrap();
        assert!(page.items.len() <= limit);
        items.extend(page.items);
        place = page.next;
    }
    items
}

/// An archive written as lines and read again.
fn through_lines(items: Vec<Archived>, configuration: Vec<ConfigurationRecord>) -> (Vec<Archived>, Vec<ConfigurationRecord>) {
    let text = written(items, configuration);
    let (mut reader, header) = LinesReader::begin(text.as_slice()).unwrap();
    assert_eq!(header.created_at, at(9));
    let (mut items, mut configuration) = (Vec::new(), Vec::new());
    while let Some(line) = reader.next_line().unwrap() {
        match line {
            Line::Item(item) => items.push(item),
            Line::Configuration(record) => configuration.push(record),
            Line::Header(_) => panic!("a second header"),
        }
    }
    (items, configuration)
}

fn written(items: Vec<Archived>, configuration: Vec<ConfigurationRecord>) -> Vec<u8> {
    let mut writer = LinesWriter::begin(Vec::new(), at(9)).unwrap();
    items.into_iter().for_each(|item| writer.item(item).unwrap());
    configuration.into_iter().for_each(|record| writer.configuration(record).unwrap());
    writer.end().unwrap()
}

/// Fails unless the store is without fault, and a store restored from its archive is the same.
pub async fn assert_restorable(world: &World) {
    assert_eq!(world.store().check().await.unwrap().described, Vec::<String>::new());
    let configuration = world.store().configuration().await.unwrap();
    let (items, configuration) = through_lines(archived(world, 3).await, configuration);
    let copy = World::new(Kind::MemoryInline);
    let changes = configuration.into_iter().map(|record| ConfigurationChange::Put { record, if_absent: true }).collect();
    copy.store().configure(changes).await.unwrap();
    let count = items.len();
    assert_eq!(copy.store().restore(items.clone()).await.unwrap(), count);
    assert_eq!(copy.store().restore(items).await.unwrap(), 0, "what is there is not taken twice");
    assert_eq!(copy.everything().await, world.everything().await);
    assert_eq!(copy.store().check().await.unwrap().described, Vec::<String>::new());
}

/// A store with deliveries in every state.
async fn fill(world: &World) {
    let first = world.accept(event().to(1).to_later(2, at(60)).to_in_order(3, 1).key("key-1")).await;
    world.accept(event().received(at(1)).account("other").to_in_order(3, 1)).await;
    let last = world.accept(event().received(at(2)).data(r#"{"Note":"ünï \"x\"","n":12345678901234567890.10}"#).to(1).to(1).to(1)).await;
    world.settle(1, first.deliveries[0], Next::RetryAt(at(30)), at(3)).await;
    world.settle(1, last.deliveries[0], Next::Delivered, at(4)).await;
    world.settle(1, last.deliveries[1], EXHAUSTED, at(5)).await;
    world.store().cancel(last.deliveries[2], at(6)).await.unwrap();
    let document = |kind, id: &str, value: &str| DocumentChange { kind, id: id.into(), expected: None, make: Make::Put(value.into()) };
    let mut documents: Vec<_> = ["a", "b", "c"].map(|id| document(DocumentKind::Action, id, r#"{"n":1.10}"#)).to_vec();
    documents.extend([document(DocumentKind::Click, "a", "1"), document(DocumentKind::Action, "b", "\"\\n\"")]);
    world.store().accept_with(vec![], documents).await.unwrap();
    let record = ConfigurationRecord { kind: ConfigurationKind::Subscription, id: sub(1).to_string(), value: r#"{"a":"\n"}"#.into() };
    world.store().configure(vec![ConfigurationChange::Put { record, if_absent: true }]).await.unwrap();
}

on_every_engine_and_pooled!(a_restored_store_is_the_same, a_restored_store_goes_on, bodies_that_are_no_text_survive);

async fn a_restored_store_is_the_same(world: World) {
    assert_restorable(&world).await;
    fill(&world).await;
    assert_restorable(&world).await;
}

/// Keys are known, what waited for another still does, and new ids come after the restored ones.
async fn a_restored_store_goes_on(world: World) {
    let source = World::new(Kind::MemoryInline);
    fill(&source).await;
    world.store().restore(archived(&source, 100).await).await.unwrap();
    let newest = world.store().events(&EventQuery { limit: 1, ..EventQuery::default() }).await.unwrap().items[0].id;
    assert!(world.accept(event().to(1).to_later(2, at(60)).to_in_order(3, 1).key("key-1")).await.duplicate);
    assert!(world.accept(event().received(at(-1_000_000))).await.id > newest);
    let ordered = world.due(3, at(100)).await;
    assert_eq!(ordered.len(), 1);
    world.settle(3, ordered[0], Next::Delivered, at(101)).await;
    assert_eq!(world.due(3, at(200)).await.len(), 1, "the second is due when the first is decided");
    world.check_counts().await;
}

async fn bodies_that_are_no_text_survive(world: World) {
    let id = world.owe(1).await;
    let row = world.row(1, id).await;
    let mut settlement = super::world::settlement(1, &row, Next::Delivered, at(1));
    settlement.attempt.response.as_mut().unwrap().body = vec![0, 159, 146, 150, 10];
    world.store().settle(settlement).await.unwrap();
    assert_restorable(&world).await;
}

#[tokio::test]
async fn a_wrong_archive_is_refused_with_its_line() {
    let world = World::new(Kind::MemoryInline);
    fill(&world).await;
    let whole = written(archived(&world, 100).await, world.store().configuration().await.unwrap());
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let read = |bytes: &[u8]| -> Result<usize, ArchiveError> {
        let (mut reader, _) = LinesReader::begin(bytes)?;
        let mut count = 0;
        while reader.next_line()?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    assert_eq!(read(&whole).unwrap(), lines.len() - 2);
    assert!(matches!(read(b""), Err(ArchiveError::NotAnArchive)));
    assert!(matches!(read(b"{\"record\":\"header\"}\n"), Err(ArchiveError::NotAnArchive)));
    assert!(matches!(
        read(b"{\"record\":\"header\",\"format\":99,\"release\":\"9\",\"created_at\":\"2026-01-01T00:00:00Z\"}\n"),
        Err(ArchiveError::LaterFormat { format: 99 })
    ));
    assert!(matches!(read(&lines[..lines.len() - 1].concat()), Err(ArchiveError::CutOff { .. })));
    assert!(matches!(read(&whole[..whole.len() - 1]), Err(ArchiveError::CutOff { .. })));
    let without_second = [&lines[..1], &lines[2..]].concat().concat();
    assert!(matches!(read(&without_second), Err(ArchiveError::Line { .. })), "a missing line shows in the last one");
    let mut broken = lines.clone();
    broken[2] = b"{\"record\":\"event\",\"id\":7}\n";
    assert!(matches!(read(&broken.concat()), Err(ArchiveError::Line { number: 3, .. })));
}

#[tokio::test]
async fn a_check_finds_what_does_not_fit() {
    // One row of each tree that something else depends on, removed.
    let cases = [
        (Tree::Events, "is not there"),
        (Tree::Deliveries, "is not there"),
        (Tree::Due, "is not in the due index"),
        (Tree::Order, "has an order and no row there"),
        (Tree::Attempts, "attempt 1 of"),
        (Tree::KeyExpiry, "would never expire"),
        (Tree::Counts, "are not what its deliveries add up to"),
    ];
    for (tree, words) in cases {
        let mut world = World::new(Kind::MemoryInline);
        fill(&world).await;
        world.close().await;
        let kv = world.kv();
        let mut first = None;
        kv.scan(tree, KeyRange::ALL, Direction::Forward, &mut |key, _| {
            first = Some(key.to_vec());
            std::ops::ControlFlow::Break(())
        })
        .unwrap();
        let mut batch = Batch::default();
        batch.remove(tree, first.unwrap());
        kv.write(batch).unwrap();
        world.reopen().await;
        let report = world.store().check().await.unwrap();
        assert!(report.described.iter().any(|fault| fault.contains(words)), "{tree:?}: {report:?}");
        assert_eq!(report.faults, report.described.len() as u64);
    }
}

#[tokio::test]
async fn an_archive_read_while_the_store_works_is_whole() {
    let world = World::new(Kind::Memory);
    let mut first = None;
    for number in 0..60 {
        let id = world.owe(1 + number % 3).await;
        first.get_or_insert(id);
    }
    let (mut items, mut place, mut settled) = (Vec::new(), Some(ArchivePlace::Start), 0);
    while let Some(after) = place {
        let page = world.store().archive(after, 7).await.unwrap();
        items.extend(page.items);
        place = page.next;
        // Between two pages: deliveries end, events come.
        for to in 1..4 {
            if let Some(id) = world.due(to, at(50)).await.first().copied() {
                world.settle(to, id, if settled % 2 == 0 { Next::Delivered } else { Next::RetryAt(at(90)) }, at(20)).await;
                settled += 1;
            }
        }
        // What comes after the last page of events is not in it.
        if items.len() < 80 && matches!(place, Some(ArchivePlace::Event(_))) {
            world.owe(2).await;
        }
    }
    assert!(settled > 10);
    assert!(items.iter().any(|item| matches!(item, Archived::Event(event) if event.event.id == first.unwrap().event())));
    let copy = World::new(Kind::MemoryInline);
    copy.store().restore(items).await.unwrap();
    assert_eq!(copy.store().check().await.unwrap().described, Vec::<String>::new());
    let all: Vec<EventId> = world
        .store()
        .events(&EventQuery { limit: 1_000, ..EventQuery::default() })
        .await
        .unwrap()
        .items
        .iter()
        .map(|event| event.id)
        .collect();
    let copied = copy.store().events(&EventQuery { limit: 1_000, ..EventQuery::default() }).await.unwrap().items.len();
    assert_eq!(copied, all.len(), "no event is left out");
}
