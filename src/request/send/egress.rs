//! The way out: through a proxy of the operator, or from an address of theirs.
//!
//! Through a proxy the guard sees less. What stands in the URL is checked as ever: scheme, port, literal
//! addresses, denied hosts. But names are resolved by the proxy, so it must refuse private addresses
//! itself; nothing here can tell what a name leads to.
//!
//! A proxy that fails is our trouble and not the receiver's, and is told apart as far as it shows:
//!
//! | what happens | whose |
//! |---|---|
//! | the proxy is not found, refuses or breaks the connection, or wants other credentials (407) | ours |
//! | it refuses to lead on to a receiver, says that it cannot, or leaves us waiting | ours, unless it led to some receiver within [`WORKED_LATELY`] |
//! | anything within a tunnel, and any other answer | the receiver's |

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::time::Instant;
use url::Url;

use super::failure::{chain, failed};
use crate::attempt::{Failure, FailureKind};
use crate::clock::{Clock, SystemClock};
use crate::secret::Secret;

/// How long a proxy that led to a receiver counts as one that works.
pub const WORKED_LATELY: Duration = Duration::from_secs(300);

/// An HTTP proxy that everything is sent through. Its debug form does not show the password.
#[derive(Debug, Clone)]
pub struct EgressProxy {
    /// Without user and password.
    url: Url,
    credentials: Option<(String, Secret)>,
}

/// Why a text is no egress proxy. Holds nothing of the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the egress proxy {problem}; write it like `http://proxy.example:3128`, or `http://user:password@proxy.example:3128`")]
pub struct EgressProxyError {
    problem: &'static str,
}

impl EgressProxy {
    /// Reads `http://host:port`, with user and password (percent-encoded) before the host if it wants them.
    ///
    /// # Errors
    /// [`EgressProxyError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, EgressProxyError> {
        let fail = |problem| Err(EgressProxyError { problem });
        let Ok(mut url) = Url::parse(text.trim()) else { return fail("is no URL") };
        if url.scheme() != "http" {
            return fail("is not spoken to by `http`");
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || url.port() == Some(0) {
            return fail("has more, or less, than a host and a port");
        }
        let decoded = |part: &str| percent_decode_str(part).decode_utf8().map(|text| text.into_owned());
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => match (decoded(user), decoded(password.unwrap_or_default())) {
                (Ok(user), Ok(password)) if !user.contains(':') => Some((user, Secret::new(password))),
                _ => return fail("has a user name or password that cannot be sent"),
            },
        };
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return fail("is no URL");
        }
        Ok(Self { url, credentials })
    }

    /// Host and port, for people.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.url[url::Position::BeforeHost..url::Position::AfterPort]
    }

    /// For the client.
    pub(super) fn for_client(&self) -> Result<reqwest::Proxy, reqwest::Error> {
        let proxy = reqwest::Proxy::all(self.url.as_str())?;
        Ok(match &self.credentials {
            Some((user, password)) => proxy.basic_auth(user, password.expose()),
            None => proxy,
        })
    }
}

impl fmt::Display for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.authority())
    }
}

/// Watches how the proxy does, to tell its failures from those of receivers.
#[derive(Debug, Default)]
pub(super) struct ProxyWatch {
    worked_at: Mutex<Option<Instant>>,
}

impl ProxyWatch {
    /// What `error`, met on the way to `host`, means if it is the proxy's; none if it is the receiver's.
    pub fn failure_of(&self, error: &reqwest::Error, host: &str, scheme: &str) -> Option<Failure> {
        if let Some(refusal) = tunnel_refusal(error) {
            return Some(match refusal {
                TunnelRefusal::Credentials => wants_other_credentials(),
                TunnelRefusal::Refused => self.no_way_on(FailureKind::Connection, host),
                TunnelRefusal::Broken => broken(),
            });
        }
        if !error.is_connect() {
            return None;
        }
        match scheme {
            // Without a tunnel, the proxy is all that is connected to.
            "http" => Some(broken()),
            _ if error.is_timeout() => Some(self.no_way_on(FailureKind::TimedOut, host)),
            _ => None,
        }
    }

