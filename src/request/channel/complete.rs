//! From what a caller wrote to what can be used: keys are parsed or drawn, certificates read.

use crate::request::send::TlsIdentity;
use crate::request::sign::{accept_key, draw_key};
use crate::rng::Rng;
use crate::secret::Secret;
use crate::subscription::{FieldError, SignatureVersion, SigningSpec, SubscriptionSpec, TlsSpec};

/// Completes `spec`, which replaces `present`: reads the keys and certificates that it brings, and draws
/// a signing key if it needs one that it does not bring.
///
/// Returns the signing secret if one was drawn that the receiver has to know.
///
/// # Errors
/// Every [`FieldError`] found; no message holds a key.
pub fn complete(spec: &mut SubscriptionSpec, present: Option<&SubscriptionSpec>, rng: &dyn Rng) -> Result<Option<Secret>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let before = present.and_then(|present| present.signing.as_ref()).map(|signing| signing.version);
    let drawn = spec.signing.as_mut().and_then(|signing| complete_signing(signing, before, rng, &mut errors));
    if let Some(tls) = &mut spec.tls {
        complete_tls(tls, &mut errors);
    }
    if errors.is_empty() { Ok(drawn) } else { Err(errors) }
}

fn complete_signing(
    signing: &mut SigningSpec,
    before: Option<SignatureVersion>,
    rng: &dyn Rng,
    errors: &mut Vec<FieldError>,
) -> Option<Secret> {
    if let Some(secret) = &signing.secret {
        match accept_key(signing.version, secret) {
            Ok((secret, public_key)) => (signing.secret, signing.public_key) = (Some(secret), public_key),
            Err(error) => errors.push(FieldError::new("/signing/secret", "invalid_secret", error.to_string())),
        }
        return None;
    }
    // The key of before is kept.
    if before == Some(signing.version) {
        return None;
    }
    let (secret, public_key) = draw_key(signing.version, rng);
    signing.secret = Some(secret.clone());
    signing.public_key = public_key;
    (signing.version == SignatureVersion::V1).then_some(secret)
}

/// Reads what is new. A certificate without its key is that of before, or is refused for want of the key.
fn complete_tls(tls: &mut TlsSpec, errors: &mut Vec<FieldError>) {
    let certificate = tls.client_certificate.as_deref().filter(|_| tls.client_key.is_some());
    if certificate.is_none() && tls.ca.is_none() {
        return;
    }
    let key = tls.client_key.as_ref().filter(|_| certificate.is_some());
    match TlsIdentity::parse(certificate, key, tls.ca.as_deref()) {
        Ok(identity) => tls.client_certificate_expires_at = identity.client_certificate_expires_at(),
        Err(error) => {
            let pointer = error.part().map_or_else(|| "/tls".to_owned(), |part| format!("/tls/{part}"));
            errors.push(FieldError::new(&pointer, "invalid_certificate", error.to_string()));
        }
    }
}
