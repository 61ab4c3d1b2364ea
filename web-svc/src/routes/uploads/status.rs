//! Where an upload stands, and its end before its time.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use triton_api::{VideoId, upload::route};
use triton_kit::{ApiError, extract::Path};

use super::headers::{description, upload_id};
use crate::{
    app::App,
    catalog::{UploadKind, UploadState},
    routes::{delete::delete_video, tag::Precondition},
    upload::tus::{self, TusError},
};

/// Tell where an upload stands.
///
/// Where it has all its bytes, but was not examined yet because a web service was killed, that is done first.
#[utoipa::path(
    head, path = route::UPLOAD, tag = "uploads", operation_id = "showUpload",
    params(
        ("id" = VideoId, Path, description = "The upload."),
        ("Tus-Resumable" = String, Header, description = "The version of the protocol: 1.0.0."),
    ),
    responses(
        (status = 200, description = "Where it stands.",
         headers(("upload-offset" = u64, description = "Bytes that are durable."),
                 ("upload-length" = u64, description = "Bytes of the whole."),
                 ("upload-metadata" = String, description = "As it was sent."),
                 ("upload-concat" = String, description = "As it was sent."),
                 ("upload-expires" = String, description = "When it is removed unless bytes arrive."))),
        (status = 404, description = "There is no such upload."),
        (status = 410, description = "It was cancelled, refused or has expired."),
    )
)]
pub(super) async fn show_upload(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = upload_id(&id)?;
    let gone = |error| if matches!(error, TusError::Refused(_)) { TusError::Gone } else { error };
    let mut record = tus::find(&app, id).await.map_err(gone)?.value;
    if record.state == UploadState::Open && record.is_complete() {
        // That it cannot be examined right now does not change where it stands.
        if let Err(error) = tus::complete(&app, id).await {
            tracing::info!(upload.id = %id, %error, "a whole upload is not queued yet");
        }
        record = tus::find(&app, id).await.map_err(gone)?.value;
    }
    let is_deleted = record.state == UploadState::Finished && app.store.video(id).await?.is_none();
    if is_deleted {
        return Err(TusError::Gone.into());
    }
    Ok((StatusCode::OK, description(&record)).into_response())
}

/// End an upload.
///
/// Its bytes are deleted. Where it has become a video already, the video is deleted with it.
#[utoipa::path(
    delete, path = route::UPLOAD, tag = "uploads", operation_id = "deleteUpload",
    params(
        ("id" = VideoId, Path, description = "The upload."),
        ("Tus-Resumable" = String, Header, description = "The version of the protocol: 1.0.0."),
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such upload.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 410, description = "It is gone already.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete_upload(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = upload_id(&id)?;
    let record = tus::find(&app, id).await?.value;
    let ended = tus::end(&app, id, None).await;
    if matches!(ended, Err(TusError::Finished)) && record.kind != UploadKind::Partial {
        delete_video(&app, id, &Precondition::NONE).await?;
        tus::end(&app, id, None).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    ended?;
    Ok(StatusCode::NO_CONTENT)
}
