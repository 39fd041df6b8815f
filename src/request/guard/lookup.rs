//! From name to addresses: one look-up, every answer classified.
//!
//! The system's resolver tells no time to live, so its answers are kept for half a minute at most.
//! A failed look-up is not kept. Look-ups run on threads that cannot be stopped; their number is
//! limited, so that a resolver that hangs cannot use up the threads that others need.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::policy::Guard;
use crate::clock::Clock;

/// The most addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 16;

/// Finds the addresses of a host name.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The addresses of `host`, best first; an empty list counts as not found.
    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, LookupError>;
}

/// Why a name gave no address. Without the name, which the one who asked knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The resolver answered that there is none.
    #[error("{reason}")]
    NotFound {
        /// What the resolver said.
        reason: String,
    },
    /// The resolver could not tell: it got no answer, or one that is no use. Asked again, it may know.
    #[error("{reason}")]
    Unanswered {
        /// What the resolver said.
        reason: String,
    },
    /// The resolver did not answer in time.
    #[error("no answer from the resolver within {} ms", .limit.as_millis())]
    TimedOut {
        /// The time it had.
        limit: Duration,
    },
    /// Our own side could not ask.
    #[error("{reason}")]
    Local {
        /// What is missing.
        reason: String,
    },
}

/// Why a host name is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It has addresses, and none of them is sent to. Does not say which: names inside our network stay ours.
    #[error(
        "the host `{host}` has only addresses that are not sent to, such as private ones; use a public address, or ask the operator to allow it"
    )]
    Blocked {
        /// The name.
        host: String,
    },
    /// It has no address that we know of.
    #[error("the host `{host}` was not resolved")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        #[source]
        error: LookupError,
    },
}

/// Looks `host` up once and returns the addresses that may be connected to, at most [`ADDRESSES_MAX`].
///
/// With `own_port`, a port on which we listen ourselves, our own addresses are not among them.
///
/// # Errors
/// [`ResolveError::Blocked`] if there are addresses and none is allowed, else [`ResolveError::Lookup`].
pub async fn resolve(guard: &Guard, lookup: &dyn Lookup, host: &str, own_port: Option<u16>) -> Result<Vec<IpAddr>, ResolveError> {
    let mut addresses = lookup.lookup(host).await.map_err(|error| ResolveError::Lookup { host: host.into(), error })?;
    if addresses.is_empty() {
        let error = LookupError::NotFound { reason: "the name has no address".into() };
        return Err(ResolveError::Lookup { host: host.into(), error });
    }
    let found = addresses.clone();
    addresses.retain(|address| guard.check_target(*address, own_port).is_ok());
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        // For the operator alone; the owner of the subscription is not told what the name leads to.
        tracing::info!(host, addresses = ?found, "none of the addresses of this host is sent to");
        return Err(ResolveError::Blocked { host: host.into() });
    }
    Ok(addresses)
}

/// Limits of [`SystemLookup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemLookupSettings {
    /// How long one look-up may take, waiting for its turn included.
    pub time_max: Duration,
    /// How long an answer is kept.
    pub kept_max: Duration,
    /// How many names are kept.
    pub names_max: usize,
    /// How many look-ups run at once.
    pub at_once_max: usize,
}

impl Default for SystemLookupSettings {
    fn default() -> Self {
        Self { time_max: Duration::from_secs(5), kept_max: Duration::from_secs(30), names_max: 4096, at_once_max: 64 }
    }
}

/// The system's resolver, with a time limit and a short memory.
#[derive(Debug)]
pub struct SystemLookup {
    settings: SystemLookupSettings,
    clock: Arc<dyn Clock>,
    turns: Arc<Semaphore>,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    until: Instant,
    addresses: Vec<IpAddr>,
}

impl SystemLookup {
    /// A resolver with these limits, which takes the age of its answers from `clock`.
    #[must_use]
    pub fn new(settings: SystemLookupSettings, clock: Arc<dyn Clock>) -> Self {
        let turns = Arc::new(Semaphore::new(settings.at_once_max.max(1)));
        Self { settings, clock, turns, kept: Mutex::new(HashMap::new()) }
    }

    fn recall(&self, host: &str) -> Option<Vec<IpAddr>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(host).filter(|kept| self.clock.instant() < kept.until).map(|kept| kept.addresses.clone())
    }

    fn keep(&self, host: &str, addresses: &[IpAddr]) {
        let now = self.clock.instant();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.settings.names_max {
            kept.retain(|_, entry| now < entry.until);
        }
        if kept.len() >= self.settings.names_max {
            kept.clear();
        }
        kept.insert(host.into(), Kept { until: now + self.settings.kept_max, addresses: addresses.into() });
    }

    async fn ask(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let local = |reason: &str| LookupError::Local { reason: reason.into() };
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| local("the resolver is shut down"))?;
        let name = host.to_owned();
        let answer = tokio::task::spawn_blocking(move || {
            // The turn ends with the thread's work, not with the patience of the one who asked.
            let _turn = turn;
            (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect::<Vec<_>>())
        });
        match answer.await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(lookup_error(&error)),
            Err(_) => Err(local("the look-up was stopped")),
        }
    }
}

