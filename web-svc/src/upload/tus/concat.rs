//! Joining partial uploads into one original.

use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use triton_api::VideoId;

use super::{
    TusError, append::append, claim::Claim, claim::find, complete::complete, detached, end::end, end_where_refused,
};
use crate::{app::App, catalog::UploadRecord, original, ring::RingError, store::Stored, upload::UploadError};

/// Copies the partial uploads of a final one in order, from where an earlier attempt came to, queues the video, and
/// removes the partial ones. Goes on where the caller is dropped.
pub async fn join(app: &App, id: VideoId) -> Result<(), TusError> {
    detached(app, join_now(app.clone(), id)).await
}

async fn join_now(app: App, id: VideoId) -> Result<(), TusError> {
    let Stored { value: record, .. } = find(&app, id).await?;
    if !record.is_complete() {
        let copied = copy(&app, id).await;
        end_where_refused(&app, id, copied).await?;
    }
    complete(&app, id).await?;
    for piece in &record.pieces {
        if let Err(error) = end(&app, *piece, None).await {
            tracing::warn!(upload.id = %piece, %error, "cannot remove a joined upload yet: it will expire");
        }
    }
    Ok(())
}

async fn copy(app: &App, id: VideoId) -> Result<(), TusError> {
    let claim = Claim::take(app, id, None).await?;
    let ranges = ranges(app, &claim.record).await?;
    let ring = app.ring.clone();
    let bytes = stream::iter(ranges).map(move |(piece, range)| original::read(ring.clone(), piece, range)).flatten();
    let copied = append(claim, bytes.map_err(lost).boxed()).await;
    if let Err(TusError::Piece { .. }) = &copied {
        end(app, id, None).await?;
    }
    copied
}

/// What is still to be copied: the partial uploads with a range of each.
async fn ranges(app: &App, record: &UploadRecord) -> Result<Vec<(VideoId, Range<u64>)>, TusError> {
    let mut lengths = Vec::with_capacity(record.pieces.len());
    for id in &record.pieces {
        lengths.push((*id, find_piece(app, *id).await?.len_bytes));
    }
    Ok(behind(&lengths, record.offset_bytes))
}

/// The record of an upload that is to be joined. That it cannot be read right now does not mean that it is gone.
pub(super) async fn find_piece(app: &App, id: VideoId) -> Result<UploadRecord, TusError> {
    match find(app, id).await {
        Ok(piece) => Ok(piece.value),
        Err(TusError::NotFound | TusError::Gone | TusError::Refused(_)) => Err(TusError::Piece { id: id.to_string() }),
        Err(error) => Err(error),
    }
}

/// The pieces without their first `skip_bytes` bytes.
fn behind(lengths: &[(VideoId, u64)], skip_bytes: u64) -> Vec<(VideoId, Range<u64>)> {
    let mut skip_bytes = skip_bytes;
    let mut ranges = Vec::with_capacity(lengths.len());
    for (id, len_bytes) in lengths {
        let start = skip_bytes.min(*len_bytes);
        skip_bytes -= start;
        if start < *len_bytes {
            ranges.push((*id, start..*len_bytes));
        }
    }
    ranges
}

/// A partial upload that is gone cannot be joined, however often it is tried.
fn lost(error: RingError) -> TusError {
    match error {
        RingError::NotFound { key } | RingError::Deleted { key } => TusError::Piece { id: key.to_string() },
        other => UploadError::Ring(other).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_copied_is_not_copied_again() {
        let (a, b, c) = (VideoId::generate(), VideoId::generate(), VideoId::generate());
        let lengths = [(a, 10), (b, 0), (c, 5)];
        assert_eq!(behind(&lengths, 0), [(a, 0..10), (c, 0..5)]);
        assert_eq!(behind(&lengths, 4), [(a, 4..10), (c, 0..5)]);
        assert_eq!(behind(&lengths, 10), [(c, 0..5)]);
        assert_eq!(behind(&lengths, 13), [(c, 3..5)]);
        assert_eq!(behind(&lengths, 15), []);
    }
}
