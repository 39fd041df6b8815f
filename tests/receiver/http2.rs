//! A receiver over TLS and HTTP/2 whose every frame is told, so that it can also break the rules.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::tls::{KEY, VALID};

/// Kinds of frames (RFC 9113, section 6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const CONTINUATION: u8 = 9;
}

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// `:status: 200`, from the static table of HPACK.
pub const STATUS_200: &[u8] = &[0x88];

/// A frame, or what looks like one.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("tests send small frames").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What is done with a connection.
#[derive(Debug, Clone)]
pub enum Act {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Writes these bytes again and again until the other side goes.
    Flood(Vec<u8>),
    /// Closes the connection.
    Close,
}

type Answerer = Arc<dyn Fn(u32) -> Vec<Act> + Send + Sync>;

/// A running receiver; it stops when it is dropped.
#[derive(Debug)]
pub struct FrameReceiver {
    addr: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    bytes_sent: AtomicU64,
}

impl FrameReceiver {
    /// Starts on a free port. `greeting` is written at once, `answer` is asked for each request with its stream.
    pub async fn start(greeting: Vec<Act>, answer: impl Fn(u32) -> Vec<Act> + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, seen) = (listener.local_addr()?, Arc::new(Seen::default()));
        let task = tokio::spawn(accept(listener, acceptor().map_err(io::Error::other)?, greeting, Arc::new(answer), Arc::clone(&seen)));
        Ok(Self { addr, seen, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections spoke TLS and HTTP/2.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many requests began.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// How many bytes, before TLS, the other sides took.
    pub fn bytes_sent(&self) -> u64 {
        self.seen.bytes_sent.load(Ordering::SeqCst)
    }
}

impl Drop for FrameReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn acceptor() -> Result<TlsAcceptor, rustls::Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(VALID)], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY)))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, greeting: Vec<Act>, answer: Answerer, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { tokio::task::yield_now().await; continue };
                connections.spawn(serve(stream, acceptor.clone(), greeting.clone(), Arc::clone(&answer), Arc::clone(&seen)));
            }
        }
    }
}

/// Both halves at once: while one floods, the other still reads, so that the flood is not held up by a full pipe.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, greeting: Vec<Act>, answer: Answerer, seen: Arc<Seen>) -> io::Result<()> {
    let (mut reading, mut writing) = tokio::io::split(acceptor.accept(stream).await?);
    seen.connections.fetch_add(1, Ordering::SeqCst);
    let (acts, mut to_do) = tokio::sync::mpsc::unbounded_channel();
    greeting.into_iter().for_each(|act| drop(acts.send(act)));
    let writer = async {
        while let Some(act) = to_do.recv().await {
            match act {
                Act::Send(bytes) => write(&mut writing, &bytes, &seen).await?,
                Act::Flood(bytes) => loop {
                    write(&mut writing, &bytes, &seen).await?;
                },
                Act::Close => {
                    writing.shutdown().await?;
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
        io::Result::Ok(())
    };
    let reader = async {
        // The preface, then frames with a head of nine bytes each.
        reading.read_exact(&mut [0; 24]).await?;
        while !acts.is_closed() {
            let mut head = [0; 9];
            reading.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            reading.read_exact(&mut vec![0; u32::from_be_bytes([0, a, b, c]) as usize]).await?;
            if kind == kind::SETTINGS && flags & ACK == 0 {
                let _ = acts.send(Act::Send(frame(kind::SETTINGS, ACK, 0, &[])));
            }
            if kind == kind::HEADERS {
                seen.requests.fetch_add(1, Ordering::SeqCst);
                answer(u32::from_be_bytes(stream)).into_iter().for_each(|act| drop(acts.send(act)));
            }
        }
        io::Result::Ok(())
    };
    tokio::try_join!(writer, reader).map(|((), ())| ())
}

async fn write(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8], seen: &Seen) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    seen.bytes_sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    Ok(())
}
