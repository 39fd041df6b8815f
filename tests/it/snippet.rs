//! The snippet for receivers in Rust, as `docs/signatures.md` shows it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use standardwebhooks::Webhook;

/// `http` is the crate of that name; the body is what arrived, before anything parses it.
pub fn verify_headers(secret: &str, headers: &http::HeaderMap, body: &[u8]) -> bool {
    Webhook::new(secret).is_ok_and(|webhook| webhook.verify(body, headers).is_ok())
}

/// `target` is path and query as they arrived.
pub fn verify_query(secret: &str, target: &str) -> Option<bool> {
    let (content, entries) = target.rsplit_once("&webhook_signature=")?;
    let (before, timestamp) = content.rsplit_once("&webhook_timestamp=")?;
    let (_, id) = before.rsplit_once("webhook_id=")?;
    let entry = |entry: &str| {
        let (version, text) = entry.split_once('.')?;
        Some(format!("{version},{}", STANDARD.encode(URL_SAFE_NO_PAD.decode(text).ok()?)))
    };
    let signature = entries.split('~').filter_map(entry).collect::<Vec<_>>().join(" ");
    let mut headers = http::HeaderMap::new();
    for (name, value) in [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", &signature)] {
        headers.insert(name, value.parse().ok()?);
    }
    Some(verify_headers(secret, &headers, content.as_bytes()))
}
