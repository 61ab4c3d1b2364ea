//! Creating an upload, with or without its first bytes, or joining it from partial ones.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header as standard};
use triton_api::{
    VideoId,
    upload::{header, route},
};
use triton_kit::ApiError;

use super::{
    chunk::{append, chunk},
    headers::{bytes, concat, is_chunk, location, no_chunk, progress, text},
};
use crate::{
    app::App,
    catalog::{UploadKind, UploadRecord},
    upload::{
        refuse,
        tus::{self, Chunk, NewUpload, TusError},
    },
};

/// Create an upload.
///
/// The id in its address is that of the video that it becomes. With the content type `application/offset+octet-stream` the
/// body has the first bytes. `Upload-Concat: partial` makes no video; `Upload-Concat: final;` with the addresses of partial
/// uploads joins them into one, and answers when that is done.
#[utoipa::path(
    post, path = route::UPLOADS, tag = "uploads", operation_id = "createUpload",
    params(
        ("Tus-Resumable" = String, Header, description = "The version of the protocol: 1.0.0."),
        ("Upload-Length" = Option<u64>, Header, description = "Bytes of the whole; not for a final upload."),
        ("Upload-Metadata" = Option<String>, Header,
         description = "Pairs of a name and a base64 value, separated by commas: filename, title, description, visibility."),
        ("Upload-Concat" = Option<String>, Header, description = "`partial`, or `final;` and addresses, apart by spaces."),
        ("Upload-Checksum" = Option<String>, Header, description = "Of the body: `sha1` or `sha256`, a space, base64."),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 201, description = "The upload is created.",
         headers(("location" = String, description = "Its address."),
                 ("upload-offset" = u64, description = "Bytes that are there."),
                 ("upload-expires" = String, description = "When it is removed unless bytes arrive."))),
        (status = 409, description = "A partial upload that is to be joined lacks bytes.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is too large.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 422, description = "It is not a video.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create_upload(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let (_, rest) = refuse::shared(request);
    let created = match new_upload(&headers, &rest) {
        Ok((new, chunk)) => tus::create(&app, new).await.map(|record| (record, chunk)).map_err(ApiError::from),
        Err(error) => Err(error),
    };
    let (record, chunk) = match created {
        Ok(created) => created,
        Err(error) => {
            refuse::drain(rest).await;
            return Err(error);
        }
    };
    let id = record.id;
    let address = HeaderValue::from_str(&location(id)).map_err(ApiError::internal)?;
    // On the heap: it holds several records.
    let record = match Box::pin(begin(&app, record, chunk)).await {
        Ok(record) => record,
        Err(error) if error.is_final() => {
            // Without an answer of 201 nobody knows the upload's address.
            give_up(&app, id).await;
            return Err(error.into());
        }
        // What is kept can be gone on with.
        Err(error) => return Err(ApiError::from(error).with_header(standard::LOCATION, address)),
    };
    let mut headers = progress(&record);
    headers.insert(standard::LOCATION, address);
    Ok((StatusCode::CREATED, headers).into_response())
}

/// What is to be created, and the first bytes of it where the request has any.
fn new_upload(headers: &HeaderMap, rest: &refuse::Rest) -> Result<(NewUpload, Option<Chunk>), ApiError> {
    let (kind, pieces) = concat(headers)?;
    if headers.contains_key(header::UPLOAD_DEFER_LENGTH) {
        return Err(ApiError::bad_request("Upload-Defer-Length is not supported: tell the length in Upload-Length."));
    }
    let len_bytes = match (kind, bytes(headers, header::UPLOAD_LENGTH)?) {
        (UploadKind::Final, Some(_)) => {
            return Err(ApiError::bad_request("A final upload has the length of its parts: leave out Upload-Length."));
        }
        (UploadKind::Final, None) => 0,
        (UploadKind::Single | UploadKind::Partial, Some(len_bytes)) => len_bytes,
        (UploadKind::Single | UploadKind::Partial, None) => {
            return Err(ApiError::bad_request("The header Upload-Length is missing: the bytes of the whole file."));
        }
    };
    let has_body = bytes(headers, standard::CONTENT_LENGTH.as_str())?.is_some_and(|len_bytes| len_bytes > 0);
    if has_body && (!is_chunk(headers) || kind == UploadKind::Final) {
        return Err(no_chunk());
    }
    let chunk = chunk(headers, 0, rest.clone())?;
    let metadata = text(headers, header::UPLOAD_METADATA)?.unwrap_or_default().to_owned();
    Ok((NewUpload { kind, len_bytes, metadata, pieces }, is_chunk(headers).then_some(chunk)))
}

/// What happens to a new upload in the request that creates it.
async fn begin(app: &App, record: UploadRecord, chunk: Option<Chunk>) -> Result<UploadRecord, TusError> {
    if record.kind == UploadKind::Final {
        tus::join(app, record.id).await?;
        return Ok(tus::find(app, record.id).await?.value);
    }
    if let Some(chunk) = chunk {
        return append(app, record.id, chunk).await;
    }
    // A file without bytes is whole already, and no video.
    tus::complete(app, record.id).await?;
    Ok(record)
}

async fn give_up(app: &App, id: VideoId) {
    match tus::end(app, id, None).await {
        // A video that is queued stays, even if its sender does not hear of it.
        Ok(()) | Err(TusError::Finished) => {}
        Err(error) => tracing::warn!(upload.id = %id, %error, "cannot remove an upload yet: it will expire"),
    }
}
