//! A yardstick: a plain queue in a table of Postgres, as a team would write it for itself.
//!
//! A call is one transaction, in one round trip: the event, and a row for its delivery. Workers take rows
//! with `FOR UPDATE SKIP LOCKED`, a batch at a time, send the batch with the HTTP client that the server
//! uses, mark what was sent, and commit; so the rows are locked while the receiver takes its time. There is
//! the index that this needs, and no idempotency key, template, limit, order, log of attempts or backoff.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::join;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::calls;
use super::database::connect;
use super::process::parent_left;
use super::yardstick::reqwest_client;

/// Connections that take calls.
const ACCEPTORS: usize = 16;
/// Connections that send, and the rows that each takes at a time: as many requests in flight as the other yardsticks have.
pub(super) const SENDERS: usize = 4;
const BATCH: i64 = 16;
/// Pause of a sender that finds nothing.
const PAUSE: Duration = Duration::from_millis(5);
/// Seconds after which what was not delivered is tried again.
const RETRY_S: f64 = 10.0;

const TABLES: &str = "CREATE TABLE IF NOT EXISTS queue_events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL, \
       accepted_at timestamptz NOT NULL DEFAULT now()); \
     CREATE TABLE IF NOT EXISTS queue_deliveries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event bigint NOT NULL, \
       due_at timestamptz NOT NULL DEFAULT now(), attempts integer NOT NULL DEFAULT 0, delivered_at timestamptz) \
       WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01); \
     CREATE INDEX IF NOT EXISTS queue_deliveries_due ON queue_deliveries (due_at, id) WHERE delivered_at IS NULL";

const ACCEPT: &str = "WITH event AS (INSERT INTO queue_events (body) VALUES ($1) RETURNING id) \
     INSERT INTO queue_deliveries (event) SELECT id FROM event";

const TAKE: &str = "SELECT taken.id, queue_events.body FROM (SELECT id, event FROM queue_deliveries \
       WHERE delivered_at IS NULL AND due_at <= now() ORDER BY due_at, id LIMIT $1 FOR UPDATE SKIP LOCKED) AS taken \
     JOIN queue_events ON queue_events.id = taken.event";

const MARK: &str = "UPDATE queue_deliveries SET attempts = attempts + 1, \
       delivered_at = CASE WHEN sent.delivered THEN now() END, \
       due_at = CASE WHEN sent.delivered THEN due_at ELSE now() + make_interval(secs => $3) END \
     FROM unnest($1::bigint[], $2::boolean[]) AS sent (id, delivered) WHERE queue_deliveries.id = sent.id";

/// How many deliveries it made, as a statement.
pub(super) const DELIVERED: &str = "SELECT count(*) FROM queue_deliveries WHERE delivered_at IS NOT NULL";
/// How many wait.
pub(super) const WAITING: &str = "SELECT count(*) FROM queue_deliveries WHERE delivered_at IS NULL";

/// Serves on a free port of this machine, with this many senders, until the parent stops it.
pub(super) async fn serve(database: &str, receiver: SocketAddr, senders: usize) -> anyhow::Result<()> {
    connect(database).await?.batch_execute(TABLES).await?;
    let mut acceptors = Vec::with_capacity(ACCEPTORS);
    for _ in 0..ACCEPTORS {
        let client = connect(database).await?;
        let accept = client.prepare(ACCEPT).await?;
        acceptors.push((client, accept));
    }
    let (acceptors, next) = (Arc::new(acceptors), Arc::new(AtomicUsize::new(0)));
    let http = reqwest_client()?;
    for _ in 0..senders {
        tokio::spawn(Sender::new(connect(database).await?, http.clone(), format!("http://{receiver}/")).await?.run());
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", json!({"address": listener.local_addr()?}));
    let take = move |body| {
        let place = next.fetch_add(1, Ordering::Relaxed) % ACCEPTORS;
        accept(acceptors.clone(), place, body)
    };
    tokio::select! {
        () = parent_left() => Ok(()),
        ended = calls::serve(listener, take) => ended,
    }
}

async fn accept(acceptors: Arc<Vec<(Client, Statement)>>, place: usize, body: Bytes) -> bool {
    let (client, statement) = &acceptors[place];
    let Ok(text) = std::str::from_utf8(&body) else { return false };
    client.execute(statement, &[&text]).await.is_ok()
}

struct Sender {
    client: Client,
    take: Statement,
    mark: Statement,
    http: reqwest::Client,
    url: String,
}

impl Sender {
    async fn new(client: Client, http: reqwest::Client, url: String) -> anyhow::Result<Self> {
        let (take, mark) = (client.prepare(TAKE).await?, client.prepare(MARK).await?);
        Ok(Self { client, take, mark, http, url })
    }

    async fn run(self) {
        loop {
            match self.send_batch().await {
                Ok(0) => tokio::time::sleep(PAUSE).await,
                Ok(_) => {}
                // What is not delivered fails the benchmark elsewhere.
                Err(error) => return eprintln!("a sender ended: {error:#}"),
            }
        }
    }

    /// Sends a batch; how many rows it had.
    async fn send_batch(&self) -> anyhow::Result<usize> {
        let (begun, rows) = join!(self.client.batch_execute("BEGIN"), self.client.query(&self.take, &[&BATCH]));
        begun?;
        let rows = rows?;
        let sent = join_all(rows.iter().map(|row| self.post(row.get(1)))).await;
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        if ids.is_empty() {
            self.client.batch_execute("COMMIT").await?;
            return Ok(0);
        }
        let values: [&(dyn ToSql + Sync); 3] = [&ids, &sent, &RETRY_S];
        let (marked, committed) = join!(self.client.execute(&self.mark, &values), self.client.batch_execute("COMMIT"));
        marked?;
        committed?;
        Ok(ids.len())
    }

    async fn post(&self, body: String) -> bool {
        let request = self.http.post(&self.url).header("content-type", "application/json").body(body).timeout(Duration::from_secs(10));
        let Ok(answer) = request.send().await else { return false };
        let delivered = answer.status().is_success();
        delivered && answer.bytes().await.is_ok()
    }
}
