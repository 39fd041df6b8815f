//! Connections: accept, read a request, do what is told, read the next one.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::read::{self, ReadError, Request};
use super::step::{self, End, Step};
use super::stream::{Door, Stream};
use crate::clock::{Clock, SystemClock};

/// Most connections at one time; others wait to be accepted.
pub const CONNECTIONS_MAX: usize = 1_024;

/// How long nothing is accepted after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Which request this is, from 1, over all connections.
    pub number: usize,
    /// Which connection it came on, from 1.
    pub connection: usize,
    /// When its last byte came.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// Path and query, as written.
    pub target: String,
    /// Header names and values, as written and in order; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Arrived {
    /// The first value of the header `name`, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// In which way.
    pub end: End,
    /// How many bytes the network took.
    pub bytes_sent: u64,
    /// How long it took.
    pub duration: Duration,
}

/// What a receiver does. It is asked about one thing at a time.
pub trait Behaviour: Send + Sync + 'static {
    /// What is done with a connection before anything is read. By default nothing.
    fn connected(&self, connection: usize) -> Vec<Step> {
        let _ = connection;
        Vec::new()
    }

    /// What is done for a request. After these steps the next one is read, unless one of them ended the connection.
    fn answer(&self, arrived: &Arrived) -> Vec<Step>;

    /// Hears how the answer to request `number` ended.
    fn ended(&self, number: usize, ended: Ended) {
        let _ = (number, ended);
    }

    /// Hears of a connection that is closed because what came is no request that can be read.
    fn unreadable(&self, connection: usize, error: &ReadError) {
        let _ = (connection, error);
    }
}

/// What a receiver counts.
#[derive(Debug, Default)]
pub struct Traffic {
    connections: AtomicUsize,
    requests: Mutex<usize>,
    bytes_sent: AtomicU64,
}

impl Traffic {
    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests arrived whole.
    #[must_use]
    pub fn requests(&self) -> usize {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes the other sides' networks took.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::SeqCst)
    }
}

/// Serves `listener` until the future is dropped, which ends all its connections.
pub async fn serve(listener: TcpListener, door: Door, behaviour: Arc<dyn Behaviour>, traffic: Arc<Traffic>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                // Out of descriptors, for one; those that are open will end.
                let Ok((stream, _)) = accepted else { tokio::time::sleep(ACCEPT_PAUSE).await; continue };
                let number = traffic.connections.fetch_add(1, Ordering::SeqCst) + 1;
                connections.spawn(connection(stream, number, door.clone(), Arc::clone(&behaviour), Arc::clone(&traffic)));
            }
        }
    }
}

/// One connection to its end. Whatever the other side does wrong ends it.
async fn connection(stream: TcpStream, number: usize, door: Door, behaviour: Arc<dyn Behaviour>, traffic: Arc<Traffic>) {
    let _ = stream.set_nodelay(true);
    // Before a handshake too: what breaks here breaks it.
    let steps = behaviour.connected(number);
    let mut stream = Stream::Plain(stream);
    if step::run(&steps, &mut stream, &traffic.bytes_sent).await.0 != End::Sent {
        return;
    }
    if let Stream::Plain(plain) = stream {
        stream = match door.open(plain).await {
            Ok(opened) => opened,
            Err(error) => return behaviour.unreadable(number, &ReadError::Handshake(error)),
        };
    }
    let mut buffer = Vec::new();
    loop {
        let request = match read::request(&mut stream, &mut buffer).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => return behaviour.unreadable(number, &error),
        };
        let is_last = request.is_last;
        let (arrived_number, steps) = take(request, number, &*behaviour, &traffic);
        let started = SystemClock.instant();
        let (end, bytes_sent) = step::run(&steps, &mut stream, &traffic.bytes_sent).await;
        let is_over = end != End::Sent || is_last;
        if end == End::Sent && is_last {
            // With TLS, that this is the end is said.
            let _ = stream.shutdown().await;
        }
        behaviour.ended(arrived_number, Ended { end, bytes_sent, duration: SystemClock.instant().duration_since(started) });
        if is_over {
            return;
        }
    }
}

/// Gives a request its number and asks what to do. The lock keeps the order of both the same.
fn take(request: Request, connection: usize, behaviour: &dyn Behaviour, traffic: &Traffic) -> (usize, Vec<Step>) {
    let mut requests = traffic.requests.lock().unwrap_or_else(PoisonError::into_inner);
    *requests += 1;
    let Request { method, target, headers, body, .. } = request;
    let arrived = Arrived { number: *requests, connection, at: SystemClock.instant(), method, target, headers, body };
    (arrived.number, behaviour.answer(&arrived))
}
