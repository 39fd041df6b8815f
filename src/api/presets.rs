//! The ready-made templates, for filling in a new subscription.

use axum::Json;
use axum::extract::{Path, RawQuery};
use serde_json::{Value, json};

use super::ApiError;
use super::page::{Listed, Parameters};
use crate::subscription::Preset;

/// `GET /v1/presets`: all of them, the general ones first. There are few, so that they are one page.
pub(super) async fn list(RawQuery(query): RawQuery) -> Result<Listed<Value>, ApiError> {
    Parameters::read(query.as_deref(), &[])?;
    let presets = Preset::names().filter_map(Preset::find).map(|preset| {
        json!({
            "name": preset.name,
            "title": preset.title,
            "receiver": preset.receiver,
            "verified": preset.verified,
            "event_types": preset.event_types,
            "method": preset.request.method,
            "body_format": preset.request.body_format,
        })
    });
    Ok(Listed::new(presets.collect(), None))
}

/// `GET /v1/presets/{name}`: everything about one, and the subscription that it makes.
pub(super) async fn show(Path(name): Path<String>, RawQuery(query): RawQuery) -> Result<Json<Value>, ApiError> {
    Parameters::read(query.as_deref(), &[])?;
    let preset = Preset::find(&name).ok_or_else(|| ApiError::not_found("preset", &name))?;
    let subscription = json!({
        "name": preset.title,
        "event_types": preset.event_types,
        "request": preset.request,
        "success_response": preset.success_response,
        "error_response": preset.error_response,
    });
    let mut shown = json!(preset);
    // The parts of the file that make the subscription are in the subscription.
    for part in ["request", "success_response", "error_response"] {
        shown.as_object_mut().and_then(|object| object.shift_remove(part));
    }
    shown["subscription"] = subscription;
    Ok(Json(shown))
}
