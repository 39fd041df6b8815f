//! A plain HTTP client on a raw connection, so that tests can also send what a polite client would not.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::documented;

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.body))
    }

    /// Head and body without what differs between any two answers: the date and the id of the request.
    #[allow(dead_code, reason = "not every test crate compares answers")]
    pub fn comparable(&self) -> String {
        let head: Vec<_> = self.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect();
        let id = self.header("x-request-id").unwrap_or("no id");
        format!("{}\n\n{}", head.join("\n"), self.body).replace(id, "{request}")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub key: String,
}

impl Client {
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"").await.unwrap()
    }

    pub async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.call("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes()).await.unwrap()
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.call(method, path, headers, body).await.unwrap()
    }

    /// Answers with an error if the server goes away meanwhile.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n", self.address, body.len());
        if !self.key.is_empty() {
            head.push_str(&format!("Authorization: Bearer {}\r\n", self.key));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await?;
        let text = String::from_utf8_lossy(&received).into_owned();
        let broken = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer is cut off");
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
        let announced = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:").and_then(|length| length.trim().parse::<usize>().ok())
        });
        if method != "HEAD" && announced.is_some_and(|length| body.len() < length) {
            return Err(broken());
        }
        let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
        documented::check(method, path, &answer);
        Ok(answer)
    }
}
