//! Refusing an upload in a way that the sender hears.
//!
//! Most HTTP/1.1 clients read an answer only when they have sent their whole body, and a server that closes the connection
//! over unread bytes resets it, which can destroy the answer on its way. So a bounded rest of the body is read and dropped
//! before the answer goes out (RFC 9112, section 9.6).

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// The most bytes that are read for the sake of an answer.
const REST_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The longest time that is spent on it.
const REST_TIME_MAX: Duration = Duration::from_secs(20);

/// A request's body, shared between who reads it and who drains what is left of it.
#[derive(Clone)]
pub struct Rest(Arc<Mutex<BodyDataStream>>);

impl Stream for Rest {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.poll_next_unpin(context)
    }
}

/// The same request, with a handle on its body.
pub fn shared(request: Request) -> (Request, Rest) {
    let (parts, body) = request.into_parts();
    let rest = Rest(Arc::new(Mutex::new(body.into_data_stream())));
    (Request::from_parts(parts, Body::from_stream(rest.clone())), rest)
}

/// Reads what is left of a body, within limits, and drops it.
pub async fn drain(mut rest: Rest) {
    let drained = tokio::time::timeout(REST_TIME_MAX, async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = rest.next().await {
            bytes += chunk.len();
            if bytes > REST_BYTES_MAX {
                break;
            }
        }
    });
    if drained.await.is_err() {
        tracing::debug!("the rest of a refused upload did not arrive in time");
    }
}
