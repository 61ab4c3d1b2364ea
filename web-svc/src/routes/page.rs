//! The embedded page. Every address that is not the API's is the page's own, as its router decides.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use rust_embed::RustEmbed;

use super::content::IMMUTABLE;

#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Files;

/// What a browser may load: nothing from another host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
     style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; frame-ancestors 'self'; base-uri 'self'; object-src 'none'";

const NOT_BUILT: &str = "The page is not part of this build. `make ui` builds it; then build web-svc again.\n";

pub(super) async fn page(method: Method, uri: Uri, request: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let of_api = ["api", "media", "docs"].iter().any(|prefix| path.split('/').next() == Some(prefix));
    if of_api || !matches!(method, Method::GET | Method::HEAD) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match Files::get(path) {
        Some(file) => answer(path, &file, &request),
        // A missing asset is missing: the page instead of it would only confuse.
        None if path.starts_with("assets/") => StatusCode::NOT_FOUND.into_response(),
        None => match Files::get("index.html") {
            Some(index) => answer("index.html", &index, &request),
            None => (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response(),
        },
    }
}

fn answer(path: &str, file: &rust_embed::EmbeddedFile, request: &HeaderMap) -> Response {
    let hash = blake3::Hash::from_bytes(file.metadata.sha256_hash()).to_hex();
    let etag = format!("\"{hash}\"");
    // The names of assets contain their hash.
    let cache = if path.starts_with("assets/") { IMMUTABLE } else { "no-cache" };
    let headers = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, cache.to_owned()),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "same-origin".to_owned()),
    ];
    if request.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let media_type = mime_guess::from_path(path).first_or_octet_stream().to_string();
    (headers, [(header::CONTENT_TYPE, media_type)], file.data.clone()).into_response()
}
