//! Leases: a mark on a row whose request is about to be made, so that a node that comes after knows of it.
//!
//! Those that wait are marked together. Their commit does not wait for the disk: a crash of the database
//! forgets at most some marks, and then the deliveries are made again without an attempt on record.

use std::sync::Arc;

use futures_util::join;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::node::Node;
use super::session::{Connector, Session};
use super::wire::{Id, Param};
use crate::store::{Lease, StoreError};

/// Most rows that are marked together.
const TOGETHER_MAX: usize = 512;
/// Most that wait; more wait at the door.
const WAITING_MAX: usize = 4_096;

const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// A row with whoever is about to make its request.
type Asked = (Lease, oneshot::Sender<Result<(), StoreError>>);

/// Where leases are asked for.
#[derive(Debug)]
pub(super) struct Leases {
    /// None where nothing is leased.
    asked: Option<mpsc::Sender<Asked>>,
}

impl Leases {
    /// With a task that marks rows for this node.
    pub(super) fn start(connector: Connector, node: Arc<Node>) -> Self {
        let Some(name) = node.name().map(str::to_owned) else { return Self { asked: None } };
        let (asked, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(mark_all(connector, name, waiting));
        Self { asked: Some(asked) }
    }

    /// Marks a row.
    pub(super) async fn take(&self, lease: Lease) -> Result<(), StoreError> {
        let Some(asked) = &self.asked else { return Ok(()) };
        let (sender, answer) = oneshot::channel();
        asked.send((lease, sender)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

async fn mark_all(connector: Connector, name: String, mut waiting: mpsc::Receiver<Asked>) {
    let mut session: Option<Session> = None;
    let mut asked = Vec::new();
    while waiting.recv_many(&mut asked, TOGETHER_MAX).await > 0 {
        let mut leases: Vec<Lease> = asked.iter().map(|(lease, _)| *lease).collect();
        // In the order in which the writer takes them too.
        leases.sort_unstable();
        let mut marked = mark(&connector, &mut session, &name, &leases).await;
        if marked.is_err() {
            // Once more: the connection may have been gone for long, or another transaction was in the way.
            session = None;
            marked = mark(&connector, &mut session, &name, &leases).await;
        }
        if marked.is_err() {
            session = None;
        }
        for (_, sender) in asked.drain(..) {
            // Whoever asked may be gone.
            let _ = sender.send(marked.clone().map_err(StoreError::from));
        }
    }
}

async fn mark(connector: &Connector, session: &mut Option<Session>, name: &String, leases: &[Lease]) -> Result<(), Fault> {
    let session = match session {
        Some(session) if !session.is_closed() => session,
        other => other.insert(connector.connect().await?),
    };
    let subscriptions: Vec<Id> = leases.iter().map(|lease| Id(lease.subscription.raw())).collect();
    let due_at: Vec<i64> = leases.iter().map(|lease| lease.due_at.unix_ms()).collect();
    let deliveries: Vec<Id> = leases.iter().map(|lease| Id(lease.delivery.raw())).collect();
    let at: Vec<i64> = leases.iter().map(|lease| lease.at.unix_ms()).collect();
    let statement = "UPDATE postrider.due SET leased_by = $1, leased_at = taken.at \
         FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[]) AS taken (subscription, due_at, delivery, at) \
         WHERE due.subscription = taken.subscription AND due.due_at = taken.due_at AND due.delivery = taken.delivery";
    let values: [Param<'_>; 5] = [
        (name, Type::TEXT),
        (&subscriptions, Type::UUID_ARRAY),
        (&due_at, Type::INT8_ARRAY),
        (&deliveries, Type::UUID_ARRAY),
        (&at, Type::INT8_ARRAY),
    ];
    let (begun, marked, committed) = join!(session.run(BEGIN), session.query(statement, &values), session.run("COMMIT"));
    begun?;
    marked?;
    committed
}
