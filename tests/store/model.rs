//! Random changes against a simple model of what a store must say.

use std::collections::BTreeMap;
use std::sync::Arc;

use postrider::clock::Timestamp;
use postrider::delivery::{Next, StateName};
use postrider::id::{DeliveryId, EventId};
use postrider::store::{
    AcceptError, ConfigurationKind, ConfigurationRecord, DecidedQuery, Direction, DocumentChange, DocumentKind, DocumentQuery, Make,
    NewDelivery, Revival,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::world::{Build, EXHAUSTED, Kind, World, at, event, order, sub};

#[derive(Debug, Clone)]
enum Change {
    Accept {
        key: Option<u8>,
        to: Vec<(u8, u8, Option<u8>)>,
        /// Of the event, and of none.
        documents: (Vec<DocumentStep>, Vec<DocumentStep>),
    },
    Settle {
        to: u8,
        place: usize,
        end: u8,
    },
    /// Settles what was leased before a person changed it.
    CrossedSettle {
        to: u8,
        place: usize,
        end: u8,
        retry: bool,
    },
    Cancel {
        place: usize,
    },
    Retry {
        place: usize,
        later: u8,
    },
    Revive {
        to: u8,
        states: u8,
        ago: u8,
    },
    End {
        to: u8,
        limit: usize,
    },
    Prune {
        seconds: u8,
    },
    Reopen,
    Kill,
}

/// A change of document `id`, which must have revision `expected`.
#[derive(Debug, Clone)]
struct DocumentStep {
    id: u8,
    expected: Option<u64>,
    make: u8,
}

impl DocumentStep {
    fn change(&self) -> DocumentChange {
        let make = match self.make {
            0 => Make::Put("put".into()),
            1 => Make::Remove,
            _ => Make::From(Arc::new(made)),
        };
        DocumentChange { kind: DocumentKind::Action, id: self.id.to_string(), expected: self.expected, make }
    }

    /// What becomes of the documents; none if this one is not as expected.
    fn apply(&self, documents: &mut Documents, event: Option<EventId>) -> Option<()> {
        let present = documents.get(&self.id).cloned();
        let revision = present.as_ref().map_or(0, |(revision, _)| *revision);
        if self.expected.is_some_and(|expected| expected != revision) {
            return None;
        }
        let value = match self.make {
            0 => Some("put".to_owned()),
            1 => {
                documents.remove(&self.id);
                None
            }
            _ => made(event, present.as_ref().map(|(_, value)| value.as_str())),
        };
        documents.extend(value.map(|value| (self.id, (revision + 1, value))));
        Some(())
    }
}

/// Adds the event to the value, and leaves long ones as they are.
fn made(event: Option<EventId>, present: Option<&str>) -> Option<String> {
    let present = present.unwrap_or_default();
    (present.len() < 100).then(|| format!("{present}/{event:?}"))
}

fn change() -> impl Strategy<Value = Change> {
    let step = (0..3u8, proptest::option::weighted(0.3, 0..3u64), 0..4u8);
    let step = step.prop_map(|(id, expected, make)| DocumentStep { id, expected, make });
    let steps = proptest::collection::vec(step, 0..3);
    let documents = (steps.clone(), steps);
    let delivery = (0..3u8, 0..4u8, proptest::option::of(0..2u8));
    let place = 0..40usize;
    prop_oneof![
        6 => (proptest::option::of(0..6u8), proptest::collection::vec(delivery, 0..4), documents)
            .prop_map(|(key, to, documents)| Change::Accept { key, to, documents }),
        8 => (0..3u8, 0..4usize, 0..3u8).prop_map(|(to, place, end)| Change::Settle { to, place, end }),
        2 => (0..3u8, 0..4usize, 0..3u8, any::<bool>()).prop_map(|(to, place, end, retry)| Change::CrossedSettle { to, place, end, retry }),
        2 => place.clone().prop_map(|place| Change::Cancel { place }),
        3 => (place, 0..9u8).prop_map(|(place, later)| Change::Retry { place, later }),
        2 => (0..3u8, 1..8u8, 0..20u8).prop_map(|(to, states, ago)| Change::Revive { to, states, ago }),
        1 => (0..3u8, 1..6usize).prop_map(|(to, limit)| Change::End { to, limit }),
        1 => (0..60u8).prop_map(|seconds| Change::Prune { seconds }),
        1 => Just(Change::Reopen),
        1 => Just(Change::Kill),
    ]
}

#[derive(Debug, Clone)]
struct Owed {
    to: u8,
    state: StateName,
    due_at: Timestamp,
    attempts: u32,
    /// Its order key, while it has a place in the order.
    order: Option<u8>,
    /// Whether it may go: it is the first of its order, or has none.
    goes: bool,
    /// When it was decided, if it is.
    decided_at: Option<Timestamp>,
}

/// What a store must say, in the plainest way.
#[derive(Debug, Default)]
struct Model {
    owed: BTreeMap<DeliveryId, Owed>,
    keys: BTreeMap<u8, EventId>,
    events: BTreeMap<EventId, Timestamp>,
    documents: Documents,
}

/// Revision and value by id.
type Documents = BTreeMap<u8, (u64, String)>;

impl Model {
    fn due(&self, to: u8) -> Vec<(Timestamp, DeliveryId)> {
        let pending = self.owed.iter().filter(|(_, owed)| owed.to == to && owed.state == StateName::Pending && owed.goes);
        let mut due: Vec<_> = pending.map(|(&id, owed)| (owed.due_at, id)).collect();
        due.sort();
        due
    }

    fn decide(&mut self, id: DeliveryId, state: StateName, now: Timestamp) {
        let owed = self.owed.get_mut(&id).unwrap();
        owed.state = state;
        owed.decided_at = Some(now);
        let (to, order) = (owed.to, owed.order.take());
        if order.is_none() {
            return;
        }
        let next = self.owed.values_mut().find(|owed| owed.to == to && owed.order == order);
        if let Some(next) = next.filter(|next| !next.goes) {
            next.goes = true;
            next.due_at = next.due_at.max(now);
        }
    }
}

async fn play(kind: Kind, changes: Vec<Change>) {
    let mut world = World::new(kind);
    let mut model = Model::default();
    for (step, change) in (1..).zip(changes) {
        apply(&mut world, &mut model, change.clone(), at(step)).await;
        for to in 0..3 {
            let page = world.page(to.into(), Timestamp::from_unix_ms(i64::MAX), &[], 1_000).await;
            let rows: Vec<_> = page.rows.iter().map(|row| (row.due_at, row.delivery)).collect();
            assert_eq!(rows, model.due(to), "due for {to} after {change:?}");
            for row in page.rows {
                assert_eq!(row.attempts, model.owed[&row.delivery].attempts);
            }
        }
        assert_eq!(documents(&world).await, model.documents, "documents after {change:?}");
    }
    for (&id, owed) in &model.owed {
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state.name(), delivery.attempts), (owed.state, owed.attempts), "{id}");
        assert_eq!(world.store().attempts(id).await.unwrap().len(), owed.attempts as usize);
    }
    super::archive::assert_restorable(&world).await;
    let listed = world.store().deliveries(&postrider::store::DeliveryQuery { limit: 10_000, ..Default::default() }).await.unwrap();
    assert_eq!(listed.items.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), model.owed.keys().rev().copied().collect::<Vec<_>>());
    world.check_counts().await;
    assert_eq!(world.store().quarantined(), 0);
}

