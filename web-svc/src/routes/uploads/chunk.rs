//! Appending bytes to an upload.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header as standard};
use triton_api::{
    VideoId,
    upload::{header, route},
};
use triton_kit::{ApiError, extract::Path};

use super::headers::{bytes, checksum, is_chunk, no_chunk, progress, upload_id};
use crate::{
    app::App,
    catalog::UploadRecord,
    upload::{
        refuse,
        tus::{self, Chunk, TusError},
    },
};

/// Append bytes to an upload.
///
/// What has arrived is kept when the connection breaks: ask with HEAD where the upload stands and go on from there, at any
/// web service of the cluster. With the last byte the file is examined and the video queued; what is no video is refused
/// with 422 and leaves nothing behind. Of two requests that append to the same upload the later one wins.
#[utoipa::path(
    patch, path = route::UPLOAD, tag = "uploads", operation_id = "appendUpload",
    params(
        ("id" = VideoId, Path, description = "The upload."),
        ("Tus-Resumable" = String, Header, description = "The version of the protocol: 1.0.0."),
        ("Upload-Offset" = u64, Header, description = "Where the bytes begin: where the upload stands."),
        ("Upload-Checksum" = Option<String>, Header, description = "Of the body: `sha1` or `sha256`, a space, base64."),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "The bytes are durable.",
         headers(("upload-offset" = u64, description = "Where the upload stands now."),
                 ("upload-expires" = String, description = "When it is removed unless more bytes arrive."))),
        (status = 403, description = "A final upload takes no bytes.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such upload.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The offset is not where the upload stands, or another request goes on with it.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 410, description = "It was cancelled or has expired.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 413, description = "More bytes than the upload's length.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 415, description = "The content type is another.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The whole is not a video.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn append_upload(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let (_, rest) = refuse::shared(request);
    let (id, chunk) = match where_to(&id, &headers, rest.clone()) {
        Ok(place) => place,
        Err(error) => {
            refuse::drain(rest).await;
            return Err(error);
        }
    };
    let record = append(&app, id, chunk).await?;
    Ok((StatusCode::NO_CONTENT, progress(&record)).into_response())
}

fn where_to(id: &str, headers: &HeaderMap, rest: refuse::Rest) -> Result<(VideoId, Chunk), ApiError> {
    let id = upload_id(id)?;
    if !is_chunk(headers) {
        return Err(no_chunk());
    }
    let missing = || ApiError::bad_request("The header Upload-Offset is missing: where the bytes begin.");
    let offset = bytes(headers, header::UPLOAD_OFFSET)?.ok_or_else(missing)?;
    Ok((id, chunk(headers, offset, rest)?))
}

/// The rest of a request, to be appended.
pub(super) fn chunk(headers: &HeaderMap, offset: u64, rest: refuse::Rest) -> Result<Chunk, ApiError> {
    let declared_bytes = bytes(headers, standard::CONTENT_LENGTH.as_str())?.unwrap_or_default();
    Ok(Chunk { offset, declared_bytes, body: rest, checksum: checksum(headers)? })
}

/// Appends the rest of a request; where that is refused, its sender hears why.
pub(super) async fn append(app: &App, id: VideoId, chunk: Chunk) -> Result<UploadRecord, TusError> {
    let rest = chunk.body.clone();
    let received = tus::receive(app, id, chunk).await;
    if received.as_ref().is_err_and(TusError::wants_rest) {
        refuse::drain(rest).await;
    }
    received
}
