//! The settings, one field each.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::read::{Reading, SettingsError};
use crate::cluster::{Role, Roles};
use crate::secret::{MaskedAddress, Secret};

/// Settings of the server. Field docs are the documentation of the settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder for the embedded store and the operator's key.
    pub data: PathBuf,
    /// Address and port on which the API is served.
    #[schemars(example = &"127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The file with the keys that seal secrets at rest; `master.key` in the data folder if it is not set.
    pub master_key_file: Option<PathBuf>,
    /// The keys themselves, from the variable `POSTRIDER_MASTER_KEY` and from nowhere else; they win over the file.
    #[serde(skip)]
    pub master_key: Option<Secret>,
    /// Removes the sealed secrets at this start, since their key is lost. A flag only.
    #[serde(skip)]
    pub discard_secrets: bool,
    /// Where things are stored: `sled` or `redb` in the data folder, `sled:DIR`, `redb:DIR`, `postgres://USER@HOST/DATABASE` or `memory:`.
    #[schemars(with = "String", example = &"redb")]
    pub store: MaskedAddress,
    /// What this node does: `api` serves the API, `dispatch` sends. Nodes of other roles share its store, which is
    /// then a database.
    #[schemars(example = ["api", "dispatch"])]
    pub roles: Vec<Role>,
    /// Seconds for which a node that sends owns a subscription's lane after it last renewed that; after so many others take the
    /// lanes of one that is gone. The same on all nodes; without meaning for an embedded store.
    #[schemars(range(min = 3, max = 300))]
    pub lease_s: u64,
    /// Send to loopback, private and link-local addresses too. For development, or for receivers in one's own network.
    pub allow_private: bool,
    /// Networks that are sent to although they are not public, such as `10.1.0.0/16`.
    #[schemars(with = "Vec<String>", example = ["10.1.0.0/16"])]
    pub allow: Vec<ipnet::IpNet>,
    /// Networks that are never sent to.
    #[schemars(with = "Vec<String>", example = ["10.1.0.0/16"])]
    pub deny: Vec<ipnet::IpNet>,
    /// Hosts that are never sent to: names, and `*.` with a name for all below it.
    #[schemars(example = ["*.tracker.example"])]
    pub deny_hosts: Vec<String>,
    /// The only ports that are sent to; empty for all.
    #[schemars(inner(range(min = 1)), example = [80, 443])]
    pub ports: Vec<u16>,
    /// HTTP proxy that everything is sent through: `http://[user:password@]host:port`. It resolves the names, so it
    /// must refuse private addresses itself.
    #[serde(serialize_with = "hidden")]
    #[schemars(with = "Option<String>", example = &"http://proxy.example:3128")]
    pub egress_proxy: Option<Secret>,
    /// Address of this machine that everything is sent from.
    #[schemars(example = &"203.0.113.7")]
    pub egress_address: Option<IpAddr>,
    /// Addresses and networks that receivers see requests come from. Only shown, for the lists of their firewalls.
    #[schemars(example = ["203.0.113.7"])]
    pub egress_addresses: Vec<String>,
    /// Largest request body, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub body_bytes_max: usize,
    /// Most connections to the API at one time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_max: usize,
    /// Most of these from one address; behind a proxy all of them come from one.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_address_max: usize,
    /// Seconds for a client to send the head of a request.
    #[schemars(range(min = 1, max = 3600))]
    pub request_head_s: u64,
    /// Seconds for a client to send a whole body.
    #[schemars(range(min = 1, max = 3600))]
    pub request_body_s: u64,
    /// Seconds after which a connection over which nothing goes is closed; it may take twice as long.
    #[schemars(range(min = 1, max = 3600))]
    pub connection_idle_s: u64,
    /// Most subscriptions of one account.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub subscriptions_per_account_max: usize,
    /// Test requests that one account may have sent in a minute; more are answered with 429.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub test_sends_per_minute: u32,
    /// Most requests in flight.
    #[schemars(range(min = 1, max = 100_000))]
    pub in_flight_max: usize,
    /// Most requests in flight for one subscription.
    #[schemars(range(min = 1, max = 10_000))]
    pub in_flight_per_subscription_max: usize,
    /// Most deliveries that wait for one subscription; beyond that events are answered with 429.
    #[schemars(range(min = 1))]
    pub waiting_per_subscription_max: u64,
    /// Failures in a row, within three days, after which a receiver is only probed; 0: never.
    #[schemars(range(min = 0, max = 1000))]
    pub failing_after: u32,
    /// Seconds between two requests to a receiver that is failing.
    #[schemars(range(min = 1, max = 86_400))]
    pub probe_interval_s: u64,
    /// Days for which events, deliveries and attempts are kept.
    #[schemars(range(min = 1, max = 3650))]
    pub retention_days: u32,
    /// Most events of one account that are kept; the oldest decided ones are removed first.
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_u64))]
    pub events_per_account_max: Option<u64>,
    /// Most bytes of the data of one account's events that are kept; the oldest decided ones are removed first.
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_u64))]
    pub event_bytes_per_account_max: Option<u64>,
    /// Days for which idempotency keys are remembered.
    #[schemars(range(min = 1, max = 3650))]
    pub idempotency_days: u32,
    /// Days for which clicks are kept; reports of older ones are of unknown clicks.
    #[schemars(range(min = 1, max = 3650))]
    pub clicks_days: u32,
    /// Days for which reports of advertisers are kept as they came in.
    #[schemars(range(min = 1, max = 3650))]
    pub inbound_calls_days: u32,
    /// Reports that may come in under one inbound key in a second, if the key says nothing else; more are answered with 429.
    #[schemars(range(min = 1, max = 100_000))]
    pub inbound_per_second: u32,
    /// Clicks that may come from one address in a second; more are answered with 429.
    #[schemars(range(min = 1, max = 100_000))]
    pub clicks_per_address_per_second: u32,
    /// The header in which a trusted proxy tells a visitor's country.
    #[schemars(example = &"CF-IPCountry")]
    pub country_header: Option<String>,
    /// Where this server is reached from outside, such as `https://track.example`: for links and integration codes.
    #[schemars(example = &"https://track.example")]
    pub public_url: Option<String>,
    /// Days for which entries of the audit log are kept.
    #[schemars(range(min = 1, max = 3650))]
    pub audit_days: u32,
    /// Days for which actions are kept in the ledger, since their last change.
    #[schemars(range(min = 1, max = 3650))]
    pub actions_days: u32,
    /// Requests without a valid key that one address may make in a minute before it is answered with 429.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub authentication_failures_per_minute: u32,
    /// Networks of proxies whose header `X-Forwarded-For` tells the caller's address.
    #[schemars(with = "Vec<String>", example = ["10.1.0.0/16"])]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Families of event types that accounts of a kind may have, by the kind; a kind that is left out may have all.
    pub account_kinds: AccountKindFamilies,
    /// Seconds that a shutdown waits for what is in flight.
    #[schemars(range(min = 0, max = 3600))]
    pub drain_s: u64,
    /// Bytes that must stay free on the disk; below that events are answered with 503.
    pub disk_free_bytes_min: u64,
    /// Who may read `/metrics`: `loopback` (others need a key of an operator, or one that may read), or `public`.
    pub metrics: MetricsAccess,
    /// The collector's URL for traces, to which spans are sent by OTLP over HTTP; none are sent without it.
    #[schemars(example = &"http://127.0.0.1:4318/v1/traces")]
    pub otlp_endpoint: Option<String>,
    /// Headers for the collector, as `name=value` with commas between, values percent-encoded.
    #[serde(serialize_with = "hidden")]
    #[schemars(with = "Option<String>", example = &"api-key=secret")]
    pub otlp_headers: Option<Secret>,
    /// What this server is called in traces.
    pub otlp_service_name: String,
    /// What else is said of this server in traces, as `name=value` with commas between.
    #[schemars(example = &"deployment.environment.name=production")]
    pub otlp_resource_attributes: Option<String>,
    /// Form of the log: `text` or `json`.
    pub log_format: LogFormat,
    /// What is logged, as `level` or `module=level,…`.
    #[schemars(example = &"info")]
    pub log: String,
}

