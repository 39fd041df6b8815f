//! The guard: settings, and the questions it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;
use url::{Host, Url};

use super::address::{AddressClass, classify, embedded};
use super::host::HostPattern;
use super::listener::reaches;
use crate::attempt::{Failure, FailureKind};

/// What an operator lifts and adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardSettings {
    /// Send to this machine and to private, shared, unique-local and link-local networks too.
    /// For development and for receivers inside one's own network.
    pub allow_private: bool,
    /// Ranges that are sent to although they are not public. A metadata address must stand here by
    /// itself (`/32` or `/128`).
    pub allow: Vec<IpNet>,
    /// Ranges that are never sent to, whatever else is set. One's own public addresses belong here.
    pub deny: Vec<IpNet>,
    /// The only ports that are sent to; none for all.
    pub ports: Option<Vec<u16>>,
    /// Host names that are never sent to, whatever their addresses.
    pub deny_hosts: Vec<HostPattern>,
    /// Where we listen ourselves. Never sent to unless `allow` names the address.
    pub listeners: Vec<SocketAddr>,
}

impl GuardSettings {
    /// Settings that are allowed and probably not meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for range in &self.allow {
            let prefix_min = if range.addr().is_ipv4() { 8 } else { 16 };
            if range.prefix_len() < prefix_min {
                warnings.push(format!("`{range}` allows very many addresses; name the networks of your receivers one by one"));
            }
            if range.addr() != range.network() {
                warnings
                    .push(format!("`{range}` has bits beyond its prefix and means `{}`; write that, or correct the prefix", range.trunc()));
            }
            if self.deny.iter().any(|deny| deny.contains(range)) {
                warnings.push(format!("`{range}` is allowed and denied; deny wins, so remove one of them"));
            }
        }
        warnings
    }
}

/// Why something is not sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refused {
    /// What kind of reason.
    pub kind: RefusedKind,
    /// The reason and the remedy, for the subscription's owner. Names no query and no user info.
    pub detail: String,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedKind {
    /// No URL that anything could be sent to.
    BadUrl,
    /// An address, or a name for one, that is not sent to.
    Address,
    /// A port that is not sent to.
    Port,
}

impl Refused {
    pub(super) fn bad_url(detail: impl Into<String>) -> Self {
        Self { kind: RefusedKind::BadUrl, detail: detail.into() }
    }

    fn address(detail: impl Into<String>) -> Self {
        Self { kind: RefusedKind::Address, detail: detail.into() }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let kind = match refused.kind {
            RefusedKind::BadUrl => FailureKind::BadUrl,
            RefusedKind::Address | RefusedKind::Port => FailureKind::Blocked,
        };
        Self { kind, detail: refused.detail }
    }
}

/// Names of metadata services, which need no look-up to be refused.
const METADATA_NAMES: [&str; 6] =
    ["metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal", "metadata.azure.internal"];
const METADATA_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Decides what is sent to. Cheap to clone; clones change together.
#[derive(Debug, Clone)]
pub struct Guard {
    settings: Arc<RwLock<Arc<GuardSettings>>>,
}

impl Guard {
    /// A guard with these settings.
    #[must_use]
    pub fn new(settings: GuardSettings) -> Self {
        Self { settings: Arc::new(RwLock::new(Arc::new(settings))) }
    }

    /// Takes over other settings, from the next check on.
    pub fn replace(&self, settings: GuardSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn settings(&self) -> Arc<GuardSettings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks all of a URL that needs no look-up: scheme, user info, host, port, literal address.
    ///
    /// For use when a subscription is stored, and before every request: the client resolves no
    /// literal address, so no later gate would see it.
    ///
    /// # Errors
    /// [`Refused`] with the first reason found.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        check_form(url)?;
        let port = url.port_or_known_default().unwrap_or_default();
        if self.settings().ports.as_ref().is_some_and(|ports| !ports.contains(&port)) {
            return Err(Refused {
                kind: RefusedKind::Port,
                detail: format!("port {port} is not sent to; use another, or ask the operator to allow it"),
            });
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.check_target(address.into(), Some(port)),
            Some(Host::Ipv6(address)) => self.check_target(address.into(), Some(port)),
            Some(Host::Domain(name)) => self.check_name(name),
            None => Err(Refused::bad_url("the URL has no host; write one after `https://`")),
        }
    }

