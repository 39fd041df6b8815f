//! A receiver whose every byte is told: it answers well, badly, slowly, endlessly, or not at all.
//!
//! It speaks HTTP/1.1 over raw connections, with or without TLS, so that it can also break the rules. What it does is asked
//! of a [`Behaviour`], in [`Step`]s; what it counts is in [`Traffic`]. It knows no script file and
//! prints nothing.

mod connection;
mod read;
mod step;
mod stream;

pub use connection::{Arrived, Behaviour, CONNECTIONS_MAX, Ended, Traffic, serve};
pub use read::{BODY_BYTES_MAX, HEAD_BYTES_MAX, ReadError};
pub use step::{End, Step};
pub use stream::Door;
