//! Receivers that speak HTTP/2: what is ordinary, and what breaks or stretches its rules.

use super::receiver::http2::{ACK, Act, END_HEADERS, END_STREAM, FrameReceiver, STATUS_200, frame, kind};
use super::receiver::tls::KeepingReceiver;
use super::*;

const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;
const NO_ERROR: u32 = 0;

fn hello() -> Vec<Act> {
    vec![Act::Send(frame(kind::SETTINGS, 0, 0, &[]))]
}

fn ok_on(stream: u32) -> Vec<Act> {
    vec![Act::Send(frame(kind::HEADERS, END_HEADERS, stream, STATUS_200)), Act::Send(frame(kind::DATA, END_STREAM, stream, b"OK"))]
}

fn go_away(last_stream: u32, code: u32) -> Act {
    Act::Send(frame(kind::GOAWAY, 0, 0, &[last_stream.to_be_bytes(), code.to_be_bytes()].concat()))
}

fn reset(stream: u32, code: u32) -> Act {
    Act::Send(frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes()))
}

fn post_to(addr: SocketAddr) -> SentRequest {
    SentRequest { method: "POST".into(), body: b"x".to_vec(), ..get(format!("https://villain.test:{}/?secret=geheim", addr.port())) }
}

fn trusting_villain() -> HttpTransport {
    trusting(ScriptedLookup::answering(&[&[LOOPBACK]]))
}

async fn exchange_with_frames(
    greeting: Vec<Act>,
    answer: impl Fn(u32) -> Vec<Act> + Send + Sync + 'static,
    timeout: Duration,
) -> (Exchange, FrameReceiver) {
    let receiver = FrameReceiver::start(greeting, answer).await.unwrap();
    let exchange = trusting_villain().send(Outgoing::new(&post_to(receiver.addr()), timeout)).await;
    (exchange, receiver)
}

#[tokio::test]
async fn a_receiver_that_speaks_http_2_is_answered_over_one_connection() {
    let receiver = KeepingReceiver::start(None).await.unwrap();
    let transport = trusting_villain();
    let requests: Vec<_> = (0..10).map(|_| post_to(receiver.addr())).collect();
    answered(transport.send(Outgoing::new(&requests[0], LONG)).await);
    for exchange in futures_util::future::join_all(requests.iter().map(|request| transport.send(Outgoing::new(request, LONG)))).await {
        assert_eq!(answered(exchange).body, b"OK");
    }
    assert_eq!((receiver.handshakes().len(), receiver.versions()), (1, vec![hyper::Version::HTTP_2; 11]));
    let (exchange, scripted) = exchange_with_frames(hello(), ok_on, LONG).await;
    assert_eq!((answered(exchange).body.as_slice(), scripted.requests()), (&b"OK"[..], 1));
}

#[tokio::test]
async fn c11_what_a_receiver_refuses_or_breaks_off_is_one_request_and_a_failed_one() {
    type Answer = fn(u32) -> Vec<Act>;
    let table: [(&str, Answer, FailureKind); 8] = [
        ("a refused stream", |stream| vec![reset(stream, REFUSED_STREAM)], FailureKind::Connection),
        ("a reset stream", |stream| vec![reset(stream, INTERNAL_ERROR)], FailureKind::Connection),
        ("go away before the request", |_| vec![go_away(0, NO_ERROR), Act::Close], FailureKind::Connection),
        ("go away with an error", |stream| vec![go_away(stream, INTERNAL_ERROR), Act::Close], FailureKind::Connection),
        ("the connection closed", |_| vec![Act::Close], FailureKind::Connection),
        (
            "a body that is reset",
            |stream| vec![Act::Send(frame(kind::HEADERS, END_HEADERS, stream, STATUS_200)), reset(stream, INTERNAL_ERROR)],
            FailureKind::Connection,
        ),
        ("no HTTP/2", |_| vec![Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK".to_vec())], FailureKind::Protocol),
        ("headers that are none", |stream| vec![Act::Send(frame(kind::HEADERS, END_HEADERS, stream, &[0xff; 20]))], FailureKind::Protocol),
    ];
    for (name, answer, kind) in table {
        let (exchange, receiver) = exchange_with_frames(hello(), answer, LONG).await;
        let failure = failed(exchange);
        assert_eq!((failure.kind, receiver.requests()), (kind, 1), "{name}: {}", failure.detail);
        assert!(!failure.detail.contains("geheim") && failure.detail.contains("villain.test"), "{name}: {}", failure.detail);
    }
}

#[tokio::test]
async fn c11_a_request_is_not_repeated_when_its_connection_is_asked_to_go() {
    // Each connection takes one request; the second learns that it was not looked at, and may be sent elsewhere.
    let answer = |stream| if stream == 1 { ok_on(1) } else { vec![go_away(1, NO_ERROR), Act::Close] };
    let receiver = FrameReceiver::start(hello(), answer).await.unwrap();
    let transport = trusting_villain();
    let request = post_to(receiver.addr());
    answered(transport.send(Outgoing::new(&request, LONG)).await);
    assert_eq!(failed(transport.send(Outgoing::new(&request, LONG)).await).kind, FailureKind::Connection);
    assert_eq!(receiver.requests(), 2);
    answered(transport.send(Outgoing::new(&request, LONG)).await);
    assert_eq!((receiver.requests(), receiver.connections()), (3, 2));
}

#[tokio::test]
async fn c11_an_answer_after_an_orderly_go_away_counts() {
    let (exchange, receiver) =
        exchange_with_frames(hello(), |stream| [vec![go_away(stream, NO_ERROR)], ok_on(stream)].concat(), LONG).await;
    assert_eq!((answered(exchange).status, receiver.requests()), (200, 1));
}

#[tokio::test]
async fn c11_no_streams_allowed_ends_at_the_time_limit_without_a_request() {
    // SETTINGS_MAX_CONCURRENT_STREAMS: 0. It may arrive after the first request left, so one goes ahead.
    let none = Act::Send(frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]));
    let receiver = FrameReceiver::start(vec![none], ok_on).await.unwrap();
    let transport = trusting_villain();
    let request = post_to(receiver.addr());
    let _ = transport.send(Outgoing::new(&request, SHORT)).await;
    let before = receiver.requests();
    let failure = failed(transport.send(Outgoing::new(&request, SHORT)).await);
    assert_eq!(failure.kind, FailureKind::TimedOut, "{}", failure.detail);
    assert_eq!(receiver.requests(), before);
}

