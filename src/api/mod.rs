//! The REST API: one file per resource. `error.rs` alone knows which error gets which status and code,
//! `routes.rs` alone which call takes which keys, `caller.rs` alone what a caller sees.
//!
//! Handlers read and check what came in, ask the queue, and write JSON. They decide nothing about
//! deliveries, and they know no dispatcher.

mod accounts;
mod actions;
mod addresses;
mod audit;
mod auth;
mod body;
mod caller;
mod clicks;
mod cloudevents;
mod codes;
#[cfg(feature = "dashboard")]
mod dashboard;
mod deliveries;
mod error;
mod event_types;
mod events;
mod explanation;
mod export;
mod findings;
mod health;
mod inbound_calls;
mod inbound_keys;
mod integration;
mod keys;
mod me;
mod metrics;
mod nodes;
mod observe;
mod offers;
mod openapi;
mod page;
mod inbound;
mod presets;
mod preview;
mod problem;
mod rates;
mod replays;
mod responses;
mod routes;
mod routing;
mod s2s;
mod shape;
mod slow;
mod stats;
mod subscriptions;
mod templates;
mod test_runs;
mod throttle;
mod trial;
mod trials;
mod trial_event;
mod versions;

pub use auth::Gate;
pub use caller::Access;
pub use codes::error_codes;
pub use deliveries::attempt_json;
pub use error::ApiError;
pub use findings::finding_json;
pub use inbound::{Inbound, InboundSettings};
pub use metrics::MetricsReaders;
pub use problem::{Invalid, Problem};
pub use routes::{calls, openapi_document, probes, router};
pub use trial::{Trial, try_once};
pub use trials::TrialLimit;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::cluster::LaneLeases;
use crate::id::NodeId;
use crate::queue::Queue;
use crate::request::guard::Guard;
use crate::request::send::Transport;
use crate::rng::Rng;

/// What handlers need.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Events, deliveries and configuration.
    pub queue: Arc<Queue>,
    /// Who shares the store.
    pub leases: Arc<dyn LaneLeases>,
    /// This node.
    pub node: NodeId,
    /// Sends tests.
    pub transport: Arc<dyn Transport>,
    /// Tells which URLs would be refused, for warnings.
    pub guard: Guard,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Draws the text of keys.
    pub rng: Arc<dyn Rng>,
    /// Who is let in.
    pub gate: Arc<Gate>,
    /// What concerns clicks and reports.
    pub inbound: Arc<Inbound>,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Addresses and networks that receivers see requests come from.
    pub egress_addresses: Arc<[String]>,
    /// Who may read the metrics.
    pub metrics: MetricsReaders,
    /// Time for a client to send a whole body.
    pub body_time_max: Duration,
    /// Most subscriptions of one account.
    pub subscriptions_per_account_max: usize,
    /// How many tests an account may send.
    pub trial_limit: Arc<TrialLimit>,
    /// Whether the server takes work.
    pub ready: Readiness,
    /// Whether the dispatcher's loop turns.
    pub pulse: Pulse,
}

/// Whether the server takes work; shared by those who know and those who tell.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets whether the server takes work.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether the server takes work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// When the dispatcher's loop last showed that it turns; shared by the loop and those who tell.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// The loop turns.
    pub fn beat(&self, instant: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(instant);
    }

    /// Whether the loop has turned within `span`, or has not begun yet.
    #[must_use]
    pub fn is_alive(&self, instant: Instant, span: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|last| instant.saturating_duration_since(last) <= span)
    }
}
