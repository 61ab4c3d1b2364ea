//! One video: create, show, edit, try again.

use axum::{
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use triton_api::{
    ProblemType, VideoId,
    video::{Video, VideoForm, VideoPatch, VideoState, route},
};
use triton_kit::{
    ApiError,
    extract::{Json, Path},
};

use super::tag::{Precondition, Tagged};
use crate::{
    app::App,
    catalog::{Title, VideoRecord},
    journal::{Change, Expect, JournalError, RecordKey},
    store::Stored,
    upload::{UploadError, create_generation, refuse, upload_form},
};

/// How often a change is decided again when somebody else was faster.
pub(super) const CONFLICTS_MAX: u32 = 5;

/// Upload a video.
///
/// The answer comes when the original is durable and has been examined; the transcode goes on afterwards. What is no video
/// is refused with 422 and leaves nothing behind.
#[utoipa::path(
    post, path = route::VIDEOS, tag = "videos", operation_id = "createVideo",
    request_body(content = VideoForm, content_type = "multipart/form-data"),
    responses(
        (status = 202, description = "The video is queued.", body = Video,
         headers(("location" = String, description = "The video's address."))),
        (status = 413, description = "The file is too large.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file is not a video.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (mut form, rest) = open_form(&app, request).await?;
    let record = match upload_form(&app, &mut form).await {
        Ok(record) => record,
        Err(error) => {
            drop(form);
            refuse::drain(rest).await;
            return Err(error.into());
        }
    };
    let location = route::VIDEO.replace("{id}", &record.id.to_string());
    let video = app.view(&record).await?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(video)).into_response())
}

/// The form of a request, and the rest of its body for when the form is given up half way.
async fn open_form(app: &App, request: Request) -> Result<(Multipart, refuse::Rest), ApiError> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
    let (mut request, rest) = refuse::shared(request);
    // The form's own fields and borders take some bytes as well.
    if declared.is_some_and(|len_bytes| len_bytes > app.upload_bytes_max.saturating_add(1 << 20)) {
        refuse::drain(rest).await;
        return Err(UploadError::TooLarge { bytes_max: app.upload_bytes_max }.into());
    }
    DefaultBodyLimit::disable().apply(&mut request);
    match <Multipart as FromRequest<()>>::from_request(request, &()).await {
        Ok(form) => Ok((form, rest)),
        Err(rejection) => {
            refuse::drain(rest).await;
            let detail = format!("{}; with curl: -F file=@clip.mp4", rejection.body_text());
            Err(ApiError::new(ProblemType::UnsupportedMediaType, detail))
        }
    }
}

/// Show a video.
#[utoipa::path(
    get, path = route::VIDEO, tag = "videos", operation_id = "showVideo", params(("id" = VideoId, Path, description = "The video.")),
    responses(
        (status = 200, description = "The video.", body = Video,
         headers(("etag" = String, description = "The state of its record, for If-Match."))),
        (status = 404, description = "There is no such video.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(app): State<App>, Path(id): Path<VideoId>) -> Result<Tagged, ApiError> {
    let Stored { value, revision } = find(&app, id).await?;
    Ok(Tagged { video: app.view(&value).await?, revision })
}

/// Change title, description or visibility.
///
/// What the body does not name stays as it is, whoever changes it at the same time. With `If-Match` the change is made only
/// to the state that the tag stands for, so that nobody overwrites what they have not seen.
#[utoipa::path(
    patch, path = route::VIDEO, tag = "videos", operation_id = "editVideo",
    params(
        ("id" = VideoId, Path, description = "The video."),
        ("if-match" = Option<String>, Header, description = "The ETag of the answer that the change is based on; several, or `*`."),
    ),
    request_body = VideoPatch,
    responses(
        (status = 200, description = "The changed video.", body = Video,
         headers(("etag" = String, description = "The new state of its record."))),
        (status = 404, description = "There is no such video.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is still being uploaded, or too many others change it right now.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed meanwhile: get it again and decide again.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn edit(
    State(app): State<App>,
    Path(id): Path<VideoId>,
    precondition: Precondition,
    Json(patch): Json<VideoPatch>,
) -> Result<Tagged, ApiError> {
    let title =
        patch.title.as_deref().map(Title::parse).transpose().map_err(UploadError::from)?.map(Title::into_string);
    patch.description.as_deref().map(Title::check_description).transpose().map_err(UploadError::from)?;
    let Stored { value, revision } = decide(&app, id, &precondition, |record| {
        record.title = title.clone().unwrap_or_else(|| record.title.clone());
        record.description = patch.description.clone().unwrap_or_else(|| record.description.clone());
        record.visibility = patch.visibility.unwrap_or(record.visibility);
    })
    .await?;
    Ok(Tagged { video: app.view(&value).await?, revision })
}

/// Changes a video's record; decides again where somebody changed it at the same moment.
async fn decide(
    app: &App,
    id: VideoId,
    precondition: &Precondition,
    edit: impl Fn(&mut VideoRecord),
) -> Result<Stored<VideoRecord>, ApiError> {
    let mut tries = 0;
    loop {
        let Stored { mut value, revision } = find_received(app, id).await?;
        precondition.check(revision)?;
        edit(&mut value);
        let change = Change::new().put(RecordKey::video(id), Expect::At(revision), &value)?;
        match app.journal.commit(change).await {
            Ok(revision) => return Ok(Stored { value, revision }),
            Err(JournalError::Conflict { .. }) if tries < CONFLICTS_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Try a failed video again, from the stored original.
#[utoipa::path(
    post, path = route::RETRY, tag = "videos", operation_id = "retryVideo", params(("id" = VideoId, Path, description = "The video.")),
    responses(
        (status = 202, description = "The video is queued again.", body = Video),
        (status = 404, description = "There is no such video.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has not failed.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn retry(
    State(app): State<App>,
    Path(id): Path<VideoId>,
) -> Result<(StatusCode, Json<Video>), ApiError> {
    let Stored { value: record, revision } = find(&app, id).await?;
    if record.state != VideoState::Failed {
        let detail = "Only a failed video can be tried again; this one is not.";
        return Err(ApiError::new(ProblemType::Conflict, detail));
    }
    let source = app.sources.open(id, record.original.len_bytes);
    let cancel = app.shutdown.child_token();
    let _cancel_on_drop = cancel.clone().drop_guard();
    let info = app.pipeline.probe(source.source(), &cancel).await.map_err(UploadError::from)?;
    // The plainest plan goes on where taking over the source's own pictures, or AV1, may have failed.
    let record = create_generation(&app, record, revision, &app.pipeline.plan_of_encoded(info)).await?;
    Ok((StatusCode::ACCEPTED, Json(app.view(&record).await?)))
}

/// A video whose upload has ended: until then its record belongs to the request that receives it.
pub(super) async fn find_received(app: &App, id: VideoId) -> Result<Stored<VideoRecord>, ApiError> {
    let video = find(app, id).await?;
    if video.value.state == VideoState::Uploading {
        let detail = "The video is still being uploaded. Wait until it has arrived, or cancel the upload.";
        return Err(ApiError::new(ProblemType::Conflict, detail));
    }
    Ok(video)
}

pub(super) async fn find(app: &App, id: VideoId) -> Result<Stored<VideoRecord>, ApiError> {
    app.store.video(id).await?.ok_or_else(|| ApiError::not_found(format!("There is no video {id}.")))
}
