//! From what came back to what happens next: the decision table.
//!
//! First matching row wins. Error is tested before success, so that an answer which fits both
//! (`NOT OK` contains `OK`) is shown as a refusal and not booked as delivered.
//!
//! | # | what came back | verdict | outcome |
//! |---|---|---|---|
//! | 0 | nothing was sent, for a failure of our own side | not sent: no attempt; later again | `unreachable` |
//! | 1 | not rendered, bad URL; blocked address | final | `not_rendered`; `blocked` |
//! | 2 | no answer: time-out; connection, TLS, protocol, resolver, fault of the program | retry | `timed_out`; `unreachable` |
//! | 3 | name without address | retry; final in profile `impact` | `unreachable` |
//! | 4 | error response matches | final | `refused` |
//! | 5 | success response matches, and it is not 3xx, and not 4xx or 5xx unless the rule names a status | delivered | `delivered` |
//! | 6 | profile `impact`, status 400 to 500 | final | `refused` |
//! | 7 | a success response is set, anything else | retry | `unexpected_response`, or `throttled` |
//! | 8 | 2xx | delivered | `delivered` |
//! | 9 | 3xx | retry | `unexpected_response` |
//! | 10 | 408, 425, 429 | retry | `throttled` |
//! | 11 | 410 | final; the owner is told to pause | `refused` |
//! | 12 | other 4xx | final | `refused` |
//! | 13 | 5xx and the rest | retry | `unexpected_response`, or `throttled` |
//!
//! In rows 7, 9 and 13 the outcome is `throttled` if the answer carries a `Retry-After`; in row 7 also
//! for 429. `Retry-After` is honoured in every row that retries.

use std::time::Duration;

use super::backoff::{jittered, wait_after};
use super::retry_after::retry_after;
use super::state::DeadReason;
use crate::attempt::{Exchange, Failure, FailureKind, Outcome, ReceivedResponse};
use crate::clock::Timestamp;
use crate::subscription::{ResponseRule, RetryProfile, RetrySpec};

/// Whether another attempt can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Delivered,
    /// It is over: another attempt would not help.
    Final,
    /// It could not be sent, and the receiver has no part in that: due as before, and no attempt was made.
    NotSent,
    /// Try again, not before the receiver asked for.
    Retry {
        /// The wait the receiver asked for, counted from the answer.
        retry_after: Option<Duration>,
    },
}

/// What one exchange came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether another attempt can follow.
    pub verdict: Verdict,
    /// The outcome on record.
    pub outcome: Outcome,
    /// Which rule decided, in one sentence.
    pub reason: String,
}

/// What happens to a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is delivered.
    Delivered,
    /// It is dead.
    Dead(DeadReason),
    /// It is due again.
    RetryAt(Timestamp),
}

fn judgement(verdict: Verdict, outcome: Outcome, reason: impl Into<String>) -> Judgement {
    Judgement { verdict, outcome, reason: reason.into() }
}

/// Judges `exchange`, which ended at `now`, by the table above.
#[must_use]
pub fn judge(
    exchange: &Exchange,
    success: Option<&ResponseRule>,
    error: Option<&ResponseRule>,
    profile: RetryProfile,
    now: Timestamp,
) -> Judgement {
    match exchange {
        Exchange::Failed(failure) => judge_failure(failure, profile),
        Exchange::Answered(response) => judge_response(response, success, error, profile, now),
    }
}

fn judge_failure(failure: &Failure, profile: RetryProfile) -> Judgement {
    let retry = Verdict::Retry { retry_after: None };
    let (verdict, outcome) = match failure.kind {
        FailureKind::NotRendered | FailureKind::BadUrl => (Verdict::Final, Outcome::NotRendered),
        FailureKind::Blocked => (Verdict::Final, Outcome::Blocked),
        FailureKind::NameNotResolved if profile == RetryProfile::Impact => (Verdict::Final, Outcome::Unreachable),
        FailureKind::TimedOut => (retry, Outcome::TimedOut),
        FailureKind::Local => (Verdict::NotSent, Outcome::Unreachable),
        FailureKind::NameNotResolved
        | FailureKind::NameUnanswered
        | FailureKind::Connection
        | FailureKind::Tls
        | FailureKind::Protocol
        | FailureKind::Internal => (retry, Outcome::Unreachable),
    };
    judgement(verdict, outcome, failure.detail.clone())
}

