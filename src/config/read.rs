//! Reading settings: each value with where it comes from, and every mistake in one go.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use toml::de::{DeTable, Deserializer};

use super::schema::{self, Kind};
use super::settings::Settings;
use crate::secret::Secret;

/// What variables of settings begin with.
const PREFIX: &str = "POSTRIDER_";
/// Variables that are no settings: those of the commands that call a server, and of builds and tests.
const OTHER_VARIABLES: [&str; 6] = ["api", "config", "key", "skip_dashboard", "url", "webhook_secret"];
/// How alike two names must be for one to be offered in place of the other.
const LIKENESS_MIN: f64 = 0.85;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The settings file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1; none for the file as a whole.
        line: Option<usize>,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(setting) => write!(f, "--{}", setting.replace('_', "-")),
        }
    }
}

/// Something wrong, where it stands, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The setting; none if it is not about one.
    pub setting: Option<String>,
    /// Where it stands.
    pub origin: Origin,
    /// What is wrong and what to do.
    pub detail: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.detail)
    }
}

/// Why settings were not taken: every mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// The mistakes; at least one.
    pub mistakes: Vec<Mistake>,
}

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are wrong")?;
        match &self.mistakes[..] {
            [one] => write!(f, ": {one}"),
            all => all.iter().try_for_each(|mistake| write!(f, "\n  {mistake}")),
        }
    }
}

/// What was read: the settings, where each comes from, and what is wrong.
#[derive(Clone)]
pub struct Reading {
    /// The settings; where something is wrong, with the default in its place.
    pub settings: Settings,
    /// Where the values come from that are not defaults.
    pub origins: BTreeMap<String, Origin>,
    /// What must be mended.
    pub mistakes: Vec<Mistake>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Mistake>,
    /// As they were written, secrets too.
    values: toml::Table,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, origins, mistakes, warnings, values: _ } = self;
        let mut fields = f.debug_struct("Reading");
        fields.field("settings", settings).field("origins", origins).field("mistakes", mistakes).field("warnings", warnings);
        fields.finish_non_exhaustive()
    }
}

impl Reading {
    /// Reads settings from `file`, if one is given, from `variables` (names and values of the
    /// environment), and from `flags` (setting names and values).
    #[must_use]
    pub fn read(file: Option<&Path>, variables: impl IntoIterator<Item = (String, String)>, flags: &[(&'static str, String)]) -> Self {
        let (settings, origins, values) = (Settings::default(), BTreeMap::new(), toml::Table::new());
        let mut reading = Self { settings, origins, mistakes: Vec::new(), warnings: Vec::new(), values };
        if let Some(path) = file {
            reading.read_file(path);
        }
        let mut master_key = None;
        let mut variables: Vec<_> = variables.into_iter().collect();
        variables.sort();
        reading.read_open_telemetry(&variables);
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
            if name == "master_key" {
                reading.origins.insert(name, Origin::Variable(variable));
                master_key = Some(Secret::new(value));
            } else if schema::kind(&name).is_some() {
                reading.read_text(&name, &value, Origin::Variable(variable));
            } else if !OTHER_VARIABLES.contains(&name.as_str()) {
                let detail = format!("there is no setting `{name}`, so this variable does nothing{}", suggestion(&name));
                reading.warnings.push(Mistake { setting: None, origin: Origin::Variable(variable), detail });
            }
        }
        for (name, value) in flags {
            reading.read_text(name, value, Origin::Flag(name));
        }
        reading.finish(master_key);
        reading
    }

    /// The settings, if nothing is wrong.
    ///
    /// # Errors
    /// [`SettingsError`] with every mistake.
    pub fn into_settings(self) -> Result<Settings, SettingsError> {
        if self.mistakes.is_empty() { Ok(self.settings) } else { Err(SettingsError { mistakes: self.mistakes }) }
    }

    /// Where the value of a setting comes from.
    #[must_use]
    pub fn origin(&self, setting: &str) -> Origin {
        self.origins.get(setting).cloned().unwrap_or(Origin::Default)
    }

    /// Adds what somebody else found wrong with the value of a setting.
    pub fn reject(&mut self, setting: &str, detail: impl fmt::Display) {
        let (origin, detail) = (self.origin(setting), format!("the setting `{setting}` is wrong: {detail}"));
        self.mistakes.push(Mistake { setting: Some(setting.to_owned()), origin, detail });
    }

    /// Takes the variables that programs with OpenTelemetry share; `POSTRIDER_*` win over them. Of two for the
    /// same, that for traces wins, which is sorted after the one for everything.
    ///
    /// Source: OpenTelemetry, "Environment Variable Specification" and "OTLP Exporter".
    fn read_open_telemetry(&mut self, variables: &[(String, String)]) {
        let is =
            |wanted: &str, value: &str| variables.iter().any(|(name, given)| name == wanted && given.trim().eq_ignore_ascii_case(value));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return;
        }
        for (name, value) in variables.iter().filter(|(_, value)| !value.trim().is_empty()) {
            let (setting, value) = match name.as_str() {
                "OTEL_EXPORTER_OTLP_ENDPOINT" => ("otlp_endpoint", format!("{}/v1/traces", value.trim().trim_end_matches('/'))),
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => ("otlp_endpoint", value.clone()),
                "OTEL_EXPORTER_OTLP_HEADERS" | "OTEL_EXPORTER_OTLP_TRACES_HEADERS" => ("otlp_headers", value.clone()),
                "OTEL_SERVICE_NAME" => ("otlp_service_name", value.clone()),
                "OTEL_RESOURCE_ATTRIBUTES" => ("otlp_resource_attributes", value.clone()),
                "OTEL_EXPORTER_OTLP_PROTOCOL" | "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" if value.trim() == "grpc" => {
                    let detail = "gRPC is not spoken here, JSON over HTTP is; name the collector's port for that, usually 4318".to_owned();
                    self.warnings.push(Mistake { setting: None, origin: Origin::Variable(name.clone()), detail });
                    continue;
                }
                _ => continue,
            };
            self.read_text(setting, &value, Origin::Variable(name.clone()));
        }
    }

