//! Replays: many decided deliveries of a subscription are sent again.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Body};
use super::caller::{Caller, Narrowed};
use super::page::{Listed, Parameters};
use super::problem::Invalid;
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::id::{ReplayId, SubscriptionId};
use crate::queue::{Replay, ReplayError, ReplayRequest};

/// How long a dry run may take before it is answered as far as it is.
const DRY_RUN_WAIT: Duration = Duration::from_secs(5);
/// Slowest and fastest pace.
const PER_SECOND: std::ops::RangeInclusive<f64> = 0.01..=10_000.0;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewReplay {
    /// Whose deliveries.
    subscription: SubscriptionId,
    /// Which decided deliveries.
    #[serde(default = "dead")]
    #[schemars(with = "Vec<DecidedState>", length(min = 1))]
    states: Vec<StateName>,
    /// Only those created at or after.
    #[serde(default)]
    since: Option<Timestamp>,
    /// Only those created before.
    #[serde(default)]
    until: Option<Timestamp>,
    /// Most deliveries that are made due in a second; null for as fast as the receiver takes them.
    #[serde(default)]
    #[schemars(range(min = 0.01, max = 10_000.0))]
    per_second: Option<f64>,
    /// Whether it only counts.
    #[serde(default)]
    dry_run: bool,
}

/// The states in which a delivery is decided.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for its schema; the states are read with all others, for a better error")]
enum DecidedState {
    /// The receiver took it.
    Delivered,
    /// Given up.
    Dead,
    /// Ended by a person, or with its subscription.
    Cancelled,
}

fn dead() -> Vec<StateName> {
    vec![StateName::Dead]
}

/// A replay as callers read it.
fn replay_json(replay: &Replay) -> Value {
    json!({
        "id": replay.id,
        "subscription": replay.subscription,
        "account": replay.account,
        "states": replay.states,
        "since": replay.since,
        "until": replay.until,
        "per_second": replay.per_second,
        "dry_run": replay.dry_run,
        "state": replay.state,
        "matched": replay.matched,
        "done": replay.done,
        "skipped": replay.skipped,
        "created_at": replay.created_at,
        "finished_at": replay.finished_at,
    })
}

fn check(new: &NewReplay) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    if new.states.is_empty() {
        errors.push(Invalid::new("/states", "no_states", "name at least one of `delivered`, `dead` and `cancelled`"));
    }
    for (index, state) in new.states.iter().enumerate() {
        if matches!(state, StateName::Pending | StateName::Leased) {
            let detail = format!("deliveries that are {state} will be sent anyway; use `delivered`, `dead` or `cancelled`");
            errors.push(Invalid::new(format!("/states/{index}"), "state_not_decided", detail));
        }
    }
    if new.per_second.is_some_and(|pace| !PER_SECOND.contains(&pace)) {
        errors.push(Invalid::new(
            "/per_second",
            "out_of_range",
            "use 0.01 to 10000, or leave it out for as fast as the receiver takes them",
        ));
    }
    if let (Some(since), Some(until)) = (new.since, new.until)
        && since >= until
    {
        errors.push(Invalid::new("/until", "out_of_range", "it must be after `since`"));
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(errors)) }
}

/// Starts a replay; a dry run is answered when it is counted.
pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<impl IntoResponse, ApiError> {
    let new: NewReplay = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    check(&new)?;
    let unknown = || ReplayError::UnknownSubscription(new.subscription);
    let registry = state.queue.registry();
    let subscription = registry.subscription(new.subscription).filter(|subscription| caller.sees(&subscription.spec.account));
    subscription.ok_or_else(unknown)?;
    let mut states = new.states;
    states.sort_unstable();
    states.dedup();
    let request = ReplayRequest {
        subscription: new.subscription,
        states,
        since: new.since,
        until: new.until,
        per_second: new.per_second,
        dry_run: new.dry_run,
    };
    let replay = state.queue.create_replay(&caller.actor(), request).await?;
    if !replay.dry_run {
        return Ok((StatusCode::CREATED, Json(replay_json(&replay))));
    }
    let counted = state.queue.replay_over(replay.id, DRY_RUN_WAIT).await.unwrap_or(replay);
    Ok((StatusCode::OK, Json(replay_json(&counted))))
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["account", "subscription", "limit", "cursor"])?;
    let subscription = parameters.parse::<SubscriptionId>("subscription")?;
    let before = parameters.cursor()?.map(ReplayId::from_raw);
    let limit = parameters.limit()?;
    let Narrowed::To(account) = caller.narrow(&state.queue.registry(), parameters.parse("account")?) else { return Ok(Listed::empty()) };
    let mut replays = state.queue.replays();
    replays.retain(|replay| {
        account.as_ref().is_none_or(|account| *account == replay.account)
            && subscription.is_none_or(|subscription| subscription == replay.subscription)
            && before.is_none_or(|before| replay.id < before)
    });
    let more = replays.len() > limit;
    replays.truncate(limit);
    let next = replays.last().filter(|_| more).map(|last| last.id.raw());
    Ok(Listed::new(replays.iter().map(replay_json).collect(), next))
}

/// The replay of this id, if the caller may see it.
fn found(state: &ApiState, caller: &Caller, id: &str) -> Result<Replay, ApiError> {
    let replay = id.parse().ok().and_then(|id| state.queue.replay(id));
    caller.visible("replay", id, replay, |replay| &replay.account)
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    Ok(Json(replay_json(&found(&state, &caller, &id)?)))
}

pub(super) async fn cancel(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let replay = found(&state, &caller, &id)?;
    Ok(Json(replay_json(&state.queue.cancel_replay(&caller.actor(), replay.id).await?)))
}