fn judge_response(
    response: &ReceivedResponse,
    success: Option<&ResponseRule>,
    error: Option<&ResponseRule>,
    profile: RetryProfile,
    now: Timestamp,
) -> Judgement {
    let status = response.status;
    let asked = response.header("retry-after").and_then(|value| retry_after(value, now).ok());
    let retry = Verdict::Retry { retry_after: asked };
    let slowed = |else_outcome: Outcome| if asked.is_some() { Outcome::Throttled } else { else_outcome };
    let matches = |rule: &ResponseRule| rule.matches(status, &response.body);

    if let Some(rule) = error.filter(|rule| matches(rule)) {
        return judgement(Verdict::Final, Outcome::Refused, format!("the error response matches: {}", rule.describe()));
    }
    if let Some(rule) = success.filter(|rule| matches(rule) && status_may_succeed(status, rule)) {
        return judgement(Verdict::Delivered, Outcome::Delivered, format!("the success response matches: {}", rule.describe()));
    }
    if profile == RetryProfile::Impact && (400..=500).contains(&status) {
        return judgement(Verdict::Final, Outcome::Refused, format!("status {status} is final in the profile `impact`"));
    }
    if let Some(rule) = success {
        let outcome = if status == 429 { Outcome::Throttled } else { slowed(Outcome::UnexpectedResponse) };
        let why = if matches(rule) { "a match does not count with this status" } else { "the success response does not match" };
        return judgement(retry, outcome, format!("status {status}; {why}: {}", rule.describe()));
    }
    match status {
        200..=299 => judgement(Verdict::Delivered, Outcome::Delivered, format!("status {status}")),
        300..=399 => {
            let target = response.header("location").map(|location| format!(" to `{}`", location.chars().take(200).collect::<String>()));
            judgement(
                retry,
                slowed(Outcome::UnexpectedResponse),
                format!("status {status} redirects{}; redirects are not followed", target.unwrap_or_default()),
            )
        }
        408 | 425 | 429 => judgement(retry, Outcome::Throttled, format!("status {status} asks to send later")),
        410 => judgement(Verdict::Final, Outcome::Refused, "status 410: the receiver is gone for good; pause or delete the subscription"),
        400..=499 => judgement(Verdict::Final, Outcome::Refused, format!("status {status} refuses the request")),
        _ => judgement(retry, slowed(Outcome::UnexpectedResponse), format!("status {status}")),
    }
}

fn status_may_succeed(status: u16, rule: &ResponseRule) -> bool {
    match status {
        300..=399 => false,
        400.. => rule.names_a_status(),
        _ => true,
    }
}

/// What follows attempt number `attempts_made` (from 1) that ended at `now` with `judgement`.
///
/// `seed` decides the jitter. The wait is never shorter than the schedule's or the receiver's.
#[must_use]
pub fn next(now: Timestamp, attempts_made: u32, retry: &RetrySpec, judgement: &Judgement, seed: u64) -> Next {
    match judgement.verdict {
        Verdict::Delivered => Next::Delivered,
        Verdict::Final => Next::Dead(match judgement.outcome {
            Outcome::NotRendered | Outcome::Blocked => DeadReason::NotSendable,
            _ => DeadReason::Refused,
        }),
        Verdict::NotSent => Next::RetryAt(now.after(not_sent_wait(0))),
        Verdict::Retry { .. } if attempts_made >= retry.attempts => Next::Dead(DeadReason::Exhausted),
        Verdict::Retry { retry_after } => {
            let wait = wait_after(attempts_made, retry).max(retry_after.unwrap_or_default());
            // Rounded up to the clock's millisecond, or the retry would come a little early.
            let wait_ms = jittered(wait, retry.jitter, seed).as_nanos().div_ceil(1_000_000);
            Next::RetryAt(now.after(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(u64::MAX))))
        }
    }
}

