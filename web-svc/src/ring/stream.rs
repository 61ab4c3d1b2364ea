//! The bytes of a read: watched for silence and slowness, resumed elsewhere, checked at the end.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::time::{Instant, timeout};
use triton_api::{
    BlobHash, BlobKey, ProblemType,
    client::{BlobRead, ClientError},
    sums::BlockSums,
};
use triton_placement::partition_of;

use super::{
    Ring,
    degraded::DegradedPartition,
    error::RingError,
    peer::{Flight, Peer},
    race::{Earlier, Found},
    rate::RateWatch,
};

/// Hedges of one stream.
const HEDGES_MAX: u32 = 2;

/// The bytes of a [`RingRead`](super::RingRead). Ends after an error.
pub type RingStream = BoxStream<'static, Result<Bytes, RingError>>;

/// A replica's answer.
struct Source {
    chunks: BoxStream<'static, Result<Bytes, ClientError>>,
    peer: Arc<Peer>,
    _flight: Flight,
}

impl From<Found<BlobRead>> for Source {
    fn from(found: Found<BlobRead>) -> Self {
        Self { chunks: found.answer.into_stream().boxed(), peer: found.peer, _flight: found.flight }
    }
}

/// How the whole of what arrives is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// For content that is passed on: by the sums of the node's blocks, where it tells them.
    Relay,
    /// For content that is kept: by its hash.
    Keep,
}

enum Check {
    /// Not at all: a part is covered by the node's checksums of the blocks that it touches.
    Part,
    Sums(BlockSums, u32),
    Hash(Box<blake3::Hasher>),
}

impl Check {
    fn of(read: &BlobRead, range: &Range<u64>, care: Care) -> Self {
        match read.block_sums {
            _ if *range != (0..read.total_bytes) => Self::Part,
            Some(expected) if care == Care::Relay => Self::Sums(BlockSums::default(), expected),
            Some(_) | None => Self::Hash(Box::default()),
        }
    }

    fn update(&mut self, chunk: &[u8]) {
        match self {
            Self::Part => {}
            Self::Sums(sums, _) => sums.update(chunk),
            Self::Hash(hasher) => drop(hasher.update(chunk)),
        }
    }

    /// Whether all that was taken in is the content.
    fn holds(&self, hash: BlobHash) -> bool {
        match self {
            Self::Part => true,
            Self::Sums(sums, expected) => sums.clone().finish() == *expected,
            Self::Hash(hasher) => hash == hasher.finalize().into(),
        }
    }
}

/// The state of a read.
pub(super) struct Reader {
    ring: Ring,
    key: BlobKey,
    hash: BlobHash,
    /// What is still to come.
    rest: Range<u64>,
    check: Check,
    source: Source,
    watch: RateWatch,
    /// While the stream may hedge.
    brisk: Option<RateWatch>,
    hedges: u32,
    resumes: u32,
    bytes: metrics::Counter,
}

impl Reader {
    pub(super) fn new(ring: Ring, key: BlobKey, range: Range<u64>, care: Care, found: Found<BlobRead>) -> Self {
        let check = Check::of(&found.answer, &range, care);
        let (watch, brisk) = (RateWatch::new(&ring.shared.limits, 0), RateWatch::brisk(&ring.shared.limits));
        Self {
            ring,
            key,
            hash: found.answer.hash,
            rest: range,
            check,
            source: found.into(),
            watch,
            brisk: Some(brisk),
            hedges: 0,
            resumes: 0,
            bytes: metrics::counter!("triton_ring_bytes_total", "direction" => "read"),
        }
    }

