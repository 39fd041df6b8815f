//! What happens, counted: for `GET /v1/stats` and for a monitoring system.
//!
//! Everything here is bounded, whatever the load and however many accounts there are, and lives in
//! memory: a restart begins anew. What must survive is counted by the store.

mod activity;
mod latencies;
mod series;

pub use activity::{Activity, AttemptNote};
pub use latencies::Latencies;
pub use series::{Point, Series, Tally};
