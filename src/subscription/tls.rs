//! The certificates of a subscription's connections: ours, and the authority of the receiver's.
//!
//! What is in the PEM texts is read in `request/send`; here are only their form and the rules between them.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::check::Faults;
use super::spec::{HasSecret, SubscriptionSpec};
use super::target::literal_target;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// How a subscription's TLS connections differ from the usual.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSpec {
    /// Our certificate and those between it and its authority, PEM.
    #[serde(default)]
    pub client_certificate: Option<String>,
    /// The certificate's private key, PEM. Never shown.
    #[serde(default, skip_serializing)]
    pub client_key: Option<Secret>,
    /// Authorities that the receiver's certificate may come from, PEM, in place of the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// When our certificate ends. Set by the server.
    #[serde(default)]
    pub client_certificate_expires_at: Option<Timestamp>,
    /// What an answer says; ignored when it is sent back.
    #[serde(default, skip_serializing)]
    #[schemars(!skip_serializing, with = "HasSecret")]
    pub has_secret: IgnoredAny,
}

pub(super) fn check_tls(spec: &SubscriptionSpec, faults: &mut Faults) {
    let Some(tls) = &spec.tls else { return };
    if tls.client_certificate.is_none() && tls.ca.is_none() {
        faults.add("/tls", "missing_field", "it says nothing; give `client_certificate` with `client_key`, or `ca`, or leave `tls` out");
    }
    if literal_target(&spec.request.url).is_some_and(|url| url.scheme() == "http") {
        faults.warn("/tls", "tls_not_used", "the URL is plain `http`, so that no certificate is ever used; use `https`");
    }
}
