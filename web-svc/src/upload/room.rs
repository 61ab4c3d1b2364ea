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
    demand: Arc<Demand>,
}

/// Who lacks a place, and who was asked to give one back.
#[derive(Debug, Default)]
struct Demand {
    waiting: AtomicUsize,
    /// Places that were asked back and are not back yet.
    asked_back: AtomicUsize,
}

/// Room for one part.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    since: Instant,
    demand: Arc<Demand>,
    is_asked_back: bool,
}

impl Place {
    /// Whether somebody waits for it because it is filled too slowly: of many slow ones, one is asked for each who waits.
    pub(super) fn is_wanted_back(&mut self) -> bool {
        if !self.is_asked_back && self.since.elapsed() > FILL_MAX {
            let Demand { waiting, asked_back } = &*self.demand;
            let one_more = |asked: usize| (asked < waiting.load(Ordering::Acquire)).then_some(asked + 1);
            self.is_asked_back = asked_back.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok();
        }
        self.is_asked_back
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permit = None;
        if self.is_asked_back {
            self.demand.asked_back.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Room {
    /// For so many parts as this share of `memory_bytes` has room for.
    pub(super) fn in_memory_of(memory_bytes: u64) -> Self {
        Self::for_parts((memory_bytes / MEMORY_SHARE / PART_BYTES).max(PARTS_MIN))
    }

    pub(super) fn for_parts(parts: u64) -> Self {
        let permits = usize::try_from(parts).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(permits)), demand: Arc::default() }
    }

    /// Who has a place can fill its part and send it, whatever others do.
    ///
    /// # Cancel safety
    /// Dropping the future gives nothing away.
    pub(super) async fn take(&self, deadline: Instant) -> Result<Place, UploadError> {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(deadline).await?,
        };
        let (since, demand) = (Instant::now(), Arc::clone(&self.demand));
        Ok(Place { permit: Some(permit), since, demand, is_asked_back: false })
    }

    async fn wait(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, UploadError> {
        let _waits = Waits::count(&self.demand.waiting);
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
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
        waiting.fetch_add(1, Ordering::AcqRel);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    #[test]
    fn room_is_a_share_of_the_memory() {
        let parts = |gib: u64| Room::in_memory_of(gib << 30).places();
        assert_eq!([parts(0), parts(1), parts(8)], [16, 16, 128]);
    }

    #[tokio::test(start_paused = true)]
    async fn for_each_who_waits_one_of_the_slow_ones_is_asked_for_its_place() {
        let room = Room::for_parts(2);
        let [mut slow, mut other] =
            [room.take(Instant::now()).await, room.take(Instant::now()).await].map(Result::unwrap);
        tokio::time::advance(FILL_MAX + Duration::from_secs(1)).await;
        assert!(!slow.is_wanted_back(), "nobody waits");
        let mut waits = pin!(room.take(Instant::now() + ROOM_TIMEOUT));
        assert!(poll!(waits.as_mut()).is_pending());
        assert!(slow.is_wanted_back() && slow.is_wanted_back() && !other.is_wanted_back());
        drop(slow);
        let mut next = waits.await.unwrap();
        let mut waits = pin!(room.take(Instant::now() + ROOM_TIMEOUT));
        assert!(poll!(waits.as_mut()).is_pending());
        assert!(!next.is_wanted_back(), "the next one has time of its own");
        assert!(other.is_wanted_back());
        drop((next, other));
        drop(waits.await.unwrap());
        let Demand { waiting, asked_back } = &*room.demand;
        assert_eq!((room.places(), waiting.load(Ordering::Acquire), asked_back.load(Ordering::Acquire)), (2, 0, 0));
    }
}
