//! What requests say in their heads.

use axum::extract::FromRequestParts;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, IF_NONE_MATCH, IF_RANGE, RANGE},
    request::Parts,
};
use triton_api::{
    BlobHash, BlobKey, Epoch,
    range::{self, RangeRequest},
    storage::{EPOCH_HEADER, HASH_HEADER, route},
};
use triton_kit::ApiError;

use crate::store::Claim;

/// The blob key in the path, read as it stands there: keys need no percent-encoding, so that each has one address.
#[derive(Debug)]
pub(super) struct KeyInPath(pub(super) BlobKey);

impl<S: Sync> FromRequestParts<S> for KeyInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let key = parts.uri.path().strip_prefix(route::BLOB_PREFIX).unwrap_or_default();
        key.parse().map(Self).map_err(|error: triton_api::id::ParseIdError| ApiError::bad_request(error.to_string()))
    }
}

fn text(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A header that is absent or a `T`.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<Option<T>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::bad_request(format!("The header {name} is not text.")))?;
    text.parse().map(Some).map_err(|error| ApiError::bad_request(format!("The header {name} is wrong: {error}.")))
}

/// The epoch of the request.
pub(super) fn epoch(headers: &HeaderMap) -> Result<Option<Epoch>, ApiError> {
    parsed(headers, &HeaderName::from_static(EPOCH_HEADER))
}

/// What the sender of a blob claims.
pub(super) fn claim(headers: &HeaderMap) -> Result<Claim, ApiError> {
    Ok(Claim {
        hash: parsed(headers, &HeaderName::from_static(HASH_HEADER))?,
        len_bytes: parsed(headers, &CONTENT_LENGTH)?,
        epoch: epoch(headers)?,
    })
}

/// What a reader asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    range: Option<String>,
    if_range: Option<String>,
    if_none_match: Option<String>,
}

impl Wish {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let owned = |name: HeaderName| text(headers, name).map(str::to_owned);
        Self { range: owned(RANGE), if_range: owned(IF_RANGE), if_none_match: owned(IF_NONE_MATCH) }
    }

    /// Where the wanted part begins, as far as that can be told without the content's length.
    pub(super) fn start(&self) -> u64 {
        self.bounds().map_or(0, |(start, _)| start)
    }

    /// Whether the reader wants all of the `piece_bytes` from a border of pieces on, whatever the content's length.
    pub(super) fn wants_piece(&self, piece_bytes: u64) -> bool {
        if self.if_none_match.is_some() {
            return false;
        }
        match (&self.range, self.bounds()) {
            (None, _) => true,
            (Some(_), Some((start, last))) => {
                start.is_multiple_of(piece_bytes)
                    && last.is_none_or(|last| last.saturating_sub(start) >= piece_bytes - 1)
            }
            (Some(_), None) => false,
        }
    }

    /// First and last byte of a range that names its first.
    fn bounds(&self) -> Option<(u64, Option<u64>)> {
        let (first, last) = self.range.as_deref()?.trim().strip_prefix("bytes=")?.split_once('-')?;
        let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
        Some((first.parse().ok()?, last))
    }

    /// Whether the reader has the content with this hash (weak comparison, RFC 9110, section 13.1.2).
    pub(super) fn has(&self, hash: BlobHash) -> bool {
        self.if_none_match.as_deref().is_some_and(|list| {
            let tag = etag(hash);
            list.split(',').map(str::trim).any(|entry| entry == "*" || entry.trim_start_matches("W/") == tag)
        })
    }

    /// The part that the reader wants; the whole where `If-Range` names another content.
    pub(super) fn part(&self, hash: BlobHash, len_bytes: u64) -> RangeRequest {
        let holds = self.if_range.as_ref().is_none_or(|tag| tag.trim() == etag(hash));
        range::resolve(self.range.as_deref().filter(|_| holds), len_bytes)
    }
}

/// The entity tag of a content.
pub(super) fn etag(hash: BlobHash) -> String {
    format!("\"{hash}\"")
}

/// The same as a header's value.
pub(crate) fn etag_value(hash: BlobHash) -> HeaderValue {
    // Quotes and hexadecimal digits are visible ASCII.
    HeaderValue::try_from(etag(hash)).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// The value of `BLOCK_SUMS_HEADER`.
pub(crate) fn block_sums_value(sums: u32) -> HeaderValue {
    // Hexadecimal digits are visible ASCII.
    HeaderValue::try_from(format!("{sums:08x}")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(name: HeaderName, value: &str) -> Wish {
        Wish::of(&HeaderMap::from_iter([(name, value.parse().unwrap()), (RANGE, "bytes=1-2".parse().unwrap())]))
    }

    #[test]
    fn reader_has_what_it_names() {
        let hash = BlobHash::of(b"x");
        for has in [etag(hash), format!("W/{}", etag(hash)), format!("\"a\", {}", etag(hash)), "*".to_owned()] {
            assert!(wish(IF_NONE_MATCH, &has).has(hash), "{has}");
        }
        assert!(!wish(IF_NONE_MATCH, &etag(BlobHash::of(b"y"))).has(hash));
        assert!(!Wish::default().has(hash));
    }

    #[test]
    fn range_counts_only_for_the_content_that_if_range_names() {
        let hash = BlobHash::of(b"x");
        assert_eq!(wish(IF_RANGE, &etag(hash)).part(hash, 10), RangeRequest::Part(1..3));
        for other in [etag(BlobHash::of(b"y")), format!("W/{}", etag(hash)), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()]
        {
            assert_eq!(wish(IF_RANGE, &other).part(hash, 10), RangeRequest::Whole, "{other}");
        }
    }
}
