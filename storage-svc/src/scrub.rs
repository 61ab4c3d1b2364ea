//! The scrub: reads and verifies every blob again and again, slowly, and gives way to who reads and writes.

use std::{num::NonZeroU64, ops::Range, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use triton_api::PartitionId;

use crate::{
    blocking,
    foreground::Foreground,
    store::{Checked, OpenBlob, Store, StoreError},
};

/// Bytes read in one go.
const CHUNK_BYTES: u64 = 1024 * 1024;
/// A pass shall take no longer than this. The promise is 30 days; the rest is for giving way.
const PASS_SECONDS: u64 = 25 * 24 * 60 * 60;
/// The slowest that is worth the while: a gigabyte in five hours.
const BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// The fastest unless told otherwise, a third of what a slow disk reads: enough for 138 TB in a pass.
const BYTES_PER_SECOND_MAX: u64 = 64 * 1024 * 1024;
/// What a file or a directory costs beside its bytes: a seek or two.
const FILE_COST_BYTES: u64 = 16 * 1024;
/// The longest that one chunk gives way, so that a busy node is verified, too.
const GIVE_WAY_MAX: Duration = Duration::from_millis(500);
/// How often progress is written down: after a crash that much is read again.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// The pause after a pass, for a node with hardly anything to read, and after trouble with the disk.
const PAUSE: Duration = Duration::from_secs(5);

/// How fast a node that holds so much is read; nothing where the scrub is turned off.
fn rate(configured: Option<u64>, used_bytes: u64) -> Option<NonZeroU64> {
    let default = (used_bytes / PASS_SECONDS).clamp(BYTES_PER_SECOND_MIN, BYTES_PER_SECOND_MAX);
    NonZeroU64::new(configured.unwrap_or(default))
}

/// A scrub at work.
pub(crate) struct Scrubber {
    pub(crate) store: Store,
    pub(crate) foreground: Arc<Foreground>,
    /// The fastest that it reads, in bytes per second; 0 turns it off; by what the node holds where absent.
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) stop: CancellationToken,
}

/// When the next chunk may be read.
struct Due {
    rate: NonZeroU64,
    at: Instant,
    remember_at: Instant,
}

