//! Archives as lines of JSON: for people to look at, for other stores and for backups.
//!
//! ```text
//! {"record":"header","format":1,…}
//! {"record":"key",…}             one for each idempotency key
//! {"record":"event",…}           one for each event, with its deliveries and their attempts
//! {"record":"document",…}        one for each document: actions, clicks, calls of advertisers, …
//! {"record":"configuration",…}   the audit log; then accounts, subscriptions, templates, keys (hashed), secrets (sealed), …
//! {"record":"end","lines":n}     a file without this line was cut off
//! ```
//!
//! Bodies that are UTF-8 are texts, others base 64. `data` is the text of the event as it was received.

use std::io::{self, BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Archived, ArchivedDelivery, ArchivedEvent, ArchivedKey};
use crate::attempt::{Attempt, Outcome, ReceivedResponse, SentRequest};
use crate::clock::Timestamp;
use crate::delivery::{DeadReason, Delivery, DeliveryState, OrderKey};
use crate::event::{AccountId, Event, EventData, EventType, IdempotencyKey, NoTraceContext};
use crate::id::{AttemptId, DeliveryId, EventId, SubscriptionId};
use crate::store::{ConfigurationKind, ConfigurationRecord, Document, DocumentKind};

/// The number of the form that this release writes.
const FORMAT: u32 = 1;

/// Longest line that is read, in bytes: an event of the largest size with many deliveries on record.
const LINE_BYTES_MAX: usize = 1 << 30;

/// Why an archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be written or read.
    #[error("the archive cannot be {action}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The first line is not that of an archive.
    #[error("this is not an archive of Postrider; its first line must be `{{\"record\":\"header\",…}}`")]
    NotAnArchive,
    /// Written by a later release.
    #[error("the archive has format {format} and this release knows {FORMAT}; use the release that wrote it, or a later one")]
    LaterFormat {
        /// Its format.
        format: u32,
    },
    /// A line is wrong.
    #[error("line {number} of the archive is wrong: {detail}; nothing after it was taken")]
    Line {
        /// Which line, from 1.
        number: u64,
        /// What is wrong.
        detail: String,
    },
    /// The last line is missing.
    #[error("the archive was cut off after line {lines}; get a whole copy of it")]
    CutOff {
        /// How many lines are there.
        lines: u64,
    },
}

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The number of the form.
    pub format: u32,
    /// The release that wrote it.
    pub release: String,
    /// When it was begun.
    pub created_at: Timestamp,
}

