//! Yardsticks: bare client loops, and the store without HTTP. Each runs in a process of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::json;
use tokio::task::JoinSet;

use super::process::own_usage;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::event::{EventData, IdempotencyKey, fingerprint};
use crate::id::SubscriptionId;
use crate::rng::{Rng, SystemRng};
use crate::store::{self, NewDelivery, NewEvent, NewKey, StoreOptions};

/// Requests in flight of the client loops.
const IN_FLIGHT: usize = 64;
/// What the client loops post.
const BODY: [u8; 500] = [b'x'; 500];
/// How long the store remembers the keys; the server's default.
const KEY_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// The client of a client loop.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ClientKind {
    /// hyper-util's pooled client.
    Hyper,
    /// reqwest, set as the server's transport is.
    Reqwest,
}

/// Posts to `receiver` with 64 requests in flight and says what came of it.
pub(super) async fn client_loop(kind: ClientKind, receiver: SocketAddr, time: Duration) -> anyhow::Result<()> {
    let url = format!("http://{receiver}/");
    match kind {
        ClientKind::Hyper => {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IN_FLIGHT).build(connector);
            repeat(IN_FLIGHT, time, move |_| {
                let request = hyper::Request::post(&url).body(Full::new(Bytes::from_static(&BODY)));
                let client = client.clone();
                async move {
                    client.request(request?).await?.into_body().collect().await?;
                    Ok(())
                }
            })
            .await
        }
        ClientKind::Reqwest => {
            let client = reqwest_client()?;
            repeat(IN_FLIGHT, time, move |_| {
                let request = client.post(&url).body(BODY.as_slice()).timeout(Duration::from_secs(10));
                async move {
                    request.send().await?.bytes().await?;
                    Ok(())
                }
            })
            .await
        }
    }
}

/// The settings of `request::send`, without guard and limits.
pub(super) fn reqwest_client() -> anyhow::Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_platform_verifier()?;
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .user_agent("bench")
        .connect_timeout(Duration::from_secs(5))
        .pool_max_idle_per_host(IN_FLIGHT)
        .pool_idle_timeout(Duration::from_secs(30))
        .http1_max_headers(64)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(15))
        .tls_backend_preconfigured(tls.with_no_client_auth());
    builder.build().context("the HTTP client cannot be set up")
}

/// Accepts single events straight on a store, by `callers` at one time, each event with this many deliveries.
pub(super) async fn store_rate(location: &str, callers: usize, deliveries: usize, time: Duration) -> anyhow::Result<()> {
    let store = Arc::new(store::open(location, StoreOptions { tag: SystemRng.bits(), ..StoreOptions::default() })?);
    let text = super::load::event("bench", 0, super::receiver::Stopwatch::start());
    let data = text.split_once(r#""data":"#).map_or("{}", |(_, rest)| rest.strip_suffix('}').unwrap_or(rest));
    let data = Arc::new(EventData::parse(data)?);
    let (account, event_type): (crate::event::AccountId, crate::event::EventType) = ("bench".parse()?, "action.tracked".parse()?);
    let fingerprint = fingerprint(&event_type, None, &data);
    let done = {
        let store = store.clone();
        repeat(callers, time, move |number| {
            let now = SystemClock.now();
            let key = number.to_string().parse::<IdempotencyKey>();
            let (store, account, event_type, data) = (store.clone(), account.clone(), event_type.clone(), data.clone());
            async move {
                let text = key?;
                let key = NewKey { digest: text.digest(&account), fingerprint, expires_at: now.after(KEY_LIFETIME), text };
                let deliveries = (0..deliveries).map(|number| new_delivery(number, now)).collect();
                let event = NewEvent {
                    account,
                    event_type,
                    key: Some(key),
                    occurred_at: now,
                    received_at: now,
                    data,
                    deliveries,
                    documents: Vec::new(),
                };
                store.accept(vec![event]).await?;
                Ok(())
            }
        })
        .await
    };
    store.close().await?;
    done
}

fn new_delivery(number: usize, due_at: Timestamp) -> NewDelivery {
    NewDelivery { subscription: SubscriptionId::from_raw(1 + number as u128), template_version: 1, due_at, order_key: None }
}

/// Has `workers` repeat an operation, numbered 0, 1, 2, …, and prints how many were done and what they cost.
async fn repeat<F>(workers: usize, time: Duration, operation: impl Fn(u64) -> F + Send + Sync + 'static) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let (next, operation) = (Arc::new(AtomicU64::new(0)), Arc::new(operation));
    let (started, cpu_before) = (SystemClock.instant(), own_usage()?.cpu);
    let mut working = JoinSet::new();
    for _ in 0..workers {
        let (next, operation) = (next.clone(), operation.clone());
        working.spawn(async move {
            let mut done = 0u64;
            while SystemClock.instant().duration_since(started) < time {
                operation(next.fetch_add(1, Ordering::Relaxed)).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(ended) = working.join_next().await {
        done += ended??;
    }
    let elapsed = SystemClock.instant().duration_since(started);
    let cpu = own_usage()?.cpu.saturating_sub(cpu_before);
    println!("{}", json!({"per_second": done as f64 / elapsed.as_secs_f64(), "cpu_us": cpu.as_secs_f64() * 1e6 / done.max(1) as f64}));
    Ok(())
}
