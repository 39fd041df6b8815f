//! Three real nodes over a real Postgres: killed, stopped, cut off, and the database restarted under load.
//! Nothing acknowledged is lost, no ceiling is passed, the order of actions is kept, and what is sent twice
//! was in flight and is on record as unknown. `POSTRIDER_FAULTS` sets how many faults there are (10).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use postrider::clock::{Clock, SystemClock};
use postrider::rng::{Rng, SystemRng};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::http::Client;

const GROUPS: usize = 20;
const LANES_OF_A_GROUP: usize = 10;
const CALLERS: usize = 6;

async fn pass(span: Duration) {
    tokio::time::sleep(span).await;
}

/// A way to the database that can be stopped: connections stay, and nothing moves.
struct Way {
    address: SocketAddr,
    upstream: Arc<Mutex<SocketAddr>>,
    is_cut: watch::Sender<bool>,
}

impl Way {
    async fn open(upstream: Arc<Mutex<SocketAddr>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self { address: listener.local_addr().unwrap(), upstream, is_cut: watch::Sender::new(false) };
        let (upstream, is_cut) = (way.upstream.clone(), way.is_cut.subscribe());
        tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { return };
                let (upstream, is_cut) = (*upstream.lock().unwrap(), is_cut.clone());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(upstream).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = carry(near_in, far_out, is_cut.clone()) => {}
                        () = carry(far_in, near_out, is_cut) => {}
                    }
                });
            }
        });
        way
    }

    fn cut(&self, cut: bool) {
        self.is_cut.send_replace(cut);
    }
}

async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, mut is_cut: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let Ok(count) = from.read(&mut bytes).await else { return };
        if is_cut.wait_for(|cut| !cut).await.is_err() || count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A database server of this test alone, since it is restarted.
struct Postgres {
    folder: PathBuf,
    url: String,
    /// Held, so that it does not stop by itself.
    _used: File,
}

impl Postgres {
    fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let used = File::create(folder.join("used")).unwrap();
        used.lock_shared().unwrap();
        let url = Self::run("start", folder);
        Self { folder: folder.to_owned(), url, _used: used }
    }

    fn run(command: &str, folder: &Path) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/postgres");
        let output = Command::new("bash").arg(script).arg(command).arg(folder).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Where it listens; another port after each start.
    fn address(&self) -> SocketAddr {
        let host = self.url.split(['@', '/']).nth(3).unwrap();
        host.parse().unwrap()
    }

    /// The address of its database by way of `way`.
    fn by(&self, way: &Way) -> String {
        self.url.replace(&self.address().to_string(), &way.address.to_string())
    }

    fn restart(&mut self) {
        Self::run("stop", &self.folder);
        self.url = Self::run("start", &self.folder);
    }

    /// The first columns of the last rows, as text.
    async fn ask(&self, statement: &str) -> Vec<Vec<String>> {
        let (client, connection) = tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let messages = client.simple_query(statement).await.unwrap();
        let rows = messages.into_iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect())
            }
            _ => None,
        });
        rows.collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        Self::run("stop", &self.folder);
        // What watches the server may be about to write into it; the folder is a temporary one.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A node; another process after each start.
struct Node {
    folder: PathBuf,
    way: Way,
    process: Option<(Child, Client)>,
}

