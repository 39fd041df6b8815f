//! The wall between those who want a request sent and the client that sends it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::identity::TlsIdentity;
use crate::attempt::{Exchange, SentRequest};
use crate::secret::Secret;

/// A request on its way out, with what belongs on the wire and not on record.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The request as it is recorded.
    pub request: &'a SentRequest,
    /// Header values that take the place of those that the record shows under the same name.
    pub secret_headers: &'a [(String, Secret)],
    /// What is shown to the receiver and trusted of it; none for the system's authorities and no certificate.
    pub identity: Option<&'a Arc<TlsIdentity>>,
    /// Time for the whole of the answer.
    pub timeout: Duration,
}

impl<'a> Outgoing<'a> {
    /// A request that holds no secrets and has no TLS identity of its own.
    #[must_use]
    pub const fn new(request: &'a SentRequest, timeout: Duration) -> Self {
        Self { request, secret_headers: &[], identity: None, timeout }
    }
}

/// Sends requests.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends a request once and waits at most its timeout for the whole of the answer.
    ///
    /// Dropping the future gives the request up; whether the receiver got it is then unknown.
    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange;
}
