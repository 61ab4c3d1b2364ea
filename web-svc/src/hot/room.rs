//! The memory that contents may take, in the cache or outside of it while they are loaded or sent.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The unit in which room is counted, in bytes.
const UNIT_BYTES: usize = 1024;

/// Room for contents. A viewer who takes long to fetch what the cache has dropped meanwhile still occupies it.
#[derive(Debug, Clone)]
pub(super) struct Room {
    units: Arc<Semaphore>,
}

/// Room for one content.
#[derive(Debug)]
pub(super) struct Place(OwnedSemaphorePermit);

/// A content in its place, which is free again when this is dropped.
struct Placed {
    content: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Placed {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Room {
    /// Room for a cache of `bytes_max`, and a quarter more.
    pub(super) fn new(bytes_max: u64) -> Self {
        let units = usize::try_from(bytes_max + bytes_max / 4).unwrap_or(usize::MAX) / UNIT_BYTES;
        Self { units: Arc::new(Semaphore::new(units.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// Waits for room for so many bytes, at most so long.
    pub(super) async fn take(&self, bytes: usize, patience: Duration) -> Option<Place> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok()?;
        let permit = timeout(patience, Arc::clone(&self.units).acquire_many_owned(units)).await;
        permit.ok()?.ok().map(Place)
    }
}

impl Place {
    /// Puts a content here; the room is free again when nobody has a reference to it any more.
    pub(super) fn fill(self, content: BytesMut) -> Bytes {
        let Self(permit) = self;
        Bytes::from_owner(Placed { content: content.freeze(), _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_taken_for_as_long_as_anybody_refers_to_the_content() {
        let room = Room::new(8 * 1024);
        let patience = Duration::from_millis(1);
        let place = room.take(10 * 1024, patience).await.unwrap();
        let content = place.fill(BytesMut::from(&b"0123456789"[..]));
        let sending = content.slice(2..4);
        drop(content);
        assert!(room.take(1024, patience).await.is_none());
        assert_eq!(&sending[..], b"23");
        drop(sending);
        assert!(room.take(1024, patience).await.is_some());
    }
}
