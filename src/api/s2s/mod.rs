//! `/{key}/s2s`: where an advertiser's server reports what came of a click, in the form that HOQU made common.
//!
//! ```text
//! door      the key, the address, the rate; the forms: query, form, JSON, pixel, frame
//! given     parameters as texts, whatever they came as
//! judge     is it a report of a click, an offer, an action? every fault with its parameter
//! take      the ledger, the incoming log, the answer
//! ```
//!
//! The key stands in the path, so it is nowhere else: what is logged, counted and answered has the route's name in its place.

mod answer;
mod door;
mod given;
mod judge;
mod take;

pub(super) use answer::AnswerJson;
pub(super) use door::{frame, pixel, report_get, report_post};
pub(super) use given::Given;
pub(super) use take::{Origin, Sender, take};
