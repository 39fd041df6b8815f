//! The whole of it over Postgres: the main flows, and what only a database can do to a server.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use postrider::id::SubscriptionId;
use serde_json::{Value, json};

use super::http::Client;
use super::kill;
use super::receiver::Receiver;
use super::server::Running;
use crate::database::{Database, OwnServer};

async fn running(database: &Database) -> Running {
    let url = database.url.clone();
    Running::with(|settings| settings.store = url.into()).await
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
    the_main_flow(&database.url).await;
}

#[tokio::test]
async fn an_event_is_delivered_retried_and_replayed_behind_a_pooler() {
    let database = Database::create();
    the_main_flow(&database.pooled_url()).await;
    let other = Database::create();
    the_main_flow(&format!("{}?listen={}", other.pooled_url(), other.place())).await;
}

async fn the_main_flow(store: &str) {
    let receiver = Receiver::start().await;
    let running = Running::with(|settings| settings.store = store.into()).await;
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
    let running = running.restart(|settings| settings.store = store.into()).await;
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

/// The one character that a text of Postgres cannot hold.
#[tokio::test]
async fn h10_a_nul_in_a_text_is_no_failure() {
    let (database, receiver) = (Database::create(), Receiver::start().await);
    let running = running(&database).await;
    running.subscribe(&format!("http://{}/x?id={{ActionId}}", receiver.address), json!({})).await;
    let delivery = running.emit(json!({"ActionId": "a\u{0}b", "Payout": 1})).await;
    let shown = running.attempts(&delivery, 1).await;
    assert_eq!(shown["attempt_log"][0]["outcome"], "delivered", "{shown}");
    for path in [
        "/v1/actions/acme/a%00b",
        "/v1/actions/acme/%00",
        "/v1/actions/%00/a",
        "/v1/clicks/%00",
        "/v1/inbound-calls/%00",
        "/v1/test-runs/%00",
        "/v1/actions?account=acme&action_id=%00",
        "/v1/actions?account=%00",
        "/v1/clicks?account=acme&offer=%00",
        "/v1/inbound-calls?account=acme&offer=%00",
        "/v1/events?account=%00",
        "/v1/events?type=%00",
        "/v1/deliveries?type=%00&account=acme",
        "/v1/audit?actor=%00",
        "/v1/accounts/%00",
        "/v1/events?cursor=%00",
    ] {
        let answer = running.client.get(path).await;
        assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.body);
    }
    let event = json!({"account": "acme", "type": "action.tracked", "key": "a\u{0}", "data": {"ActionId": "\u{0}"}});
    let answer = running.client.post("/v1/events", event).await;
    assert!(answer.status < 500, "{}", answer.body);
    running.server.stop().await.unwrap();
}

/// Reports an event until it is taken; what it is answered with meanwhile tells when to come again.
async fn report_patiently(client: &Client, number: usize) {
    let event = json!({"account": "acme", "type": "action.tracked", "key": number.to_string(), "data": {"ActionId": number.to_string()}});
    loop {
        let answer = client.post("/v1/events", event.clone()).await;
        match answer.status {
            202 => return,
            503 => assert!(answer.header("retry-after").is_some(), "{}", answer.body),
            _ => panic!("{}", answer.body),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k3_a_database_that_crashes_and_stays_away_under_load_loses_nothing() {
    let server = OwnServer::start();
    let receiver = Receiver::start().await;
    let running = Running::with(|settings| settings.store = server.url.as_str().into()).await;
    let subscription = running.subscribe(&format!("http://{}/x?id={{ActionId}}", receiver.address), json!({})).await;
    let (numbers, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, numbers, over) = (running.client.clone(), numbers.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    report_patiently(&client, numbers.fetch_add(1, Ordering::Relaxed)).await;
                }
            })
        })
        .collect();
    let ready = async || running.client.get("/readyz").await.status == 200;
    let goes_on = async || {
        let (before, arrived) = (numbers.load(Ordering::Relaxed), receiver.arrived().len());
        until("events are taken and sent", async || {
            numbers.load(Ordering::Relaxed) > before + 50 && receiver.arrived().len() > arrived + 50
        })
        .await;
    };
    goes_on().await;
    tokio::task::block_in_place(|| server.crash());
    tokio::task::block_in_place(|| server.start_again());
    until("it is ready again", ready).await;
    goes_on().await;
    tokio::task::block_in_place(|| server.stop());
    until("it is not ready", async || !ready().await).await;
    let refused = running.client.post("/v1/events", json!({"account": "acme", "type": "test.ping", "data": {}})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("store_unavailable")), "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(running.client.get("/healthz").await.status, 200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    tokio::task::block_in_place(|| server.start_again());
    until("it is ready again", ready).await;
    goes_on().await;
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let reported = numbers.load(Ordering::Relaxed);
    let id = subscription["id"].as_str().unwrap();
    let counts = format!("SELECT sum(waiting)::text FROM postrider.counts WHERE subscription = '{}'", uuid_of(id));
    until("nothing waits any more", async || tokio::task::block_in_place(|| server.run(&counts)) == ["0"]).await;
    let arrived: HashSet<String> = receiver.arrived().into_iter().map(|request| request.target).collect();
    let missing: Vec<_> = (0..reported).filter(|number| !arrived.contains(&format!("/x?id={number}"))).collect();
    assert!(missing.is_empty(), "{} of {reported} were never sent: {missing:?}", missing.len());
    // Reported twice, stored once.
    assert_eq!(server.run("SELECT count(*) FROM postrider.events WHERE key IS NOT NULL"), [reported.to_string()]);
    running.server.stop().await.unwrap();
}

