//! Which deliveries are in flight, for what the log shows. Decides nothing: leases of one node live in
//! the dispatcher's lanes, and those of several in the store.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::id::{DeliveryId, SubscriptionId};

/// The deliveries in flight, with their subscriptions and the time at which their call must be over.
#[derive(Debug, Default)]
pub struct InFlight {
    own: Mutex<Calls>,
    /// Of other servers on the same store, as they were a moment ago.
    others: Mutex<Calls>,
}

type Calls = HashMap<DeliveryId, (SubscriptionId, Timestamp)>;

impl InFlight {
    fn own(&self) -> MutexGuard<'_, Calls> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> MutexGuard<'_, Calls> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a delivery to `subscription` is in flight until `until` at the latest.
    pub fn begin(&self, id: DeliveryId, subscription: SubscriptionId, until: Timestamp) {
        self.own().insert(id, (subscription, until));
    }

    /// Notes that it is no more.
    pub fn end(&self, id: DeliveryId) {
        self.own().remove(&id);
    }

    /// What other servers have in flight. What this one has too is left out.
    pub(super) fn set_others(&self, calls: impl Iterator<Item = (DeliveryId, SubscriptionId, Timestamp)>) {
        let own = self.own();
        let others = calls.filter(|(id, ..)| !own.contains_key(id)).map(|(id, subscription, until)| (id, (subscription, until))).collect();
        drop(own);
        *self.others() = others;
    }

    /// Until when a delivery is in flight; none if it is not.
    #[must_use]
    pub fn until(&self, id: DeliveryId) -> Option<Timestamp> {
        let own = self.own().get(&id).map(|(_, until)| *until);
        own.or_else(|| self.others().get(&id).map(|(_, until)| *until))
    }

    /// Which this server has in flight, in no order.
    #[must_use]
    pub fn ids(&self) -> Vec<DeliveryId> {
        self.own().keys().copied().collect()
    }

    /// How many this server has in flight.
    #[must_use]
    pub fn count(&self) -> usize {
        self.own().len()
    }

    /// How many are in flight, here and elsewhere, for subscriptions that `wanted` names.
    #[must_use]
    pub fn count_of(&self, wanted: impl Fn(SubscriptionId) -> bool) -> usize {
        let of = |calls: &Calls| calls.values().filter(|(subscription, _)| wanted(*subscription)).count();
        let own = of(&self.own());
        own + of(&self.others())
    }
}
