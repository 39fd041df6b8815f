//! How an arrived request is shown: for people, or as one JSON object a line.
//!
//! What came from elsewhere must not steer the terminal: control characters and the invisible ones that
//! turn text around are shown as escapes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::choose::Choice;
use super::json_text;
use super::receiver::{Arrived, End, Ended};
use crate::cli::terminal::line as escaped;
use crate::clock::Timestamp;
use crate::request::sign::{Verified, VerifyError};

/// How much of a body is shown to people.
const SHOWN_BODY_BYTES_MAX: usize = 64 * 1024;

/// What came of checking a request's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignatureCheck {
    /// No secret is known.
    NotAsked,
    /// A header is missing.
    Missing(&'static str),
    /// It was checked.
    Checked(Result<Verified, VerifyError>),
}

/// All that is shown of one request.
pub(super) struct Shown<'a> {
    pub arrived: &'a Arrived,
    pub at: Timestamp,
    pub choice: &'a Choice,
    pub signature: &'a SignatureCheck,
}

impl Shown<'_> {
    /// For people: several lines, with an empty one at the end.
    pub fn text(&self) -> String {
        let Arrived { number, method, target, headers, body, .. } = self.arrived;
        let again = if self.choice.arrival > 1 { format!("  (arrival {} of the same)", self.choice.arrival) } else { String::new() };
        let mut lines = vec![format!("#{number}  {}  {} {}{again}", self.at, escaped(method), escaped(target))];
        lines.extend(query_lines(target));
        lines.extend(headers.iter().map(|(name, value)| format!("    {}: {}", escaped(name), escaped(value))));
        if !body.is_empty() {
            lines.push(String::new());
            lines.extend(body_text(body).lines().map(|line| format!("    {}", escaped(line))));
            lines.push(String::new());
        }
        lines.extend(self.signature_sentence().map(|sentence| format!("  signature: {sentence}")));
        lines.push(format!("  answer: {} ({})", self.choice.answer, self.source()));
        lines.push(String::new());
        lines.join("\n")
    }

    fn source(&self) -> String {
        match (self.choice.rule, self.choice.answer.times) {
            (None, _) => "no answer of the script applies".into(),
            (Some(rule), Some(times)) => format!("answer {rule} of the script, {} of {times} times", self.choice.time),
            (Some(rule), None) => format!("answer {rule} of the script"),
        }
    }

    fn signature_sentence(&self) -> Option<String> {
        Some(match self.signature {
            SignatureCheck::NotAsked => return None,
            SignatureCheck::Missing(header) => format!("none, the header `{header}` is missing"),
            SignatureCheck::Checked(Ok(verified)) => format!("good ({}, signed at {})", verified.version, verified.signed_at),
            SignatureCheck::Checked(Err(error)) => format!("bad, {error}"),
        })
    }

    /// For machines: one object.
    pub fn json(&self) -> Value {
        let Arrived { number, connection, method, target, headers, body, .. } = self.arrived;
        let headers: Vec<Value> = headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let mut value = json!({
            "type": "request", "number": number, "at": self.at.to_string(), "connection": connection, "arrival": self.choice.arrival,
            "method": method, "target": target, "headers": headers,
        });
        match std::str::from_utf8(body) {
            Ok(text) => value["body"] = json!(text),
            Err(_) => value["body_base64"] = json!(STANDARD.encode(body)),
        }
        match self.signature {
            SignatureCheck::NotAsked => {}
            SignatureCheck::Missing(header) => {
                value["signature"] = json!({"ok": false, "code": "missing", "detail": format!("the header `{header}` is missing")});
            }
            SignatureCheck::Checked(Ok(verified)) => value["signature"] = json!({"ok": true, "version": verified.version}),
            SignatureCheck::Checked(Err(error)) => {
                value["signature"] = json!({"ok": false, "code": error.code(), "detail": error.to_string()});
            }
        }
        let answer = &self.choice.answer;
        let status = (!answer.fault.is_some_and(super::script::Fault::has_no_status)).then_some(answer.status);
        value["answer"] = json!({
            "rule": self.choice.rule, "time": self.choice.time, "status": status,
            "fault": answer.fault.map(super::script::Fault::as_str), "delay_ms": answer.delay_ms,
        });
        value
    }
}

/// How an answer ended, for people; nothing if it was simply sent.
pub(super) fn ended_text(number: usize, ended: &Ended, asked_to_wait: bool) -> Option<String> {
    let how = match ended.end {
        End::Sent if !asked_to_wait => return None,
        End::Sent => "answer complete",
        End::Closed => "connection closed",
        End::Reset => "connection reset",
        End::OtherSideLeft => "the other side left",
    };
    Some(format!("#{number}  {how} after {} ms and {} bytes\n", ended.duration.as_millis(), ended.bytes_sent))
}

