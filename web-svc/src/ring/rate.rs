//! Whether a replica gives enough while somebody waits for it. Pure.

use std::time::Duration;

use super::limits::RingLimits;

/// A trickle is told from a pause by what came, and left in this part of the time that a silence may last.
const TRICKLE_PART: u32 = 3;

/// What one replica gave, and how long it was waited for: in each window of waiting a least number of bytes has to come. The
/// window begins anew as soon as it has, so that neither silence nor a trickle can hide behind what was quick before. It is
/// shorter where something came, but not enough.
///
/// Time in which nobody waits is not told to it: a slow viewer makes no slow replica.
#[derive(Debug)]
pub(super) struct RateWatch {
    window: Duration,
    window_bytes_min: u64,
    waited: Duration,
    /// What came in the window, if anything: a trickle.
    trickle: Option<Trickle>,
}

/// Bytes behind the first ones of a window. Those ended a silence, whose time does not count either.
#[derive(Debug, Clone, Copy)]
struct Trickle {
    silent_for: Duration,
    bytes: u64,
}

impl RateWatch {
    /// For the source after so many resumes. With each the window doubles, up to sixteen times, and the rate falls to a quarter,
    /// so that a cluster that is slow as a whole still makes progress.
    pub(super) fn new(limits: &RingLimits, resumes: u32) -> Self {
        let window = limits.silence_max.saturating_mul(1 << resumes.min(4));
        Self::of(window, limits.bytes_per_second_min >> (2 * resumes.min(31)))
    }

    /// For a source that is left where another answers soon, although what it gives plays.
    pub(super) fn brisk(limits: &RingLimits) -> Self {
        Self::of(limits.silence_max, limits.bytes_per_second_brisk.max(limits.bytes_per_second_min))
    }

    fn of(window: Duration, bytes_per_second_min: u64) -> Self {
        let window_ms = u64::try_from((window / TRICKLE_PART).as_millis()).unwrap_or(u64::MAX);
        // At least one byte: silence is never enough.
        let window_bytes_min = (bytes_per_second_min.saturating_mul(window_ms) / 1_000).max(1);
        Self { window, window_bytes_min, waited: Duration::ZERO, trickle: None }
    }

    /// The longest silence.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// How much longer the next bytes may be waited for.
    pub(super) fn patience(&self) -> Duration {
        let left = self.window.saturating_sub(self.waited);
        match self.trickle {
            None => left,
            Some(trickle) => {
                (self.window / TRICKLE_PART).saturating_sub(self.waited.saturating_sub(trickle.silent_for)).min(left)
            }
        }
    }

    /// So many bytes came after so much waiting; none where it was in vain.
    pub(super) fn note(&mut self, waited: Duration, bytes: u64) {
        self.waited += waited;
        let come = self.trickle.map_or(0, |trickle| trickle.bytes).saturating_add(bytes);
        if come >= self.window_bytes_min {
            (self.waited, self.trickle) = (Duration::ZERO, None);
        } else if let Some(trickle) = &mut self.trickle {
            trickle.bytes = come;
        } else if bytes > 0 {
            self.trickle = Some(Trickle { silent_for: self.waited, bytes: 0 });
        }
    }

    /// Whether a source that has used up the patience gives something all the same.
    pub(super) fn trickles(&self) -> bool {
        self.trickle.is_some()
    }

