//! A proxy that leads on: it answers `CONNECT` and then passes bytes between the client and one address,
//! whatever name it was asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::read;

/// A running proxy. It stops, with all its tunnels, when it is dropped.
#[derive(Debug)]
pub struct TunnelProxy {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

/// A `CONNECT` as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Host and port.
    pub target: String,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<String>,
}

impl TunnelProxy {
    /// Starts on a free port of 127.0.0.1; tunnels for hosts named in `refused` are answered with 502, all others lead to `to`.
    pub async fn start(to: SocketAddr, refused: &'static [&'static str]) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, seen) = (listener.local_addr()?, Arc::new(Mutex::new(Vec::new())));
        let task = tokio::spawn(accept(listener, to, refused, Arc::clone(&seen)));
        Ok(Self { addr, seen, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Every `CONNECT`, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TunnelProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, refused: &'static [&'static str], seen: Arc<Mutex<Vec<Asked>>>) {
    let mut tunnels = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = tunnels.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { tokio::task::yield_now().await; continue };
                tunnels.spawn(lead(stream, to, refused, Arc::clone(&seen)));
            }
        }
    }
}

async fn lead(mut stream: TcpStream, to: SocketAddr, refused: &[&str], seen: Arc<Mutex<Vec<Asked>>>) -> io::Result<()> {
    let Some(request) = read::request(&mut stream, &mut Vec::new()).await? else { return Ok(()) };
    let authorization = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    let asked = Asked { target: request.target.clone(), authorization: authorization.map(|(_, value)| value.clone()) };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let host = request.target.rsplit_once(':').map_or("", |(host, _)| host);
    if request.method != "CONNECT" || refused.contains(&host) {
        return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
    }
    let mut onward = TcpStream::connect(to).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut onward).await.map(drop)
}
