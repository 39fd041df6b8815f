//! Configuration: all changes of a call or none; and what a removed subscription means.

use postrider::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, RecordQuery};

use super::world::{Build, START, World, at, event, on_every_engine_and_pooled, sub};

on_every_engine_and_pooled!(
    records_are_kept,
    a_large_record_leaves_nothing_behind,
    a_large_record_is_read_whole_while_it_is_written,
    a_record_that_must_not_be_there_is_a_conflict,
    a_record_is_replaced_if_it_is_as_expected,
    all_changes_of_a_call_are_made_or_none,
    changes_of_a_call_follow_on_each_other,
    a_removed_subscription_takes_no_deliveries,
    a_subscription_that_is_written_again_takes_deliveries,
    records_of_one_kind_are_read_in_parts,
    the_audit_log_is_not_read_as_a_whole,
    a_note_is_written_with_its_change_or_not_at_all,
);

const KIND: ConfigurationKind = ConfigurationKind::Setting;

fn record(id: &str, value: &str) -> ConfigurationRecord {
    ConfigurationRecord { kind: KIND, id: id.into(), value: value.into() }
}

fn put(id: &str, value: &str) -> ConfigurationChange {
    ConfigurationChange::Put { record: record(id, value), if_absent: false }
}

fn create(id: &str, value: &str) -> ConfigurationChange {
    ConfigurationChange::Put { record: record(id, value), if_absent: true }
}

fn replace(id: &str, expected: &str, value: &str) -> ConfigurationChange {
    ConfigurationChange::Replace { record: record(id, value), expected: expected.into() }
}

fn remove(id: &str) -> ConfigurationChange {
    ConfigurationChange::Remove { kind: KIND, id: id.into() }
}

async fn is_conflict(world: &World, changes: Vec<ConfigurationChange>) -> bool {
    matches!(world.store().configure(changes).await, Err(ConfigureError::Conflict { .. }))
}

async fn records_are_kept(mut world: World) {
    let long = format!("\"{}\"", "x".repeat(200_000));
    world.store().configure(vec![put("b", "1"), put("a", &long), put("a/1", "{}")]).await.unwrap();
    let other = ConfigurationRecord { kind: ConfigurationKind::Account, id: "a".into(), value: "2".into() };
    world.store().configure(vec![ConfigurationChange::Put { record: other.clone(), if_absent: true }]).await.unwrap();
    world.reopen().await;
    let expected = [other, record("a", &long), record("a/1", "{}"), record("b", "1")];
    assert_eq!(world.store().configuration().await.unwrap(), expected);
    world.store().configure(vec![put("a", "short"), remove("b"), remove("missing")]).await.unwrap();
    world.reopen().await;
    assert_eq!(world.store().configuration().await.unwrap()[1..], [record("a", "short"), record("a/1", "{}")]);
}

async fn a_large_record_leaves_nothing_behind(mut world: World) {
    let large = |length| format!("\"{}\"", "x".repeat(length));
    for length in [90_000, 50_000, 0, 20_000] {
        let change = if length == 0 { remove("a") } else { put("a", &large(length)) };
        world.store().configure(vec![change]).await.unwrap();
        let expected = if length == 0 { vec![] } else { vec![record("a", &large(length))] };
        assert_eq!(world.store().configuration().await.unwrap(), expected);
    }
    world.store().configure(vec![remove("a"), put("ab", &large(30_000))]).await.unwrap();
    world.reopen().await;
    assert_eq!(world.store().configuration().await.unwrap(), [record("ab", &large(30_000))]);
}

async fn a_large_record_is_read_whole_while_it_is_written(world: World) {
    let large = |number: usize| format!("\"{}\"", number.to_string().repeat(20_000 + 9_000 * (number % 3)));
    world.store().configure(vec![put("a", &large(0))]).await.unwrap();
    let writes = async {
        for number in 1..60 {
            world.store().configure(vec![put("a", &large(number))]).await.unwrap();
        }
    };
    let reads = async {
        for _ in 0..60 {
            assert_eq!(world.store().configuration().await.unwrap().len(), 1);
        }
    };
    futures_util::future::join(writes, reads).await;
    assert_eq!(world.store().quarantined(), 0);
}

async fn a_record_that_must_not_be_there_is_a_conflict(world: World) {
    world.store().configure(vec![create("a", "1")]).await.unwrap();
    assert!(is_conflict(&world, vec![create("a", "2")]).await);
    world.store().configure(vec![remove("a")]).await.unwrap();
    world.store().configure(vec![create("a", "3")]).await.unwrap();
}

async fn a_record_is_replaced_if_it_is_as_expected(world: World) {
    assert!(is_conflict(&world, vec![replace("a", "1", "2")]).await);
    world.store().configure(vec![put("a", "1")]).await.unwrap();
    world.store().configure(vec![replace("a", "1", "2")]).await.unwrap();
    assert!(is_conflict(&world, vec![replace("a", "1", "3")]).await);
    assert_eq!(world.store().configuration().await.unwrap(), [record("a", "2")]);
}

