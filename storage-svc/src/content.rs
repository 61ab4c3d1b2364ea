//! What a reader gets, piece by piece: from memory where it is there, from the disk otherwise.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use triton_api::BlobKey;

use crate::{
    blocking,
    cache::{Cache, LoadError, Opened, PIECE_BYTES, Piece, PieceId},
};

type Loaded = Result<Arc<Piece>, LoadError>;

/// A part of a blob, to be read through the cache.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) cache: Arc<Cache>,
    pub(crate) key: BlobKey,
    pub(crate) id: PieceId,
    pub(crate) opened: Opened,
    /// Where the part ends.
    pub(crate) end: u64,
}

enum Next {
    Ready(Arc<Piece>),
    Loading(AbortOnDropHandle<Loaded>),
}

impl Content {
    /// The bytes from `at` on, after `first`; while a piece is sent the next one is read.
    pub(crate) fn after(self, first: Bytes, at: u64) -> impl Stream<Item = Result<Bytes, LoadError>> {
        let content = Arc::new(self);
        stream::unfold((content, Some(first), at, None), |(content, ready, at, ahead)| async move {
            if let Some(bytes) = ready.filter(|bytes| !bytes.is_empty()) {
                let ahead = content.begin(at).await;
                return Some((Ok(bytes), (content, None, at, ahead)));
            }
            // Nothing ahead: the first piece is still to be found, or the end is reached.
            let ahead = match ahead {
                Some(ahead) => ahead,
                None => content.begin(at).await?,
            };
            match ahead.finish().await {
                Ok(piece) => {
                    let (bytes, part) = content.cut(&piece, at);
                    let ahead = content.begin(part.end).await;
                    Some((Ok(bytes), (content, None, part.end, ahead)))
                }
                Err(error) => {
                    tracing::error!(%error, "an answer breaks off in its middle");
                    let end = content.end;
                    Some((Err(error), (content, None, end, None)))
                }
            }
        })
    }

    /// What of a piece the reader wants, from `at` on.
    fn cut(&self, piece: &Piece, at: u64) -> (Bytes, Range<u64>) {
        let part = at..self.end.min((at / PIECE_BYTES + 1) * PIECE_BYTES);
        (slice(piece, at / PIECE_BYTES * PIECE_BYTES, &part), part)
    }

    async fn begin(self: &Arc<Self>, at: u64) -> Option<Next> {
        if at >= self.end {
            return None;
        }
        let id = self.id.moved_to(at);
        if let Some(piece) = self.cache.get(&self.key, id).await {
            return Some(Next::Ready(piece));
        }
        let content = Arc::clone(self);
        let load = async move { content.cache.load(&content.key, id, &content.opened).await };
        Some(Next::Loading(AbortOnDropHandle::new(tokio::spawn(load.in_current_span()))))
    }
}

impl Next {
    async fn finish(self) -> Loaded {
        match self {
            Self::Ready(piece) => Ok(piece),
            Self::Loading(task) => blocking::finish(task).await,
        }
    }
}

/// The bytes of `part`, which lies in a piece that begins at `start`; fewer where the piece has fewer.
pub(crate) fn slice(piece: &Piece, start: u64, part: &Range<u64>) -> Bytes {
    let offset = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX).min(piece.content.len());
    piece.content.slice(offset(part.start)..offset(part.end))
}
