//! Where a database is and how it is reached, from `postgres://user:password@host:port/database?…`.
//!
//! TLS is on unless the database is on this machine or `sslmode=disable` says otherwise, and a certificate is
//! always checked: one that is not checked protects from nobody who can change what is on the wire.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::Url;

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long what was sent may go unacknowledged before the connection counts as broken.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// The address of a database.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) tls: Tls,
    shown: String,
}

/// Whether and how the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not at all.
    Off,
    /// The certificate must be signed by an authority of this file, or by one that the system trusts.
    Checked(Option<PathBuf>),
}

/// Why a text is no address of a database. It never repeats the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address of the database is wrong: {detail}; write `postgres://user@host:5432/database`")]
pub struct AddressError {
    detail: String,
}

impl Address {
    /// Reads an address; `password` is used if it holds none.
    ///
    /// # Errors
    /// [`AddressError`] if it is none.
    pub fn parse(text: &str, password: Option<&str>) -> Result<Self, AddressError> {
        let wrong = |detail: String| AddressError { detail };
        let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err(wrong("it does not begin with `postgres://`".to_owned()));
        }
        let (mut mode, mut authority, mut rest) = (None, None, Vec::new());
        for (name, value) in url.query_pairs().into_owned() {
            match name.as_str() {
                "sslmode" => mode = Some(value),
                "sslrootcert" => authority = Some(PathBuf::from(value)),
                "password" => return Err(wrong("a password belongs before the `@`, or into the variable `PGPASSWORD`".to_owned())),
                _ => rest.push((name, value)),
            }
        }
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
        let mut config: Config = url.as_str().parse().map_err(|error: tokio_postgres::Error| wrong(error.to_string()))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host".to_owned()));
        }
        let tls = match mode.as_deref() {
            None if is_here(&config) => Tls::Off,
            Some("disable") => Tls::Off,
            None | Some("require" | "verify-ca" | "verify-full") => Tls::Checked(authority),
            Some(other) => {
                return Err(wrong(format!("`sslmode={other}` is not known; `disable` and `verify-full` are")));
            }
        };
        config.ssl_mode(if tls == Tls::Off { SslMode::Disable } else { SslMode::Require });
        if config.get_password().is_none()
            && let Some(password) = password
        {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("postrider");
        }
        config.connect_timeout(CONNECT_MAX).tcp_user_timeout(UNACKNOWLEDGED_MAX);
        config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
        Ok(Self { config, tls, shown: redact(text) })
    }
}

/// Whether the database is on this machine, so that nobody is on the way to it.
fn is_here(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        #[allow(unreachable_patterns, reason = "sockets in the file system exist on Unix only")]
        _ => true,
    })
}

/// The text of an address without its password; any other text as it is.
#[must_use]
pub fn redact(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some("***")) {
            Ok(()) => url.into(),
            Err(()) => "postgres://…".to_owned(),
        },
        Ok(_) => text.to_owned(),
        // What cannot be read may hold a password in any place.
        Err(_) => text.split_once("://").map_or_else(|| text.to_owned(), |(scheme, _)| format!("{scheme}://…")),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(text: &str) -> Tls {
        Address::parse(text, None).unwrap().tls
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_it_is_said_otherwise() {
        for here in ["postgres://u@localhost/d", "postgres://u@127.0.0.1:5433/d", "postgres://u@[::1]/d", "postgres://u@%2Frun%2Fpg/d"] {
            assert_eq!(tls(here), Tls::Off, "{here}");
        }
        assert_eq!(tls("postgres://u@db.example/d"), Tls::Checked(None));
        assert_eq!(tls("postgres://u@db.example/d?sslmode=disable"), Tls::Off);
        assert_eq!(tls("postgres://u@localhost/d?sslmode=verify-full&sslrootcert=/a.pem"), Tls::Checked(Some("/a.pem".into())));
        assert!(Address::parse("postgres://u@localhost/d?sslmode=prefer", None).is_err());
    }

    #[test]
    fn a_password_is_never_shown() {
        let secret = "s3cr%40t";
        for text in [
            format!("postgres://user:{secret}@db.example/d"),
            format!("postgres://user:{secret}@db.example:port/d"),
            format!("postgres://user:{secret}@/d"),
            format!("postgres://user:{secret}@db.example/d?sslmode=no"),
            format!("postgres://db.example/d?password={secret}"),
        ] {
            let shown = match Address::parse(&text, None) {
                Ok(address) => format!("{address} {address:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("s3cr"), "{shown}");
            assert!(text.contains("?password=") || !redact(&text).contains("s3cr"), "{}", redact(&text));
        }
    }

    #[test]
    fn a_password_from_elsewhere_is_used_where_none_is_given() {
        let password = |text| Address::parse(text, Some("other")).unwrap().config.get_password().map(<[u8]>::to_vec);
        assert_eq!(password("postgres://u@localhost/d").unwrap(), b"other");
        assert_eq!(password("postgres://u:own@localhost/d").unwrap(), b"own");
    }
}