/// Whatever is poured in, the exchange ends, and others go on meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_floods_end_at_a_limit_and_harm_nobody_else() {
    let ping = frame(kind::PING, 0, 0, &[7; 8]);
    let settings = frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    let head = frame(kind::HEADERS, 0, 1, STATUS_200);
    // A literal header, never indexed, with a name of one and a value of a hundred bytes.
    let continuation = frame(kind::CONTINUATION, 0, 1, &[&[0x10, 1, b'x', 100][..], &[b'y'; 100]].concat());
    let open = frame(kind::HEADERS, END_HEADERS, 1, STATUS_200);
    let empty = frame(kind::DATA, 0, 1, &[]);
    let early = frame(kind::HEADERS, END_HEADERS, 1, &[0x08, 3, b'1', b'0', b'2']);
    let floods: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("settings", vec![], settings.repeat(100)),
        ("acknowledgements", vec![], frame(kind::SETTINGS, ACK, 0, &[]).repeat(100)),
        ("pings", vec![], ping.repeat(100)),
        ("headers without end", head, continuation.repeat(10)),
        ("empty data", open, empty.repeat(100)),
        ("interim answers", vec![], early.repeat(100)),
    ];
    let healthy = KeepingReceiver::start(None).await.unwrap();
    for (name, first, flood) in floods {
        let receiver = FrameReceiver::start(hello(), move |_| vec![Act::Send(first.clone()), Act::Flood(flood.clone())]).await.unwrap();
        let transport = trusting_villain();
        let (flooded, other) = (post_to(receiver.addr()), post_to(healthy.addr()));
        let (exchange, beside) =
            tokio::join!(transport.send(Outgoing::new(&flooded, Duration::from_secs(1))), transport.send(Outgoing::new(&other, LONG)));
        let failure = failed(exchange);
        assert!(matches!(failure.kind, FailureKind::TimedOut | FailureKind::Protocol | FailureKind::Connection), "{name}: {failure:?}");
        assert_eq!((answered(beside).status, receiver.requests()), (200, 1), "{name}");
    }
}

#[tokio::test]
async fn c4_an_endless_body_is_read_up_to_the_limit_over_http_2_too() {
    let (exchange, receiver) = exchange_with_frames(
        hello(),
        |stream| {
            vec![
                Act::Send(frame(kind::HEADERS, END_HEADERS, stream, STATUS_200)),
                Act::Flood(frame(kind::DATA, 0, stream, &[b'x'; 8 * 1024])),
            ]
        },
        LONG,
    )
    .await;
    let response = answered(exchange);
    assert_eq!((response.body.len(), response.truncated), (64 * 1024, true));
    assert!(receiver.bytes_sent() < 32 << 20, "{}", receiver.bytes_sent());
}

#[tokio::test]
async fn c5_large_headers_are_refused_over_http_2_too() {
    // Twenty literal headers of a thousand bytes each.
    let header = [&[0x10, 1, b'x', 0x7f, 0xe9, 0x06][..], &[b'y'; 1000]].concat();
    let (exchange, receiver) = exchange_with_frames(
        hello(),
        move |stream| {
            let first = frame(kind::HEADERS, END_STREAM, stream, &[STATUS_200, &header.repeat(10)].concat());
            vec![Act::Send([first, frame(kind::CONTINUATION, END_HEADERS, stream, &header.repeat(10))].concat())]
        },
        LONG,
    )
    .await;
    let failure = failed(exchange);
    assert_eq!((failure.kind, receiver.requests()), (FailureKind::Protocol, 1), "{}", failure.detail);
}
