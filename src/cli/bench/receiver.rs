//! The receiver: answers every request at once with 200, counts it, and notes how long it was under way.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};

/// Nanoseconds since the benchmark began. An event carries them as its `RefClickId`, and a URL with
/// `?sent={RefClickId}` brings them back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(SystemClock.instant())
    }

    pub fn ns(self) -> u64 {
        u64::try_from(SystemClock.instant().duration_since(self.0).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A receiver on a port of its own. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Receiver {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    listening: JoinHandle<()>,
}

#[derive(Debug)]
struct Seen {
    arrived: AtomicU64,
    /// Nanoseconds from the call that reported the event to the head of the request.
    delays: Mutex<Vec<u64>>,
    /// When the head of the latest request came.
    latest: AtomicU64,
    news: Notify,
    hangs: AtomicBool,
    stopwatch: Stopwatch,
}

impl Receiver {
    pub async fn start(stopwatch: Stopwatch) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port of this machine is free for a receiver")?;
        let address = listener.local_addr()?;
        let seen = Seen {
            arrived: AtomicU64::new(0),
            delays: Mutex::default(),
            latest: AtomicU64::new(0),
            news: Notify::new(),
            hangs: AtomicBool::new(false),
            stopwatch,
        };
        let seen = Arc::new(seen);
        Ok(Self { address, listening: tokio::spawn(listen(listener, seen.clone())), seen })
    }

    pub fn arrived(&self) -> u64 {
        self.seen.arrived.load(Ordering::Relaxed)
    }

    /// When the head of the latest request came, by the stopwatch.
    pub fn latest_ns(&self) -> u64 {
        self.seen.latest.load(Ordering::Acquire)
    }

    /// From now on it takes requests and answers none.
    pub fn hang(&self) {
        self.seen.hangs.store(true, Ordering::Relaxed);
    }

    /// The delays since the last call.
    pub fn take_delays(&self) -> Vec<u64> {
        std::mem::take(&mut *self.seen.delays.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `count` requests have arrived, as long as some arrive every now and then.
    pub async fn wait_for(&self, count: u64, patience: Duration) -> anyhow::Result<()> {
        let mut before = self.arrived();
        while self.arrived() < count {
            if tokio::time::timeout(patience, self.news_of(before)).await.is_err() {
                bail!("{} of {count} requests arrived, then none for {patience:?}", self.arrived());
            }
            before = self.arrived();
        }
        Ok(())
    }

    async fn news_of(&self, before: u64) {
        while self.arrived() == before {
            let news = self.seen.news.notified();
            if self.arrived() == before {
                // Arrivals while nobody listens are not announced again: look now and then.
                let _ = tokio::time::timeout(Duration::from_millis(1), news).await;
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, seen: Arc<Seen>) {
    // Dropped with this task, the set closes all connections.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let seen = seen.clone();
        // Without it, Nagle's algorithm would be measured.
        let _ = stream.set_nodelay(true);
        let serve = move |request| answer(request, seen.clone());
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(serve)));
    }
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Full<Bytes>>, Infallible> {
    let now = seen.stopwatch.ns();
    seen.latest.store(now, Ordering::Release);
    if let Some(sent) = request.uri().query().and_then(|query| query.strip_prefix("sent=")?.parse::<u64>().ok()) {
        seen.delays.lock().unwrap_or_else(PoisonError::into_inner).push(now.saturating_sub(sent));
    }
    if seen.hangs.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    // A body that breaks off is the sender's business; it will send again.
    let _ = request.into_body().collect().await;
    seen.arrived.fetch_add(1, Ordering::Relaxed);
    seen.news.notify_waiters();
    Ok(Response::new(Full::new(Bytes::from_static(b"OK"))))
}
