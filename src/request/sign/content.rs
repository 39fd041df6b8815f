//! What is signed.

use crate::clock::Timestamp;

/// What a signature is made over.
pub(super) fn signed_content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

/// Path and query of a URL; a text that has no scheme is taken for them.
pub(super) fn target(url: &str) -> &str {
    let Some(authority) = url.split(['/', '?']).next().filter(|scheme| scheme.ends_with(':')).and_then(|_| url.find("://")) else {
        return url;
    };
    url[authority + 3..].find(['/', '?']).map_or("", |start| &url[authority + 3 + start..])
}

/// The time as it is signed: whole Unix seconds.
pub(super) fn seconds(moment: Timestamp) -> String {
    moment.unix_ms().div_euclid(1_000).to_string()
}
