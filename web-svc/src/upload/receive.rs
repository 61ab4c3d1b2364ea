//! Receiving a body: cut into parts, written to the ring while the next part arrives.

use std::{collections::VecDeque, future::Future, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use triton_api::VideoId;

use super::{
    UploadError,
    room::{FILL_MAX, Place, ROOM_TIMEOUT, Room},
};
use crate::{
    catalog::{PART_BYTES, VideoRecord},
    pipeline::{SNIFF_BYTES, sniff},
    ring::{Ring, RingError},
};

/// The longest silence of a sender; shorter than that after which `triton_kit::layers` breaks a body off without a word.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Parts on their way to the ring while the next one arrives. With the part that fills they bound an upload's memory.
pub(super) const PARTS_IN_FLIGHT: usize = 2;

/// Cuts one original into parts and writes them.
pub(super) struct Receiver {
    ring: Ring,
    room: Room,
    id: VideoId,
    bytes_max: u64,
    buffer: BytesMut,
    /// The place of what is in the buffer.
    place: Option<Place>,
    sniffed: bool,
    received_bytes: u64,
    parts: u64,
    durable_parts: u64,
    /// A part was not written: what follows it does not count any more, and nothing is sent behind it.
    has_hole: bool,
    in_flight: VecDeque<AbortOnDropHandle<Result<(), RingError>>>,
}

impl Receiver {
    pub(super) fn new(ring: Ring, room: Room, id: VideoId, bytes_max: u64) -> Self {
        Self {
            ring,
            room,
            id,
            bytes_max,
            buffer: BytesMut::new(),
            place: None,
            sniffed: false,
            received_bytes: 0,
            parts: 0,
            durable_parts: 0,
            has_hole: false,
            in_flight: VecDeque::new(),
        }
    }

    /// Goes on with an original of which some whole parts are durable, and the bytes of `tail` behind them. Where it is to
    /// be a video by itself, its beginning is looked at, unless that was done when it arrived. The tail has its place in
    /// memory by [`Self::make_room`].
    pub(super) fn resume(self, parts: u64, tail: Bytes, is_video: bool) -> Self {
        let received_bytes = parts * PART_BYTES + tail.len() as u64;
        Self {
            buffer: BytesMut::from(tail),
            sniffed: !is_video || received_bytes >= SNIFF_BYTES as u64,
            received_bytes,
            parts,
            durable_parts: parts,
            ..self
        }
    }

    /// Parts begun so far: what is to be deleted when the upload fails.
    pub(super) fn parts(&self) -> u64 {
        self.parts
    }

    /// The parts, from the first on without a gap, that are known to be durable.
    pub(super) fn durable_parts(&self) -> u64 {
        self.durable_parts
    }

    /// Bytes so far, those included that do not fill a part.
    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// The bytes behind the last whole part, with their place in memory.
    pub(super) fn into_rest(self) -> (Bytes, Option<Place>) {
        (self.buffer.freeze(), self.place)
    }

    /// Waits until the part that fills has a place in memory.
    pub(super) async fn make_room(&mut self) -> Result<(), UploadError> {
        self.make_room_until(Instant::now() + ROOM_TIMEOUT).await
    }

    async fn make_room_until(&mut self, deadline: Instant) -> Result<(), UploadError> {
        if self.place.is_none() {
            self.place = Some(self.room.take(deadline).await?);
        }
        Ok(())
    }

    /// Takes the next bytes; waits while too many parts are on their way, of this upload or of all. What is sent too slowly for
    /// others to wait for is not taken.
    pub(super) async fn push(&mut self, mut chunk: Bytes) -> Result<(), UploadError> {
        if self.received_bytes + chunk.len() as u64 > self.bytes_max {
            return Err(UploadError::TooLarge { bytes_max: self.bytes_max });
        }
        if self.place.as_mut().is_some_and(Place::is_wanted_back) {
            return Err(UploadError::Slow { seconds: FILL_MAX.as_secs() });
        }
        // The layer's time for a body may run while a part lands, too.
        let deadline = Instant::now() + ROOM_TIMEOUT;
        while !chunk.is_empty() {
            self.make_room_until(deadline).await?;
            let missing = usize::try_from(PART_BYTES).unwrap_or(usize::MAX) - self.buffer.len();
            let piece = chunk.split_to(missing.min(chunk.len()));
            self.buffer.extend_from_slice(&piece);
            self.received_bytes += piece.len() as u64;
            if !self.sniffed && self.buffer.len() >= SNIFF_BYTES {
                self.sniff()?;
            }
            if self.buffer.len() as u64 == PART_BYTES {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Waits until everything is durable and returns the number of bytes.
    pub(super) async fn finish(mut self) -> Result<u64, UploadError> {
        self.send_rest().await?;
        self.settle().await?;
        Ok(self.received_bytes)
    }

    /// Writes what does not fill a part as the last, shorter one.
    pub(super) async fn send_rest(&mut self) -> Result<(), UploadError> {
        if !self.sniffed {
            self.sniff()?;
        }
        if self.buffer.is_empty() { Ok(()) } else { self.send_part().await }
    }

    /// Waits until all parts on their way are durable.
    ///
    /// # Errors
    /// [`UploadError::Hole`] where that an earlier part is not was told already.
    pub(super) async fn settle(&mut self) -> Result<(), UploadError> {
        while !self.in_flight.is_empty() {
            self.landed().await?;
        }
        if self.has_hole { Err(UploadError::Hole) } else { Ok(()) }
    }

    /// Refuses what is no video before most of it has arrived.
    fn sniff(&mut self) -> Result<(), UploadError> {
        self.sniffed = true;
        let head = self.buffer.get(..SNIFF_BYTES).unwrap_or(&self.buffer);
        sniff(head).map_err(crate::pipeline::PipelineError::from)?;
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), UploadError> {
        if self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.landed().await?;
        }
        if self.has_hole {
            return Err(UploadError::Hole);
        }
        let (ring, key) = (self.ring.clone(), VideoRecord::original_part(self.id, self.parts));
        let (content, place) = (std::mem::take(&mut self.buffer).freeze(), self.place.take());
        self.parts += 1;
        let write: JoinHandle<_> = tokio::spawn(async move {
            let written = ring.put(&key, content).await.map(drop);
            drop(place);
            written
        });
        self.in_flight.push_back(AbortOnDropHandle::new(write));
        Ok(())
    }

    /// Waits until the oldest part on its way is durable; for ever where there is none. When it is not written, the parts
    /// behind it are called back: bytes that nobody can be told about.
    ///
    /// # Cancel safety
    /// May be dropped: the part stays on its way.
    pub(super) async fn landed(&mut self) -> Result<(), UploadError> {
        let Some(oldest) = self.in_flight.front_mut() else { return std::future::pending().await };
        let landed = oldest.await;
        self.in_flight.pop_front();
        let written = landed.map_err(UploadError::Part).and_then(|written| Ok(written?));
        if written.is_ok() {
            self.durable_parts += 1;
        } else {
            self.has_hole = true;
            self.in_flight.clear();
        }
        written
    }
}

/// Waits for the sender, but not forever.
pub(super) async fn unless_silent<T>(arrival: impl Future<Output = T>) -> Result<T, UploadError> {
    let silent = |_| UploadError::Silent { seconds: SILENCE_MAX.as_secs() };
    tokio::time::timeout(SILENCE_MAX, arrival).await.map_err(silent)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};
    use triton_api::{
        BlobHash,
        client::{Caller, NodeClient},
        layout::{LayoutNode, LayoutRecord},
    };

    use super::*;
    use crate::ring::RingLimits;

    const PART: usize = 8 << 20;

    /// A ring of one node that has other bytes at the place of this part, so that exactly that part is not written.
    async fn ring_without(
        id: VideoId,
        part: u64,
        dir: &std::path::Path,
        stop: &CancellationToken,
    ) -> (Ring, storage_svc::Running) {
        let config = storage_svc::Config::new(dir, "127.0.0.1:0".parse().unwrap());
        let node = storage_svc::serve(config, stop.clone()).await.unwrap();
        let url: triton_api::NodeUrl = format!("http://{}", node.address()).parse().unwrap();
        let caller = Caller::untraced(None).unwrap();
        let client = NodeClient::new(caller.clone(), url.clone());
        let member = LayoutNode::active(node.id(), url, "default", 100);
        let layout = LayoutRecord::settled(triton_placement::layout::first(vec![member], 1).unwrap());
        client.put_layout(&layout).await.unwrap();
        let other = Bytes::from_static(b"other bytes");
        let key = VideoRecord::original_part(id, part);
        client.put(&key, BlobHash::of(&other), other, layout.write_epoch()).await.unwrap();
        let (_, layout) = watch::channel(Arc::new(layout));
        (Ring::new(caller, layout, RingLimits::default(), TaskTracker::new(), stop.clone()), node)
    }

    #[tokio::test]
    async fn parts_behind_one_that_was_not_written_do_not_count() {
        let (dir, stop, id) = (tempfile::tempdir().unwrap(), CancellationToken::new(), VideoId::generate());
        let _stop_at_the_end = stop.clone().drop_guard();
        let (ring, _node) = ring_without(id, 1, dir.path(), &stop).await;
        let mut receiver =
            Receiver::new(ring.clone(), Room::for_parts(16), id, u64::MAX).resume(0, Bytes::new(), false);
        // The first is durable; the second, which will fail, and the third are on their way together.
        receiver.push(vec![0; PART].into()).await.unwrap();
        receiver.settle().await.unwrap();
        assert_eq!(receiver.durable_parts(), 1);
        receiver.push(vec![2; 2 * PART + 5].into()).await.unwrap();
        assert_eq!(receiver.in_flight.len(), 2);
        // The third is even known to be durable before the second is asked about.
        while !receiver.in_flight[1].is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(ring.head(&VideoRecord::original_part(id, 2)).await.is_ok());
        let error = receiver.landed().await.unwrap_err();
        assert!(matches!(error, UploadError::Ring(RingError::Exists { .. })), "{error}");
        for _ in 0..2 {
            assert!(matches!(receiver.settle().await, Err(UploadError::Hole)));
            assert!(matches!(receiver.send_rest().await, Err(UploadError::Hole)));
        }
        assert_eq!((receiver.durable_parts(), receiver.parts()), (1, 3));
        let rest = VideoRecord::original_part(id, 3);
        assert!(ring.head(&rest).await.unwrap_err().is_absent(), "bytes were sent behind the hole");
    }

    /// With room for two parts in all, one upload goes on while another one holds on to one of them, and gives it back.
    #[tokio::test]
    async fn uploads_wait_for_room_and_lose_nothing_when_there_is_none() {
        let (dir, stop, ids) =
            (tempfile::tempdir().unwrap(), CancellationToken::new(), [VideoId::generate(), VideoId::generate()]);
        let _stop_at_the_end = stop.clone().drop_guard();
        let (ring, _node) = ring_without(VideoId::generate(), 0, dir.path(), &stop).await;
        let room = Room::for_parts(2);
        let [mut slow, mut fast] =
            ids.map(|id| Receiver::new(ring.clone(), room.clone(), id, u64::MAX).resume(0, Bytes::new(), false));
        slow.push(Bytes::from_static(b"first bytes")).await.unwrap();
        for _ in 0..4 {
            fast.push(vec![1; PART + 1].into()).await.unwrap();
        }
        assert_eq!((fast.parts(), room.places()), (4, 0));
        fast.push(vec![1; PART - 4].into()).await.unwrap();
        let received = fast.received_bytes();
        assert_eq!((received, fast.parts()), (5 * PART as u64, 5));
        fast.settle().await.unwrap();
        let _last = room.take(Instant::now()).await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(10), fast.push(vec![2; 10].into())).await.is_err();
        assert!(waits && fast.received_bytes() == received, "what has no room is not received");
    }

    #[tokio::test]
    async fn slow_sender_gives_way_to_who_waits_and_keeps_what_it_has_sent() {
        let (dir, stop, id) = (tempfile::tempdir().unwrap(), CancellationToken::new(), VideoId::generate());
        let _stop_at_the_end = stop.clone().drop_guard();
        let (ring, _node) = ring_without(VideoId::generate(), 0, dir.path(), &stop).await;
        let room = Room::for_parts(1);
        let mut slow = Receiver::new(ring, room.clone(), id, u64::MAX);
        slow.push(Bytes::from_static(b"slow")).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(FILL_MAX + Duration::from_secs(1)).await;
        slow.push(Bytes::from_static(b"er")).await.unwrap();
        let mut waits = std::pin::pin!(room.take(Instant::now() + ROOM_TIMEOUT));
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        assert!(matches!(slow.push(Bytes::from_static(b" than others")).await, Err(UploadError::Slow { .. })));
        let (rest, place) = slow.into_rest();
        assert_eq!(rest, Bytes::from_static(b"slower"));
        drop(place);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn bytes_behind_the_last_whole_part_have_a_place_until_they_are_kept() {
        let (dir, stop, id) = (tempfile::tempdir().unwrap(), CancellationToken::new(), VideoId::generate());
        let _stop_at_the_end = stop.clone().drop_guard();
        let (ring, _node) = ring_without(VideoId::generate(), 0, dir.path(), &stop).await;
        let room = Room::for_parts(1);
        let mut receiver = Receiver::new(ring, room.clone(), id, u64::MAX);
        receiver.make_room().await.unwrap();
        let mut receiver = receiver.resume(0, Bytes::from_static(b"tail"), false);
        receiver.push(Bytes::from_static(b" and more")).await.unwrap();
        let (rest, place) = receiver.into_rest();
        assert_eq!((rest, room.places()), (Bytes::from_static(b"tail and more"), 0));
        drop(place);
        assert_eq!(room.places(), 1);
    }
}
