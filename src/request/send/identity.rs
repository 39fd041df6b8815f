//! Who we are towards a receiver, and whom we trust to be that receiver: client certificate and own authorities.
//!
//! Parsed once, when a subscription is stored or loaded, so that a wrong part is told to the one who
//! typed it and not to the first delivery. Own authorities take the place of the system's: who names
//! the authority of a receiver does not want any other to be able to vouch for it.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::authorities::OwnAuthorities;
use super::expiry::Validity;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Longest PEM text that is read, in bytes.
pub const PEM_BYTES_MAX: usize = 64 * 1024;
/// Most certificates in a chain: the client's and those that lead to its authority.
pub const CHAIN_MAX: usize = 10;
/// Most authorities of one identity.
pub const AUTHORITIES_MAX: usize = 64;

/// A part of a [`TlsIdentity`], named as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsPart {
    /// The chain that we show.
    ClientCertificate,
    /// The key of its first certificate.
    ClientKey,
    /// The authorities that may vouch for the receiver.
    Ca,
}

impl TlsPart {
    /// The field's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCertificate => "client_certificate",
            Self::ClientKey => "client_key",
            Self::Ca => "ca",
        }
    }
}

impl fmt::Display for TlsPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why texts do not make a TLS identity. Holds nothing of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsIdentityError {
    /// All parts are missing.
    #[error("there is neither `client_certificate` nor `ca`; give at least one, or leave `tls` out")]
    Empty,
    /// A certificate without its key.
    #[error("`client_key` is missing; give the private key of the first certificate in `client_certificate`, in PEM form")]
    KeyMissing,
    /// A key without its certificate.
    #[error("`client_certificate` is missing; give the certificate that belongs to `client_key`, in PEM form")]
    CertificateMissing,
    /// A text is too long.
    #[error("`{part}` has {bytes} bytes; at most {PEM_BYTES_MAX} are read, so remove what is not needed")]
    TooLong {
        /// Which text.
        part: TlsPart,
        /// How long it is.
        bytes: usize,
    },
    /// A text is damaged: a block without its end, or with characters that do not belong there.
    #[error("`{part}` is no whole PEM text; paste it with all its lines, from `-----BEGIN` to `-----END`")]
    BadPem {
        /// Which text.
        part: TlsPart,
    },
    /// A text holds no certificate.
    #[error("`{part}` holds no certificate; paste the text that begins with `-----BEGIN CERTIFICATE-----`, with its line ends")]
    NoCertificate {
        /// Which text.
        part: TlsPart,
    },
    /// Too many certificates in one text.
    #[error("`{part}` holds {count} certificates; at most {max} are used, so remove those that are not needed")]
    TooManyCertificates {
        /// Which text.
        part: TlsPart,
        /// How many there are.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// A private key stands where it would be shown.
    #[error(
        "`{part}` holds a private key, which does not belong there; remove it, and give a key that nobody else has seen in `client_key`"
    )]
    KeyMisplaced {
        /// Which text.
        part: TlsPart,
    },
    /// A certificate is none.
    #[error("certificate number {number} of `{part}` cannot be read; it must be an X.509 certificate of version 3")]
    BadCertificate {
        /// Which text.
        part: TlsPart,
        /// Which certificate, from 1.
        number: usize,
    },
    /// No private key.
    #[error("`client_key` holds no private key; paste the text that begins with `-----BEGIN PRIVATE KEY-----`, with its line ends")]
    NoKey,
    /// Several private keys.
    #[error("`client_key` holds {count} private keys; give the one of the first certificate in `client_certificate`")]
    SeveralKeys {
        /// How many there are.
        count: usize,
    },
    /// A key under a pass phrase.
    #[error("`client_key` is encrypted; remove its pass phrase first, for example with `openssl pkey -in KEY -out PLAIN`")]
    EncryptedKey,
    /// A key of a kind or form that is not known.
    #[error("`client_key` cannot be used; it must be RSA with at least 2048 bits, ECDSA on P-256 or P-384, or Ed25519")]
    BadKey,
    /// Key and certificate are of two pairs.
    #[error("`client_key` does not belong to the first certificate in `client_certificate`; give the two that were made together")]
    KeyMismatch,
    /// The chain begins with another certificate.
    #[error(
        "`client_key` belongs to certificate number {number} of `client_certificate`; put that one first, then the ones that signed it"
    )]
    WrongOrder {
        /// Which certificate, from 1.
        number: usize,
    },
}

