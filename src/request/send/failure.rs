//! From a client's error to a kind of failure and a sentence.
//!
//! The client wraps errors in errors. The chain is searched for the types that tell something; texts
//! of the client are never shown, for they can hold the URL.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustls::CertificateError;

use crate::attempt::{Failure, FailureKind};
use crate::request::guard::{LookupError, ResolveError};

pub(super) fn failed(kind: FailureKind, detail: impl Into<String>) -> Failure {
    Failure { kind, detail: detail.into() }
}

/// What `error`, met while talking to `host`, means.
pub(super) fn failure_of(error: &reqwest::Error, host: &str, connect_timeout: Duration) -> Failure {
    let known = chain(error).find_map(|link| {
        if let Some(resolve) = link.downcast_ref::<ResolveError>() {
            return Some(resolve_failure(resolve));
        }
        if let Some(tls) = link.downcast_ref::<rustls::Error>() {
            return Some(tls_failure(tls, host));
        }
        if let Some(parse) = link.downcast_ref::<hyper::Error>().filter(|hyper| hyper.is_parse()) {
            return Some(parse_failure(parse, host));
        }
        if let Some(failure) = link.downcast_ref::<h2::Error>().and_then(|http2| http2_failure(http2, host)) {
            return Some(failure);
        }
        link.downcast_ref::<io::Error>().and_then(|io| io_failure(io, host))
    });
    known.unwrap_or_else(|| unknown_failure(error, host, connect_timeout))
}

/// The error, its sources, and what input-output errors among them wrap, which is not their source.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |link| inner(*link))
}

fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn resolve_failure(error: &ResolveError) -> Failure {
    let kind = match error {
        ResolveError::Blocked { .. } => FailureKind::Blocked,
        ResolveError::Lookup { error: LookupError::NotFound { .. }, .. } => FailureKind::NameNotResolved,
        ResolveError::Lookup { error: LookupError::Unanswered { .. }, .. } => FailureKind::NameUnanswered,
        ResolveError::Lookup { error: LookupError::TimedOut { .. }, .. } => FailureKind::TimedOut,
        ResolveError::Lookup { error: LookupError::Local { .. }, .. } => FailureKind::Local,
    };
    match error {
        ResolveError::Blocked { .. } => failed(kind, error.to_string()),
        ResolveError::Lookup { error: reason, .. } => failed(kind, format!("{error}: {reason}")),
    }
}

fn tls_failure(error: &rustls::Error, host: &str) -> Failure {
    let detail = match error {
        rustls::Error::InvalidCertificate(problem) => format!("the certificate of `{host}` {}", certificate_problem(problem)),
        rustls::Error::AlertReceived(alert) => alert_problem(&format!("{alert:?}"), host),
        rustls::Error::PeerIncompatible(_) => {
            format!("`{host}` and we have no TLS version or cipher in common; it must offer TLS 1.2 or 1.3 with forward secrecy")
        }
        rustls::Error::InvalidMessage(_) => format!("`{host}` does not speak TLS on this port; is it `http` instead of `https`?"),
        _ => format!("the TLS connection to `{host}` failed: {error}"),
    };
    failed(FailureKind::Tls, detail)
}

/// What the receiver says by closing TLS with `alert`.
fn alert_problem(alert: &str, host: &str) -> String {
    let remedy = match alert {
        "CertificateRequired" => "it wants a client certificate; set `tls.client_certificate`",
        "BadCertificate"
        | "UnsupportedCertificate"
        | "CertificateRevoked"
        | "CertificateExpired"
        | "CertificateUnknown"
        | "UnknownCA"
        | "AccessDenied" => "it does not take our client certificate, or wants one; check `tls.client_certificate` and its chain",
        "UnrecognizedName" => "it does not know itself by this name; check the host",
        "ProtocolVersion" | "InsufficientSecurity" => "it only knows TLS older than 1.2 or ciphers without forward secrecy",
        _ => "it may want a client certificate, another name, or only know TLS older than 1.2",
    };
    format!("`{host}` refused the TLS handshake with the alert {alert}: {remedy}")
}

/// The alert that ended an HTTP/2 connection, of whose errors below only kind and text are left.
///
/// In TLS 1.3 a receiver refuses our certificate after the handshake, so that this is where it shows.
fn alert_under_http2(error: &io::Error) -> Option<String> {
    let text = error.get_ref()?.to_string();
    let alert = text.strip_prefix("received fatal alert: ")?;
    Some(alert.chars().take_while(char::is_ascii_alphanumeric).collect())
}

