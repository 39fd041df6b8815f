//! The script file: which answers there are, in TOML. `docs/local-lab.md` describes it for its readers.
//!
//! Reading checks everything that can be wrong, with the line. Which answer a request gets is decided in
//! `choose.rs`, what the answer is on the wire in `reply.rs`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::Spanned;

/// A checked script.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Decides the draws of `share`.
    pub seed: u64,
    /// Whether used-up answers start again once nothing else is left for a request.
    pub cycle: bool,
    /// What happens to connections before a request is read.
    pub connections: Vec<ConnectionRule>,
    /// What is answered; the first one that applies.
    pub answers: Vec<Answer>,
}

/// What happens to a connection before a request is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionRule {
    /// What is done.
    pub fault: ConnectionFault,
    /// For how many connections.
    pub times: Option<u32>,
    /// For which share of the connections.
    pub share: Option<f64>,
}

/// What is done with a connection before a request is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionFault {
    /// Nothing is read and nothing is said.
    Hang,
    /// The connection is broken off.
    Reset,
    /// The connection is closed in order.
    Close,
}

impl ConnectionFault {
    /// Its name in a script.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::Close => "close",
        }
    }
}

/// One answer: which requests it is for, how often it is given, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Only for this method.
    pub method: Option<String>,
    /// Only for this path; `*` stands for anything.
    pub path: Option<String>,
    /// Given at most this often.
    pub times: Option<u32>,
    /// Given at most this often to each delivery.
    pub times_each: Option<u32>,
    /// Given to this share of the requests it is for.
    pub share: Option<f64>,
    /// The status.
    pub status: u16,
    /// Headers, in the order of their names.
    pub headers: Vec<(String, String)>,
    /// When to come back, if it is said.
    pub retry_after: Option<RetryAfter>,
    /// The body.
    pub body: String,
    /// Milliseconds before the first byte.
    pub delay_ms: u64,
    /// Bytes of the head per second.
    pub head_bytes_per_s: Option<u32>,
    /// Bytes of the body per second.
    pub body_bytes_per_s: Option<u32>,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

/// What the header `Retry-After` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// An HTTP date that is so many seconds ahead.
    DateIn(u64),
}

/// What goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The request is read and nothing is said.
    HangBeforeHead,
    /// The answer stops within its head.
    HangMidHead,
    /// The answer stops within its body.
    HangMidBody,
    /// The connection is broken off instead of an answer.
    ResetBeforeHead,
    /// It is broken off within the head.
    ResetMidHead,
    /// It is broken off within the body.
    ResetMidBody,
    /// The connection is closed in order instead of an answer.
    CloseBeforeHead,
    /// It is closed within the body, which is shorter than announced.
    CloseMidBody,
    /// The same, but the receiver goes on listening and never closes its end.
    HalfCloseMidBody,
    /// More headers than anybody needs.
    HugeHead,
    /// Headers without end.
    EndlessHead,
    /// A body without end, the script's again and again.
    EndlessBody,
    /// Interim answers (`102`) without end.
    #[serde(rename = "endless_1xx")]
    Endless1xx,
    /// A length of an exabyte, and a body that goes on.
    HugeLength,
    /// More than was announced: another answer, which nobody asked for.
    SurplusBody,
    /// A body in chunks whose framing is wrong.
    BrokenChunks,
    /// Two lengths that contradict each other.
    TwoLengths,
    /// Something that is no HTTP.
    NoHttp,
    /// Bytes without any meaning.
    Garbage,
    /// A small gzip body that would grow to 10 MiB.
    GzipBomb,
}

impl Fault {
    /// Every fault, in the order of the documentation.
    pub const ALL: [Self; 20] = [
        Self::HangBeforeHead,
        Self::HangMidHead,
        Self::HangMidBody,
        Self::ResetBeforeHead,
        Self::ResetMidHead,
        Self::ResetMidBody,
        Self::CloseBeforeHead,
        Self::CloseMidBody,
        Self::HalfCloseMidBody,
        Self::HugeHead,
        Self::EndlessHead,
        Self::EndlessBody,
        Self::Endless1xx,
        Self::HugeLength,
        Self::SurplusBody,
        Self::BrokenChunks,
        Self::TwoLengths,
        Self::NoHttp,
        Self::Garbage,
        Self::GzipBomb,
    ];