    fn read_file(&mut self, path: &Path) {
        let place = |line| Origin::File { path: path.to_owned(), line };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let detail = format!("the settings file cannot be read ({error}); name another with `--config`, or leave that out");
                return self.mistakes.push(Mistake { setting: None, origin: place(None), detail });
            }
        };
        let line_of = |span: Option<Range<usize>>| span.map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let detail =
                format!("this is not TOML: {}; write one `name = value` a line", error.message().lines().next().unwrap_or_default());
            self.mistakes.push(Mistake { setting: None, origin: place(line_of(error.span())), detail });
        }
        if !errors.is_empty() {
            return;
        }
        for (key, value) in table.into_inner() {
            let (name, span) = (key.get_ref().clone().into_owned(), key.span());
            let origin = place(line_of(Some(span.clone())));
            if schema::kind(&name).is_none() {
                self.unknown(&name, origin);
                continue;
            }
            let mut single = DeTable::new();
            single.insert(key, value);
            let single = || Deserializer::from(toml::Spanned::new(span.clone(), single.clone()));
            match (Settings::deserialize(single()), toml::Table::deserialize(single())) {
                (Ok(_), Ok(values)) => self.take(values, &name, origin),
                (Err(error), _) | (_, Err(error)) => {
                    let origin = place(line_of(error.span().or(Some(span))));
                    self.wrong_type(&name, error.message(), origin);
                }
            }
        }
    }

    fn unknown(&mut self, name: &str, origin: Origin) {
        let detail = if name == "master_key" {
            "the master key is not taken from this file, which many may read; put it into a file of its own and name that with \
             `master_key_file`, or set the variable `POSTRIDER_MASTER_KEY`"
                .to_owned()
        } else {
            let remedy = suggestion(name);
            let remedy = if remedy.is_empty() { "; `postrider config show` lists all" } else { &remedy };
            format!("there is no setting `{}`{remedy}", name.escape_debug())
        };
        self.mistakes.push(Mistake { setting: None, origin, detail });
    }

    fn wrong_type(&mut self, name: &str, problem: &str, origin: Origin) {
        let problem = problem.lines().next().unwrap_or_default();
        let detail = format!("the setting `{name}` is wrong: {problem}; use {}", schema::allowed(name));
        self.mistakes.push(Mistake { setting: Some(name.to_owned()), origin, detail });
    }

    /// Takes the value of a variable or flag.
    fn read_text(&mut self, name: &str, text: &str, origin: Origin) {
        let Some(value) = from_text(name, text) else {
            return self.wrong_type(name, &format!("`{}` is something else", text.escape_debug()), origin);
        };
        let values = toml::Table::from_iter([(name.to_owned(), value)]);
        match values.clone().try_into::<Settings>() {
            Ok(_) => self.take(values, name, origin),
            Err(error) => self.wrong_type(name, error.message(), origin),
        }
    }

    fn take(&mut self, values: toml::Table, name: &str, origin: Origin) {
        self.values.extend(values);
        self.origins.insert(name.to_owned(), origin);
    }

    /// Puts the values together and looks at what they are.
    fn finish(&mut self, master_key: Option<Secret>) {
        let settings: Settings = self.values.clone().try_into().expect("each value was read by itself");
        let numbers = serde_json::to_value(&settings).unwrap_or_default();
        for (name, value) in numbers.as_object().into_iter().flatten() {
            if let Some(number) = value.as_u64().filter(|number| !schema::is_in_range(name, *number)) {
                let (setting, origin) = (Some(name.clone()), self.origin(name));
                let detail = format!("the setting `{name}` is {number}; use {}", schema::allowed(name));
                self.mistakes.push(Mistake { setting, origin, detail });
            }
        }
        for (name, detail) in settings.faults() {
            self.reject(name, detail);
        }
        self.settings = Settings { master_key, ..settings };
    }
}

