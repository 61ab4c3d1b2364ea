//! Reading and writing the protocol's headers.

use http::{HeaderMap, HeaderName, HeaderValue, header as standard};
use jiff::Timestamp;
use triton_api::{
    ProblemType, VideoId,
    upload::{OFFSET_OCTET_STREAM, header, route},
};
use triton_kit::ApiError;

use crate::{
    catalog::{UploadKind, UploadRecord, UploadState},
    upload::tus::{Checksum, TusError},
};

/// The id in an upload's path; what is no id names no upload.
pub(super) fn upload_id(text: &str) -> Result<VideoId, ApiError> {
    text.parse().map_err(|_| TusError::NotFound.into())
}

/// A header as text, where it is there and is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| ApiError::bad_request(format!("The header {name} is not plain text.")))
}

/// A header that is a number of bytes.
pub(super) fn bytes(headers: &HeaderMap, name: &str) -> Result<Option<u64>, ApiError> {
    let wrong = |text: &str| {
        let text: String = text.chars().take(40).collect();
        ApiError::bad_request(format!("The header {name} is `{text}`; it is to be a number of bytes, 0 or more."))
    };
    let Some(text) = text(headers, name)? else { return Ok(None) };
    // `parse` alone would take a plus sign.
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong(text));
    }
    text.parse().map(Some).map_err(|_| wrong(text))
}

/// Whether the body is a chunk of an upload.
pub(super) fn is_chunk(headers: &HeaderMap) -> bool {
    headers.get(standard::CONTENT_TYPE).is_some_and(|media_type| media_type == OFFSET_OCTET_STREAM)
}

/// 415, with what is right.
pub(super) fn no_chunk() -> ApiError {
    let detail = format!("The bytes of an upload have the content type {OFFSET_OCTET_STREAM}.");
    ApiError::new(ProblemType::UnsupportedMediaType, detail)
}

pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, ApiError> {
    Ok(text(headers, header::UPLOAD_CHECKSUM)?.map(str::parse).transpose()?)
}

/// `Upload-Concat`: what an upload becomes, and the partial uploads that a final one joins.
pub(super) fn concat(headers: &HeaderMap) -> Result<(UploadKind, Vec<VideoId>), ApiError> {
    let wrong = || {
        ApiError::bad_request(
            "Upload-Concat is `partial`, or `final;` with the addresses of partial uploads of this server, apart by spaces.",
        )
    };
    match text(headers, header::UPLOAD_CONCAT)?.map(str::trim) {
        None => Ok((UploadKind::Single, Vec::new())),
        Some("partial") => Ok((UploadKind::Partial, Vec::new())),
        Some(joined) => {
            let addresses = joined.strip_prefix("final;").ok_or_else(wrong)?;
            let pieces = addresses.split_ascii_whitespace().map(|address| piece(address).ok_or_else(wrong));
            Ok((UploadKind::Final, pieces.collect::<Result<_, _>>()?))
        }
    }
}

/// The upload at an address, absolute or not.
fn piece(address: &str) -> Option<VideoId> {
    let (before, id) = address.rsplit_once('/')?;
    if before.ends_with(route::UPLOADS) { id.parse().ok() } else { None }
}

/// The address of an upload.
pub(super) fn location(id: VideoId) -> String {
    route::UPLOAD.replace("{id}", &id.to_string())
}

/// The headers that tell how far an upload is.
pub(super) fn progress(record: &UploadRecord) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // A final upload has no offset while it is being joined.
    if record.kind != UploadKind::Final || record.is_complete() {
        headers.insert(header::UPLOAD_OFFSET, HeaderValue::from(record.offset_bytes));
    }
    if record.state == UploadState::Open
        && let Ok(value) = HeaderValue::from_str(&http_date(record.expires_at))
    {
        headers.insert(header::UPLOAD_EXPIRES, value);
    }
    headers
}

/// The headers that tell everything about an upload.
pub(super) fn description(record: &UploadRecord) -> HeaderMap {
    let mut headers = progress(record);
    headers.insert(header::UPLOAD_LENGTH, HeaderValue::from(record.len_bytes));
    headers.insert(standard::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let concat = match record.kind {
        UploadKind::Single => None,
        UploadKind::Partial => Some("partial".to_owned()),
        UploadKind::Final => {
            let addresses: Vec<String> = record.pieces.iter().map(|id| location(*id)).collect();
            Some(format!("final;{}", addresses.join(" ")))
        }
    };
    let metadata = Some(record.metadata.clone()).filter(|metadata| !metadata.is_empty());
    for (name, value) in [(header::UPLOAD_CONCAT, concat), (header::UPLOAD_METADATA, metadata)] {
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// A moment as HTTP writes it (RFC 9110, section 5.6.7).
fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_http_does() {
        let at: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn addresses_of_uploads_are_read() {
        let id = VideoId::generate();
        for address in [location(id), format!("https://example.org{}", location(id))] {
            assert_eq!(piece(&address), Some(id), "{address}");
        }
        for address in ["", "x", "/api/v1/uploads/", "/api/v1/uploads/x", &format!("/other/{id}")] {
            assert_eq!(piece(address), None, "{address}");
        }
    }

    #[test]
    fn numbers_of_bytes_are_plain_digits() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::UPLOAD_LENGTH, HeaderValue::from_static(value));
            bytes(&headers, header::UPLOAD_LENGTH)
        };
        assert_eq!(read("17").unwrap(), Some(17));
        for bad in ["", "-1", "+1", "1.5", "0x1", "99999999999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
