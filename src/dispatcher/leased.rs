//! The lanes of a dispatcher where lanes are leased: begun, stopped and given back as the keeper orders.
//!
//! A lane that is to end starts nothing any more and ends when nothing of it is under way, so that there is
//! never a second lane of the same subscription beside requests of the first.

use std::cmp::Reverse;
use std::sync::Arc;

use super::lane::{Closing, Lane};
use super::schedule::Dispatcher;
use crate::cluster::{Order, Tenure};
use crate::id::SubscriptionId;
use crate::subscription::{Subscription, SubscriptionState};

impl Dispatcher {
    /// Tells which lanes there are to be owned: those that may have something to send.
    pub(super) fn want_lanes(&self, subscriptions: &[&Subscription]) {
        if let Some(membership) = &self.membership {
            let active = subscriptions.iter().filter(|subscription| subscription.spec.state == SubscriptionState::Active);
            membership.want(active.map(|subscription| subscription.id).collect());
        }
    }

    pub(super) fn take_orders(&mut self) {
        while let Some(order) = self.membership.as_mut().and_then(|membership| membership.waiting_order()) {
            self.follow_order(order);
        }
    }

    pub(super) fn follow_order(&mut self, order: Order) {
        match order {
            Order::Start(tenure) => self.begin_leased(tenure),
            Order::Stop(id) => self.close(id, Closing::Lost { then: None }),
            Order::Resume(id) => self.make_ready(id),
            Order::Keep(most) => self.keep_lanes(most),
        }
    }

    fn begin_leased(&mut self, tenure: Arc<Tenure>) {
        let id = tenure.lane();
        if let Some(lane) = self.lanes.get_mut(&id) {
            // What was sent under the lease before is still under way.
            lane.closing = Some(Closing::Lost { then: Some(tenure) });
            self.end_closing(id);
            return;
        }
        let registry = self.registry.clone();
        match registry.subscription(id) {
            Some(subscription) if subscription.spec.state == SubscriptionState::Active => {
                // Its first request waits an interval: another node may have sent one just before.
                let lane = self.new_lane(subscription, None, true).leased(Some(tenure));
                self.lanes.insert(id, lane);
                self.note_lanes();
                self.make_ready(id);
            }
            // It was paused or deleted meanwhile.
            _ => self.membership.iter().for_each(|membership| membership.release(id)),
        }
    }

    /// Starts nothing of this lane any more, and ends it as soon as nothing of it is under way.
    pub(super) fn close(&mut self, id: SubscriptionId, closing: Closing) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.closing = Some(closing);
            self.end_closing(id);
        }
    }

    /// Gives back what is more than `most`: first those with the least in flight.
    pub(super) fn keep_lanes(&mut self, most: usize) {
        if self.membership.is_none() {
            return;
        }
        let mut open: Vec<_> =
            self.lanes.iter().filter(|(_, lane)| lane.closing.is_none()).map(|(id, lane)| (lane.in_flight, *id)).collect();
        let surplus = open.len().saturating_sub(most);
        // Of those that have nothing in flight the youngest.
        open.sort_unstable_by_key(|(in_flight, id)| (*in_flight, Reverse(*id)));
        for (_, id) in open.into_iter().take(surplus) {
            self.close(id, Closing::GivenBack);
        }
    }

    pub(super) fn end_closing(&mut self, id: SubscriptionId) {
        if !self.lanes.get(&id).is_some_and(|lane| lane.closing.is_some() && lane.is_at_rest()) {
            return;
        }
        let Some(mut lane) = self.lanes.remove(&id) else { return };
        self.forget_timer(id, &lane);
        self.ready.retain(|ready| *ready != id);
        self.held.retain(|held| *held != id);
        self.workshop.queue.forget_endpoint(id);
        self.note_lanes();
        match lane.closing.take() {
            Some(Closing::Lost { then }) => then.into_iter().for_each(|tenure| self.begin_leased(tenure)),
            _ => self.give_back(id, &lane),
        }
    }

    /// Shows how many lanes there are.
    pub(super) fn note_lanes(&self) {
        self.workshop.queue.metrics().set_lanes(self.lanes.len());
    }

    /// Has a lane released that was owned.
    pub(super) fn give_back(&self, id: SubscriptionId, lane: &Lane) {
        if let Some(membership) = self.membership.as_ref().filter(|_| lane.tenure.is_some()) {
            membership.release(id);
        }
    }
}