async fn apply(world: &mut World, model: &mut Model, change: Change, now: Timestamp) {
    match change {
        Change::Accept { key, to, documents } => accept(world, model, key, &to, &documents, now).await,
        Change::Settle { to, place, end } => {
            let due = model.due(to);
            if let Some(&(_, id)) = due.get(place) {
                let next = next(end, now);
                world.settle(to.into(), id, next, now).await.unwrap();
                model.owed.get_mut(&id).unwrap().attempts += 1;
                match next {
                    Next::Delivered => model.decide(id, StateName::Delivered, now),
                    Next::Dead(_) => model.decide(id, StateName::Dead, now),
                    Next::RetryAt(due_at) => model.owed.get_mut(&id).unwrap().due_at = due_at,
                }
            }
        }
        Change::CrossedSettle { to, place, end, retry } => {
            let due = model.due(to);
            if let Some(&(_, id)) = due.get(place) {
                let row = world.row(to.into(), id).await;
                // Never the time it is due already: that would be no change.
                let asked = now.after(std::time::Duration::from_secs(1_000));
                if retry {
                    world.store().retry(id, asked, None).await.unwrap();
                    model.owed.get_mut(&id).unwrap().due_at = asked;
                } else {
                    world.store().cancel(id, now).await.unwrap();
                    model.decide(id, StateName::Cancelled, now);
                }
                world.settle_row(to.into(), &row, next(end, now), now).await.unwrap();
                model.owed.get_mut(&id).unwrap().attempts += 1;
                if next(end, now) == Next::Delivered {
                    model.decide(id, StateName::Delivered, now);
                }
            }
        }
        Change::Cancel { place } => {
            let Some(id) = model.owed.keys().nth(place).copied() else { return };
            let changed = world.store().cancel(id, now).await;
            let may = matches!(model.owed[&id].state, StateName::Pending | StateName::Dead);
            assert_eq!(changed.is_ok(), may);
            if may {
                model.decide(id, StateName::Cancelled, now);
            }
        }
        Change::Retry { place, later } => {
            let Some(id) = model.owed.keys().nth(place).copied() else { return };
            let due_at = now.after(std::time::Duration::from_secs(later.into()));
            let changed = world.store().retry(id, due_at, None).await;
            let owed = model.owed.get_mut(&id).unwrap();
            let may = matches!(owed.state, StateName::Pending | StateName::Dead);
            assert_eq!(changed.is_ok(), may);
            if may {
                owed.goes |= owed.state == StateName::Dead;
                (owed.state, owed.due_at, owed.decided_at) = (StateName::Pending, due_at, None);
            }
        }
        Change::Revive { to, states, ago } => {
            revive(world, model, to, states, now.before(std::time::Duration::from_secs(ago.into())), now).await
        }
        Change::End { to, limit } => end(world, model, to, limit, now).await,
        Change::Prune { seconds } => prune(world, model, at(seconds.into()), now).await,
        Change::Reopen => world.reopen().await,
        Change::Kill => world.reopen_after_kill(),
    }
}