async fn all_changes_of_a_call_are_made_or_none(world: World) {
    world.store().configure(vec![put("a", "1")]).await.unwrap();
    assert!(is_conflict(&world, vec![put("b", "1"), remove("a"), create("c", "1"), replace("a", "1", "2")]).await);
    assert_eq!(world.store().configuration().await.unwrap(), [record("a", "1")]);
}

async fn changes_of_a_call_follow_on_each_other(world: World) {
    world.store().configure(vec![create("a", "1"), replace("a", "1", "2"), remove("a"), create("a", "3")]).await.unwrap();
    assert_eq!(world.store().configuration().await.unwrap(), [record("a", "3")]);
}

fn subscription(number: u128) -> (ConfigurationChange, ConfigurationChange) {
    let id = sub(number).to_string();
    let record = ConfigurationRecord { kind: ConfigurationKind::Subscription, id: id.clone(), value: "{}".into() };
    (ConfigurationChange::Put { record, if_absent: false }, ConfigurationChange::Remove { kind: ConfigurationKind::Subscription, id })
}

async fn a_removed_subscription_takes_no_deliveries(world: World) {
    let (written, removed) = subscription(1);
    world.store().configure(vec![written]).await.unwrap();
    let before = world.accept(event().to(1).to(2)).await.deliveries;
    world.store().configure(vec![removed]).await.unwrap();
    // Prepared while it was there.
    let accepted = world.accept(event().to(1).to(2)).await;
    assert_eq!(accepted.deliveries.len(), 1);
    assert_eq!(world.delivery(accepted.deliveries[0]).await.subscription, sub(2));
    assert!(world.store().retry(before[0], at(5), None).await.is_err());
    assert_eq!(world.store().end_deliveries(sub(1), at(1), 100).await.unwrap(), 1);
    assert_eq!(world.due(1, START).await, []);
    assert_eq!(world.due(2, START).await.len(), 2);
}

async fn a_subscription_that_is_written_again_takes_deliveries(world: World) {
    let (written, removed) = subscription(1);
    world.store().configure(vec![removed]).await.unwrap();
    assert!(world.accept(event().to(1)).await.deliveries.is_empty());
    world.store().configure(vec![written]).await.unwrap();
    assert_eq!(world.accept(event().to(1)).await.deliveries.len(), 1);
}

/// The ids of one page.
async fn ids(world: &World, kind: ConfigurationKind, from: &str, before: Option<&str>, limit: usize) -> Vec<String> {
    let query = RecordQuery { kind, from: from.into(), before: before.map(Into::into), limit };
    world.store().records(&query).await.unwrap().into_iter().map(|record| record.id).collect()
}

async fn records_of_one_kind_are_read_in_parts(mut world: World) {
    world.store().configure(["a", "b", "c", "d"].map(|id| put(id, "1")).to_vec()).await.unwrap();
    let (written, _) = subscription(1);
    world.store().configure(vec![written, note_change("z")]).await.unwrap();
    world.reopen().await;
    assert_eq!(ids(&world, KIND, "", None, 3).await, ["d", "c", "b"]);
    assert_eq!(ids(&world, KIND, "", Some("b"), 3).await, ["a"]);
    assert_eq!(ids(&world, KIND, "b", Some("d"), 3).await, ["c", "b"]);
    assert_eq!(ids(&world, KIND, "d", Some("b"), 3).await, [""; 0]);
    assert_eq!(ids(&world, ConfigurationKind::Secret, "", None, 3).await, [""; 0]);
}

fn note(id: &str) -> ConfigurationRecord {
    ConfigurationRecord { kind: ConfigurationKind::Audit, id: id.into(), value: "{}".into() }
}

fn note_change(id: &str) -> ConfigurationChange {
    ConfigurationChange::Put { record: note(id), if_absent: true }
}

async fn the_audit_log_is_not_read_as_a_whole(mut world: World) {
    world.store().configure(vec![put("a", "1"), note_change("1"), note_change("2")]).await.unwrap();
    world.reopen().await;
    assert_eq!(world.store().configuration().await.unwrap(), [record("a", "1")]);
    assert_eq!(ids(&world, ConfigurationKind::Audit, "", None, 9).await, ["2", "1"]);
}

async fn a_note_is_written_with_its_change_or_not_at_all(mut world: World) {
    let accepted = world.accept(event().to(1)).await.deliveries;
    world.store().retry_noted(accepted[0], at(1), None, Some(note("1"))).await.unwrap();
    world.store().cancel_noted(accepted[0], at(2), Some(note("2"))).await.unwrap();
    assert!(world.store().retry_noted(accepted[0], at(3), None, Some(note("3"))).await.is_err());
    assert!(world.store().cancel_noted(accepted[0], at(3), Some(note("4"))).await.is_err());
    world.reopen().await;
    assert_eq!(ids(&world, ConfigurationKind::Audit, "", None, 9).await, ["2", "1"]);
}
