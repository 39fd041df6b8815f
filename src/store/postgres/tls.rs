//! TLS to the database: rustls under the driver's interface.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};

use super::address::Tls;

/// Makes connections encrypted.
#[derive(Clone)]
pub(super) struct Encryption {
    config: Arc<ClientConfig>,
}

impl Encryption {
    /// With the authorities that `tls` names.
    ///
    /// # Errors
    /// What is wrong with the file of the authorities, in words.
    pub(super) fn new(tls: &Tls) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let config = match tls {
            Tls::Checked(Some(path)) => {
                let shown = path.display();
                let mut roots = RootCertStore::empty();
                let certificates = CertificateDer::pem_file_iter(path).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| format!("`{shown}` holds no certificate: {error}"))?;
                    roots.add(certificate).map_err(|error| format!("`{shown}` holds a certificate that is no authority: {error}"))?;
                }
                if roots.is_empty() {
                    return Err(format!("`{shown}` holds no certificate; name a file with one in PEM form"));
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Tls::Checked(None) | Tls::Off => {
                let verified = builder.with_platform_verifier().map_err(|error| error.to_string())?;
                verified.with_no_client_auth()
            }
        };
        Ok(Self { config: Arc::new(config) })
    }
}

impl MakeTlsConnect<Socket> for Encryption {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Self::Error> {
        Ok(Handshake { config: self.config.clone(), name: ServerName::try_from(domain)?.to_owned() })
    }
}

/// One handshake.
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Encrypted>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let Self { config, name } = self;
            let shown = name.to_str().into_owned();
            let connected = TlsConnector::from(config).connect(name, socket).await;
            connected.map(|stream| Encrypted(Box::new(stream))).map_err(|error| explained(error, &shown))
        })
    }
}

/// A failed handshake with what to do about it, where that is known.
fn explained(error: io::Error, host: &str) -> io::Error {
    let reason = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => reason,
        _ => return error,
    };
    let remedy = match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority that is trusted here has signed the server's certificate; name the file of its authority in the address, as \
             `sslrootcert=FILE`"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate is not for `{host}`; write a name into the address that is in the certificate")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; renew it, and look at the clock of this machine".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; look at the clock of this machine".to_owned()
        }
        other => format!("the server's certificate is refused ({other}); give it another one"),
    };
    io::Error::other(remedy)
}

/// An encrypted connection.
pub(super) struct Encrypted(Box<client::TlsStream<Socket>>);

impl TlsStream for Encrypted {
    // Without it a password is still never sent in the clear, and the certificate is checked.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
