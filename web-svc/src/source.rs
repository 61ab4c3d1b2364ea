//! Originals as a source for ffmpeg: HTTP with ranges on a loopback port of its own, behind unguessable paths.
//!
//! ffmpeg reads what a stranger uploaded, so it gets the address of that one file and nothing else of the service.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt as _,
};
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use triton_api::{
    VideoId,
    range::{self, RangeRequest},
};
use uuid::Uuid;

use crate::{original, pipeline::Source, ring::Ring};

/// Originals that can be read right now. Cloning is cheap.
#[derive(Clone)]
pub struct Sources {
    address: SocketAddr,
    open: Arc<Mutex<HashMap<Uuid, Original>>>,
    ring: Ring,
}

#[derive(Debug, Clone, Copy)]
struct Original {
    id: VideoId,
    len_bytes: u64,
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
        self.table().insert(token, Original { id, len_bytes });
        let url = format!("http://{}/{token}", self.address).parse().expect("an http URL");
        let source = Source::new(url).expect("an http URL");
        OpenSource { sources: self.clone(), token, source }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Original>> {
        // The map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(State(sources): State<Sources>, Path(token): Path<Uuid>, request: Request) -> Response {
    let Some(Original { id, len_bytes }) = sources.table().get(&token).copied() else {
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
    let body = Body::from_stream(original::read(sources.ring.clone(), id, part));
    response.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
