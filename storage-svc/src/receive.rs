//! A content that arrives in frames becomes a blob.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use thiserror::Error;
use triton_api::BlobKey;

use crate::{
    blocking,
    store::{Claim, Staged, Store, StoreError, Stored},
};

/// Bytes that are gathered before they are hashed and written in one go on a blocking thread.
const BATCH_BYTES: usize = 1024 * 1024;
/// Frames in a batch: a sender of tiny frames must not fill the memory with their heads.
const BATCH_FRAMES_MAX: usize = 1024;
/// The longest silence of a sender.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a content did not become a blob; `E` is what its stream fails with.
#[derive(Debug, Error)]
pub(crate) enum ReceiveError<E> {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the content broke off: {0}")]
    Broken(E),
    #[error("no content came for {} s", SILENCE_TIMEOUT.as_secs())]
    Silent,
}

struct Batch {
    frames: Vec<Bytes>,
    is_last: bool,
}

/// Stores what `content` yields under `key`; returns when the blob is durable. An error leaves nothing behind.
///
/// While one batch is written the next one is gathered, so that at most two are in memory. A content that fits into
/// one batch costs a single hop to a blocking thread; a longer one is refused, where it must be, before it is read.
pub(crate) async fn receive<E>(
    store: &Store,
    key: &BlobKey,
    claim: Claim,
    content: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Stored, ReceiveError<E>> {
    let mut content = std::pin::pin!(content.fuse());
    let mut write = Write::Planned(store.clone(), key.clone(), claim);
    if claim.len_bytes.is_none_or(|len| len > BATCH_BYTES as u64) {
        write = blocking::run(move || write.begin().map(Write::Begun)).await?;
    }
    let mut batch = gather(&mut content).await?;
    while !batch.is_last {
        let writing = blocking::start(move || write.append(&batch.frames).map(Write::Begun));
        batch = gather(&mut content).await?;
        write = blocking::finish(writing).await?;
    }
    Ok(blocking::run(move || write.append(&batch.frames)?.commit()).await?)
}

/// A write as it moves from one blocking thread to the next.
enum Write {
    Planned(Store, BlobKey, Claim),
    Begun(Staged),
}

impl Write {
    fn begin(self) -> Result<Staged, StoreError> {
        match self {
            Self::Planned(store, key, claim) => store.stage(&key, claim),
            Self::Begun(staged) => Ok(staged),
        }
    }

    fn append(self, frames: &[Bytes]) -> Result<Staged, StoreError> {
        let mut staged = self.begin()?;
        staged.append(frames)?;
        Ok(staged)
    }
}

async fn gather<E>(content: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin)) -> Result<Batch, ReceiveError<E>> {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES && frames.len() < BATCH_FRAMES_MAX {
        match tokio::time::timeout(SILENCE_TIMEOUT, content.next()).await {
            Ok(Some(Ok(frame))) => {
                bytes += frame.len();
                frames.push(frame);
            }
            Ok(Some(Err(error))) => return Err(ReceiveError::Broken(error)),
            Ok(None) => return Ok(Batch { frames, is_last: true }),
            Err(_) => return Err(ReceiveError::Silent),
        }
    }
    Ok(Batch { frames, is_last: false })
}