impl Node {
    fn start(&mut self, database: &str) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(["serve", "--allow-private", "--listen", "127.0.0.1:0", "--data"])
            .arg(&self.folder)
            .env("POSTRIDER_STORE", database)
            .env("POSTRIDER_LOG", "off")
            .env("POSTRIDER_LEASE_S", "3")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).inspect(|line| eprintln!("{line}")).find(|line| line.contains("http://"));
        let line = line.expect("the node starts");
        let address = line.rsplit("http://").next().unwrap().trim().parse().unwrap();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("node: {line}")));
        let key = std::fs::read_to_string(self.folder.join("operator.key")).unwrap().trim().to_owned();
        self.process = Some((child, Client { address, key }));
    }

    fn kill(&mut self) {
        if let Some((mut child, _)) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Has it stop in order.
    async fn stop(&mut self) {
        let Some((mut child, _)) = self.process.take() else { return };
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        for _ in 0..400 {
            if child.try_wait().unwrap().is_some() {
                return;
            }
            pass(Duration::from_millis(100)).await;
        }
        child.kill().unwrap();
        panic!("the node did not stop in order");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
struct Arrived {
    lane: String,
    action: String,
    number: u64,
    at: Instant,
}

async fn receive() -> (SocketAddr, Arc<Mutex<Vec<Arrived>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let arrived: Arc<Mutex<Vec<Arrived>>> = Arc::default();
    let taking = arrived.clone();
    let take = move |uri: Uri| {
        let taking = taking.clone();
        async move {
            let url = url::Url::parse(&format!("http://receiver{uri}")).unwrap();
            let value = |name: &str| url.query_pairs().find(|(other, _)| other == name).unwrap().1.into_owned();
            let (action, number) = (value("id"), value("n").parse().unwrap());
            let lane = url.path().trim_start_matches('/').to_owned();
            let wait = if lane.contains("slow") { number % 700 } else { number % 15 };
            taking.lock().unwrap().push(Arrived { lane, action, number, at: SystemClock.instant() });
            pass(Duration::from_millis(wait)).await;
            "OK"
        }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
    (address, arrived)
}

/// The lanes of a group: name, ceiling, order.
fn lane(group: usize, number: usize) -> (String, Option<u32>, &'static str) {
    match number {
        0 => (format!("{group}-paced-2"), Some(2), "none"),
        1 => (format!("{group}-paced-10"), Some(10), "none"),
        2 => (format!("{group}-ordered"), None, "action"),
        3 => (format!("{group}-ordered-slow"), None, "action"),
        4 => (format!("{group}-slow"), None, "none"),
        _ => (format!("{group}-plain-{number}"), None, "none"),
    }
}

async fn subscribe(client: &Client, receiver: SocketAddr) {
    client.post("/v1/accounts", json!({"id": "acme", "fields": ["Number"]})).await;
    for group in 0..GROUPS {
        for number in 0..LANES_OF_A_GROUP {
            let (name, ceiling, order) = lane(group, number);
            let mut spec = json!({
                "account": "acme", "name": name, "event_types": ["action.*"], "order": order,
                "where": {"CampaignId": [group.to_string()]},
                "request": {"url": format!("http://{receiver}/{name}?id={{ActionId}}&n={{Number}}")},
            });
            if let Some(ceiling) = ceiling {
                spec["max_requests_per_second"] = json!(ceiling);
            }
            let created = client.post("/v1/subscriptions", spec).await;
            assert_eq!(created.status, 201, "{}", created.body);
        }
    }
}

/// What callers and the test share.
struct Load {
    clients: Mutex<Vec<Client>>,
    numbers: AtomicUsize,
    accepted: AtomicUsize,
    over: AtomicBool,
}

/// Reports events one after the other, each until some node has acknowledged it.
async fn report(load: Arc<Load>, caller: usize) {
    while !load.over.load(Ordering::Relaxed) {
        let number = load.numbers.fetch_add(1, Ordering::Relaxed);
        let data = json!({"ActionId": format!("{caller}-{}", number % 3), "Number": number, "CampaignId": (number % GROUPS).to_string()});
        let event = json!({"account": "acme", "type": "action.tracked", "key": format!("event-{number}"), "data": data}).to_string();
        loop {
            let clients = load.clients.lock().unwrap().clone();
            if !clients.is_empty() {
                let client = &clients[SystemRng.bits() as usize % clients.len()];
                let answer = tokio::time::timeout(Duration::from_secs(5), client.call("POST", "/v1/events", &[], event.as_bytes())).await;
                match answer {
                    Ok(Ok(answer)) if answer.status == 202 => break,
                    Ok(Ok(answer)) => assert!([429, 503].contains(&answer.status), "{}: {}", answer.status, answer.body),
                    _ => {}
                }
            }
            pass(Duration::from_millis(100)).await;
        }
        load.accepted.fetch_add(LANES_OF_A_GROUP, Ordering::Relaxed);
        pass(Duration::from_millis(300)).await;
    }
}

struct Cluster {
    postgres: Postgres,
    upstream: Arc<Mutex<SocketAddr>>,
    nodes: Vec<Node>,
    load: Arc<Load>,
}

impl Cluster {
    fn show_clients(&self) {
        let clients = self.nodes.iter().filter_map(|node| node.process.as_ref().map(|(_, client)| client.clone()));
        *self.load.clients.lock().unwrap() = clients.collect();
    }

    fn start(&mut self, place: usize) {
        let database = self.postgres.by(&self.nodes[place].way);
        self.nodes[place].start(&database);
        self.show_clients();
    }

    async fn disturb(&mut self) -> &'static str {
        let place = SystemRng.bits() as usize % self.nodes.len();
        let moment = Duration::from_millis(200 + SystemRng.bits() % 4_000);
        match SystemRng.bits() % 8 {
            0..=2 => {
                self.nodes[place].kill();
                self.show_clients();
                pass(moment).await;
                self.start(place);
                "killed"
            }
            3..=5 => {
                self.nodes[place].way.cut(true);
                pass(moment * 2).await;
                self.nodes[place].way.cut(false);
                "cut off"
            }
            6 => {
                self.postgres.restart();
                *self.upstream.lock().unwrap() = self.postgres.address();
                "database restarted"
            }
            _ => {
                self.nodes[place].stop().await;
                self.show_clients();
                pass(moment).await;
                self.start(place);
                "stopped"
            }
        }
    }

    async fn wait_until_drained(&self) {
        for _ in 0..600 {
            let due = self.postgres.ask("SELECT count(*) FROM postrider.deliveries WHERE state = 0").await;
            if due[0][0] == "0" {
                return;
            }
            pass(Duration::from_millis(500)).await;
        }
        panic!("deliveries are still waiting five minutes after the last fault");
    }
}

fn faults() -> usize {
    std::env::var("POSTRIDER_FAULTS").map_or(10, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_three_nodes_and_their_database_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(&std::env::temp_dir().join(format!("postrider-cluster-{}", std::process::id())));
    let upstream = Arc::new(Mutex::new(postgres.address()));
    let load = Arc::new(Load {
        clients: Mutex::default(),
        numbers: AtomicUsize::new(0),
        accepted: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    let mut cluster = Cluster { postgres, upstream: upstream.clone(), nodes: Vec::new(), load: load.clone() };
    let (receiver, arrived) = receive().await;
    for place in 0..3 {
        let of_node = folder.path().join(place.to_string());
        std::fs::create_dir(&of_node).unwrap();
        if place > 0 {
            for file in ["operator.key", "master.key"] {
                std::fs::copy(folder.path().join("0").join(file), of_node.join(file)).unwrap();
            }
        }
        cluster.nodes.push(Node { folder: of_node, way: Way::open(upstream.clone()).await, process: None });
        cluster.start(place);
        if place == 0 {
            let client = load.clients.lock().unwrap()[0].clone();
            subscribe(&client, receiver).await;
        }
    }
    let callers: Vec<_> = (0..CALLERS).map(|caller| tokio::spawn(report(load.clone(), caller))).collect();
    for number in 0..faults() {
        pass(Duration::from_millis(SystemRng.bits() % 4_000)).await;
        let what = cluster.disturb().await;
        eprintln!("fault {number}: {what}; {} deliveries accepted", load.accepted.load(Ordering::Relaxed));
    }
    pass(Duration::from_secs(5)).await;
    load.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    cluster.wait_until_drained().await;
    let arrived = arrived.lock().unwrap().clone();
    check(&cluster, &arrived).await;
    check_spread(&cluster).await;
}

async fn check(cluster: &Cluster, arrived: &[Arrived]) {
    let accepted = cluster.load.accepted.load(Ordering::Relaxed);
    let states = cluster.postgres.ask("SELECT state, count(*) FROM postrider.deliveries GROUP BY state").await;
    assert_eq!(states, [["1".to_owned(), accepted.to_string()]], "every delivery that was acknowledged is delivered");
    let mut first: HashMap<(&str, &str), u64> = HashMap::new();
    let mut times: HashMap<&str, Vec<Instant>> = HashMap::new();
    let mut count: HashMap<(&str, u64), usize> = HashMap::new();
    for request in arrived {
        *count.entry((&request.lane, request.number)).or_default() += 1;
        times.entry(&request.lane).or_default().push(request.at);
        if request.lane.contains("ordered") && count[&(request.lane.as_str(), request.number)] == 1 {
            let last = first.entry((&request.lane, &request.action)).or_default();
            assert!(*last <= request.number, "{}: {} came after {last}", request.lane, request.number);
            *last = request.number;
        }
    }
    assert_eq!(count.len(), accepted, "every delivery arrived");
    let repeats = arrived.len() - count.len();
    let unknown =
        "SELECT count(*) FROM postrider.attempts WHERE outcome = (SELECT max(outcome) FROM postrider.attempts) AND request_url IS NULL";
    let unknown: usize = cluster.postgres.ask(unknown).await[0][0].parse().unwrap();
    assert!(repeats <= unknown, "{repeats} were sent again, and {unknown} were in flight when something happened");
    eprintln!("{accepted} deliveries, 0 lost, {repeats} sent again, {unknown} unknown");
    check_ceilings(cluster, &times).await;
}

/// By the moments of handing over, which the nodes of one machine tell by one clock; and by those of arrival,
/// which are later by different times.
async fn check_ceilings(cluster: &Cluster, times: &HashMap<&str, Vec<Instant>>) {
    let statement = "SELECT DISTINCT deliveries.subscription, attempts.started_at, attempts.delivery, attempts.number \
        FROM postrider.attempts JOIN postrider.deliveries ON deliveries.id = attempts.delivery \
        WHERE attempts.request_url LIKE '%paced%' ORDER BY 1, 2";
    let ceilings = "SELECT id, (value::jsonb)->'spec'->>'max_requests_per_second' FROM postrider.configuration \
        WHERE (value::jsonb)->'spec'->>'max_requests_per_second' IS NOT NULL";
    let ceilings = cluster.postgres.ask(ceilings).await;
    assert_eq!(ceilings.len(), 2 * GROUPS);
    let mut handed_over: HashMap<String, Vec<i64>> = HashMap::new();
    for row in cluster.postgres.ask(statement).await {
        let raw = u128::from_str_radix(&row[0].replace('-', ""), 16).unwrap();
        handed_over.entry(postrider::id::SubscriptionId::from_raw(raw).to_string()).or_default().push(row[1].parse().unwrap());
    }
    assert!(handed_over.len() > GROUPS, "the load was real");
    for row in &ceilings {
        let (times, ceiling) = (handed_over.get(&row[0]).cloned().unwrap_or_default(), row[1].parse::<f64>().unwrap() as usize);
        let over = times.windows(ceiling + 1).find(|window| window[ceiling] - window[0] < 1_000);
        assert!(over.is_none(), "{}: {over:?} within a second, with a ceiling of {ceiling}", row[0]);
    }
    for (lane, times) in times {
        let Some((_, ceiling)) = lane.split_once("paced-") else { continue };
        let ceiling: usize = ceiling.parse().unwrap();
        let mut times = times.clone();
        times.sort_unstable();
        let over = times.windows(ceiling + 1).find(|window| window[ceiling] - window[0] < Duration::from_millis(900));
        assert!(over.is_none(), "{lane}: {over:?} within a second, with a ceiling of {ceiling}");
    }
}

/// Lanes are spread evenly when all is quiet.
async fn check_spread(cluster: &Cluster) {
    let mut owned = Vec::new();
    for _ in 0..100 {
        let rows = "SELECT count(*) FROM postrider.lanes WHERE until > now() AND owner IS NOT NULL \
            AND subscription > '00000000-0000-0000-0000-0000000000ff' GROUP BY owner ORDER BY 1";
        owned = cluster.postgres.ask(rows).await.into_iter().map(|row| row[0].parse::<usize>().unwrap()).collect();
        if owned == [66, 67, 67] {
            return;
        }
        pass(Duration::from_millis(200)).await;
    }
    panic!("200 lanes are spread as {owned:?}");
}