    pub(super) fn into_stream(self) -> RingStream {
        stream::try_unfold(self, |mut reader| async move {
            let chunk = reader.next().await?;
            Ok(chunk.map(|chunk| (chunk, reader)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, RingError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        loop {
            // The time runs only while the consumer waits: a slow consumer is no slow replica.
            let asked = Instant::now();
            let patience = self.watch.patience();
            let patience = self.brisk.as_ref().map_or(patience, |brisk| brisk.patience().min(patience));
            let given = timeout(patience, self.source.chunks.next()).await;
            let (waited, bytes) =
                (asked.elapsed(), if let Ok(Some(Ok(chunk))) = &given { chunk.len() as u64 } else { 0 });
            self.brisk.iter_mut().chain([&mut self.watch]).for_each(|watch| watch.note(waited, bytes));
            let trickles = given.is_err() && self.watch.trickles();
            let why = match given {
                Ok(Some(Ok(chunk))) if chunk.is_empty() => continue,
                Ok(Some(Ok(chunk))) if chunk.len() as u64 <= self.rest.end - self.rest.start => {
                    return self.take(chunk).map(Some);
                }
                Ok(Some(Ok(_))) => "more bytes than announced".to_owned(),
                Ok(Some(Err(error))) => error.to_string(),
                Ok(None) => "the answer ended early".to_owned(),
                Err(_) if self.brisk.is_some() && !self.watch.patience().is_zero() => {
                    self.hedge().await;
                    continue;
                }
                Err(_) => self.watch.complaint(),
            };
            match self.resume(&why).await {
                // Nobody else can give it: better slowly than not at all.
                Err(_) if trickles => {}
                resumed => resumed?,
            }
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<Bytes, RingError> {
        self.rest.start += chunk.len() as u64;
        self.check.update(&chunk);
        if self.rest.is_empty() && !self.check.holds(self.hash) {
            metrics::counter!("triton_ring_corrupt_reads_total").increment(1);
            tracing::error!(node.id = %self.source.peer.node, blob.key = %self.key, "what arrived is not the blob");
            self.source.peer.failed("the bytes are not the blob's", Duration::ZERO);
            self.ring.suspect(&self.key, &self.source.peer);
            return Err(RingError::Corrupt { key: self.key.clone() });
        }
        self.bytes.increment(chunk.len() as u64);
        Ok(chunk)
    }

    /// Goes on from another replica if one answers soon, else from the same.
    async fn hedge(&mut self) {
        let (limits, peer, asked) = (&self.ring.shared.limits, &self.source.peer, Instant::now());
        let found = self.ring.find(&self.key, Some(self.rest.clone()), Some(self.hash), Earlier::Giving(peer.node));
        let Ok(Ok(found)) = timeout(limits.patience_min, found).await else {
            self.brisk = None;
            self.watch.note(asked.elapsed(), 0);
            return;
        };
        tracing::debug!(node.id = %peer.node, blob.key = %self.key, offset = self.rest.start, "hedges in mid-stream");
        peer.was_slower_than(self.watch.window());
        self.hedges += 1;
        self.brisk = (self.hedges < HEDGES_MAX).then(|| RateWatch::brisk(limits));
        self.watch = RateWatch::new(limits, self.resumes);
        self.source = found.into();
        self.count_resume();
    }

    fn count_resume(&self) {
        self.ring.shared.counters.resumes.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("triton_ring_resumes_total").increment(1);
    }

    async fn resume(&mut self, why: &str) -> Result<(), RingError> {
        let node = self.source.peer.node;
        self.source.peer.failed(why, self.watch.window());
        (self.brisk, self.watch) = (None, RateWatch::new(&self.ring.shared.limits, self.resumes + 1));
        if self.resumes >= self.ring.shared.limits.resumes_max {
            let detail = format!("{} resumes, the last after node {node}: {why}", self.resumes);
            return Err(RingError::Unavailable { operation: "read", key: self.key.clone(), detail });
        }
        self.resumes += 1;
        self.count_resume();
        tracing::debug!(node.id = %node, blob.key = %self.key, offset = self.rest.start, why, "resumes elsewhere");
        self.ring.suspect(&self.key, &self.source.peer);
        self.source =
            self.ring.find(&self.key, Some(self.rest.clone()), Some(self.hash), Earlier::Failed(node)).await?.into();
        Ok(())
    }
}

impl Ring {
    /// Asks a node in the background whether it still has a copy after an answer broke off: it puts a damaged one aside, and
    /// only then a repair can begin.
    fn suspect(&self, key: &BlobKey, peer: &Arc<Peer>) {
        let Ok(permit) = Arc::clone(&self.shared.measured).try_acquire_owned() else { return };
        let (ring, key, peer) = (self.clone(), key.clone(), Arc::clone(peer));
        self.shared.tasks.spawn(async move {
            let answer = timeout(ring.shared.limits.patience_max, peer.client.head(&key)).await;
            let lacks = match &answer {
                Ok(Ok(None)) => true,
                Ok(Err(error)) => error.problem_type() == Some(ProblemType::Corrupt),
                // Gone or silent: that is known of it by now, and says nothing about the copy.
                Ok(Ok(Some(_))) | Err(_) => false,
            };
            if lacks {
                let missing = BTreeSet::from([peer.node]);
                ring.shared.degraded.mark(DegradedPartition::missing(partition_of(&key), missing));
            }
            drop(permit);
        });
    }
}
