//! What the keeper tells the dispatcher and the jobs, and what the dispatcher tells the keeper.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::lease::Tenure;
use crate::clock::{Clock, SystemClock};
use crate::id::SubscriptionId;

/// Something that the dispatcher is to do.
#[derive(Debug)]
pub enum Order {
    /// Send for this lane, as long as its lease holds.
    Start(Arc<Tenure>),
    /// Start nothing of this lane any more; another node has it.
    Stop(SubscriptionId),
    /// Go on with this lane, whose lease had ended and is renewed.
    Resume(SubscriptionId),
    /// Give lanes back until there are no more than so many.
    Keep(usize),
}

/// The dispatcher's end. Dropped, it says that nothing of it is in flight any more.
#[derive(Debug)]
pub struct Membership {
    pub(super) orders: UnboundedReceiver<Order>,
    pub(super) released: UnboundedSender<SubscriptionId>,
    pub(super) wanted: watch::Sender<Arc<[SubscriptionId]>>,
}

impl Membership {
    /// The next order; none if the keeper is gone.
    pub async fn order(&mut self) -> Option<Order> {
        self.orders.recv().await
    }

    /// An order that waits, if one does.
    pub fn waiting_order(&mut self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// Which lanes there are to be owned by some node.
    pub fn want(&self, lanes: Vec<SubscriptionId>) {
        self.wanted.send_if_modified(|present| {
            let differs = **present != *lanes;
            if differs {
                *present = lanes.into();
            }
            differs
        });
    }

    /// Gives a lane back of which nothing is in flight.
    pub fn release(&self, lane: SubscriptionId) {
        // A keeper that is gone has released everything.
        let _ = self.released.send(lane);
    }
}

/// Whether it is this node that does a job.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Set if jobs are leased: this node's present lease of it.
    tenure: Option<watch::Receiver<Option<Arc<Tenure>>>>,
    clock: Arc<dyn Clock>,
}

impl Turn {
    /// The turn of the only node.
    #[must_use]
    pub fn always() -> Self {
        Self { tenure: None, clock: Arc::new(SystemClock) }
    }

    pub(super) const fn leased(tenure: watch::Receiver<Option<Arc<Tenure>>>, clock: Arc<dyn Clock>) -> Self {
        Self { tenure: Some(tenure), clock }
    }

    /// Whether it is this node's turn at this moment.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let Some(tenure) = &self.tenure else { return true };
        tenure.borrow().as_ref().is_some_and(|tenure| tenure.holds(&*self.clock))
    }

    /// Waits until it is.
    pub async fn ours(&mut self) {
        while !self.is_ours() {
            let Some(tenure) = &mut self.tenure else { return };
            if tenure.changed().await.is_err() {
                // Nobody is left who could give it the turn.
                std::future::pending::<()>().await;
            }
        }
    }
}
