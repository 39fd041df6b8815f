//! The data folder: the key in it, a second process on it, and what a newer version left in it.

use std::os::unix::fs::PermissionsExt;

use postrider::config::Settings;
use postrider::server::Server;
use serde_json::json;

use super::server::Running;

#[tokio::test]
async fn the_first_start_writes_the_key_and_later_starts_keep_it() {
    let running = Running::with(|_| {}).await;
    let file = running.server.operator_key_file().to_owned();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode, std::fs::read_to_string(&file).unwrap().trim()), (0o600, running.server.operator_key()));
    let settings = Settings { data: running.folder.path().join("data"), listen: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
    let key = running.server.operator_key().to_owned();
    running.server.stop().await.unwrap();
    let again = Server::start(&settings).await.unwrap();
    assert_eq!(again.operator_key(), key);
    let client = super::http::Client { address: again.address(), key };
    assert_eq!(client.get("/v1/accounts/acme").await.json()["name"], json!("Acme"), "what was stored is there after a restart");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a12_a_folder_that_is_in_use_is_refused() {
    let running = Running::with(|_| {}).await;
    let settings = Settings { data: running.folder.path().join("data"), listen: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
    let error = format!("{:#}", anyhow::Error::from(Server::start(&settings).await.unwrap_err()));
    assert!(error.contains(&std::process::id().to_string()) && error.contains("in use"), "{error}");
}

#[tokio::test]
async fn a_folder_of_a_newer_version_is_refused() {
    let running = Running::with(|_| {}).await;
    let data = running.folder.path().join("data");
    running.server.stop().await.unwrap();
    let format = data.join("store").join("format");
    let text = std::fs::read_to_string(&format).unwrap();
    std::fs::write(&format, text.replace(":1", ":999")).unwrap();
    assert_ne!(text, std::fs::read_to_string(&format).unwrap());
    let settings = Settings { data, listen: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
    let error = format!("{:#}", anyhow::Error::from(Server::start(&settings).await.unwrap_err()));
    assert!(error.contains("format 999") && error.contains("later one"), "{error}");
}
