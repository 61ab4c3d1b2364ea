//! Deleting a video.

use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use triton_api::{Generation, VideoId, video::route};
use triton_kit::{ApiError, extract::Path};

use super::{
    tag::Precondition,
    videos::{CONFLICTS_MAX, find_received},
};
use crate::{
    app::App,
    catalog::{TrashRecord, VideoRecord},
    journal::{Change, Expect, JournalError, RecordKey},
    pipeline::Plan,
    upload::TRASH_GRACE,
};

/// Delete a video with everything that belongs to it.
///
/// It is gone at once; its bytes follow within seconds, so that who is watching can finish the segment.
#[utoipa::path(
    delete, path = route::VIDEO, tag = "videos", operation_id = "deleteVideo",
    params(
        ("id" = VideoId, Path, description = "The video."),
        ("if-match" = Option<String>, Header, description = "Delete only the state that this ETag stands for; several, or `*`."),
    ),
    responses(
        (status = 204, description = "The video is deleted."),
        (status = 404, description = "There is no such video.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is still being uploaded.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed meanwhile.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<VideoId>,
    precondition: Precondition,
) -> Result<StatusCode, ApiError> {
    delete_video(&app, id, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a video whose upload has ended, with everything that belongs to it.
pub(super) async fn delete_video(app: &App, id: VideoId, precondition: &Precondition) -> Result<(), ApiError> {
    let mut tries = 0;
    let generation = loop {
        let video = find_received(app, id).await?;
        precondition.check(video.revision)?;
        let mut change = Change::new().delete(RecordKey::video(id), Expect::At(video.revision));
        for trash in trash_of(app, &video.value).await? {
            change = change.put(RecordKey::trash(id, trash.generation), Expect::Anything, &trash)?;
        }
        match app.journal.commit(change).await {
            Ok(_) => break video.value.generation,
            // A worker changed the record at the same moment.
            Err(JournalError::Conflict { .. }) if tries < CONFLICTS_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    };
    Ok(app.delete_jobs(id, generation).await?)
}

async fn trash_of(app: &App, video: &VideoRecord) -> Result<Vec<TrashRecord>, ApiError> {
    let not_before = Timestamp::now() + TRASH_GRACE;
    let captions = video.captions.iter().map(|caption| caption.file.clone()).collect();
    let original = TrashRecord::of_original(video.id, video.original.parts(), not_before).with_captions(captions);
    let mut trash = vec![original];
    let published = video.published.as_ref().map(|published| published.generation);
    let mut generations: Vec<Generation> = published.into_iter().chain([video.generation]).collect();
    generations.dedup();
    for generation in generations {
        if let Some(plan) = app.store.get::<Plan>(&RecordKey::plan(video.id, generation)).await? {
            trash.push(TrashRecord::of_plan(video.id, generation, &plan.value, not_before));
        }
    }
    Ok(trash)
}
