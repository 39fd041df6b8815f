//! The whole of it over Postgres: the main flows, and what only a database can do to a server.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use super::http::Client;
use super::kill;
use super::receiver::Receiver;
use super::server::Running;
use crate::database::Database;

async fn running(database: &Database) -> Running {
    let url = database.url.clone();
    Running::with(|settings| settings.store = url).await
}

pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1_200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to this: {what}");
}

#[tokio::test]
async fn an_event_is_delivered_retried_and_replayed() {
    let database = Database::create();
    let receiver = Receiver::start().await;
    let running = running(&database).await;
    let subscription = running
        .subscribe(&format!("http://{}/x?id={{ActionId}}&p={{Payout}}", receiver.address), json!({"retry": {"profile": "standard"}}))
        .await;
    let id = subscription["id"].as_str().unwrap();
    receiver.answer_next(&[503, 200]);
    let delivery = running.emit(serde_json::from_str(r#"{"ActionId": "1.1", "Payout": 5.10}"#).unwrap()).await;
    let shown = running.attempts(&delivery, 1).await;
    assert_eq!((&shown["state"], &shown["attempt_log"][0]["outcome"]), (&json!("pending"), &json!("unexpected_response")));
    let retried = running.client.post(&format!("/v1/deliveries/{delivery}/retry"), json!({})).await;
    assert_eq!(retried.status, 200, "{}", retried.body);
    let shown = running.attempts(&delivery, 2).await;
    assert_eq!(shown["state"], "delivered", "{shown}");
    // Digits are kept, and every attempt is on record as it was sent.
    let url = shown["attempt_log"][1]["request"]["url"].as_str().unwrap();
    assert!(url.ends_with("id=1.1&p=5.10"), "{url}");
    let replay = running.client.post("/v1/replays", json!({"subscription": id, "states": ["delivered"]})).await;
    assert_eq!(replay.status, 201, "{}", replay.body);
    assert_eq!(running.attempts(&delivery, 3).await["attempt_log"][2]["outcome"], "delivered");
    // Everything is there after a restart, from nothing but the database.
    let url = database.url.clone();
    let running = running.restart(|settings| settings.store = url).await;
    let shown = running.client.get(&format!("/v1/deliveries/{delivery}")).await.json();
    assert_eq!((shown["attempts"].as_u64(), &shown["state"]), (Some(3), &json!("delivered")));
    assert_eq!(running.client.get(&format!("/v1/subscriptions/{id}")).await.status, 200);
    running.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_a_kill_cut_off_is_on_record_as_unknown() {
    let database = Database::create();
    let receiver = Receiver::start().await;
    receiver.hang();
    let folder = tempfile::tempdir().unwrap();
    let server = kill::Server::start(folder.path(), &database.url);
    server.client.post("/v1/accounts", json!({"id": "acme"})).await;
    let request = json!({"url": format!("http://{}/x?id={{ActionId}}", receiver.address)});
    let created = server
        .client
        .post("/v1/subscriptions", json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": request}))
        .await;
    assert_eq!(created.status, 201, "{}", created.body);
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "7"}});
    let delivery = server.client.post("/v1/events", event).await.json()["deliveries"][0].as_str().unwrap().to_owned();
    until("the request has arrived", async || !receiver.arrived().is_empty()).await;
    server.kill();
    receiver.answer();
    let server = kill::Server::start(folder.path(), &database.url);
    let shown = async |client: &Client| client.get(&format!("/v1/deliveries/{delivery}")).await.json();
    until("it is delivered", async || shown(&server.client).await["state"] == "delivered").await;
    let log = shown(&server.client).await["attempt_log"].clone();
    assert_eq!(
        (&log[0]["outcome"], &log[1]["outcome"], log[1]["number"].as_u64()),
        (&json!("unknown"), &json!("delivered"), Some(2)),
        "{log}"
    );
    server.kill();
}

#[tokio::test]
async fn a_server_whose_database_is_away_is_not_ready_and_comes_back() {
    let database = Database::create();
    let running = running(&database).await;
    let event = || json!({"account": "acme", "type": "test.ping", "key": "k", "data": {}});
    assert_eq!(running.client.get("/readyz").await.status, 200);
    database.lock_out(true);
    until("it is not ready", async || running.client.get("/readyz").await.status == 503).await;
    assert_eq!(running.client.get("/healthz").await.status, 200);
    let refused = running.client.post("/v1/events", event()).await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("store_unavailable")), "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    assert!(!refused.body.contains(&database.password()));
    database.lock_out(false);
    until("it is ready again", async || running.client.get("/readyz").await.status == 200).await;
    assert_eq!(running.client.post("/v1/events", event()).await.status, 202);
    running.server.stop().await.unwrap();
}

