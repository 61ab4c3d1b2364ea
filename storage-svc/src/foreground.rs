//! Whether somebody reads or writes right now: what can wait gives way to them.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// Nobody needs the disk when the last request ended so long ago.
const QUIET: Duration = Duration::from_millis(20);

/// The requests for blobs under way.
#[derive(Debug)]
pub(crate) struct Foreground {
    running: AtomicU32,
    ended: watch::Sender<Instant>,
}

/// A request; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Foreground);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.send_replace(Instant::now());
    }
}

impl Foreground {
    pub(crate) fn new() -> Self {
        Self { running: AtomicU32::new(0), ended: watch::Sender::new(Instant::now()) }
    }

    /// Notes a request.
    pub(crate) fn begin(&self) -> Busy<'_> {
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    /// Waits for a moment in which nobody reads or writes, but at most `limit`.
    pub(crate) async fn quiet(&self, limit: Duration) {
        let until = Instant::now() + limit;
        loop {
            let quiet_at = *self.ended.borrow() + QUIET;
            let now = Instant::now();
            if now >= until || (self.running.load(Ordering::Relaxed) == 0 && now >= quiet_at) {
                return;
            }
            tokio::time::sleep_until((now + QUIET).min(until)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_way_to_requests_for_a_bounded_time() {
        const LIMIT: Duration = Duration::from_millis(500);
        let foreground = Foreground::new();
        tokio::time::advance(QUIET).await;
        let waited = async || {
            let began = Instant::now();
            foreground.quiet(LIMIT).await;
            began.elapsed()
        };
        assert_eq!(waited().await, Duration::ZERO);
        let busy = foreground.begin();
        assert!(waited().await >= LIMIT);
        drop(busy);
        assert!((QUIET..LIMIT).contains(&waited().await));
    }
}
