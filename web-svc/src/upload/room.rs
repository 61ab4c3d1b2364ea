//! The memory for parts of uploads on their way to the ring.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use triton_kit::layers::BODY_SILENCE_TIMEOUT;

use super::{UploadError, receive::SILENCE_MAX};
use crate::catalog::PART_BYTES;

/// The share of memory for parts of all uploads together, and the fewest of them.
const MEMORY_SHARE: u64 = 8;
const PARTS_MIN: u64 = 16;
/// How long an upload waits for room: longer than [`SILENCE_MAX`], after which the places of silent senders are free again, and shorter
/// than the layer's time for a body, which may run although its bytes are here.
const ROOM_TIMEOUT: Duration = Duration::from_secs(28);
const _: () = assert!(
    SILENCE_MAX.as_secs() < ROOM_TIMEOUT.as_secs() && ROOM_TIMEOUT.as_secs() < BODY_SILENCE_TIMEOUT.as_secs(),
    "who waits is told"
);

/// Room for the parts that lie in memory, of all uploads of this process. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// For so many parts as this share of `memory_bytes` has room for.
    pub(super) fn in_memory_of(memory_bytes: u64) -> Self {
        Self::for_parts((memory_bytes / MEMORY_SHARE / PART_BYTES).max(PARTS_MIN))
    }

    pub(super) fn for_parts(parts: u64) -> Self {
        Self(Arc::new(Semaphore::new(
            usize::try_from(parts).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS),
        )))
    }

    /// Who has a place can fill its part and send it, whatever others do.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit, UploadError> {
        match timeout(ROOM_TIMEOUT, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(UploadError::Crowded),
        }
    }

    /// Places that nobody has.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.0.available_permits()
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
}
