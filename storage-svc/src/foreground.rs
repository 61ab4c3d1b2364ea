//! Whether somebody reads from the disk or writes right now: what can wait gives way to them. Who is answered from memory
//! before the router is asked does not need the disk and does not count.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::body::{Body, HttpBody as _};
use futures_util::{StreamExt as _, stream};
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
pub(crate) struct Busy(Arc<Foreground>);

impl Busy {
    /// The same body; the request goes on until its end. One that lies in memory needs the disk no more.
    pub(crate) fn until_end_of(self, body: Body) -> Body {
        if body.size_hint().exact().is_some() {
            return body;
        }
        let state = (body.into_data_stream(), self);
        Body::from_stream(stream::unfold(state, |(mut frames, busy)| async move {
            let frame = frames.next().await?;
            Some((frame, (frames, busy)))
        }))
    }
}

impl Drop for Busy {
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
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
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
        let foreground = Arc::new(Foreground::new());
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