/// How an answer ended, for machines.
pub(super) fn ended_json(number: usize, ended: &Ended) -> Value {
    let how = match ended.end {
        End::Sent => "sent",
        End::Closed => "closed",
        End::Reset => "reset",
        End::OtherSideLeft => "other_side_left",
    };
    json!({
        "type": "answered", "number": number, "end": how, "bytes_sent": ended.bytes_sent,
        "duration_ms": u64::try_from(ended.duration.as_millis()).unwrap_or(u64::MAX),
    })
}

/// The parameters of the query, decoded, one a line: a postback's values ride there.
fn query_lines(target: &str) -> Vec<String> {
    let Some((_, query)) = target.split_once('?') else { return Vec::new() };
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(24);
    let mut lines: Vec<_> = pairs.iter().map(|(name, value)| format!("    {:width$} = {}", escaped(name), escaped(value))).collect();
    lines.push(String::new());
    lines
}

/// The body as text: JSON indented, anything that is no UTF-8 as its length and its first bytes.
fn body_text(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        let first: Vec<_> = body.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
        return format!("{} bytes that are no UTF-8 text: {} …", body.len(), first.join(" "));
    };
    if text.len() > SHOWN_BODY_BYTES_MAX {
        let end = text.floor_char_boundary(SHOWN_BODY_BYTES_MAX);
        return format!("{}\n… {} more bytes", &text[..end], text.len() - end);
    }
    json_text::indented(text).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::listen::script::Answer;
    use crate::clock::{Clock, SystemClock};

    fn arrived(target: &str, body: &[u8]) -> Arrived {
        let headers = vec![("X-Evil".to_owned(), "a\u{1b}[2Jb".to_owned())];
        Arrived {
            number: 3,
            connection: 1,
            at: SystemClock.instant(),
            method: "POST".into(),
            target: target.into(),
            headers,
            body: body.to_vec(),
        }
    }

    fn shown(arrived: &Arrived, rule: Option<usize>, arrival: u32, signature: &SignatureCheck) -> (String, Value) {
        let choice = Choice { rule, time: 1, arrival, answer: Answer { times: Some(2), ..Answer::ok() } };
        let shown = Shown { arrived, at: Timestamp::default(), choice: &choice, signature };
        (shown.text(), shown.json())
    }

    #[test]
    fn a_request_is_shown_whole() {
        let (text, json) = shown(&arrived("/pb?a=1&SubId1=x%20y%0a", br#"{"a":[1]}"#), Some(1), 2, &SignatureCheck::NotAsked);
        let expected = "#3  1970-01-01T00:00:00.000Z  POST /pb?a=1&SubId1=x%20y%0a  (arrival 2 of the same)
    a      = 1
    SubId1 = x y\\u{a}

    X-Evil: a\\u{1b}[2Jb

    {
      \"a\": [
        1
      ]
    }

  answer: 200 (answer 1 of the script, 1 of 2 times)
";
        assert_eq!(text, expected);
        assert_eq!(json["body"], r#"{"a":[1]}"#);
        assert_eq!((&json["answer"]["status"], &json["answer"]["rule"], &json["arrival"]), (&json!(200), &json!(1), &json!(2)));
    }

    #[test]
    fn what_is_no_text_and_what_is_too_long_is_cut() {
        let check = SignatureCheck::Missing("webhook-id");
        let (text, json) = shown(&arrived("/", b"\xff\xfe"), None, 1, &check);
        assert!(text.contains("    2 bytes that are no UTF-8 text: ff fe …\n"), "{text}");
        assert!(
            text.contains("  signature: none, the header `webhook-id` is missing\n  answer: 200 (no answer of the script applies)\n"),
            "{text}"
        );
        assert_eq!((&json["body_base64"], &json["signature"]["code"]), (&json!("//4="), &json!("missing")));
        let long = "ä".repeat(SHOWN_BODY_BYTES_MAX);
        assert!(body_text(long.as_bytes()).ends_with("\n… 65536 more bytes"));
    }

    #[test]
    fn the_end_is_told_where_it_is_not_plain() {
        let ended = |end| Ended { end, bytes_sent: 7, duration: Duration::from_millis(12) };
        assert_eq!(ended_text(1, &ended(End::Sent), false), None);
        assert_eq!(ended_text(1, &ended(End::Reset), false).as_deref(), Some("#1  connection reset after 12 ms and 7 bytes\n"));
        assert_eq!(ended_json(1, &ended(End::OtherSideLeft))["end"], "other_side_left");
    }
}
