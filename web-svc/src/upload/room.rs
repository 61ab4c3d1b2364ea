//! The memory for parts of uploads on their way to the ring.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use triton_kit::layers::BODY_SILENCE_TIMEOUT;

use super::{UploadError, receive::SILENCE_MAX};
use crate::catalog::PART_BYTES;

/// The share of memory for parts of all uploads together, and the fewest of them.
const MEMORY_SHARE: u64 = 8;
const PARTS_MIN: u64 = 16;
/// How long an upload waits for room: longer than [`SILENCE_MAX`], after which the places of silent senders are free again, and shorter
/// than the layer's time for a body, which may run although its bytes are here.
pub(super) const ROOM_TIMEOUT: Duration = Duration::from_secs(28);
const _: () = assert!(
    SILENCE_MAX.as_secs() < ROOM_TIMEOUT.as_secs() && ROOM_TIMEOUT.as_secs() < BODY_SILENCE_TIMEOUT.as_secs(),
    "who waits is told"
);
/// How long a part may take to fill while others wait for its place: at 70 KB/s it is filled by then.
pub(super) const FILL_MAX: Duration = Duration::from_secs(120);

/// Room for the parts that lie in memory, of all uploads of this process. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    /// How many wait for a place.
    waiting: Arc<AtomicUsize>,
}

/// Room for one part.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    since: Instant,
    waiting: Arc<AtomicUsize>,
}

impl Place {
    /// Whether others have waited for it while it was filled too slowly.
    pub(super) fn is_wanted_back(&self) -> bool {
        self.since.elapsed() > FILL_MAX && self.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Room {
    /// For so many parts as this share of `memory_bytes` has room for.
    pub(super) fn in_memory_of(memory_bytes: u64) -> Self {
        Self::for_parts((memory_bytes / MEMORY_SHARE / PART_BYTES).max(PARTS_MIN))
    }

    pub(super) fn for_parts(parts: u64) -> Self {
        let permits = usize::try_from(parts).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(permits)), waiting: Arc::default() }
    }

    /// Who has a place can fill its part and send it, whatever others do.
    ///
    /// # Cancel safety
    /// Dropping the future gives nothing away.
    pub(super) async fn take(&self, deadline: Instant) -> Result<Place, UploadError> {
        let _waits = Waits::count(&self.waiting);
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit, since: Instant::now(), waiting: Arc::clone(&self.waiting) }),
            _ => Err(UploadError::Crowded),
        }
    }

    /// Places that nobody has.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.places.available_permits()
    }
}

/// One who waits, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn count(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_a_share_of_the_memory() {
        let parts = |gib: u64| Room::in_memory_of(gib << 30).places();
        assert_eq!([parts(0), parts(1), parts(8)], [16, 16, 128]);
    }

    #[tokio::test(start_paused = true)]
    async fn place_is_wanted_back_from_who_fills_it_slowly_while_others_wait() {
        let room = Room::for_parts(1);
        let place = room.take(Instant::now()).await.unwrap();
        tokio::time::advance(FILL_MAX + Duration::from_secs(1)).await;
        assert!(!place.is_wanted_back(), "nobody waits");
        let waits = tokio::spawn({
            let room = room.clone();
            async move { room.take(Instant::now() + ROOM_TIMEOUT).await.map(|place| place.is_wanted_back()) }
        });
        tokio::task::yield_now().await;
        assert!(place.is_wanted_back());
        drop(place);
        assert!(!waits.await.unwrap().unwrap(), "the next one has time of its own");
        assert_eq!((room.places(), room.waiting.load(Ordering::Relaxed)), (1, 0));
    }
}