    /// What an answer that came without a tunnel means if it is the proxy's own; none if it is the receiver's.
    ///
    /// Sources: RFC 9110, section 15.5.8 (407); RFC 9209 (`Proxy-Status`).
    pub fn answer_of(&self, status: StatusCode, headers: &HeaderMap, host: &str) -> Option<Failure> {
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Some(wants_other_credentials());
        }
        let reports_error = headers.get_all("proxy-status").iter().any(|value| value.to_str().is_ok_and(|text| text.contains("error=")));
        if status.is_server_error() && (reports_error || headers.contains_key("x-squid-error")) {
            return Some(self.no_way_on(FailureKind::Connection, host));
        }
        None
    }

    /// Takes note that a receiver answered through the proxy.
    pub fn worked(&self) {
        *self.worked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemClock.instant());
    }

    /// A failure of `receivers_kind` if the proxy leads to others, else one of our own side.
    fn no_way_on(&self, receivers_kind: FailureKind, host: &str) -> Failure {
        let worked_at = *self.worked_at.lock().unwrap_or_else(PoisonError::into_inner);
        match worked_at.is_some_and(|at| SystemClock.instant().duration_since(at) < WORKED_LATELY) {
            true => {
                failed(receivers_kind, format!("`{host}` cannot be reached through the operator's egress proxy, which works for others"))
            }
            false => failed(FailureKind::Local, format!("the operator's egress proxy did not lead to `{host}`")),
        }
    }
}

fn broken() -> Failure {
    failed(FailureKind::Local, "the operator's egress proxy cannot be reached, or broke off")
}

fn wants_other_credentials() -> Failure {
    failed(FailureKind::Local, "the operator's egress proxy wants other credentials (407)")
}

/// How setting up a tunnel failed.
enum TunnelRefusal {
    Credentials,
    Refused,
    Broken,
}

/// The client's type for this is not public; its text begins in one way and names the case.
fn tunnel_refusal(error: &(dyn Error + 'static)) -> Option<TunnelRefusal> {
    chain(error).find_map(|link| {
        let text = link.to_string();
        Some(match text.strip_prefix("tunnel error: ")? {
            "proxy authorization required" => TunnelRefusal::Credentials,
            "unsuccessful" => TunnelRefusal::Refused,
            _ => TunnelRefusal::Broken,
        })
    })
}

/// Whether requests can be sent from `address`: whether it is one of this machine's.
///
/// # Errors
/// What the operating system said.
pub fn check_local_address(address: std::net::IpAddr) -> std::io::Result<()> {
    std::net::UdpSocket::bind(SocketAddr::new(address, 0)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_its_password_is_not_shown() {
        let proxy = EgressProxy::parse("http://us%40er:geh%3Aeim@Proxy.Example:3128").unwrap();
        assert_eq!(proxy.credentials, Some(("us@er".into(), Secret::new("geh:eim"))));
        assert_eq!((proxy.authority(), proxy.to_string().as_str()), ("proxy.example:3128", "proxy.example:3128"));
        assert!(!format!("{proxy:?}").contains("eim"), "{proxy:?}");
        assert_eq!(EgressProxy::parse("http://10.0.0.1:3128/").unwrap().credentials, None);
    }

    #[test]
    fn what_is_no_proxy_is_refused_and_not_shown() {
        for text in [
            "",
            "proxy.example:3128",
            "https://u:geheim@proxy.example",
            "socks5://geheim:1080",
            "http://u:geheim@proxy.example/path",
            "http://u:geheim@proxy.example?x",
            "http://proxy.example:0",
            "http://u%ff:geheim@proxy.example",
        ] {
            let error = EgressProxy::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
        }
    }
}
