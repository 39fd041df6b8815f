//! Patterns of host names, for the operator's list of hosts that are never sent to.

use std::fmt;
use std::str::FromStr;

use url::Host;

/// One host name, or with `*.` before it every name below it. Compared in the form that is sent: lower-case ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: String,
    below: bool,
}

/// Why a text is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// It is an address.
    #[error("`{text}` is an address; put it in `deny`")]
    Address {
        /// The text.
        text: String,
    },
    /// It is no name.
    #[error("`{text}` is no host name; write it like `tracker.example`, or `*.tracker.example` for every name below it")]
    NoName {
        /// The text.
        text: String,
    },
}

impl HostPattern {
    /// Whether it stands for `host`, in the form that is sent.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        if self.below {
            host.strip_suffix(self.name.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
        } else {
            host == self.name
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let no_name = || HostPatternError::NoName { text: text.into() };
        match Host::parse(name.strip_suffix('.').unwrap_or(name)) {
            Ok(Host::Domain(name)) if !name.contains('*') && !name.starts_with('.') && !name.ends_with('.') => Ok(Self { name, below }),
            Ok(Host::Domain(_)) | Err(_) => Err(no_name()),
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) => Err(HostPatternError::Address { text: text.into() }),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_itself_and_a_star_what_is_below() {
        let table = [
            ("Tracker.Example", "tracker.example", true),
            ("tracker.example", "tracker.example.", true),
            ("tracker.example", "a.tracker.example", false),
            ("tracker.example", "xtracker.example", false),
            ("*.tracker.example", "a.tracker.example", true),
            ("*.tracker.example", "b.a.tracker.example", true),
            ("*.tracker.example", "tracker.example", false),
            ("*.tracker.example", ".tracker.example", false),
            ("*.tracker.example", "xtracker.example", false),
            ("bücher.example", "xn--bcher-kva.example", true),
            ("tracker.example.", "tracker.example", true),
        ];
        for (pattern, host, expected) in table {
            assert_eq!(pattern.parse::<HostPattern>().unwrap().matches(host), expected, "{pattern} and {host}");
        }
        assert_eq!("*.Tracker.Example".parse::<HostPattern>().unwrap().to_string(), "*.tracker.example");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "*", "*.", "a.*.example", "a b", "https://a.example", "a.example/x", "a.example:80", "*.*.example", "a.example.."]
        {
            assert!(matches!(text.parse::<HostPattern>(), Err(HostPatternError::NoName { .. })), "{text}");
        }
        for text in ["127.0.0.1", "0x7f.1", "[::1]"] {
            assert!(matches!(text.parse::<HostPattern>(), Err(HostPatternError::Address { .. })), "{text}");
        }
    }
}
