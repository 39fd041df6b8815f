//! Signatures of Standard Webhooks 1.0.0: what is signed, with which key, and how a receiver checks it.
//!
//! Time and chance are passed in, no key is stored. Two versions: `v1` is HMAC-SHA256 with a shared
//! secret (`whsec_…`), `v1a` is ed25519 with a private key at the sender (`whsk_…`) and a public one at
//! the receiver (`whpk_…`). The signed content is `id.timestamp.body`, the body byte for byte as it is
//! sent, in whatever encoding.
//!
//! The standard knows only POST and headers. A postback has neither a body nor, often, a receiver that
//! can read headers; for it there is a form of ours, the signed query: id, timestamp and signature are
//! the last three parameters, and the content is `id.timestamp.` and path and query as sent, up to
//! `&webhook_signature=`. Signatures are in URL-safe base64 without padding there, as
//! `version.signature`, several with `~` between them. `docs/signatures.md` is the page for receivers.
//!
//! Source: `spec/standard-webhooks.md` of the Standard Webhooks project; the public vectors are tests.

mod content;
mod key;
mod sender;
mod receiver;
#[cfg(test)]
mod tests;

pub use key::{KeyError, SECRET_BYTES_MAX, SECRET_BYTES_MIN, SigningKey, VerifyingKey, accept_key, draw_key};
pub use receiver::{Signed, SignedQuery, TOLERANCE, Verified, VerifyError, verify};
pub use sender::{sign_headers, sign_query};
