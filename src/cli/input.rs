//! Files that commands read: a path, or `-` for standard input; subscriptions and events as for the API.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::event::{EventData, EventType, catalogue};
use crate::id::SubscriptionId;
use crate::request::channel::complete;
use crate::rng::SystemRng;
use crate::secret::Secret;
use crate::subscription::{FieldError, FieldNames, Subscription, SubscriptionSpec, SubscriptionWarning, check, settle_secrets};

/// The text of `path`; of standard input if it is `-`.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read as UTF-8 text")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("`{}` cannot be read", path.display()))
}

/// A subscription from a file, usable without a server.
#[derive(Debug)]
pub(super) struct LocalSubscription {
    pub subscription: Subscription,
    /// The macro names of its templates.
    pub names: FieldNames,
    pub warnings: Vec<SubscriptionWarning>,
    /// The secret that it signs with, if it brought none.
    pub signing_secret: Option<Secret>,
}

/// Reads a subscription as the API takes it; `to` replaces its URL template.
pub(super) fn read_subscription(path: &Path, to: Option<&str>, now: Timestamp) -> anyhow::Result<LocalSubscription> {
    let text = read_text(path)?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let mut spec: SubscriptionSpec =
        serde_path_to_error::deserialize(&mut reader).with_context(|| format!("`{}` is not a subscription", path.display()))?;
    if let Some(url) = to {
        url.clone_into(&mut spec.request.url);
    }
    let listed = |errors: Vec<FieldError>| {
        let lines: String = errors.iter().map(|error| format!("\n  {}: {} ({})", error.pointer, error.detail, error.code)).collect();
        anyhow!("`{}` cannot be used:{lines}", path.display())
    };
    let signing_secret = complete(&mut spec, None, &SystemRng).map_err(listed)?;
    let secrets = settle_secrets(&mut spec, None, now).map_err(listed)?;
    let names = FieldNames::default();
    let known_type = |event_type: &EventType| catalogue::find(event_type.as_str()).is_some();
    let (rules, warnings) = check(&spec, &names, &known_type).map_err(listed)?;
    let subscription = Subscription {
        id: SubscriptionId::from_raw(0),
        version: 1,
        template_version: 1,
        created_at: now,
        updated_at: now,
        spec: Arc::new(spec),
        rules: Arc::new(rules),
        secrets: Arc::new(secrets),
    };
    Ok(LocalSubscription { subscription, names, warnings, signing_secret })
}

#[derive(Debug, Deserialize)]
struct EventFile {
    #[serde(rename = "type")]
    event_type: EventType,
    data: Box<RawValue>,
}

/// Reads an event as the API takes it; its account, key and time do not matter here.
pub(super) fn read_event(path: &Path) -> anyhow::Result<(EventType, EventData)> {
    let text = read_text(path)?;
    let event: EventFile =
        serde_json::from_str(&text).with_context(|| format!("`{}` is not an event; it needs `type` and `data`", path.display()))?;
    let data = EventData::parse(event.data.get()).with_context(|| format!("the data of `{}` cannot be taken", path.display()))?;
    Ok((event.event_type, data))
}