/// What the system's resolver says of a name that has no address, in the words of the C libraries (glibc,
/// musl, BSD and macOS). The standard library passes on the text alone, in English whatever the locale.
const NO_SUCH_NAME: [&str; 6] = [
    "name or service not known",
    "no address associated with hostname",
    "name does not resolve",
    "name has no usable address",
    "nodename nor servname provided, or not known",
    "no address associated with nodename",
];

/// A resolver's own failures carry no number of the operating system. A text that is not known counts
/// as no answer: to ask again in vain costs less than to give up a delivery because of a resolver.
fn lookup_error(error: &io::Error) -> LookupError {
    if error.raw_os_error().is_some() {
        return LookupError::Local { reason: error.to_string() };
    }
    let text = error.to_string();
    let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_lowercase();
    // A name that the library does not even ask for.
    if error.kind() == io::ErrorKind::InvalidInput || NO_SUCH_NAME.contains(&reason.as_str()) {
        LookupError::NotFound { reason }
    } else {
        LookupError::Unanswered { reason }
    }
}

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        if let Some(addresses) = self.recall(host) {
            return Ok(addresses);
        }
        let limit = self.settings.time_max;
        let addresses = tokio::time::timeout(limit, self.ask(host)).await.unwrap_or(Err(LookupError::TimedOut { limit }))?;
        self.keep(host, &addresses);
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::GuardSettings;
    use super::*;
    use crate::clock::SystemClock;

    #[derive(Debug)]
    struct Answer(Vec<&'static str>);

    #[async_trait]
    impl Lookup for Answer {
        async fn lookup(&self, _: &str) -> Result<Vec<IpAddr>, LookupError> {
            Ok(self.0.iter().map(|text| text.parse().unwrap()).collect())
        }
    }

    async fn resolved(answer: &[&'static str]) -> Result<Vec<String>, ResolveError> {
        let found = resolve(&Guard::new(GuardSettings::default()), &Answer(answer.to_vec()), "a.example", None).await?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn only_allowed_addresses_come_out() {
        assert_eq!(resolved(&["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1"]).await.unwrap(), ["8.8.8.8", "2606:4700::1"]);
        assert!(matches!(resolved(&["10.0.0.1", "::ffff:8.8.8.8"]).await, Err(ResolveError::Blocked { .. })));
        assert!(matches!(resolved(&[]).await, Err(ResolveError::Lookup { error: LookupError::NotFound { .. }, .. })));
        assert_eq!(resolved(&["8.8.8.8"; 200]).await.unwrap().len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn a_blocked_name_does_not_tell_its_addresses() {
        let text = resolved(&["10.1.2.3"]).await.unwrap_err().to_string();
        assert!(!text.contains("10.1"), "{text}");
    }

    #[test]
    fn c14_a_resolver_without_an_answer_is_told_from_a_name_without_address() {
        let said = |text: &str| lookup_error(&io::Error::other(format!("failed to lookup address information: {text}")));
        for text in ["Name or service not known", "No address associated with hostname", "Name does not resolve"] {
            assert_eq!(said(text), LookupError::NotFound { reason: text.to_lowercase() });
        }
        for text in ["Temporary failure in name resolution", "Try again", "Non-recoverable failure in name resolution", "System error"] {
            assert_eq!(said(text), LookupError::Unanswered { reason: text.to_lowercase() });
        }
        let descriptors = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        assert!(matches!(lookup_error(&descriptors), LookupError::Local { .. }));
    }

    /// The words of the library that is linked; `.invalid` has no names (RFC 6761, 6.4), and a resolver
    /// without a network has no answer.
    #[tokio::test]
    async fn c14_the_words_of_the_systems_resolver_are_known() {
        let lookup = SystemLookup::new(SystemLookupSettings::default(), Arc::new(SystemClock));
        let (none, too_long) = (lookup.lookup("nobody.invalid").await, lookup.lookup(&"a".repeat(300)).await);
        assert!(
            matches!(none, Err(LookupError::NotFound { .. } | LookupError::Unanswered { .. } | LookupError::TimedOut { .. })),
            "{none:?}"
        );
        assert!(matches!(too_long, Err(LookupError::NotFound { .. } | LookupError::Unanswered { .. })), "{too_long:?}");
    }

    #[tokio::test]
    async fn answers_are_kept_for_a_while_and_in_bounded_number() {
        let settings = SystemLookupSettings { names_max: 2, kept_max: Duration::from_secs(1000), ..Default::default() };
        let lookup = SystemLookup::new(settings, Arc::new(SystemClock));
        let address: IpAddr = [8, 8, 8, 8].into();
        for host in ["a", "b", "c"] {
            lookup.keep(host, &[address]);
        }
        assert_eq!((lookup.recall("a"), lookup.recall("c")), (None, Some(vec![address])));
        let forgetful = SystemLookup::new(SystemLookupSettings { kept_max: Duration::ZERO, ..settings }, Arc::new(SystemClock));
        forgetful.keep("a", &[address]);
        assert_eq!(forgetful.recall("a"), None);
    }

    #[tokio::test]
    async fn literal_addresses_need_no_resolver() {
        let lookup = SystemLookup::new(SystemLookupSettings::default(), Arc::new(SystemClock));
        assert_eq!(lookup.lookup("127.0.0.1").await, Ok(vec![[127, 0, 0, 1].into()]));
    }
}