fn next(end: u8, now: Timestamp) -> Next {
    [Next::Delivered, EXHAUSTED, Next::RetryAt(now.after(std::time::Duration::from_secs(7)))][usize::from(end)]
}

async fn documents(world: &World) -> Documents {
    let (kind, prefix) = (DocumentKind::Action, String::new());
    let query = DocumentQuery { kind, prefix, after: None, before: None, direction: Direction::Forward, limit: 100 };
    let documents = world.store().documents(&query).await.unwrap();
    documents.into_iter().map(|document| (document.id.parse().unwrap(), (document.revision, document.value))).collect()
}

async fn accept(
    world: &World,
    model: &mut Model,
    key: Option<u8>,
    to: &[(u8, u8, Option<u8>)],
    documents: &(Vec<DocumentStep>, Vec<DocumentStep>),
    now: Timestamp,
) {
    let mut new = event().received(now);
    let later = |seconds: u8| now.after(std::time::Duration::from_secs(seconds.into()));
    new.deliveries = to
        .iter()
        .map(|&(to, seconds, key)| NewDelivery {
            subscription: sub(to.into()),
            template_version: 1,
            due_at: later(seconds),
            order_key: key.map(order),
        })
        .collect();
    if let Some(key) = key {
        new = new.key(&key.to_string());
    }
    new.documents = documents.0.iter().map(DocumentStep::change).collect();
    let accepted = world.store().accept_with(vec![new], documents.1.iter().map(DocumentStep::change).collect()).await;
    let accepted = match accepted {
        Ok(mut accepted) => accepted.remove(0),
        // What it would have made does not matter, nor the event's id.
        Err(AcceptError::DocumentChanged { .. }) => {
            let known = key.is_some_and(|key| model.keys.contains_key(&key));
            assert_eq!(changed_documents(model, documents, EventId::from_raw(0), known), None);
            return;
        }
        Err(error) => panic!("{error}"),
    };
    model.documents = changed_documents(model, documents, accepted.id, accepted.duplicate).expect("the model has a conflict");
    if let Some(&known) = key.and_then(|key| model.keys.get(&key)) {
        assert!(accepted.duplicate && accepted.id == known);
        return;
    }
    assert!(!accepted.duplicate);
    model.keys.extend(key.map(|key| (key, accepted.id)));
    model.events.insert(accepted.id, now);
    for (&id, &(to, seconds, order)) in accepted.deliveries.iter().zip(to) {
        let goes = order.is_none() || !model.owed.values().any(|owed| owed.to == to && owed.order == order);
        let owed = Owed { to, state: StateName::Pending, due_at: later(seconds), attempts: 0, order, goes, decided_at: None };
        model.owed.insert(id, owed);
    }
}

