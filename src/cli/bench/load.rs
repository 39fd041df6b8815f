//! The load: callers, each with a connection of its own and one call at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::receiver::Stopwatch;
use crate::clock::{Clock, SystemClock};

/// What is called.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub address: SocketAddr,
    pub path: String,
    /// The API key, if it asks for one.
    pub key: Option<String>,
}

/// How it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub callers: usize,
    /// When the callers stop.
    pub calls_max: u64,
    pub time: Duration,
    /// Time between the calls of all callers together; none: each calls again when it is answered.
    pub interval: Option<Duration>,
}

impl Load {
    /// Callers that call again as soon as they are answered.
    pub const fn closed(callers: usize, time: Duration) -> Self {
        Self { callers, calls_max: u64::MAX, time, interval: None }
    }
}

/// What came of it. Every call was answered with a success, or there is an error in its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called {
    pub calls: u64,
    pub elapsed: Duration,
}

impl Called {
    pub fn per_second(self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }
}

/// One caller's connection.
#[derive(Debug)]
pub(super) struct Caller {
    connection: SendRequest<Full<Bytes>>,
    target: Target,
}

impl Caller {
    pub async fn connect(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await.with_context(|| format!("nobody listens on {}", target.address))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { connection: sender, target: target.clone() })
    }

    /// Posts a JSON body and reads the answer, which must be a success.
    pub async fn post(&mut self, body: Bytes) -> anyhow::Result<()> {
        let mut request = Request::post(self.target.path.as_str()).header("host", "bench").header("content-type", "application/json");
        if let Some(key) = &self.target.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        self.connection.ready().await?;
        let answer = self.connection.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("a call was answered with {status}: {}", String::from_utf8_lossy(&text));
        }
        Ok(())
    }
}

/// Calls `target` with the bodies that `body` makes for 0, 1, 2, …
pub(super) async fn call(target: &Target, load: Load, body: impl Fn(u64) -> Bytes + Send + Sync + 'static) -> anyhow::Result<Called> {
    call_all(std::slice::from_ref(target), load, body).await
}

/// The same with as many callers for each of `targets`.
pub(super) async fn call_all(
    targets: &[Target],
    load: Load,
    body: impl Fn(u64) -> Bytes + Send + Sync + 'static,
) -> anyhow::Result<Called> {
    let (next, body) = (Arc::new(AtomicU64::new(0)), Arc::new(body));
    let mut callers = Vec::with_capacity(load.callers);
    for target in targets.iter().cycle().take(load.callers) {
        callers.push(Caller::connect(target).await?);
    }
    let started = SystemClock.instant();
    let mut calling = JoinSet::new();
    for mut caller in callers {
        let (next, body) = (next.clone(), body.clone());
        calling.spawn(async move {
            let mut calls = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if let Some(interval) = load.interval {
                    tokio::time::sleep_until(started + interval.mul_f64(number as f64)).await;
                }
                if number >= load.calls_max || SystemClock.instant().duration_since(started) >= load.time {
                    return anyhow::Ok(calls);
                }
                caller.post(body(number)).await?;
                calls += 1;
            }
        });
    }
    let mut calls = 0;
    while let Some(ended) = calling.join_next().await {
        calls += ended??;
    }
    Ok(Called { calls, elapsed: SystemClock.instant().duration_since(started) })
}

/// An event of about 600 bytes with a key of its own, made now.
pub(super) fn event(account: &str, number: u64, stopwatch: Stopwatch) -> String {
    let sent = stopwatch.ns();
    format!(
        concat!(
            r#"{{"account":"{account}","type":"action.tracked","key":"{number}.{sent}","occurred_at":"2024-09-10T17:42:38Z","#,
            r#""data":{{"CampaignId":"1000","CampaignName":"Acme Campaign","ActionTrackerId":"2240","MediaPartnerId":"10000","#,
            r#""MediaPartnerName":"Acme Partner","ActionType":"SALE","ActionId":"1000.4636.{number}","Status":"PENDING","#,
            r#""Payout":"1.10","Amount":"21.99","Currency":"USD","EventDate":"2024-09-10T10:42:38-07:00","#,
            r#""LandingPageUrl":"https://shop.example/sale?utm_source=partner","RefCustomerRegion":"California","#,
            r#""RefClickId":"{sent}","SubId1":"w8TnE3kQ5u2Lx0","SubId2":"newsletter-37","PromoCode":"SUMMERSALE2024"}}}}"#
        ),
        account = account,
        number = number,
        sent = sent
    )
}

/// The same about `action`, of another type.
pub(super) fn event_about(event_type: &str, account: &str, number: u64, action: u64, stopwatch: Stopwatch) -> String {
    let text = event(account, number, stopwatch).replacen("action.tracked", event_type, 1);
    text.replacen(&format!("1000.4636.{number}"), &format!("1000.4636.{action}"), 1)
}

/// A report of a lead on hold, of its own.
pub(super) fn report(click: &str, number: u64, stopwatch: Stopwatch) -> String {
    let sent = stopwatch.ns();
    format!(r#"{{"click_id":"{click}","request_id":"{number}.{sent}","action":"sale","price":21.99,"status":"hold"}}"#)
}

/// An array of `count` events.
pub(super) fn batch(account: &str, number: u64, count: u64, stopwatch: Stopwatch) -> String {
    let events: Vec<_> = (0..count).map(|place| event(account, number * count + place, stopwatch)).collect();
    format!("[{}]", events.join(","))
}