    /// What is wrong with a source that has used up the patience, in words.
    pub(super) fn complaint(&self) -> String {
        let Some(Trickle { silent_for, bytes }) = self.trickle else { return "silence in mid-stream".to_owned() };
        let waited_ms = self.waited.saturating_sub(silent_for).as_millis().max(1);
        let kib_per_second = u128::from(bytes) * 1_000 / 1_024 / waited_ms;
        format!("too slow in mid-stream: {kib_per_second} KiB/s")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIB: u64 = 1_024;
    const PAUSE: Duration = Duration::from_millis(100);

    fn limits() -> RingLimits {
        RingLimits { silence_max: Duration::from_secs(1), bytes_per_second_min: 64 * KIB, ..RingLimits::default() }
    }

    /// Whether a source that gives this much after each pause is kept for a minute.
    fn is_kept(watch: &mut RateWatch, bytes: u64, pause: Duration) -> bool {
        let mut time = Duration::ZERO;
        while time < Duration::from_secs(60) {
            if watch.patience() < pause {
                watch.note(watch.patience(), 0);
                return false;
            }
            watch.note(pause, bytes);
            time += pause;
        }
        true
    }

    #[test]
    fn trickle_is_left_and_what_plays_is_kept() {
        let (mut slow, mut enough) = (RateWatch::new(&limits(), 0), RateWatch::new(&limits(), 0));
        assert!(!is_kept(&mut slow, KIB, PAUSE));
        assert_eq!(slow.complaint(), "too slow in mid-stream: 9 KiB/s");
        assert!(is_kept(&mut enough, 8 * KIB, PAUSE));
    }

    #[test]
    fn silence_is_the_slowest_of_all_however_much_came_before() {
        for resumes in 0..40 {
            let mut watch = RateWatch::new(&limits(), resumes);
            watch.note(Duration::ZERO, 1_000_000_000);
            assert_eq!(watch.patience(), watch.window());
            watch.note(watch.patience(), 0);
            assert_eq!((watch.patience(), watch.complaint().as_str()), (Duration::ZERO, "silence in mid-stream"));
        }
    }

    #[test]
    fn few_bytes_after_a_pause_cost_no_patience() {
        let mut watch = RateWatch::new(&limits(), 0);
        watch.note(8 * PAUSE, KIB);
        assert_eq!(watch.patience(), 2 * PAUSE, "as much as if it had stayed silent");
        watch.note(2 * PAUSE, KIB);
        assert_eq!(watch.patience(), Duration::ZERO, "a trickle has no longer than silence");
    }

    #[test]
    fn trickle_is_left_however_coarse_its_pieces_are() {
        for pause_ms in [5, 50, 100, 150, 240] {
            let (mut watch, pause) = (RateWatch::new(&limits(), 0), Duration::from_millis(pause_ms));
            assert!(!is_kept(&mut watch, 40 * KIB * pause_ms / 1_000, pause), "{pause_ms} ms");
        }
    }

    #[test]
    fn what_plays_need_not_be_brisk() {
        let is_brisk = |kib: u64| is_kept(&mut RateWatch::brisk(&limits()), kib * KIB / 20, PAUSE / 2);
        assert_eq!([2_048, 512].map(is_brisk), [true, false]);
        assert!(is_kept(&mut RateWatch::new(&limits(), 0), 512 * KIB / 20, PAUSE / 2));
    }

    #[test]
    fn slow_cluster_is_asked_for_less_with_each_resume() {
        let resumes = |bytes| (0..9).find(|n| is_kept(&mut RateWatch::new(&limits(), *n), bytes, PAUSE));
        assert_eq!([8 * KIB, 4 * KIB, KIB, 200].map(resumes), [Some(0), Some(1), Some(2), Some(3)]);
    }

    proptest! {
        #[test]
        fn viewer_that_asks_seldom_makes_no_slow_replica(pieces in prop::collection::vec(1_u64..100_000, 0..200)) {
            let mut watch = RateWatch::new(&limits(), 0);
            for bytes in pieces {
                // Whatever time the viewer took before it asked, it found the bytes there.
                watch.note(Duration::ZERO, bytes);
                prop_assert!(watch.patience() >= watch.window() / TRICKLE_PART);
            }
        }

        #[test]
        fn at_twice_the_least_rate_nobody_is_left(pieces in prop::collection::vec(1_u64..16 * KIB, 1..500)) {
            let mut watch = RateWatch::new(&limits(), 0);
            for bytes in pieces {
                let pause = Duration::from_micros(bytes * 1_000_000 / (128 * KIB));
                prop_assert!(watch.patience() >= pause);
                watch.note(pause, bytes);
            }
        }
    }
}
