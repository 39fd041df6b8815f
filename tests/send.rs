//! What the transport does with receivers that behave well, badly, slowly or endlessly, and with
//! names and addresses that lead where nothing is sent to.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod receiver;

#[path = "send/http2.rs"]
mod http2;
#[path = "send/identity.rs"]
mod identity;
#[path = "send/way_out.rs"]
mod way_out;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use postrider::attempt::{Exchange, Failure, FailureKind, ReceivedResponse, SentRequest};
use postrider::clock::{Clock, SystemClock};
use postrider::request::guard::{Guard, GuardSettings, Lookup, LookupError};
use postrider::request::send::{HttpTransport, Outgoing, Transport, TransportSettings, USER_AGENT};

use receiver::tls::{AUTHORITY, EXPIRED, TlsReceiver, VALID};
use receiver::{Receiver, Script, Step, answer, ok};

/// Long enough that a test which ends by it has failed.
const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(150);
const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
/// Stands for a public address: another address of this machine, which only the test's guard allows.
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// Answers in turn, the last answer repeats; counts what it was asked.
#[derive(Debug, Default)]
struct ScriptedLookup {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl ScriptedLookup {
    fn answering(answers: &[&[IpAddr]]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect()), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Lookup for ScriptedLookup {
    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        self.asked.lock().unwrap().push(host.into());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        answer.ok_or(LookupError::NotFound { reason: "name or service not known".into() })
    }
}

fn transport_with(guard: GuardSettings, lookup: Arc<ScriptedLookup>, change: impl FnOnce(&mut TransportSettings)) -> HttpTransport {
    let mut settings = TransportSettings::new(Guard::new(guard), lookup);
    change(&mut settings);
    HttpTransport::new(settings).unwrap()
}

/// Sends to this machine, and to no name.
fn transport() -> HttpTransport {
    transport_with(GuardSettings { allow_private: true, ..Default::default() }, Arc::default(), |_| {})
}

fn get(url: impl Into<String>) -> SentRequest {
    SentRequest { method: "GET".into(), url: url.into(), headers: vec![], body: vec![] }
}

fn answered(exchange: Exchange) -> ReceivedResponse {
    match exchange {
        Exchange::Answered(response) => response,
        Exchange::Failed(failure) => panic!("{failure:?}"),
    }
}

fn failed(exchange: Exchange) -> Failure {
    match exchange {
        Exchange::Failed(failure) => failure,
        Exchange::Answered(response) => panic!("{response:?}"),
    }
}

/// What one request to a receiver with this script comes to.
async fn exchange_with(script: Script, timeout: Duration) -> (Exchange, Receiver) {
    let receiver = Receiver::start(script).await.unwrap();
    let exchange = transport().send(Outgoing::new(&get(receiver.url("/p?secret=geheim")), timeout)).await;
    (exchange, receiver)
}

/// The kind of failure, after checking what holds for every failure.
async fn failure_kind(script: Script, timeout: Duration) -> FailureKind {
    let (exchange, receiver) = exchange_with(script, timeout).await;
    let Failure { kind, detail } = failed(exchange);
    assert!(!detail.contains("geheim") && !detail.is_empty(), "{detail}");
    assert!(receiver.requests().len() <= 1, "sent more than once");
    kind
}

// What is sent.

#[tokio::test]
async fn a_request_arrives_as_it_was_written() {
    let receiver = Receiver::start(Script::always(answer(201, &[("X-A", "1"), ("X-A", "2")], "created"))).await.unwrap();
    let request = SentRequest {
        method: "POST".into(),
        url: receiver.url("/p/%7Ba%7D?b=c%20d&e=%F0%9F%92%A9"),
        headers: vec![("X-Test".into(), "ä b".into()), ("X-Test".into(), "2".into()), ("Content-Type".into(), "text/plain".into())],
        body: b"\x00body\xff".to_vec(),
    };
    let response = answered(transport().send(Outgoing::new(&request, LONG)).await);
    assert_eq!((response.status, response.body.as_slice(), response.truncated), (201, &b"created"[..], false));
    assert_eq!(response.headers.iter().filter(|(name, _)| name == "x-a").map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    let [arrived] = receiver.requests().try_into().unwrap();
    assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("POST", "/p/%7Ba%7D?b=c%20d&e=%F0%9F%92%A9"));
    assert_eq!(arrived.body, request.body);
    assert_eq!(arrived.header("host"), Some(receiver.addr().to_string().as_str()));
    assert_eq!(arrived.header("user-agent"), Some(USER_AGENT));
    assert_eq!(arrived.header("content-length"), Some("6"));
    let sent: Vec<_> = arrived.headers.iter().filter(|(name, _)| name == "x-test").map(|(_, value)| value.as_str()).collect();
    assert_eq!(sent, ["ä b", "2"]);
    for absent in ["accept-encoding", "cookie", "referer", "transfer-encoding", "x-forwarded-for"] {
        assert_eq!(arrived.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn every_method_and_the_own_user_agent_are_sent() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let transport = transport();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let headers = vec![("User-Agent".into(), "tracker/1".into())];
        answered(
            transport
                .send(Outgoing::new(&SentRequest { method: method.into(), url: receiver.url("/"), headers, body: vec![] }, LONG))
                .await,
        );
        let arrived = receiver.requests().pop().unwrap();
        assert_eq!((arrived.method.as_str(), arrived.header("user-agent")), (method, Some("tracker/1")));
        assert_eq!(arrived.header("content-length"), if ["POST", "PUT", "PATCH"].contains(&method) { Some("0") } else { None }, "{method}");
    }
    assert_eq!(receiver.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn what_is_no_request_is_never_sent() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let transport = transport();
    for (method, name, value, body) in [
        ("G T", "X", "1", ""),
        ("", "X", "1", ""),
        ("GET", "X Y", "1", ""),
        ("GET", "", "1", ""),
        ("GET", "X", "a\r\nY: b", ""),
        ("GET", "X", "a\nb", ""),
        ("GET", "X", "a\0b", ""),
        ("GET", "Host", "other.example", ""),
        ("POST", "Content-Length", "3", "body"),
        ("POST", "Transfer-Encoding", "chunked", "body"),
        ("GET", "Connection", "close", ""),
        ("GET", "Upgrade", "h2c", ""),
        ("POST", "Expect", "100-continue", "x"),
    ] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let request = SentRequest { method: method.into(), url: receiver.url("/"), headers, body: body.into() };
        assert_eq!(failed(transport.send(Outgoing::new(&request, LONG)).await).kind, FailureKind::NotRendered, "{method} {name}: {value}");
    }
    for url in ["", "/x", "ftp://a.example/", "http://user:geheim@a.example/", "http://a.example:0/", "http://a b/", "http://"] {
        let failure = failed(transport.send(Outgoing::new(&get(url), LONG)).await);
        assert_eq!(failure.kind, FailureKind::BadUrl, "{url}");
        assert!(!failure.detail.contains("geheim"), "{}", failure.detail);
    }
    assert_eq!(receiver.connections(), 0);
    let same = SentRequest {
        headers: vec![("Host".into(), receiver.addr().to_string()), ("Content-Length".into(), "1".into())],
        ..get(receiver.url("/"))
    };
    answered(transport.send(Outgoing::new(&SentRequest { method: "POST".into(), body: b"x".to_vec(), ..same }, LONG)).await);
    assert_eq!(
        receiver.requests()[0].headers.iter().filter(|(name, _)| ["host", "content-length"].contains(&&*name.to_lowercase())).count(),
        2
    );
}

#[tokio::test]
async fn urls_with_odd_characters_are_sent_or_refused_but_never_change_their_host() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let transport = transport();
    for path in ["/a b", "/a|b", "/{a}", "/a\"b", "/a^b`c", "/ä", "/?q=a|b{c}\"d'e`f", "//x", "/\\x", "/%", "/?%zz", "/@b.example/", "/?#x"]
    {
        match transport.send(Outgoing::new(&get(receiver.url(path)), LONG)).await {
            Exchange::Answered(response) => assert_eq!(response.status, 200),
            Exchange::Failed(failure) => assert_eq!(failure.kind, FailureKind::BadUrl, "{path}: {}", failure.detail),
        }
    }
    assert!(receiver.requests().len() >= 10, "{}", receiver.requests().len());
}

// What comes back.

#[tokio::test]
async fn redirects_are_returned_and_not_followed() {
    let inner = Receiver::start(Script::always(ok())).await.unwrap();
    for status in [301, 302, 303, 307, 308] {
        let (exchange, receiver) = exchange_with(Script::always(answer(status, &[("Location", &inner.url("/x"))], "moved")), LONG).await;
        let response = answered(exchange);
        assert_eq!((response.status, response.header("location")), (status, Some(inner.url("/x").as_str())));
        assert_eq!((receiver.requests().len(), inner.connections()), (1, 0));
    }
}

#[tokio::test]
async fn a_compressed_body_stays_as_it_is() {
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xf3\xf7\x06\x00\xb1\x7d\xbd\xd7\x02\x00\x00\x00";
    for encoding in ["gzip", "br", "zstd", "deflate", "gzip, gzip"] {
        let (exchange, _receiver) = exchange_with(Script::always(answer(200, &[("Content-Encoding", encoding)], gzip)), LONG).await;
        let response = answered(exchange);
        assert_eq!((response.body.as_slice(), response.header("content-encoding")), (&gzip[..], Some(encoding)));
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_and_no_further() {
    let head = |framing: &str| Step::text(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"));
    let endless = [
        vec![head("Content-Length: 1000000000000000000"), Step::Flood(vec![b'x'; 4096])],
        vec![head("Transfer-Encoding: chunked"), Step::Flood([b"1000\r\n".to_vec(), vec![b'x'; 4096], b"\r\n".to_vec()].concat())],
        vec![head("Connection: close"), Step::Flood(vec![b'x'; 4096])],
    ];
    for steps in endless {
        let (exchange, receiver) = exchange_with(Script::always(steps), LONG).await;
        let response = answered(exchange);
        assert_eq!((response.body.len(), response.truncated), (64 * 1024, true));
        assert!(response.body.iter().all(|byte| *byte == b'x'));
        assert!(receiver.bytes_sent() < 16 << 20, "the connection is dropped, not drained: {}", receiver.bytes_sent());
    }
    for (bytes, truncated) in [(64 * 1024 - 1, false), (64 * 1024, false), (64 * 1024 + 1, true)] {
        let (exchange, _receiver) = exchange_with(Script::always(answer(200, &[], vec![b'x'; bytes])), LONG).await;
        let response = answered(exchange);
        assert_eq!((response.body.len(), response.truncated), (bytes.min(64 * 1024), truncated));
    }
}

#[tokio::test]
async fn a_body_in_any_framing_is_whole() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nO\r\n1;x=y\r\nK\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nOK",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
    ] {
        let (exchange, _receiver) = exchange_with(Script::always(vec![Step::text(text), Step::Close]), LONG).await;
        assert_eq!(answered(exchange).body, b"OK", "{text}");
    }
    let (exchange, _receiver) = exchange_with(Script::always(vec![Step::text("HTTP/1.1 204 No Content\r\n\r\n")]), LONG).await;
    assert_eq!(answered(exchange).body, b"");
}

// What comes late or never.

#[tokio::test]
async fn what_is_slow_ends_at_the_time_limit() {
    let slow = |text: &str| Step::Drip(text.as_bytes().to_vec(), Duration::from_millis(20));
    let long_body = format!("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(1000));
    let scripts = [
        ("silence", Script::always(vec![Step::Hang])),
        ("silence before the request", Script::on_connect(vec![Step::Hang])),
        ("half a head", Script::always(vec![Step::text("HTTP/1.1 200 OK\r\nX-A: "), Step::Hang])),
        ("a dripping head", Script::always(vec![slow(&long_body)])),
        ("a dripping body", Script::always(vec![Step::text(&long_body[..60]), slow(&long_body[60..])])),
        ("a body that stops", Script::always(vec![Step::text(&long_body), Step::Hang])),
        ("a flood of 1xx", Script::always(vec![Step::Flood(b"HTTP/1.1 102 Processing\r\n\r\n".to_vec())])),
    ];
    for (name, script) in scripts {
        let start = SystemClock.instant();
        assert_eq!(failure_kind(script, SHORT).await, FailureKind::TimedOut, "{name}");
        let took = start.elapsed();
        assert!(took >= SHORT && took < LONG, "{name}: {took:?}");
    }
}

#[tokio::test]
async fn a_time_limit_says_how_far_the_answer_came() {
    let (exchange, _receiver) = exchange_with(Script::always(vec![Step::Hang]), SHORT).await;
    assert_eq!(failed(exchange).detail, "`127.0.0.1` gave no answer within 150 ms");
    let (exchange, _receiver) =
        exchange_with(Script::always(vec![Step::text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nO"), Step::Hang]), SHORT).await;
    assert_eq!(failed(exchange).detail, "`127.0.0.1` answered status 200, but its body was not complete within 150 ms");
}

// What breaks.

#[tokio::test]
async fn a_connection_that_breaks_is_a_failed_connection() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for end in [Step::Reset, Step::Close] {
        let steps = |text: &str| vec![Step::text(text), end.clone()];
        let scripts = [
            ("at once", Script::on_connect(vec![end.clone()])),
            ("after the request", Script::always(vec![end.clone()])),
            ("within the head", Script::always(steps("HTTP/1.1 200 OK\r\nContent-"))),
            ("after the head", Script::always(steps(head))),
            ("within the body", Script::always(steps(&format!("{head}OK")))),
            ("within the chunks", Script::always(steps(chunked))),
        ];
        for (name, script) in scripts {
            assert_eq!(failure_kind(script, LONG).await, FailureKind::Connection, "{name}, {end:?}");
        }
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failed_connection() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let url = receiver.url("/");
    drop(receiver);
    tokio::task::yield_now().await;
    let failure = failed(transport().send(Outgoing::new(&get(url), LONG)).await);
    assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::Connection, "`127.0.0.1` refused the connection"));
}

#[tokio::test]
async fn what_is_no_http_or_too_much_of_it_is_a_failure_of_the_protocol() {
    let header = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let with = |head: String| vec![Step::text(format!("HTTP/1.1 200 OK\r\n{head}\r\n"))];
    let scripts = [
        ("garbage", vec![Step::Send(vec![0xff; 100]), Step::Close]),
        ("another protocol", vec![Step::text("SSH-2.0-OpenSSH_9.9\r\n"), Step::Close]),
        ("HTTP/0.9", vec![Step::text("<html>OK</html>"), Step::Close]),
        ("1000 headers", with(header(1000))),
        ("65 headers", with(header(65))),
        ("endless headers", vec![Step::text("HTTP/1.1 200 OK\r\n"), Step::Flood(b"X-A: b\r\n".to_vec())]),
        ("an endless header", vec![Step::text("HTTP/1.1 200 OK\r\nX-A: "), Step::Flood(vec![b'x'; 4096])]),
        ("a large header", with(format!("X-A: {}\r\nContent-Length: 0\r\n", "x".repeat(17 * 1024)))),
        ("a bad chunk size", vec![Step::text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nOK\r\n0\r\n\r\n")]),
        ("a huge chunk size", vec![Step::text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nOK\r\n")]),
        ("two lengths", vec![Step::text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nOK")]),
        ("a length that is none", vec![Step::text("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nOK")]),
        ("a status that is none", vec![Step::text("HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nOK")]),
        ("a header name that is none", with("X A: b\r\n".into())),
    ];
    for (name, steps) in scripts {
        assert_eq!(failure_kind(Script::always(steps), LONG).await, FailureKind::Protocol, "{name}");
    }
    let (exchange, _receiver) = exchange_with(Script::always(with(header(62) + "Content-Length: 0\r\n")), LONG).await;
    assert_eq!(answered(exchange).headers.len(), 63);
    let (exchange, _receiver) =
        exchange_with(Script::always(vec![Step::text("HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n")]), LONG).await;
    assert_eq!(answered(exchange).status, 999);
}

#[tokio::test]
async fn a_connection_with_leftovers_is_not_used_again() {
    let too_much = Step::text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOKHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
    let receiver = Receiver::start(Script::in_turn(vec![vec![too_much], ok()])).await.unwrap();
    let transport = transport();
    for _ in 0..2 {
        assert_eq!(answered(transport.send(Outgoing::new(&get(receiver.url("/")), LONG)).await).body, b"OK");
    }
    assert_eq!(receiver.connections(), 2);
}

// Sent once.

#[tokio::test]
async fn a_request_that_was_written_to_a_dying_connection_is_not_sent_again() {
    for end in [Step::Reset, Step::Close] {
        let receiver = Receiver::start(Script::in_turn(vec![ok(), vec![end]])).await.unwrap();
        let transport = transport();
        answered(transport.send(Outgoing::new(&get(receiver.url("/1")), LONG)).await);
        assert_eq!(failed(transport.send(Outgoing::new(&get(receiver.url("/2")), LONG)).await).kind, FailureKind::Connection);
        let targets: Vec<_> = receiver.requests().into_iter().map(|request| (request.connection, request.target)).collect();
        assert_eq!(targets, [(1, "/1".to_owned()), (1, "/2".to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closed_while_idle_never_doubles_a_request() {
    let receiver = Receiver::start(Script::always([ok(), vec![Step::Close]].concat())).await.unwrap();
    let transport = transport();
    let mut taken = 0;
    for number in 0..200 {
        let request = SentRequest { method: "POST".into(), body: b"x".to_vec(), ..get(receiver.url(&format!("/{number}"))) };
        match transport.send(Outgoing::new(&request, LONG)).await {
            Exchange::Answered(_) => taken += 1,
            Exchange::Failed(failure) => assert_eq!(failure.kind, FailureKind::Connection, "{}", failure.detail),
        }
    }
    let mut targets: Vec<_> = receiver.requests().into_iter().map(|request| request.target).collect();
    let arrived = targets.len();
    targets.sort();
    targets.dedup();
    assert_eq!((targets.len(), arrived >= taken), (arrived, true), "every request arrived at most once");
    assert!(taken > 100, "{taken}");
}

#[tokio::test]
async fn a_limited_number_of_idle_connections_is_kept() {
    let receiver = Receiver::start(Script::always([vec![Step::Pause(Duration::from_millis(50))], ok()].concat())).await.unwrap();
    let transport =
        transport_with(GuardSettings { allow_private: true, ..Default::default() }, Arc::default(), |settings| settings.idle_per_host = 2);
    for round in 1..=2 {
        let requests: Vec<_> = (0..6).map(|number| get(receiver.url(&format!("/{round}/{number}")))).collect();
        futures_util::future::join_all(requests.iter().map(|request| transport.send(Outgoing::new(request, LONG)))).await;
    }
    assert_eq!((receiver.requests().len(), receiver.connections()), (12, 6 + 4));
}

// Where it is sent.

#[tokio::test]
async fn spellings_of_a_private_address_are_blocked_without_connecting() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK]]);
    let transport = transport_with(GuardSettings::default(), lookup.clone(), |_| {});
    let port = receiver.addr().port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.1",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "localhost",
        "x.localhost",
        "localhost.",
    ] {
        let failure = failed(transport.send(Outgoing::new(&get(format!("http://{host}:{port}/?secret=geheim")), LONG)).await);
        assert_eq!(failure.kind, FailureKind::Blocked, "{host}: {}", failure.detail);
        assert!(!failure.detail.contains("geheim"));
    }
    assert_eq!((receiver.connections(), lookup.asked()), (0, vec![]));
}

#[tokio::test]
async fn a_name_for_private_addresses_is_blocked_and_tells_none_of_them() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let transport =
        transport_with(GuardSettings::default(), ScriptedLookup::answering(&[&[LOOPBACK, "10.1.2.3".parse().unwrap()]]), |_| {});
    let failure = failed(transport.send(Outgoing::new(&get(format!("http://inner.example:{}/", receiver.addr().port())), LONG)).await);
    assert_eq!(failure.kind, FailureKind::Blocked);
    assert!(
        failure.detail.contains("inner.example") && !failure.detail.contains("127.") && !failure.detail.contains("10.1"),
        "{}",
        failure.detail
    );
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_name_without_address_is_not_resolved() {
    for lookup in [ScriptedLookup::answering(&[]), ScriptedLookup::answering(&[&[]])] {
        let transport = transport_with(GuardSettings::default(), lookup.clone(), |_| {});
        let failure = failed(transport.send(Outgoing::new(&get("https://nobody.example/?geheim"), LONG)).await);
        assert_eq!(failure.kind, FailureKind::NameNotResolved);
        assert!(failure.detail.starts_with("the host `nobody.example` was not resolved: "), "{}", failure.detail);
        assert_eq!(lookup.asked(), ["nobody.example"]);
    }
}

/// The guard that takes 127.0.0.2 for public and 127.0.0.1 for private.
fn other_is_public() -> GuardSettings {
    GuardSettings { allow: vec![OTHER.into()], ..Default::default() }
}

/// A receiver at the address that stands for a public one, and one at the same port of the private one.
async fn public_and_private(script: Script) -> (Receiver, Receiver) {
    loop {
        let public = Receiver::start_at(SocketAddr::new(OTHER, 0), script.clone()).await.unwrap();
        if let Ok(private) = Receiver::start_at(SocketAddr::new(LOOPBACK, public.addr().port()), Script::always(ok())).await {
            return (public, private);
        }
    }
}

#[tokio::test]
async fn a_name_that_turns_private_is_not_followed_there() {
    let (public, private) =
        public_and_private(Script::always([answer(200, &[("Connection", "close")], "public"), vec![Step::Close]].concat())).await;
    let lookup = ScriptedLookup::answering(&[&[OTHER], &[LOOPBACK]]);
    let transport = transport_with(other_is_public(), lookup.clone(), |_| {});
    let request = get(format!("http://rebind.example:{}/", public.addr().port()));
    assert_eq!(answered(transport.send(Outgoing::new(&request, LONG)).await).body, b"public");
    assert_eq!(lookup.asked().len(), 1, "the address that was checked is the one that was connected to");
    for _ in 0..3 {
        assert_eq!(failed(transport.send(Outgoing::new(&request, LONG)).await).kind, FailureKind::Blocked);
    }
    assert_eq!((public.requests().len(), private.connections(), lookup.asked().len()), (1, 0, 4));
}

#[tokio::test]
async fn of_a_name_with_mixed_addresses_only_the_allowed_are_used() {
    let (public, private) =
        public_and_private(Script::always([answer(200, &[("Connection", "close")], "public"), vec![Step::Close]].concat())).await;
    let mixed = [LOOPBACK, "::1".parse().unwrap(), OTHER, "10.0.0.1".parse().unwrap()];
    let transport = transport_with(other_is_public(), ScriptedLookup::answering(&[&mixed]), |_| {});
    for _ in 0..5 {
        let response = answered(transport.send(Outgoing::new(&get(format!("http://mixed.example:{}/", public.addr().port())), LONG)).await);
        assert_eq!(response.body, b"public");
    }
    assert_eq!((public.requests().len(), private.connections()), (5, 0));
}

#[tokio::test]
async fn denied_addresses_and_ports_are_blocked() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let deny = GuardSettings { allow_private: true, deny: vec!["127.0.0.0/8".parse().unwrap()], ..Default::default() };
    let ports = GuardSettings { allow_private: true, ports: Some(vec![443]), ..Default::default() };
    for guard in [deny, ports] {
        let transport = transport_with(guard, ScriptedLookup::answering(&[&[LOOPBACK]]), |_| {});
        for host in ["127.0.0.1", "a.example"] {
            let failure = failed(transport.send(Outgoing::new(&get(format!("http://{host}:{}/", receiver.addr().port())), LONG)).await);
            assert_eq!(failure.kind, FailureKind::Blocked, "{}", failure.detail);
        }
    }
    assert_eq!(receiver.connections(), 0);
}

// Environment.

const IN_CHILD: &str = "POSTRIDER_TEST_PROXY_CHILD";

/// Runs itself again with the variables set: to set them in this process would touch the other tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_of_the_environment_are_ignored() {
    if std::env::var_os(IN_CHILD).is_some() {
        let (exchange, receiver) = exchange_with(Script::always(ok()), LONG).await;
        assert_eq!((answered(exchange).status, receiver.requests().len()), (200, 1));
        return;
    }
    let proxy = Receiver::start(Script::always(answer(502, &[], "proxy"))).await.unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "proxies_of_the_environment_are_ignored"]).env(IN_CHILD, "1").env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, format!("http://{}", proxy.addr()));
    }
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert_eq!(proxy.connections(), 0);
}

// TLS.

fn trusting(lookup: Arc<ScriptedLookup>) -> HttpTransport {
    let guard = GuardSettings { allow_private: true, ..Default::default() };
    transport_with(guard, lookup, |settings| settings.extra_roots = vec![AUTHORITY.to_vec()])
}

fn villain(receiver: &TlsReceiver, host: &str) -> SentRequest {
    get(format!("https://{host}:{}/?secret=geheim", receiver.addr().port()))
}

#[tokio::test]
async fn a_certificate_is_checked() {
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK]]);
    let (valid, expired) = (TlsReceiver::start(VALID, &["http/1.1"]).unwrap(), TlsReceiver::start(EXPIRED, &["http/1.1"]).unwrap());
    for host in ["villain.test", "127.0.0.1", "villain.test."] {
        assert_eq!(answered(trusting(lookup.clone()).send(Outgoing::new(&villain(&valid, host), LONG)).await).body, b"OK", "{host}");
    }
    let distrusting = transport_with(GuardSettings { allow_private: true, ..Default::default() }, lookup.clone(), |_| {});
    let table = [
        (distrusting, &valid, "villain.test", "not signed by an authority that we trust"),
        (trusting(lookup.clone()), &valid, "other.test", "for another name"),
        (trusting(lookup.clone()), &expired, "villain.test", "expired"),
    ];
    for (transport, receiver, host, expected) in table {
        let failure = failed(transport.send(Outgoing::new(&villain(receiver, host), LONG)).await);
        assert_eq!(failure.kind, FailureKind::Tls);
        assert!(failure.detail.contains(expected) && !failure.detail.contains("geheim"), "{}", failure.detail);
    }
}

#[tokio::test]
async fn http_2_is_offered_first_and_http_1_too() {
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK]]);
    for (offered, agreed) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let receiver = TlsReceiver::start(VALID, offered).unwrap();
        let exchange = trusting(lookup.clone()).send(Outgoing::new(&villain(&receiver, "villain.test"), LONG)).await;
        assert_eq!(receiver.protocols(), [agreed.map(str::to_owned)]);
        // The receiver answers in HTTP/1.1 even where HTTP/2 was agreed on, and the client notices.
        assert_eq!(matches!(exchange, Exchange::Answered(_)), agreed != Some("h2"), "{exchange:?}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_told_from_what_breaks() {
    let talks = Receiver::start(Script::on_connect(vec![Step::text("HTTP/1.1 400 Bad Request\r\n\r\n"), Step::Hang])).await.unwrap();
    let breaks = Receiver::start(Script::on_connect(vec![Step::Reset])).await.unwrap();
    let silent = Receiver::start(Script::on_connect(vec![Step::Hang])).await.unwrap();
    let transport = transport_with(GuardSettings { allow_private: true, ..Default::default() }, Arc::default(), |settings| {
        settings.connect_timeout = SHORT
    });
    for (receiver, kind) in [(talks, FailureKind::Tls), (breaks, FailureKind::Connection), (silent, FailureKind::TimedOut)] {
        let failure = failed(transport.send(Outgoing::new(&get(format!("https://{}/?geheim", receiver.addr())), LONG)).await);
        assert_eq!(failure.kind, kind, "{}", failure.detail);
        assert!(!failure.detail.contains("geheim"), "{}", failure.detail);
        if kind == FailureKind::TimedOut {
            assert_eq!(failure.detail, "no connection to `127.0.0.1` within 150 ms");
        }
    }
}