    /// Its name in a script.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HangBeforeHead => "hang_before_head",
            Self::HangMidHead => "hang_mid_head",
            Self::HangMidBody => "hang_mid_body",
            Self::ResetBeforeHead => "reset_before_head",
            Self::ResetMidHead => "reset_mid_head",
            Self::ResetMidBody => "reset_mid_body",
            Self::CloseBeforeHead => "close_before_head",
            Self::CloseMidBody => "close_mid_body",
            Self::HalfCloseMidBody => "half_close_mid_body",
            Self::HugeHead => "huge_head",
            Self::EndlessHead => "endless_head",
            Self::EndlessBody => "endless_body",
            Self::Endless1xx => "endless_1xx",
            Self::HugeLength => "huge_length",
            Self::SurplusBody => "surplus_body",
            Self::BrokenChunks => "broken_chunks",
            Self::TwoLengths => "two_lengths",
            Self::NoHttp => "no_http",
            Self::Garbage => "garbage",
            Self::GzipBomb => "gzip_bomb",
        }
    }

    /// Whether it happens in the body.
    const fn is_of_the_body(self) -> bool {
        matches!(
            self,
            Self::HangMidBody
                | Self::ResetMidBody
                | Self::CloseMidBody
                | Self::HalfCloseMidBody
                | Self::EndlessBody
                | Self::HugeLength
                | Self::SurplusBody
                | Self::BrokenChunks
                | Self::GzipBomb
        )
    }

    /// Whether a status line is never completed.
    #[must_use]
    pub const fn has_no_status(self) -> bool {
        matches!(
            self,
            Self::HangBeforeHead | Self::ResetBeforeHead | Self::CloseBeforeHead | Self::Endless1xx | Self::NoHttp | Self::Garbage
        )
    }
}

/// Why a script is not used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScriptError {
    /// It is no TOML, or has keys or values that do not exist; the message shows the line.
    #[error("{}", .0.to_string().trim_end())]
    Toml(toml::de::Error),
    /// A value makes no sense.
    #[error("line {line}: {detail}")]
    Invalid {
        /// The line on which the table with the value begins.
        line: usize,
        /// What is wrong and what to do.
        detail: String,
    },
}