impl Header {
    /// The header of an archive that is written now.
    #[must_use]
    pub fn new(created_at: Timestamp) -> Self {
        Self { format: FORMAT, release: env!("CARGO_PKG_VERSION").into(), created_at }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// The first one.
    Header(Header),
    /// A key, an event, an entry of the audit log, or a document.
    Item(Archived),
    /// A record of configuration.
    Configuration(ConfigurationRecord),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase", deny_unknown_fields)]
enum WireLine {
    Header(Header),
    Key(WireKey),
    Document(WireDocument),
    Configuration(WireConfiguration),
    End { lines: u64 },
}

#[derive(Serialize, Deserialize)]
struct WireKey {
    digest: String,
    event: EventId,
    deliveries: u16,
    fingerprint: String,
    expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct WireDocument {
    kind: String,
    id: String,
    revision: u64,
    value: String,
}

#[derive(Serialize, Deserialize)]
struct WireConfiguration {
    kind: String,
    id: String,
    value: String,
}

/// The line of an event. Apart from the others, since raw JSON cannot be read through a tag.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEvent {
    record: WireEventTag,
    id: EventId,
    account: AccountId,
    #[serde(rename = "type")]
    event_type: EventType,
    key: Option<IdempotencyKey>,
    occurred_at: Timestamp,
    received_at: Timestamp,
    subscriptions: Vec<SubscriptionId>,
    deliveries: Vec<WireDelivery>,
    /// The `traceparent` with which it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    data: Box<RawValue>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireEventTag {
    Event,
}

#[derive(Serialize, Deserialize)]
struct WireDelivery {
    id: DeliveryId,
    subscription: SubscriptionId,
    template_version: u32,
    attempts: u32,
    last_outcome: Option<Outcome>,
    created_at: Timestamp,
    #[serde(flatten)]
    state: WireState,
    order_key: Option<String>,
    attempt_log: Vec<WireAttempt>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum WireState {
    Pending { due_at: Timestamp },
    Delivered { at: Timestamp },
    Dead { at: Timestamp, reason: DeadReason },
    Cancelled { at: Timestamp },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireAttempt {
    id: AttemptId,
    number: u32,
    started_at: Timestamp,
    duration_ms: u64,
    outcome: Outcome,
    reason: String,
    request: Option<WireRequest>,
    response: Option<WireResponse>,
    possible_repeat: bool,
    next_due_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRequest {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: WireBody,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: WireBody,
    truncated: bool,
}

/// A body: a text, or the base 64 of its bytes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireBody {
    Text(String),
    Base64(String),
}

impl WireBody {
    fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Base64(STANDARD.encode(error.as_bytes())), Self::Text)
    }

    fn bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).map_err(|error| format!("a body is no base 64: {error}")),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<[u8; 16], String> {
    let wrong = || format!("`{}` is not 32 hexadecimal digits", text.chars().take(40).collect::<String>());
    if text.len() != 32 || !text.is_ascii() {
        return Err(wrong());
    }
    u128::from_str_radix(text, 16).map(u128::to_be_bytes).map_err(|_| wrong())
}

impl From<ArchivedKey> for WireKey {
    fn from(key: ArchivedKey) -> Self {
        let ArchivedKey { digest, event, deliveries, fingerprint, expires_at } = key;
        Self { digest: hex(&digest), event, deliveries, fingerprint: hex(&fingerprint), expires_at }
    }
}

impl WireKey {
    fn key(self) -> Result<ArchivedKey, String> {
        Ok(ArchivedKey {
            digest: from_hex(&self.digest)?,
            event: self.event,
            deliveries: self.deliveries,
            fingerprint: from_hex(&self.fingerprint)?,
            expires_at: self.expires_at,
        })
    }
}

impl WireEvent {
    fn of(archived: ArchivedEvent) -> Result<Self, String> {
        let ArchivedEvent { event, subscriptions, deliveries } = archived;
        Ok(Self {
            record: WireEventTag::Event,
            id: event.id,
            account: event.account,
            event_type: event.event_type,
            key: event.key,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            subscriptions,
            deliveries: deliveries.into_iter().map(WireDelivery::of).collect(),
            trace: event.data.trace().map(|trace| trace.to_string()),
            data: RawValue::from_string(event.data.text().to_owned()).map_err(|error| error.to_string())?,
        })
    }

    fn event(self) -> Result<ArchivedEvent, String> {
        let data = EventData::from_stored(self.data.get().into()).map_err(|error| error.to_string())?;
        let data = match &self.trace {
            Some(trace) => data.in_trace(trace.parse().map_err(|error: NoTraceContext| error.to_string())?),
            None => data,
        };
        let deliveries = self.deliveries.into_iter().map(|delivery| delivery.delivery(&self.account, &self.event_type));
        Ok(ArchivedEvent {
            deliveries: deliveries.collect::<Result<_, _>>()?,
            subscriptions: self.subscriptions,
            event: Event {
                id: self.id,
                account: self.account,
                event_type: self.event_type,
                key: self.key,
                occurred_at: self.occurred_at,
                received_at: self.received_at,
                data: data.into(),
            },
        })
    }
}

impl WireDelivery {
    fn of(archived: ArchivedDelivery) -> Self {
        let ArchivedDelivery { delivery, order_key, attempts } = archived;
        Self {
            id: delivery.id,
            subscription: delivery.subscription,
            template_version: delivery.template_version,
            attempts: delivery.attempts,
            last_outcome: delivery.last_outcome,
            created_at: delivery.created_at,
            state: match delivery.state {
                DeliveryState::Pending { due_at } | DeliveryState::Leased { until: due_at } => WireState::Pending { due_at },
                DeliveryState::Delivered { at } => WireState::Delivered { at },
                DeliveryState::Dead { at, reason } => WireState::Dead { at, reason },
                DeliveryState::Cancelled { at } => WireState::Cancelled { at },
            },
            order_key: order_key.map(|key| hex(&key)),
            attempt_log: attempts.into_iter().map(WireAttempt::of).collect(),
        }
    }

    fn delivery(self, account: &AccountId, event_type: &EventType) -> Result<ArchivedDelivery, String> {
        let state = match self.state {
            WireState::Pending { due_at } => DeliveryState::Pending { due_at },
            WireState::Delivered { at } => DeliveryState::Delivered { at },
            WireState::Dead { at, reason } => DeliveryState::Dead { at, reason },
            WireState::Cancelled { at } => DeliveryState::Cancelled { at },
        };
        let order_key: Option<OrderKey> = self.order_key.map(|key| from_hex(&key)).transpose()?;
        Ok(ArchivedDelivery {
            delivery: Delivery {
                id: self.id,
                subscription: self.subscription,
                account: account.clone(),
                event_type: event_type.clone(),
                template_version: self.template_version,
                attempts: self.attempts,
                last_outcome: self.last_outcome,
                created_at: self.created_at,
                // Restoring works it out again.
                behind: false,
                state,
            },
            order_key,
            attempts: self.attempt_log.into_iter().map(WireAttempt::attempt).collect::<Result<_, _>>()?,
        })
    }
}

impl WireAttempt {
    fn of(attempt: Attempt) -> Self {
        let request = attempt.request.map(|SentRequest { method, url, headers, body }| WireRequest {
            method,
            url,
            headers,
            body: WireBody::of(body),
        });
        let response = attempt.response.map(|ReceivedResponse { status, headers, body, truncated }| WireResponse {
            status,
            headers,
            body: WireBody::of(body),
            truncated,
        });
        Self {
            id: attempt.id,
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            outcome: attempt.outcome,
            reason: attempt.reason,
            request,
            response,
            possible_repeat: attempt.possible_repeat,
            next_due_at: attempt.next_due_at,
        }
    }

    fn attempt(self) -> Result<Attempt, String> {
        let request = self
            .request
            .map(|WireRequest { method, url, headers, body }| Ok::<_, String>(SentRequest { method, url, headers, body: body.bytes()? }));
        let response = self.response.map(|WireResponse { status, headers, body, truncated }| {
            Ok::<_, String>(ReceivedResponse { status, headers, body: body.bytes()?, truncated })
        });
        Ok(Attempt {
            id: self.id,
            number: self.number,
            started_at: self.started_at,
            duration_ms: self.duration_ms,
            outcome: self.outcome,
            reason: self.reason,
            request: request.transpose()?,
            response: response.transpose()?,
            possible_repeat: self.possible_repeat,
            next_due_at: self.next_due_at,
        })
    }
}

/// Writes an archive.
#[derive(Debug)]
pub struct LinesWriter<W> {
    output: W,
    lines: u64,
}

impl<W: Write> LinesWriter<W> {
    /// Begins an archive.
    ///
    /// # Errors
    /// [`ArchiveError::Io`] if the first line cannot be written.
    pub fn begin(output: W, created_at: Timestamp) -> Result<Self, ArchiveError> {
        let mut writer = Self { output, lines: 0 };
        writer.put(&WireLine::Header(Header::new(created_at)))?;
        Ok(writer)
    }

    /// Writes a key, an event, an entry of the audit log, or a document.
    ///
    /// # Errors
    /// [`ArchiveError::Io`] if it cannot be written.
    pub fn item(&mut self, item: Archived) -> Result<(), ArchiveError> {
        match item {
            Archived::Key(key) => self.put(&WireLine::Key(key.into())),
            Archived::Audit(record) => self.configuration(record),
            Archived::Document(Document { kind, id, revision, value }) => {
                self.put(&WireLine::Document(WireDocument { kind: kind.as_str().into(), id, revision, value }))
            }
            Archived::Event(event) => {
                let number = self.lines + 1;
                let event = WireEvent::of(*event).map_err(|detail| ArchiveError::Line { number, detail })?;
                self.put(&event)
            }
        }
    }

    /// Writes a record of configuration.
    ///
    /// # Errors
    /// [`ArchiveError::Io`] if it cannot be written.
    pub fn configuration(&mut self, record: ConfigurationRecord) -> Result<(), ArchiveError> {
        let ConfigurationRecord { kind, id, value } = record;
        self.put(&WireLine::Configuration(WireConfiguration { kind: kind.as_str().into(), id, value }))
    }

    /// Writes the last line; only then the archive is whole. Hands back where it was written to.
    ///
    /// # Errors
    /// [`ArchiveError::Io`] if it cannot be written.
    pub fn end(mut self) -> Result<W, ArchiveError> {
        let lines = self.lines + 1;
        self.put(&WireLine::End { lines })?;
        self.output.flush().map_err(|source| ArchiveError::Io { action: "written", source })?;
        Ok(self.output)
    }

    /// What was written since the last call, if the output keeps it.
    pub const fn output_mut(&mut self) -> &mut W {
        &mut self.output
    }

    fn put(&mut self, line: &impl Serialize) -> Result<(), ArchiveError> {
        let io = |source| ArchiveError::Io { action: "written", source };
        serde_json::to_writer(&mut self.output, line).map_err(|error| io(error.into()))?;
        self.output.write_all(b"\n").map_err(io)?;
        self.lines += 1;
        Ok(())
    }
}

/// Reads an archive line by line.
#[derive(Debug)]
pub struct LinesReader<R> {
    input: R,
    lines: u64,
    ended: bool,
}

impl<R: BufRead> LinesReader<R> {
    /// Begins to read an archive; its first line must be a header.
    ///
    /// # Errors
    /// [`ArchiveError`] if it is no archive or one of a later release.
    pub fn begin(input: R) -> Result<(Self, Header), ArchiveError> {
        let mut reader = Self { input, lines: 0, ended: false };
        match reader.read() {
            Ok(Some(Line::Header(header))) if header.format > FORMAT => Err(ArchiveError::LaterFormat { format: header.format }),
            Ok(Some(Line::Header(header))) => Ok((reader, header)),
            Err(error @ ArchiveError::Io { .. }) => Err(error),
            _ => Err(ArchiveError::NotAnArchive),
        }
    }

    /// The next line after the header; none after the last one.
    ///
    /// # Errors
    /// [`ArchiveError`] if the line is wrong, or if there is no last line.
    pub fn next_line(&mut self) -> Result<Option<Line>, ArchiveError> {
        if self.ended { Ok(None) } else { self.read() }
    }

    fn read(&mut self) -> Result<Option<Line>, ArchiveError> {
        let mut text = Vec::new();
        let limited = &mut io::Read::take(&mut self.input, LINE_BYTES_MAX as u64);
        limited.read_until(b'\n', &mut text).map_err(|source| ArchiveError::Io { action: "read", source })?;
        if text.pop() != Some(b'\n') {
            return Err(ArchiveError::CutOff { lines: self.lines });
        }
        self.lines += 1;
        let line = parse(&text).map_err(|detail| ArchiveError::Line { number: self.lines, detail })?;
        match line {
            Parsed::Line(line) => Ok(Some(line)),
            Parsed::End { lines } if lines == self.lines => {
                self.ended = true;
                Ok(None)
            }
            Parsed::End { lines } => {
                let detail = format!("the archive was written with {lines} lines and has {}", self.lines);
                Err(ArchiveError::Line { number: self.lines, detail })
            }
        }
    }
}

enum Parsed {
    Line(Line),
    End { lines: u64 },
}

fn parse(text: &[u8]) -> Result<Parsed, String> {
    if text.starts_with(br#"{"record":"event","#) {
        let event: WireEvent = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        return Ok(Parsed::Line(Line::Item(Archived::Event(Box::new(event.event()?)))));
    }
    Ok(match serde_json::from_slice(text).map_err(|error| error.to_string())? {
        WireLine::Header(header) => Parsed::Line(Line::Header(header)),
        WireLine::Key(key) => Parsed::Line(Line::Item(Archived::Key(key.key()?))),
        WireLine::Document(WireDocument { kind, id, revision, value }) => {
            let kind = DocumentKind::from_name(&kind).ok_or_else(|| format!("`{kind}` is no kind of document"))?;
            Parsed::Line(Line::Item(Archived::Document(Document { kind, id, revision, value })))
        }
        WireLine::Configuration(WireConfiguration { kind, id, value }) => {
            let kind = ConfigurationKind::from_name(&kind).ok_or_else(|| format!("`{kind}` is no kind of configuration"))?;
            let record = ConfigurationRecord { kind, id, value };
            Parsed::Line(if kind == ConfigurationKind::Audit { Line::Item(Archived::Audit(record)) } else { Line::Configuration(record) })
        }
        WireLine::End { lines } => Parsed::End { lines },
    })
}