impl TlsIdentityError {
    /// The part to correct; none if all are missing.
    #[must_use]
    pub const fn part(&self) -> Option<TlsPart> {
        match self {
            Self::Empty => None,
            Self::CertificateMissing | Self::WrongOrder { .. } => Some(TlsPart::ClientCertificate),
            Self::KeyMissing | Self::NoKey | Self::SeveralKeys { .. } | Self::EncryptedKey | Self::BadKey | Self::KeyMismatch => {
                Some(TlsPart::ClientKey)
            }
            Self::TooLong { part, .. }
            | Self::BadPem { part }
            | Self::NoCertificate { part }
            | Self::TooManyCertificates { part, .. }
            | Self::KeyMisplaced { part }
            | Self::BadCertificate { part, .. } => Some(*part),
        }
    }
}

/// What is shown to one receiver, and which authorities may vouch for it.
///
/// With own authorities only these are trusted, not the system's.
pub struct TlsIdentity {
    pub(super) client: Option<Arc<CertifiedKey>>,
    pub(super) authorities: Option<Arc<OwnAuthorities>>,
    /// The same for equal identities; told by the certificates alone, which name their keys.
    pub(super) fingerprint: Fingerprint,
    client_certificate_expires_at: Option<Timestamp>,
}

/// A digest of the certificates of an identity.
pub(super) type Fingerprint = [u8; 32];

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("client_certificate", &self.client.is_some())
            .field("client_certificate_expires_at", &self.client_certificate_expires_at)
            .field("authorities", &self.authorities.as_ref().map(|authorities| authorities.len()))
            .finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Reads an identity from PEM texts.
    ///
    /// `client_certificate` is the client's certificate, followed by those that signed it, each signing
    /// the one before; the authority's own may be left out. `client_key` is its private key in the form PKCS#8,
    /// PKCS#1 or SEC1, without pass phrase. `ca` holds the certificates of the receiver's authorities, or its own
    /// certificate.
    ///
    /// # Errors
    /// [`TlsIdentityError`] with the first part that is wrong; it names the part and holds nothing of the texts.
    pub fn parse(client_certificate: Option<&str>, client_key: Option<&Secret>, ca: Option<&str>) -> Result<Self, TlsIdentityError> {
        let client = match (client_certificate, client_key) {
            (Some(chain), Some(key)) => Some(client(chain, key)?),
            (Some(_), None) => return Err(TlsIdentityError::KeyMissing),
            (None, Some(_)) => return Err(TlsIdentityError::CertificateMissing),
            (None, None) => None,
        };
        let authorities = ca.map(|ca| certificates(ca, TlsPart::Ca, AUTHORITIES_MAX)).transpose()?;
        if client.is_none() && authorities.is_none() {
            return Err(TlsIdentityError::Empty);
        }
        let chain = client.as_ref().map_or(&[][..], |client| &client.cert);
        Ok(Self {
            client_certificate_expires_at: chain.first().and_then(|certificate| Validity::of(certificate)).map(|validity| validity.ends_at),
            fingerprint: fingerprint(chain, authorities.as_deref().unwrap_or_default()),
            authorities: authorities.map(own_authorities).transpose()?.map(Arc::new),
            client: client.map(Arc::new),
        })
    }

    /// When the client's certificate ends; none without one.
    #[must_use]
    pub const fn client_certificate_expires_at(&self) -> Option<Timestamp> {
        self.client_certificate_expires_at
    }
}