fn certificate_problem(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet".into(),
        CertificateError::Revoked => "was revoked".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "is for another name".into(),
        CertificateError::UnknownIssuer => {
            "is not signed by an authority that we trust; it is self-signed, or the chain is incomplete; for a private one set `tls.ca`"
                .into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "is not for servers".into(),
        CertificateError::BadSignature => "has a signature that is wrong".into(),
        // An authority's certificate shown by a server, which is what most tools make when they sign themselves.
        CertificateError::Other(_) => "is not one for servers; it is an authority's or self-signed; for a private one set `tls.ca`".into(),
        other => format!("cannot be trusted: {other}"),
    }
}

fn parse_failure(error: &hyper::Error, host: &str) -> Failure {
    let detail = if error.is_parse_too_large() {
        format!("the head of `{host}`'s answer is too large")
    } else {
        format!("the answer of `{host}` is no valid HTTP")
    };
    failed(FailureKind::Protocol, detail)
}

/// None for an error of the connection below, which tells more.
fn http2_failure(error: &h2::Error, host: &str) -> Option<Failure> {
    let reason = error.reason()?;
    Some(match error.is_remote() {
        true if error.is_go_away() => failed(FailureKind::Connection, format!("`{host}` closed the HTTP/2 connection ({reason:?})")),
        true => failed(FailureKind::Connection, format!("`{host}` ended the request over HTTP/2 ({reason:?})")),
        false => failed(FailureKind::Protocol, format!("the answer of `{host}` breaks the rules of HTTP/2 ({reason:?})")),
    })
}

/// None if the error only wraps what tells more.
fn io_failure(error: &io::Error, host: &str) -> Option<Failure> {
    use io::ErrorKind as Kind;
    let own = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::ADDRINUSE, Errno::NOBUFS, Errno::NOMEM];
    if error.raw_os_error().is_some_and(|number| own.iter().any(|errno| errno.raw_os_error() == number)) {
        return Some(failed(FailureKind::Local, format!("no connection could be opened here: {}", system_text(error))));
    }
    if let Some(alert) = alert_under_http2(error) {
        return Some(failed(FailureKind::Tls, alert_problem(&alert, host)));
    }
    let because = |what: &str| Some(failed(FailureKind::Connection, format!("`{host}` {what}")));
    match error.kind() {
        Kind::ConnectionRefused => because("refused the connection"),
        Kind::ConnectionReset | Kind::ConnectionAborted => because("reset the connection"),
        Kind::BrokenPipe | Kind::NotConnected | Kind::UnexpectedEof => because("closed the connection before the answer was complete"),
        Kind::HostUnreachable | Kind::NetworkUnreachable => because("cannot be reached: there is no route to it"),
        Kind::TimedOut if error.raw_os_error().is_some() => {
            Some(failed(FailureKind::TimedOut, format!("the connection to `{host}` went silent")))
        }
        // The client reports a body that breaks the framing, such as a bad chunk size, this way.
        Kind::InvalidInput | Kind::InvalidData if error.get_ref().is_some_and(|wrapped| !wrapped.is::<rustls::Error>()) => {
            Some(failed(FailureKind::Protocol, format!("the body of `{host}`'s answer breaks the rules of HTTP")))
        }
        _ if error.raw_os_error().is_some() => because(&format!("cannot be connected to: {}", system_text(error))),
        _ => None,
    }
}

/// The system's own words for its error number, which name nothing of ours.
fn system_text(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.kind().to_string(), |number| io::Error::from_raw_os_error(number).to_string())
}

fn unknown_failure(error: &reqwest::Error, host: &str, connect_timeout: Duration) -> Failure {
    if error.is_timeout() {
        let ms = connect_timeout.as_millis();
        return failed(FailureKind::TimedOut, format!("no connection to `{host}` within {ms} ms"));
    }
    if error.is_builder() {
        return failed(FailureKind::BadUrl, "the URL cannot be sent: it holds a character that no request line may have");
    }
    if error.is_connect() {
        return failed(FailureKind::Connection, format!("no connection to `{host}`"));
    }
    match chain(error).find_map(|link| link.downcast_ref::<hyper::Error>()) {
        Some(hyper) if hyper.is_user() => failed(FailureKind::Internal, "the request could not be written"),
        _ => failed(FailureKind::Connection, format!("`{host}` closed the connection before the answer was complete")),
    }
}