/// `; did you mean …?`, if a setting has nearly this name.
fn suggestion(name: &str) -> String {
    let likeness = |known: &&str| strsim::jaro_winkler(name, known);
    let best = schema::names().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.filter(|known| likeness(known) >= LIKENESS_MIN).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default()
}

/// The value that a text stands for in a setting of this name; none if it stands for none.
fn from_text(name: &str, text: &str) -> Option<toml::Value> {
    let items = |text: &str| -> Vec<String> { text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Into::into).collect() };
    match schema::kind(name)? {
        Kind::Text => Some(text.into()),
        Kind::Number => text.trim().parse::<i64>().ok().map(Into::into),
        Kind::Truth => match text.trim() {
            "true" | "1" | "yes" | "on" => Some(true.into()),
            "false" | "0" | "no" | "off" => Some(false.into()),
            _ => None,
        },
        Kind::List => {
            // Ports are numbers, all other lists are of texts.
            let item = |item: String| match item.parse::<i64>() {
                Ok(number) if name == "ports" => number.into(),
                _ => item.into(),
            };
            Some(toml::Value::Array(items(text).into_iter().map(item).collect()))
        }
        // Kinds with their families: `partner=action_life_cycle,action_clearing; brand=…`.
        Kind::Table => {
            let mut kinds = toml::Table::new();
            for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
                let (kind, families) = part.split_once('=')?;
                kinds.insert(kind.trim().to_owned(), items(families).into());
            }
            Some(kinds.into())
        }
    }
}

impl Settings {
    /// Every setting with its value as it may be shown: of a secret, that it is there.
    #[must_use]
    pub fn shown(&self) -> Vec<(String, Value)> {
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else { return Vec::new() };
        let secret = |secret: &Option<Secret>| secret.as_ref().map_or(Value::Null, |_| "(secret)".into());
        let mut shown: Vec<_> = fields.into_iter().collect();
        for (name, value) in &mut shown {
            if name == "otlp_headers" {
                *value = secret(&self.otlp_headers);
            }
            if name == "egress_proxy" {
                *value = self.egress_proxy.as_ref().map_or(Value::Null, |proxy| without_credentials(proxy.expose()).into());
            }
        }
        shown.push(("master_key".into(), secret(&self.master_key)));
        shown
    }
}