/// Who may read the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// This machine, and who has a key.
    #[default]
    Loopback,
    /// Everybody.
    Public,
}

/// Families of event types by the kind of account, by their codes such as `action_life_cycle`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountKindFamilies {
    /// Partners.
    pub partner: Option<Vec<String>>,
    /// Brands.
    pub brand: Option<Vec<String>>,
    /// Partners that pay cashback.
    pub cashback: Option<Vec<String>>,
    /// Partners that run a loyalty program.
    pub loyalty: Option<Vec<String>>,
}

impl AccountKindFamilies {
    fn families(&self) -> impl Iterator<Item = &str> {
        [&self.partner, &self.brand, &self.cashback, &self.loyalty].into_iter().flatten().flatten().map(String::as_str)
    }
}

/// Whether it is `http` or `https` with a host, perhaps a port and a path, and nothing behind that.
fn is_public_url(text: &str) -> bool {
    let url = url::Url::parse(text);
    url.is_ok_and(|url| {
        ["http", "https"].contains(&url.scheme())
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

fn is_family(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "postrider-data".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            master_key_file: None,
            master_key: None,
            discard_secrets: false,
            store: "sled".into(),
            roles: Roles::ALL.list(),
            lease_s: 15,
            allow_private: false,
            allow: Vec::new(),
            deny: Vec::new(),
            deny_hosts: Vec::new(),
            ports: Vec::new(),
            egress_proxy: None,
            egress_address: None,
            egress_addresses: Vec::new(),
            body_bytes_max: 2 * 1024 * 1024,
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            request_head_s: 15,
            request_body_s: 60,
            connection_idle_s: 60,
            subscriptions_per_account_max: 1_000,
            test_sends_per_minute: 60,
            in_flight_max: 512,
            in_flight_per_subscription_max: 32,
            waiting_per_subscription_max: 10_000_000,
            failing_after: 10,
            probe_interval_s: 60,
            retention_days: 30,
            events_per_account_max: None,
            event_bytes_per_account_max: None,
            idempotency_days: 30,
            clicks_days: 90,
            inbound_calls_days: 30,
            inbound_per_second: 100,
            clicks_per_address_per_second: 20,
            country_header: None,
            public_url: None,
            audit_days: 365,
            actions_days: 400,
            authentication_failures_per_minute: 20,
            trusted_proxies: Vec::new(),
            account_kinds: AccountKindFamilies::default(),
            drain_s: 25,
            disk_free_bytes_min: 64 * 1024 * 1024,
            metrics: MetricsAccess::default(),
            otlp_endpoint: None,
            otlp_headers: None,
            otlp_service_name: "postrider".into(),
            otlp_resource_attributes: None,
            log_format: LogFormat::default(),
            log: "info".into(),
        }
    }
}

impl Settings {
    /// Reads settings from `file`, if one is given, from `variables` (names and values of the
    /// environment), and from `flags` (setting names and values).
    ///
    /// # Errors
    /// [`SettingsError`] with every mistake and where it stands.
    pub fn read(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &[(&'static str, String)],
    ) -> Result<Self, SettingsError> {
        Reading::read(file, variables, flags).into_settings()
    }

    /// What is wrong with single values beyond their type and range: the setting and what to do about it.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.ports.contains(&0) {
            faults.push(("ports", "there is no port 0; use 1 to 65535".to_owned()));
        }
        if self.roles.is_empty() {
            faults.push(("roles", "it is empty; use `api`, `dispatch` or both".to_owned()));
        }
        let is_address_or_network = |text: &String| text.parse::<IpAddr>().is_ok() || text.parse::<ipnet::IpNet>().is_ok();
        if let Some(wrong) = self.egress_addresses.iter().find(|text| !is_address_or_network(text)) {
            faults.push((
                "egress_addresses",
                format!("`{wrong}` is none; use addresses like `203.0.113.7` and networks like `203.0.113.0/28`"),
            ));
        }
        let is_header = |name: &str| (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if let Some(wrong) = self.country_header.as_deref().filter(|name| !is_header(name)) {
            faults.push(("country_header", format!("`{wrong}` is no header; use a name like `CF-IPCountry`")));
        }
        if let Some(wrong) = self.public_url.as_deref().filter(|text| !is_public_url(text)) {
            faults.push(("public_url", format!("`{wrong}` is no address of a server; use one like `https://track.example`")));
        }
        if let Some(wrong) = self.account_kinds.families().find(|family| !is_family(family)) {
            faults.push(("account_kinds", format!("`{wrong}` is no family; use codes of families such as `action_life_cycle`")));
        }
        faults
    }

    /// The names of the settings that are different in `other`.
    #[must_use]
    pub fn changes_to(&self, other: &Self) -> Vec<String> {
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        // Secrets and passwords are not written out, so that they are compared by themselves.
        let mut names: Vec<String> = ["egress_proxy", "master_key", "otlp_headers", "store"]
            .into_iter()
            .zip([
                self.egress_proxy != other.egress_proxy,
                self.master_key != other.master_key,
                self.otlp_headers != other.otlp_headers,
                self.store != other.store,
            ])
            .filter(|(_, differ)| *differ)
            .map(|(name, _)| name.to_owned())
            .collect();
        let after = fields(other);
        for (name, value) in fields(self) {
            if after.get(&name) != Some(&value) && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The store's location in full.
    #[must_use]
    pub fn store_location(&self) -> MaskedAddress {
        match self.store.expose() {
            engine @ ("sled" | "redb") => format!("{engine}:{}", self.data.join("store").display()).into(),
            _ => self.store.clone(),
        }
    }

    /// The file with the master keys.
    #[must_use]
    pub fn master_key_file(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.data.join("master.key"))
    }

    /// How long idempotency keys are remembered.
    #[must_use]
    pub const fn key_lifetime(&self) -> Duration {
        Duration::from_secs(self.idempotency_days as u64 * 86_400)
    }

    /// How long entries of the audit log are kept.
    #[must_use]
    pub const fn audit_retention(&self) -> Duration {
        Duration::from_secs(self.audit_days as u64 * 86_400)
    }

    /// How long actions are kept in the ledger after their last change.
    #[must_use]
    pub const fn actions_retention(&self) -> Duration {
        Duration::from_secs(self.actions_days as u64 * 86_400)
    }

    /// How long events are kept.
    #[must_use]
    pub const fn retention(&self) -> Duration {
        Duration::from_secs(self.retention_days as u64 * 86_400)
    }
}

/// Settings are written only to learn their names.
fn hidden<S: Serializer>(_: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_variables_and_variables_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postrider.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\nretention_days = 7\nallow_private = true\nin_flight_max = 3").unwrap();
        let variables = [
            ("POSTRIDER_LISTEN", "127.0.0.1:2"),
            ("POSTRIDER_RETENTION_DAYS", "8"),
            ("POSTRIDER_URL", "x"),
            ("HOME", "y"),
            ("POSTRIDER_DENY", "1.2.3.0/24, 4.5.6.7/32"),
            ("POSTRIDER_ACCOUNT_KINDS", "partner=action_life_cycle, action_clearing; brand=click"),
            ("POSTRIDER_DENY_HOSTS", "a.example,*.b.example"),
            ("POSTRIDER_PORTS", "80, 443"),
            ("POSTRIDER_EGRESS_PROXY", "http://u:geheim@proxy.example:3128"),
            ("POSTRIDER_EGRESS_ADDRESS", "192.0.2.7"),
            ("POSTRIDER_EGRESS_ADDRESSES", "192.0.2.7,2001:db8::/64"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::read(Some(&file), variables, &[("listen", "127.0.0.1:3".into())]).unwrap();
        assert_eq!(settings.listen.port(), 3);
        assert_eq!((settings.retention_days, settings.allow_private, settings.in_flight_max), (8, true, 3));
        assert_eq!(settings.deny.len(), 2);
        assert_eq!(settings.account_kinds.partner.as_deref(), Some(&["action_life_cycle".to_owned(), "action_clearing".to_owned()][..]));
        assert!(settings.account_kinds.brand.is_some() && settings.account_kinds.loyalty.is_none());
        assert_eq!((settings.deny_hosts.len(), settings.ports.clone(), settings.egress_addresses.len()), (2, vec![80, 443], 2));
        assert_eq!(settings.egress_address, Some([192, 0, 2, 7].into()));
        assert_eq!(settings.egress_proxy.as_ref().map(Secret::expose), Some("http://u:geheim@proxy.example:3128"));
        assert!(!format!("{settings:?}").contains("geheim"), "{settings:?}");
    }

    #[test]
    fn the_master_key_comes_from_its_variable_and_is_not_shown() {
        let variables = [("POSTRIDER_MASTER_KEY", "geheim"), ("POSTRIDER_MASTER_KEY_FILE", "/keys/master")];
        let settings = Settings::read(None, variables.map(|(name, value)| (name.to_owned(), value.to_owned())), &[]).unwrap();
        assert_eq!(settings.master_key.as_ref().unwrap().expose(), "geheim");
        assert_eq!(settings.master_key_file(), Path::new("/keys/master"));
        assert_eq!(Settings::default().master_key_file(), Path::new("postrider-data/master.key"));
        assert!(!format!("{settings:?}{}", serde_json::to_string(&settings).unwrap()).contains("geheim"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postrider.toml");
        std::fs::write(&file, "master_key = \"x\"").unwrap();
        assert!(Settings::read(Some(&file), [], &[]).is_err(), "a file of settings is read by many and holds no key");
    }

    #[test]
    fn l3_unknown_names_and_wrong_values_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postrider.toml");
        for text in [
            "ports = [0]",
            "ports = [70000]",
            "egress_address = \"here\"",
            "retention = 7",
            "retention_days = \"soon\"",
            "retention_days = 0",
            "listen = \"here\"",
            "audit_days = 0",
            "actions_days = 0",
            "trusted_proxies = [\"proxy\"]",
            "egress_addresses = [\"here\"]",
            "account_kinds = { publisher = [] }",
            "account_kinds = { partner = [\"Action Life Cycle\"] }",
        ] {
            std::fs::write(&file, text).unwrap();
            assert!(Settings::read(Some(&file), [], &[]).is_err(), "{text}");
        }
        assert!(Settings::read(Some(&folder.path().join("none.toml")), [], &[]).is_err());
    }
}
