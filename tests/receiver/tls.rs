//! A receiver over TLS: one thread, one connection after another, one answer each.
//!
//! The certificates under `certificates/` are for `villain.test` and 127.0.0.1, signed by an authority
//! that exists only there: one valid until 2124, one that expired in 2021.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The authority that signed the certificates, in DER form.
pub const AUTHORITY: &[u8] = include_bytes!("certificates/authority.der");
/// A certificate that is valid.
pub const VALID: &[u8] = include_bytes!("certificates/valid.der");
/// A certificate that was.
pub const EXPIRED: &[u8] = include_bytes!("certificates/expired.der");
const KEY: &[u8] = include_bytes!("certificates/key.der");

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
