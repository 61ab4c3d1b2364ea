//! What follows a failed attempt: another one later, or a failed video with a reason that a person understands.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use triton_api::{job::JobState, video::VideoState};

use super::{WorkError, lease::Leased};
use crate::{
    app::App,
    catalog::{JobRecord, TrashRecord, VideoRecord},
    journal::{Change, Expect, RecordKey},
    pipeline::Plan,
    upload::TRASH_GRACE,
};

/// The pause after the first failure; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(2);

/// Records a failed attempt.
pub(super) async fn failed(app: &App, leased: &Leased, error: &WorkError) -> Result<(), WorkError> {
    let failures = leased.job.failures + 1;
    let reason = reason(error);
    if error.is_permanent() || failures >= JobRecord::FAILURES_MAX {
        tracing::warn!(%reason, failures, "the video failed");
        return give_up(app, leased, &reason).await;
    }
    let backoff = SignedDuration::try_from(BACKOFF * 2_u32.pow(failures)).unwrap_or(SignedDuration::ZERO);
    tracing::warn!(%reason, failures, "the job is tried again");
    leased
        .write(app, Change::new(), |job| {
            job.state = JobState::Waiting;
            job.lease = None;
            job.failures = failures;
            job.progress = 0.0;
            job.not_before = Timestamp::now() + backoff;
            job.last_error = Some(reason);
        })
        .await
}

/// Fails the video, drops the other jobs and what they have made.
async fn give_up(app: &App, leased: &Leased, reason: &str) -> Result<(), WorkError> {
    let (id, generation) = (leased.job.video_id, leased.job.generation);
    let video = app.store.video(id).await?.ok_or(WorkError::Gone)?;
    let mut change = Change::new();
    if video.value.generation == generation {
        let record = VideoRecord { state: VideoState::Failed, reason: Some(reason.to_owned()), ..video.value };
        change = change.put(RecordKey::video(id), Expect::At(video.revision), &record)?;
    }
    if let Some(trash) = trash_of(app, &leased.job).await? {
        change = change.put(RecordKey::trash(id, generation), Expect::Anything, &trash)?;
    }
    leased
        .write(app, change, |job| {
            job.state = JobState::Failed;
            job.lease = None;
            job.failures += 1;
            job.last_error = Some(reason.to_owned());
        })
        .await?;
    Ok(app.delete_jobs(id, generation).await?)
}

async fn trash_of(app: &App, job: &JobRecord) -> Result<Option<TrashRecord>, WorkError> {
    let plan = app.store.get::<Plan>(&RecordKey::plan(job.video_id, job.generation)).await?;
    Ok(plan.map(|plan| TrashRecord::of_plan(job.video_id, job.generation, &plan.value, Timestamp::now() + TRASH_GRACE)))
}

/// What happened, for a person: the source's own fault in its own words, anything else as what it is to them.
fn reason(error: &WorkError) -> String {
    match error {
        WorkError::Pipeline(crate::pipeline::PipelineError::Source(_)) | WorkError::Empty => error.to_string(),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}
