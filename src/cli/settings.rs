//! The settings of the server as a command gets them: from its flags, the environment and the file.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{Reading, Settings};
use crate::request::guard::HostPattern;
use crate::request::send::EgressProxy;
use crate::server::otlp_settings;
use crate::spans::OtlpError;
use crate::store::Location;
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct SettingsArguments {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", env = "POSTRIDER_CONFIG")]
    config: Option<PathBuf>,
    /// Folder for the embedded store and the operator's key [default: postrider-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port of the API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// `sled` or `redb` in the data folder, `sled:DIR`, `redb:DIR`, `postgres://USER@HOST/DATABASE` or `memory:` [default: sled]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// What this node does: `api`, `dispatch` or `api,dispatch` [default: api,dispatch]
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
    /// Send to loopback, private and link-local addresses too
    #[arg(long)]
    allow_private: bool,
    /// Form of the log: `text` or `json` [default: text]
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
}

impl SettingsArguments {
    fn flags(&self) -> Vec<(&'static str, String)> {
        let mut flags = Vec::new();
        flags.extend(self.data.as_ref().map(|value| ("data", value.display().to_string())));
        flags.extend(self.listen.as_ref().map(|value| ("listen", value.clone())));
        flags.extend(self.store.as_ref().map(|value| ("store", value.clone())));
        flags.extend(self.roles.as_ref().map(|value| ("roles", value.clone())));
        flags.extend(self.allow_private.then(|| ("allow_private", "true".to_owned())));
        flags.extend(self.log_format.as_ref().map(|value| ("log_format", value.clone())));
        flags
    }

    /// The settings as they are at this moment, with all that is wrong with them.
    pub(super) fn read(&self) -> Reading {
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut reading = Reading::read(self.config.as_deref(), variables, &self.flags());
        check_meaning(&mut reading);
        reading
    }

    /// The settings, if nothing is wrong.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        self.read().into_settings().map_err(Failure::usage)
    }
}

/// Texts that only their users can read.
fn check_meaning(reading: &mut Reading) {
    let settings = reading.settings.clone();
    if let Err(error) = telemetry::check_filter(&settings.log) {
        reading.reject("log", error);
    }
    if let Err(error) = settings.store_location().expose().parse::<Location>() {
        reading.reject("store", error);
    }
    for error in settings.deny_hosts.iter().filter_map(|text| text.parse::<HostPattern>().err()) {
        reading.reject("deny_hosts", error);
    }
    if let Some(Err(error)) = otlp_settings(&settings) {
        let setting = match error {
            OtlpError::Endpoint => "otlp_endpoint",
            OtlpError::Headers => "otlp_headers",
            OtlpError::Attributes => "otlp_resource_attributes",
        };
        reading.reject(setting, error);
    }
    if let Some(Err(error)) = settings.egress_proxy.as_ref().map(|text| EgressProxy::parse(text.expose())) {
        reading.reject("egress_proxy", error);
    }
}
