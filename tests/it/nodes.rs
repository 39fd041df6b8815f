//! Nodes as an operator sees them, where there is only one.

use postrider::cluster::Role;
use postrider::config::Settings;
use postrider::server::{Server, StartError};
use serde_json::json;

use super::server::Running;

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
