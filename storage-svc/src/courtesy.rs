//! Copies between nodes yield to viewers.
//!
//! The idea is that of Garage's tranquilizer: after each piece of work the copy rests for a multiple of the time that the
//! piece took, so that it slows down by itself where the disk or the processor is slow. Here the multiple is not a setting.
//! The node measures how long its viewers wait for the first bytes of an answer: where that has grown compared with quiet
//! times the multiple grows, where nobody notices it shrinks to one, and where nobody reads to nothing. It has a limit: a
//! copy never starves.
//!
//! Where the disk is quick, a piece is read in no time, and what viewers feel is the processor: sending, receiving and hashing.
//! So copies also have a pace by the number of processors for as long as somebody reads.

use std::{
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Method;
use triton_api::storage::{BACKGROUND_HEADER, route};

use crate::node::Node;

/// The time over which the waits of viewers are compared.
const WINDOW: Duration = Duration::from_millis(100);
/// Waits that a window keeps; further ones replace the first.
const WAITS_MAX: usize = 256;
/// While somebody reads, a copy rests for as long as it works even where nobody seems to notice: what the slowest of a
/// hundred reads wait for shows too late in a window.
const REST_MIN: f64 = 1.0;
/// A copy rests for at most so many times of its work, which leaves it a ninth of its speed.
const REST_MAX: f64 = 8.0;
/// While somebody reads, copies leave a node at no more bytes per second for each of its processors: three tenths of what two
/// of them can (`make bench`, the case `rebalance`).
const BYTES_PER_SECOND_AND_CPU: u32 = 60 * 1024 * 1024;
/// Sleeps last some milliseconds more than they are to: what is made up for in the next one.
const OVERSLEPT_MAX: Duration = Duration::from_millis(5);
/// One rest, whatever the work took: the other side of a copy waits for it.
const REST_TIME_MAX: Duration = Duration::from_millis(500);
/// The growth of waits that viewers may notice: half of what is promised, which is twice the wait of quiet times.
const GROWTH_MAX: f64 = 1.5;
/// Differences below this are chance.
const CHANCE: Duration = Duration::from_micros(300);
/// Viewers come back for the next segment: so long after a read there is somebody who reads.
const VIEWERS_STAY: Duration = Duration::from_secs(10);
/// After this time without copies, times are quiet again.
const QUIET_AFTER: Duration = Duration::from_millis(500);

/// How long viewers wait, and how long copies rest because of it.
#[derive(Debug, Default)]
pub(crate) struct Courtesy {
    state: Mutex<Watch>,
    /// Copies are read for other nodes one piece at a time: many at once would leave nobody a rest. How much longer the last
    /// rest was than it was to be.
    overslept: tokio::sync::Mutex<Duration>,
}

#[derive(Debug, Default)]
struct Watch {
    /// When the window began.
    since: Option<Instant>,
    /// How long viewers have waited in this window.
    waits: Vec<Duration>,
    /// Waits of this window, those that were dropped included.
    count: usize,
    /// When a viewer waited last.
    viewed: Option<Instant>,
    /// The long wait, nine tenths being shorter, of quiet times.
    quiet: Option<Duration>,
    /// When a copy worked last.
    copied: Option<Instant>,
    /// The rest of a copy, in times of its work.
    rest: f64,
}

impl Courtesy {
    /// A viewer has waited for the first bytes of an answer.
    pub(crate) fn waited(&self, wait: Duration) {
        self.waited_at(wait, Instant::now());
    }

    fn waited_at(&self, wait: Duration, now: Instant) {
        let mut watch = self.lock();
        watch.turn(now);
        watch.viewed = Some(now);
        watch.rest = watch.rest.max(REST_MIN);
        let position = watch.count % WAITS_MAX;
        watch.count += 1;
        if let Some(kept) = watch.waits.get_mut(position) {
            *kept = wait;
        } else {
            watch.waits.push(wait);
        }
    }

    #[cfg(test)]
    pub(crate) fn waits(&self) -> usize {
        self.lock().waits.len()
    }

    /// How long a copy has to rest that has worked for `worked`, and got so many bytes.
    pub(crate) fn rest_after(&self, worked: Duration, bytes: usize) -> Duration {
        self.rest_after_at(worked, bytes, Instant::now())
    }

    fn rest_after_at(&self, worked: Duration, bytes: usize, now: Instant) -> Duration {
        let mut watch = self.lock();
        watch.turn(now);
        watch.copied = Some(now);
        if watch.rest == 0.0 {
            return Duration::ZERO;
        }
        worked.mul_f64(watch.rest).max(pace(bytes)).min(REST_TIME_MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        // Nothing in here panics half way, and a wrong figure would only change a rest.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Ends the window where its time is over, and draws the conclusions.
    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < WINDOW {
            return;
        }
        let waits = std::mem::take(&mut self.waits);
        (self.since, self.count) = (Some(now), 0);
        let Some(wait) = long(waits) else {
            let is_alone = self.viewed.is_none_or(|viewed| now.saturating_duration_since(viewed) > VIEWERS_STAY);
            self.rest = if is_alone { 0.0 } else { shorter(self.rest) };
            return;
        };
        let is_quiet = self.copied.is_none_or(|copied| now.saturating_duration_since(copied) > QUIET_AFTER);
        let quiet = match self.quiet {
            None => wait,
            // Quiet times teach at once, and busy ones that quiet times were not as slow as remembered.
            Some(quiet) if is_quiet => quiet.mul_f64(0.8) + wait.mul_f64(0.2),
            Some(quiet) => quiet.min(wait),
        };
        self.quiet = Some(quiet);
        let suffers = wait > quiet.mul_f64(GROWTH_MAX) + CHANCE;
        self.rest = if suffers { (self.rest * 1.5 + 0.5).min(REST_MAX) } else { shorter(self.rest) };
    }
}

/// The rest where nobody seems to suffer.
fn shorter(rest: f64) -> f64 {
    (rest * 0.8 - 0.05).max(REST_MIN)
}

/// The time that so many bytes have to take while somebody reads.
fn pace(bytes: usize) -> Duration {
    static CPUS: LazyLock<u32> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(1)));
    Duration::from_secs(1) * u32::try_from(bytes).unwrap_or(u32::MAX) / BYTES_PER_SECOND_AND_CPU / *CPUS
}

