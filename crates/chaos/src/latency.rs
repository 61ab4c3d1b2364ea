//! How long reads take, in bounded memory.

use std::{collections::BTreeMap, time::Duration};

/// The longest latency that is told apart, in milliseconds.
const MS_MAX: usize = 60_000;

/// A histogram of one bucket per millisecond, up to a minute.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    buckets: Vec<u32>,
    count: u64,
    max: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: vec![0; MS_MAX + 1], count: 0, max: Duration::ZERO }
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        let ms = usize::try_from(latency.as_millis()).unwrap_or(MS_MAX).min(MS_MAX);
        if let Some(bucket) = self.buckets.get_mut(ms) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(latency);
    }

    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many there are of each millisecond, of those that there are.
    pub(crate) fn by_ms(&self) -> BTreeMap<u64, u64> {
        let counts = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(ms, count)| (ms as u64, u64::from(*count))).collect()
    }

    /// What [`Self::by_ms`] wrote, and the longest.
    pub(crate) fn of_ms(by_ms: &BTreeMap<u64, u64>, max: Duration) -> Self {
        let mut latencies = Self { max, ..Self::default() };
        for (ms, count) in by_ms {
            let ms = usize::try_from(*ms).unwrap_or(MS_MAX).min(MS_MAX);
            if let Some(bucket) = latencies.buckets.get_mut(ms) {
                *bucket += u32::try_from(*count).unwrap_or(u32::MAX);
            }
            latencies.count += count;
        }
        latencies
    }

    /// Adds those of another run.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The latency that this share (0 to 1) of all reads did not exceed, to the millisecond above.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "counts"
        )]
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (ms, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted && seen > 0 {
                return Duration::from_millis(ms as u64 + 1).min(self.max);
            }
        }
        self.max
    }
}

/// The middle of some durations; zero for none.
pub(crate) fn median(durations: &[Duration]) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_above_what_they_cover() {
        let mut latencies = Latencies::default();
        (1..=100).for_each(|ms| latencies.add(Duration::from_millis(ms)));
        assert_eq!(latencies.quantile(0.5), Duration::from_millis(51));
        assert_eq!(latencies.quantile(0.99), Duration::from_millis(100));
        assert_eq!(latencies.quantile(1.0), Duration::from_millis(100));
        assert_eq!(Latencies::default().quantile(0.99), Duration::ZERO);
    }
}
