//! A limit on bytes per second.

use std::{num::NonZeroU64, time::Duration};

use tokio::{sync::Mutex, time::Instant};

/// Lets bytes pass at a rate, or at once where there is no limit.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<NonZeroU64>,
    /// When everything let through so far has been paid for.
    paid_until: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, paid_until: Mutex::new(None) }
    }

    /// Waits until what passed before is paid for, then books `bytes`: a burst is at most one call's bytes.
    pub(crate) async fn pass(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let cost = Duration::from_nanos(
            u64::try_from(bytes as u128 * 1_000_000_000 / u128::from(rate.get())).unwrap_or(u64::MAX),
        );
        let start = {
            let mut paid_until = self.paid_until.lock().await;
            let now = Instant::now();
            let start = paid_until.map_or(now, |paid| paid.max(now));
            *paid_until = Some(start + cost);
            start
        };
        tokio::time::sleep_until(start).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_at_the_rate() {
        let pace = Pace::new(NonZeroU64::new(1000));
        let began = Instant::now();
        for _ in 0..11 {
            pace.pass(100).await;
        }
        assert_eq!(began.elapsed().as_millis(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_never_waits() {
        let began = Instant::now();
        Pace::new(None).pass(usize::MAX).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
