//! Certificates of `listen --tls`: good or wrong ones made for one run, or the caller's own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::clock::Timestamp;

/// The names for which a certificate is made.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// The name of the one that is for another.
const OTHER_NAME: &str = "elsewhere.invalid";
const DAY: Duration = Duration::from_secs(86_400);

/// Which certificate is shown to those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Valid, signed by the authority of this run
    Good,
    /// The same, a week after its end
    Expired,
    /// Valid, for another name
    WrongName,
    /// Signed by itself, which no sender should trust
    SelfSigned,
}

/// A certificate with its key, ready for a server, and the authority that signed it.
#[derive(Debug)]
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// The authority's certificate in PEM form; none if it is not ours.
    pub authority: Option<String>,
}

impl Identity {
    /// Makes an authority and a certificate of this kind, valid around `now`.
    pub fn make(kind: Kind, now: Timestamp) -> anyhow::Result<Self> {
        let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let mut authority = valid(Vec::new(), now, "Postrider lab authority")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let names = if kind == Kind::WrongName { vec![OTHER_NAME.into()] } else { NAMES.map(str::to_owned).to_vec() };
        let mut params = valid(names, now, "Postrider lab")?;
        if kind == Kind::Expired {
            set_validity(&mut params, now.before(60 * DAY), now.before(7 * DAY));
        }
        let certificate = if kind == Kind::SelfSigned { params.self_signed(&key)? } else { params.signed_by(&key, &issuer)? };
        Ok(Self {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            authority: Some(pem(authority_certificate.der())),
        })
    }

    /// Reads a chain and its key from files in PEM form.
    pub fn read(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("`{}` cannot be read as certificates in PEM form", certificate.display()))?;
        anyhow::ensure!(!chain.is_empty(), "`{}` holds no certificate in PEM form", certificate.display());
        let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("`{}` cannot be read as a key in PEM form", key.display()))?;
        Ok(Self { chain, key, authority: None })
    }

    /// The settings of a server that shows it.
    pub fn server(self) -> anyhow::Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .context("the certificate and the key do not fit together")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn valid(names: Vec<String>, now: Timestamp, common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    // A clock that is a little behind ours takes it too.
    set_validity(&mut params, now.before(DAY), now.after(30 * DAY));
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let moment = |at: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + at.since(Timestamp::default());
    (params.not_before, params.not_after) = (moment(from), moment(until));
}

/// A certificate as text, as others read it from a file. Source: RFC 7468.
fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut lines = vec!["-----BEGIN CERTIFICATE-----"];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        lines.push(line);
        rest = after;
    }
    lines.push("-----END CERTIFICATE-----\n");
    lines.join("\n")
}