/// A URL whose user and password are not shown.
fn without_credentials(text: &str) -> String {
    match url::Url::parse(text.trim()) {
        Ok(url) if url.username().is_empty() && url.password().is_none() && url.query().is_none() => url.into(),
        Ok(url) => match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{}://(secret)@{host}:{port}", url.scheme()),
            (Some(host), None) => format!("{}://(secret)@{host}", url.scheme()),
            (None, _) => "(secret)".into(),
        },
        Err(_) => "(secret)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> (tempfile::TempDir, Reading) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postrider.toml");
        std::fs::write(&file, text).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let reading = Reading::read(Some(&file), variables, &flags);
        (folder, reading)
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_what_to_do() {
        let text = "retenton_days = 7\nlisten = \"here\"\n\nin_flight_max = 0\nports = [80, 0]\nmaster_key = \"geheim\"\nlog_format = \"xml\"\n\
                    [account_kinds]\nbrand = []\npublisher = []\n";
        let variables = [("POSTRIDER_DRAIN_S", "soon"), ("POSTRIDER_ALLOW_PRIVATE", "maybe"), ("POSTRIDER_ACCOUNT_KINDS", "partner")];
        let (folder, reading) = reading(text, &variables, &[("probe_interval_s", "0")]);
        let prefix = format!("{}/", folder.path().display());
        let mut told: Vec<_> = reading.mistakes.iter().map(|mistake| mistake.to_string().replace(&prefix, "")).collect();
        told.sort();
        let expected = [
            "--probe-interval-s: the setting `probe_interval_s` is 0; use a whole number, 1 to 86400 seconds",
            "POSTRIDER_ACCOUNT_KINDS: the setting `account_kinds` is wrong: `partner` is something else; use a table",
            "POSTRIDER_ALLOW_PRIVATE: the setting `allow_private` is wrong: `maybe` is something else; use `true` or `false`",
            "POSTRIDER_DRAIN_S: the setting `drain_s` is wrong: `soon` is something else; use a whole number, 0 to 3600 seconds",
            "postrider.toml:10: the setting `account_kinds` is wrong: unknown field `publisher`, expected one of `partner`, `brand`, \
             `cashback`, `loyalty`; use a table",
            "postrider.toml:1: there is no setting `retenton_days`; did you mean `retention_days`?",
            "postrider.toml:2: the setting `listen` is wrong: invalid socket address syntax; use a text such as `\"127.0.0.1:8080\"`",
            "postrider.toml:4: the setting `in_flight_max` is 0; use a whole number, 1 to 100000",
            "postrider.toml:5: the setting `ports` is wrong: there is no port 0; use 1 to 65535",
            "postrider.toml:6: the master key is not taken from this file, which many may read; put it into a file of its own and name \
             that with `master_key_file`, or set the variable `POSTRIDER_MASTER_KEY`",
            "postrider.toml:7: the setting `log_format` is wrong: unknown variant `xml`, expected `text` or `json`; use `text` or `json`",
        ];
        assert_eq!(told, expected);
        assert!(reading.into_settings().unwrap_err().to_string().starts_with("the settings are wrong\n  "));
    }

    #[test]
    fn text_that_is_no_toml_is_told_with_its_line() {
        let (_folder, reading) = reading("drain_s = 1\nlisten =\nlog = info\n", &[], &[]);
        let lines: Vec<_> = reading.mistakes.iter().map(|mistake| mistake.origin.clone()).collect();
        let line = |origin: &Origin| matches!(origin, Origin::File { line: Some(line), .. } if [2, 3].contains(line));
        assert!(!lines.is_empty() && lines.iter().all(line), "{:?}", reading.mistakes);
        let missing = Reading::read(Some(Path::new("/nowhere/postrider.toml")), [], &[]);
        assert!(missing.mistakes[0].to_string().starts_with("/nowhere/postrider.toml: the settings file cannot be read"), "{missing:?}");
    }

    #[test]
    fn each_value_has_its_origin_and_secrets_are_not_shown() {
        let variables = [
            ("POSTRIDER_EGRESS_PROXY", "http://user:geheim@proxy.example:3128"),
            ("POSTRIDER_MASTER_KEY", "geheim"),
            ("POSTRIDER_URL", "http://server.example"),
            ("POSTRIDER_RETENTON_DAYS", "7"),
            ("HOME", "/"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=geheim"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_SERVICE_NAME", "theirs"),
            ("POSTRIDER_OTLP_SERVICE_NAME", "ours"),
        ];
        let (_folder, reading) = reading("\ndrain_s = 3\nlog = \"warn\"", &variables, &[("log", "debug")]);
        assert_eq!(reading.mistakes, []);
        assert!(matches!(reading.origin("drain_s"), Origin::File { line: Some(2), .. }));
        assert_eq!((reading.origin("log"), reading.origin("listen")), (Origin::Flag("log"), Origin::Default));
        assert_eq!(reading.origin("egress_proxy").to_string(), "POSTRIDER_EGRESS_PROXY");
        assert_eq!(reading.settings.otlp_endpoint.as_deref(), Some("http://collector.example:4318/v1/traces"));
        assert_eq!(
            (reading.settings.otlp_service_name.as_str(), reading.origin("otlp_service_name").to_string().as_str()),
            ("ours", "POSTRIDER_OTLP_SERVICE_NAME")
        );
        let mut warnings: Vec<_> = reading.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.remove(0).starts_with("OTEL_EXPORTER_OTLP_PROTOCOL: gRPC is not spoken here"));
        let expected =
            "POSTRIDER_RETENTON_DAYS: there is no setting `retenton_days`, so this variable does nothing; did you mean `retention_days`?";
        assert_eq!(warnings, [expected]);
        let shown = format!("{:?}", reading.settings.shown());
        assert!(!shown.contains("geheim") && shown.contains("http://(secret)@proxy.example:3128"), "{shown}");
        assert!(reading.settings.shown().contains(&("master_key".to_owned(), "(secret)".into())));
    }

    #[test]
    fn the_variables_of_open_telemetry_can_be_turned_off_and_that_for_traces_wins() {
        let all = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.example:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b.example/traces"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b"),
        ];
        for (more, endpoint) in [
            (("HOME", "/"), Some("http://b.example/traces")),
            (("POSTRIDER_OTLP_ENDPOINT", "http://c.example/"), Some("http://c.example/")),
            (("OTEL_SDK_DISABLED", "true"), None),
            (("OTEL_TRACES_EXPORTER", "none"), None),
        ] {
            let (_folder, reading) = reading("", &[&all[..], &[more]].concat(), &[]);
            assert_eq!(reading.into_settings().unwrap().otlp_endpoint.as_deref(), endpoint, "{more:?}");
        }
    }
}
