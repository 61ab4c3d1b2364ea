//! Reading blobs.

use std::{ops::Range, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG},
};
use triton_api::{
    BlobHash, BlobKey, ProblemType,
    range::{self, RangeRequest},
    storage::route,
};
use triton_kit::ApiError;

use super::headers::{self, KeyInPath, Wish};
use crate::{
    blocking,
    node::Node,
    store::{OpenBlob, Store, StoreError},
};

/// Payload bytes that are read and verified in one go: a multiple of the block, so that no block is read twice.
const CHUNK_BYTES: u64 = 512 * 1024;

/// What to answer to a reader, with the first bytes of the content.
enum Answer {
    NotModified(BlobHash),
    Unsatisfiable(u64),
    Content { blob: Arc<OpenBlob>, part: Range<u64>, is_partial: bool, first: Bytes },
}

/// Read a blob, whole or in part.
///
/// Every block is verified before it is sent. A copy that turns out damaged is put aside; when part of it has been sent
/// already, the connection breaks off.
#[utoipa::path(
    get, path = route::BLOB, tag = "blobs", operation_id = "getBlob",
    params(
        ("key" = BlobKey, Path, description = "The blob's key, which may contain slashes."),
        ("range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-1023`."),
        ("if-range" = Option<String>, Header, description = "The range counts only for this entity tag."),
        ("if-none-match" = Option<String>, Header, description = "Entity tags that the reader has."),
    ),
    responses(
        (status = 200, description = "The content.", body = Vec<u8>, content_type = "application/octet-stream",
         headers(("etag" = String, description = "The content's BLAKE3 hash in quotes."))),
        (status = 206, description = "The part that was asked for.", body = Vec<u8>,
         content_type = "application/octet-stream",
         headers(("content-range" = String, description = "Which part of how many bytes."))),
        (status = 304, description = "The reader has it already."),
    )
)]
pub(super) async fn get_blob(
    State(node): State<Node>,
    KeyInPath(key): KeyInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wish = Wish::of(&headers);
    node.presence.admit().await?;
    match blocking::run(move || begin(&node.store, &key, &wish)).await? {
        Answer::NotModified(hash) => Ok((StatusCode::NOT_MODIFIED, steady(hash)).into_response()),
        Answer::Unsatisfiable(len_bytes) => Err(unsatisfiable(len_bytes)),
        Answer::Content { blob, part, is_partial, first } => Ok(content(blob, part, is_partial, first)),
    }
}

/// Ask for a blob's hash and length.
///
/// What this says is durable: a caller may count on the copy.
#[utoipa::path(
    head, path = route::BLOB, tag = "blobs", operation_id = "headBlob",
    params(("key" = BlobKey, Path, description = "The blob's key, which may contain slashes.")),
    responses((status = 200, description = "The blob is here.", headers(
        ("etag" = String, description = "The content's BLAKE3 hash in quotes."),
        ("content-length" = u64, description = "Its length in bytes."),
    )))
)]
pub(super) async fn head_blob(
    State(node): State<Node>,
    KeyInPath(key): KeyInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    node.presence.admit().await?;
    let found = blocking::run(move || node.store.head(&key)).await?;
    if Wish::of(&headers).has(found.hash) {
        return Ok((StatusCode::NOT_MODIFIED, steady(found.hash)).into_response());
    }
    let length = [(CONTENT_LENGTH, HeaderValue::from(found.len_bytes)), (CONTENT_TYPE, OCTETS)];
    Ok((steady(found.hash), length).into_response())
}

/// Opens the blob, decides what to answer and reads the first chunk: one hop to a blocking thread for all of it.
fn begin(store: &Store, key: &BlobKey, wish: &Wish) -> Result<Answer, StoreError> {
    let blob = store.open_blob(key)?;
    let (hash, len_bytes) = (blob.description().hash, blob.description().len_bytes);
    if wish.has(hash) {
        return Ok(Answer::NotModified(hash));
    }
    let (part, is_partial) = match wish.part(hash, len_bytes) {
        RangeRequest::Whole => (0..len_bytes, false),
        RangeRequest::Part(part) => (part, true),
        RangeRequest::Unsatisfiable => return Ok(Answer::Unsatisfiable(len_bytes)),
    };
    let first = blob.read(&chunk(part.start, part.end))?;
    Ok(Answer::Content { blob: Arc::new(blob), part, is_partial, first })
}

/// The chunk that begins at `start`, up to the next border of chunks.
fn chunk(start: u64, end: u64) -> Range<u64> {
    start..end.min((start / CHUNK_BYTES + 1) * CHUNK_BYTES)
}

fn content(blob: Arc<OpenBlob>, part: Range<u64>, is_partial: bool, first: Bytes) -> Response {
    let description = blob.description();
    let (hash, len_bytes) = (description.hash, description.len_bytes);
    let status = if is_partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let length = [(CONTENT_LENGTH, HeaderValue::from(part.end - part.start)), (CONTENT_TYPE, OCTETS)];
    let range = is_partial.then(|| [(CONTENT_RANGE, range::content_range(&part, len_bytes))]);
    let rest = part.start + first.len() as u64..part.end;
    let body = if rest.is_empty() { Body::from(first) } else { Body::from_stream(chunks(blob, first, rest)) };
    let mut response = (status, steady(hash), length, body).into_response();
    if let Some([(name, value)]) = range
        && let Ok(value) = HeaderValue::try_from(value)
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The first chunk and those of the rest; while one is sent the next is read, so that two are in memory at most.
fn chunks(blob: Arc<OpenBlob>, first: Bytes, rest: Range<u64>) -> impl Stream<Item = Result<Bytes, StoreError>> {
    let read = move |start: u64| {
        let (blob, part) = (Arc::clone(&blob), chunk(start, rest.end));
        (!part.is_empty()).then(|| (part.end, blocking::start(move || blob.read(&part))))
    };
    let ahead = read(rest.start);
    stream::unfold((Some(Ok(first)), ahead), move |(ready, ahead)| {
        let read = read.clone();
        async move {
            if let Some(ready) = ready {
                return Some((ready, (None, ahead)));
            }
            let (end, reading) = ahead?;
            let chunk = blocking::finish(reading).await;
            if let Err(error) = &chunk {
                tracing::error!(%error, "an answer breaks off in its middle");
                return Some((chunk, (None, None)));
            }
            Some((chunk, (None, read(end))))
        }
    })
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Headers that are the same for every answer about a content, which never changes under its key.
fn steady(hash: BlobHash) -> [(http::HeaderName, String); 3] {
    [
        (ETAG, headers::etag(hash)),
        (CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
    ]
}

fn unsatisfiable(len_bytes: u64) -> ApiError {
    let error = ApiError::new(ProblemType::RangeNotSatisfiable, format!("The blob has {len_bytes} bytes."));
    match HeaderValue::try_from(format!("bytes */{len_bytes}")) {
        Ok(value) => error.with_header(CONTENT_RANGE, value),
        Err(_) => error,
    }
}
