//! An answer on the wire: the bytes, and the steps in which they are sent.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;

use super::gzip;
use super::receiver::Step;
use super::script::{Answer, ConnectionFault, Fault, RetryAfter};
use crate::clock::Timestamp;
use crate::rng::mix;

/// How many bytes `gzip_bomb` grows to.
pub const GZIP_BOMB_BYTES: u64 = 10 * 1024 * 1024;
/// The length that `huge_length` announces: an exabyte.
const HUGE_LENGTH: u64 = 1_000_000_000_000_000_000;
/// How many headers `huge_head` adds.
const HUGE_HEAD_HEADERS: usize = 2_000;
/// How many bytes `garbage` is.
const GARBAGE_BYTES: u64 = 4_096;
/// What an endless part is made of.
const FLOOD_BYTES: usize = 4 * 1024;
/// How many bytes a body that breaks off announces, if it is shorter than that.
const BROKEN_BODY_BYTES_MIN: usize = 10;

/// An answer with everything filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers in order, without those of the framing.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

impl Reply {
    /// `answer`, given at `now`.
    #[must_use]
    pub fn of(answer: &Answer, now: Timestamp) -> Self {
        let mut headers = answer.headers.clone();
        headers.extend(answer.retry_after.map(|asked| ("Retry-After".to_owned(), retry_after_text(asked, now))));
        let mut body = answer.body.clone().into_bytes();
        if answer.fault == Some(Fault::GzipBomb) {
            headers.push(("Content-Encoding".into(), "gzip".into()));
            // Packed once: it is the same for everybody and takes a while.
            static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip::of_zeros(GZIP_BOMB_BYTES));
            body.clone_from(&BOMB);
        }
        Self { status: answer.status, headers, body, fault: answer.fault }
    }

    /// The length that the head announces, if it announces one.
    fn announced(&self) -> Option<u64> {
        match self.fault {
            _ if matches!(self.status, 204 | 304) => None,
            Some(Fault::HangMidBody | Fault::ResetMidBody | Fault::CloseMidBody | Fault::HalfCloseMidBody) => {
                Some(self.body.len().max(BROKEN_BODY_BYTES_MIN) as u64)
            }
            Some(Fault::HugeLength) => Some(HUGE_LENGTH),
            Some(Fault::EndlessBody | Fault::BrokenChunks | Fault::EndlessHead) => None,
            _ => Some(self.body.len() as u64),
        }
    }

    /// The head, with the empty line that ends it.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Scripted");
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.fault {
            Some(Fault::EndlessBody | Fault::BrokenChunks) => text.push_str("Transfer-Encoding: chunked\r\n"),
            Some(Fault::HugeHead) => (0..HUGE_HEAD_HEADERS).for_each(|number| text.push_str(&format!("X-Huge-{number}: yes\r\n"))),
            Some(Fault::TwoLengths) => text.push_str(&format!("Content-Length: {}\r\n", self.body.len() + 1)),
            _ => {}
        }
        if let Some(bytes) = self.announced() {
            text.push_str(&format!("Content-Length: {bytes}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

fn retry_after_text(asked: RetryAfter, now: Timestamp) -> String {
    match asked {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::DateIn(seconds) => {
            let at_ms = now.after(Duration::from_secs(seconds)).unix_ms();
            httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at_ms).unwrap_or(0)))
        }
    }
}

/// What is done with a connection before anything is read.
#[must_use]
pub fn connection_steps(fault: Option<ConnectionFault>) -> Vec<Step> {
    match fault {
        None => vec![],
        Some(ConnectionFault::Hang) => vec![Step::Hang],
        Some(ConnectionFault::Reset) => vec![Step::Reset],
        Some(ConnectionFault::Close) => vec![Step::Close],
    }
}

