//! Traces for a collector: a span for each accepted event and for each attempt, sent by OTLP.
//!
//! Spans are made where things happen and handed to a task that sends them, in batches and as JSON, which
//! every collector takes beside protobuf and which needs no code beside what is here already. Nobody waits
//! for the collector: what it does not take in time is dropped and counted in the log. What is in a span
//! is what is in the log: ids, the host, statuses and times; no path, header or body.
//!
//! Sources: the OpenTelemetry protocol 1.9 (HTTP, JSON), W3C Trace Context.

mod export;
mod settings;
mod span;

pub use export::{ExportError, Exporter};
pub use settings::{OtlpError, OtlpSettings};
pub use span::{Span, Spans};
