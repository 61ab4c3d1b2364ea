//! How fast bytes move, and how long the rest will take.

use std::time::{Duration, Instant};

/// The time over which the rate is averaged: long enough to be calm, short enough to follow a throttle.
const MEMORY: Duration = Duration::from_secs(10);

/// An exponentially weighted moving average of bytes per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    bytes_per_second: f64,
    pending_bytes: u64,
    since: Instant,
    begun: Instant,
}

impl Rate {
    pub(super) fn starting_at(now: Instant) -> Self {
        Self { bytes_per_second: 0.0, pending_bytes: 0, since: now, begun: now }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.pending_bytes += bytes;
    }

    /// The rate at `now`, in bytes per second.
    #[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive and far below 2^63")]
    pub(super) fn at(&mut self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64();
        if elapsed > 0.0 {
            let sample = self.pending_bytes as f64 / elapsed;
            // While it is young the average is over its whole life, so that it does not climb slowly from zero.
            let age = now.saturating_duration_since(self.begun).as_secs_f64();
            let weight = elapsed / elapsed.max(age.min(MEMORY.as_secs_f64()));
            self.bytes_per_second += (sample - self.bytes_per_second) * weight;
            (self.pending_bytes, self.since) = (0, now);
        }
        self.bytes_per_second as u64
    }
}

/// The seconds that `bytes` take at this rate; `None` while nothing moves.
pub(super) fn eta_seconds(bytes: u64, bytes_per_second: u64) -> Option<u64> {
    (bytes_per_second > 0).then(|| bytes.div_ceil(bytes_per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_is_told_from_the_first_sample_and_forgotten_when_it_ends() {
        let begun = Instant::now();
        let mut rate = Rate::starting_at(begun);
        for second in 1..=30 {
            rate.add(1000);
            let told = rate.at(begun + Duration::from_secs(second));
            assert!((999..=1001).contains(&told), "{told} after {second} s");
        }
        assert!(rate.at(begun + Duration::from_secs(90)) < 10);
    }

    #[test]
    fn no_rate_gives_no_estimate() {
        assert_eq!(eta_seconds(1, 0), None);
        assert_eq!(eta_seconds(1001, 1000), Some(2));
        assert_eq!(eta_seconds(0, 1000), Some(0));
    }
}
