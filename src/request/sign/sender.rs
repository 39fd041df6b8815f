//! The sender's side: a signature in three headers or three parameters.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::content::{seconds, signed_content, target};
use super::key::SigningKey;
use crate::clock::Timestamp;
use crate::request::build::{BuildError, URL_BYTES_MAX};
use crate::subscription::{SIGNATURE_HEADERS, SIGNATURE_PARAMETERS};

/// Adds the three headers of a signature by all `keys`, in place of those that may be there.
pub fn sign_headers(headers: &mut Vec<(String, String)>, id: &str, sent_at: Timestamp, body: &[u8], keys: &[&SigningKey]) {
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(id, sent_at, body)).collect();
    headers.retain(|(name, _)| !SIGNATURE_HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header)));
    let values = [id.to_owned(), seconds(sent_at), signatures.join(" ")];
    headers.extend(SIGNATURE_HEADERS.iter().map(|name| (*name).to_owned()).zip(values));
}

/// Adds the three parameters of a signature by all `keys` to the query of `url`, which has no fragment.
///
/// # Errors
/// [`BuildError::UrlTooLong`] if the URL is then longer than is sent.
pub fn sign_query(url: &mut String, id: &str, sent_at: Timestamp, keys: &[&SigningKey]) -> Result<(), BuildError> {
    let joint = match url.contains('?') {
        false => "?",
        true if url.ends_with(['?', '&']) => "",
        true => "&",
    };
    let [id_name, timestamp_name, signature_name] = SIGNATURE_PARAMETERS;
    url.push_str(&format!("{joint}{id_name}={id}&{timestamp_name}={}", seconds(sent_at)));
    let content = signed_content(id, &seconds(sent_at), target(url).as_bytes());
    let entries: Vec<_> = keys.iter().map(|key| format!("{}.{}", key.version(), URL_SAFE_NO_PAD.encode(key.signature(&content)))).collect();
    url.push_str(&format!("&{signature_name}={}", entries.join("~")));
    if url.len() > URL_BYTES_MAX { Err(BuildError::UrlTooLong { bytes: url.len() }) } else { Ok(()) }
}

impl SigningKey {
    /// One entry of the header `webhook-signature`: the version, a comma, the signature in base64.
    ///
    /// `id` must hold no `.`, which separates the parts of the signed content; our ids hold none.
    /// While a key is being replaced, the entries of both keys go into the header, with a space between.
    #[must_use]
    pub fn sign(&self, id: &str, sent_at: Timestamp, body: &[u8]) -> String {
        let content = signed_content(id, &seconds(sent_at), body);
        format!("{},{}", self.version(), STANDARD.encode(self.signature(&content)))
    }
}
