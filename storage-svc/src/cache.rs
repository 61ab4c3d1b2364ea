//! Contents that are asked for often, in memory: verified when they were read, forgotten when they go from the disk.
//!
//! The cache holds *pieces*: whole small blobs, and parts of large ones. Only readers fill it. Which pieces stay is decided by
//! how often they are asked for (`TinyLFU`, Einziger et al., <https://arxiv.org/abs/1512.00727>), so that something that is
//! read once does not displace what many want.
//!
//! What keeps it true: a piece carries the number of removals that its partition had seen before its file was opened. While
//! that number stands, nothing has been removed since, and the piece is served without a look at the disk. When it has grown, one
//! `stat` tells whether the piece's file still has its name. A delete, a release and a quarantine raise the number after the
//! name is gone and before they are answered, so that no reader gets a piece afterwards, and no late reader brings one back.

use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::HeaderValue;
use metrics::Counter;
use thiserror::Error;
use triton_api::{BlobHash, BlobKey};

use crate::{
    blocking,
    routes::{block_sums_value, etag_value},
    store::{BlobFile, OpenBlob, Store, StoreError},
};

/// Payload bytes of a piece, but for the last one of a blob: a multiple of the checksum's block.
pub(crate) const PIECE_BYTES: u64 = 1024 * 1024;
/// What an entry takes besides its content, roughly: its key, its facts, its place in the lists.
const ENTRY_BYTES: usize = 1024;
/// How many of the latest requests for parts of pieces are remembered, to tell which are asked for again.
const ASKED_MAX: usize = 8192;

/// Which piece of which blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PieceId {
    /// BLAKE3 of the key.
    key_hash: [u8; 32],
    number: u32,
}

impl PieceId {
    /// The piece with the byte at `offset`.
    pub(crate) fn at(key: &BlobKey, offset: u64) -> Self {
        Self { key_hash: blake3::hash(key.as_str().as_bytes()).into(), number: number_at(offset) }
    }

    /// Another piece of the same blob.
    pub(crate) fn moved_to(self, offset: u64) -> Self {
        Self { number: number_at(offset), ..self }
    }

    /// Where the piece begins.
    pub(crate) fn start(self) -> u64 {
        u64::from(self.number) * PIECE_BYTES
    }

    fn spread(self) -> u64 {
        let [first, ..] = self.key_hash.as_chunks::<8>().0 else { return 0 };
        // The odd number is 2^64 divided by the golden ratio: neighbours end up far from each other (Knuth, 6.4).
        u64::from_le_bytes(*first) ^ u64::from(self.number).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

fn number_at(offset: u64) -> u32 {
    u32::try_from(offset / PIECE_BYTES).unwrap_or(u32::MAX)
}

impl Hash for PieceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.spread());
    }
}

/// The id is a hash already: it needs no second one.
#[derive(Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(5) ^ number;
    }
}

/// A part of a blob that was verified, with what an answer says of the blob.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) hash: BlobHash,
    pub(crate) len_bytes: u64,
    /// The blob's entity tag.
    pub(crate) etag: HeaderValue,
    /// The sum of the sums of the blob's blocks.
    pub(crate) block_sums: HeaderValue,
    pub(crate) content: Bytes,
    file: BlobFile,
    /// How many removals the partition had seen when the file was known to be there.
    removals: AtomicU64,
}

/// Why a piece could not be read: one error for all who waited for it.
#[derive(Debug, Clone, Error)]
#[error(transparent)]
pub(crate) struct LoadError(pub(crate) Arc<StoreError>);

/// A blob that one reader has opened, as soon as it had to.
pub(crate) type Opened = Arc<OnceLock<OpenBlob>>;

impl Piece {
    fn read(store: &Store, key: &BlobKey, id: PieceId, opened: &Opened) -> Result<Self, StoreError> {
        let blob = open(store, key, opened)?;
        let (hash, len_bytes) = (blob.description().hash, blob.description().len_bytes);
        let (start, end) = (id.start().min(len_bytes), (id.start() + PIECE_BYTES).min(len_bytes));
        let content = blob.read(&(start..end))?;
        let (etag, block_sums) = (etag_value(hash), block_sums_value(blob.block_sums()));
        let (file, removals) = (blob.file_facts(), AtomicU64::new(blob.removals()));
        Ok(Self { hash, len_bytes, etag, block_sums, content, file, removals })
    }

    fn weight(&self) -> u32 {
        u32::try_from(self.content.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
    }
}

fn open<'a>(store: &Store, key: &BlobKey, opened: &'a Opened) -> Result<&'a OpenBlob, StoreError> {
    if let Some(blob) = opened.get() {
        return Ok(blob);
    }
    let blob = store.open_blob(key)?;
    Ok(opened.get_or_init(|| blob))
}

type Pieces = moka::future::Cache<PieceId, Arc<Piece>, BuildHasherDefault<AsItIs>>;