impl Scrubber {
    /// Works until it is stopped; then it writes down how far it has come.
    pub(crate) async fn run(self) {
        while !self.stop.is_cancelled() {
            let Some(rate) = self.rate() else { return self.stop.cancelled().await };
            let now = Instant::now();
            let outcome = self.scrub_on(&mut Due { rate, at: now, remember_at: now + REMEMBER_EVERY }).await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, "the scrub pauses");
            }
            self.remember().await;
            self.pause(Instant::now() + PAUSE).await;
        }
    }

    /// By what the node holds now: it may have been empty when the pass began.
    fn rate(&self) -> Option<NonZeroU64> {
        let rate = rate(self.bytes_per_second, self.store.used_bytes());
        self.store.with_scrub(|state| state.progress.bytes_per_second = rate.map_or(0, NonZeroU64::get));
        rate
    }

    /// To the end of the pass.
    async fn scrub_on(&self, due: &mut Due) -> Result<(), StoreError> {
        while !self.stop.is_cancelled() {
            let (partition, after) = self.store.with_scrub(|state| (state.progress.position, state.after.clone()));
            self.turn(due, FILE_COST_BYTES).await;
            let store = self.store.clone();
            for file_name in blocking::run(move || store.files_after(partition, after.as_deref())).await? {
                self.scrub_file(partition, &file_name, due).await;
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                self.store.with_scrub(|state| state.after = Some(file_name));
                if Instant::now() >= due.remember_at {
                    self.remember().await;
                    due.remember_at = Instant::now() + REMEMBER_EVERY;
                    due.rate = self.rate().unwrap_or(due.rate);
                }
            }
            if !self.stop.is_cancelled() && self.store.with_scrub(|state| state.next_partition(Timestamp::now())) {
                metrics::counter!("triton_scrub_passes_total").increment(1);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn scrub_file(&self, partition: PartitionId, file_name: &str, due: &mut Due) {
        match self.verify(partition, file_name, due).await {
            Ok(Some(bytes)) => {
                self.store.with_scrub(|state| {
                    state.progress.checked_blobs += 1;
                    state.progress.checked_bytes += bytes;
                });
                metrics::counter!("triton_scrub_blobs_total").increment(1);
                metrics::counter!("triton_scrub_bytes_total").increment(bytes);
            }
            Ok(None) => {}
            Err(StoreError::Corrupt { .. }) => self.note_corrupt(),
            // Unknown, not damaged: it is looked at again in a moment.
            Err(error) => {
                metrics::counter!("triton_scrub_unreadable_total").increment(1);
                tracing::error!(%error, %partition, file_name, "a copy cannot be read");
            }
        }
    }

    fn note_corrupt(&self) {
        self.store.with_scrub(|state| state.progress.found_corrupt += 1);
        metrics::counter!("triton_scrub_corrupt_total").increment(1);
    }

    /// The payload bytes that were verified; `None` where the file is gone.
    async fn verify(&self, partition: PartitionId, file_name: &str, due: &mut Due) -> Result<Option<u64>, StoreError> {
        self.turn(due, FILE_COST_BYTES).await;
        let (store, name) = (self.store.clone(), file_name.to_owned());
        let blob = match blocking::run(move || store.check(partition, &name)).await? {
            Checked::Open(blob) => Arc::<OpenBlob>::from(blob),
            Checked::Gone => return Ok(None),
            Checked::Corrupt => {
                self.note_corrupt();
                return Ok(None);
            }
        };
        let len_bytes = blob.description().len_bytes;
        let mut start = 0;
        while start < len_bytes && !self.stop.is_cancelled() {
            let part: Range<u64> = start..len_bytes.min(start + CHUNK_BYTES);
            start = part.end;
            self.turn(due, part.end - part.start).await;
            let blob = Arc::clone(&blob);
            blocking::run(move || blob.read(&part).map(drop)).await?;
        }
        Ok((start >= len_bytes).then_some(len_bytes))
    }

    /// Waits until what was read before is paid for and nobody else needs the disk, then books `bytes`. It gives way for no
    /// longer than it is to take for them, and that time counts: else a node with viewers at all times, or one that reads
    /// very slowly, would never end its pass.
    async fn turn(&self, due: &mut Due, bytes: u64) {
        self.pause(due.at).await;
        let cost = u128::from(bytes) * 1_000_000_000 / u128::from(due.rate.get());
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
        let limit = cost.min(GIVE_WAY_MAX);
        // Cancel safe: it only waits.
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.foreground.quiet(limit) => {}
        }
        due.at = due.at.max(Instant::now() - limit) + cost;
    }

    /// Waits, but not longer than until the stop.
    async fn pause(&self, until: Instant) {
        // Cancel safe: a token and a sleep.
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep_until(until) => {}
        }
    }

    async fn remember(&self) {
        let store = self.store.clone();
        if let Err(error) = blocking::run(move || store.remember_scrub()).await {
            tracing::warn!(%error, "the scrub's progress is not written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn viewers_who_never_leave_do_not_lengthen_the_pass() {
        const TURNS: u32 = 100;
        const TURN: Duration = Duration::from_millis(50);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Some(0)).unwrap();
        let foreground = Arc::new(Foreground::new());
        let stop = CancellationToken::new();
        let scrubber = Scrubber { store, foreground: Arc::clone(&foreground), bytes_per_second: None, stop };
        let busy = foreground.begin();
        let began = Instant::now();
        let mut due = Due { rate: NonZeroU64::new(20 * CHUNK_BYTES).unwrap(), at: began, remember_at: began };
        for _ in 0..TURNS {
            scrubber.turn(&mut due, CHUNK_BYTES).await;
        }
        let took = began.elapsed();
        assert!((TURN * (TURNS - 1)..TURN * (TURNS + 1)).contains(&took), "{took:?}");
        drop(busy);
    }

    #[test]
    fn a_pass_takes_less_than_thirty_days_and_never_much_of_a_disk() {
        const DAYS_30: u64 = 30 * 24 * 60 * 60;
        for used_bytes in [0, 1, 1_000_000_000, 1_000_000_000_000, 100_000_000_000_000] {
            let rate = rate(None, used_bytes).unwrap().get();
            assert!(used_bytes / rate <= DAYS_30, "{used_bytes} at {rate}");
            assert!((BYTES_PER_SECOND_MIN..=BYTES_PER_SECOND_MAX).contains(&rate));
        }
        assert_eq!((rate(Some(5), u64::MAX).map(NonZeroU64::get), rate(Some(0), 1)), (Some(5), None));
    }
}
