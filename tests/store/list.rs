//! Lists: newest first, a page at a time.

use postrider::delivery::{Next, StateName};
use postrider::event::Event;
use postrider::id::{DeliveryId, EventId};
use postrider::store::{DeliveryQuery, EventQuery};

use super::world::{Build, EXHAUSTED, World, at, event, on_every_engine, sub};

on_every_engine!(
    events_are_listed_newest_first_by_pages,
    events_are_filtered,
    deliveries_of_all_subscriptions_are_merged,
    deliveries_are_filtered,
    deliveries_of_an_event_are_listed,
    the_end_of_a_list_is_known,
    a_page_that_finds_little_is_short,
);

/// All pages of events, of this size each.
async fn events(world: &World, query: EventQuery, limit: usize) -> Vec<Event> {
    let mut query = EventQuery { limit, ..query };
    let mut all = Vec::new();
    loop {
        let page = world.store().events(&query).await.unwrap();
        assert!(page.items.len() <= limit);
        all.extend(page.items.iter().map(|event| (**event).clone()));
        match page.next {
            Some(next) => query.before = Some(EventId::from_raw(next)),
            None => return all,
        }
    }
}

async fn deliveries(world: &World, query: DeliveryQuery, limit: usize) -> Vec<DeliveryId> {
    let mut query = DeliveryQuery { limit, ..query };
    let mut all = Vec::new();
    loop {
        let page = world.store().deliveries(&query).await.unwrap();
        assert!(page.items.len() <= limit);
        all.extend(page.items.iter().map(|delivery| delivery.id));
        match page.next {
            Some(next) => query.before = Some(DeliveryId::from_raw(next)),
            None => return all,
        }
    }
}

fn reversed<T: Copy>(items: &[T]) -> Vec<T> {
    items.iter().rev().copied().collect()
}

async fn events_are_listed_newest_first_by_pages(world: World) {
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(world.accept(event().received(at(number))).await.id);
    }
    for limit in [1, 2, 3, 7, 50] {
        let listed: Vec<_> = events(&world, EventQuery::default(), limit).await.iter().map(|event| event.id).collect();
        assert_eq!(listed, reversed(&ids), "limit {limit}");
    }
}

