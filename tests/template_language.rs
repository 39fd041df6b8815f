//! The template language as a whole: conformance cases, snapshots of good and bad templates, the
//! sample body of the vendor's page, limits, and properties that hold for every event.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "template/catalogue.rs"]
mod catalogue;
#[path = "template/conformance.rs"]
mod conformance;
#[path = "template/limits.rs"]
mod limits;
#[path = "template/lints.rs"]
mod lints;
#[path = "template/properties.rs"]
mod properties;
#[path = "template/rules.rs"]
mod rules;
#[path = "template/sample_body.rs"]
mod sample_body;
#[path = "template/snapshots.rs"]
mod snapshots;
