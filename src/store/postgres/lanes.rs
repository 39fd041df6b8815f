//! Who is there and who owns which lane, as tables. The time is the database's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::listener::News;
use super::node::Node as OwnNode;
use super::session::{Readers, Session};
use super::wire::{Id, Param, raw};
use crate::clock::Timestamp;
use crate::cluster::{Claim, Epoch, LaneLeases, LeaseError, Node, NodeReport, Roles};
use crate::id::{NodeId, SubscriptionId};
use crate::store::StoreError;

/// For how long a node is remembered that does not tell of itself any more.
const REMEMBERED: &str = "1 hour";

/// The leases of the lanes in a database.
#[derive(Debug)]
pub(super) struct PostgresLeases {
    ttl: Duration,
    readers: Arc<Readers>,
    node: Arc<OwnNode>,
    /// A connection for leases alone, so that no question holds them up.
    session: Mutex<Option<Session>>,
}

impl PostgresLeases {
    pub(super) fn new(ttl: Duration, readers: Arc<Readers>, node: Arc<OwnNode>) -> Self {
        Self { ttl, readers, node, session: Mutex::default() }
    }

    fn ttl_seconds(&self) -> f64 {
        self.ttl.as_secs_f64()
    }

    /// The rows of a statement that changes something, which is a transaction of its own.
    async fn run(&self, statement: &str, values: &[Param<'_>]) -> Result<Vec<Row>, LeaseError> {
        let told = |error: StoreError| LeaseError { detail: error.to_string() };
        let mut place = self.session.lock().await;
        // Taken out: a wait that is given up leaves none behind in the middle of an answer.
        let session = match place.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => self.readers.connect().await.map_err(told)?,
        };
        let rows = session.query(statement, values).await.map_err(|fault| told(self.readers.told(fault)))?;
        *place = Some(session);
        Ok(rows)
    }
}

fn lanes_of(claims: &[Claim]) -> (Vec<Id>, Vec<i64>) {
    claims.iter().map(|claim| (Id(claim.lane.raw()), number(claim.epoch))).unzip()
}

/// An epoch as it is stored. They come from a sequence, which ends before the type does.
pub(super) fn number(epoch: Epoch) -> i64 {
    i64::try_from(epoch.number()).unwrap_or(i64::MAX)
}

fn claim(row: &Row) -> Claim {
    let epoch = Epoch::from_number(u64::try_from(row.get::<_, i64>(1)).unwrap_or_default());
    Claim { lane: SubscriptionId::from_raw(raw(row, 0)), epoch }
}

fn node(row: &Row) -> Node {
    let count = |column: usize| usize::try_from(row.get::<_, i64>(column)).unwrap_or_default();
    let report = NodeReport {
        id: NodeId::from_raw(raw(row, 0)),
        address: row.get(1),
        roles: row.get::<_, &str>(2).parse().unwrap_or(Roles::ALL),
        version: row.get(3),
        lanes: count(4),
        in_flight: count(5),
        leaving: row.get(6),
    };
    Node { report, beat_at: Timestamp::from_unix_ms(row.get(7)), live: row.get(8) }
}

/// The columns of a node; `$1` is the time to live in seconds.
const NODES: &str = "SELECT id, address, roles, version, lanes, in_flight, leaving, \
     (extract(epoch FROM beat_at) * 1000)::bigint, beat_at > now() - make_interval(secs => $1) FROM postrider.cluster_nodes ORDER BY id";

#[async_trait]
impl LaneLeases for PostgresLeases {
    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    async fn beat(&self, report: &NodeReport) -> Result<Vec<Node>, LeaseError> {
        let statement = format!(
            "WITH gone AS (DELETE FROM postrider.cluster_nodes WHERE beat_at < now() - interval '{REMEMBERED}' AND id <> $1) \
             INSERT INTO postrider.cluster_nodes (id, address, roles, version, lanes, in_flight, leaving, beat_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, now()) ON CONFLICT (id) DO UPDATE SET lanes = excluded.lanes, \
               in_flight = excluded.in_flight, leaving = excluded.leaving, beat_at = excluded.beat_at"
        );
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (roles, lanes, in_flight) = (report.roles.to_string(), count(report.lanes), count(report.in_flight));
        let values: [Param<'_>; 7] = [
            (&Id(report.id.raw()), Type::UUID),
            (&report.address, Type::TEXT),
            (&roles, Type::TEXT),
            (&report.version, Type::TEXT),
            (&lanes, Type::INT8),
            (&in_flight, Type::INT8),
            (&report.leaving, Type::BOOL),
        ];
        self.run(&statement, &values).await?;
        self.nodes().await
    }