    /// Checks one address, and every IPv4 address that it carries in itself.
    ///
    /// # Errors
    /// [`Refused`] if it is denied, or not public and not allowed.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        self.check_form_of(address).map_err(|why| Refused::address(format!("the address `{address}` is not sent to: it is {why}")))?;
        for inner in embedded(address) {
            self.check_form_of(inner.into())
                .map_err(|why| Refused::address(format!("the address `{address}` is not sent to: it stands for `{inner}`, {why}")))?;
        }
        Ok(())
    }

    /// Checks one address, and whether it is ourselves that would be reached at `port`, if one is given.
    ///
    /// # Errors
    /// [`Refused`] as [`Self::check_address`], and for our own listener.
    pub fn check_target(&self, address: IpAddr, port: Option<u16>) -> Result<(), Refused> {
        self.check_address(address)?;
        let ours = port.is_some_and(|port| {
            let target = SocketAddr::new(address, port);
            self.settings().listeners.iter().any(|listener| reaches(target, *listener))
        });
        if ours && !self.settings().allow.iter().any(|range| range.contains(&address)) {
            return Err(Refused::address(format!("the address `{address}` is not sent to: this server itself listens there")));
        }
        Ok(())
    }

    /// The port of `url` if we listen on it ourselves, so that the addresses of its host are checked for that.
    #[must_use]
    pub fn own_port(&self, url: &Url) -> Option<u16> {
        url.port_or_known_default().filter(|port| self.settings().listeners.iter().any(|listener| listener.port() == *port))
    }

    fn check_form_of(&self, address: IpAddr) -> Result<(), &'static str> {
        let settings = self.settings();
        if settings.deny.iter().any(|range| range.contains(&address)) {
            return Err("on the operator's list of denied addresses");
        }
        let class = classify(address);
        let lifted = match class {
            AddressClass::Global => true,
            AddressClass::Metadata => {
                settings.allow.iter().any(|range| range.contains(&address) && range.prefix_len() == range.max_prefix_len())
            }
            _ => (settings.allow_private && class.is_private_network()) || settings.allow.iter().any(|range| range.contains(&address)),
        };
        if lifted { Ok(()) } else { Err(class.as_str()) }
    }

    fn check_name(&self, name: &str) -> Result<(), Refused> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if self.settings().deny_hosts.iter().any(|pattern| pattern.matches(name)) {
            return Err(Refused::address(format!("the host `{name}` is not sent to: it is on the operator's list of denied hosts")));
        }
        let refuse = |class: AddressClass| Refused::address(format!("the host `{name}` is not sent to: it is {}", class.as_str()));
        let is_or_is_below = |parent: &str| {
            let start = name.len().checked_sub(parent.len());
            start
                .and_then(|start| name.get(start..).map(|end| (start, end)))
                .is_some_and(|(start, end)| end.eq_ignore_ascii_case(parent) && (start == 0 || name.as_bytes()[start - 1] == b'.'))
        };
        // RFC 6761, 6.3: names under `localhost` mean this machine, whatever a resolver says.
        if ["localhost", "localdomain", "ip6-localhost", "ip6-loopback"].into_iter().any(is_or_is_below) {
            let loopback = self.check_address(Ipv4Addr::LOCALHOST.into()).or_else(|_| self.check_address(Ipv6Addr::LOCALHOST.into()));
            return loopback.map_err(|_| refuse(AddressClass::Loopback));
        }
        if METADATA_NAMES.iter().any(|metadata| name.eq_ignore_ascii_case(metadata)) {
            return self.check_address(METADATA_ADDRESS).map_err(|_| refuse(AddressClass::Metadata));
        }
        Ok(())
    }
}

