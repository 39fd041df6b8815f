//! A transport without network: answers from a script and remembers what it was handed.
//!
//! Waits run on tokio's clock, so that a test with a paused clock runs days of them at once.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::transport::{Outgoing, Transport};
use crate::attempt::{Exchange, Failure, FailureKind, ReceivedResponse, SentRequest};
use crate::clock::{Clock, SystemClock};

/// One scripted answer: what comes back, and after how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Scripted {
    exchange: Exchange,
    wait: Duration,
}

impl Scripted {
    /// An answer with this status and an empty body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::answer(status, "")
    }

    /// An answer with this status and body.
    #[must_use]
    pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let response = ReceivedResponse { status, headers: Vec::new(), body: body.into(), truncated: false };
        Self { exchange: Exchange::Answered(response), wait: Duration::ZERO }
    }

    /// No answer, for this reason.
    #[must_use]
    pub fn failure(kind: FailureKind) -> Self {
        let failure = Failure { kind, detail: format!("scripted failure: {kind:?}") };
        Self { exchange: Exchange::Failed(failure), wait: Duration::ZERO }
    }

    /// Never an answer: the request ends at its time limit.
    #[must_use]
    pub fn silence() -> Self {
        Self::status(200).after(Duration::MAX)
    }

    /// The same with a header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Exchange::Answered(response) = &mut self.exchange {
            response.headers.push((name.into(), value.into()));
        }
        self
    }

    /// The same after `wait`.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// A request as the transport was handed it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRequest {
    /// When, on tokio's clock.
    pub at: Instant,
    /// The request.
    pub request: SentRequest,
    /// The time it was given.
    pub timeout: Duration,
}

type Answerer = Arc<dyn Fn(&SentRequest) -> Scripted + Send + Sync>;

/// Answers from a script. Clones share script and memory.
///
/// The first list whose prefix begins the URL answers: its entries in turn, the last one for ever.
/// URLs that no list names are answered by the closure, at first with status 200 and `OK`.
#[derive(Clone)]
pub struct ScriptedTransport {
    state: Arc<Mutex<State>>,
    otherwise: Answerer,
}

#[derive(Default)]
struct State {
    lists: Vec<(String, VecDeque<Scripted>)>,
    requests: Vec<RecordedRequest>,
    in_flight: usize,
    in_flight_max: usize,
}

impl Default for ScriptedTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptedTransport {
    /// Answers everything with status 200 and `OK`, at once.
    #[must_use]
    pub fn new() -> Self {
        Self::answering(|_| Scripted::answer(200, "OK"))
    }

    /// Answers what no list names by asking `otherwise`.
    #[must_use]
    pub fn answering(otherwise: impl Fn(&SentRequest) -> Scripted + Send + Sync + 'static) -> Self {
        Self { state: Arc::default(), otherwise: Arc::new(otherwise) }
    }

    /// Answers URLs that begin with `url_prefix` with `answers` in turn; the last one repeats.
    /// Replaces an earlier list for the same prefix.
    pub fn on(&self, url_prefix: &str, answers: impl IntoIterator<Item = Scripted>) -> &Self {
        let mut state = self.state();
        state.lists.retain(|(prefix, _)| prefix != url_prefix);
        state.lists.push((url_prefix.into(), answers.into_iter().collect()));
        drop(state);
        self
    }

    /// Everything it was handed, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state().requests.clone()
    }

    /// What it was handed for URLs that begin with `url_prefix`, in order.
    #[must_use]
    pub fn requests_to(&self, url_prefix: &str) -> Vec<RecordedRequest> {
        self.state().requests.iter().filter(|recorded| recorded.request.url.starts_with(url_prefix)).cloned().collect()
    }

    /// How many requests wait for their answer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// The most requests that ever waited at once.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        self.state().in_flight_max
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, request: &SentRequest, timeout: Duration) -> Option<Scripted> {
        let mut state = self.state();
        state.requests.push(RecordedRequest { at: SystemClock.instant(), request: request.clone(), timeout });
        state.in_flight += 1;
        state.in_flight_max = state.in_flight_max.max(state.in_flight);
        let (_, list) = state.lists.iter_mut().find(|(prefix, _)| request.url.starts_with(prefix.as_str()))?;
        if list.len() > 1 { list.pop_front() } else { list.front().cloned() }
    }
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedTransport").field("requests", &self.state().requests.len()).finish_non_exhaustive()
    }
}

/// Counts a request out again, also when its future is dropped.
struct InFlight<'a>(&'a ScriptedTransport);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let Outgoing { request, timeout, .. } = outgoing;
        let scripted = self.take(request, timeout);
        let _in_flight = InFlight(self);
        let scripted = scripted.unwrap_or_else(|| (self.otherwise)(request));
        if scripted.wait >= timeout && scripted.wait > Duration::ZERO {
            tokio::time::sleep(timeout).await;
            let detail = format!("no answer within {} ms", timeout.as_millis());
            return Exchange::Failed(Failure { kind: FailureKind::TimedOut, detail });
        }
        if scripted.wait > Duration::ZERO {
            tokio::time::sleep(scripted.wait).await;
        }
        scripted.exchange
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &str) -> SentRequest {
        SentRequest { method: "GET".into(), url: url.into(), headers: vec![], body: vec![] }
    }

    async fn status(transport: &ScriptedTransport, url: &str) -> Option<u16> {
        match transport.send(Outgoing::new(&get(url), Duration::from_secs(10))).await {
            Exchange::Answered(response) => Some(response.status),
            Exchange::Failed(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_turn_and_the_last_repeats() {
        let transport = ScriptedTransport::answering(|request| Scripted::status(if request.url.ends_with("/x") { 404 } else { 200 }));
        transport.on("https://a.example/", [Scripted::status(503), Scripted::failure(FailureKind::Connection), Scripted::status(204)]);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(status(&transport, "https://a.example/p").await);
        }
        assert_eq!(seen, [Some(503), None, Some(204), Some(204)]);
        assert_eq!(
            (status(&transport, "https://b.example/x").await, status(&transport, "https://b.example/").await),
            (Some(404), Some(200))
        );
        assert_eq!((transport.requests().len(), transport.requests_to("https://b").len()), (6, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_run_on_tokios_clock_and_end_at_the_limit() {
        let transport = ScriptedTransport::new();
        transport.on("https://slow.example/", [Scripted::status(200).after(Duration::from_secs(9)), Scripted::silence()]);
        let start = SystemClock.instant();
        assert_eq!(status(&transport, "https://slow.example/").await, Some(200));
        assert_eq!(status(&transport, "https://slow.example/").await, None);
        let at: Vec<_> = transport.requests().iter().map(|recorded| recorded.at.duration_since(start).as_secs()).collect();
        assert_eq!((at, start.elapsed().as_secs()), (vec![0, 9], 19));
        assert_eq!((transport.in_flight(), transport.in_flight_max()), (0, 1));
    }
}
