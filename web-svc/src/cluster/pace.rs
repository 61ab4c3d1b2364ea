//! Waiting: a limit of bytes per second, and growing pauses between retries.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Holds the copying of content to a number of bytes per second over all moves, so that viewers come first.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: Option<u64>,
    free_at: Mutex<Instant>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second: bytes_per_second.map(|limit| limit.max(1)), free_at: Mutex::new(Instant::now()) }
    }

    /// The bytes that one step may move: at most a second's worth, so that the flow is even.
    pub(super) fn step_bytes(&self, bytes_max: u64) -> u64 {
        self.bytes_per_second.map_or(bytes_max, |limit| limit.min(bytes_max))
    }

    /// Accounts for bytes that have moved and waits until the next may.
    ///
    /// # Cancel safety
    /// Dropping the future shortens only this wait; the bytes stay accounted for.
    pub(super) async fn spend(&self, bytes: u64) {
        if let Some(until) = self.charge(bytes, Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// When the next bytes may move; `None` for at once.
    fn charge(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let limit = self.bytes_per_second?;
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = u128::from(bytes) * 1_000_000 / u128::from(limit);
        let cost = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        *free_at = (*free_at).max(now) + cost;
        Some(*free_at)
    }
}

/// Pauses that double from `FIRST` to `LAST`, each shortened by a random part of up to a half.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    const LAST: Duration = Duration::from_secs(5);

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) fn next(&mut self) -> Duration {
        let full = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LAST);
        self.failures = self.failures.saturating_add(1);
        // A version 4 UUID is a random number that is at hand.
        let jitter = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
        full.saturating_sub(full / 2 * jitter / 255)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..40 {
            let pause = backoff.next();
            assert!(pause >= Backoff::FIRST / 2 && pause <= Backoff::LAST);
        }
        assert!(backoff.next() >= Backoff::LAST / 2);
        backoff.reset();
        assert!(backoff.next() <= Backoff::FIRST);
    }

    #[test]
    fn a_throttle_lets_no_more_through_than_its_limit() {
        let throttle = Throttle::new(Some(1000));
        let begun = Instant::now() + Duration::from_secs(1);
        let mut now = begun;
        for _ in 0..10 {
            now = throttle.charge(throttle.step_bytes(1 << 20), now).unwrap();
        }
        assert_eq!(now - begun, Duration::from_secs(10));
        assert_eq!(Throttle::new(None).charge(u64::MAX, now), None);
    }
}
