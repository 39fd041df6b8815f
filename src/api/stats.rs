//! What is owed, what happened lately, and how each subscription is doing.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};

use super::caller::{Accounts, Caller};
use super::page::{Parameters, invalid_parameter};
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::metrics::{Latencies, Point, Series, Tally};
use crate::queue::{Stats, StatsQuery, SubscriptionStats};

/// The period that is shown if the caller does not say.
const PERIOD: Duration = Duration::from_secs(3_600);
const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3_600;
/// Most subscriptions that are listed.
const SUBSCRIPTIONS_MAX: usize = 1_000;

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["account", "since", "until", "step_s"])?;
    let account = wanted_account(&state, &caller, &parameters)?;
    let query = read_query(&parameters, account, state.clock.now())?;
    Ok(Json(stats_json(&state.queue.stats(&query).await?)))
}

/// The account whose numbers are shown; one that does not exist, or not for the caller, has none.
fn wanted_account(state: &ApiState, caller: &Caller, parameters: &Parameters) -> Result<Option<AccountId>, ApiError> {
    let Some(account) = parameters.parse::<AccountId>("account")? else {
        return Ok(match caller.accounts() {
            Accounts::All => None,
            Accounts::One(own) => Some(own),
        });
    };
    let known = state.queue.registry().account(&account).cloned();
    caller.visible("account", account.as_str(), known, |account| &account.id)?;
    Ok(Some(account))
}

fn read_query(parameters: &Parameters, account: Option<AccountId>, now: Timestamp) -> Result<StatsQuery, ApiError> {
    let until = parameters.parse("until")?.unwrap_or(now).min(now);
    let since: Timestamp = parameters.parse("since")?.unwrap_or_else(|| until.before(PERIOD));
    if since >= until {
        return Err(invalid_parameter("since", "it must be before `until` and in the past"));
    }
    let by_minute = Series::has_minutes(since, now);
    let earliest = now.before(Duration::from_secs(HOUR_S * Series::HOURS.unsigned_abs()));
    if since < earliest {
        return Err(invalid_parameter(
            "since",
            &format!("numbers are kept for {} hours; nothing is known before {earliest}", Series::HOURS),
        ));
    }
    let unit = if by_minute { MINUTE_S } else { HOUR_S };
    let step_s = parameters.parse("step_s")?.unwrap_or(unit);
    if step_s == 0 || step_s % unit != 0 || step_s > HOUR_S * Series::HOURS.unsigned_abs() {
        let detail = if by_minute {
            "use a number of whole minutes, such as 60 or 900, up to 259200"
        } else {
            "numbers by minute are kept for three hours; use a number of whole hours, such as 3600, up to 259200, or a later `since`"
        };
        return Err(invalid_parameter("step_s", detail));
    }
    Ok(StatsQuery { account, since, until, step: Duration::from_secs(step_s) })
}

fn stats_json(stats: &Stats) -> Value {
    let counts = stats.counts;
    let mut listed: Vec<&SubscriptionStats> = stats.subscriptions.iter().collect();
    // The busiest ones, if there are more than a page can show.
    listed.sort_by_key(|stats| std::cmp::Reverse(stats.counts.waiting));
    listed.truncate(SUBSCRIPTIONS_MAX);
    json!({
        "totals": {
            "accepted": counts.waiting + counts.delivered + counts.dead + counts.cancelled,
            "delivered": counts.delivered,
            "dead": counts.dead,
            "cancelled": counts.cancelled,
            "waiting": counts.waiting,
            "in_flight": stats.in_flight,
            "attempts": counts.attempts,
        },
        "oldest_due_at": stats.oldest_due_at,
        "success_share": success_share(&stats.period),
        "latency_ms": latency_json(&stats.period.latencies),
        "series": stats.series.iter().map(point_json).collect::<Vec<_>>(),
        "subscriptions": listed.iter().map(|stats| subscription_json(stats)).collect::<Vec<_>>(),
        "subscriptions_left_out": stats.subscriptions.len() - listed.len(),
    })
}

/// Of the deliveries decided by an attempt, the share that was delivered.
fn success_share(period: &Tally) -> Option<f64> {
    let decided = period.delivered + period.dead;
    (decided > 0).then(|| rounded(period.delivered as f64 / decided as f64))
}

/// Four digits, which is what a share of a few thousand can carry.
fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

fn latency_json(latencies: &Latencies) -> Value {
    let at = |share| latencies.percentile_ms(share);
    at(0.5).map_or(Value::Null, |p50| json!({"p50": p50, "p95": at(0.95), "p99": at(0.99)}))
}

fn point_json(point: &Point) -> Value {
    let tally = &point.tally;
    json!({
        "at": point.at,
        "events": tally.events,
        "accepted": tally.accepted,
        "delivered": tally.delivered,
        "attempts": tally.attempts,
        "failed_attempts": tally.failed_attempts,
        "dead": tally.dead,
    })
}

fn subscription_json(stats: &SubscriptionStats) -> Value {
    let (subscription, counts) = (&stats.subscription, stats.counts);
    json!({
        "id": subscription.id,
        "name": subscription.spec.name,
        "account": subscription.spec.account,
        "state": subscription.spec.state,
        "health": if stats.health.failing_since.is_some() { "failing" } else { "healthy" },
        "waiting": counts.waiting,
        "delivered": counts.delivered,
        "dead": counts.dead,
        "cancelled": counts.cancelled,
        "attempts": counts.attempts,
        "last_outcome": stats.health.last_outcome,
        "oldest_due_at": stats.oldest_due_at,
        "attempts_per_minute": rounded(stats.attempts_per_minute),
        "consecutive_failures": stats.health.consecutive_failures,
    })
}
