//! Clients that take their time, or a place.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Running;
use crate::wire::until_closed;

const EVENT: &str = r#"{"account":"acme","type":"action.tracked","data":{"ActionId":"1"}}"#;

/// A server that waits a second for what others wait longer for.
async fn impatient() -> Running {
    Running::with(|settings| {
        settings.store = "memory:".into();
        (settings.request_head_s, settings.request_body_s, settings.connection_idle_s) = (1, 1, 1);
    })
    .await
}

/// Writes byte by byte until the other side has had enough.
async fn drip(stream: TcpStream, bytes: Vec<u8>) -> crate::wire::Received {
    let (mut read, mut write) = stream.into_split();
    let drip = tokio::spawn(async move {
        for byte in bytes.iter().cycle() {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut received = Vec::new();
    let ended = tokio::time::timeout(crate::wire::PATIENCE, read.read_to_end(&mut received)).await;
    drip.abort();
    assert!(ended.is_ok(), "the connection stayed open after {}", String::from_utf8_lossy(&received));
    crate::wire::Received { text: String::from_utf8_lossy(&received).into_owned() }
}

#[tokio::test]
async fn g12_clients_that_say_nothing_or_little_are_let_go() {
    let running = impatient().await;
    let address = running.client.address;
    let key = &running.client.key;
    let starts = [
        ("nothing", String::new()),
        ("the beginning of HTTP/2", "PRI * HTTP/2".to_owned()),
        ("HTTP/2 and then nothing", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("half a head", "POST /v1/events HTTP/1.1\r\nHost: x\r\nX-A: ".to_owned()),
        ("a whole request, and then nothing", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (
            "a head without its body",
            format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 100\r\n\r\n"),
        ),
    ];
    let waits = starts.into_iter().map(|(name, start)| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let received = until_closed(&mut stream).await;
        let expected = match name {
            "a whole request, and then nothing" => Some(200),
            "a head without its body" => Some(408),
            _ => received.status().filter(|status| *status == 408),
        };
        assert_eq!(received.status(), expected, "{name}: {}", received.text);
    });
    futures_util::future::join_all(waits).await;
}

#[tokio::test]
async fn g12_heads_and_bodies_that_drip_for_ever_are_ended() {
    let running = impatient().await;
    let address = running.client.address;
    let authorized = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", running.client.key);
    let table = [
        ("a head", "GET /healthz HTTP/1.1\r\n".to_owned(), b"X-A: b\r\n".to_vec(), None),
        ("a body with a length", format!("{authorized}Content-Length: 1000000\r\n\r\n"), b" ".to_vec(), Some("body_too_slow")),
        ("a body in chunks", format!("{authorized}Transfer-Encoding: chunked\r\n\r\n"), b"1\r\n \r\n".to_vec(), Some("body_too_slow")),
    ];
    let drips = table.into_iter().map(|(name, start, bytes, code)| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let received = drip(stream, bytes).await;
        assert!(received.status().is_none_or(|status| status == 408), "{name}: {}", received.text);
        assert!(code.is_none_or(|code| received.text.contains(code)), "{name}: {}", received.text);
    });
    let others = async {
        for _ in 0..20 {
            assert_eq!(running.client.post("/v1/events", EVENT).await.status, 202, "others are served meanwhile");
        }
    };
    tokio::join!(futures_util::future::join_all(drips), others);
}

#[tokio::test]
async fn g12_one_address_does_not_take_all_places() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.connections_per_address_max = 3;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(running.client.address).await.unwrap();
        // Answered, so that it is sure to have been counted.
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        held.push(stream);
    }
    assert!(running.client.call("GET", "/healthz", &[], b"").await.is_err(), "a fourth connection is closed at once");
    drop(held.pop());
    let mut served = false;
    for _ in 0..500 {
        served = running.client.call("GET", "/healthz", &[], b"").await.is_ok();
        if served {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(served, "a place that was left is free again");
}

#[tokio::test]
async fn g11_large_requests_are_refused_before_they_are_read_whole() {
    let running = Running::start().await;
    let head = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", running.client.key);
    for framing in ["Content-Length: 1000000000000", "Transfer-Encoding: chunked"] {
        let mut stream = TcpStream::connect(running.client.address).await.unwrap();
        stream.write_all(format!("{head}{framing}\r\n\r\n").as_bytes()).await.unwrap();
        let chunk = if framing.starts_with('T') {
            [b"10000\r\n".to_vec(), vec![b' '; 65_536], b"\r\n".to_vec()].concat()
        } else {
            vec![b' '; 65_536]
        };
        let mut written = 0_usize;
        while written < 64 << 20 && stream.write_all(&chunk).await.is_ok() {
            written += chunk.len();
        }
        assert!(written < 64 << 20, "{framing}: {written} bytes were taken");
        let received = until_closed(&mut stream).await;
        // The answer may be lost in the reset of a connection that still sends.
        assert!(received.status().is_none_or(|status| status == 413), "{framing}: {}", received.text);
    }
    let many = format!("[{}]", vec![EVENT; 10_000].join(","));
    let answer = running.client.post("/v1/events", &many).await;
    assert_eq!((answer.status, answer.json()["errors"][0]["code"].clone()), (422, json!("too_many_events")));
    assert_eq!(running.client.get("/v1/events").await.json()["data"], json!([]));
}
