//! The stored form: what this release writes is what `tests/fixtures/store` holds, and is read back.
//!
//! A change of a record, a key or a tree shows here. If it is meant: raise the record's version, keep
//! reading the old one, add a file for the new form (`POSTRIDER_WRITE_FIXTURES=1` writes it), and keep
//! the old file with a test that reads it.

use std::path::PathBuf;

use postrider::delivery::Next;
use postrider::store::{
    Batch, ConfigurationChange, ConfigurationKind, ConfigurationRecord, Direction, DocumentChange, DocumentKind, KeyRange, Kv, Make, Store,
    Tree,
};

use super::world::{Build, EXHAUSTED, Kind, World, at, event, sub};

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store/layout-1.txt")
}

/// A store with a record of every kind in every state.
async fn filled() -> World {
    let world = World::new(Kind::MemoryInline);
    let accepted = world.accept(event().to(1).to_later(2, at(60)).to_in_order(3, 1).key("key-1")).await;
    world.accept(event().received(at(1)).account("other").to_in_order(3, 1)).await;
    let last = world.accept(event().received(at(2)).to(1).to(1).to(1)).await;
    world.settle(1, accepted.deliveries[0], Next::RetryAt(at(30)), at(3)).await;
    world.settle(1, last.deliveries[0], Next::Delivered, at(4)).await;
    world.settle(1, last.deliveries[1], EXHAUSTED, at(5)).await;
    world.store().cancel(last.deliveries[2], at(6)).await.unwrap();
    let record = ConfigurationRecord { kind: ConfigurationKind::Subscription, id: sub(1).to_string(), value: r#"{"a":1}"#.into() };
    world.store().configure(vec![ConfigurationChange::Put { record, if_absent: true }]).await.unwrap();
    let document = DocumentChange { kind: DocumentKind::Action, id: "acme/1".into(), expected: Some(0), make: Make::Put("{}".into()) };
    world.store().accept_with(vec![], vec![document]).await.unwrap();
    let old = world.accept(event()).await;
    world.store().prune(postrider::clock::Timestamp::from_unix_ms(old.id.unix_ms() + 1), at(7), 1).await.unwrap();
    world
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap()).collect()
}

/// One line for each row: tree, key, value.
fn rows(kv: &dyn Kv) -> String {
    let mut text = String::new();
    for tree in Tree::ALL {
        kv.scan(tree, KeyRange::ALL, Direction::Forward, &mut |key, value| {
            text += &format!("{} {} {}\n", tree.name(), hex(key), hex(value));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    }
    text
}

#[tokio::test]
async fn the_stored_form_has_not_changed() {
    let mut world = filled().await;
    world.kill();
    let written = rows(&*world.kv());
    if std::env::var_os("POSTRIDER_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(file().parent().unwrap()).unwrap();
        std::fs::write(file(), &written).unwrap();
    }
    let kept = std::fs::read_to_string(file()).unwrap();
    for (number, (kept, written)) in kept.lines().zip(written.lines()).enumerate() {
        assert_eq!(kept, written, "row {number}");
    }
    assert_eq!(kept.lines().count(), written.lines().count());
    for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Quarantine) {
        assert!(kept.contains(&format!("{} ", tree.name())), "no row of {}", tree.name());
    }
}

#[tokio::test]
async fn a21_the_stored_form_is_read_back() {
    let mut world = World::new(Kind::MemoryInline);
    world.close().await;
    let mut batch = Batch::default();
    for line in std::fs::read_to_string(file()).unwrap().lines() {
        let [tree, key, value] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let tree = Tree::ALL.into_iter().find(|known| known.name() == tree).unwrap();
        batch.put(tree, bytes(key), bytes(value));
    }
    world.kv().write(batch).unwrap();
    world.reopen().await;
    assert_eq!(world.everything().await, filled().await.everything().await);
    assert_eq!(world.store().quarantined(), 0);
    assert!(world.store().unclean_stop().is_some());
    assert!(world.accept(event().to(9).key("key-1")).await.duplicate);
}