/// What is done for a request of `method` that gets `answer` at `now`.
#[must_use]
pub fn steps(answer: &Answer, method: &str, now: Timestamp) -> Vec<Step> {
    let reply = Reply::of(answer, now);
    let mut steps = Vec::new();
    if answer.delay_ms > 0 {
        steps.push(Step::Pause(Duration::from_millis(answer.delay_ms)));
    }
    let head = |bytes: Vec<u8>| paced(bytes, answer.head_bytes_per_s);
    // A HEAD is answered with the head alone.
    let body = |bytes: &[u8]| paced(if method == "HEAD" { Vec::new() } else { bytes.to_vec() }, answer.body_bytes_per_s);
    let whole_head = reply.head();
    let half_head = whole_head[..whole_head.len() / 2].to_vec();
    let half_body = &reply.body[..reply.body.len() / 2];
    match reply.fault {
        None | Some(Fault::GzipBomb | Fault::TwoLengths | Fault::HugeHead) => steps.extend([head(whole_head), body(&reply.body)]),
        Some(Fault::HangBeforeHead) => steps.push(Step::Hang),
        Some(Fault::ResetBeforeHead) => steps.push(Step::Reset),
        Some(Fault::CloseBeforeHead) => steps.push(Step::Close),
        Some(Fault::HangMidHead) => steps.extend([head(half_head), Step::Hang]),
        Some(Fault::ResetMidHead) => steps.extend([head(half_head), Step::Reset]),
        Some(Fault::HangMidBody) => steps.extend([head(whole_head), body(half_body), Step::Hang]),
        Some(Fault::ResetMidBody) => steps.extend([head(whole_head), body(half_body), Step::Reset]),
        Some(Fault::CloseMidBody) => steps.extend([head(whole_head), body(half_body), Step::Close]),
        Some(Fault::HalfCloseMidBody) => steps.extend([head(whole_head), body(half_body), Step::HalfClose]),
        Some(Fault::HugeLength) => steps.extend([head(whole_head), Step::Flood(filler(&reply.body))]),
        Some(Fault::SurplusBody) => {
            steps.extend([head(whole_head), body(&reply.body), Step::text("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")])
        }
        Some(Fault::EndlessHead) => {
            // Without the empty line that would end it.
            steps.extend([head(whole_head[..whole_head.len() - 2].to_vec()), Step::Flood(filler(b"X-Endless: yes\r\n"))]);
        }
        Some(Fault::EndlessBody) => steps.extend([head(whole_head), Step::Flood(endless_chunk(&reply.body))]),
        Some(Fault::Endless1xx) => steps.push(Step::Flood(filler(b"HTTP/1.1 102 Processing\r\n\r\n"))),
        Some(Fault::BrokenChunks) => steps.extend([head(whole_head), Step::text("zz\r\nOK\r\n0\r\n\r\n"), Step::Close]),
        Some(Fault::NoHttp) => steps.extend([Step::text("SSH-2.0-Postrider\r\n"), Step::Close]),
        Some(Fault::Garbage) => steps.extend([Step::Send((1..=GARBAGE_BYTES).map(|number| mix(number) as u8).collect()), Step::Close]),
    }
    steps
}

fn paced(bytes: Vec<u8>, bytes_per_s: Option<u32>) -> Step {
    match bytes_per_s {
        Some(rate) => Step::Drip(bytes, Duration::from_secs(1) / rate),
        None => Step::Send(bytes),
    }
}

/// What is sent again and again: a text, or an `x`, as often as makes a block.
fn filler(text: &[u8]) -> Vec<u8> {
    let unit: &[u8] = if text.is_empty() { b"x" } else { text };
    unit.repeat(FLOOD_BYTES.div_ceil(unit.len()))
}

/// The same as a chunk.
fn endless_chunk(body: &[u8]) -> Vec<u8> {
    let data = filler(body);
    [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::listen::script::Script;

    fn answer(lines: &str) -> Answer {
        Script::parse(&format!("[[answer]]\n{lines}")).unwrap().answers.remove(0)
    }

    fn text(lines: &str, method: &str) -> String {
        let now = "1994-11-06T08:49:07Z".parse().unwrap();
        let mut text = String::new();
        for step in steps(&answer(lines), method, now) {
            match step {
                Step::Send(bytes) | Step::Drip(bytes, _) => text.push_str(&String::from_utf8_lossy(&bytes)),
                other => text.push_str(&format!("[{other:?}]")),
            }
        }
        text
    }

    #[test]
    fn a_plain_answer_announces_its_length() {
        assert_eq!(text("body = \"OK\"", "GET"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
        assert_eq!(text("body = \"OK\"", "HEAD"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        assert_eq!(text("status = 204", "GET"), "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(text("redirect = \"/x\"", "GET"), "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(text("status = 999", "GET"), "HTTP/1.1 999 Scripted\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn a_receiver_can_ask_to_come_back_later_in_both_forms() {
        assert!(text("status = 503\nretry_after = 30", "GET").contains("\r\nRetry-After: 30\r\n"));
        assert!(text("status = 503\nretry_after_date = 30", "GET").contains("\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    }

    #[test]
    fn faults_break_where_they_say() {
        let table = [
            ("fault = \"hang_before_head\"", "[Hang]"),
            ("fault = \"reset_mid_head\"\nstatus = 204", "HTTP/1.1 204 [Reset]"),
            ("fault = \"close_mid_body\"\nbody = \"abcd\"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab[Close]"),
            ("fault = \"half_close_mid_body\"\nbody = \"abcd\"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab[HalfClose]"),
            (
                "fault = \"surplus_body\"\nbody = \"OK\"",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOKHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
            ),
            ("fault = \"two_lengths\"\nbody = \"OK\"", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 2\r\n\r\nOK"),
            ("delay_ms = 5\nfault = \"reset_before_head\"", "[Pause(5ms)][Reset]"),
        ];
        for (lines, expected) in table {
            assert_eq!(text(lines, "GET"), expected, "{lines}");
        }
        assert_eq!(endless_chunk(b""), [b"1000\r\n".to_vec(), vec![b'x'; 4096], b"\r\n".to_vec()].concat());
    }

    #[test]
    fn a_rate_spaces_the_bytes() {
        let steps = steps(&answer("body = \"OK\"\nbody_bytes_per_s = 4"), "GET", Timestamp::default());
        assert_eq!(steps[1], Step::Drip(b"OK".to_vec(), Duration::from_millis(250)));
    }
}
