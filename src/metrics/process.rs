//! What the operating system knows of this process, read when it is asked for. Where it tells nothing
//! (there is no `/proc`), nothing is shown.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::table::{MetricKind, PROCESS_METRICS};

/// Reads `/proc`.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for metric in &PROCESS_METRICS {
            let Some(value) = value(metric.name) else { continue };
            match metric.kind {
                MetricKind::Counter => {
                    let counter = ConstCounter::new(value);
                    counter.encode(encoder.encode_descriptor(metric.name, metric.help, None, counter.metric_type())?)?;
                }
                MetricKind::Gauge | MetricKind::Histogram | MetricKind::Info => {
                    let gauge = ConstGauge::new(value);
                    gauge.encode(encoder.encode_descriptor(metric.name, metric.help, None, gauge.metric_type())?)?;
                }
            }
        }
        Ok(())
    }
}

fn value(name: &str) -> Option<f64> {
    match name {
        "process_cpu_seconds" => Some((stat(14)? + stat(15)?) / ticks()),
        "process_resident_memory_bytes" => Some(status("VmRSS:")? * 1_024.0),
        "process_open_fds" => Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64),
        "process_max_fds" => {
            Some(rustix::process::getrlimit(rustix::process::Resource::Nofile).current.map_or(f64::INFINITY, |most| most as f64))
        }
        "process_threads" => status("Threads:"),
        "process_start_time_seconds" => Some(booted_at()? + stat(22)? / ticks()),
        _ => None,
    }
}

/// A field of `/proc/self/stat`, counted from 1. The second one is the program's name in brackets.
fn stat(field: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(field.checked_sub(3)?)?.parse().ok()
}

/// A number of `/proc/self/status`.
fn status(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// When the machine started, in seconds since 1970.
fn booted_at() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Units of processor time in a second.
fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_known_and_likely() {
        let values: Vec<_> = PROCESS_METRICS.iter().map(|metric| (metric.name, value(metric.name).unwrap())).collect();
        let of = |name: &str| values.iter().find(|(other, _)| *other == name).unwrap().1;
        assert!((0.0..1e6).contains(&of("process_cpu_seconds")));
        assert!((1e6..1e11).contains(&of("process_resident_memory_bytes")));
        assert!(of("process_open_fds") >= 3.0 && of("process_open_fds") <= of("process_max_fds"));
        assert!(of("process_threads") >= 1.0);
        assert!(of("process_start_time_seconds") > 1.7e9);
    }
}
