//! From a delivery to a request on the wire: build it, sign it, add credentials, guard the address, send it.

mod build;
pub mod channel;
pub mod guard;
pub mod send;
pub mod sign;

pub use crate::subscription::literal_target;
pub use build::{BuildError, DeliveryFacts, RequestTemplate, URL_BYTES_MAX, trace_of};