/// Scheme, user info, host and port: what makes a URL one that can be sent to at all.
pub(super) fn check_form(url: &Url) -> Result<(), Refused> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused::bad_url(format!("the scheme `{}` is not sent to; use `https`, or `http`", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::bad_url("the URL holds a user name or password before the host; remove it, and send credentials in a header"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Refused::bad_url("the URL has no host; write one after `https://`"));
    }
    if url.port() == Some(0) {
        return Err(Refused::bad_url("port 0 does not exist; remove it, or name the receiver's port"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::target::parse_target;
    use super::*;

    fn guard(settings: GuardSettings) -> Guard {
        Guard::new(settings)
    }

    fn ranges(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_public_is_refused_by_default() {
        let guard = guard(GuardSettings::default());
        for text in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "5f00::1",
        ] {
            assert_eq!(guard.check_address(address(text)).unwrap_err().kind, RefusedKind::Address, "{text}");
        }
        for text in ["8.8.8.8", "2606:4700::1111"] {
            assert_eq!(guard.check_address(address(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn spellings_of_an_address_are_the_address() {
        let refuses = guard(GuardSettings::default());
        let lifts = guard(GuardSettings { allow_private: true, ..Default::default() });
        for spelling in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0X7F.1",
            "017700000001",
            "0177.0.0.1",
            "0177.0.0.01",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "127%2e0%2e0%2e1",
            "１２７.０.０.１",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "127．0．0．1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "localhost.localdomain",
            "ｌｏｃａｌｈｏｓｔ",
        ] {
            let url = parse_target(&format!("http://{spelling}/x?y=1")).unwrap();
            assert_eq!(refuses.check_url(&url).unwrap_err().kind, RefusedKind::Address, "{spelling}");
            assert_eq!(lifts.check_url(&url), Ok(()), "{spelling}");
        }
        for spelling in [
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "0",
            "0.0.0.0",
            "[::]",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "169.254.169.254",
            "0xa9fea9fe",
            "[fd00:ec2::254]",
        ] {
            let url = parse_target(&format!("http://{spelling}/")).unwrap();
            for guard in [&refuses, &lifts] {
                assert_eq!(guard.check_url(&url).unwrap_err().kind, RefusedKind::Address, "{spelling}");
            }
        }
        for host in [
            "example.com",
            "notlocalhost",
            "localhost.example.com",
            "metadata.example.com",
            "xn--bcher-kva.example",
            "bücher.example",
            "intranet",
        ] {
            assert_eq!(refuses.check_url(&parse_target(&format!("https://{host}/")).unwrap()), Ok(()), "{host}");
        }
    }

    #[test]
    fn deny_wins_and_metadata_is_lifted_one_by_one_only() {
        let wide = guard(GuardSettings {
            allow_private: true,
            allow: ranges(&["0.0.0.0/0", "::/0"]),
            deny: ranges(&["10.9.0.0/16", "93.184.215.14/32"]),
            ..Default::default()
        });
        for (text, allowed) in [
            ("10.1.2.3", true),
            ("127.0.0.1", true),
            ("198.18.0.1", true),
            ("10.9.1.1", false),
            ("93.184.215.14", false),
            ("169.254.169.254", false),
            ("100.100.100.200", false),
            ("fd00:ec2::254", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::169.254.169.254", false),
            ("::ffff:10.9.1.1", false),
            ("64:ff9b::10.9.1.1", false),
            ("64:ff9b::8.8.8.8", true),
        ] {
            assert_eq!(wide.check_address(address(text)).is_ok(), allowed, "{text}");
        }
        let exact = guard(GuardSettings { allow: ranges(&["169.254.169.254/32", "fd00:ec2::254/128"]), ..Default::default() });
        assert_eq!(exact.check_address(address("169.254.169.254")), Ok(()));
        assert_eq!(exact.check_address(address("fd00:ec2::254")), Ok(()));
        assert!(exact.check_address(address("169.254.170.2")).is_err());
        assert_eq!(exact.check_url(&parse_target("http://metadata.google.internal/").unwrap()), Ok(()));
        let both = guard(GuardSettings { allow: ranges(&["169.254.169.254/32"]), deny: ranges(&["169.254.0.0/16"]), ..Default::default() });
        assert!(both.check_address(address("169.254.169.254")).is_err());
    }

    #[test]
    fn an_allowed_form_does_not_lift_what_it_carries() {
        let nat64 = guard(GuardSettings { allow: ranges(&["64:ff9b::/96"]), ..Default::default() });
        assert_eq!(nat64.check_address(address("64:ff9b::8.8.8.8")), Ok(()));
        let refused = nat64.check_address(address("64:ff9b::10.0.0.1")).unwrap_err();
        assert_eq!(refused.detail, "the address `64:ff9b::a00:1` is not sent to: it stands for `10.0.0.1`, a private network");
    }

    #[test]
    fn ports_can_be_limited() {
        let guard = guard(GuardSettings { ports: Some(vec![443, 8443]), ..Default::default() });
        for (url, allowed) in [
            ("https://a.example/", true),
            ("https://a.example:8443/", true),
            ("http://a.example/", false),
            ("https://a.example:22/", false),
        ] {
            assert_eq!(
                guard.check_url(&parse_target(url).unwrap()).map_err(|refused| refused.kind),
                if allowed { Ok(()) } else { Err(RefusedKind::Port) },
                "{url}"
            );
        }
    }

    #[test]
    fn d22_denied_hosts_are_refused_whatever_is_allowed() {
        let guard = guard(GuardSettings {
            allow_private: true,
            allow: ranges(&["0.0.0.0/0", "::/0"]),
            deny_hosts: ["victim.example", "*.bank.example", "localhost"].map(|text| text.parse().unwrap()).into(),
            ..Default::default()
        });
        for (host, allowed) in [
            ("victim.example", false),
            ("VICTIM.example.", false),
            ("www.victim.example", true),
            ("www.bank.example", false),
            ("bank.example", true),
            ("localhost", false),
            ("127.0.0.1", true),
        ] {
            let checked = guard.check_url(&parse_target(&format!("https://{host}/")).unwrap());
            assert_eq!(checked.map_err(|refused| refused.kind), if allowed { Ok(()) } else { Err(RefusedKind::Address) }, "{host}");
        }
    }

    #[test]
    fn d7_our_own_listener_is_refused_unless_it_is_allowed_by_name() {
        let settings = GuardSettings { allow_private: true, listeners: vec!["127.0.0.1:8080".parse().unwrap()], ..Default::default() };
        let allowing = GuardSettings { allow: ranges(&["127.0.0.0/8"]), ..settings.clone() };
        let (refuses, allows) = (guard(settings), guard(allowing));
        for (url, own) in [
            ("http://127.0.0.1:8080/", true),
            ("http://2130706433:8080/", true),
            ("http://127.0.0.1:8081/", false),
            ("http://127.0.0.1/", false),
            ("http://127.0.0.2:8080/", false),
        ] {
            let url = parse_target(url).unwrap();
            assert_eq!(refuses.check_url(&url).is_err(), own, "{url}");
            assert_eq!(refuses.own_port(&url), (url.port() == Some(8080)).then_some(8080), "{url}");
            assert_eq!(allows.check_url(&url), Ok(()), "{url}");
        }
        let web = guard(GuardSettings { listeners: vec!["127.0.0.1:80".parse().unwrap()], ..Default::default() });
        assert_eq!(web.own_port(&parse_target("http://a.example/").unwrap()), Some(80), "the default port counts");
    }

    #[test]
    fn wide_ranges_are_warned_about() {
        let settings = GuardSettings {
            allow: ranges(&["10.0.0.0/7", "10.1.2.3/8", "192.168.0.0/16"]),
            deny: ranges(&["192.168.0.0/15"]),
            ..Default::default()
        };
        assert_eq!(settings.warnings().len(), 3, "{:?}", settings.warnings());
    }
}
