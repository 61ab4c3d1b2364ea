//! Immutable content over HTTP: ranges, validators, caching.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::ops::Range;
use triton_api::{
    ProblemType,
    range::{self, RangeRequest},
};
use triton_kit::ApiError;

/// What never changes at its address may be kept forever.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// What a request wants of a content.
pub(super) enum Wanted {
    /// Nothing: the client has it.
    NotModified,
    /// All of it.
    Whole,
    /// A part.
    Part(Range<u64>),
}

/// A content's identity and looks.
pub(super) struct Content<'a> {
    /// In quotes.
    pub(super) etag: &'a str,
    pub(super) len_bytes: u64,
    pub(super) media_type: &'a str,
    pub(super) cache_control: &'static str,
}

impl Content<'_> {
    /// Reads the request's conditions and range.
    pub(super) fn wanted(&self, request: &HeaderMap) -> Result<Wanted, ApiError> {
        let text = |name| request.get(name).and_then(|value| value.to_str().ok());
        if text(header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(self.etag) || tags.trim() == "*") {
            return Ok(Wanted::NotModified);
        }
        let asked = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|tag| tag == self.etag));
        match range::resolve(asked, self.len_bytes) {
            RangeRequest::Whole => Ok(Wanted::Whole),
            RangeRequest::Part(part) => Ok(Wanted::Part(part)),
            RangeRequest::Unsatisfiable => {
                let detail = format!("The content has {} bytes.", self.len_bytes);
                let error = ApiError::new(ProblemType::RangeNotSatisfiable, detail);
                Err(match HeaderValue::from_str(&format!("bytes */{}", self.len_bytes)) {
                    Ok(value) => error.with_header(header::CONTENT_RANGE, value),
                    Err(_) => error,
                })
            }
        }
    }

    /// 304, for a client that has it.
    pub(super) fn not_modified(&self) -> Response {
        let headers = [(header::ETAG, self.etag), (header::CACHE_CONTROL, self.cache_control)];
        (StatusCode::NOT_MODIFIED, headers).into_response()
    }

    /// 200 or 206 with the bytes of `part`, or all.
    pub(super) fn answer<S, E>(&self, part: Option<&Range<u64>>, bytes: S) -> Result<Response, ApiError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (status, len_bytes) = match part {
            Some(part) => (StatusCode::PARTIAL_CONTENT, part.end - part.start),
            None => (StatusCode::OK, self.len_bytes),
        };
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, self.media_type)
            .header(header::CONTENT_LENGTH, len_bytes)
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::ETAG, self.etag)
            .header(header::CACHE_CONTROL, self.cache_control);
        if let Some(part) = part {
            response = response.header(header::CONTENT_RANGE, range::content_range(part, self.len_bytes));
        }
        response.body(Body::from_stream(bytes)).map_err(ApiError::internal)
    }
}
