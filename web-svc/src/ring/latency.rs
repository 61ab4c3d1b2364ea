//! How long a node takes: a moving average that forgets, and the 95th percentile of a window.

use std::time::Duration;

use tokio::time::Instant;

/// Samples in the window of the percentile.
const WINDOW: usize = 64;
/// The weight of a new sample in the average.
const ALPHA: f64 = 0.3;
/// After this long without a sample half of the average is forgotten, so that a node that was slow is tried again.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// Recent latencies of one kind of request.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// At most [`WINDOW`] samples in microseconds; the oldest is at `next` once it is full.
    window_us: Vec<u32>,
    next: usize,
    average_us: f64,
    updated: Option<Instant>,
}

impl Latency {
    pub(super) fn record(&mut self, sample: Duration, now: Instant) {
        let sample_us = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX);
        if let Some(oldest) = self.window_us.get_mut(self.next) {
            *oldest = sample_us;
        } else {
            self.window_us.push(sample_us);
        }
        self.next = (self.next + 1) % WINDOW;
        self.average_us = match self.updated {
            None => f64::from(sample_us),
            Some(_) => self.average_us(now) * (1.0 - ALPHA) + f64::from(sample_us) * ALPHA,
        };
        self.updated = Some(now);
    }

    /// The average in microseconds, fading while there are no samples; 0 before the first one.
    pub(super) fn average_us(&self, now: Instant) -> f64 {
        let Some(updated) = self.updated else { return 0.0 };
        let age = now.saturating_duration_since(updated);
        self.average_us * 0.5_f64.powf(age.as_secs_f64() / HALF_LIFE.as_secs_f64())
    }

    /// The 95th percentile of the window.
    pub(super) fn p95(&self) -> Option<Duration> {
        let mut sorted = self.window_us.clone();
        let rank = (sorted.len() * 95).div_ceil(100).checked_sub(1)?;
        let (_, p95_us, _) = sorted.select_nth_unstable(rank);
        Some(Duration::from_micros(u64::from(*p95_us)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slow_node_is_forgiven_with_time() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        assert!(latency.p95().is_none());
        latency.record(Duration::from_millis(800), now);
        assert!((latency.average_us(now) - 800_000.0).abs() < 1.0);
        assert!(latency.average_us(now + HALF_LIFE * 10) < 1_000.0);
    }

    proptest! {
        #[test]
        fn p95_is_exact_over_the_window(samples in prop::collection::vec(0_u32..1_000_000, 1..300)) {
            let (mut latency, now) = (Latency::default(), Instant::now());
            for sample in &samples {
                latency.record(Duration::from_micros(u64::from(*sample)), now);
            }
            let window = &samples[samples.len().saturating_sub(WINDOW)..];
            let p95 = u32::try_from(latency.p95().unwrap().as_micros()).unwrap();
            let not_above = window.iter().filter(|s| **s <= p95).count();
            let below = window.iter().filter(|s| **s < p95).count();
            prop_assert!(not_above * 100 >= window.len() * 95 && below * 100 < window.len() * 95);
        }

        #[test]
        fn average_stays_between_the_extremes(samples in prop::collection::vec(1_u32..1_000_000, 1..100)) {
            let (mut latency, now) = (Latency::default(), Instant::now());
            for sample in &samples {
                latency.record(Duration::from_micros(u64::from(*sample)), now);
            }
            let (low, high) = (*samples.iter().min().unwrap(), *samples.iter().max().unwrap());
            let average = latency.average_us(now);
            prop_assert!(average >= f64::from(low) - 1.0 && average <= f64::from(high) + 1.0);
        }
    }
}
