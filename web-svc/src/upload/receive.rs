//! Receiving a body: cut into parts, written to the ring while the next part arrives.

use std::{collections::VecDeque, future::Future, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use triton_api::VideoId;

use super::UploadError;
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
    id: VideoId,
    bytes_max: u64,
    buffer: BytesMut,
    sniffed: bool,
    received_bytes: u64,
    parts: u64,
    durable_parts: u64,
    in_flight: VecDeque<AbortOnDropHandle<Result<(), RingError>>>,
}

impl Receiver {
    pub(super) fn new(ring: Ring, id: VideoId, bytes_max: u64) -> Self {
        Self {
            ring,
            id,
            bytes_max,
            buffer: BytesMut::new(),
            sniffed: false,
            received_bytes: 0,
            parts: 0,
            durable_parts: 0,
            in_flight: VecDeque::new(),
        }
    }

    /// Goes on with an original of which some whole parts are durable, and the bytes of `tail` behind them. Where it is to
    /// be a video by itself, its beginning is looked at, unless that was done when it arrived.
    pub(super) fn resume(ring: Ring, id: VideoId, bytes_max: u64, parts: u64, tail: &[u8], is_video: bool) -> Self {
        let received_bytes = parts * PART_BYTES + tail.len() as u64;
        Self {
            buffer: BytesMut::from(tail),
            sniffed: !is_video || received_bytes >= SNIFF_BYTES as u64,
            received_bytes,
            parts,
            durable_parts: parts,
            ..Self::new(ring, id, bytes_max)
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

    /// The bytes behind the last whole part.
    pub(super) fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Takes the next bytes; waits while too many parts are on their way.
    pub(super) async fn push(&mut self, mut chunk: Bytes) -> Result<(), UploadError> {
        self.received_bytes += chunk.len() as u64;
        if self.received_bytes > self.bytes_max {
            return Err(UploadError::TooLarge { bytes_max: self.bytes_max });
        }
        while !chunk.is_empty() {
            let room = usize::try_from(PART_BYTES).unwrap_or(usize::MAX) - self.buffer.len();
            self.buffer.extend_from_slice(&chunk.split_to(room.min(chunk.len())));
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
    pub(super) async fn settle(&mut self) -> Result<(), UploadError> {
        while !self.in_flight.is_empty() {
            self.landed().await?;
        }
        Ok(())
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
        let (ring, key) = (self.ring.clone(), VideoRecord::original_part(self.id, self.parts));
        let content = std::mem::take(&mut self.buffer).freeze();
        self.parts += 1;
        let write: JoinHandle<_> = tokio::spawn(async move { ring.put(&key, content).await.map(drop) });
        self.in_flight.push_back(AbortOnDropHandle::new(write));
        Ok(())
    }

    /// Waits until the oldest part on its way is durable; for ever where there is none.
    ///
    /// # Cancel safety
    /// May be dropped: the part stays on its way.
    pub(super) async fn landed(&mut self) -> Result<(), UploadError> {
        let Some(oldest) = self.in_flight.front_mut() else { return std::future::pending().await };
        let landed = oldest.await;
        self.in_flight.pop_front();
        landed.map_err(UploadError::Part)??;
        self.durable_parts += 1;
        Ok(())
    }
}

/// Waits for the sender, but not forever.
pub(super) async fn unless_silent<T>(arrival: impl Future<Output = T>) -> Result<T, UploadError> {
    let silent = |_| UploadError::Silent { seconds: SILENCE_MAX.as_secs() };
    tokio::time::timeout(SILENCE_MAX, arrival).await.map_err(silent)
}
