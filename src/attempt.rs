//! What one request came to: attempt, outcome, the request as sent, the response as received.
//!
//! What a receiver did is data and is kept; rules read the types here, never their text.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::AttemptId;

/// The kind of end an attempt had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The receiver took it.
    Delivered,
    /// The receiver said no for good.
    Refused,
    /// The receiver answered something that counts as neither; sent again.
    UnexpectedResponse,
    /// The receiver asked us to slow down; sent again, not before it asked for.
    Throttled,
    /// No complete answer within the time allowed; sent again.
    TimedOut,
    /// No answer: name, connection, TLS or protocol failed; sent again.
    Unreachable,
    /// The address is one that we do not send to; never sent.
    Blocked,
    /// The template gave no valid request; never sent.
    NotRendered,
    /// Sent, and the process ended before the answer was recorded; sent again.
    Unknown,
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Refused,
        Self::UnexpectedResponse,
        Self::Throttled,
        Self::TimedOut,
        Self::Unreachable,
        Self::Blocked,
        Self::NotRendered,
        Self::Unknown,
    ];

    /// The stable text form, as in the API, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::UnexpectedResponse => "unexpected_response",
            Self::Throttled => "throttled",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Blocked => "blocked",
            Self::NotRendered => "not_rendered",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request made for a delivery, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// Which attempt of the delivery this is, from 1.
    pub number: u32,
    /// When the request was handed to the client, or would have been.
    pub started_at: Timestamp,
    /// From then to the end of the answer, in milliseconds.
    pub duration_ms: u64,
    /// The kind of end.
    pub outcome: Outcome,
    /// Why it is this outcome, in one sentence for the subscription's owner.
    pub reason: String,
    /// The request as sent; none if it could not be built.
    pub request: Option<SentRequest>,
    /// The response as received; none if there was none.
    pub response: Option<ReceivedResponse>,
    /// Whether this request may have been sent before: the process ended uncleanly while the delivery was due, or the
    /// outcome of the attempt before is unknown.
    pub possible_repeat: bool,
    /// When the delivery is due again; none if it is over.
    pub next_due_at: Option<Timestamp>,
}

/// A request, byte for byte as it was handed to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRequest {
    /// The HTTP method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Header names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// A response, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedResponse {
    /// The HTTP status.
    pub status: u16,
    /// Header names and values, in order; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body. While the verdict is found up to 64 KiB, in the record up to 8 KiB.
    pub body: Vec<u8>,
    /// Whether more of the body came than is held here.
    pub truncated: bool,
}

impl ReceivedResponse {
    /// The first value of the header `name`, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Cuts the body to `bytes_max` for the record.
    pub fn shorten(&mut self, bytes_max: usize) {
        if self.body.len() > bytes_max {
            self.body.truncate(bytes_max);
            self.truncated = true;
        }
    }
}

/// What happened between handing a request to the client and the end of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Exchange {
    /// A response came, complete or up to the limit of what is read.
    Answered(ReceivedResponse),
    /// No usable response came.
    Failed(Failure),
}

/// Why no response came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, which decides what happens next.
    pub kind: FailureKind,
    /// What is known, in words for the subscription's owner.
    pub detail: String,
}

/// The kinds of failure that rules tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No valid request came out of the template.
    NotRendered,
    /// The URL cannot be sent to.
    BadUrl,
    /// The guard refuses the address.
    Blocked,
    /// The host name has no address.
    NameNotResolved,
    /// The resolver could not tell whether the host name has an address.
    NameUnanswered,
    /// Connection refused, reset or lost.
    Connection,
    /// The TLS handshake failed.
    Tls,
    /// The answer was no valid HTTP, or its head was too large.
    Protocol,
    /// The time allowed was over.
    TimedOut,
    /// A fault in our own program.
    Internal,
    /// Our own side could not send: out of descriptors or ports, or the egress proxy failed. Nothing reached
    /// the receiver, so this is no attempt.
    Local,
}

/// How long a receiver asked us to wait, counted from when the answer came.
pub type RetryAfter = Option<Duration>;