/// Longest `delay_ms`: an hour.
const DELAY_MAX_MS: u64 = 3_600_000;
/// Highest rate of a drip.
const BYTES_PER_S_MAX: u32 = 1_000_000;
/// Headers that belong to the framing, which `fault` is for.
const FRAMING_HEADERS: [&str; 3] = ["content-length", "transfer-encoding", "connection"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    #[serde(default = "one")]
    seed: u64,
    #[serde(default)]
    cycle: bool,
    #[serde(default, rename = "connection")]
    connections: Vec<Spanned<ConnectionTable>>,
    #[serde(default, rename = "answer")]
    answers: Vec<Spanned<AnswerTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionTable {
    fault: ConnectionFault,
    times: Option<u32>,
    share: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerTable {
    method: Option<String>,
    path: Option<String>,
    times: Option<u32>,
    times_each: Option<u32>,
    share: Option<f64>,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, HeaderValues>,
    retry_after: Option<u64>,
    retry_after_date: Option<u64>,
    redirect: Option<String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    delay_ms: u64,
    head_bytes_per_s: Option<u32>,
    body_bytes_per_s: Option<u32>,
    fault: Option<Fault>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the value of a header is a text, or a list of texts for a header that is repeated")]
enum HeaderValues {
    One(String),
    Several(Vec<String>),
}

const fn one() -> u64 {
    1
}

impl Default for Script {
    /// Answers everything with `200` and `OK`.
    fn default() -> Self {
        Self { seed: one(), cycle: false, connections: Vec::new(), answers: vec![Answer::ok()] }
    }
}

impl Answer {
    /// `200` and `OK`, for every request.
    #[must_use]
    pub fn ok() -> Self {
        Self {
            method: None,
            path: None,
            times: None,
            times_each: None,
            share: None,
            status: 200,
            headers: Vec::new(),
            retry_after: None,
            body: "OK".into(),
            delay_ms: 0,
            head_bytes_per_s: None,
            body_bytes_per_s: None,
            fault: None,
        }
    }

    /// Whether it takes every request, so that nothing after it is ever given.
    const fn takes_everything(&self) -> bool {
        self.method.is_none() && self.path.is_none() && self.times.is_none() && self.times_each.is_none() && self.share.is_none()
    }
}

impl fmt::Display for Answer {
    /// What it is in a few words: `503, retry after 30 s, after 200 ms, hang_mid_body`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.fault.is_some_and(Fault::has_no_status) {
            parts.push(self.status.to_string());
        }
        parts.extend(self.retry_after.map(|asked| match asked {
            RetryAfter::Seconds(seconds) => format!("retry after {seconds} s"),
            RetryAfter::DateIn(seconds) => format!("retry after a date {seconds} s ahead"),
        }));
        parts.extend((self.delay_ms > 0).then(|| format!("after {} ms", self.delay_ms)));
        parts.extend(self.head_bytes_per_s.map(|rate| format!("head at {rate} bytes per second")));
        parts.extend(self.body_bytes_per_s.map(|rate| format!("body at {rate} bytes per second")));
        parts.extend(self.fault.map(|fault| fault.as_str().to_owned()));
        f.write_str(&parts.join(", "))
    }
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError`] that names the line.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let file: ScriptFile = toml::from_str(text).map_err(ScriptError::Toml)?;
        let line_of = |offset: usize| text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
        let connections = checked(file.connections, &line_of, ConnectionTable::check)?;
        let lines: Vec<usize> = file.answers.iter().map(|table| line_of(table.span().start)).collect();
        let answers = checked(file.answers, &line_of, AnswerTable::check)?;
        let hidden_behind = answers.iter().position(Answer::takes_everything).filter(|place| place + 1 < answers.len());
        if let Some(place) = hidden_behind {
            let detail = format!(
                "this answer is never given, since answer {} takes every request; move that one to the end, or give it a `path` or `times`",
                place + 1
            );
            return Err(ScriptError::Invalid { line: lines[place + 1], detail });
        }
        Ok(Self { seed: file.seed, cycle: file.cycle, connections, answers })
    }
}

fn checked<T, C>(
    tables: Vec<Spanned<T>>,
    line_of: &impl Fn(usize) -> usize,
    check: fn(T) -> Result<C, String>,
) -> Result<Vec<C>, ScriptError> {
    let one = |table: Spanned<T>| {
        let line = line_of(table.span().start);
        check(table.into_inner()).map_err(|detail| ScriptError::Invalid { line, detail })
    };
    tables.into_iter().map(one).collect()
}

impl ConnectionTable {
    fn check(self) -> Result<ConnectionRule, String> {
        check_counts(self.times, self.share)?;
        Ok(ConnectionRule { fault: self.fault, times: self.times, share: self.share })
    }
}

impl AnswerTable {
    fn check(self) -> Result<Answer, String> {
        check_counts(self.times, self.share)?;
        check_counts(self.times_each, None)?;
        if let Some(path) = self.path.as_deref().filter(|path| !path.starts_with(['/', '*'])) {
            return Err(format!(
                "path `{path}` begins neither with `/` nor with `*`, and so fits no request; paths come without host and query"
            ));
        }
        if let Some(method) = self.method.as_deref().filter(|method| method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase())) {
            return Err(format!("`{method}` is no method; write it like `POST`"));
        }
        if self.delay_ms > DELAY_MAX_MS {
            return Err(format!("delay_ms is {}; at most {DELAY_MAX_MS} are waited", self.delay_ms));
        }
        if [self.head_bytes_per_s, self.body_bytes_per_s].iter().flatten().any(|rate| !(1..=BYTES_PER_S_MAX).contains(rate)) {
            return Err(format!("a rate is 1 to {BYTES_PER_S_MAX} bytes per second"));
        }
        let status = self.checked_status()?;
        if self.fault == Some(Fault::GzipBomb) && !self.body.is_empty() {
            return Err("gzip_bomb brings a body of its own; leave `body` out".into());
        }
        let retry_after = match (self.retry_after, self.retry_after_date) {
            (Some(_), Some(_)) => return Err("retry_after and retry_after_date are the same header; keep one of them".into()),
            (Some(seconds), None) => Some(RetryAfter::Seconds(seconds)),
            (None, Some(seconds)) => Some(RetryAfter::DateIn(seconds)),
            (None, None) => None,
        };
        let headers = checked_headers(self.headers, self.redirect)?;
        Ok(Answer {
            method: self.method,
            path: self.path,
            times: self.times,
            times_each: self.times_each,
            share: self.share,
            status,
            headers,
            retry_after,
            body: self.body,
            delay_ms: self.delay_ms,
            head_bytes_per_s: self.head_bytes_per_s,
            body_bytes_per_s: self.body_bytes_per_s,
            fault: self.fault,
        })
    }

    /// 200 by default, 302 for a redirect.
    fn checked_status(&self) -> Result<u16, String> {
        let status = self.status.unwrap_or(if self.redirect.is_some() { 302 } else { 200 });
        if !(200..=999).contains(&status) {
            return Err(format!("status {status} ends no request; use 200 to 999"));
        }
        if self.redirect.is_some() && !(300..=399).contains(&status) {
            return Err(format!("status {status} does not redirect; use 301, 302, 303, 307 or 308, or leave it out"));
        }
        if matches!(status, 204 | 304) && !self.body.is_empty() {
            return Err(format!("an answer with status {status} has no body; leave `body` out"));
        }
        if matches!(status, 204 | 304) && self.fault.is_some_and(Fault::is_of_the_body) {
            return Err(format!("an answer with status {status} has no body in which this fault could happen"));
        }
        Ok(status)
    }
}

fn check_counts(times: Option<u32>, share: Option<f64>) -> Result<(), String> {
    if times == Some(0) {
        return Err("an answer that is given 0 times is none; use 1 or more, or leave it out".into());
    }
    match share {
        Some(share) if !(share > 0.0 && share <= 1.0) => Err(format!("share is {share}; it is above 0 and at most 1")),
        _ => Ok(()),
    }
}

fn checked_headers(headers: BTreeMap<String, HeaderValues>, redirect: Option<String>) -> Result<Vec<(String, String)>, String> {
    let mut list = Vec::new();
    for (name, values) in headers {
        let values = match values {
            HeaderValues::One(value) => vec![value],
            HeaderValues::Several(values) => values,
        };
        list.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    list.extend(redirect.map(|target| ("Location".to_owned(), target)));
    for (name, value) in &list {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("`{}` is no header name", name.escape_debug()));
        }
        if FRAMING_HEADERS.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
            return Err(format!("`{name}` is written by the receiver; for a wrong one use `fault`"));
        }
        if value.chars().any(char::is_control) {
            return Err(format!("the value of `{name}` holds a control character, which no header may"));
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_with_its_defaults() {
        let script = Script::parse("[[answer]]\npath = \"/pb*\"\nstatus = 503\ntimes = 2\n\n[[answer]]\nbody = \"OK\"").unwrap();
        assert_eq!((script.seed, script.cycle, script.connections.len()), (1, false, 0));
        assert_eq!((script.answers[0].status, script.answers[0].times, script.answers[0].path.as_deref()), (503, Some(2), Some("/pb*")));
        assert_eq!(script.answers[1], Answer::ok());
        assert_eq!(Script::parse("").unwrap().answers, []);
        let redirect = Script::parse("[[answer]]\nredirect = \"/there\"\nheaders = { X = [\"1\", \"2\"] }").unwrap();
        let headers = [("X", "1"), ("X", "2"), ("Location", "/there")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((redirect.answers[0].status, &redirect.answers[0].headers[..]), (302, &headers[..]));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_line() {
        let table = [
            ("stats = 503", "unknown field `stats`"),
            ("status = 100", "ends no request"),
            ("status = 1000", "ends no request"),
            ("status = \"x\"", "invalid type"),
            ("times = 0", "0 times"),
            ("times_each = 0", "0 times"),
            ("share = 0.0", "above 0"),
            ("share = 1.5", "at most 1"),
            ("share = nan", "above 0"),
            ("path = \"pb\"", "begins neither"),
            ("method = \"post\"", "is no method"),
            ("delay_ms = 3600001", "at most 3600000"),
            ("body_bytes_per_s = 0", "1 to 1000000"),
            ("fault = \"explode\"", "unknown variant `explode`"),
            ("fault = \"gzip_bomb\"\nbody = \"x\"", "a body of its own"),
            ("retry_after = 1\nretry_after_date = 1", "the same header"),
            ("redirect = \"/\"\nstatus = 200", "does not redirect"),
            ("status = 204\nbody = \"x\"", "has no body"),
            ("status = 204\nfault = \"close_mid_body\"", "has no body in which"),
            ("headers = { \"a b\" = \"x\" }", "is no header name"),
            ("headers = { A = \"x\\ny\" }", "control character"),
            ("headers = { A = 1 }", "a text, or a list of texts"),
            ("headers = { content-length = \"1\" }", "use `fault`"),
        ];
        for (lines, what) in table {
            let error = Script::parse(&format!("seed = 7\n\n[[answer]]\n{lines}\n")).unwrap_err().to_string();
            assert!(error.contains(what), "{lines}: {error}");
            assert!(error.contains("line 3") || error.contains("line 4"), "{lines}: {error}");
        }
        let hidden = Script::parse("[[answer]]\nstatus = 503\n\n[[answer]]\nstatus = 200").unwrap_err().to_string();
        assert!(hidden.starts_with("line 4: this answer is never given, since answer 1 takes every request"), "{hidden}");
        let connection = Script::parse("[[connection]]\nfault = \"hang_mid_body\"").unwrap_err().to_string();
        assert!(connection.contains("line 2") && connection.contains("`hang`, `reset`, `close`"), "{connection}");
    }
}
