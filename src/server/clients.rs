//! Clients of the API that are silent, slow or many: none of them may keep the others out.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How many bytes tell the version of HTTP. Until then no limit of the HTTP server runs.
const VERSION_BYTES: u64 = 24;

/// Counts the connections of each address. An IPv6 network of 64 bits counts as one address, since
/// one customer has a whole one.
#[derive(Debug)]
pub(super) struct Clients {
    per_address_max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Clients {
    pub fn new(per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { per_address_max, open: Mutex::default() })
    }

    /// Lets a connection from `address` in, unless too many are open from there.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Visit> {
        let address = counted_as(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Visit { clients: Arc::clone(self), address })
    }
}

fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// One open connection; it is counted out when it is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut open = self.clients.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// What has gone over a connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
}

impl Traffic {
    /// Resolves when the connection is not worth its place: it has not said which HTTP it speaks within
    /// `head_max`, or nothing has gone either way for `idle_max`, and less than twice that.
    pub async fn is_idle(&self, head_max: Duration, idle_max: Duration) {
        tokio::time::sleep(head_max).await;
        let moved = || (self.read.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed));
        let mut before = moved();
        if before.0 < VERSION_BYTES {
            return;
        }
        loop {
            tokio::time::sleep(idle_max).await;
            let now = moved();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

/// A connection whose traffic is counted.
#[derive(Debug)]
pub(super) struct Counted {
    stream: TcpStream,
    traffic: Arc<Traffic>,
}

impl Counted {
    pub fn new(stream: TcpStream) -> (Self, Arc<Traffic>) {
        let traffic = Arc::<Traffic>::default();
        (Self { stream, traffic: Arc::clone(&traffic) }, traffic)
    }
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.traffic.read.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.note_written(polled)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.note_written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl Counted {
    fn note_written(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &polled {
            self.traffic.written.fetch_add(*count as u64, Ordering::Relaxed);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g12_connections_of_one_address_are_limited_and_those_of_others_are_not() {
        let clients = Clients::new(2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = clients.admit(address("192.0.2.1")).unwrap();
        let _second = clients.admit(address("::ffff:192.0.2.1")).unwrap();
        assert!(clients.admit(address("192.0.2.1")).is_none());
        let _other = clients.admit(address("192.0.2.2")).unwrap();
        drop(first);
        assert!(clients.admit(address("192.0.2.1")).is_some());
        let _network = [clients.admit(address("2001:db8::1")), clients.admit(address("2001:db8::ffff:1"))].map(Option::unwrap);
        assert!(clients.admit(address("2001:db8::2")).is_none());
        assert!(clients.admit(address("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn addresses_without_connections_are_forgotten() {
        let clients = Clients::new(1);
        drop(clients.admit("192.0.2.1".parse().unwrap()).unwrap());
        assert!(clients.open.lock().unwrap().is_empty());
    }
}
