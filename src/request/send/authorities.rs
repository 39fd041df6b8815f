//! Whom a subscription trusts to vouch for its receiver, in place of the system's authorities.
//!
//! A certificate that is named itself needs nobody to vouch for it: receivers in private networks often sign
//! their own, and tools mark such a certificate as an authority's, which chain building does not take from a server.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::expiry::Validity;
use crate::clock::Timestamp;

/// Checks receivers against certificates that were named for them, and no others.
#[derive(Debug)]
pub(super) struct OwnAuthorities {
    named: Vec<CertificateDer<'static>>,
    by_chain: Arc<WebPkiServerVerifier>,
}

impl OwnAuthorities {
    /// Trusts `named`, as authorities and as receivers; on failure the index of the one that cannot be read.
    pub fn new(named: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, usize> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in named.iter().enumerate() {
            roots.add(certificate.clone()).map_err(|_| index)?;
        }
        let by_chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|_| 0usize)?;
        Ok(Self { named, by_chain })
    }

    /// How many were named.
    pub fn len(&self) -> usize {
        self.named.len()
    }
}

impl ServerCertVerifier for OwnAuthorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.named.contains(end_entity) {
            return self.by_chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        }
        check_validity(end_entity, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    // That the receiver holds the certificate's key is shown by the signatures, for named ones too.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_chain.supported_verify_schemes()
    }
}

fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let validity = Validity::of(certificate).ok_or(CertificateError::BadEncoding)?;
    let now = Timestamp::from_unix_ms(i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000));
    if now < validity.begins_at {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.ends_at {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}
