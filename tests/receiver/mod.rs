//! A receiver whose every byte is scripted: it answers well, badly, slowly, endlessly, or not at all.
//!
//! It listens on a port of its own, reads requests, remembers them, and does with the connection what
//! the [`Script`] says. It speaks plain HTTP/1.1 over raw TCP, so that it can also break the rules.
//! [`tls`] holds receivers over TLS, [`http2`] one for scripted frames, [`tunnel`] a proxy.
//!
//! It stops, with all its connections, when it is dropped.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod http2;
mod read;
mod script;
pub mod tls;
pub mod tunnel;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use postrider::clock::{Clock, SystemClock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

pub use script::{Script, Step, answer, ok};

use script::After;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Which request this is, from 1, over all connections.
    pub number: usize,
    /// Which connection it came on, from 1.
    pub connection: usize,
    /// Where the connection came from.
    pub from: SocketAddr,
    /// When its last byte came.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// Path and query, as written.
    pub target: String,
    /// Header names and values, as written and in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Arrived {
    /// The first value of the header `name`, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    addr: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Mutex<Vec<Arrived>>,
    connections: AtomicUsize,
    bytes_sent: AtomicU64,
    changed: Notify,
}

impl Receiver {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    /// Starts at `addr`; port 0 takes a free one.
    pub async fn start_at(addr: SocketAddr, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let (addr, seen) = (listener.local_addr()?, Arc::new(Seen::default()));
        let task = tokio::spawn(accept(listener, script, Arc::clone(&seen)));
        Ok(Self { addr, seen, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL with `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Every request that arrived whole, in order.
    pub fn requests(&self) -> Vec<Arrived> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many bytes the other sides' networks took from it.
    pub fn bytes_sent(&self) -> u64 {
        self.seen.bytes_sent.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have arrived.
    pub async fn arrived(&self, count: usize) {
        loop {
            let changed = self.seen.changed.notified();
            tokio::pin!(changed);
            // Registered before looking: an arrival in between must not be missed.
            changed.as_mut().enable();
            if self.requests().len() >= count {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, script: Script, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // Out of descriptors, for one; those that are open will end.
                let Ok((stream, _)) = accepted else { tokio::task::yield_now().await; continue };
                let number = seen.connections.fetch_add(1, Ordering::SeqCst) + 1;
                connections.spawn(serve(stream, number, script.clone(), Arc::clone(&seen)));
            }
        }
    }
}

/// Runs the script on one connection. Whatever the other side does wrong ends it.
async fn serve(mut stream: TcpStream, connection: usize, script: Script, seen: Arc<Seen>) {
    let _ = stream.set_nodelay(true);
    let Ok(from) = stream.peer_addr() else { return };
    if !script.before_reading.is_empty() && script::run(&script.before_reading, &mut stream, &seen.bytes_sent).await == After::Over {
        return;
    }
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = read::request(&mut stream, &mut buffer).await {
        let arrived = seen.remember(request, connection, from);
        let steps = (script.answer)(&arrived);
        if script::run(&steps, &mut stream, &seen.bytes_sent).await == After::Over {
            return;
        }
    }
}

impl Seen {
    fn remember(&self, request: read::Request, connection: usize, from: SocketAddr) -> Arrived {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let read::Request { method, target, headers, body } = request;
        let arrived = Arrived { number: requests.len() + 1, connection, from, at: SystemClock.instant(), method, target, headers, body };
        requests.push(arrived.clone());
        drop(requests);
        self.changed.notify_waiters();
        arrived
    }
}
