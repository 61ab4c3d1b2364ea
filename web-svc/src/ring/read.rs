//! Reading a blob from whichever replica can give it.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::{TryStreamExt, future::BoxFuture};
use http::StatusCode;
use tokio::time::Instant;
use triton_api::{
    BlobHash, BlobKey, Problem, ProblemType,
    client::{BlobRead, ClientError, NodeClient},
};

use super::{
    Ring,
    error::RingError,
    race::{Ask, Earlier, Found},
    stream::{Care, Reader, RingStream},
};

/// A blob, or a part of it, as it arrives.
pub struct RingRead {
    /// The hash of the whole blob: a strong `ETag`.
    pub hash: BlobHash,
    /// The length of the whole blob in bytes.
    pub total_bytes: u64,
    /// The bytes of the blob that `stream` carries.
    pub range: Range<u64>,
    /// The bytes. It goes on from another replica where one fails; where the whole is not the blob, by its hash or by the
    /// sums that the node made when it checked the hash, its last chunk is held back and the stream ends with an error.
    pub stream: RingStream,
}

impl std::fmt::Debug for RingRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hash, total_bytes, range, .. } = self;
        f.debug_struct("RingRead").field("hash", hash).field("total_bytes", total_bytes).field("range", range).finish()
    }
}

/// What is known of a blob without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobHead {
    /// The hash of its content.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub total_bytes: u64,
}

impl Ring {
    /// Opens a blob, whole or in part; a part that reaches beyond the end is cut there.
    ///
    /// Returns when the head of a replica's answer is there. The memory of a reader is what its connection buffers; the
    /// number of readers is for the caller to bound.
    ///
    /// # Errors
    /// [`RingError::NotFound`] only where every holder says so, [`RingError::Deleted`] as soon as one node says so;
    /// [`RingError::Unavailable`] where a holder could not be asked.
    ///
    /// # Cancel safety
    /// Dropping it, or the stream, drops the requests.
    pub async fn open(&self, key: &BlobKey, part: Option<Range<u64>>) -> Result<RingRead, RingError> {
        self.open_with(key, part, Care::Relay).await
    }

    /// As [`Self::open`], for a whole blob that is going to be kept: it is checked by its hash in any case.
    ///
    /// # Cancel safety
    /// Dropping it, or the stream, drops the requests.
    pub async fn open_to_keep(&self, key: &BlobKey) -> Result<RingRead, RingError> {
        self.open_with(key, None, Care::Keep).await
    }

    #[tracing::instrument(level = "debug", skip_all, fields(blob.key = %key))]
    async fn open_with(&self, key: &BlobKey, part: Option<Range<u64>>, care: Care) -> Result<RingRead, RingError> {
        let started = Instant::now();
        let opened = self.find(key, part.clone(), None, Earlier::Nobody).await;
        let outcome = opened.as_ref().map_or_else(RingError::outcome, |_| "ok");
        metrics::counter!("triton_ring_reads_total", "outcome" => outcome).increment(1);
        metrics::histogram!("triton_ring_read_head_seconds").record(started.elapsed().as_secs_f64());
        let found = opened?;
        let (hash, total_bytes) = (found.answer.hash, found.answer.total_bytes);
        let range = part.map_or(0..total_bytes, |part| part.start..part.end.min(total_bytes));
        tracing::debug!(node.id = %found.peer.node, "opened");
        let stream = Reader::new(self.clone(), key.clone(), range.clone(), care, found).into_stream();
        Ok(RingRead { hash, total_bytes, range, stream })
    }

    /// Reads a whole blob of at most `bytes_max` bytes into memory; its hash was checked.
    ///
    /// # Cancel safety
    /// Dropping it drops the requests.
    pub async fn read_all(&self, key: &BlobKey, bytes_max: u64) -> Result<Bytes, RingError> {
        let mut read = self.open_to_keep(key).await?;
        let too_large = || RingError::TooLarge { key: key.clone(), len_bytes: read.total_bytes, bytes_max };
        if read.total_bytes > bytes_max {
            return Err(too_large());
        }
        let len_bytes = usize::try_from(read.total_bytes).map_err(|_| too_large())?;
        let mut content = BytesMut::with_capacity(len_bytes);
        while let Some(chunk) = read.stream.try_next().await? {
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }

    /// The hash and length of a blob.
    ///
    /// # Errors
    /// As [`Self::open`].
    ///
    /// # Cancel safety
    /// Dropping it drops the requests.
    #[tracing::instrument(level = "debug", skip_all, fields(blob.key = %key))]
    pub async fn head(&self, key: &BlobKey) -> Result<BlobHead, RingError> {
        let asked = key.clone();
        let ask: Ask<BlobHead> = Arc::new(move |client: NodeClient| -> BoxFuture<'static, _> {
            let key = asked.clone();
            Box::pin(async move {
                let (hash, total_bytes) = client.head(&key).await?.ok_or_else(|| {
                    ClientError::Problem(Box::new(Problem::new(
                        ProblemType::NotFound,
                        format!("There is no blob {key}."),
                    )))
                })?;
                Ok(BlobHead { hash, total_bytes })
            })
        });
        self.ask(key, Earlier::Nobody, ask).await.map(|found| found.answer)
    }

    /// Opens a part on some replica; where `hash` is given, on one whose copy has it.
    pub(super) async fn find(
        &self,
        key: &BlobKey,
        part: Option<Range<u64>>,
        hash: Option<BlobHash>,
        earlier: Earlier,
    ) -> Result<Found<BlobRead>, RingError> {
        if part.as_ref().is_some_and(Range::is_empty) {
            return Err(RingError::Range { key: key.clone() });
        }
        let asked = key.clone();
        let ask: Ask<BlobRead> = Arc::new(move |client: NodeClient| -> BoxFuture<'static, _> {
            let (key, part) = (asked.clone(), part.clone());
            Box::pin(async move {
                let read = client.get(&key, part.clone()).await?;
                let expected = part.map_or(read.total_bytes, |p| p.end.min(read.total_bytes).saturating_sub(p.start));
                if read.len_bytes != expected || hash.is_some_and(|hash| hash != read.hash) {
                    return Err(ClientError::Unexpected { url: key.to_string(), status: StatusCode::OK });
                }
                Ok(read)
            })
        });
        self.ask(key, earlier, ask).await
    }
}
