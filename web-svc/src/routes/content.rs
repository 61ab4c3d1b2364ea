//! Immutable content over HTTP: ranges, validators, caching.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::{fmt::Display, ops::Range};
use triton_api::{
    ProblemType,
    range::{self, RangeRequest},
};
use triton_kit::ApiError;

/// What never changes at its address may be kept forever.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Headers of an answer, those of the layers around included.
const HEADERS: usize = 10;

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
    pub(super) etag: &'a HeaderValue,
    pub(super) len_bytes: u64,
    pub(super) looks: Looks,
}

/// What kind of content it is, and who may keep it for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    pub(super) media_type: &'static str,
    pub(super) cache_control: &'static str,
}

/// A hash as a strong validator.
pub(super) fn etag(hash: impl Display) -> Result<HeaderValue, ApiError> {
    HeaderValue::try_from(format!("\"{hash}\"")).map_err(ApiError::internal)
}

/// Whether the request has a condition that only the content's validator decides.
pub(super) fn asks_whether_changed(request: &HeaderMap) -> bool {
    request.contains_key(header::IF_NONE_MATCH)
}

/// The value of the request's `Range`.
pub(super) fn range_of(request: &HeaderMap) -> Option<&str> {
    text(request, &header::RANGE)
}

fn text<'a>(request: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    request.get(name).and_then(|value| value.to_str().ok())
}

impl Content<'_> {
    /// Reads the request's conditions and range.
    pub(super) fn wanted(&self, request: &HeaderMap) -> Result<Wanted, ApiError> {
        let etag = self.etag.to_str().map_err(ApiError::internal)?;
        if text(request, &header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(etag) || tags.trim() == "*") {
            return Ok(Wanted::NotModified);
        }
        let asked = range_of(request).filter(|_| text(request, &header::IF_RANGE).is_none_or(|tag| tag == etag));
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
        let cache_control = HeaderValue::from_static(self.looks.cache_control);
        (StatusCode::NOT_MODIFIED, [(header::ETAG, self.etag.clone()), (header::CACHE_CONTROL, cache_control)])
            .into_response()
    }

    /// 200 or 206 with the bytes of `part`, or all.
    pub(super) fn answer(&self, part: Option<&Range<u64>>, body: Body) -> Result<Response, ApiError> {
        let mut response = Response::new(body);
        let len_bytes = part.map_or(self.len_bytes, |part| part.end - part.start);
        if part.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.looks.media_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len_bytes));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.looks.cache_control));
        if let Some(part) = part {
            let value =
                HeaderValue::try_from(range::content_range(part, self.len_bytes)).map_err(ApiError::internal)?;
            headers.insert(header::CONTENT_RANGE, value);
        }
        Ok(response)
    }

    /// What the request asks for, of a content in memory.
    pub(super) fn answer_from(&self, content: &Bytes, request: &HeaderMap) -> Result<Response, ApiError> {
        match self.wanted(request)? {
            Wanted::NotModified => Ok(self.not_modified()),
            Wanted::Whole => self.answer(None, Body::from(content.clone())),
            Wanted::Part(part) => {
                let position = |at: u64| usize::try_from(at).map_err(ApiError::internal);
                let slice = content.slice(position(part.start)?..position(part.end)?);
                self.answer(Some(&part), Body::from(slice))
            }
        }
    }
}
