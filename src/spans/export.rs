//! Sends spans to the collector, in batches. Nobody waits for it, and what it does not take is dropped.

use std::time::Duration;

use reqwest::StatusCode;
use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::settings::OtlpSettings;
use super::span::{Span, Spans};

/// Most spans of one batch.
const BATCH_MAX: usize = 512;
/// How long a batch is waited for.
const BATCH_WAIT: Duration = Duration::from_secs(2);
/// Time for one call to the collector.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Pauses before a batch is tried again; after the last it is dropped.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// The client for the collector was not set up.
#[derive(Debug, thiserror::Error)]
#[error("the client for the collector of traces cannot be set up: {0}")]
pub struct ExportError(String);

/// Sends spans.
#[derive(Debug)]
pub struct Exporter {
    settings: OtlpSettings,
    http: reqwest::Client,
    spans: Spans,
    waiting: Receiver<Span>,
}

/// What the collector said to a batch.
enum Said {
    Taken,
    /// It may take it later.
    Later(String),
    /// It will not take it.
    Never(String),
}

impl Exporter {
    /// An exporter for these settings, and where it gets its spans.
    ///
    /// # Errors
    /// [`ExportError`] if the system's authorities cannot be read.
    pub fn new(settings: OtlpSettings) -> Result<(Self, Spans), ExportError> {
        let fail = |error: &dyn std::fmt::Display| ExportError(error.to_string());
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(|error| fail(&error))?
            .with_no_client_auth();
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = client.timeout(CALL_MAX).build().map_err(|error| fail(&error))?;
        let (spans, waiting) = Spans::new();
        Ok((Self { settings, http, spans: spans.clone(), waiting }, spans))
    }

    /// Sends what comes until `stop`, and then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while !stop.is_cancelled() {
            self.fill(&mut batch, &stop).await;
            if !batch.is_empty() {
                self.deliver(&batch).await;
                batch.clear();
            }
            let dropped = self.spans.take_dropped();
            if dropped > 0 {
                tracing::warn!(count = dropped, "spans were dropped, since the collector does not take them fast enough");
            }
        }
        while let Ok(span) = self.waiting.try_recv() {
            batch.push(span.0);
        }
        for part in batch.chunks(BATCH_MAX) {
            self.deliver(part).await;
        }
    }

    /// Waits for the first span, and for others a moment longer.
    async fn fill(&mut self, batch: &mut Vec<Value>, stop: &CancellationToken) {
        tokio::select! {
            first = self.waiting.recv() => batch.extend(first.map(|span| span.0)),
            () = stop.cancelled() => return,
        }
        let full = async {
            while batch.len() < BATCH_MAX {
                match self.waiting.recv().await {
                    Some(span) => batch.push(span.0),
                    None => return,
                }
            }
        };
        tokio::select! {
            () = full => {}
            () = tokio::time::sleep(BATCH_WAIT) => {}
            () = stop.cancelled() => {}
        }
    }

    async fn deliver(&self, batch: &[Value]) {
        let mut pauses = PAUSES.into_iter();
        loop {
            let reason = match (self.post(batch).await, pauses.next()) {
                (Said::Taken, _) => return,
                (Said::Later(_), Some(pause)) => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                (Said::Later(reason) | Said::Never(reason), _) => reason,
            };
            tracing::warn!(count = batch.len(), reason, "spans were dropped, since the collector did not take them");
            return;
        }
    }

    async fn post(&self, batch: &[Value]) -> Said {
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": self.settings.resource},
            "scopeSpans": [{"scope": {"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}, "spans": batch}],
        }]});
        let request = self.http.post(self.settings.url.clone()).headers(self.settings.headers.clone());
        let request = request.header("content-type", "application/json").body(body.to_string());
        match request.send().await.map(|response| response.status()) {
            Ok(status) if status.is_success() => Said::Taken,
            // Those that the protocol lets be tried again.
            Ok(
                status @ (StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT),
            ) => Said::Later(format!("it answered {status}")),
            Ok(status) => Said::Never(format!("it answered {status}")),
            // The error without its URL, which may hold a key.
            Err(error) => Said::Later(error.without_url().to_string()),
        }
    }
}
