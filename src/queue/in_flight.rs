//! Which deliveries are in flight, for what the log shows. Decides nothing: leases of one node live in
//! the dispatcher's lanes, and a process that dies takes both with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::id::{DeliveryId, SubscriptionId};

/// The deliveries in flight, with their subscriptions and the time at which their call must be over.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashMap<DeliveryId, (SubscriptionId, Timestamp)>>);

impl InFlight {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<DeliveryId, (SubscriptionId, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a delivery to `subscription` is in flight until `until` at the latest.
    pub fn begin(&self, id: DeliveryId, subscription: SubscriptionId, until: Timestamp) {
        self.map().insert(id, (subscription, until));
    }

    /// Notes that it is no more.
    pub fn end(&self, id: DeliveryId) {
        self.map().remove(&id);
    }

    /// Until when a delivery is in flight; none if it is not.
    #[must_use]
    pub fn until(&self, id: DeliveryId) -> Option<Timestamp> {
        self.map().get(&id).map(|(_, until)| *until)
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

    /// How many are in flight for subscriptions that `wanted` names.
    #[must_use]
    pub fn count_of(&self, wanted: impl Fn(SubscriptionId) -> bool) -> usize {
        self.map().values().filter(|(subscription, _)| wanted(*subscription)).count()
    }
}