/// The wait that nine tenths of the waits do not exceed.
fn long(mut waits: Vec<Duration>) -> Option<Duration> {
    waits.sort_unstable();
    waits.get((waits.len() * 9 / 10).min(waits.len().saturating_sub(1))).copied()
}

/// Measures the reads of viewers, and lets those of copies rest.
pub(crate) async fn observe(node: Node, request: Request, next: Next) -> Response {
    if request.method() != Method::GET || !request.uri().path().starts_with(route::BLOB_PREFIX) {
        return next.run(request).await;
    }
    let is_background = request.headers().contains_key(BACKGROUND_HEADER);
    let began = Instant::now();
    let response = next.run(request).await;
    if is_background {
        return response.map(|body| resting(body, node));
    }
    node.courtesy.waited(began.elapsed());
    response
}

/// The same body, with a rest after each frame.
fn resting(body: Body, node: Node) -> Body {
    let frames = body.into_data_stream();
    let state = (frames, node);
    Body::from_stream(futures_util::stream::unfold(state, |(mut frames, node)| async move {
        let mut overslept = node.courtesy.overslept.lock().await;
        let began = Instant::now();
        let frame = frames.next().await?;
        let bytes = frame.as_ref().map_or(0, Bytes::len);
        let rest = node.courtesy.rest_after(began.elapsed(), bytes).saturating_sub(*overslept);
        let rests = Instant::now();
        tokio::time::sleep(rest).await;
        *overslept = rests.elapsed().saturating_sub(rest).min(OVERSLEPT_MAX);
        drop(overslept);
        Some((frame, (frames, node)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WORK: Duration = Duration::from_millis(50);

    /// Lets viewers wait for `wait` ten times in each of some windows, and a copy work in each where there is one.
    fn pass(courtesy: &Courtesy, now: &mut Instant, windows: u32, wait: Duration, copies: bool) -> f64 {
        let mut rest = Duration::ZERO;
        for _ in 0..windows {
            for _ in 0..10 {
                *now += WINDOW / 10;
                courtesy.waited_at(wait, *now);
            }
            if copies {
                rest = courtesy.rest_after_at(WORK, 1, *now);
            }
        }
        rest.as_secs_f64() / WORK.as_secs_f64()
    }

    #[test]
    fn a_copy_rests_while_viewers_suffer_and_not_for_longer() {
        let (courtesy, mut now) = (Courtesy::default(), Instant::now());
        pass(&courtesy, &mut now, 20, 2 * MS, false);
        let least = pass(&courtesy, &mut now, 20, 2 * MS, true);
        assert!((least - REST_MIN).abs() < 1e-6, "nobody notices the copy: {least}");
        assert!(pass(&courtesy, &mut now, 3, 6 * MS, true) > 1.0);
        let most = pass(&courtesy, &mut now, 50, 6 * MS, true);
        assert!((most - REST_MAX).abs() < 1e-6, "it never starves: {most}");
        assert!(pass(&courtesy, &mut now, 30, 2 * MS, true) < REST_MIN + 1e-6);
    }

    #[test]
    fn one_rest_is_short_however_long_the_work_took() {
        let (courtesy, mut now) = (Courtesy::default(), Instant::now());
        pass(&courtesy, &mut now, 20, 2 * MS, false);
        assert!(pass(&courtesy, &mut now, 50, 6 * MS, true) > 1.0);
        // A disk that stood still for a minute: eight more, and the other side would have given up.
        assert_eq!(courtesy.rest_after_at(Duration::from_secs(60), 1, now), REST_TIME_MAX);
    }

    #[test]
    fn a_copy_without_viewers_does_not_rest() {
        let (courtesy, mut now) = (Courtesy::default(), Instant::now());
        pass(&courtesy, &mut now, 5, MS, false);
        pass(&courtesy, &mut now, 10, 9 * MS, true);
        // The window of the last read ends, and many pass without one.
        now += WINDOW;
        courtesy.rest_after_at(WORK, 1, now);
        now += VIEWERS_STAY / 2;
        let rest = courtesy.rest_after_at(WORK, 1, now);
        assert!(rest >= WORK, "viewers are between two segments: {rest:?}");
        now += VIEWERS_STAY / 2;
        assert_eq!(courtesy.rest_after_at(WORK, 1, now), Duration::ZERO);
        courtesy.waited_at(MS, now);
        assert_eq!(courtesy.rest_after_at(WORK, 1, now), WORK, "not only when the window of the first one is over");
    }

    #[test]
    fn a_copy_that_costs_no_time_has_a_pace_while_somebody_reads() {
        let (courtesy, mut now) = (Courtesy::default(), Instant::now());
        let tenth = BYTES_PER_SECOND_AND_CPU as usize / 10 * std::thread::available_parallelism().unwrap().get();
        assert_eq!(courtesy.rest_after_at(Duration::ZERO, tenth, now), Duration::ZERO, "nobody reads");
        pass(&courtesy, &mut now, 5, MS, true);
        let rest = courtesy.rest_after_at(Duration::ZERO, tenth, now);
        assert!(rest.abs_diff(100 * MS) < MS, "{rest:?}");
        assert_eq!(courtesy.rest_after_at(300 * MS, tenth, now), 300 * MS, "a slow disk is slow enough");
        now += WINDOW;
        courtesy.rest_after_at(Duration::ZERO, tenth, now);
        now += VIEWERS_STAY;
        assert_eq!(courtesy.rest_after_at(Duration::ZERO, tenth, now), Duration::ZERO);
    }

    #[test]
    fn what_viewers_wait_for_in_quiet_times_is_learned_anew() {
        let (courtesy, mut now) = (Courtesy::default(), Instant::now());
        pass(&courtesy, &mut now, 20, MS, false);
        // A slower disk, or longer blobs: nobody copies, so that is what viewers are used to.
        pass(&courtesy, &mut now, 40, 8 * MS, false);
        assert!(pass(&courtesy, &mut now, 20, 8 * MS, true) < REST_MIN + 1e-6);
    }
}
