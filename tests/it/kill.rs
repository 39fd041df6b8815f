//! The real server, killed at random moments under load: nothing acknowledged is lost, and only what
//! was in flight is sent again. `POSTRIDER_KILLS` sets how often (30).

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postrider::rng::{Rng, SystemRng};
use serde_json::{Value, json};

use super::http::Client;
use super::receiver::Receiver;
use crate::database::Database;

const CALLERS: usize = 8;
const IN_FLIGHT_MAX: usize = 32;

pub struct Server {
    child: Child,
    pub client: Client,
}

impl Server {
    pub fn start(data: &Path, store: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(["serve", "--allow-private", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            // Not as an argument: it may hold a password.
            .env("POSTRIDER_STORE", store)
            .env("POSTRIDER_LOG", "error")
            // Where lanes are leased, those of a server that was killed are free after that.
            .env("POSTRIDER_LEASE_S", "3")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines
            .by_ref()
            .map(Result::unwrap)
            .inspect(|line| eprintln!("server: {line}"))
            .find(|line| line.contains("http://"))
            .expect("the server starts");
        let address = line.rsplit("http://").next().unwrap().trim().parse().unwrap();
        // Keeps the pipe open and shows what the server complains of.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("server: {line}")));
        let key = std::fs::read_to_string(data.join("operator.key")).unwrap().trim().to_owned();
        Self { child, client: Client { address, key } }
    }

    pub fn kill(self) {
        drop(self);
    }
}

/// A test that fails leaves no server behind.
impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Reports events until the server goes away; notes every one that was acknowledged.
async fn report(client: Client, acknowledged: Arc<Mutex<HashMap<String, Vec<String>>>>, numbers: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let key = format!("event-{number}");
        let event = json!({"account": "acme", "type": "action.tracked", "key": key, "data": {"ActionId": (number % 50).to_string(), "Number": number}});
        let Ok(answer) = client.call("POST", "/v1/events", &[], event.to_string().as_bytes()).await else { return };
        assert_eq!(answer.status, 202, "{}", answer.body);
        let deliveries = answer.json()["deliveries"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        acknowledged.lock().unwrap().insert(key, deliveries);
    }
}

async fn kill_again_and_again(store: &str, kills: usize) {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut server = Server::start(folder.path(), store);
    server.client.post("/v1/accounts", json!({"id": "acme", "fields": ["Number"]})).await;
    for order in ["none", "action"] {
        let url = format!("http://{}/{order}?id={{ActionId}}&n={{Number}}&s={{Status}}", receiver.address);
        let created = server
            .client
            .post(
                "/v1/subscriptions",
                json!({"account": "acme", "name": order, "event_types": ["action.*"], "order": order, "request": {"url": url}}),
            )
            .await;
        assert_eq!(created.status, 201, "{}", created.body);
    }
    let acknowledged = Arc::new(Mutex::new(HashMap::new()));
    let numbers = Arc::new(AtomicUsize::new(0));
    for _ in 0..kills {
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(report(server.client.clone(), acknowledged.clone(), numbers.clone(), stop.clone())))
            .collect();
        let life = Duration::from_millis(20 + SystemRng.bits() % 400);
        let _ = tokio::time::timeout(life, std::future::pending::<()>()).await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.unwrap();
        }
        server = Server::start(folder.path(), store);
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let owed: HashSet<String> = acknowledged.values().flatten().cloned().collect();
    wait_until_drained(&server.client).await;
    check(&server.client, &receiver, &owed, kills).await;
    server.kill();
    eprintln!("{}: {kills} kills, {} events acknowledged, 0 lost", store.split(':').next().unwrap(), acknowledged.len());
    assert!(acknowledged.len() > kills * 3, "the load was real");
}

/// The queue drains by itself after the last start.
async fn wait_until_drained(client: &Client) {
    for _ in 0..1_200 {
        if !any(client, "pending").await && !any(client, "leased").await {
            return;
        }
        let _ = tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await;
    }
    panic!("the queue did not drain");
}

/// Whether there is a delivery in this state. A page looks at a bounded number of records, so that an
/// empty one need not be the last.
async fn any(client: &Client, state: &str) -> bool {
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/deliveries?state={state}&limit=1{cursor}")).await.json();
        if page["data"] != json!([]) {
            return true;
        }
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return false,
        }
    }
}

async fn check(client: &Client, receiver: &Receiver, owed: &HashSet<String>, kills: usize) {
    let mut received: HashMap<String, usize> = HashMap::new();
    for arrived in receiver.arrived() {
        *received.entry(arrived.header("idempotency-key").to_owned()).or_default() += 1;
    }
    let lost: Vec<_> = owed.iter().filter(|id| !received.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} acknowledged deliveries never arrived, such as {}", lost.len(), lost[0]);
    let repeats: usize = received.values().map(|count| count - 1).sum();
    assert!(repeats <= kills * IN_FLIGHT_MAX * 2, "{repeats} repeats after {kills} kills of two lanes with {IN_FLIGHT_MAX} places each");
    // Index and records agree: every delivery that was ever owed is there, delivered, with its attempt,
    // and each repeat that is on record is marked.
    let mut listed = HashSet::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/deliveries?limit=200{cursor}")).await.json();
        for delivery in page["data"].as_array().unwrap() {
            assert_eq!(delivery["state"], "delivered", "{delivery}");
            assert!(listed.insert(delivery["id"].as_str().unwrap().to_owned()), "{delivery} is listed twice");
        }
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    assert!(owed.is_subset(&listed));
    for id in received.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id).take(50) {
        let shown = client.get(&format!("/v1/deliveries/{id}")).await.json();
        let attempts = shown["attempt_log"].as_array().unwrap();
        assert!(attempts.iter().any(|attempt| attempt["possible_repeat"] == true), "{id} was sent again without a mark: {shown}");
    }
}

fn kills() -> usize {
    std::env::var("POSTRIDER_KILLS").map_or(30, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_kills_of_a_server_on_sled_lose_nothing() {
    kill_again_and_again("sled", kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_kills_of_a_server_on_redb_lose_nothing() {
    kill_again_and_again("redb", kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_kills_of_a_server_on_postgres_lose_nothing() {
    let database = Database::create();
    kill_again_and_again(&database.url, kills()).await;
}
