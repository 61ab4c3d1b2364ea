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

/// Bytes that are gathered before they are hashed and written in one go on a blocking thread, while the next ones come in.
const BATCH_BYTES: usize = 256 * 1024;
/// A content that is longer is refused, where it must be, before it is read.
const REFUSED_UNREAD_BYTES: u64 = 1024 * 1024;
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
/// one batch costs a single hop to a blocking thread.
pub(crate) async fn receive<E>(
    store: &Store,
    key: &BlobKey,
    claim: Claim,
    content: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Stored, ReceiveError<E>> {
    let mut content = std::pin::pin!(content.fuse());
    let mut write = Write::Planned(store.clone(), key.clone(), claim);
    if claim.len_bytes.is_none_or(|len| len > REFUSED_UNREAD_BYTES) {
        write = blocking::run(move || write.begin().map(Write::Begun)).await?;
    }
    let mut to_come = claim.len_bytes;
    let mut batch = gather(&mut content, &mut to_come).await?;
    while !batch.is_last {
        let writing = blocking::start(move || write.append(&batch.frames).map(Write::Begun));
        batch = gather(&mut content, &mut to_come).await?;
        write = match blocking::finish(writing).await {
            Ok(write) => write,
            Err(refused) => {
                drain(&mut content, REFUSED_UNREAD_BYTES).await;
                return Err(refused.into());
            }
        };
    }
    Ok(blocking::run(move || write.append(&batch.frames)?.commit()).await?)
}

/// Takes what is left of a content that was refused, unless it is long: a connection that is closed with bytes unread is reset, and
/// the sender never learns why.
async fn drain<E>(content: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin), bytes_max: u64) {
    let mut left = bytes_max;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE_TIMEOUT, content.next()).await {
        match left.checked_sub(frame.len() as u64) {
            Some(less) => left = less,
            None => return,
        }
    }
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

/// `to_come` are the bytes that were announced and are not here yet: the last batch waits for the content's end, which follows at
/// once, so that no empty one comes after it.
async fn gather<E>(
    content: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    to_come: &mut Option<u64>,
) -> Result<Batch, ReceiveError<E>> {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    while (bytes < BATCH_BYTES && frames.len() < BATCH_FRAMES_MAX) || *to_come == Some(0) {
        match tokio::time::timeout(SILENCE_TIMEOUT, content.next()).await {
            Ok(Some(Ok(frame))) if frame.is_empty() => {}
            Ok(Some(Ok(frame))) => {
                bytes += frame.len();
                *to_come = to_come.and_then(|to_come| to_come.checked_sub(frame.len() as u64));
                frames.push(frame);
            }
            Ok(Some(Err(error))) => return Err(ReceiveError::Broken(error)),
            Ok(None) => return Ok(Batch { frames, is_last: true }),
            Err(_) => return Err(ReceiveError::Silent),
        }
    }
    Ok(Batch { frames, is_last: false })
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// The batches of a content of so many frames of 64 KiB: frames of each, and whether it is known to be the last.
    async fn batches(frames: usize, announced: Option<u64>) -> Vec<(usize, bool)> {
        let frame = Bytes::from(vec![0; 64 * 1024]);
        let mut content = stream::iter(vec![Ok::<_, ()>(frame); frames]).fuse();
        let (mut to_come, mut found) = (announced, Vec::new());
        while found.last().is_none_or(|(_, is_last)| !is_last) {
            let batch = gather(&mut content, &mut to_come).await.unwrap();
            found.push((batch.frames.len(), batch.is_last));
        }
        found
    }

    #[tokio::test]
    async fn no_empty_batch_follows_what_was_announced_and_a_wrong_word_loses_nothing() {
        let kib = |kib: u64| Some(kib * 1024);
        assert_eq!(batches(8, kib(512)).await, [(4, false), (4, true)]);
        assert_eq!(batches(8, None).await, [(4, false), (4, false), (0, true)]);
        assert_eq!(batches(0, kib(0)).await, [(0, true)]);
        assert_eq!(batches(9, kib(256)).await, [(5, false), (4, false), (0, true)], "more than was announced");
        assert_eq!(batches(2, kib(256)).await, [(2, true)], "less");
    }
}
