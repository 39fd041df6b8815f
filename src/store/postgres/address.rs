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

use super::passfile::{Login, PasswordSources};
use crate::secret::masked;

/// Where a server listens if nobody says otherwise.
const PORT: u16 = 5432;
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long what was sent may go unacknowledged before the connection counts as broken.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// The address of a database.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    /// How the server itself is reached for notifications, if the address is that of a pooler.
    pub(super) listening: Option<Config>,
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

/// Why a text is no address of a database, or has no password. It never repeats the text, which may hold one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no address.
    #[error("the address of the database is wrong: {detail}; write `postgres://user@host:5432/database`")]
    Wrong {
        /// What is wrong with it.
        detail: String,
    },
    /// The file with the passwords cannot be used.
    #[error("the password of the database was not found: {detail}")]
    Passwords {
        /// What is wrong with the file, and what to do.
        detail: String,
    },
}

impl AddressError {
    fn wrong(detail: impl Into<String>) -> Self {
        Self::Wrong { detail: detail.into() }
    }

    pub(super) const fn passwords(detail: String) -> Self {
        Self::Passwords { detail }
    }
}

impl Address {
    /// Reads an address; `passwords` are used if it holds none.
    ///
    /// # Errors
    /// [`AddressError`] if it is none.
    pub fn parse(text: &str, passwords: &PasswordSources) -> Result<Self, AddressError> {
        let mut url = Url::parse(text).map_err(|error| AddressError::wrong(error.to_string()))?;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err(AddressError::wrong("it does not begin with `postgres://`"));
        }
        let (mut mode, mut authority, mut listen, mut rest) = (None, None, None, Vec::new());
        for (name, value) in url.query_pairs().into_owned() {
            match name.as_str() {
                "sslmode" => mode = Some(value),
                "sslrootcert" => authority = Some(PathBuf::from(value)),
                "listen" => listen = Some(value),
                "password" => return Err(AddressError::wrong("a password belongs before the `@`, or into the variable `PGPASSWORD`")),
                _ => rest.push((name, value)),
            }
        }
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
        let mut config = driver_config(&url, passwords)?;
        let mut listening = match listen {
            Some(listen) => Some(driver_config(&elsewhere(url, &listen)?, passwords)?),
            None => None,
        };
        let tls = match mode.as_deref() {
            None if is_here(&config) && listening.as_ref().is_none_or(is_here) => Tls::Off,
            Some("disable") => Tls::Off,
            None | Some("require" | "verify-ca" | "verify-full") => Tls::Checked(authority),
            Some(other) => {
                return Err(AddressError::wrong(format!("`sslmode={other}` is not known; `disable` and `verify-full` are")));
            }
        };
        for config in [&mut config].into_iter().chain(&mut listening) {
            config.ssl_mode(if tls == Tls::Off { SslMode::Disable } else { SslMode::Require });
        }
        Ok(Self { config, listening, tls, shown: masked(text) })
    }
}

/// What the driver is told, without TLS.
fn driver_config(url: &Url, passwords: &PasswordSources) -> Result<Config, AddressError> {
    let mut config: Config = url.as_str().parse().map_err(|error: tokio_postgres::Error| AddressError::wrong(error.to_string()))?;
    let host = match config.get_hosts().first() {
        None => return Err(AddressError::wrong("it names no host")),
        Some(Host::Tcp(host)) => host.clone(),
        #[allow(unreachable_patterns, reason = "sockets in the file system exist on Unix only")]
        Some(_) => "localhost".to_owned(),
    };
    if config.get_password().is_none() {
        let user = config.get_user().unwrap_or_default();
        let port = config.get_ports().first().copied().unwrap_or(PORT);
        let login = Login { host: &host, port, database: config.get_dbname().unwrap_or(user), user };
        if let Some(password) = passwords.find(login)? {
            config.password(password.expose());
        }
    }
    if config.get_application_name().is_none() {
        config.application_name("postrider");
    }
    config.connect_timeout(CONNECT_MAX).tcp_user_timeout(UNACKNOWLEDGED_MAX);
    config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
    Ok(config)
}

/// The same database at `place`, which is `host` or `host:port`.
fn elsewhere(mut url: Url, place: &str) -> Result<Url, AddressError> {
    let wrong = || AddressError::wrong("`listen` is not the server behind the pooler; write `listen=host:5432`");
    let named = Url::parse(&format!("postgres://{place}")).map_err(|_| wrong())?;
    if !named.username().is_empty() || !named.path().is_empty() || named.query().is_some() {
        return Err(wrong());
    }
    url.set_host(named.host_str()).map_err(|_| wrong())?;
    url.set_port(Some(named.port().unwrap_or(PORT))).map_err(|()| wrong())?;
    Ok(url)
}

/// Whether the database is on this machine, so that nobody is on the way to it.
fn is_here(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        #[allow(unreachable_patterns, reason = "sockets in the file system exist on Unix only")]
        _ => true,
    })
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
    use crate::secret::Secret;

    fn tls(text: &str) -> Tls {
        Address::parse(text, &PasswordSources::default()).unwrap().tls
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_it_is_said_otherwise() {
        for here in ["postgres://u@localhost/d", "postgres://u@127.0.0.1:5433/d", "postgres://u@[::1]/d", "postgres://u@%2Frun%2Fpg/d"] {
            assert_eq!(tls(here), Tls::Off, "{here}");
        }
        assert_eq!(tls("postgres://u@db.example/d"), Tls::Checked(None));
        assert_eq!(tls("postgres://u@db.example/d?sslmode=disable"), Tls::Off);
        assert_eq!(tls("postgres://u@localhost/d?sslmode=verify-full&sslrootcert=/a.pem"), Tls::Checked(Some("/a.pem".into())));
        assert!(Address::parse("postgres://u@localhost/d?sslmode=prefer", &PasswordSources::default()).is_err());
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
            let shown = match Address::parse(&text, &PasswordSources::default()) {
                Ok(address) => format!("{address} {address:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("s3cr"), "{shown}");
        }
    }

    #[test]
    fn a_password_from_elsewhere_is_used_where_none_is_given() {
        let sources = PasswordSources { password: Some(Secret::new("other")), file: None };
        let password = |text| Address::parse(text, &sources).unwrap().config.get_password().map(<[u8]>::to_vec);
        assert_eq!(password("postgres://u@localhost/d").unwrap(), b"other");
        assert_eq!(password("postgres://u:own@localhost/d").unwrap(), b"own");
    }

    #[test]
    fn a_pooler_can_be_gone_around_to_listen() {
        let parse = |text: &str| Address::parse(text, &PasswordSources::default());
        let address = parse("postgres://u:p@localhost:6432/d?listen=db.example").unwrap();
        let listening = address.listening.unwrap();
        assert_eq!((listening.get_hosts(), listening.get_ports()), (&[Host::Tcp("db.example".into())][..], &[5432][..]));
        assert_eq!((listening.get_dbname(), listening.get_password()), (Some("d"), Some(&b"p"[..])));
        assert_eq!((address.config.get_ports(), address.tls), (&[6432][..], Tls::Checked(None)), "one of the two is not on this machine");
        assert_eq!(parse("postgres://u@localhost:6432/d?listen=localhost:5433").unwrap().listening.unwrap().get_ports(), [5433]);
        assert!(parse("postgres://u@localhost/d").unwrap().listening.is_none());
        for wrong in ["", "a:b", "u@a", "a/d", "a?b=c"] {
            assert!(parse(&format!("postgres://u@localhost/d?listen={wrong}")).is_err(), "{wrong}");
        }
    }
}
