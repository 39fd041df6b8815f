//! What the settings say to each part, in the part's own words.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::StartError;
use crate::config::{AccountKindFamilies, Settings};
use crate::dispatcher::{DispatcherSettings, FailingRule};
use crate::queue::{AccountKind, AccountKinds, AccountLimits, RetentionSettings};
use crate::request::guard::GuardSettings;
use crate::request::send::{EgressProxy, check_local_address};
use crate::secret::Secret;
use crate::spans::{Exporter, OtlpError, OtlpSettings, Spans};

/// Pause between two rounds of retention.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

pub(super) fn account_kinds(families: &AccountKindFamilies) -> AccountKinds {
    let AccountKindFamilies { partner, brand, cashback, loyalty } = families;
    let all =
        [(AccountKind::Partner, partner), (AccountKind::Brand, brand), (AccountKind::Cashback, cashback), (AccountKind::Loyalty, loyalty)];
    AccountKinds::new(all.into_iter().filter_map(|(kind, families)| Some((kind, families.clone()?))))
}

/// What the guard lifts and adds; what is probably not meant is told in the log.
pub(super) fn guard_settings(settings: &Settings, listener: SocketAddr) -> Result<GuardSettings, StartError> {
    let guard = GuardSettings {
        allow_private: settings.allow_private,
        allow: settings.allow.clone(),
        deny: settings.deny.clone(),
        ports: (!settings.ports.is_empty()).then(|| settings.ports.clone()),
        deny_hosts: settings.deny_hosts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
        listeners: vec![listener],
    };
    for warning in guard.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(guard)
}

/// Where spans are sent, if they are.
#[must_use]
pub fn otlp_settings(settings: &Settings) -> Option<Result<OtlpSettings, OtlpError>> {
    let headers = settings.otlp_headers.as_ref().map(Secret::expose);
    let attributes = settings.otlp_resource_attributes.as_deref();
    Some(OtlpSettings::new(settings.otlp_endpoint.as_deref()?, headers, &settings.otlp_service_name, attributes))
}

/// The exporter of spans and where they are told, if they are sent.
pub(super) fn exporter(settings: &Settings) -> Result<(Option<Exporter>, Option<Spans>), StartError> {
    let Some(otlp) = otlp_settings(settings) else { return Ok((None, None)) };
    let (exporter, spans) = Exporter::new(otlp?)?;
    Ok((Some(exporter), Some(spans)))
}

pub(super) fn egress_proxy(settings: &Settings) -> Result<Option<EgressProxy>, StartError> {
    let Some(text) = &settings.egress_proxy else { return Ok(None) };
    let proxy = EgressProxy::parse(text.expose())?;
    tracing::warn!(%proxy, "requests go through the egress proxy, which resolves the names; it must refuse private addresses itself");
    Ok(Some(proxy))
}

pub(super) fn egress_address(settings: &Settings) -> Result<Option<IpAddr>, StartError> {
    if let Some(address) = settings.egress_address {
        check_local_address(address).map_err(|source| StartError::EgressAddress { address, source })?;
    }
    Ok(settings.egress_address)
}

pub(super) fn dispatcher_settings(settings: &Settings) -> DispatcherSettings {
    DispatcherSettings {
        in_flight_max: settings.in_flight_max,
        in_flight_per_subscription_max: settings.in_flight_per_subscription_max,
        drain_max: Duration::from_secs(settings.drain_s),
        failing: FailingRule { after: settings.failing_after, probe_interval: Duration::from_secs(settings.probe_interval_s) },
    }
}

pub(super) fn retention_settings(settings: &Settings) -> RetentionSettings {
    RetentionSettings {
        events: settings.retention(),
        audit: settings.audit_retention(),
        actions: settings.actions_retention(),
        per_account: AccountLimits { events_max: settings.events_per_account_max, bytes_max: settings.event_bytes_per_account_max },
        clicks: Duration::from_secs(u64::from(settings.clicks_days) * 86_400),
        inbound_calls: Duration::from_secs(u64::from(settings.inbound_calls_days) * 86_400),
        interval: SWEEP_INTERVAL,
    }
}
