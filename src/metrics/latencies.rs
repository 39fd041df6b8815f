//! How long things took, as a histogram of fixed size from which percentiles are read.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets for each doubling of the time: a percentile is at most an eighth above the true one.
const PER_OCTAVE: u32 = 8;
/// The longest time that is told apart, in milliseconds: 49 days.
const MS_MAX: u64 = u32::MAX as u64;

/// Counts of durations. Only buckets that hold something take memory: at most 240 of 8 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latencies {
    /// Bucket and count, in the order of buckets.
    counts: Vec<(u8, u32)>,
}

impl Latencies {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        self.add_bucket(bucket(duration), 1);
    }

    fn add_bucket(&mut self, bucket: u8, count: u32) {
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => self.counts[place].1 = self.counts[place].1.saturating_add(count),
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }

    /// Adds what another histogram has counted.
    pub fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.counts {
            self.add_bucket(bucket, count);
        }
    }

    /// What was counted beyond `earlier`, an earlier state of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before: HashMap<u8, u32> = earlier.counts.iter().copied().collect();
        let mut added = Self::default();
        for &(bucket, count) in &self.counts {
            let more = count.saturating_sub(before.get(&bucket).copied().unwrap_or_default());
            if more > 0 {
                added.add_bucket(bucket, more);
            }
        }
        added
    }

    /// The duration that `share` (0 to 1) of what was counted did not exceed, in milliseconds, rounded
    /// up to the end of its bucket; none if nothing was counted.
    #[must_use]
    pub fn percentile_ms(&self, share: f64) -> Option<u64> {
        let total: u64 = self.counts.iter().map(|(_, count)| u64::from(*count)).sum();
        let wanted = ((total as f64 * share).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        self.counts.iter().find_map(|&(bucket, count)| {
            seen += u64::from(count);
            (seen >= wanted).then(|| highest_ms(bucket))
        })
    }
}

/// The bucket of a duration: whole milliseconds below eight, then eight buckets for each doubling.
fn bucket(duration: Duration) -> u8 {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(MS_MAX) as u32;
    if ms < PER_OCTAVE {
        return ms as u8;
    }
    let octave = ms.ilog2();
    let within = (ms >> (octave - 3)) & (PER_OCTAVE - 1);
    ((octave - 2) * PER_OCTAVE + within) as u8
}

/// The longest duration of a bucket, in milliseconds.
const fn highest_ms(bucket: u8) -> u64 {
    let bucket = bucket as u64;
    if bucket < PER_OCTAVE as u64 {
        return bucket;
    }
    let (octave, within) = (bucket / PER_OCTAVE as u64 + 2, bucket % PER_OCTAVE as u64);
    let width = 1 << (octave - 3);
    (1 << octave) + (within + 1) * width - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values_ms: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        values_ms.into_iter().for_each(|ms| latencies.add(Duration::from_millis(ms)));
        latencies
    }

    #[test]
    fn percentiles_of_the_first_hundred_milliseconds() {
        let latencies = of(1..=100);
        assert_eq!([0.5, 0.95, 0.99, 1.0].map(|share| latencies.percentile_ms(share)), [51, 95, 103, 103].map(Some));
        assert_eq!(Latencies::default().percentile_ms(0.5), None);
        assert_eq!(of([0]).percentile_ms(0.99), Some(0));
    }

    #[test]
    fn merged_counts_are_those_of_all() {
        let mut merged = of(0..50);
        merged.merge(&of(50..5_000));
        assert_eq!(merged, of(0..5_000));
    }

    #[test]
    fn an_earlier_state_and_what_came_since_are_the_whole() {
        let (earlier, whole) = (of(0..50), of(0..5_000));
        let mut sum = earlier.clone();
        sum.merge(&whole.since(&earlier));
        assert_eq!((sum, whole.since(&whole)), (whole, Latencies::default()));
    }

    #[test]
    fn the_longest_time_has_a_bucket_too() {
        assert_eq!(of([u64::MAX]).percentile_ms(0.5), Some(MS_MAX));
    }

    proptest! {
        #[test]
        fn a_percentile_is_never_too_low_and_at_most_an_eighth_too_high(ms in 0u64..=MS_MAX) {
            let shown = of([ms]).percentile_ms(0.5).unwrap();
            prop_assert!(shown >= ms && shown - ms <= ms / 8, "{ms} is shown as {shown}");
        }

        #[test]
        fn buckets_are_in_the_order_of_durations(a in 0u64..=MS_MAX, b in 0u64..=MS_MAX) {
            let of = |ms| bucket(Duration::from_millis(ms));
            prop_assert_eq!(a.cmp(&b) == std::cmp::Ordering::Less && of(a) > of(b), false);
        }
    }
}