fn postrider(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(arguments).env_remove("POSTRIDER_STORE").envs(variables.iter().copied()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_to_postgres_and_back() {
    let (database, folder) = (Database::create(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let running = Running::with(|settings| settings.store = format!("sled:{}", data.display())).await;
    running.subscribe("http://127.0.0.1:9/x?id={ActionId}", json!({"state": "paused"})).await;
    for number in 0..30 {
        running.emit(json!({"ActionId": number.to_string(), "Payout": 1.50})).await;
    }
    let before = running.client.get("/v1/deliveries?limit=200").await.json()["data"].clone();
    let Running { server, folder: data_folder, .. } = running;
    server.stop().await.unwrap();
    let (sled, redb) = (format!("sled:{}", data.display()), format!("redb:{}", folder.path().join("redb").display()));
    let (bare, password) = (database.without_password(), database.password());
    let password = [("PGPASSWORD", password.as_str())];
    for (from, to) in [(&sled, &bare), (&bare, &redb)] {
        let copied = tokio::task::block_in_place(|| postrider(&["store", "copy", "--from", from, "--to", to], &password));
        assert!(copied.status.success(), "{}", said(&copied));
    }
    for place in [&bare, &redb] {
        let checked = postrider(&["store", "check", "--store", place], &password);
        assert!(checked.status.success() && said(&checked).contains("no faults"), "{}", said(&checked));
        let stats: Value = serde_json::from_slice(&postrider(&["store", "stats", "--json", "--store", place], &password).stdout).unwrap();
        assert_eq!((&stats["deliveries"]["waiting"], &stats["subscriptions"]), (&json!(30), &json!(1)));
    }
    let url = database.url.clone();
    // In the folder that holds the master key.
    let running = Running::on(data_folder, |settings| settings.store = url).await;
    assert_eq!(running.client.get("/v1/deliveries?limit=200").await.json()["data"], before);
    running.server.stop().await.unwrap();
}

#[test]
fn the_password_of_a_database_is_never_shown() {
    let address = "postgres://user:geheim@127.0.0.1:1/none";
    let refused = postrider(&["store", "check", "--store", address], &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("PGPASSWORD"), "{}", said(&refused));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let outputs = [
        postrider(&["serve", "--data", data, "--listen", "127.0.0.1:0"], &[("POSTRIDER_STORE", address)]),
        postrider(&["store", "check"], &[("POSTRIDER_STORE", address)]),
        postrider(&["store", "stats"], &[("POSTRIDER_STORE", "postgres://user:geheim@host:port/x")]),
        postrider(&["config", "show"], &[("POSTRIDER_STORE", address)]),
        postrider(&["config", "show", "--json"], &[("POSTRIDER_STORE", address)]),
        refused,
    ];
    for output in &outputs {
        assert!(!said(output).contains("geheim"), "{}", said(output));
    }
    assert!(said(&outputs[0]).contains("user:***@127.0.0.1:1"), "{}", said(&outputs[0]));
    assert!(said(&outputs[3]).contains("user:***@127.0.0.1:1"), "{}", said(&outputs[3]));
}