/// The cache of a node.
#[derive(Debug)]
pub(crate) struct Cache {
    store: Store,
    pieces: Pieces,
    asked: Box<[AtomicU32]>,
    hits: Counter,
    misses: Counter,
    loads: Counter,
}

impl Cache {
    /// A cache of at most `bytes_max` bytes; `None` where that is nothing.
    pub(crate) fn new(store: Store, bytes_max: u64) -> Option<Self> {
        if bytes_max == 0 {
            return None;
        }
        let pieces = moka::future::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_: &PieceId, piece: &Arc<Piece>| piece.weight())
            .build_with_hasher(BuildHasherDefault::default());
        let asked = (0..ASKED_MAX).map(|_| AtomicU32::new(0)).collect();
        let node = store.id().to_string();
        Some(Self {
            store,
            pieces,
            asked,
            hits: metrics::counter!("triton_cache_hits_total", "node" => node.clone()),
            misses: metrics::counter!("triton_cache_misses_total", "node" => node.clone()),
            loads: metrics::counter!("triton_cache_loads_total", "node" => node),
        })
    }

    /// A piece that is in memory, and whose file is still there.
    pub(crate) async fn get(&self, key: &BlobKey, id: PieceId) -> Option<Arc<Piece>> {
        let found = match self.pieces.get(&id).await {
            Some(piece) if self.is_current(key, id, &piece).await => Some(piece),
            _ => None,
        };
        if found.is_some() { &self.hits } else { &self.misses }.increment(1);
        found
    }

    /// Whether a piece is in memory, without counting as a wish for it.
    pub(crate) fn has(&self, id: PieceId) -> bool {
        self.pieces.contains_key(&id)
    }

    /// As [`Self::get`], where that needs no wait; what is answered with it is to be counted.
    pub(crate) fn get_at_once(&self, id: PieceId) -> Option<Arc<Piece>> {
        let piece = self.pieces.get(&id).now_or_never().flatten()?;
        let removals = self.store.removals(piece.file.partition);
        if piece.removals.load(Ordering::Acquire) != removals {
            return None;
        }
        Some(piece)
    }

    pub(crate) fn count_hit(&self) {
        self.hits.increment(1);
    }

    /// Reads a piece from the disk, once for all who ask for it at the same time, and keeps it.
    pub(crate) async fn load(&self, key: &BlobKey, id: PieceId, opened: &Opened) -> Result<Arc<Piece>, LoadError> {
        let piece = self.pieces.try_get_with(id, self.read(key, id, opened)).await.map_err(LoadError)?;
        // It evicts in steps of many entries otherwise, and these are large.
        self.pieces.run_pending_tasks().await;
        if self.is_current(key, id, &piece).await {
            return Ok(piece);
        }
        // Somebody removed the file meanwhile. Who had it open reads on, and nobody else.
        self.read(key, id, opened).await.map_err(|error| LoadError(Arc::new(error)))
    }

    /// Opens the blob for one reader, who has not done so yet.
    pub(crate) async fn open(&self, key: &BlobKey, opened: &Opened) -> Result<(), StoreError> {
        if opened.get().is_some() {
            return Ok(());
        }
        let (store, key, opened) = (self.store.clone(), key.clone(), Arc::clone(opened));
        blocking::run(move || open(&store, &key, &opened).map(drop)).await
    }

    async fn read(&self, key: &BlobKey, id: PieceId, opened: &Opened) -> Result<Arc<Piece>, StoreError> {
        self.loads.increment(1);
        let (store, key, opened) = (self.store.clone(), key.clone(), Arc::clone(opened));
        blocking::run(move || Piece::read(&store, &key, id, &opened)).await.map(Arc::new)
    }

    /// Whether a piece's file is still there; forgets the piece otherwise.
    async fn is_current(&self, key: &BlobKey, id: PieceId, piece: &Piece) -> bool {
        let removals = self.store.removals(piece.file.partition);
        if piece.removals.load(Ordering::Acquire) == removals {
            return true;
        }
        let (store, key, file) = (self.store.clone(), key.clone(), piece.file);
        // What the disk does not say is not known: the file is read then, or the reader told of the error.
        if blocking::run(move || store.is_named(&key, &file)).await.unwrap_or(false) {
            piece.removals.store(removals, Ordering::Release);
            return true;
        }
        self.pieces.invalidate(&id).await;
        false
    }

    /// Remembers that a part of a piece was asked for; whether it was before, not long ago.
    pub(crate) fn was_asked_for(&self, id: PieceId) -> bool {
        let spread = id.spread();
        let place = usize::try_from(spread).unwrap_or(0) % self.asked.len();
        // The upper half tells those apart that share a place.
        let mark = u32::try_from(spread >> 32).unwrap_or(0) | 1;
        self.asked.get(place).is_some_and(|asked| asked.swap(mark, Ordering::Relaxed) == mark)
    }

    /// Number of pieces, and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.pieces.entry_count(), self.pieces.weighted_size())
    }
}
