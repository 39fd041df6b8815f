//! What the calls about clicks and reports share.

use std::net::IpAddr;

use axum::http::HeaderName;

use super::rates::Rates;
use crate::id::InboundKeyId;

/// What an operator says about clicks and reports.
#[derive(Debug, Clone)]
pub struct InboundSettings {
    /// Reports that may come in under one key in a second, if the key says nothing else.
    pub reports_per_second: u32,
    /// Clicks that may come from one address in a second.
    pub clicks_per_second: u32,
    /// The header in which a trusted proxy tells a visitor's country.
    pub country_header: Option<HeaderName>,
    /// Where this server is reached from outside.
    pub public_url: Option<String>,
}

/// Settings and rates of clicks and reports.
#[derive(Debug)]
pub struct Inbound {
    pub(super) reports_per_second: u32,
    pub(super) clicks_per_second: u32,
    pub(super) country_header: Option<HeaderName>,
    /// Without a slash at its end.
    pub(super) public_url: Option<String>,
    /// Reports by key.
    pub(super) reports: Rates<InboundKeyId>,
    /// Clicks by address.
    pub(super) clicks: Rates<IpAddr>,
    /// Reports under unknown keys that are kept in the incoming log.
    pub(super) strangers: Rates<()>,
}

impl Inbound {
    /// Nothing has come in yet.
    #[must_use]
    pub fn new(settings: InboundSettings) -> Self {
        Self {
            reports_per_second: settings.reports_per_second,
            clicks_per_second: settings.clicks_per_second,
            country_header: settings.country_header,
            public_url: settings.public_url.map(|url| url.trim_end_matches('/').to_owned()),
            reports: Rates::default(),
            clicks: Rates::default(),
            strangers: Rates::default(),
        }
    }
}
