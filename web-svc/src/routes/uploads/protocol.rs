//! What every request of the protocol has in common: its version, its description, and methods that a proxy forbids.

use axum::{
    Router,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tower::{Layer as _, util::MapRequestLayer};
use triton_api::{
    ProblemType, VideoId,
    upload::{TUS_CHECKSUM_ALGORITHMS, TUS_EXTENSIONS, TUS_VERSION, header, route},
};
use triton_kit::ApiError;

use crate::app::App;

/// Refuses other versions of the protocol, and names the version in every answer.
pub(super) async fn speak_tus(request: Request, next: Next) -> Response {
    let asked = request.headers().get(header::TUS_RESUMABLE);
    let is_spoken = asked.is_some_and(|version| version == TUS_VERSION) || request.method() == Method::OPTIONS;
    let mut response = if is_spoken {
        next.run(request).await
    } else {
        let detail =
            format!("Only version {TUS_VERSION} of tus is spoken here. Send the header Tus-Resumable: {TUS_VERSION}.");
        ApiError::new(ProblemType::UnsupportedVersion, detail)
            .with_header(HeaderName::from_static(header::TUS_VERSION), HeaderValue::from_static(TUS_VERSION))
            .into_response()
    };
    response.headers_mut().insert(header::TUS_RESUMABLE, HeaderValue::from_static(TUS_VERSION));
    response
}

/// Tell what of tus is spoken here.
#[utoipa::path(
    options, path = route::UPLOADS, tag = "uploads", operation_id = "describeUploads",
    responses((status = 204, description = "The versions, the extensions, the longest upload and the algorithms of checksums.",
        headers(("tus-version" = String, description = "Versions."), ("tus-extension" = String, description = "Extensions."),
                ("tus-max-size" = u64, description = "The longest upload, in bytes."),
                ("tus-checksum-algorithm" = String, description = "Algorithms of Upload-Checksum."))))
)]
pub(super) async fn describe_uploads(State(app): State<App>) -> impl IntoResponse {
    let headers = [
        (header::TUS_VERSION, TUS_VERSION.to_owned()),
        (header::TUS_EXTENSION, TUS_EXTENSIONS.to_owned()),
        (header::TUS_MAX_SIZE, app.upload_bytes_max.to_string()),
        (header::TUS_CHECKSUM_ALGORITHM, TUS_CHECKSUM_ALGORITHMS.to_owned()),
    ];
    (StatusCode::NO_CONTENT, headers)
}

/// Tell what of tus is spoken here.
#[utoipa::path(
    options, path = route::UPLOAD, tag = "uploads", operation_id = "describeUpload",
    params(("id" = VideoId, Path, description = "The upload.")),
    responses((status = 204, description = "As at the address of all uploads."))
)]
pub(super) async fn describe_upload(state: State<App>) -> impl IntoResponse {
    describe_uploads(state).await
}

/// Takes the method of `X-HTTP-Method-Override` for the request's own at the addresses of uploads: some proxies let only GET
/// and POST pass. It comes before routing, which goes by the method.
pub(in crate::routes) fn with_method_override(router: Router) -> Router {
    Router::new().fallback_service(MapRequestLayer::new(override_method).layer(router))
}

fn override_method(mut request: Request) -> Request {
    let is_upload =
        request.uri().path().strip_prefix(route::UPLOADS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_upload
        && let Some(name) = request.headers().get(header::METHOD_OVERRIDE)
        && let Ok(method) = Method::from_bytes(name.as_bytes().to_ascii_uppercase().as_slice())
    {
        *request.method_mut() = method;
    }
    request
}
