//! One request over a channel: credentials, permit, signature, sending, and once more if the token had run out.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::mask::Mask;
use super::open::{Channel, Credentials};
use super::token::Token;
use crate::attempt::{Exchange, Failure, FailureKind, SentRequest};
use crate::clock::{Clock, Timestamp};
use crate::id::DeliveryId;
use crate::request::send::{Outgoing, Transport};
use crate::secret::Secret;

/// Lets a request go: it is asked immediately before each one is handed to the client.
#[async_trait]
pub trait Permit: Send + Sync {
    /// Resolves when the request may go.
    ///
    /// # Errors
    /// [`Failure`] if it may not any more.
    async fn pass(&self) -> Result<(), Failure>;
}

/// Lets every request go at once.
#[derive(Debug, Clone, Copy)]
pub struct Freely;

#[async_trait]
impl Permit for Freely {
    async fn pass(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What requests are carried by.
#[derive(Debug, Clone, Copy)]
pub struct Carrier<'a> {
    /// Sends.
    pub transport: &'a dyn Transport,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Time for one call, and for fetching a token before it.
    pub timeout: Duration,
}

/// What came of a request over a channel.
#[derive(Debug)]
pub struct Carried {
    /// The request as it is recorded; none if nothing was sent to the receiver.
    pub request: Option<SentRequest>,
    /// When it was handed to the client, or would have been.
    pub started_at: Timestamp,
    /// From then to the end of the answer.
    pub duration: Duration,
    /// What came back.
    pub exchange: Exchange,
    /// Masks what is secret in the answer. Judge first, mask then, record last.
    pub mask: Mask,
}

/// The header by which one request proves its sender.
#[derive(Default)]
struct Proof {
    headers: Vec<(String, Secret)>,
    /// The token in it.
    token: Option<Token>,
    /// Whether the token was there before this request.
    is_kept: bool,
}

impl Channel {
    /// Sends `request`, as its template made it, for the delivery `id`.
    ///
    /// A token is fetched first if one is needed. If the receiver answers 401 to a token from before, it
    /// is fetched anew and the request is sent once more, with another permit; what is told is then the
    /// second request.
    pub async fn carry(&self, request: SentRequest, id: DeliveryId, carrier: Carrier<'_>, permit: &dyn Permit) -> Carried {
        let id = id.to_string();
        let proof = match self.admits(&request) {
            Ok(()) => self.proof(None, carrier).await,
            Err(failure) => Err(failure),
        };
        let proof = match proof {
            Ok(proof) => proof,
            Err(failure) => return self.unsent(failure, carrier.clock),
        };
        let Some(stale) = proof.token.clone().filter(|_| proof.is_kept) else {
            return self.send_once(request, &id, &proof, carrier, permit).await;
        };
        let first = self.send_once(request.clone(), &id, &proof, carrier, permit).await;
        if !matches!(&first.exchange, Exchange::Answered(response) if response.status == 401) {
            return first;
        }
        // A request was sent, whatever came of fetching the token and of the second permit: an attempt was made.
        let not_again = |Failure { detail, .. }| Exchange::Failed(Failure { kind: FailureKind::Connection, detail });
        match self.proof(Some(&stale), carrier).await {
            Ok(proof) => match self.send_once(request, &id, &proof, carrier, permit).await {
                Carried { request: None, exchange: Exchange::Failed(failure), .. } => Carried { exchange: not_again(failure), ..first },
                second => second,
            },
            Err(failure) => Carried { exchange: not_again(failure), ..first },
        }
    }

    /// `request` as it would be recorded for the delivery `id` at `at`. Nothing is sent.
    ///
    /// # Errors
    /// [`Failure`] if it would not be sent.
    pub fn preview(&self, request: SentRequest, id: DeliveryId, at: Timestamp) -> Result<SentRequest, Failure> {
        self.admits(&request)?;
        self.dress(request, &id.to_string(), at)
    }

    async fn send_once(&self, request: SentRequest, id: &str, proof: &Proof, carrier: Carrier<'_>, permit: &dyn Permit) -> Carried {
        if let Err(failure) = permit.pass().await {
            return self.unsent(failure, carrier.clock);
        }
        let (started_at, started) = (carrier.clock.now(), carrier.clock.instant());
        let request = match self.dress(request, id, started_at) {
            Ok(request) => request,
            Err(failure) => return self.unsent(failure, carrier.clock),
        };
        let identity = self.identity.as_ref();
        let outgoing = Outgoing { secret_headers: &proof.headers, identity, ..Outgoing::new(&request, carrier.timeout) };
        let exchange = carrier.transport.send(outgoing).await;
        let mut mask = self.mask.clone();
        proof.token.iter().for_each(|token| mask.add(token.text()));
        Carried { request: Some(request), started_at, duration: since(started, carrier.clock), exchange, mask }
    }

    /// The header for one request; with a token other than `stale`.
    async fn proof(&self, stale: Option<&Token>, carrier: Carrier<'_>) -> Result<Proof, Failure> {
        match &self.credentials {
            None => Ok(Proof::default()),
            Some(Credentials::Fixed { header, value }) => Ok(Proof { headers: vec![(header.clone(), value.clone())], ..Proof::default() }),
            Some(Credentials::Token(source)) => {
                let (token, is_new) = source.token(stale, carrier).await?;
                let headers = vec![("Authorization".to_owned(), token.header())];
                Ok(Proof { headers, token: Some(token), is_kept: !is_new })
            }
        }
    }

    fn unsent(&self, failure: Failure, clock: &dyn Clock) -> Carried {
        Carried {
            request: None,
            started_at: clock.now(),
            duration: Duration::ZERO,
            exchange: Exchange::Failed(failure),
            mask: self.mask.clone(),
        }
    }
}

fn since(started: Instant, clock: &dyn Clock) -> Duration {
    clock.instant().duration_since(started)
}
