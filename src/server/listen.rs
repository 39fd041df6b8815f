//! The listener: takes connections within limits, and lets open ones end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::clients::{Clients, Counted};
use crate::config::Settings;

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Pause after the listener could not take a connection, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for open API connections to end at a stop.
const CONNECTIONS_DRAIN_MAX: Duration = Duration::from_secs(5);

/// What clients of the API may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientLimits {
    connections_max: usize,
    connections_per_address_max: usize,
    head_max: Duration,
    idle_max: Duration,
}

impl ClientLimits {
    pub(super) const fn of(settings: &Settings) -> Self {
        Self {
            connections_max: settings.connections_max,
            connections_per_address_max: settings.connections_per_address_max,
            head_max: Duration::from_secs(settings.request_head_s),
            idle_max: Duration::from_secs(settings.connection_idle_s),
        }
    }
}

/// Takes connections until `stop`, then lets open requests end.
pub(super) async fn serve(listener: TcpListener, router: axum::Router, limits: ClientLimits, stop: CancellationToken) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head_max).max_buf_size(HEAD_BYTES_MAX);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEAD_BYTES_MAX as u32);
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let clients = Clients::new(limits.connections_per_address_max);
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let (stream, peer, visit) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match clients.admit(peer.ip()) {
                    Some(visit) => (stream, peer, visit),
                    None => {
                        tracing::debug!(peer = %peer.ip(), "too many connections from one address; another was closed");
                        continue;
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection was not taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // Answers are small and latency counts.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            service.call(request)
        });
        let (stream, traffic) = Counted::new(stream);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What ends a connection is the client's business.
            tokio::select! {
                _ = connection => {}
                () = traffic.is_idle(limits.head_max, limits.idle_max) => {}
            }
            drop((place, visit));
        });
    }
    drop(listener);
    if tokio::time::timeout(CONNECTIONS_DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped with API connections open");
    }
}