    async fn claim(&self, node: NodeId, lanes: &[SubscriptionId], most: usize) -> Result<Vec<Claim>, LeaseError> {
        // What was free is looked at again under the row's lock; an epoch is drawn under it too, so that a
        // later claim of a lane has a higher one.
        let statement = "WITH free AS (SELECT wanted.lane FROM unnest($2::uuid[]) WITH ORDINALITY AS wanted (lane, place) \
               LEFT JOIN postrider.lanes ON lanes.subscription = wanted.lane \
               WHERE lanes.subscription IS NULL OR lanes.owner IS NULL OR lanes.until <= now() ORDER BY place LIMIT $3) \
             INSERT INTO postrider.lanes (subscription, owner, epoch, until) \
             SELECT lane, $1, nextval('postrider.epochs'), now() + make_interval(secs => $4) FROM free ORDER BY lane \
             ON CONFLICT (subscription) DO UPDATE SET owner = excluded.owner, epoch = nextval('postrider.epochs'), until = excluded.until \
               WHERE lanes.owner IS NULL OR lanes.until <= now() \
             RETURNING subscription, epoch";
        let wanted: Vec<Id> = lanes.iter().map(|lane| Id(lane.raw())).collect();
        let (most, seconds) = (i64::try_from(most).unwrap_or(i64::MAX), self.ttl_seconds());
        let values: [Param<'_>; 4] =
            [(&Id(node.raw()), Type::UUID), (&wanted, Type::UUID_ARRAY), (&most, Type::INT8), (&seconds, Type::FLOAT8)];
        Ok(self.run(statement, &values).await?.iter().map(claim).collect())
    }

    async fn renew(&self, node: NodeId, claims: &[Claim]) -> Result<Vec<Claim>, LeaseError> {
        let statement = "UPDATE postrider.lanes SET until = now() + make_interval(secs => $4) \
             FROM unnest($2::uuid[], $3::bigint[]) AS held (lane, epoch) \
             WHERE lanes.subscription = held.lane AND lanes.epoch = held.epoch AND lanes.owner = $1 \
             RETURNING lanes.subscription, lanes.epoch";
        let ((lanes, epochs), seconds) = (lanes_of(claims), self.ttl_seconds());
        let values: [Param<'_>; 4] =
            [(&Id(node.raw()), Type::UUID), (&lanes, Type::UUID_ARRAY), (&epochs, Type::INT8_ARRAY), (&seconds, Type::FLOAT8)];
        Ok(self.run(statement, &values).await?.iter().map(claim).collect())
    }

    async fn release(&self, node: NodeId, claims: &[Claim]) -> Result<(), LeaseError> {
        let statement = "UPDATE postrider.lanes SET owner = NULL FROM unnest($2::uuid[], $3::bigint[]) AS held (lane, epoch) \
             WHERE lanes.subscription = held.lane AND lanes.epoch = held.epoch AND lanes.owner = $1";
        let (lanes, epochs) = lanes_of(claims);
        self.run(statement, &[(&Id(node.raw()), Type::UUID), (&lanes, Type::UUID_ARRAY), (&epochs, Type::INT8_ARRAY)]).await?;
        // A hint; who misses it looks at the next renewal.
        self.node.see_freed();
        self.run("SELECT pg_notify('postrider', $1)", &[(&News::Freed.text(self.node.tag()), Type::TEXT)]).await.map(drop)
    }

    async fn leave(&self, node: NodeId) -> Result<(), LeaseError> {
        self.run("DELETE FROM postrider.cluster_nodes WHERE id = $1", &[(&Id(node.raw()), Type::UUID)]).await.map(drop)
    }

    async fn nodes(&self) -> Result<Vec<Node>, LeaseError> {
        Ok(self.run(NODES, &[(&self.ttl_seconds(), Type::FLOAT8)]).await?.iter().map(node).collect())
    }

    fn freed(&self) -> watch::Receiver<u64> {
        self.node.freed()
    }
}
