//! The metrics for a monitoring system, and their text. Besides `process.rs` the only file that knows
//! the metrics' crate.
//!
//! Label values are texts of this program, never of a caller: their type is `&'static str`. So there are
//! as many series as the table says, whatever is sent to the API and however many accounts there are.

use std::array;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric as Registered, Registry};

use super::activity::{Activity, AttemptNote};
use super::class::AccountClass;
use super::process::Process;
use super::table::{self, PREFIX};
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::event::AccountId;

/// The media type of [`Metrics::text`].
pub const TEXT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Number = Gauge<f64, AtomicU64>;
type Durations<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// Upper ends of the buckets for requests, in seconds: 5 ms to 60 s.
const SLOW: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// For what happens inside of the machine: 50 µs to 5 s.
const FAST: [f64; 12] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];
/// For how late things are: 10 ms to an hour.
const LATE: [f64; 11] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0];

/// Methods that are told apart.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// What happens, counted. Share it in an [`Arc`](std::sync::Arc).
#[derive(Debug)]
pub struct Metrics {
    activity: Activity,
    registry: Registry,
    accepted: [[Counter; 2]; AccountClass::ALL.len()],
    refused: Family<Labels<1>, Counter>,
    inbound_calls: Family<Labels<1>, Counter>,
    clicks: Family<Labels<1>, Counter>,
    owed: [Counter; AccountClass::ALL.len()],
    ended: [[Counter; 2]; AccountClass::ALL.len()],
    attempts: [[Counter; 2]; Outcome::ALL.len()],
    rendered: Histogram,
    sent: Histogram,
    lag: Histogram,
    in_flight: Gauge,
    lanes: Gauge,
    deliveries: Family<Labels<2>, Gauge>,
    oldest_due: Family<Labels<1>, Number>,
    subscriptions: Family<Labels<1>, Gauge>,
    failing: Gauge,
    removed: Family<Labels<1>, Counter>,
    over_limit: Gauge,
    replays: Gauge,
    committed: Histogram,
    synced: Histogram,
    requests: Family<Labels<3>, Counter>,
    request_durations: Durations<1>,
    ready: Gauge,
}

/// An attempt that was settled.
#[derive(Debug, Clone, Copy)]
pub struct AttemptMeasure {
    /// For the stats.
    pub note: AttemptNote,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the delivery had one before.
    pub retry: bool,
}

/// What is looked up when somebody reads the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// Stored deliveries: waiting, delivered, dead, cancelled.
    pub deliveries: [u64; 4],
    /// For how long the oldest has been due.
    pub oldest_due_age: Duration,
}

