//! Sends one request and tells what came back. Once: nothing here repeats, follows or decides.
//!
//! [`Transport`] is the wall: dispatcher and tests know it, and only [`HttpTransport`] behind it knows
//! an HTTP client. [`ScriptedTransport`] answers from a script and touches no network.
//!
//! What [`HttpTransport`] promises, each with a test:
//!
//! - One call of `send` is at most one request at the receiver. A request is repeated on another
//!   connection only if no byte of it was written to the one that turned out to be closed.
//! - It ends at the time limit, whatever the receiver does: connecting, silence, one byte a second.
//! - It reads at most the limit of the body, then drops the connection. Nothing is decompressed.
//! - An answer counts as received only if it came whole, or up to the limit of what is read. One that
//!   breaks off (reset after the head, fewer bytes than announced) is a failed connection even if its
//!   status was 200: what the missing part said is unknown, and the request is sent again.
//! - A head that is too large, or is no HTTP, is a failure of the protocol.
//! - A failure of our own side (no descriptors or ports, the operator's egress proxy) is told from the
//!   receiver's, as far as it shows.
//! - Connections that were opened with one TLS identity carry no request with another.
//! - Environment variables for proxies are ignored; redirects are returned, not followed.
//! - The details of a failure never hold the query of the URL, a header's value or a body.

mod authorities;
mod clients;
mod egress;
mod expiry;
mod failure;
mod http;
mod identity;
mod scripted;
mod transport;

pub use egress::{EgressProxy, EgressProxyError, WORKED_LATELY, check_local_address};
pub use http::{HttpTransport, TransportError, TransportSettings, USER_AGENT};
pub use identity::{AUTHORITIES_MAX, CHAIN_MAX, PEM_BYTES_MAX, TlsIdentity, TlsIdentityError, TlsPart};
pub use scripted::{RecordedRequest, Scripted, ScriptedTransport};
pub use transport::{Outgoing, Transport};
