//! How a simulation is printed: a table for people, one document for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::lane::{Simulated, SimulatedAttempt, Summary};
use crate::delivery::DeadReason;
use crate::subscription::Subscription;

/// For people: the attempts of one delivery, how it ended, and what a backlog takes.
pub(super) fn text(simulated: &Simulated, subscription: &Subscription, deliveries: u32) -> String {
    let mut lines = vec![row(["attempt", "at", "wait before", "took", "answer", "outcome", "why"].map(str::to_owned))];
    lines.extend(simulated.attempts.iter().map(attempt_row));
    let reason = simulated.dead_reason.map_or(String::new(), |reason| format!(" ({})", reason_text(reason)));
    lines.push(format!(
        "\n{}{reason} after {}, {} after the event was accepted",
        simulated.state,
        counted(simulated.attempts.len() as u64, "attempt"),
        span(simulated.decided)
    ));
    if deliveries > 1 {
        lines.push(format!("\n{}", backlog_text(&simulated.summary, subscription, deliveries)));
    }
    lines.join("\n")
}

fn attempt_row(attempt: &SimulatedAttempt) -> String {
    let answer = match (attempt.status, attempt.rule) {
        (Some(status), Some(rule)) => format!("{status} (answer {rule})"),
        (Some(status), None) => status.to_string(),
        (None, Some(rule)) => format!("none (answer {rule})"),
        (None, None) => "none".into(),
    };
    row([
        attempt.number.to_string(),
        span(attempt.at),
        span(attempt.wait),
        span(attempt.took),
        answer,
        attempt.outcome.to_string(),
        attempt.reason.escape_debug().to_string(),
    ])
}

fn row([number, at, wait, took, answer, outcome, why]: [String; 7]) -> String {
    format!("{number:>7}  {at:>16}  {wait:>16}  {took:>8}  {answer:<17}  {outcome:<19}  {why}")
}

fn backlog_text(summary: &Summary, subscription: &Subscription, deliveries: u32) -> String {
    let mut sentences = Vec::new();
    if let (Some(rate), Some(interval)) = (subscription.spec.max_requests_per_second, subscription.rules.request_interval) {
        let least = interval.saturating_mul(deliveries.saturating_sub(1));
        sentences.push(format!("Under the ceiling of {rate} a second, {deliveries} requests take at least {}.", span(least)));
    }
    sentences.push(format!(
        "{deliveries} such events at once: the last first attempt begins after {}, all are decided after {}; {} delivered, {} dead, {}.",
        span(summary.first_attempts_over),
        span(summary.all_decided),
        summary.delivered,
        summary.dead,
        counted(summary.requests, "request")
    ));
    sentences.join("\n")
}

/// For machines. Times are milliseconds from the acceptance.
pub(super) fn json(simulated: &Simulated, start: &str, seed: u64) -> Value {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let attempts: Vec<Value> = simulated
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "number": attempt.number, "at_ms": ms(attempt.at), "wait_ms": ms(attempt.wait), "duration_ms": ms(attempt.took),
                "rule": attempt.rule, "status": attempt.status, "outcome": attempt.outcome.as_str(), "reason": attempt.reason,
            })
        })
        .collect();
    let Summary { delivered, dead, requests, outcomes, first_attempts_over, all_decided } = &simulated.summary;
    json!({
        "start": start, "seed": seed, "attempts": attempts, "state": simulated.state.as_str(),
        "dead_reason": simulated.dead_reason, "decided_ms": ms(simulated.decided),
        "summary": {
            "delivered": delivered, "dead": dead, "requests": requests, "outcomes": outcomes,
            "first_attempts_ms": ms(*first_attempts_over), "all_decided_ms": ms(*all_decided),
        },
    })
}

const fn reason_text(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::Refused => "refused",
        DeadReason::Exhausted => "exhausted",
        DeadReason::NotSendable => "not sendable",
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `0 s`, `150 ms`, `10.52 s`, `3 m 20 s`, `2 d 9 h 40 m`.
pub(super) fn span(span: Duration) -> String {
    let ms = span.as_millis();
    let (seconds, minutes, hours, days) = (ms / 1_000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match ms {
        0 => "0 s".into(),
        1..1_000 => format!("{ms} ms"),
        1_000..60_000 => {
            let text = format!("{seconds}.{:03}", ms % 1_000);
            format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
        }
        60_000..3_600_000 => format!("{minutes} m {} s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours} h {} m {} s", minutes % 60, seconds % 60),
        _ => format!("{days} d {} h {} m", hours % 24, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_people_say_them() {
        let table = [
            (0, "0 s"),
            (150, "150 ms"),
            (10_000, "10 s"),
            (10_520, "10.52 s"),
            (200_999, "3 m 20 s"),
            (3_600_000, "1 h 0 m 0 s"),
            (208_800_000, "2 d 10 h 0 m"),
        ];
        for (ms, text) in table {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
