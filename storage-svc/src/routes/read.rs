//! Reading blobs.

use std::{ops::Range, sync::Arc, time::Instant};

use axum::{body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG},
};
use triton_api::{
    BlobHash, BlobKey, Problem, ProblemType,
    range::{self, RangeRequest},
    storage::{BACKGROUND_HEADER, BLOCK_SUMS_HEADER, route},
};
use triton_kit::ApiError;

use super::headers::{self, KeyInPath, Wish};
use crate::{
    blocking,
    cache::{Cache, Opened, PIECE_BYTES, Piece, PieceId},
    content::{Content, slice},
    node::Node,
    store::{OpenBlob, Store, StoreError},
};

/// Payload bytes that are read and verified in one go: a multiple of the block, so that no block is read twice.
const CHUNK_BYTES: u64 = 512 * 1024;

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
        (status = 404, description = "There is no copy here.", body = Problem, content_type = "application/problem+json",
         headers(("triton-tombstone" = String, description = "It was deleted: no other node may serve it either."))),
    )
)]
pub(super) async fn get_blob(
    State(node): State<Node>,
    KeyInPath(key): KeyInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wish = Wish::of(&headers);
    node.presence.admit().await?;
    // What moves between nodes is read once, and must not displace what viewers want.
    if !headers.contains_key(BACKGROUND_HEADER)
        && let Some(cache) = &node.cache
        && let Some(answer) = from_cache(cache, &key, &wish).await?
    {
        return Ok(answer);
    }
    blocking::run(move || from_disk(&node.store, &key, &wish)).await
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
    )), (status = 404, description = "There is no copy here.", headers(
        ("triton-tombstone" = String, description = "It was deleted: no other node may serve it either."),
    )))
)]
pub(super) async fn head_blob(
    State(node): State<Node>,
    KeyInPath(key): KeyInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    node.presence.admit().await?;
    let found = blocking::run(move || node.store.head(&key)).await?;
    let about = About::of(found.hash, found.len_bytes);
    if Wish::of(&headers).has(found.hash) {
        return Ok(about.not_modified());
    }
    let mut response = about.head(StatusCode::OK, Body::empty());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(found.len_bytes));
    response.headers_mut().insert(CONTENT_TYPE, OCTETS);
    Ok(response)
}

/// As [`get_blob`], for what lies in memory and needs no wait.
pub(super) struct AtOnce<'a> {
    node: &'a Node,
    cache: &'a Cache,
    began: Instant,
    id: PieceId,
    wish: Wish,
}

impl<'a> AtOnce<'a> {
    /// `None` where the request has to be routed, for all that can be told before it is known whether it may pass.
    pub(super) fn find(node: &'a Node, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let began = Instant::now();
        let cache = node.cache.as_deref()?;
        let key: BlobKey = uri.path().strip_prefix(route::BLOB_PREFIX)?.parse().ok()?;
        let wish = Wish::of(headers);
        let id = PieceId::at(&key, wish.start());
        let is_copy = headers.contains_key(BACKGROUND_HEADER);
        (!is_copy && cache.has(id)).then_some(Self { node, cache, began, id, wish })
    }

    /// The answer; `None` where it takes more than this piece, or a look at the disk.
    pub(super) fn answer(self) -> Option<Response> {
        self.node.presence.hear();
        if self.node.presence.is_unsettled() {
            return None;
        }
        let piece = self.cache.get_at_once(self.id)?;
        let about = About::of_piece(&piece);
        let (status, part) = about.part(&self.wish).ok()??;
        let content = inside(&piece, self.id, &part).filter(|content| content.len() as u64 == part.end - part.start)?;
        self.cache.count_hit();
        self.node.courtesy.waited(self.began.elapsed());
        Some(about.content(status, &part, &piece.block_sums, Body::from(content)))
    }
}

/// What a piece has of the part, where the part begins in it.
fn inside(piece: &Piece, id: PieceId, part: &Range<u64>) -> Option<Bytes> {
    let begins = id.start() <= part.start && part.start <= id.start() + piece.content.len() as u64;
    begins.then(|| slice(piece, id.start(), part))
}

