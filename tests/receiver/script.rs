//! What a receiver does with a connection.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Arrived;

/// One thing done with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Writes these bytes one at a time, with a pause after each.
    Drip(Vec<u8>, Duration),
    /// Writes these bytes again and again until the other side goes.
    Flood(Vec<u8>),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing until the other side goes.
    Hang,
    /// Closes the connection in order.
    Close,
    /// Breaks the connection off.
    Reset,
}

impl Step {
    /// Writes this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Send(text.into().into_bytes())
    }
}

type Answerer = Arc<dyn Fn(&Arrived) -> Vec<Step> + Send + Sync>;

/// What a receiver does. After the steps for a request it reads the next one on the same connection,
/// unless a step ended it.
#[derive(Clone)]
pub struct Script {
    pub(super) before_reading: Vec<Step>,
    pub(super) answer: Answerer,
}

impl Script {
    /// The same steps for every request.
    pub fn always(steps: Vec<Step>) -> Self {
        Self::each(move |_| steps.clone())
    }

    /// Steps by request.
    pub fn each(answer: impl Fn(&Arrived) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self { before_reading: Vec::new(), answer: Arc::new(answer) }
    }

    /// The first steps for the first request and so on; the last ones repeat.
    pub fn in_turn(answers: Vec<Vec<Step>>) -> Self {
        let turn = AtomicUsize::new(0);
        Self::each(move |_| {
            let turn = turn.fetch_add(1, Ordering::SeqCst);
            answers.get(turn).or(answers.last()).cloned().unwrap_or_default()
        })
    }

    /// These steps on every connection before anything is read.
    pub fn on_connect(steps: Vec<Step>) -> Self {
        Self { before_reading: steps, ..Self::always(ok()) }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("before_reading", &self.before_reading).finish_non_exhaustive()
    }
}

/// A whole answer with its length announced.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<Step> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    vec![Step::Send(bytes)]
}

/// Status 200 and `OK`.
pub fn ok() -> Vec<Step> {
    answer(200, &[], "OK")
}

/// Whether the connection can take another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Open,
    Over,
}

pub(super) async fn run(steps: &[Step], stream: &mut TcpStream, sent: &AtomicU64) -> After {
    for step in steps {
        let written = match step {
            Step::Send(bytes) => write(stream, bytes, sent).await,
            Step::Drip(bytes, pause) => drip(stream, bytes, *pause, sent).await,
            Step::Flood(bytes) => flood(stream, bytes, sent).await,
            Step::Pause(pause) => {
                tokio::time::sleep(*pause).await;
                Ok(())
            }
            Step::Hang => {
                hang(stream).await;
                return After::Over;
            }
            Step::Close => {
                let _ = stream.shutdown().await;
                return After::Over;
            }
            Step::Reset => {
                let _ = stream.set_zero_linger();
                return After::Over;
            }
        };
        if written.is_err() {
            return After::Over;
        }
    }
    After::Open
}

async fn write(stream: &mut TcpStream, bytes: &[u8], sent: &AtomicU64) -> std::io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = stream.write(rest).await?;
        sent.fetch_add(count as u64, Ordering::SeqCst);
        rest = &rest[count..];
    }
    Ok(())
}

async fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration, sent: &AtomicU64) -> std::io::Result<()> {
    for byte in bytes {
        write(stream, std::slice::from_ref(byte), sent).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn flood(stream: &mut TcpStream, bytes: &[u8], sent: &AtomicU64) -> std::io::Result<()> {
    loop {
        write(stream, bytes, sent).await?;
    }
}

async fn hang(stream: &mut TcpStream) {
    let mut scrap = [0; 1024];
    while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
}