/// The id of a subscription as the tables have it.
fn uuid_of(id: &str) -> String {
    format!("{:032x}", id.parse::<SubscriptionId>().unwrap().raw())
}

/// The program with all it says.
struct Program {
    child: Child,
    client: Client,
    said: Arc<Mutex<String>>,
}

impl Program {
    fn start(data: &Path, store: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(["serve", "--allow-private", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("POSTRIDER_STORE", store)
            .env("POSTRIDER_LOG", "trace")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, all) = (BufReader::new(child.stderr.take().unwrap()).lines(), said.clone());
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, address)) = line.rsplit_once("http://") {
                    // Only the first one is waited for.
                    let _ = found.send(address.trim().parse());
                }
                *all.lock().unwrap() += &(line + "\n");
            }
        });
        let address = loop {
            if let Ok(address) = address.recv_timeout(Duration::from_secs(60)).expect("the server starts") {
                break address;
            }
        };
        let key = std::fs::read_to_string(data.join("operator.key")).unwrap().trim().to_owned();
        Self { child, client: Client { address, key }, said }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j2_a_running_server_tells_nobody_the_password_of_its_database() {
    let (database, folder) = (Database::create(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start().await;
    let mut program = Program::start(folder.path(), &database.url);
    let client = program.client.clone();
    let mut told = Vec::new();
    client.post("/v1/accounts", json!({"id": "acme"})).await;
    let request = json!({"url": format!("http://{}/x?id={{ActionId}}", receiver.address)});
    let subscription = json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": request});
    assert_eq!(client.post("/v1/subscriptions", subscription).await.status, 201);
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1"}});
    assert_eq!(client.post("/v1/events", event.clone()).await.status, 202);
    receiver.wait_for(1).await;
    database.lock_out(true);
    until("it is not ready", async || client.get("/readyz").await.status == 503).await;
    for path in ["/readyz", "/v1/events", "/v1/nodes", "/metrics", "/v1/deliveries"] {
        told.push(client.get(path).await.body);
    }
    told.push(client.post("/v1/events", event).await.body);
    database.lock_out(false);
    until("it is ready again", async || client.get("/readyz").await.status == 200).await;
    let hang_up = Command::new("kill").args(["-HUP", &program.child.id().to_string()]).status().unwrap();
    assert!(hang_up.success());
    let reloaded = async || program.said.lock().unwrap().contains("settings are reloaded");
    until("it has read its settings again", reloaded).await;
    for path in ["/v1/nodes", "/metrics", "/v1/audit", "/v1/export", "/v1/me", "/healthz", "/openapi.json"] {
        let answer = client.get(path).await;
        assert!(answer.status < 500 && (answer.status != 404 || path == "/openapi.json"), "{path}: {}", answer.body);
        told.push(answer.body);
    }
    let terminated = Command::new("kill").arg(program.child.id().to_string()).status().unwrap();
    assert!(terminated.success() && tokio::task::block_in_place(|| program.child.wait()).unwrap().success());
    told.push(program.said.lock().unwrap().clone());
    let password = database.password();
    let data = folder.path().to_str().unwrap();
    let variables = |store: &str| vec![("POSTRIDER_STORE".to_owned(), store.to_owned()), ("POSTRIDER_LOG".to_owned(), "trace".to_owned())];
    let port = database.place().rsplit(':').next().unwrap();
    for (arguments, store) in [
        (&["serve", "--data", data, "--listen", "127.0.0.1:0"][..], database.url.replace(&password, &format!("wrong{password}"))),
        (&["serve", "--data", data, "--listen", "127.0.0.1:0"], format!("{}?sslmode=verify-full", database.url)),
        (&["serve", "--data", data, "--listen", "127.0.0.1:0"], database.url.replace(&format!(":{port}/"), ":1/")),
        (&["config", "check"], format!("{}?sslmode=no", database.url)),
        (&["config", "show"], format!("{}&password={password}", database.url.replace(&format!(":{password}"), "") + "?a=b")),
        (&["store", "check", "--help"], database.url.clone()),
        (&["serve", "--help"], database.url.clone()),
        (&["store", "stats"], database.url.clone()),
        (&["store", "compact"], database.url.clone()),
    ] {
        let variables = variables(&store);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        told.push(tokio::task::block_in_place(|| said(&postrider(arguments, &variables))));
    }
    for text in &told {
        assert!(!text.contains(&password), "{}", text.lines().find(|line| line.contains(&password)).unwrap());
    }
    assert!(told.iter().any(|text| text.contains("***@")), "the address is shown, without the password");
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
    let running = Running::with(|settings| settings.store = format!("sled:{}", data.display()).into()).await;
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
    let running = Running::on(data_folder, |settings| settings.store = url.into()).await;
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
