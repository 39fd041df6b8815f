//! Postrider: stores events and delivers them as postbacks, durably and under limits.
//!
//! An event is stored in the queue, the dispatcher turns it into a request, and each try is an
//! attempt. The modules stand in the order of that sentence, then what they stand on;
//! `docs/architecture.md` tells the whole, and `tests/architecture.rs` holds who may import whom.

pub mod event;
pub mod inbound;
pub mod subscription;
pub mod delivery;
pub mod queue;
pub mod dispatcher;
pub mod cluster;
pub mod request;
pub mod attempt;
pub mod template;
pub mod store;
pub mod api;
#[cfg(feature = "dashboard")]
pub mod dashboard;
pub mod cli;
pub mod id;
pub mod clock;
pub mod rng;
pub mod secret;
pub mod metrics;
pub mod spans;
pub mod config;
pub mod telemetry;
pub mod systemd;
pub mod server;