/// An answer from memory; `None` where the disk is to be asked and nothing of it kept.
///
/// A piece that is wanted as a whole is kept. So is one that parts of are asked for again and again; until then only the
/// blocks are read that a part touches.
async fn from_cache(cache: &Arc<Cache>, key: &BlobKey, wish: &Wish) -> Result<Option<Response>, ApiError> {
    let id = PieceId::at(key, wish.start());
    let opened = Opened::default();
    let piece = match cache.get(key, id).await {
        Some(piece) => piece,
        None if wish.wants_piece(PIECE_BYTES) || cache.was_asked_for(id) => cache.load(key, id, &opened).await?,
        None => return Ok(None),
    };
    let about = About::of_piece(&piece);
    let Some((status, part)) = about.part(wish)? else { return Ok(Some(about.not_modified())) };
    // The end of a content is asked for without saying where it begins.
    let first = inside(&piece, id, &part).unwrap_or_default();
    let at = part.start + first.len() as u64;
    if at == part.end {
        return Ok(Some(about.content(status, &part, &piece.block_sums, Body::from(first))));
    }
    // Held open from here on: a delete does not break off who has begun to read.
    cache.open(key, &opened).await?;
    let rest = Content { cache: Arc::clone(cache), key: key.clone(), id, opened, end: part.end };
    Ok(Some(about.content(status, &part, &piece.block_sums, Body::from_stream(rest.after(first, at)))))
}

/// Opens the blob, decides what to answer and reads the first chunk: one hop to a blocking thread for all of it.
fn from_disk(store: &Store, key: &BlobKey, wish: &Wish) -> Result<Response, ApiError> {
    let blob = store.open_blob(key)?;
    let about = About::of(blob.description().hash, blob.description().len_bytes);
    let Some((status, part)) = about.part(wish)? else { return Ok(about.not_modified()) };
    let first = blob.read(&chunk(part.start, part.end))?;
    let block_sums = headers::block_sums_value(blob.block_sums());
    let rest = part.start + first.len() as u64..part.end;
    let is_whole = rest.is_empty();
    let body = if is_whole { Body::from(first) } else { Body::from_stream(chunks(Arc::new(blob), first, rest)) };
    Ok(about.content(status, &part, &block_sums, body))
}

/// The chunk that begins at `start`, up to the next border of chunks.
fn chunk(start: u64, end: u64) -> Range<u64> {
    start..end.min((start / CHUNK_BYTES + 1) * CHUNK_BYTES)
}

/// What every answer about a blob says.
struct About {
    hash: BlobHash,
    len_bytes: u64,
    etag: HeaderValue,
}

impl About {
    fn of(hash: BlobHash, len_bytes: u64) -> Self {
        Self { hash, len_bytes, etag: headers::etag_value(hash) }
    }

    fn of_piece(piece: &Piece) -> Self {
        Self { hash: piece.hash, len_bytes: piece.len_bytes, etag: piece.etag.clone() }
    }

    /// What part to send; `None` where the reader has the content already.
    fn part(&self, wish: &Wish) -> Result<Option<(StatusCode, Range<u64>)>, ApiError> {
        if wish.has(self.hash) {
            return Ok(None);
        }
        match wish.part(self.hash, self.len_bytes) {
            RangeRequest::Whole => Ok(Some((StatusCode::OK, 0..self.len_bytes))),
            RangeRequest::Part(part) => Ok(Some((StatusCode::PARTIAL_CONTENT, part))),
            RangeRequest::Unsatisfiable => Err(unsatisfiable(self.len_bytes)),
        }
    }

    fn not_modified(self) -> Response {
        self.head(StatusCode::NOT_MODIFIED, Body::empty())
    }

    /// The content, or a part of it; with the whole goes the sum of the sums of its blocks.
    fn content(self, status: StatusCode, part: &Range<u64>, block_sums: &HeaderValue, body: Body) -> Response {
        let is_partial = status == StatusCode::PARTIAL_CONTENT;
        let range = is_partial.then(|| range::content_range(part, self.len_bytes));
        let mut response = self.head(status, body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
        headers.insert(CONTENT_TYPE, OCTETS);
        if let Some(Ok(range)) = range.map(HeaderValue::try_from) {
            headers.insert(CONTENT_RANGE, range);
        }
        if !is_partial {
            headers.insert(BLOCK_SUMS_HEADER, block_sums.clone());
        }
        response
    }

    /// A response with the headers that are the same for every answer about a content, which never changes under its key.
    fn head(self, status: StatusCode, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag);
        headers.insert(CACHE_CONTROL, FOR_EVER);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        response
    }
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

const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

fn unsatisfiable(len_bytes: u64) -> ApiError {
    let error = ApiError::new(ProblemType::RangeNotSatisfiable, format!("The blob has {len_bytes} bytes."));
    match HeaderValue::try_from(format!("bytes */{len_bytes}")) {
        Ok(value) => error.with_header(CONTENT_RANGE, value),
        Err(_) => error,
    }
}
