//! What is in flight: a row for each request that is about to be made, so that who owns the lane next knows of it.
//!
//! Rows of those that wait are written together, and only of deliveries that are due as they were read and whose
//! lane was not claimed again. Their commit does not wait for the disk: a crash of the database forgets at
//! most some rows, and then the deliveries are made again without an attempt on record.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::join;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::lanes::number;
use super::session::{Connector, Readers, Session};
use super::wire::{Id, Param, raw};
use crate::clock::Timestamp;
use crate::cluster::Epoch;
use crate::id::{AttemptId, DeliveryId, SubscriptionId};
use crate::store::{Lease, StoreError};

/// How long a write may take.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// Most rows that are written together.
const TOGETHER_MAX: usize = 512;
/// Most that wait; more wait at the door.
const WAITING_MAX: usize = 4_096;

const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// A request with whoever is about to make it.
type Asked = (Lease, oneshot::Sender<Result<bool, StoreError>>);

/// Where leases are asked for.
#[derive(Debug)]
pub(super) struct Leases {
    asked: mpsc::Sender<Asked>,
}

impl Leases {
    /// With a task that writes what is in flight.
    pub(super) fn start(connector: Connector) -> Self {
        let (asked, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write_all(connector, waiting));
        Self { asked }
    }

    /// Notes a request; answers whether it may be made.
    pub(super) async fn take(&self, lease: Lease) -> Result<bool, StoreError> {
        let (sender, answer) = oneshot::channel();
        self.asked.send((lease, sender)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

async fn write_all(connector: Connector, mut waiting: mpsc::Receiver<Asked>) {
    let mut session: Option<Session> = None;
    let mut asked = Vec::new();
    while waiting.recv_many(&mut asked, TOGETHER_MAX).await > 0 {
        // One row for each delivery in a statement, and in the order in which the writer takes them too.
        let leases: BTreeMap<_, _> = asked.iter().map(|(lease, _)| ((lease.subscription, lease.delivery), lease)).collect();
        let leases: Vec<&Lease> = leases.into_values().collect();
        let mut written = within(write(&connector, &mut session, &leases)).await;
        if written.is_err() {
            // Once more: the connection may have been gone for long, or another transaction was in the way.
            session = None;
            written = within(write(&connector, &mut session, &leases)).await;
        }
        if written.is_err() {
            session = None;
        }
        for (lease, sender) in asked.drain(..) {
            let answer = written.as_ref().map(|noted| noted.contains(&lease.attempt.raw())).map_err(|fault| fault.clone().into());
            // Whoever asked may be gone.
            let _ = sender.send(answer);
        }
    }
}

async fn within<T>(written: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(WRITE_MAX, written).await.unwrap_or_else(|_| Err(Fault::too_slow("noting what is in flight")))
}

/// Writes the rows; answers with the ids of the attempts that may be made.
async fn write(connector: &Connector, session: &mut Option<Session>, leases: &[&Lease]) -> Result<HashSet<u128>, Fault> {
    let session = match session {
        Some(session) if !session.is_closed() => session,
        other => other.insert(connector.connect().await?),
    };
    let ids = |id: fn(&Lease) -> u128| -> Vec<Id> { leases.iter().map(|lease| Id(id(lease))).collect() };
    let numbers = |value: fn(&Lease) -> i64| -> Vec<i64> { leases.iter().map(|lease| value(lease)).collect() };
    let (lanes, deliveries, attempts) =
        (ids(|lease| lease.subscription.raw()), ids(|lease| lease.delivery.raw()), ids(|lease| lease.attempt.raw()));
    let (epochs, due_at) = (numbers(|lease| number(lease.epoch)), numbers(|lease| lease.due_at.unix_ms()));
    let (counts, at) = (numbers(|lease| lease.number.into()), numbers(|lease| lease.at.unix_ms()));
    let statement = "INSERT INTO postrider.in_flight (subscription, delivery, epoch, due_at, attempt, number, at) \
         SELECT taken.* FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[], $6::bigint[], $7::bigint[]) \
           AS taken (subscription, delivery, epoch, due_at, attempt, number, at) \
         JOIN postrider.due ON due.subscription = taken.subscription AND due.due_at = taken.due_at AND due.delivery = taken.delivery \
         JOIN postrider.lanes ON lanes.subscription = taken.subscription AND lanes.epoch = taken.epoch \
         ON CONFLICT (subscription, delivery) DO UPDATE SET epoch = excluded.epoch, due_at = excluded.due_at, \
           attempt = excluded.attempt, number = excluded.number, at = excluded.at \
         RETURNING attempt";
    let values: [Param<'_>; 7] = [
        (&lanes, Type::UUID_ARRAY),
        (&deliveries, Type::UUID_ARRAY),
        (&epochs, Type::INT8_ARRAY),
        (&due_at, Type::INT8_ARRAY),
        (&attempts, Type::UUID_ARRAY),
        (&counts, Type::INT8_ARRAY),
        (&at, Type::INT8_ARRAY),
    ];
    let (begun, rows, committed) = join!(session.run(BEGIN), session.query(statement, &values), session.run("COMMIT"));
    begun?;
    let rows = rows?;
    committed?;
    Ok(rows.iter().map(|row| raw(row, 0)).collect())
}

impl Readers {
    /// Takes a note back.
    pub(super) async fn let_go(&self, lease: &Lease) -> Result<(), StoreError> {
        let statement = "DELETE FROM postrider.in_flight WHERE subscription = $1 AND delivery = $2 AND attempt = $3";
        let (lane, delivery, attempt) = (Id(lease.subscription.raw()), Id(lease.delivery.raw()), Id(lease.attempt.raw()));
        let values: [Param<'_>; 3] = [(&lane, Type::UUID), (&delivery, Type::UUID), (&attempt, Type::UUID)];
        self.change(statement, &values).await.map(drop)
    }

    /// What is in flight of a lane under claims before this one.
    pub(super) async fn leased(&self, lane: SubscriptionId, before: Epoch) -> Result<Vec<Lease>, StoreError> {
        let statement = "SELECT delivery, subscription, epoch, due_at, attempt, number, at FROM postrider.in_flight \
             WHERE subscription = $1 AND epoch < $2 ORDER BY delivery";
        let rows = self.rows(statement, &[(&Id(lane.raw()), Type::UUID), (&number(before), Type::INT8)]).await?;
        Ok(rows.iter().map(lease).collect())
    }

    /// What is in flight of all lanes.
    pub(super) async fn in_flight(&self) -> Result<Vec<Lease>, StoreError> {
        let statement = "SELECT delivery, subscription, epoch, due_at, attempt, number, at FROM postrider.in_flight ORDER BY delivery";
        Ok(self.rows(statement, &[]).await?.iter().map(lease).collect())
    }
}

fn lease(row: &Row) -> Lease {
    Lease {
        delivery: DeliveryId::from_raw(raw(row, 0)),
        subscription: SubscriptionId::from_raw(raw(row, 1)),
        epoch: Epoch::from_number(u64::try_from(row.get::<_, i64>(2)).unwrap_or_default()),
        due_at: Timestamp::from_unix_ms(row.get(3)),
        attempt: AttemptId::from_raw(raw(row, 4)),
        number: u32::try_from(row.get::<_, i64>(5)).unwrap_or(u32::MAX),
        at: Timestamp::from_unix_ms(row.get(6)),
    }
}