async fn events_are_filtered(world: World) {
    let texts = [r#"{"a":"1","b":2.50}"#, r#"{"a":1}"#, r#"{"a":true}"#, "{}"];
    for (number, text) in (0..).zip(texts) {
        let account = if number % 2 == 0 { "acme" } else { "other" };
        world.accept(event().account(account).event_type("click.recorded").received(at(number)).data(text)).await;
        world.accept(event().account(account).received(at(number)).data(text)).await;
    }
    let count = async |query| events(&world, query, 3).await.len();
    let fields = |pairs: &[(&str, &str)]| EventQuery {
        fields: pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..EventQuery::default()
    };
    assert_eq!(count(EventQuery::default()).await, 8);
    assert_eq!(count(EventQuery { account: Some("other".parse().unwrap()), ..EventQuery::default() }).await, 4);
    assert_eq!(count(EventQuery { event_types: vec!["click.recorded".parse().unwrap()], ..EventQuery::default() }).await, 4);
    assert_eq!(count(EventQuery { since: Some(at(1)), until: Some(at(3)), ..EventQuery::default() }).await, 4);
    assert_eq!(count(EventQuery { since: Some(at(9)), ..EventQuery::default() }).await, 0);
    assert_eq!(count(fields(&[("a", "1")])).await, 4);
    assert_eq!(count(fields(&[("a", "1"), ("b", "2.50")])).await, 2);
    assert_eq!(count(fields(&[("a", "true")])).await, 2);
}

async fn deliveries_of_all_subscriptions_are_merged(world: World) {
    let mut ids = Vec::new();
    for number in 0..40u8 {
        let mut next = event().received(at(i64::from(number))).to(u128::from(number % 5));
        if number % 3 == 0 {
            next = next.to(9).to(u128::from(number % 2));
        }
        ids.extend(world.accept(next).await.deliveries);
    }
    for limit in [1, 7, 1_000] {
        assert_eq!(deliveries(&world, DeliveryQuery::default(), limit).await, reversed(&ids), "limit {limit}");
    }
    // More of one subscription than is read ahead at first.
    let one = DeliveryQuery { subscription: Some(sub(9)), ..DeliveryQuery::default() };
    assert_eq!(deliveries(&world, one.clone(), 4).await.len(), 14);
    assert_eq!(deliveries(&world, one, 1_000).await.len(), 14);
}

async fn deliveries_are_filtered(world: World) {
    let mut ids = Vec::new();
    for number in 0..10 {
        let account = if number % 2 == 0 { "acme" } else { "other" };
        let to = if number % 2 == 0 { 1 } else { 2 };
        ids.push(world.accept(event().account(account).received(at(number)).to(to)).await.deliveries[0]);
    }
    world.settle(1, ids[2], Next::Delivered, at(20)).await;
    world.settle(2, ids[3], EXHAUSTED, at(20)).await;
    let even = vec![ids[8], ids[6], ids[4], ids[2], ids[0]];
    let query = DeliveryQuery::default;
    assert_eq!(deliveries(&world, DeliveryQuery { account: Some("acme".parse().unwrap()), ..query() }, 2).await, even);
    assert_eq!(deliveries(&world, DeliveryQuery { subscription: Some(sub(1)), ..query() }, 2).await, even);
    assert_eq!(deliveries(&world, DeliveryQuery { states: vec![StateName::Dead], ..query() }, 2).await, [ids[3]]);
    assert_eq!(deliveries(&world, DeliveryQuery { states: vec![StateName::Delivered], ..query() }, 2).await, [ids[2]]);
    assert_eq!(deliveries(&world, DeliveryQuery { states: vec![StateName::Pending], ..query() }, 3).await.len(), 8);
    let span = DeliveryQuery { since: Some(at(2)), until: Some(at(5)), ..query() };
    assert_eq!(deliveries(&world, span, 2).await, [ids[4], ids[3], ids[2]]);
    let both = DeliveryQuery { subscription: Some(sub(1)), account: Some("other".parse().unwrap()), ..query() };
    assert!(deliveries(&world, both, 2).await.is_empty());
}

async fn deliveries_of_an_event_are_listed(world: World) {
    world.accept(event().to(1)).await;
    let accepted = world.accept(event().to(3).to(1).to(2)).await;
    world.settle(1, accepted.deliveries[1], Next::Delivered, at(1)).await;
    let query = DeliveryQuery { event: Some(accepted.id), ..DeliveryQuery::default() };
    assert_eq!(deliveries(&world, query.clone(), 2).await, reversed(&accepted.deliveries));
    let delivered = DeliveryQuery { states: vec![StateName::Delivered], ..query };
    assert_eq!(deliveries(&world, delivered, 2).await, [accepted.deliveries[1]]);
}

async fn the_end_of_a_list_is_known(world: World) {
    assert_eq!(world.store().events(&EventQuery { limit: 2, ..EventQuery::default() }).await.unwrap().next, None);
    for _ in 0..4 {
        world.owe(1).await;
    }
    let page = world.store().deliveries(&DeliveryQuery { limit: 4, ..DeliveryQuery::default() }).await.unwrap();
    assert_eq!((page.items.len(), page.next), (4, None));
    let page = world.store().events(&EventQuery { limit: 3, ..EventQuery::default() }).await.unwrap();
    assert_eq!(page.next, Some(page.items[2].id.raw()));
}

async fn a_page_that_finds_little_is_short(world: World) {
    let first = world.owe(1).await;
    world.settle(1, first, EXHAUSTED, at(1)).await;
    let mut wide = event();
    for _ in 0..10_500 {
        wide = wide.to(1);
    }
    world.accept(wide).await;
    let query = DeliveryQuery { states: vec![StateName::Dead], subscription: Some(sub(1)), limit: 5, ..DeliveryQuery::default() };
    let page = world.store().deliveries(&query).await.unwrap();
    assert!(page.items.is_empty());
    let rest = world.store().deliveries(&DeliveryQuery { before: page.next.map(DeliveryId::from_raw), ..query }).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
}
