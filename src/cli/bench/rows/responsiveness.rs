//! How soon: idle latency, and what a receiver that hangs does to the others.

use std::time::Duration;

use bytes::Bytes;

use super::{ARRIVAL_PATIENCE, Setting, percentile};
use crate::cli::bench::load::{self, Caller, Load, Target, call};
use crate::cli::bench::receiver::Receiver;
use crate::cli::bench::report::{Goal, Row, Unit};
use crate::cli::bench::subject::Subject;
use crate::clock::{Clock, SystemClock};

/// The first events of a series open connections and do not count.
const SAMPLES_DROPPED: u64 = 20;
/// Rest after each of them.
const REST: Duration = Duration::from_millis(3);
/// Receivers of the row `hang`, the one that hangs included.
const RECEIVERS: usize = 10;
const CALLERS: usize = 64;
/// Share of what the server can do at which the row `hang` is measured.
const LOAD_SHARE: f64 = 0.5;
/// Time limit of a call to a receiver. Short, so that attempts time out while it is measured.
const TIMEOUT: Duration = Duration::from_secs(2);

const NS_PER_MS: f64 = 1e6;

pub(super) async fn latency(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let receiver = Receiver::start(setting.stopwatch).await?;
    let (child, address) = setting.featureless(receiver.address).await?;
    let mut featureless = one_at_a_time(setting, &Target { address, path: "/".into(), key: None }, &receiver).await?;
    drop(child);

    let receiver = Receiver::start(setting.stopwatch).await?;
    let server = setting.server("server").await?;
    server.create_account("idle").await?;
    server.subscribe("idle", &format!("http://{}/", receiver.address), "active", TIMEOUT).await?;
    let mut own = one_at_a_time(setting, &server.events, &receiver).await?;
    server.stop().await?;

    let mut row = |what: &str, share: f64| {
        let row = Row::new(
            format!("idle latency, call to receiver, {what}"),
            percentile(&mut own.to_receiver, share) / NS_PER_MS,
            Unit::Milliseconds,
        );
        row.against("featureless", percentile(&mut featureless.to_receiver, share) / NS_PER_MS)
    };
    let goal = |most| setting.goal(Goal::AtMost(most), Goal::AtMost(most));
    let mut rows = vec![row("p50", 0.5).goal(goal(1.0)), row("p99", 0.99).goal(goal(5.0))];
    rows.push(
        Row::new("of that, call to answer, p50", percentile(&mut own.to_answer, 0.5) / NS_PER_MS, Unit::Milliseconds)
            .against("featureless", percentile(&mut featureless.to_answer, 0.5) / NS_PER_MS),
    );
    Ok(rows)
}

/// Nanoseconds from the start of the call.
pub(super) struct Latencies {
    pub to_receiver: Vec<u64>,
    pub to_answer: Vec<u64>,
}

/// Events of the account `idle`, one after another.
pub(super) async fn one_at_a_time(setting: &Setting<'_>, target: &Target, receiver: &Receiver) -> anyhow::Result<Latencies> {
    let mut caller = Caller::connect(target).await?;
    let mut latencies = Latencies { to_receiver: Vec::new(), to_answer: Vec::new() };
    let arrived = receiver.arrived();
    for number in 0..SAMPLES_DROPPED + setting.plan.samples {
        let body = Bytes::from(load::event("idle", number, setting.stopwatch));
        let called = setting.stopwatch.ns();
        caller.post(body).await?;
        let answered = setting.stopwatch.ns();
        receiver.wait_for(arrived + number + 1, ARRIVAL_PATIENCE).await?;
        if number >= SAMPLES_DROPPED {
            latencies.to_receiver.push(receiver.latest_ns().saturating_sub(called));
            latencies.to_answer.push(answered - called);
        }
        tokio::time::sleep(REST).await;
    }
    Ok(latencies)
}

/// Ten receivers, and events for each of them in turn, at half of what the server can do.
pub(super) async fn hang(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let mut receivers = Vec::with_capacity(RECEIVERS);
    let server = setting.server("server").await?;
    for number in 0..RECEIVERS {
        let receiver = Receiver::start(setting.stopwatch).await?;
        let account = format!("hang{number}");
        server.create_account(&account).await?;
        server.subscribe(&account, &format!("http://{}/?sent={{RefClickId}}", receiver.address), "active", TIMEOUT).await?;
        receivers.push(receiver);
    }
    let capacity = run(setting, &server, &receivers, Load::closed(CALLERS, setting.plan.time / 2)).await?;
    let rate = capacity.nine_per_second * LOAD_SHARE * RECEIVERS as f64 / (RECEIVERS - 1) as f64;
    let paced = Load { interval: Some(Duration::from_secs_f64(1.0 / rate)), ..Load::closed(CALLERS, setting.plan.time) };
    let without = run(setting, &server, &receivers, paced).await?;
    receivers[0].hang();
    let with = run(setting, &server, &receivers, paced).await?;
    server.kill();
    Ok(vec![
        Row::new("1 of 10 receivers hangs: requests to the other nine", with.nine_per_second, Unit::PerSecond)
            .against("none hangs", without.nine_per_second)
            .goal(setting.goal(Goal::ShareAtLeast(0.9), Goal::ShareAtLeast(0.9))),
        Row::new("1 of 10 receivers hangs: latency of the other nine, p99", with.nine_p99_ms, Unit::Milliseconds)
            .against("none hangs", without.nine_p99_ms)
            .goal(setting.goal(Goal::TimesAtMost(1.1), Goal::TimesAtMost(1.1))),
    ])
}

/// How the receivers but the first fared.
struct Fared {
    nine_per_second: f64,
    nine_p99_ms: f64,
}

async fn run(setting: &Setting<'_>, server: &Subject, receivers: &[Receiver], load: Load) -> anyhow::Result<Fared> {
    let arrived = || receivers[1..].iter().map(Receiver::arrived).sum::<u64>();
    let (started, before) = (SystemClock.instant(), arrived());
    let stopwatch = setting.stopwatch;
    let called =
        call(&server.events, load, move |number| load::event(&format!("hang{}", number % RECEIVERS as u64), number, stopwatch).into())
            .await?;
    let hanging = called.calls.div_ceil(RECEIVERS as u64);
    let owed = called.calls - hanging;
    while arrived() < before + owed {
        anyhow::ensure!(
            SystemClock.instant().duration_since(started) < load.time + ARRIVAL_PATIENCE,
            "{} of {owed} requests arrived at the nine",
            arrived() - before
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let elapsed = SystemClock.instant().duration_since(started);
    let mut delays: Vec<u64> = receivers[1..].iter().flat_map(Receiver::take_delays).collect();
    Ok(Fared { nine_per_second: owed as f64 / elapsed.as_secs_f64(), nine_p99_ms: percentile(&mut delays, 0.99) / NS_PER_MS })
}
