//! The wall between those who want a request sent and the client that sends it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::attempt::{Exchange, SentRequest};

/// Sends requests.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends `request` once and waits at most `timeout` for the whole of the answer.
    ///
    /// Dropping the future gives the request up; whether the receiver got it is then unknown.
    async fn send(&self, request: &SentRequest, timeout: Duration) -> Exchange;
}
