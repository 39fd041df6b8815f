//! From a delivery to a request on the wire: build it, guard the address, send it.

mod build;
pub mod guard;
pub mod send;
pub mod sign;

pub use build::{BuildError, DeliveryFacts, RequestTemplate, URL_BYTES_MAX, literal_target};
