//! The hot cache: segments and pictures that several viewers want, kept in memory.
//!
//! Blobs are immutable, so nothing in here is ever out of date; whether a viewer may have it at all is the catalog's word,
//! which routes ask first. What comes in had its hash checked. Viewers that miss the same blob at once make one read on
//! the ring, and that read ends even if they hang up.

mod memory;
mod room;

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, TryStreamExt as _};
use http::HeaderValue;
use moka::{future::Cache, notification::RemovalCause};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use triton_api::BlobKey;

pub use self::memory::default_bytes;
use self::room::Room;
use crate::ring::{Ring, RingError};

/// Longer blobs are not kept.
const BLOB_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Nor are those that take more than this share of the cache.
const BLOB_SHARE: u64 = 8;
/// What an entry costs beside its content: its key, its validator and the cache's own books, in bytes.
const ENTRY_BYTES: usize = 512;
/// The longest wait for room to load into.
const ROOM_TIMEOUT: Duration = Duration::from_millis(250);
/// How far a load may fall behind this rate. The ring leaves a replica that gives less, but where nobody gives more viewers wait
/// for each other no longer: each gets the bytes as slowly as they come.
const LOAD_BEHIND_MAX: Duration = Duration::from_secs(5);
const LOAD_BYTES_PER_SECOND_MIN: u32 = 64 * 1024;

/// A cache in front of the ring. Cloning is cheap.
#[derive(Clone)]
pub struct HotCache {
    ring: Ring,
    kept: Option<Kept>,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Kept {
    blobs: Cache<BlobKey, HotBlob>,
    blob_bytes_max: u64,
    /// Bytes in the cache, as a gauge shows them.
    total_bytes: Arc<AtomicU64>,
    room: Room,
    hits: metrics::Counter,
}

/// A blob in memory. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct HotBlob {
    /// Its hash in quotes: a strong validator.
    pub etag: HeaderValue,
    /// All of it.
    pub content: Bytes,
}

/// Why a blob was not loaded.
#[derive(Debug, Clone)]
enum NotLoaded {
    /// It is longer than what is kept, there is no room, or it comes too slowly: to be read past the cache.
    Unkept,
    Failed(RingError),
}

impl HotCache {
    /// A cache of about `bytes_max` bytes in front of `ring`; 0 for none. Loads are spawned on `tasks`.
    ///
    /// Its memory is bounded by that and a quarter more, for what is being loaded and what is still being sent after the
    /// cache has dropped it.
    pub fn new(ring: Ring, bytes_max: u64, tasks: TaskTracker) -> Self {
        describe();
        let kept = (bytes_max > 0).then(|| Kept::new(bytes_max));
        Self { ring, kept, tasks }
    }

    /// A blob that is in memory. Another one is not asked for by this.
    pub fn get_at_once(&self, key: &BlobKey) -> Option<HotBlob> {
        let kept = self.kept.as_ref().filter(|kept| kept.blobs.contains_key(key))?;
        let blob = kept.blobs.get(key).now_or_never().flatten()?;
        kept.hits.increment(1);
        Some(blob)
    }

    /// A blob, from memory or loaded into it; `None` where it must be read past the cache, being too long or too slow to come.
    ///
    /// # Errors
    /// As [`Ring::open`]. An error is not remembered.
    ///
    /// # Cancel safety
    /// Dropping it does not end the load, for which others may wait.
    pub async fn get(&self, key: &BlobKey) -> Result<Option<HotBlob>, RingError> {
        let Some(kept) = &self.kept else { return Ok(None) };
        if let Some(blob) = kept.blobs.get(key).await {
            kept.hits.increment(1);
            return Ok(Some(blob));
        }
        metrics::counter!("triton_hot_misses_total").increment(1);
        let (ring, kept, key) = (self.ring.clone(), kept.clone(), key.clone());
        let load = async move { kept.load(&ring, &key).await }.in_current_span();
        match self.tasks.spawn(load).await {
            Ok(Ok(blob)) => Ok(Some(blob)),
            Ok(Err(NotLoaded::Unkept)) => Ok(None),
            Ok(Err(NotLoaded::Failed(error))) => Err(error),
            Err(error) => {
                tracing::error!(%error, "loading a blob panicked");
                Ok(None)
            }
        }
    }
}