/// The first wait after our own side could not send.
const NOT_SENT_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const NOT_SENT_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long nothing more is sent to a receiver after our own side could not send `times_before` times in a row.
///
/// Doubles from 1 s to a minute: what is broken here is mended for all at once, and most often soon.
#[must_use]
pub fn not_sent_wait(times_before: u32) -> Duration {
    NOT_SENT_WAIT.saturating_mul(1 << times_before.min(16)).min(NOT_SENT_WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Exchange {
        Exchange::Answered(ReceivedResponse {
            status,
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: body.into(),
            truncated: false,
        })
    }

    fn failed(kind: FailureKind) -> Exchange {
        Exchange::Failed(Failure { kind, detail: "x".into() })
    }

    /// `delivered`, `final` or `retry`, and the outcome.
    fn judged(exchange: &Exchange, success: Option<&str>, error: Option<&str>, profile: RetryProfile) -> (&'static str, Outcome) {
        let success = success.map(|text| ResponseRule::parse(text).unwrap());
        let error = error.map(|text| ResponseRule::parse(text).unwrap());
        let judgement = judge(exchange, success.as_ref(), error.as_ref(), profile, Timestamp::default());
        let verdict = match judgement.verdict {
            Verdict::Delivered => "delivered",
            Verdict::Final => "final",
            Verdict::NotSent => "not sent",
            Verdict::Retry { .. } => "retry",
        };
        (verdict, judgement.outcome)
    }

    #[test]
    fn failures_follow_rows_0_to_3() {
        use FailureKind::*;
        let table = [
            (NotRendered, "final", Outcome::NotRendered),
            (BadUrl, "final", Outcome::NotRendered),
            (Blocked, "final", Outcome::Blocked),
            (TimedOut, "retry", Outcome::TimedOut),
            (Connection, "retry", Outcome::Unreachable),
            (Tls, "retry", Outcome::Unreachable),
            (Protocol, "retry", Outcome::Unreachable),
            (Internal, "retry", Outcome::Unreachable),
            (Local, "not sent", Outcome::Unreachable),
            (NameUnanswered, "retry", Outcome::Unreachable),
            (NameNotResolved, "retry", Outcome::Unreachable),
        ];
        for (kind, verdict, outcome) in table {
            assert_eq!(judged(&failed(kind), None, None, RetryProfile::Standard), (verdict, outcome), "{kind:?}");
        }
        assert_eq!(judged(&failed(NameNotResolved), None, None, RetryProfile::Impact).0, "final");
        for kind in [NameUnanswered, TimedOut, Internal] {
            assert_eq!(judged(&failed(kind), None, None, RetryProfile::Impact).0, "retry", "{kind:?}");
        }
    }

    #[test]
    fn c19_c20_f9_responses_follow_rows_4_to_13() {
        use Outcome::*;
        use RetryProfile::{Impact, Standard};
        let later = [("Retry-After", "5")];
        type Row = (Exchange, Option<&'static str>, Option<&'static str>, RetryProfile, &'static str, Outcome);
        let table: &[Row] = &[
            (answer(200, &[], "NOT OK"), Some("OK"), Some("NOT OK"), Standard, "final", Refused),
            (answer(503, &[], "no"), None, Some("no"), Standard, "final", Refused),
            (answer(200, &[], "OK"), Some("OK"), None, Standard, "delivered", Delivered),
            (answer(302, &[], "OK"), Some("OK"), None, Standard, "retry", UnexpectedResponse),
            (answer(302, &[], ""), Some("status:302"), None, Standard, "retry", UnexpectedResponse),
            (answer(404, &[], "OK"), Some("OK"), None, Standard, "retry", UnexpectedResponse),
            (answer(404, &[], "OK"), Some("status:404\ncontains:OK"), None, Standard, "delivered", Delivered),
            (answer(500, &[], ""), Some("status:500"), None, Standard, "delivered", Delivered),
            (answer(500, &[], ""), Some("OK"), None, Impact, "final", Refused),
            (answer(429, &[], ""), None, None, Impact, "final", Refused),
            (answer(502, &[], ""), None, None, Impact, "retry", UnexpectedResponse),
            (answer(200, &[], "no"), Some("OK"), None, Standard, "retry", UnexpectedResponse),
            (answer(400, &[], "no"), Some("OK"), None, Standard, "retry", UnexpectedResponse),
            (answer(429, &[], "no"), Some("OK"), None, Standard, "retry", Throttled),
            (answer(200, &later, "no"), Some("OK"), None, Standard, "retry", Throttled),
            (answer(204, &[], ""), None, None, Standard, "delivered", Delivered),
            (answer(301, &[("Location", "/x")], ""), None, None, Standard, "retry", UnexpectedResponse),
            (answer(408, &[], ""), None, None, Standard, "retry", Throttled),
            (answer(425, &[], ""), None, None, Standard, "retry", Throttled),
            (answer(429, &[], ""), None, None, Standard, "retry", Throttled),
            (answer(410, &[], ""), None, None, Standard, "final", Refused),
            (answer(404, &[], ""), None, None, Standard, "final", Refused),
            (answer(500, &[], ""), None, None, Standard, "retry", UnexpectedResponse),
            (answer(503, &later, ""), None, None, Standard, "retry", Throttled),
        ];
        for (exchange, success, error, profile, verdict, outcome) in table {
            assert_eq!(
                judged(exchange, *success, *error, *profile),
                (*verdict, *outcome),
                "{exchange:?} {success:?} {error:?} {profile:?}"
            );
        }
    }

    fn retrying(retry_after: Option<u64>) -> Judgement {
        judgement(Verdict::Retry { retry_after: retry_after.map(Duration::from_secs) }, Outcome::Throttled, "")
    }

    #[test]
    fn a_retry_waits_for_the_schedule_and_for_the_receiver() {
        let retry = RetrySpec { jitter: 0.0, ..RetrySpec::default() };
        let due = |asked| next(Timestamp::default(), 1, &retry, &retrying(asked), 7);
        assert_eq!(due(None), Next::RetryAt(Timestamp::from_unix_ms(10_000)));
        assert_eq!(due(Some(3)), Next::RetryAt(Timestamp::from_unix_ms(10_000)));
        assert_eq!(due(Some(60)), Next::RetryAt(Timestamp::from_unix_ms(60_000)));
    }

    #[test]
    fn what_was_not_sent_never_ends_a_delivery_and_its_wait_grows_to_a_limit() {
        let retry = RetrySpec { attempts: 1, ..RetrySpec::default() };
        let not_sent = judge(&failed(FailureKind::Local), None, None, RetryProfile::Impact, Timestamp::default());
        assert!(matches!(next(Timestamp::default(), 100, &retry, &not_sent, 7), Next::RetryAt(_)));
        let waits: Vec<_> = [0, 1, 2, 5, 6, 7, u32::MAX].map(|times| not_sent_wait(times).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn the_last_attempt_that_fails_is_the_end() {
        let retry = RetrySpec { attempts: 2, ..RetrySpec::default() };
        assert!(matches!(next(Timestamp::default(), 1, &retry, &retrying(None), 7), Next::RetryAt(_)));
        assert_eq!(next(Timestamp::default(), 2, &retry, &retrying(None), 7), Next::Dead(DeadReason::Exhausted));
    }
}