fn client(chain: &str, key: &Secret) -> Result<CertifiedKey, TlsIdentityError> {
    let part = TlsPart::ClientCertificate;
    let chain = certificates(chain, part, CHAIN_MAX)?;
    let key = private_key(key)?;
    let belongs = |certificate: &CertificateDer<'static>| CertifiedKey::new(vec![certificate.clone()], key.clone()).keys_match();
    let mut first = None;
    for (index, certificate) in chain.iter().enumerate() {
        match belongs(certificate) {
            Ok(()) if first.is_none() => first = Some(index),
            Ok(()) | Err(rustls::Error::InconsistentKeys(_)) => {}
            Err(_) => return Err(TlsIdentityError::BadCertificate { part, number: index + 1 }),
        }
    }
    match first {
        Some(0) => Ok(CertifiedKey::new(chain, key)),
        Some(index) => Err(TlsIdentityError::WrongOrder { number: index + 1 }),
        None => Err(TlsIdentityError::KeyMismatch),
    }
}

fn private_key(text: &Secret) -> Result<Arc<dyn SigningKey>, TlsIdentityError> {
    let text = text.expose();
    // The older form keeps the usual first line and says so in the second.
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsIdentityError::EncryptedKey);
    }
    let mut keys: Vec<_> = sections(text, TlsPart::ClientKey)?.into_iter().filter(|(kind, _)| is_private_key(*kind)).collect();
    let count = keys.len();
    let Some((kind, der)) = keys.pop() else { return Err(TlsIdentityError::NoKey) };
    if count > 1 {
        return Err(TlsIdentityError::SeveralKeys { count });
    }
    let der = &der[..];
    let key = match kind {
        SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
        _ => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
    };
    any_supported_type(&key).map_err(|_| TlsIdentityError::BadKey)
}

const fn is_private_key(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

fn certificates(text: &str, part: TlsPart, max: usize) -> Result<Vec<CertificateDer<'static>>, TlsIdentityError> {
    let sections = sections(text, part)?;
    if sections.iter().any(|(kind, _)| is_private_key(*kind)) || text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        return Err(TlsIdentityError::KeyMisplaced { part });
    }
    let certificates: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der.to_vec()))
        .collect();
    match certificates.len() {
        0 => Err(TlsIdentityError::NoCertificate { part }),
        count if count > max => Err(TlsIdentityError::TooManyCertificates { part, count, max }),
        _ => match certificates.iter().position(|certificate| Validity::of(certificate).is_none()) {
            Some(index) => Err(TlsIdentityError::BadCertificate { part, number: index + 1 }),
            None => Ok(certificates),
        },
    }
}

type Section = (SectionKind, Zeroizing<Vec<u8>>);

/// The blocks of a PEM text; the memory of each is wiped.
fn sections(text: &str, part: TlsPart) -> Result<Vec<Section>, TlsIdentityError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(TlsIdentityError::TooLong { part, bytes: text.len() });
    }
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes())
        .map(|section| section.map(|(kind, der)| (kind, Zeroizing::new(der))).map_err(|_| TlsIdentityError::BadPem { part }))
        .collect()
}

fn own_authorities(named: Vec<CertificateDer<'static>>) -> Result<OwnAuthorities, TlsIdentityError> {
    OwnAuthorities::new(named, Arc::new(default_provider()))
        .map_err(|index| TlsIdentityError::BadCertificate { part: TlsPart::Ca, number: index + 1 })
}

fn fingerprint(chain: &[CertificateDer<'_>], authorities: &[CertificateDer<'_>]) -> Fingerprint {
    let mut digest = Sha256::new();
    for part in [chain, authorities] {
        digest.update((part.len() as u64).to_be_bytes());
        for certificate in part {
            digest.update((certificate.len() as u64).to_be_bytes());
            digest.update(certificate);
        }
    }
    digest.finalize().into()
}
