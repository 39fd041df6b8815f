//! Whether and how requests are signed: the form in which callers write it, and what is wrong with it.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::check::Faults;
use super::spec::{HasSecret, Method, SubscriptionSpec};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// The headers of a signature.
pub const SIGNATURE_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
/// The parameters of a signed query, in the order in which they are appended.
pub const SIGNATURE_PARAMETERS: [&str; 3] = ["webhook_id", "webhook_timestamp", "webhook_signature"];

/// How the requests of a subscription are signed, by Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningSpec {
    /// The kind of signature.
    #[serde(default)]
    pub version: SignatureVersion,
    /// Where the signature stands.
    #[serde(default)]
    pub form: SignatureForm,
    /// The key as a caller gives it, `whsec_…` or `whsk_…`; none to have one drawn. Never shown.
    #[serde(default, skip_serializing)]
    pub secret: Option<Secret>,
    /// What receivers check a `v1a` signature with, `whpk_…`. Set by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// When the key was last replaced. Set by the server.
    #[serde(default)]
    pub rotated_at: Option<Timestamp>,
    /// Until when the key before it signs too. Set by the server.
    #[serde(default)]
    pub previous_until: Option<Timestamp>,
    /// What an answer says; ignored when it is sent back.
    #[serde(default, skip_serializing)]
    #[schemars(!skip_serializing, with = "HasSecret")]
    pub has_secret: IgnoredAny,
}

/// The kinds of signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureVersion {
    /// HMAC-SHA256 with a secret that sender and receiver share.
    #[default]
    V1,
    /// Ed25519: the receiver knows only a public key.
    V1a,
}

/// Where a signature stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureForm {
    /// In the query of GET and DELETE, in headers otherwise.
    #[default]
    Auto,
    /// In headers, over the body.
    Headers,
    /// In the query, over path and query.
    Query,
}

impl SignatureVersion {
    /// Its name, as in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }
}

impl SigningSpec {
    /// Whether a request with this method carries its signature in the query.
    #[must_use]
    pub const fn is_in_query(&self, method: Method) -> bool {
        match self.form {
            SignatureForm::Auto => !method.has_body(),
            SignatureForm::Headers => false,
            SignatureForm::Query => true,
        }
    }
}

pub(super) fn check_signing(spec: &SubscriptionSpec, faults: &mut Faults) {
    let (Some(signing), request) = (&spec.signing, &spec.request) else { return };
    if !signing.is_in_query(request.method) {
        if !request.method.has_body() {
            faults.warn(
                "/signing/form",
                "signature_without_values",
                format!(
                    "a {} has no body, so that a signature in headers covers none of its values; use `\"form\": \"query\"` or `\"auto\"`",
                    request.method.as_str()
                ),
            );
        }
        return;
    }
    if request.method.has_body() {
        faults.add(
            "/signing/form",
            "signature_without_body",
            format!(
                "a signature in the query covers path and query, and not the body of a {}; use `\"form\": \"headers\"` or `\"auto\"`",
                request.method.as_str()
            ),
        );
    }
    for (pointer, text) in [("/request/url", &request.url), ("/request/body", &request.body)] {
        if let Some(name) = SIGNATURE_PARAMETERS.iter().find(|name| text.contains(&format!("{name}="))) {
            faults.add(
                pointer,
                "parameter_conflict",
                format!("the parameter `{name}` is set by the signature; remove it, or name it otherwise"),
            );
        }
    }
}
