//! Originals as a source for ffmpeg: HTTP with ranges on a loopback port of its own, behind unguessable paths.
//!
//! ffmpeg reads what a stranger uploaded, so it gets the address of that one file and nothing else of the service. It takes any
//! end of a connection for the file's; where the ring cannot give more, the source says so first.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt as _,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{StatusCode, header};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use triton_api::{
    VideoId,
    range::{self, RangeRequest},
};
use uuid::Uuid;

use crate::{
    original,
    pipeline::{Break, READ_TIME_MAX, Source},
    ring::{Ring, RingError},
};

/// The longest wait for the next bytes of an original: shorter than ffmpeg's own, which takes what it has for all there is.
const PIECE_TIME_MAX: Duration = READ_TIME_MAX.saturating_sub(Duration::from_secs(5));

/// Originals that can be read right now. Cloning is cheap.
#[derive(Clone)]
pub struct Sources {
    address: SocketAddr,
    open: Arc<Mutex<HashMap<Uuid, Original>>>,
    ring: Ring,
}

#[derive(Debug, Clone)]
struct Original {
    id: VideoId,
    len_bytes: u64,
    source: Source,
}

/// An original that ffmpeg can read while this lives.
pub struct OpenSource {
    sources: Sources,
    token: Uuid,
    source: Source,
}

impl OpenSource {
    /// Where ffmpeg reads it.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

impl Drop for OpenSource {
    fn drop(&mut self) {
        self.sources.table().remove(&self.token);
    }
}

impl Sources {
    /// A server on a free loopback port, to be run with [`Sources::serve`].
    pub async fn bind(ring: Ring) -> std::io::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let sources = Self { address: listener.local_addr()?, open: Arc::default(), ring };
        Ok((sources, listener))
    }

    /// Serves until `stop`.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let router = Router::new().route("/{token}", get(read)).with_state(self);
        // ffmpeg asks anew for each place that it jumps to, and would wait 40 ms for the end of each answer's head.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY");
            }
        });
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the server of originals for ffmpeg ended");
        }
    }

    /// Lets ffmpeg read an original until the result is dropped.
    #[expect(clippy::expect_used, reason = "a socket address and a UUID make an http URL")]
    pub fn open(&self, id: VideoId, len_bytes: u64) -> OpenSource {
        let token = Uuid::new_v4();
        let url = format!("http://{}/{token}", self.address).parse().expect("an http URL");
        let source = Source::new(url).expect("an http URL");
        self.table().insert(token, Original { id, len_bytes, source: source.clone() });
        OpenSource { sources: self.clone(), token, source }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Original>> {
        // The map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(State(sources): State<Sources>, Path(token): Path<Uuid>, request: Request) -> Response {
    let Some(Original { id, len_bytes, source }) = sources.table().get(&token).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let asked = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
    let (status, part) = match range::resolve(asked, len_bytes) {
        RangeRequest::Whole => (StatusCode::OK, 0..len_bytes),
        RangeRequest::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        RangeRequest::Unsatisfiable => {
            return (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, format!("bytes */{len_bytes}"))])
                .into_response();
        }
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, part.end - part.start);
    if status == StatusCode::PARTIAL_CONTENT {
        response = response.header(header::CONTENT_RANGE, range::content_range(&part, len_bytes));
    }
    let wanted = part.end - part.start;
    let bytes = original::read(sources.ring.clone(), id, part);
    let body = Body::from_stream(watched(bytes, wanted, source, PIECE_TIME_MAX));
    response.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// The bytes, `wanted` of them, for which `source` breaks before it can be seen that they end early.
fn watched(
    bytes: impl Stream<Item = Result<Bytes, RingError>> + Send,
    wanted: u64,
    source: Source,
    piece_time_max: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some((Box::pin(bytes), wanted)), move |state| {
        let source = source.clone();
        async move {
            let (mut bytes, wanted) = state?;
            // The time runs while bytes are wanted; cancel safe, as a reader who goes away wants none.
            let (how, error) = match timeout(piece_time_max, bytes.next()).await {
                Ok(Some(Ok(piece))) => {
                    let wanted = wanted.saturating_sub(piece.len() as u64);
                    return Some((Ok(piece), Some((bytes, wanted))));
                }
                Ok(None) if wanted == 0 => return None,
                Ok(None) => (Break::Other, io::ErrorKind::UnexpectedEof.into()),
                Ok(Some(Err(error))) => (how(&error), io::Error::other(error)),
                Err(_) => (Break::Away, io::ErrorKind::TimedOut.into()),
            };
            tracing::warn!(%error, "an original cannot be read on");
            source.set_broken(how);
            Some((Err(error), None))
        }
    })
}

fn how(error: &RingError) -> Break {
    match error {
        RingError::Unavailable { .. } | RingError::StaleLayout { .. } => Break::Away,
        _ => Break::Other,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn source() -> Source {
        Source::new("http://127.0.0.1:1/x".parse().unwrap()).unwrap()
    }

    fn pieces(count: usize) -> impl Iterator<Item = Result<Bytes, RingError>> {
        (0..count).map(|_| Ok(Bytes::from_static(b"piece")))
    }

    fn away() -> RingError {
        let key = "v/a".parse().unwrap();
        RingError::Unavailable { operation: "read", key, detail: "no answer".to_owned() }
    }

    #[tokio::test]
    async fn a_source_breaks_before_its_reader_sees_the_error() {
        let source = source();
        let bytes = stream::iter(pieces(1).chain([Err(away())]).chain(pieces(1)));
        let mut bytes = std::pin::pin!(watched(bytes, 10, source.clone(), SHORT));
        assert!(bytes.next().await.unwrap().is_ok());
        assert!(!source.is_broken());
        assert!(bytes.next().await.unwrap().is_err());
        assert!(source.is_broken() && source.is_away());
        assert!(bytes.next().await.is_none());
    }

    #[tokio::test]
    async fn a_source_that_gives_nothing_for_long_breaks_and_one_that_is_not_asked_does_not() {
        let source = source();
        let bytes = stream::iter(pieces(2)).chain(stream::pending());
        let mut bytes = std::pin::pin!(watched(bytes, 10, source.clone(), SHORT));
        assert!(bytes.next().await.unwrap().is_ok());
        tokio::time::sleep(SHORT * 3).await;
        assert!(bytes.next().await.unwrap().is_ok());
        assert!(!source.is_broken());
        assert!(bytes.next().await.unwrap().is_err());
        assert!(source.is_broken());
    }

    #[tokio::test]
    async fn a_source_that_lacks_bytes_breaks_and_is_not_away() {
        let source = source();
        let told: Vec<_> = watched(stream::iter(pieces(1)), 6, source.clone(), SHORT).collect().await;
        assert!(told.len() == 2 && told[1].is_err());
        assert!(source.is_broken() && !source.is_away());
    }

    #[tokio::test]
    async fn a_whole_source_and_one_whose_reader_goes_away_do_not_break() {
        let source = source();
        assert_eq!(watched(stream::iter(pieces(2)), 10, source.clone(), SHORT).count().await, 2);
        let mut bytes = Box::pin(watched(stream::pending::<Result<Bytes, RingError>>(), 10, source.clone(), SHORT));
        assert!(bytes.next().now_or_never().is_none());
        drop(bytes);
        assert!(!source.is_broken());
    }
}
