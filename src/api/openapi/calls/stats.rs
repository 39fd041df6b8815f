//! What is said of the call about numbers.

use schemars::JsonSchema;

use super::super::operation::{Operation, Tag};
use super::super::schemas::Seconds;
use super::subscriptions::HealthState;
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::SubscriptionId;
use crate::subscription::SubscriptionState;

/// What is owed, what happened lately, and how each subscription is doing.
#[derive(JsonSchema)]
#[schemars(rename = "Stats")]
#[expect(dead_code, reason = "it stands for its schema")]
struct StatsAnswer {
    /// Of all that is kept.
    totals: Totals,
    /// When the delivery that waits longest was due.
    oldest_due_at: Option<Timestamp>,
    /// Of the deliveries decided in the period, the share that was delivered; null if there was none.
    success_share: Option<f64>,
    /// How long attempts of the period took; null if there was none.
    latency_ms: Option<LatencyAnswer>,
    /// The period, step by step.
    series: Vec<PointAnswer>,
    /// Those with most waiting deliveries first.
    subscriptions: Vec<SubscriptionNumbers>,
    /// How many subscriptions are not in the list.
    subscriptions_left_out: u64,
}

#[derive(JsonSchema)]
#[schemars(rename = "StatsTotals")]
#[expect(dead_code, reason = "it stands for its schema")]
struct Totals {
    accepted: u64,
    delivered: u64,
    dead: u64,
    cancelled: u64,
    waiting: u64,
    in_flight: u64,
    attempts: u64,
}

/// Percentiles, in milliseconds.
#[derive(JsonSchema)]
#[schemars(rename = "StatsLatency")]
#[expect(dead_code, reason = "it stands for its schema")]
struct LatencyAnswer {
    p50: f64,
    p95: Option<f64>,
    p99: Option<f64>,
}

/// What happened in one step.
#[derive(JsonSchema)]
#[schemars(rename = "StatsPoint")]
#[expect(dead_code, reason = "it stands for its schema")]
struct PointAnswer {
    /// When the step began.
    at: Timestamp,
    events: u64,
    accepted: u64,
    delivered: u64,
    attempts: u64,
    failed_attempts: u64,
    dead: u64,
}

/// How a subscription is doing.
#[derive(JsonSchema)]
#[schemars(rename = "StatsSubscription")]
#[expect(dead_code, reason = "it stands for its schema")]
struct SubscriptionNumbers {
    id: SubscriptionId,
    name: String,
    account: AccountId,
    state: SubscriptionState,
    health: HealthState,
    waiting: u64,
    delivered: u64,
    dead: u64,
    cancelled: u64,
    attempts: u64,
    last_outcome: Option<Outcome>,
    oldest_due_at: Option<Timestamp>,
    attempts_per_minute: f64,
    consecutive_failures: u64,
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_stats", Tag::Deliveries, "Read what is owed and what happened lately")
        .of_account()
        .query::<Timestamp>("since", "The period begins here; by default an hour before its end, and at most three days ago.")
        .query::<Timestamp>("until", "The period ends here; by default now.")
        .query::<Seconds>(
            "step_s",
            "The length of a step of the series: whole minutes, or whole hours if the period began more than three hours ago.",
        )
        .answers::<StatsAnswer>(200, "The numbers.")
        .fails(&["not_found"])
        .reads_store()
}
