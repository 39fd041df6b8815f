//! What happens, counted: for `GET /v1/stats` and for a monitoring system.
//!
//! Everything here is bounded, whatever the load and however many accounts there are, and lives in
//! memory: a restart begins anew. What must survive is counted by the store.

mod activity;
mod class;
mod exposition;
mod latencies;
mod process;
mod series;
mod table;

pub use activity::{Activity, AttemptNote, MinuteReport};
pub use class::AccountClass;
pub use exposition::{AttemptMeasure, Measure, Metrics, TEXT_TYPE};
pub use latencies::Latencies;
pub use series::{Point, Series, Tally};
pub use table::{METRICS, Metric, MetricKind, PREFIX, PROCESS_METRICS, markdown};
