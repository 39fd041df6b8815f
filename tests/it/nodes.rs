//! Nodes as operators and callers see them: alone, and two over one database of which one serves the API only.

use std::time::Duration;

use postrider::cluster::Role;
use postrider::config::Settings;
use postrider::server::{Server, StartError};
use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;
use crate::database::Database;

#[tokio::test]
async fn the_only_node_lists_itself_and_owns_every_lane() {
    let running = Running::start().await;
    running.subscribe("http://127.0.0.1:9/", json!({})).await;
    let node = running.client.get("/v1/nodes").await.json()["data"][0].clone();
    assert_eq!(
        (&node["roles"], &node["is_this"], &node["live"], &node["leaving"]),
        (&json!(["api", "dispatch"]), &json!(true), &json!(true), &json!(false))
    );
    assert_eq!(node["address"], running.server.address().to_string());
    let text = running.client.get("/metrics").await.body;
    assert!(text.contains("postrider_lanes 1\n"), "{text}");
}

#[tokio::test]
async fn a_role_is_left_out_only_where_another_node_can_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Settings { data: folder.path().into(), listen: "127.0.0.1:0".parse().unwrap(), roles: vec![Role::Api], ..Settings::default() };
    assert!(matches!(Server::start(&settings).await, Err(StartError::Roles(_))));
}

/// A node that does everything, with the account `acme`, and one that serves the API.
async fn two(database: &Database, change: impl Fn(&mut Settings)) -> (Running, Running) {
    let settings = |settings: &mut Settings| {
        settings.store = database.url.as_str().into();
        change(settings);
    };
    let all = Running::with(settings).await;
    let key = all.folder.path().join("data/master.key");
    let api = Running::with_account(|of| {
        settings(of);
        of.roles = vec![Role::Api];
        of.master_key_file = Some(key);
    });
    let api = api.await;
    (all, api)
}