impl Kept {
    fn new(bytes_max: u64) -> Self {
        let total_bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&total_bytes);
        let blobs = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &BlobKey, blob: &HotBlob| u32::try_from(weight(key, blob)).unwrap_or(u32::MAX))
            .eviction_listener(move |key: Arc<BlobKey>, blob: HotBlob, cause| {
                if cause == RemovalCause::Size {
                    metrics::counter!("triton_hot_evictions_total").increment(1);
                }
                let weight = weight(&key, &blob) as u64;
                show_bytes(counted.fetch_sub(weight, Ordering::Relaxed).saturating_sub(weight));
            })
            .build();
        let blob_bytes_max = BLOB_BYTES_MAX.min(bytes_max / BLOB_SHARE);
        Self {
            blobs,
            blob_bytes_max,
            total_bytes,
            room: Room::new(bytes_max),
            hits: metrics::counter!("triton_hot_hits_total"),
        }
    }

    /// Loads a blob, or waits for who is loading it.
    async fn load(&self, ring: &Ring, key: &BlobKey) -> Result<HotBlob, NotLoaded> {
        let loaded = self.blobs.try_get_with_by_ref(key, self.read(ring, key)).await;
        // Evictions would be put off otherwise, and the cache be larger than it may for a while.
        self.blobs.run_pending_tasks().await;
        loaded.map_err(|error| NotLoaded::clone(&error))
    }

    async fn read(&self, ring: &Ring, key: &BlobKey) -> Result<HotBlob, NotLoaded> {
        let mut read = ring.open_to_keep(key).await.map_err(NotLoaded::Failed)?;
        let len_bytes = usize::try_from(read.total_bytes).map_err(|_| NotLoaded::Unkept)?;
        if read.total_bytes > self.blob_bytes_max {
            return Err(NotLoaded::Unkept);
        }
        let Some(place) = self.room.take(len_bytes + ENTRY_BYTES, ROOM_TIMEOUT).await else {
            metrics::counter!("triton_hot_crowded_total").increment(1);
            return Err(NotLoaded::Unkept);
        };
        let mut content = BytesMut::with_capacity(len_bytes);
        let mut until = Instant::now() + LOAD_BEHIND_MAX;
        // The stream ends with an error unless the whole has the blob's hash.
        loop {
            let Ok(arrived) = timeout_at(until, read.stream.try_next()).await else {
                metrics::counter!("triton_hot_slow_total").increment(1);
                tracing::warn!(blob.key = %key, so_far_bytes = content.len(), len_bytes, "comes too slowly for the cache");
                return Err(NotLoaded::Unkept);
            };
            let Some(chunk) = arrived.map_err(NotLoaded::Failed)? else { break };
            let chunk_bytes = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            // What came quickly is no credit for a trickle.
            until = (until + Duration::from_secs(1) * chunk_bytes / LOAD_BYTES_PER_SECOND_MIN)
                .min(Instant::now() + LOAD_BEHIND_MAX);
            content.extend_from_slice(&chunk);
        }
        let etag = HeaderValue::from_str(&format!("\"{}\"", read.hash)).map_err(|_| NotLoaded::Unkept)?;
        let blob = HotBlob { etag, content: place.fill(content) };
        let weight = weight(key, &blob) as u64;
        show_bytes(self.total_bytes.fetch_add(weight, Ordering::Relaxed) + weight);
        Ok(blob)
    }
}

fn weight(key: &BlobKey, blob: &HotBlob) -> usize {
    blob.content.len() + key.as_str().len() + ENTRY_BYTES
}

fn show_bytes(bytes: u64) {
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
    metrics::gauge!("triton_hot_bytes").set(bytes as f64);
}

fn describe() {
    metrics::describe_counter!("triton_hot_hits_total", "Blobs answered from the hot cache.");
    metrics::describe_counter!("triton_hot_misses_total", "Blobs asked of the hot cache that were not there.");
    metrics::describe_counter!(
        "triton_hot_evictions_total",
        "Blobs that the hot cache dropped or refused for want of space."
    );
    metrics::describe_counter!("triton_hot_crowded_total", "Blobs read past the hot cache, as its memory was in use.");
    metrics::describe_counter!("triton_hot_slow_total", "Loads of the hot cache that were given up, being too slow.");
    metrics::describe_gauge!("triton_hot_bytes", "Bytes in the hot cache.");
}
