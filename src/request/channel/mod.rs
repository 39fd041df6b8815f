//! How one subscription's requests go out: signed, with its credentials, over its certificate.
//!
//! A [`Channel`] is made once per version of a subscription and used by all its attempts. It takes a
//! request as the template made it and sees to the rest, so that server, trial and command line cannot
//! differ. What is secret in a request is never in the [`SentRequest`](crate::attempt::SentRequest) that
//! is recorded; it goes to the transport beside it.

mod complete;
mod exchange;
mod mask;
mod open;
mod token;

pub use complete::complete;
pub use exchange::{Carried, Carrier, Freely, Permit};
pub use mask::Mask;
pub use open::Channel;
