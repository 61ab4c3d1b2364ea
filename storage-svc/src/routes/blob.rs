//! Writing and deleting blobs.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header::ETAG};
use triton_api::storage::{BlobReceipt, route};
use triton_kit::{ApiError, extract::Json};

use super::headers::{self, KeyInPath};
use crate::{blocking, node::Node, receive::receive};

/// Store a blob.
///
/// Answers when the blob is durable. The same content under the same key again is no error; another content is.
#[utoipa::path(
    put, path = route::BLOB, tag = "blobs", operation_id = "putBlob",
    params(
        ("key" = triton_api::BlobKey, Path, description = "The blob's key, which may contain slashes."),
        ("triton-epoch" = Option<u64>, Header, description = "The writer's layout epoch; refused where it is old."),
        ("triton-blake3" = Option<triton_api::BlobHash>, Header, description = "The content's hash; refused where it is not."),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The content."),
    responses(
        (status = 201, description = "The blob is durable.", body = BlobReceipt,
         headers(("etag" = String, description = "The content's BLAKE3 hash in quotes."))),
        (status = 200, description = "The same content was here already.", body = BlobReceipt),
    )
)]
pub(super) async fn put_blob(
    State(node): State<Node>,
    KeyInPath(key): KeyInPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let claim = headers::claim(&headers)?;
    let _turn = node.write_turn().await?;
    let stored = receive(&node.store, &key, claim, body.into_data_stream()).await?;
    let status = if stored.fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(ETAG, headers::etag(stored.receipt.hash))], Json(stored.receipt)).into_response())
}

/// Delete a blob for good.
///
/// The key cannot be used again. Deleting what is not there is no error.
#[utoipa::path(
    delete, path = route::BLOB, tag = "blobs", operation_id = "deleteBlob",
    params(
        ("key" = triton_api::BlobKey, Path, description = "The blob's key, which may contain slashes."),
        ("triton-epoch" = Option<u64>, Header, description = "The caller's layout epoch; refused where it is old."),
    ),
    responses((status = 204, description = "The blob is gone, durably."))
)]
pub(super) async fn delete_blob(
    State(node): State<Node>,
    KeyInPath(key): KeyInPath,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let epoch = headers::epoch(&headers)?;
    blocking::run(move || node.store.delete(&key, None, epoch)).await?;
    Ok(StatusCode::NO_CONTENT)
}