/// The states of [`Measure::deliveries`].
const STATES: [&str; 4] = ["waiting", "delivered", "dead", "cancelled"];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that have counted nothing.
    #[must_use]
    pub fn new() -> Self {
        let mut root = Registry::default();
        root.register_collector(Box::new(Process));
        let registry = root.sub_registry_with_prefix(PREFIX);
        put(registry, "build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let accepted: Family<Labels<2>, Counter> = family(registry, "events_accepted");
        let refused = family(registry, "events_refused");
        let inbound_calls = family(registry, "inbound_calls");
        let clicks = family(registry, "clicks");
        let owed: Family<Labels<1>, Counter> = family(registry, "deliveries_accepted");
        let ended: Family<Labels<2>, Counter> = family(registry, "deliveries_ended");
        let attempts: Family<Labels<2>, Counter> = family(registry, "attempts");
        let rendered = durations(registry, "render_duration_seconds", &FAST);
        let sent = durations(registry, "send_duration_seconds", &SLOW);
        let lag = durations(registry, "first_attempt_lag_seconds", &LATE);
        let in_flight = family(registry, "in_flight");
        let lanes = family(registry, "lanes");
        let deliveries = family(registry, "deliveries");
        let oldest_due = family(registry, "oldest_due_age_seconds");
        let subscriptions = family(registry, "subscriptions");
        let failing = family(registry, "subscriptions_failing");
        let removed = family(registry, "events_removed");
        let over_limit = family(registry, "accounts_over_limit");
        let replays = family(registry, "replays_running");
        let committed = durations(registry, "store_commit_duration_seconds", &FAST);
        let synced = durations(registry, "store_sync_duration_seconds", &FAST);
        let requests = family(registry, "api_requests");
        let request_durations: Durations<1> = Family::new_with_constructor(|| Histogram::new(SLOW));
        put(registry, "api_request_duration_seconds", request_durations.clone());
        let ready = family(registry, "ready");
        let kind = |place: usize| ("account_kind", AccountClass::ALL[place].as_str());
        Self {
            activity: Activity::default(),
            accepted: array::from_fn(|place| {
                ["new", "duplicate"].map(|result| accepted.get_or_create_owned(&[("result", result), kind(place)]))
            }),
            refused,
            inbound_calls,
            clicks,
            owed: array::from_fn(|place| owed.get_or_create_owned(&[kind(place)])),
            ended: array::from_fn(|place| ["delivered", "dead"].map(|state| ended.get_or_create_owned(&[("state", state), kind(place)]))),
            attempts: array::from_fn(|place| {
                let outcome = ("outcome", Outcome::ALL[place].as_str());
                ["first", "retry"].map(|attempt| attempts.get_or_create_owned(&[outcome, ("attempt", attempt)]))
            }),
            rendered,
            sent,
            lag,
            in_flight,
            lanes,
            deliveries,
            oldest_due,
            subscriptions,
            failing,
            removed,
            over_limit,
            replays,
            committed,
            synced,
            requests,
            request_durations,
            ready,
            registry: root,
        }
    }

    /// What happened lately, for the stats.
    #[must_use]
    pub const fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Notes that an event of `account` was stored at `now`, which owes this many deliveries.
    pub fn event_accepted(&self, (account, class): (&AccountId, AccountClass), now: Timestamp, deliveries: usize) {
        self.activity.accepted(account, now, deliveries);
        self.accepted[class as usize][0].inc();
        self.owed[class as usize].inc_by(deliveries as u64);
    }

    /// Notes that the key of an event was known.
    pub fn event_repeated(&self, class: AccountClass) {
        self.accepted[class as usize][1].inc();
    }

    /// Notes that a call to report events was refused.
    pub fn events_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// Notes that a report of an advertiser was answered.
    pub fn inbound_call(&self, result: &'static str) {
        self.inbound_calls.get_or_create(&[("result", result)]).inc();
    }

    /// Notes a visit of a partner's link.
    pub fn clicked(&self, result: &'static str) {
        self.clicks.get_or_create(&[("result", result)]).inc();
    }

    /// Notes that an attempt for `account` was settled at `now`.
    pub fn attempted(&self, (account, class): (&AccountId, AccountClass), now: Timestamp, measure: &AttemptMeasure) {
        let AttemptMeasure { note, outcome, retry } = measure;
        self.activity.attempted(account, now, note);
        if let Some(place) = Outcome::ALL.iter().position(|other| other == outcome) {
            self.attempts[place][usize::from(*retry)].inc();
        }
        if note.delivered || note.dead {
            self.ended[class as usize][usize::from(note.dead)].inc();
        }
        if let Some(lag) = note.latency {
            self.lag.observe(lag.as_secs_f64());
        }
    }

    /// Notes that retention removed events.
    pub fn events_removed(&self, reason: &'static str, count: usize) {
        self.removed.get_or_create(&[("reason", reason)]).inc_by(count as u64);
    }

    /// Sets how many accounts are over their limits with what cannot be removed.
    pub fn set_accounts_over_limit(&self, count: usize) {
        self.over_limit.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes how long it took to make a request.
    pub fn rendered(&self, took: Duration) {
        self.rendered.observe(took.as_secs_f64());
    }

    /// Notes how long a request took to its answer.
    pub fn sent(&self, took: Duration) {
        self.sent.observe(took.as_secs_f64());
    }

    /// Notes how long the store took to write a batch.
    pub fn committed(&self, took: Duration) {
        self.committed.observe(took.as_secs_f64());
    }

    /// Notes how long the store took to have its writes on disk.
    pub fn synced(&self, took: Duration) {
        self.synced.observe(took.as_secs_f64());
    }

    /// Notes an answered request. `route` is the path as it is declared.
    pub fn api_answered(&self, method: &str, route: &'static str, status: u16, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let status = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&[("method", method), ("route", route), ("status", status)]).inc();
        self.request_durations.get_or_create(&[("route", route)]).observe(took.as_secs_f64());
    }

    /// Sets what was looked up of one class of accounts.
    pub fn set_measure(&self, class: AccountClass, measure: &Measure) {
        let kind = ("account_kind", class.as_str());
        for (state, count) in STATES.into_iter().zip(measure.deliveries) {
            self.deliveries.get_or_create(&[("state", state), kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.oldest_due.get_or_create(&[kind]).set(measure.oldest_due_age.as_secs_f64());
    }

    /// Sets what was looked up of the whole: requests in flight, active and paused subscriptions, failing
    /// ones, running replays.
    pub fn set_whole(&self, in_flight: usize, (active, paused): (usize, usize), failing: usize, replays: usize) {
        let set = |gauge: &Gauge, number: usize| {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        };
        set(&self.in_flight, in_flight);
        set(&self.subscriptions.get_or_create(&[("state", "active")]), active);
        set(&self.subscriptions.get_or_create(&[("state", "paused")]), paused);
        set(&self.failing, failing);
        set(&self.replays, replays);
    }

    /// Sets how many lanes this node has.
    pub fn set_lanes(&self, lanes: usize) {
        self.lanes.set(i64::try_from(lanes).unwrap_or(i64::MAX));
    }

    /// How many lanes this node has.
    #[must_use]
    pub fn lanes(&self) -> usize {
        usize::try_from(self.lanes.get()).unwrap_or_default()
    }

    /// Sets whether the server takes work.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// All metrics as text, of the type [`TEXT_TYPE`].
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

fn put(registry: &mut Registry, name: &str, registered: impl Registered) {
    registry.register(name, table::metric(name).help, registered);
}

/// Registers something that counts by itself.
fn family<M: Registered + Clone + Default>(registry: &mut Registry, name: &str) -> M {
    let registered = M::default();
    put(registry, name, registered.clone());
    registered
}

fn durations(registry: &mut Registry, name: &str, ends: &[f64]) -> Histogram {
    let histogram = Histogram::new(ends.iter().copied());
    put(registry, name, histogram.clone());
    histogram
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::id::SubscriptionId;
    use crate::metrics::table::{METRICS, PROCESS_METRICS};

    /// Everything happens once for every label value there is.
    fn busy() -> Metrics {
        let metrics = Metrics::new();
        let account: AccountId = "hostile-account".parse().unwrap();
        metrics.events_removed("age", 1);
        for class in AccountClass::ALL {
            metrics.event_accepted((&account, class), Timestamp::default(), 2);
            metrics.event_repeated(class);
            metrics.set_measure(class, &Measure::default());
            for outcome in Outcome::ALL {
                for retry in [false, true] {
                    let note = AttemptNote {
                        subscription: SubscriptionId::from_raw(7),
                        delivered: outcome == Outcome::Delivered,
                        dead: outcome == Outcome::Refused,
                        latency: Some(Duration::from_secs(1)),
                    };
                    metrics.attempted((&account, class), Timestamp::default(), &AttemptMeasure { note, outcome, retry });
                }
            }
        }
        metrics.events_refused("queue_full");
        metrics.inbound_call("success");
        metrics.clicked("recorded");
        for took in [Metrics::rendered, Metrics::sent, Metrics::committed, Metrics::synced] {
            took(&metrics, Duration::from_millis(3));
        }
        metrics.api_answered("GET", "/v1/events", 200, Duration::from_millis(1));
        metrics.set_whole(1, (2, 3), 4, 5);
        metrics.set_ready(true);
        metrics
    }

    #[test]
    fn every_metric_of_the_table_is_shown_and_no_other() {
        let text = busy().text();
        let shown: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let names: BTreeSet<String> = METRICS
            .iter()
            .chain(&PROCESS_METRICS)
            .map(|metric| metric.full_name().trim_end_matches("_total").trim_end_matches("_info").to_owned())
            .collect();
        assert_eq!(shown, names.iter().map(String::as_str).collect::<BTreeSet<_>>());
        assert!(text.ends_with("# EOF\n"));
        for metric in &METRICS {
            let full_name = metric.full_name();
            let is_sample = |line: &&str| {
                let name = line.split(['{', ' ']).next().unwrap();
                name == full_name || name.strip_prefix(&full_name).is_some_and(|rest| rest == "_bucket")
            };
            let sample = text.lines().find(is_sample).unwrap_or_else(|| panic!("{} has no sample", metric.name));
            for (label, _) in metric.labels {
                assert!(sample.contains(&format!("{label}=\"")), "{sample} has no label {label}");
            }
        }
    }

    #[test]
    fn g18_labels_hold_nothing_of_a_caller_and_their_number_is_bounded() {
        let metrics = busy();
        let series = |metrics: &Metrics| metrics.text().lines().filter(|line| !line.starts_with('#')).count();
        let before = series(&metrics);
        for number in 0..2_000 {
            let account: AccountId = format!("account-{number}").parse().unwrap();
            metrics.event_accepted((&account, AccountClass::of(Some(&format!("kind-{number}")))), Timestamp::default(), 1);
            metrics.api_answered(&format!("METHOD{number}"), "/v1/events", 200, Duration::ZERO);
        }
        let text = metrics.text();
        assert_eq!(series(&metrics), before + 1, "one more, for the method `other`");
        for text_of_a_caller in ["account-", "kind-", "METHOD", "hostile", "sub_"] {
            assert!(!text.contains(text_of_a_caller), "{text_of_a_caller}");
        }
    }

    #[test]
    fn numbers_are_those_of_what_happened() {
        let text = busy().text();
        for line in [
            "postrider_events_accepted_total{result=\"new\",account_kind=\"brand\"} 1",
            "postrider_deliveries_accepted_total{account_kind=\"none\"} 2",
            "postrider_attempts_total{outcome=\"timed_out\",attempt=\"retry\"} 6",
            "postrider_deliveries_ended_total{state=\"dead\",account_kind=\"partner\"} 2",
            "postrider_send_duration_seconds_bucket{le=\"0.005\"} 1",
            "postrider_first_attempt_lag_seconds_count 108",
            "postrider_api_requests_total{method=\"GET\",route=\"/v1/events\",status=\"2xx\"} 1",
            "postrider_subscriptions{state=\"paused\"} 3",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
