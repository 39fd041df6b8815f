//! What a scripted answer comes to, and after how long, as the sender would see it.
//!
//! A test holds this against real requests to the receiver of `listen`, fault by fault.

use std::time::Duration;

use crate::attempt::{Exchange, Failure, FailureKind, ReceivedResponse};
use crate::cli::listen::{Answer, ConnectionFault, Fault, Reply};
use crate::clock::Timestamp;

/// How much of a body the sender reads: the default of `request::send`.
const BODY_READ_MAX: usize = 64 * 1024;

/// What `answer`, asked for at `now`, comes to within `timeout`; `connection` is what happens before.
#[must_use]
pub fn exchange(connection: Option<ConnectionFault>, answer: Option<&Answer>, now: Timestamp, timeout: Duration) -> (Exchange, Duration) {
    let at_once = |kind, detail: &str| (failed(kind, detail), Duration::ZERO);
    match (connection, answer) {
        (Some(ConnectionFault::Hang), _) => timed_out(timeout),
        (Some(ConnectionFault::Reset), _) => at_once(FailureKind::Connection, "the receiver reset the connection"),
        (Some(ConnectionFault::Close), _) | (None, None) => at_once(FailureKind::Connection, "the receiver closed the connection"),
        (None, Some(answer)) => answered(answer, now, timeout),
    }
}

fn answered(answer: &Answer, now: Timestamp, timeout: Duration) -> (Exchange, Duration) {
    let mut reply = Reply::of(answer, now);
    let delay = Duration::from_millis(answer.delay_ms);
    let head = dripped(reply.head().len(), answer.head_bytes_per_s);
    let read = reply.body.len().min(BODY_READ_MAX);
    let body = dripped(read, answer.body_bytes_per_s);
    let (half_head, half_body) = (head / 2, body / 2);
    use Fault::*;
    let (kind, detail, took) = match reply.fault {
        None | Some(GzipBomb | SurplusBody) => {
            let took = delay + head + body;
            if took >= timeout {
                return timed_out(timeout);
            }
            let truncated = reply.body.len() > BODY_READ_MAX;
            reply.body.truncate(BODY_READ_MAX);
            return (received(reply, truncated), took);
        }
        Some(EndlessBody | HugeLength) => {
            let took = delay + head;
            if took >= timeout {
                return timed_out(timeout);
            }
            let unit = if reply.body.is_empty() { b"x".to_vec() } else { reply.body.clone() };
            reply.body = unit.into_iter().cycle().take(BODY_READ_MAX).collect();
            return (received(reply, true), took);
        }
        Some(HangBeforeHead | HangMidHead | HangMidBody | Endless1xx) => return timed_out(timeout),
        Some(ResetBeforeHead) => (FailureKind::Connection, "the receiver reset the connection", delay),
        Some(CloseBeforeHead) => (FailureKind::Connection, "the receiver closed the connection before the answer", delay),
        Some(ResetMidHead) => (FailureKind::Connection, "the receiver reset the connection within the head", delay + half_head),
        Some(ResetMidBody) => (FailureKind::Connection, "the receiver reset the connection within the body", delay + head + half_body),
        Some(CloseMidBody | HalfCloseMidBody) => {
            (FailureKind::Connection, "the receiver closed the connection within the body", delay + head + half_body)
        }
        Some(EndlessHead | HugeHead) => (FailureKind::Protocol, "the head of the answer is too large", delay + head),
        Some(BrokenChunks) => (FailureKind::Protocol, "the body of the answer breaks the rules of HTTP", delay + head),
        Some(TwoLengths) => (FailureKind::Protocol, "the answer is no valid HTTP: it has two lengths", delay + head),
        Some(NoHttp | Garbage) => (FailureKind::Protocol, "the answer is no valid HTTP", delay),
    };
    if took >= timeout { timed_out(timeout) } else { (failed(kind, detail), took) }
}

fn received(reply: Reply, truncated: bool) -> Exchange {
    let Reply { status, headers, body, .. } = reply;
    Exchange::Answered(ReceivedResponse { status, headers, body, truncated })
}

fn timed_out(timeout: Duration) -> (Exchange, Duration) {
    (failed(FailureKind::TimedOut, &format!("no whole answer within {} ms", timeout.as_millis())), timeout)
}

fn failed(kind: FailureKind, detail: &str) -> Exchange {
    Exchange::Failed(Failure { kind, detail: detail.into() })
}

/// How long `bytes` take: the first at once, the others evenly behind it.
fn dripped(bytes: usize, bytes_per_s: Option<u32>) -> Duration {
    let gaps = u32::try_from(bytes.saturating_sub(1)).unwrap_or(u32::MAX);
    bytes_per_s.map_or(Duration::ZERO, |rate| (Duration::from_secs(1) / rate).saturating_mul(gaps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::listen::Script;

    fn after(lines: &str, timeout_ms: u64) -> (Result<u16, FailureKind>, u64) {
        let script = Script::parse(&format!("[[answer]]\n{lines}")).unwrap();
        let (exchange, took) = exchange(None, script.answers.first(), Timestamp::default(), Duration::from_millis(timeout_ms));
        let came = match exchange {
            Exchange::Answered(response) => Ok(response.status),
            Exchange::Failed(failure) => Err(failure.kind),
        };
        (came, took.as_millis() as u64)
    }

    #[test]
    fn an_answer_takes_the_time_it_is_told_to_take() {
        assert_eq!(after("status = 503", 1_000), (Ok(503), 0));
        assert_eq!(after("delay_ms = 999", 1_000), (Ok(200), 999));
        assert_eq!(after("delay_ms = 1000", 1_000), (Err(FailureKind::TimedOut), 1_000));
        assert_eq!(after("body = \"0123456789\"\nbody_bytes_per_s = 10", 1_000), (Ok(200), 900));
        assert_eq!(after("body = \"0123456789\"\nbody_bytes_per_s = 5", 1_000), (Err(FailureKind::TimedOut), 1_000));
        assert_eq!(after("fault = \"reset_mid_body\"\ndelay_ms = 10", 1_000), (Err(FailureKind::Connection), 10));
        assert_eq!(after("fault = \"reset_mid_body\"\ndelay_ms = 2000", 1_000), (Err(FailureKind::TimedOut), 1_000));
    }
}
