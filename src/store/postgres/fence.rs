//! Fences of settlements: what was sent under a claim of a lane that has been claimed again changes nothing,
//! unless it was delivered.
//!
//! The claim is read beside everything else and not locked. If the lane is claimed at that very moment, the
//! settlement and what its next owner does about the same delivery come one after the other all the same,
//! by the lock of the delivery's row, and each looks at what the other has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::types::Type;

use super::fault::Fault;
use super::lanes::number;
use super::session::Session;
use super::wire::{Id, raw};
use crate::delivery::Next;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::Settlement;

/// Under which claim of its lane an attempt was made.
#[derive(Debug)]
pub(super) struct Fence {
    lane: SubscriptionId,
    delivery: DeliveryId,
    epoch: i64,
    delivers: bool,
    is_stale: AtomicBool,
}

impl Fence {
    /// That of a settlement, if lanes are leased.
    pub(super) fn of(settlement: &Settlement) -> Option<Arc<Self>> {
        let epoch = number(settlement.epoch?);
        let (lane, delivery, delivers) = (settlement.subscription, settlement.delivery, settlement.next == Next::Delivered);
        Some(Arc::new(Self { lane, delivery, epoch, delivers, is_stale: AtomicBool::new(false) }))
    }

    /// Whether the settlement must change nothing.
    pub(super) fn forbids(&self) -> bool {
        self.is_stale.load(Ordering::Acquire) && !self.delivers
    }
}

/// Reads by which claims the lanes are owned.
pub(super) async fn read_claims(session: &Session, fences: &[Arc<Fence>]) -> Result<(), Fault> {
    if fences.is_empty() {
        return Ok(());
    }
    let mut lanes: Vec<Id> = fences.iter().map(|fence| Id(fence.lane.raw())).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let statement = "SELECT subscription, epoch FROM postrider.lanes WHERE subscription = ANY($1)";
    let rows = session.query(statement, &[(&lanes, Type::UUID_ARRAY)]).await?;
    for fence in fences {
        let row = rows.iter().find(|row| raw(row, 0) == fence.lane.raw());
        let is_stale = row.is_none_or(|row| row.get::<_, i64>(1) != fence.epoch);
        fence.is_stale.store(is_stale, Ordering::Release);
    }
    Ok(())
}

/// Takes out of what is in flight what is settled.
pub(super) async fn end_in_flight(session: &Session, fences: &[Arc<Fence>]) -> Result<(), Fault> {
    let settled: Vec<_> = fences.iter().filter(|fence| !fence.forbids()).collect();
    if settled.is_empty() {
        return Ok(());
    }
    let lanes: Vec<Id> = settled.iter().map(|fence| Id(fence.lane.raw())).collect();
    let deliveries: Vec<Id> = settled.iter().map(|fence| Id(fence.delivery.raw())).collect();
    let epochs: Vec<i64> = settled.iter().map(|fence| fence.epoch).collect();
    let statement = "DELETE FROM postrider.in_flight USING unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS settled (lane, delivery, epoch) \
         WHERE in_flight.subscription = settled.lane AND in_flight.delivery = settled.delivery AND in_flight.epoch <= settled.epoch";
    let values = [(&lanes as _, Type::UUID_ARRAY), (&deliveries as _, Type::UUID_ARRAY), (&epochs as _, Type::INT8_ARRAY)];
    session.query(statement, &values).await.map(drop)
}
