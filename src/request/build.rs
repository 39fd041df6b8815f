//! The request of one delivery, made from its subscription's template.

use serde_json::Value;

use super::guard::parse_target;
use super::send::USER_AGENT;
use crate::attempt::{Failure, FailureKind, SentRequest};
use crate::clock::Timestamp;
use crate::event::{Event, TraceContext, catalogue};
use crate::id::DeliveryId;
use crate::rng::mix;
use crate::subscription::{BodyFormat, Method, RequestSpec};
use crate::template::{Finding, Format, Names, Template, Values};

const TRACEPARENT: &str = "traceparent";

/// Longest URL that is sent; receivers take no longer ones.
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// A compiled request template. Compile once per version of a subscription, render per attempt.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    method: Method,
    url: Template,
    headers: Vec<(String, Template)>,
    body_format: BodyFormat,
    body: Option<Template>,
    identification_headers: bool,
    trace_context: bool,
}

/// What a request tells about its delivery beyond the event.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryFacts {
    /// The delivery; the same on every attempt.
    pub id: DeliveryId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The time of the attempt.
    pub at: Timestamp,
}

/// Why no request came out of a template.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// A part does not render.
    #[error("the {part} was not rendered: {}", .finding.message)]
    NotRendered {
        /// Which part: `url`, `body`, or the header's name.
        part: String,
        /// What is wrong.
        finding: Box<Finding>,
    },
    /// The URL that came out is none that can be sent to.
    #[error("{detail}")]
    BadUrl {
        /// What is wrong and what to do.
        detail: String,
    },
    /// The URL is longer than receivers take.
    #[error("the URL has {bytes} bytes; at most {URL_BYTES_MAX} are sent, put long values into the body of a POST")]
    UrlTooLong {
        /// Its length.
        bytes: usize,
    },
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let kind = match error {
            BuildError::BadUrl { .. } => FailureKind::BadUrl,
            BuildError::NotRendered { .. } | BuildError::UrlTooLong { .. } => FailureKind::NotRendered,
        };
        Self { kind, detail: error.to_string() }
    }
}

impl RequestTemplate {
    /// Compiles the templates of `request`; `names` are the macro names they may use.
    ///
    /// # Errors
    /// [`BuildError::NotRendered`] with the first fault. A stored subscription was compiled before it
    /// was saved, so that this fails only if its account's fields changed since.
    pub fn compile(request: &RequestSpec, names: &dyn Names) -> Result<Self, BuildError> {
        let compile = |part: &str, format: Format, source: &str| {
            Template::compile(request.engine, format, source, names).map_err(|mut findings| BuildError::NotRendered {
                part: part.into(),
                finding: Box::new(findings.swap_remove(findings.iter().position(Finding::is_error).unwrap_or(0))),
            })
        };
        let body_format = match request.body_format {
            BodyFormat::Query => Format::Query,
            BodyFormat::Json => Format::Json,
            BodyFormat::Xml => Format::Xml,
            BodyFormat::Raw => Format::Raw,
        };
        let headers = request
            .headers
            .iter()
            .map(|header| Ok((header.name.clone(), compile(&header.name, Format::Header, &header.value)?)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            method: request.method,
            url: compile("url", Format::Url, &request.url)?,
            headers,
            body_format: request.body_format,
            body: if request.body.is_empty() { None } else { Some(compile("body", body_format, &request.body)?) },
            identification_headers: request.identification_headers,
            trace_context: request.trace_context,
        })
    }

    /// The request for one attempt of a delivery of `event`.
    ///
    /// # Errors
    /// [`BuildError`] if a part does not render for this event.
    pub fn build(&self, event: &Event, facts: &DeliveryFacts) -> Result<SentRequest, BuildError> {
        let extra = system_values(event, facts);
        let values = Values { event: event.data.fields(), extra: &extra };
        let render = |part: &str, template: &Template| {
            template.render(&values).map_err(|finding| BuildError::NotRendered { part: part.into(), finding })
        };
        let mut url = render("url", &self.url)?;
        let mut body = match &self.body {
            Some(template) => render("body", template)?,
            None => String::new(),
        };
        if !self.method.has_body() {
            add_to_query(&mut url, &body);
            body.clear();
        }
        if url.len() > URL_BYTES_MAX {
            return Err(BuildError::UrlTooLong { bytes: url.len() });
        }
        // What is recorded is what is sent: the URL in the spelling of the parser that the sender uses.
        let url = parse_target(&url).map_err(|refused| BuildError::BadUrl { detail: refused.detail })?;
        let mut headers = Vec::with_capacity(self.headers.len() + 6);
        if self.method.has_body() && self.body.is_some() && !self.sets("Content-Type") {
            headers.push(("Content-Type".into(), content_type(self.body_format).into()));
        }
        for (name, template) in &self.headers {
            headers.push((name.clone(), render(name, template)?));
        }
        for (name, value) in [("User-Agent", USER_AGENT), ("Accept", "*/*")] {
            if !self.sets(name) {
                headers.push((name.into(), value.into()));
            }
        }
        if self.identification_headers {
            self.identify(&mut headers, event, facts);
        }
        if self.trace_context && !self.sets(TRACEPARENT) {
            headers.push((TRACEPARENT.into(), trace_of(event, facts).to_string()));
        }
        Ok(SentRequest { method: self.method.as_str().into(), url: url.into(), headers, body: body.into_bytes() })
    }

