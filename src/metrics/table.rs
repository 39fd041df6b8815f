//! Every metric: its name, its labels and what it tells. The registry and `docs/metrics.md` are made from this.

use std::fmt::Write as _;

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
    /// Always 1; the labels tell.
    Info,
}

impl MetricKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// The name without the prefix and without what the kind adds.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Label names with what their values are.
    pub labels: &'static [(&'static str, &'static str)],
    /// What it tells.
    pub help: &'static str,
}

/// What all names but those of the process begin with.
pub const PREFIX: &str = "postrider";

const KIND: (&str, &str) = ("account_kind", "kind of the account: `partner`, `brand`, `cashback`, `loyalty`, `none`, `other`");

const fn counter(name: &'static str, labels: &'static [(&'static str, &'static str)], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [(&'static str, &'static str)], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [(&'static str, &'static str)], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, help }
}

/// The metrics of this program, in the order in which they are shown.
pub static METRICS: [Metric; 25] = [
    Metric { name: "build", kind: MetricKind::Info, labels: &[("version", "version of the program")], help: "The program that is running" },
    counter("events_accepted", &[("result", "`new`, or `duplicate`: its key was known"), KIND], "Events that were answered with 202"),
    counter(
        "events_refused",
        &[("reason", "`unknown_account`, `unknown_event_type`, `wrong_field_type`, `key_reused`, `queue_full`, `storage_full` or `store`")],
        "Calls to report events of which nothing was stored",
    ),
    counter(
        "inbound_calls",
        &[("result", "`success`, `repeated`, `conflict` or `error`; `unrecorded`: refused and not kept in the incoming log")],
        "Reports of advertisers that were answered",
    ),
    counter("clicks", &[("result", "`recorded`, `refused` or `ignored`: a prefetch, or a HEAD")], "Visits of partners' links"),
    counter("deliveries_accepted", &[KIND], "Deliveries that accepted events owe"),
    counter(
        "deliveries_ended",
        &[("state", "`delivered` or `dead`"), KIND],
        "Deliveries that an attempt decided; one that is sent again after that counts again",
    ),
    counter(
        "attempts",
        &[("outcome", "see [api.md](api.md), such as `delivered`, `refused` or `timed_out`"), ("attempt", "`first` or `retry`")],
        "Attempts that were recorded",
    ),
    histogram("render_duration_seconds", &[], "Time to make a request from its template"),
    histogram("send_duration_seconds", &[], "Time from handing a request over to the end of its answer"),
    histogram("first_attempt_lag_seconds", &[], "Time from the due time of a delivery to the end of its first attempt"),
    gauge("in_flight", &[], "Requests that wait for their answer"),
    gauge("lanes", &[], "Subscriptions for which this node sends, or would if they were active; with one node all"),
    gauge("deliveries", &[("state", "`waiting`, `delivered`, `dead` or `cancelled`"), KIND], "Deliveries that are stored"),
    gauge("oldest_due_age_seconds", &[KIND], "For how long the delivery has been due that has been due longest; 0 if none is"),
    gauge("subscriptions", &[("state", "`active` or `paused`")], "Subscriptions"),
    gauge("subscriptions_failing", &[], "Subscriptions whose receiver is failing"),
    counter("events_removed", &[("reason", "`age`, or `limit`: its account is over its limits")], "Events that retention removed"),
    gauge("accounts_over_limit", &[], "Accounts whose undecided events alone are over their limits, so that nothing more can be removed"),
    gauge("replays_running", &[], "Replays that are not over"),
    histogram("store_commit_duration_seconds", &[], "Time to write one batch of changes"),
    histogram("store_sync_duration_seconds", &[], "Time until what was written is on disk"),
    counter(
        "api_requests",
        &[
            ("method", "HTTP method, or `other`"),
            ("route", "path of the call as in [api.md](api.md), or `none`"),
            ("status", "class of the status, such as `2xx`"),
        ],
        "Requests to the API that were answered",
    ),
    histogram("api_request_duration_seconds", &[("route", "as above")], "Time from the head of a request to the head of its answer"),
    gauge("ready", &[], "1 if the server takes work, else 0"),
];

/// The metrics of the process, under the names that every exporter uses.
pub static PROCESS_METRICS: [Metric; 6] = [
    counter("process_cpu_seconds", &[], "Processor time of the process"),
    gauge("process_resident_memory_bytes", &[], "Memory of the process that is in RAM"),
    gauge("process_open_fds", &[], "Open file descriptors"),
    gauge("process_max_fds", &[], "File descriptors that may be open"),
    gauge("process_threads", &[], "Threads"),
    gauge("process_start_time_seconds", &[], "When the process started, in seconds since 1970"),
];

/// The description of a metric.
pub(super) fn metric(name: &str) -> &'static Metric {
    METRICS.iter().find(|metric| metric.name == name).expect("metrics are registered by names of the table")
}

impl Metric {
    /// The name as it is shown.
    #[must_use]
    pub fn full_name(&self) -> String {
        let prefix = if self.name.starts_with("process_") { String::new() } else { format!("{PREFIX}_") };
        let suffix = match self.kind {
            MetricKind::Counter => "_total",
            MetricKind::Info => "_info",
            MetricKind::Gauge | MetricKind::Histogram => "",
        };
        format!("{prefix}{}{suffix}", self.name)
    }
}

/// The tables of `docs/metrics.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from("| metric | kind | what it tells | labels |\n| --- | --- | --- | --- |\n");
    for metric in METRICS.iter().chain(&PROCESS_METRICS) {
        let labels: Vec<_> = metric.labels.iter().map(|(name, values)| format!("`{name}`: {values}")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join("; ") };
        writeln!(page, "| `{}` | {} | {} | {labels} |", metric.full_name(), metric.kind.as_str(), metric.help)
            .expect("writing to a string does not fail");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_table_is_this_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (begin, end) = ("<!-- generated -->\n", "<!-- end -->");
        let (head, rest) = page.split_once(begin).unwrap();
        let (table, tail) = rest.split_once(end).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, format!("{head}{begin}{}{end}{tail}", markdown())).unwrap();
        } else {
            assert_eq!(table, markdown(), "run this test with UPDATE_DOCS=1 to rewrite docs/metrics.md");
        }
    }
}
