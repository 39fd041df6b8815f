//! How much: durable accepts, and full cycles up to the settled delivery.

use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;

use super::{ARRIVAL_PATIENCE, Setting, cpu_each};
use crate::cli::bench::load::{self, Called, Load, Target, call};
use crate::cli::bench::receiver::Receiver;
use crate::cli::bench::report::{Goal, Row, Unit};
use crate::cli::bench::subject::Subject;
use crate::clock::{Clock, SystemClock};

/// Callers of the rows about full cycles.
const CALLERS: usize = 64;
/// Callers of the rows about reports and the ledger.
const INBOUND_CALLERS: usize = 256;
/// Events in one call of the row `batch`.
const BATCH: u64 = 100;
/// Time limit of a call to a receiver; the server's default.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the last attempts to be settled and synced after the last request arrived.
pub(super) const SETTLED_AFTER: Duration = Duration::from_millis(200);

pub(super) async fn accepts(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut store_alone = Vec::new();
    for (deliveries, what) in [("0", "no delivery"), ("1", "1 delivery")] {
        let location = setting.location(&format!("alone-{deliveries}")).await?;
        let said = setting.yardstick(&["store", &location, "256", deliveries]).await?;
        let rate = said["per_second"].as_f64().unwrap_or(f64::NAN);
        store_alone.push(rate);
        rows.push(
            Row::new(format!("store alone: accepts, 256 callers, {what}"), rate, Unit::PerSecond)
                .cpu_us(said["cpu_us"].as_f64().unwrap_or(f64::NAN)),
        );
    }
    let server = setting.server("server").await?;
    for account in ["quiet", "paused"] {
        server.create_account(account).await?;
    }
    server.subscribe("paused", "http://127.0.0.1:9/", "paused", TIMEOUT).await?;
    let mut accepted = 0;
    for (account, what, store_alone) in [("quiet", "no subscription", store_alone[0]), ("paused", "1 paused subscription", store_alone[1])]
    {
        for callers in [1, 16, 256] {
            let cpu_before = server.usage()?.cpu;
            let stopwatch = setting.stopwatch;
            let called = call(&server.events, Load::closed(callers, setting.plan.time), move |number| {
                load::event(account, number, stopwatch).into()
            })
            .await?;
            let cpu = cpu_each(cpu_before, server.usage()?.cpu, called.calls);
            let share = setting.goal(Goal::ShareAtLeast(0.6), Goal::ShareAtLeast(0.6));
            let callers_text = if callers == 1 { "1 caller".into() } else { format!("{callers} callers") };
            let row = Row::new(format!("accepts over HTTP, {callers_text}, {what}"), called.per_second(), Unit::PerSecond).cpu_us(cpu);
            rows.push(if callers == 256 { row.against("store alone", store_alone).goal(share) } else { row });
            accepted += if account == "paused" { called.calls } else { 0 };
        }
    }
    let kept = server.stop().await?.waiting;
    if kept != accepted {
        bail!("{accepted} deliveries were acknowledged and {kept} are in the store");
    }
    Ok(rows)
}

pub(super) async fn inbound(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let server = setting.server("server").await?;
    for account in ["partner", "advertiser"] {
        server.create_account(account).await?;
    }
    server.subscribe("partner", "http://127.0.0.1:9/", "paused", TIMEOUT).await?;
    let (reports, click) = server.offer("advertiser", "partner").await?;
    let stopwatch = setting.stopwatch;
    let event = |event_type: &'static str, actions: u64| {
        move |number: u64| Bytes::from(load::event_about(event_type, "partner", number, number % actions, stopwatch))
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut measured = |what: &str, called: Called, cpu: f64, base: Option<f64>| {
        let row = Row::new(format!("256 callers: {what}"), called.per_second(), Unit::PerSecond).cpu_us(cpu);
        rows.push(match base {
            Some(base) => row.against("events about no action", base),
            None => row,
        });
        called.per_second()
    };
    let load = Load::closed(INBOUND_CALLERS, setting.plan.time);
    // An event that is owed to nobody and in no ledger; the same in the ledger, as a new action and as one of a thousand.
    let mut base = None;
    for (what, event_type, actions) in [
        ("events about no action", "click.recorded", u64::MAX),
        ("events, each about a new action", "action.locked", u64::MAX),
        ("events about 1,000 actions", "action.paid", 1_000),
    ] {
        let cpu_before = server.usage()?.cpu;
        let called = call(&server.events, load, event(event_type, actions)).await?;
        let rate = measured(what, called, cpu_each(cpu_before, server.usage()?.cpu, called.calls), base);
        base = base.or(Some(rate));
    }
    let cpu_before = server.usage()?.cpu;
    let called = call(&reports, load, move |number| load::report(&click, number, stopwatch).into()).await?;
    measured("reports of new leads, 1 delivery each", called, cpu_each(cpu_before, server.usage()?.cpu, called.calls), base);
    let kept = server.stop().await?.waiting;
    if kept != called.calls {
        bail!("{} reports were answered and {kept} deliveries are in the store", called.calls);
    }
    Ok(rows)
}

