//! What simulation says an answer comes to, held against real requests to the receiver, fault by fault.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use postrider::attempt::{Exchange, FailureKind, SentRequest};
use postrider::cli::listen::receiver::{Arrived, Behaviour, Door, Step, Traffic, serve};
use postrider::cli::listen::{Asked, Chooser, ConnectionFault, Fault, Script, connection_steps, steps};
use postrider::cli::simulate::exchange;
use postrider::clock::{Clock, SystemClock, Timestamp};
use postrider::request::guard::{Guard, GuardSettings, SystemLookup, SystemLookupSettings};
use postrider::request::send::{HttpTransport, Outgoing, Transport, TransportSettings};
use tokio::net::TcpListener;

const TIMEOUT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

struct Scripted(Mutex<Chooser>);

impl Behaviour for Scripted {
    fn connected(&self, _: usize) -> Vec<Step> {
        connection_steps(self.0.lock().unwrap().connection())
    }

    fn answer(&self, arrived: &Arrived) -> Vec<Step> {
        let asked = Asked { method: &arrived.method, target: &arrived.target, key: None, body: &arrived.body };
        steps(&self.0.lock().unwrap().answer(&asked).answer, &arrived.method, Timestamp::default())
    }
}

/// What one request to a receiver with this script comes to, and how long it took.
async fn sent(script: &Script, timeout: Duration) -> (Exchange, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pb", listener.local_addr().unwrap());
    let behaviour = Arc::new(Scripted(Mutex::new(Chooser::new(script.clone()))));
    let receiver = tokio::spawn(serve(listener, Door::Plain, behaviour, Arc::new(Traffic::default())));
    let guard = Guard::new(GuardSettings { allow_private: true, ..GuardSettings::default() });
    let lookup = Arc::new(SystemLookup::new(SystemLookupSettings::default(), Arc::new(SystemClock)));
    let transport = HttpTransport::new(TransportSettings::new(guard, lookup)).unwrap();
    let request = SentRequest { method: "GET".into(), url, headers: vec![], body: vec![] };
    let started = SystemClock.instant();
    let exchange = transport.send(Outgoing::new(&request, timeout)).await;
    let took = started.elapsed();
    receiver.abort();
    (exchange, took)
}

/// The parts that rules look at: status, whether it is cut, body; or the kind of failure.
fn essence(exchange: &Exchange) -> Result<(u16, bool, &[u8]), FailureKind> {
    match exchange {
        Exchange::Answered(response) => Ok((response.status, response.truncated, &response.body)),
        Exchange::Failed(failure) => Err(failure.kind),
    }
}

async fn assert_simulation_is_true(script: &Script, timeout: Duration) -> Exchange {
    let connection: Option<ConnectionFault> = script.connections.first().map(|rule| rule.fault);
    let answer = script.answers.first().filter(|_| connection.is_none());
    let (simulated, takes) = exchange(connection, answer, Timestamp::default(), timeout);
    let (real, took) = sent(script, timeout).await;
    assert!(essence(&real) == essence(&simulated), "{script:?}: {:.300}, not {:.300}", format!("{real:?}"), format!("{simulated:?}"));
    // Sent is sooner than the sum of the parts by what the timer rounds; later by what the machine is busy.
    assert!(took + Duration::from_millis(5) >= takes, "{script:?}: {took:?}, not {takes:?}");
    real
}

#[tokio::test]
async fn every_fault_comes_to_what_simulation_says() {
    for fault in Fault::ALL {
        let body = if fault == Fault::GzipBomb { "" } else { "body = \"all work and no play\"" };
        let script = Script::parse(&format!("[[answer]]\nfault = \"{}\"\n{body}", fault.as_str())).unwrap();
        // What ends by itself gets the time that a busy machine takes.
        let (simulated, _) = exchange(None, script.answers.first(), Timestamp::default(), LONG);
        let waits = essence(&simulated) == Err(FailureKind::TimedOut);
        let real = assert_simulation_is_true(&script, if waits { TIMEOUT } else { LONG }).await;
        for (begins, says) in [("reset_", "reset the connection"), ("close_", "closed the connection")] {
            let told = matches!(&real, Exchange::Failed(failure) if failure.detail.contains(says));
            assert_eq!(told, fault.as_str().contains(begins), "{fault:?}: {real:?}");
        }
    }
    for fault in ["hang", "reset", "close"] {
        let script = Script::parse(&format!("[[connection]]\nfault = \"{fault}\"\n[[answer]]")).unwrap();
        assert_simulation_is_true(&script, TIMEOUT).await;
    }
}

#[tokio::test]
async fn answers_come_as_they_are_written_and_when() {
    let long = Duration::from_secs(5);
    for lines in [
        "status = 503\nbody = \"no\"\nretry_after = 3",
        "status = 204",
        "status = 999",
        "redirect = \"/there\"",
        "delay_ms = 60\nbody = \"OK\"",
        "body = \"0123456789\"\nbody_bytes_per_s = 100",
        "head_bytes_per_s = 500\nbody = \"OK\"",
        "body = \"0123456789012345678901234567890123456789\"\nbody_bytes_per_s = 10000",
    ] {
        let script = Script::parse(&format!("[[answer]]\n{lines}")).unwrap();
        let real = assert_simulation_is_true(&script, long).await;
        let Exchange::Answered(response) = real else { panic!("{lines}: {real:?}") };
        assert_eq!(response.header("retry-after").is_some(), lines.contains("retry_after"));
        assert_eq!(response.header("location").is_some(), lines.contains("redirect"));
    }
    let slow = Script::parse("[[answer]]\nbody = \"0123456789\"\nbody_bytes_per_s = 20").unwrap();
    let real = assert_simulation_is_true(&slow, TIMEOUT).await;
    assert_eq!(essence(&real), Err(FailureKind::TimedOut));
}

#[tokio::test]
async fn c6_a_gzip_bomb_stays_packed() {
    let script = Script::parse("[[answer]]\nfault = \"gzip_bomb\"").unwrap();
    let (real, _) = sent(&script, Duration::from_secs(5)).await;
    let Exchange::Answered(response) = real else { panic!("{real:?}") };
    assert_eq!((response.header("content-encoding"), &response.body[..2]), (Some("gzip"), &b"\x1f\x8b"[..]));
    assert!(response.body.len() <= 64 * 1024);
}