/// What a call makes of the documents; none if it is refused.
fn changed_documents(
    model: &Model,
    (of_event, of_none): &(Vec<DocumentStep>, Vec<DocumentStep>),
    event: EventId,
    duplicate: bool,
) -> Option<Documents> {
    let mut documents = model.documents.clone();
    if !duplicate {
        of_event.iter().try_for_each(|step| step.apply(&mut documents, Some(event)))?;
    }
    of_none.iter().try_for_each(|step| step.apply(&mut documents, None))?;
    Some(documents)
}

async fn revive(world: &World, model: &mut Model, to: u8, states: u8, decided_by: Timestamp, now: Timestamp) {
    let names = [StateName::Delivered, StateName::Dead, StateName::Cancelled];
    let states: Vec<_> = (0..3).filter(|bit| states & (1 << bit) != 0).map(|bit| names[bit]).collect();
    let wanted: Vec<DeliveryId> = model
        .owed
        .iter()
        .filter(|(_, owed)| owed.to == to && states.contains(&owed.state) && owed.decided_at.is_some_and(|at| at <= decided_by))
        .map(|(&id, _)| id)
        .collect();
    let query = DecidedQuery {
        subscription: sub(to.into()),
        states: states.clone(),
        decided_by,
        since: None,
        until: None,
        after: None,
        limit: 1_000,
    };
    assert_eq!(world.store().decided(&query).await.unwrap().items, wanted);
    let revival = Revival {
        subscription: sub(to.into()),
        deliveries: model.owed.keys().copied().collect(),
        states,
        decided_by,
        at: now,
        template_version: 1,
        record: std::sync::Arc::new(|count| ConfigurationRecord {
            kind: ConfigurationKind::Replay,
            id: "rpl".into(),
            value: count.to_string(),
        }),
    };
    assert_eq!(world.store().revive(revival).await.unwrap(), wanted.len());
    for id in wanted {
        let owed = model.owed.get_mut(&id).unwrap();
        (owed.state, owed.due_at, owed.goes, owed.decided_at) = (StateName::Pending, now, true, None);
    }
}

async fn end(world: &World, model: &mut Model, to: u8, limit: usize, now: Timestamp) {
    let before: Vec<_> =
        model.owed.iter().filter(|(_, owed)| owed.to == to && owed.state == StateName::Pending).map(|(&id, _)| id).collect();
    let ended = world.store().end_deliveries(sub(to.into()), now, limit).await.unwrap();
    assert_eq!(ended, limit.min(before.len()));
    // Which ones go first is the store's affair.
    for id in before.into_iter().rev() {
        if world.state(id).await == StateName::Cancelled {
            model.decide(id, StateName::Cancelled, now);
        }
    }
}

async fn prune(world: &World, model: &mut Model, before: Timestamp, now: Timestamp) {
    let decided = |event: &EventId| !model.owed.iter().any(|(id, owed)| id.event() == *event && owed.state == StateName::Pending);
    let gone: Vec<_> = model.events.iter().filter(|(id, received)| **received < before && decided(id)).map(|(&id, _)| id).collect();
    assert_eq!(world.store().prune(before, now, 1_000).await.unwrap().events, gone.len());
    for event in gone {
        model.events.remove(&event);
        model.owed.retain(|id, _| id.event() != event);
    }
}

fn run(kind: Kind, cases: u32, length: usize) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let changes = proptest::collection::vec(change(), 1..length);
    let outcome = TestRunner::new(config).run(&changes, |changes| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(kind, changes));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn memory_does_what_the_model_does() {
    run(Kind::MemoryInline, 150, 90);
}

#[test]
fn sled_does_what_the_model_does() {
    run(Kind::Sled, 10, 60);
}

#[test]
fn redb_does_what_the_model_does() {
    run(Kind::Redb, 6, 60);
}

#[test]
fn postgres_does_what_the_model_does() {
    run(Kind::Postgres, 6, 60);
}

#[test]
fn postgres_behind_a_pooler_does_what_the_model_does() {
    run(Kind::Pooled, 3, 60);
}
