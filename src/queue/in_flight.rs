//! Which deliveries are in flight, for what the log shows. Decides nothing: leases of one node live in
//! the dispatcher's lanes, and a process that dies takes both with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::id::DeliveryId;

/// The deliveries in flight, with the time at which their call must be over.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashMap<DeliveryId, Timestamp>>);

impl InFlight {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<DeliveryId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a delivery is in flight until `until` at the latest.
    pub fn begin(&self, id: DeliveryId, until: Timestamp) {
        self.map().insert(id, until);
    }

    /// Notes that it is no more.
    pub fn end(&self, id: DeliveryId) {
        self.map().remove(&id);
    }

    /// Until when a delivery is in flight; none if it is not.
    #[must_use]
    pub fn until(&self, id: DeliveryId) -> Option<Timestamp> {
        self.map().get(&id).copied()
    }

    /// Which are in flight, in no order.
    #[must_use]
    pub fn ids(&self) -> Vec<DeliveryId> {
        self.map().keys().copied().collect()
    }

    /// How many are in flight.
    #[must_use]
    pub fn count(&self) -> usize {
        self.map().len()
    }
}
