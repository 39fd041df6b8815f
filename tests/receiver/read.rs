//! Reads requests off a connection: a head, and a body by announced length or in chunks.

use std::io::{self, ErrorKind};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const HEAD_BYTES_MAX: usize = 256 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The parts of a request.
pub(super) struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The next request; none if the other side closed between two. `buffer` keeps what came too early.
pub(super) async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let head = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break take(buffer, end + 4);
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        if !more(stream, buffer).await? {
            return if buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
    };
    let mut request = parse_head(&head).ok_or(ErrorKind::InvalidData)?;
    let value_of =
        |name: &str| request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    request.body = match (value_of("transfer-encoding"), value_of("content-length")) {
        (Some(_), _) => chunks(stream, buffer).await?,
        (None, Some(length)) => exactly(stream, buffer, length.parse().map_err(|_| ErrorKind::InvalidData)?).await?,
        (None, None) => Vec::new(),
    };
    Ok(Some(request))
}

fn parse_head(head: &[u8]) -> Option<Request> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines.map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())));
    Some(Request { method, target, headers: headers.collect::<Option<_>>()?, body: Vec::new() })
}

async fn chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = line(stream, buffer).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| ErrorKind::InvalidData)?;
        if size == 0 {
            while !self::line(stream, buffer).await?.is_empty() {}
            return Ok(body);
        }
        if body.len().saturating_add(size) > BODY_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        body.extend(exactly(stream, buffer, size).await?);
        exactly(stream, buffer, 2).await?;
    }
}

async fn line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<String> {
    loop {
        if let Some(end) = find(buffer, b"\r\n") {
            let line = take(buffer, end + 2);
            return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        if buffer.len() > HEAD_BYTES_MAX || !more(stream, buffer).await? {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}

async fn exactly(stream: &mut TcpStream, buffer: &mut Vec<u8>, size: usize) -> io::Result<Vec<u8>> {
    if size > BODY_BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    while buffer.len() < size {
        if !more(stream, buffer).await? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(take(buffer, size))
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
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
