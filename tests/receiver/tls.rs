//! Receivers over TLS: one with a thread, one connection after another and one answer each, and one
//! that keeps its connections and asks for certificates.
//!
//! The certificates under `certificates/` are for `villain.test` and 127.0.0.1, signed by an authority
//! that exists only there: one valid until 2124, one that expired in 2021. Those under `certificates/client/`
//! are for clients, signed by another authority that exists only there; `p256.pem` is a chain.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// The authority that signed the certificates, in DER form.
pub const AUTHORITY: &[u8] = include_bytes!("certificates/authority.der");
/// A certificate that is valid.
pub const VALID: &[u8] = include_bytes!("certificates/valid.der");
/// A certificate that was.
pub const EXPIRED: &[u8] = include_bytes!("certificates/expired.der");
/// A certificate that its holder signed, and that calls itself an authority's; and one that was.
pub const SELF_SIGNED: &[u8] = include_bytes!("certificates/self-signed.der");
pub const SELF_SIGNED_EXPIRED: &[u8] = include_bytes!("certificates/self-signed-expired.der");
/// The authority of the clients, in DER form.
pub const CLIENT_AUTHORITY: &[u8] = include_bytes!("certificates/client/authority.der");
/// The key of the receivers' certificates.
pub const KEY: &[u8] = include_bytes!("certificates/key.der");

/// A running receiver; its thread ends with the process.
#[derive(Debug)]
pub struct TlsReceiver {
    addr: SocketAddr,
    protocols: Arc<Mutex<Vec<Option<String>>>>,
}

impl TlsReceiver {
    /// Starts on a free port with this certificate and these protocols (ALPN), best first.
    pub fn start(certificate: &'static [u8], protocols: &[&str]) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let config = server_config(certificate, protocols).map_err(std::io::Error::other)?;
        let receiver = Self { addr, protocols: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(connection) = ServerConnection::new(Arc::clone(&config)) else { return };
                let _ = serve(StreamOwned::new(connection, stream), &seen);
            }
        });
        Ok(receiver)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The protocol that each finished handshake agreed on.
    pub fn protocols(&self) -> Vec<Option<String>> {
        self.protocols.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn server_config(certificate: &'static [u8], protocols: &[&str]) -> Result<Arc<ServerConfig>, rustls::Error> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate)], key)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

fn serve(mut stream: StreamOwned<ServerConnection, std::net::TcpStream>, seen: &Mutex<Vec<Option<String>>>) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request)?;
    let protocol = stream.conn.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(protocol);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A receiver over TLS that keeps its connections open, answers every request with `OK`, speaks HTTP/1.1
/// and HTTP/2, and remembers what certificates it was shown. It stops when it is dropped.
#[derive(Debug)]
pub struct KeepingReceiver {
    addr: SocketAddr,
    seen: Arc<Shown>,
    task: JoinHandle<()>,
}

/// What is remembered of a request.
#[derive(Debug, Clone)]
struct Taken {
    shown: Option<Vec<u8>>,
    version: Version,
    header_names: Vec<String>,
}

#[derive(Debug, Default)]
struct Shown {
    /// The chain of each finished handshake.
    handshakes: Mutex<Vec<Vec<Vec<u8>>>>,
    requests: Mutex<Vec<Taken>>,
    open: watch::Sender<usize>,
}

impl KeepingReceiver {
    /// Starts on a free port; with `client_authority` only clients whom it vouches for are let in.
    pub async fn start(client_authority: Option<&[u8]>) -> std::io::Result<Self> {
        let config = keeping_config(client_authority).map_err(std::io::Error::other)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let (addr, seen) = (listener.local_addr()?, Arc::new(Shown::default()));
        let task = tokio::spawn(keep(listener, TlsAcceptor::from(config), Arc::clone(&seen)));
        Ok(Self { addr, seen, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The certificates shown in each finished handshake, in order.
    pub fn handshakes(&self) -> Vec<Vec<Vec<u8>>> {
        self.seen.handshakes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For each request the first certificate that its connection was opened with.
    pub fn shown(&self) -> Vec<Option<Vec<u8>>> {
        self.requests().into_iter().map(|taken| taken.shown).collect()
    }

    /// The version of HTTP of each request, in order.
    pub fn versions(&self) -> Vec<Version> {
        self.requests().into_iter().map(|taken| taken.version).collect()
    }

    /// The header names of each request, in order.
    pub fn header_names(&self) -> Vec<Vec<String>> {
        self.requests().into_iter().map(|taken| taken.header_names).collect()
    }

    fn requests(&self) -> Vec<Taken> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until at most `count` connections are open.
    pub async fn open_connections_fall_to(&self, count: usize) {
        // The sender lives as long as this receiver.
        let _ = self.seen.open.subscribe().wait_for(|open| *open <= count).await;
    }
}

impl Drop for KeepingReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn keeping_config(client_authority: Option<&[u8]>) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match client_authority {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(authority.to_vec()))?;
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
    let mut config = builder.with_single_cert(vec![CertificateDer::from(VALID)], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

async fn keep(listener: tokio::net::TcpListener, acceptor: TlsAcceptor, seen: Arc<Shown>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { tokio::task::yield_now().await; continue };
                connections.spawn(keep_one(stream, acceptor.clone(), Arc::clone(&seen)));
            }
        }
    }
}

async fn keep_one(stream: tokio::net::TcpStream, acceptor: TlsAcceptor, seen: Arc<Shown>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let chain: Vec<_> = stream.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|shown| shown.to_vec()).collect();
    seen.handshakes.lock().unwrap_or_else(PoisonError::into_inner).push(chain.clone());
    seen.open.send_modify(|open| *open += 1);
    let remember = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let header_names = request.headers().keys().map(ToString::to_string).collect();
        let taken = Taken { shown: chain.first().cloned(), version: request.version(), header_names };
        remember.requests.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
        async { Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"OK")))) }
    });
    // What ends a connection is the other side's business.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    seen.open.send_modify(|open| *open -= 1);
}