pub(super) async fn cycle(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let receiver = Receiver::start(setting.stopwatch).await?;
    let stopwatch = setting.stopwatch;
    let one = move |number| Bytes::from(load::event("cycle", number, stopwatch));
    let (child, address) = setting.featureless(receiver.address).await?;
    let target = Target { address, path: "/".into(), key: None };
    let started = SystemClock.instant();
    let called = call(&target, Load::closed(CALLERS, setting.plan.time), one).await?;
    receiver.wait_for(called.calls, ARRIVAL_PATIENCE).await?;
    let featureless = called.calls as f64 / SystemClock.instant().duration_since(started).as_secs_f64();
    let featureless_cpu = cpu_each(Duration::ZERO, child.usage()?.cpu, called.calls);
    drop(child);

    let cycled = full_cycles(setting, 1, one).await?;
    Ok(vec![
        Row::new("featureless durable server, 64 callers", featureless, Unit::PerSecond).cpu_us(featureless_cpu),
        Row::new("full cycles, single events, 64 callers", cycled.per_second, Unit::PerSecond)
            .cpu_us(cycled.cpu_us)
            .against("featureless", featureless)
            .goal(setting.goal(Goal::ShareAtLeast(0.4), Goal::ShareAtLeast(0.6))),
        Row::new("CPU of the server for each full cycle", cycled.cpu_us, Unit::Microseconds)
            .against("featureless", featureless_cpu)
            .goal(setting.goal(Goal::AtMost(160.0), Goal::AtMost(90.0))),
    ])
}

pub(super) async fn batch(setting: &Setting<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut rate = f64::NAN;
    for (client, what) in [("hyper", "bare hyper-util client loop"), ("reqwest", "bare reqwest client loop")] {
        let receiver = Receiver::start(setting.stopwatch).await?;
        let said = setting.yardstick(&["client", client, &receiver.address.to_string()]).await?;
        rate = said["per_second"].as_f64().unwrap_or(f64::NAN);
        rows.push(Row::new(format!("{what}, 64 in flight"), rate, Unit::PerSecond).cpu_us(said["cpu_us"].as_f64().unwrap_or(f64::NAN)));
    }
    let stopwatch = setting.stopwatch;
    let cycled = full_cycles(setting, BATCH, move |number| load::batch("cycle", number, BATCH, stopwatch).into()).await?;
    rows.push(
        Row::new("full cycles, batches of 100, 64 callers", cycled.per_second, Unit::PerSecond)
            .cpu_us(cycled.cpu_us)
            .against("reqwest loop", rate)
            .goal(setting.goal(Goal::ShareAtLeast(0.25), Goal::ShareAtLeast(0.4))),
    );
    Ok(rows)
}

struct Cycled {
    per_second: f64,
    cpu_us: f64,
}

/// Reports events in calls of `events_per_call`, and counts from the first call to the last arrival, so
/// that nothing is left for later. What counts is what the store holds as delivered after the stop.
async fn full_cycles(
    setting: &Setting<'_>,
    events_per_call: u64,
    body: impl Fn(u64) -> Bytes + Send + Sync + 'static,
) -> anyhow::Result<Cycled> {
    let receiver = Receiver::start(setting.stopwatch).await?;
    let server: Subject = setting.server("server").await?;
    server.create_account("cycle").await?;
    server.subscribe("cycle", &format!("http://{}/", receiver.address), "active", TIMEOUT).await?;
    let (started, cpu_before) = (SystemClock.instant(), server.usage()?.cpu);
    let called = call(&server.events, Load::closed(CALLERS, setting.plan.time), body).await?;
    let owed = called.calls * events_per_call;
    receiver.wait_for(owed, ARRIVAL_PATIENCE).await?;
    let elapsed = SystemClock.instant().duration_since(started);
    tokio::time::sleep(SETTLED_AFTER).await;
    let cpu_us = cpu_each(cpu_before, server.usage()?.cpu, owed);
    let settled = server.stop().await?.delivered;
    if settled != owed || receiver.arrived() != owed {
        bail!("{owed} deliveries were owed, {} requests arrived and {settled} were settled as delivered", receiver.arrived());
    }
    Ok(Cycled { per_second: settled as f64 / elapsed.as_secs_f64(), cpu_us })
}
