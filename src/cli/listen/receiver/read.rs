//! Reads requests off a connection: a head, and a body by announced length or in chunks.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::Stream;

/// Largest head that is read.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Largest body that is read.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why no request was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The other side left in the middle of it.
    #[error("the other side left in the middle of a request")]
    Incomplete,
    /// It is larger than what is read.
    #[error("the {part} has more than {limit} bytes")]
    TooLarge {
        /// The head or the body.
        part: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It is no HTTP/1.
    #[error("what came is no HTTP/1 request: {detail}; is it `https` instead of `http`?")]
    NotHttp {
        /// What is wrong.
        detail: &'static str,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// The network failed.
    #[error("the connection broke")]
    Network(#[from] io::Error),
}

const fn not_http(detail: &'static str) -> ReadError {
    ReadError::NotHttp { detail }
}

/// The parts of a request.
pub(super) struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the other side wants the connection closed after the answer.
    pub is_last: bool,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The next request; none if the other side closed between two. `buffer` keeps what came too early.
pub(super) async fn request(stream: &mut Stream, buffer: &mut Vec<u8>) -> Result<Option<Request>, ReadError> {
    let head = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break take(buffer, end + 4);
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(ReadError::TooLarge { part: "head", limit: HEAD_BYTES_MAX });
        }
        // TLS begins with a byte that no method has; a head will never come.
        if buffer.first().is_some_and(u8::is_ascii_control) {
            return Err(not_http("it begins with a control character"));
        }
        match more(stream, buffer).await {
            Ok(true) => {}
            // Between two requests it does not matter how a connection ends.
            Ok(false) | Err(_) if buffer.is_empty() => return Ok(None),
            Ok(false) => return Err(ReadError::Incomplete),
            Err(error) => return Err(error.into()),
        }
    };
    let mut request = parse_head(&head)?;
    // Whoever asks whether to go on (curl does, for large bodies) waits for the answer.
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) && buffer.is_empty() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    request.body = match (request.header("transfer-encoding"), request.header("content-length")) {
        (Some(_), _) => chunks(stream, buffer).await?,
        (None, Some(length)) => {
            let length = length.parse().map_err(|_| not_http("its Content-Length is no number"))?;
            exactly(stream, buffer, length).await?
        }
        (None, None) => Vec::new(),
    };
    Ok(Some(request))
}

fn parse_head(head: &[u8]) -> Result<Request, ReadError> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (first.next(), first.next(), first.next(), first.next()) else {
        return Err(not_http("its first line is not method, target and version"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(not_http("its version is not HTTP/1"));
    }
    let headers = lines.map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())));
    let headers = headers.collect::<Option<_>>().ok_or(not_http("a header line has no colon"))?;
    let mut request = Request { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new(), is_last: false };
    let connection = request.header("connection").unwrap_or_default().to_ascii_lowercase();
    request.is_last = connection.contains("close") || (version == "HTTP/1.0" && !connection.contains("keep-alive"));
    Ok(request)
}

async fn chunks(stream: &mut Stream, buffer: &mut Vec<u8>) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    loop {
        let line = line(stream, buffer).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| not_http("the size of a chunk is no number"))?;
        if size == 0 {
            while !self::line(stream, buffer).await?.is_empty() {}
            return Ok(body);
        }
        if body.len().saturating_add(size) > BODY_BYTES_MAX {
            return Err(ReadError::TooLarge { part: "body", limit: BODY_BYTES_MAX });
        }
        body.extend(exactly(stream, buffer, size).await?);
        exactly(stream, buffer, 2).await?;
    }
}

async fn line(stream: &mut Stream, buffer: &mut Vec<u8>) -> Result<String, ReadError> {
    loop {
        if let Some(end) = find(buffer, b"\r\n") {
            let line = take(buffer, end + 2);
            return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(ReadError::TooLarge { part: "head", limit: HEAD_BYTES_MAX });
        }
        if !more(stream, buffer).await? {
            return Err(ReadError::Incomplete);
        }
    }
}

async fn exactly(stream: &mut Stream, buffer: &mut Vec<u8>, size: usize) -> Result<Vec<u8>, ReadError> {
    if size > BODY_BYTES_MAX {
        return Err(ReadError::TooLarge { part: "body", limit: BODY_BYTES_MAX });
    }
    while buffer.len() < size {
        if !more(stream, buffer).await? {
            return Err(ReadError::Incomplete);
        }
    }
    Ok(take(buffer, size))
}

async fn more(stream: &mut Stream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    buffer.reserve(4096);
    Ok(stream.read_buf(buffer).await? > 0)
}

fn take(buffer: &mut Vec<u8>, size: usize) -> Vec<u8> {
    let rest = buffer.split_off(size);
    std::mem::replace(buffer, rest)
}

fn find(buffer: &[u8], wanted: &[u8]) -> Option<usize> {
    buffer.windows(wanted.len()).position(|window| window == wanted)
}
