//! What is done with a connection, step by step.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::Stream;
use crate::clock::{Clock, SystemClock};

/// One thing done with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Writes these bytes one by one, each this long after the one before.
    Drip(Vec<u8>, Duration),
    /// Writes these bytes again and again until the other side goes.
    Flood(Vec<u8>),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing until the other side goes.
    Hang,
    /// Ends our own direction, and keeps the other one open until the other side goes.
    HalfClose,
    /// Closes the connection in order.
    Close,
    /// Breaks the connection off.
    Reset,
}

impl Step {
    /// Writes this text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Send(text.into().into_bytes())
    }
}

/// In which way steps ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of them were done; the connection can take another request.
    Sent,
    /// A step closed the connection.
    Closed,
    /// A step broke the connection off.
    Reset,
    /// The other side went away first.
    OtherSideLeft,
}

/// Does `steps`, and returns how they ended and how many bytes the network took; `total` counts these too.
pub(super) async fn run(steps: &[Step], stream: &mut Stream, total: &AtomicU64) -> (End, u64) {
    let mut writer = Writer { stream, total, sent: 0 };
    for step in steps {
        let written = match step {
            Step::Send(bytes) => writer.write(bytes).await,
            Step::Drip(bytes, pause) => writer.drip(bytes, *pause).await,
            Step::Flood(bytes) => writer.flood(bytes).await,
            Step::Pause(pause) => {
                tokio::time::sleep(*pause).await;
                Ok(())
            }
            Step::Hang => {
                hang(writer.stream).await;
                return (End::OtherSideLeft, writer.sent);
            }
            Step::HalfClose => {
                let _ = writer.stream.shutdown().await;
                hang(writer.stream).await;
                return (End::Closed, writer.sent);
            }
            Step::Close => {
                let _ = writer.stream.shutdown().await;
                return (End::Closed, writer.sent);
            }
            Step::Reset => {
                let _ = writer.stream.set_zero_linger();
                return (End::Reset, writer.sent);
            }
        };
        if written.is_err() {
            return (End::OtherSideLeft, writer.sent);
        }
    }
    (End::Sent, writer.sent)
}

struct Writer<'a> {
    stream: &'a mut Stream,
    total: &'a AtomicU64,
    sent: u64,
}

impl Writer<'_> {
    async fn write(&mut self, mut rest: &[u8]) -> std::io::Result<()> {
        while !rest.is_empty() {
            let count = self.stream.write(rest).await?;
            self.sent += count as u64;
            self.total.fetch_add(count as u64, Ordering::SeqCst);
            rest = &rest[count..];
        }
        self.stream.flush().await
    }

    /// Keeps to the plan from the first byte on: what the timer was late for is written at once, so that
    /// rates beyond the timer's thousand a second hold as well.
    async fn drip(&mut self, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
        let started = SystemClock.instant();
        let mut written = 0;
        while written < bytes.len() {
            let passed = SystemClock.instant().duration_since(started);
            let due = if pause.is_zero() { bytes.len() } else { (passed.as_nanos() / pause.as_nanos()) as usize + 1 };
            let due = due.min(bytes.len());
            self.write(&bytes[written..due]).await?;
            written = due;
            let next = started + pause.saturating_mul(u32::try_from(written).unwrap_or(u32::MAX));
            tokio::time::sleep_until(next).await;
        }
        Ok(())
    }

    async fn flood(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        loop {
            self.write(bytes).await?;
        }
    }
}

async fn hang(stream: &mut Stream) {
    let mut scrap = [0; 1024];
    while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
}