    /// Adds our own headers; one that the subscription sets itself stays as it is.
    fn identify(&self, headers: &mut Vec<(String, String)>, event: &Event, facts: &DeliveryFacts) {
        let own = [
            ("Idempotency-Key", facts.id.to_string()),
            ("Postrider-Event-Type", event.event_type.to_string()),
            ("Postrider-Attempt", facts.attempt.to_string()),
        ];
        for (name, value) in own {
            if !self.sets(name) {
                headers.push((name.into(), value));
            }
        }
    }

    /// Whether the subscription sets this header itself.
    fn sets(&self, name: &str) -> bool {
        self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }
}

/// The place of a request in a trace: the span is the attempt, and the trace the one in which the event was
/// reported, else the event itself, the same for all its deliveries. Whether it is recorded is for whoever
/// began the trace to say.
#[must_use]
pub fn trace_of(event: &Event, facts: &DeliveryFacts) -> TraceContext {
    let delivery = facts.id.raw();
    let span = mix((delivery >> 64) as u64) ^ mix(delivery as u64).rotate_left(17) ^ mix(u64::from(facts.attempt));
    let reported_in = event.data.trace();
    TraceContext {
        trace: reported_in.map_or_else(|| facts.id.event().raw(), |reported| reported.trace),
        span: span.max(1),
        is_sampled: reported_in.is_some_and(|reported| reported.is_sampled),
    }
}

/// The macros that every family has and the event does not carry.
fn system_values(event: &Event, facts: &DeliveryFacts) -> [(&'static str, Value); 5] {
    let name = event.event_type.as_str();
    let family = catalogue::find(name).map_or_else(|| name.split('.').next().unwrap_or(name), |entry| entry.family.code());
    [
        ("NotificationId", Value::String(facts.id.to_string())),
        ("EventFamily", Value::String(family.into())),
        ("EventKind", Value::String(name.rsplit('.').next().unwrap_or(name).into())),
        ("SentDate", Value::String(facts.at.to_string())),
        ("Attempt", Value::String(facts.attempt.to_string())),
    ]
}

/// Adds `query` to the query of `url`, before a fragment.
fn add_to_query(url: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let end = url.find('#').unwrap_or(url.len());
    let head = &url[..end];
    let joint = match head.find('?') {
        None => "?",
        Some(_) if head.ends_with(['?', '&']) => "",
        Some(_) => "&",
    };
    url.insert_str(end, &format!("{joint}{query}"));
}

const fn content_type(format: BodyFormat) -> &'static str {
    match format {
        BodyFormat::Query => "application/x-www-form-urlencoded",
        BodyFormat::Json => "application/json",
        BodyFormat::Xml => "application/xml",
        BodyFormat::Raw => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_is_the_callers_or_the_event_and_the_span_the_attempt() {
        let id = crate::id::EventId::from_raw(1 << 80);
        let mut event = Event {
            id,
            account: "acme".parse().unwrap(),
            event_type: "action.tracked".parse().unwrap(),
            key: None,
            occurred_at: Timestamp::default(),
            received_at: Timestamp::default(),
            data: crate::event::EventData::parse("{}").unwrap().into(),
        };
        let of = |event: &Event, number, attempt| {
            let facts = DeliveryFacts { id: DeliveryId::of(id, number), attempt, at: Timestamp::default() };
            trace_of(event, &facts).to_string().split('-').map(str::to_owned).collect::<Vec<_>>()
        };
        let reported = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let span = of(&event, 1, 1)[2].clone();
        let all = [of(&event, 1, 1), of(&event, 1, 2), of(&event, 2, 1)];
        for parts in &all {
            assert_eq!((parts[0].as_str(), parts[1].as_str(), parts[3].as_str()), ("00", "00000000000100000000000000000000", "00"));
            assert!(parts[2].len() == 16 && parts[2] != "0000000000000000");
        }
        assert!(all[0][2] != all[1][2] && all[0][2] != all[2][2]);
        event.data = crate::event::EventData::parse("{}").unwrap().in_trace(reported.parse().unwrap()).into();
        assert_eq!(of(&event, 1, 1), ["00", "0af7651916cd43dd8448eb211c80319c", &span, "01"]);
    }

    #[test]
    fn a_query_is_added_before_the_fragment() {
        let table = [
            ("https://t.example/p", "a=1", "https://t.example/p?a=1"),
            ("https://t.example/p?x=1", "a=1", "https://t.example/p?x=1&a=1"),
            ("https://t.example/p?", "a=1", "https://t.example/p?a=1"),
            ("https://t.example/p?x=1&", "a=1", "https://t.example/p?x=1&a=1"),
            ("https://t.example/p#top", "a=1", "https://t.example/p?a=1#top"),
            ("https://t.example/p", "", "https://t.example/p"),
        ];
        for (url, query, expected) in table {
            let mut url = url.to_owned();
            add_to_query(&mut url, query);
            assert_eq!(url, expected);
        }
    }
}