/// What the call answers when `holds` for it.
async fn when(running: &Running, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut shown = Value::Null;
    for _ in 0..1_200 {
        shown = running.client.get(path).await.json();
        if holds(&shown) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to what was waited for: {shown}");
}

async fn stop(nodes: (Running, Running)) {
    nodes.1.server.stop().await.unwrap();
    nodes.0.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_without_dispatcher_shows_what_another_one_sends() {
    let database = Database::create();
    let receiver = Receiver::start().await;
    let (all, api) = two(&database, |settings| settings.failing_after = 3).await;
    let healthy = api.subscribe(&format!("http://{}/?i={{ActionId}}", receiver.address), json!({})).await;
    receiver.hang();
    let delivery = api.emit(json!({"ActionId": "1"})).await;
    let path = format!("/v1/deliveries/{delivery}");
    when(&api, &path, |shown| shown["state"] == "leased").await;
    when(&api, "/v1/stats", |shown| shown["totals"]["in_flight"] == 1).await;
    receiver.answer();
    when(&api, &path, |shown| shown["state"] == "delivered").await;
    when(&api, "/v1/stats", |shown| shown["totals"]["in_flight"] == 0 && shown["totals"]["delivered"] == 1).await;
    let series = |stats: &Value| stats["series"].as_array().unwrap().iter().filter_map(|point| point["delivered"].as_u64()).sum::<u64>();
    when(&api, "/v1/stats", |shown| series(shown) == 1).await;
    let of = |stats: &Value| stats["subscriptions"].as_array().unwrap().iter().find(|of| of["id"] == healthy["id"]).cloned().unwrap();
    when(&api, "/v1/stats?account=acme", |shown| of(shown)["attempts_per_minute"].as_f64() > Some(0.0)).await;

    let failing = api.subscribe("http://127.0.0.1:9/?i={ActionId}", json!({"event_types": ["action.cleared"]})).await;
    let events: Vec<_> = (0..5).map(|number| json!({"account": "acme", "type": "action.cleared", "data": {"ActionId": number}})).collect();
    assert_eq!(api.client.post("/v1/events", json!(events)).await.status, 202);
    let path = format!("/v1/subscriptions/{}", failing["id"].as_str().unwrap());
    when(&api, &path, |shown| shown["health"]["state"] == "failing").await;
    stop((all, api)).await;
}

#[tokio::test]
async fn a_replay_is_carried_out_by_one_node_and_cancelled_on_any() {
    let database = Database::create();
    let receiver = Receiver::start().await;
    let (all, api) = two(&database, |_| {}).await;
    let created = api.subscribe(&format!("http://{}/?i={{ActionId}}", receiver.address), json!({})).await;
    let id = created["id"].as_str().unwrap();
    for number in 0..3 {
        api.emit(json!({"ActionId": number})).await;
    }
    api.wait_for_state(id, "delivered", 3).await;
    let request = json!({"subscription": id, "states": ["delivered"]});
    let replay = api.client.post("/v1/replays", &request).await.json();
    let path = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    for node in [&api, &all] {
        let done = when(node, &path, |shown| shown["state"] == "done").await;
        assert_eq!((&done["matched"], &done["done"]), (&json!(3), &json!(3)), "{done}");
    }
    api.wait_for_state(id, "delivered", 3).await;
    assert_eq!(receiver.arrived().len(), 6);
    let dry = json!({"subscription": id, "states": ["delivered"], "dry_run": true});
    let dry = api.client.post("/v1/replays", dry).await;
    assert_eq!((dry.status, &dry.json()["matched"]), (200, &json!(3)), "{}", dry.body);

    assert_eq!(api.client.post(&format!("/v1/subscriptions/{id}/pause"), "").await.status, 200);
    let replay = all.client.post("/v1/replays", &request).await.json();
    let path = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    when(&api, &path, |shown| shown["state"] == "running").await;
    let cancelled = api.client.post(&format!("{path}/cancel"), "").await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")), "{}", cancelled.body);
    when(&all, &path, |shown| shown["state"] == "cancelled").await;
    assert_eq!(api.client.post(&format!("/v1/subscriptions/{id}/resume"), "").await.status, 200);
    api.emit(json!({"ActionId": 3})).await;
    api.wait_for_state(id, "delivered", 4).await;
    assert_eq!(receiver.arrived().len(), 7, "nothing of the cancelled replay is sent");
    // After a restart it is still cancelled.
    api.server.stop().await.unwrap();
    let url = database.url.clone();
    let all = all.restart(|settings| settings.store = url.into()).await;
    assert_eq!(all.client.get(&path).await.json()["state"], "cancelled");
    all.server.stop().await.unwrap();
}

#[tokio::test]
async fn changes_on_two_nodes_at_once_take_none_back() {
    let database = Database::create();
    let (all, api) = two(&database, |_| {}).await;
    let created = all.subscribe("http://127.0.0.1:9/", json!({})).await;
    let path = format!("/v1/subscriptions/{}", created["id"].as_str().unwrap());
    let mut version = 1;
    for round in 0..20 {
        let tag = format!("\"{version}\"");
        let change = async |node: &Running, name: String| {
            let body = json!({"name": name}).to_string();
            node.client.send("PATCH", &path, &[("If-Match", &tag)], body.as_bytes()).await
        };
        let (first, second) = tokio::join!(change(&all, format!("first {round}")), change(&api, format!("second {round}")));
        let statuses = [first.status, second.status];
        let done = statuses.iter().filter(|status| **status == 200).count();
        assert!(
            done == 1 && statuses.iter().all(|status| [200, 412, 503].contains(status)),
            "{statuses:?}: {} {}",
            first.body,
            second.body
        );
        version += 1;
        let name = if first.status == 200 { format!("first {round}") } else { format!("second {round}") };
        for node in [&all, &api] {
            let shown = node.client.get(&path).await.json();
            assert_eq!((&shown["version"], &shown["name"]), (&json!(version), &json!(name)), "what was answered holds on both");
        }
    }
    stop((all, api)).await;
}

#[tokio::test]
async fn what_one_node_has_answered_holds_on_the_other() {
    let database = Database::create();
    let (all, api) = two(&database, |_| {}).await;
    let created = super::keys::create(&all, json!({"name": "x", "scope": "read"})).await;
    let holder = super::keys::client_of(&api, &created);
    let status = async || holder.get("/v1/me").await.status;
    assert_eq!(status().await, 200, "it is taken at once");
    let path = format!("/v1/keys/{}", created["id"].as_str().unwrap());
    assert!([200, 204].contains(&all.client.send("DELETE", &path, &[], b"").await.status));
    super::postgres::until("the deleted key is refused", async || status().await == 401).await;
    // What one node has answered holds on the other.
    assert_eq!(all.client.post("/v1/accounts", json!({"id": "fresh"})).await.status, 201);
    let event = json!({"account": "fresh", "type": "test.ping", "data": {}});
    assert_eq!(api.client.post("/v1/events", event).await.status, 202);
    stop((all, api)).await;
}
