//! What follows a failed attempt: another one later, or a failed video with a reason that a person understands.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use triton_api::{job::JobState, video::VideoState};

use super::{WorkError, lease::Leased};
use crate::{
    app::App,
    catalog::{JobRecord, TrashRecord, VideoRecord},
    journal::{Change, Expect, JournalError, RecordKey},
    pipeline::{PipelineError, Plan},
    upload::{TRASH_GRACE, stage, unstage},
};

/// The pause after the first failure; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(2);
/// The pause while the storage nodes or the database are away.
const OUTAGE_PAUSE: Duration = Duration::from_secs(8);

/// Records a failed attempt.
pub(super) async fn failed(app: &App, leased: &Leased, error: &WorkError) -> Result<(), WorkError> {
    tracing::warn!(cause = chain(error), failures = leased.job.failures, "an attempt failed");
    let failures = leased.job.failures;
    if let WorkError::Journal(JournalError::Conflict { .. }) = error {
        return try_again(app, leased, failures, Duration::ZERO, "the video was changed at the same moment").await;
    }
    if let WorkError::Journal(_) | WorkError::Store(_) = error {
        return try_again(app, leased, failures, OUTAGE_PAUSE, "the metadata cannot be written or read").await;
    }
    if error.is_storage_outage() {
        return try_again(app, leased, failures, OUTAGE_PAUSE, "the storage nodes do not answer").await;
    }
    let failures = failures + 1;
    if let WorkError::Pipeline(PipelineError::Unfit(_)) = error {
        // Twice: what looks like damage may have been a connection that broke off.
        return match failures {
            0..=1 => try_again(app, leased, failures, BACKOFF, &chain(error)).await,
            _ => encode_all(app, leased).await,
        };
    }
    if error.is_permanent() || failures >= JobRecord::FAILURES_MAX {
        // What is beside the ladder fails no video.
        return if leased.job.kind.is_extra() {
            do_without(app, leased, &chain(error)).await
        } else {
            give_up(app, leased, &reason(error)).await
        };
    }
    try_again(app, leased, failures, BACKOFF * 2_u32.pow(failures), &chain(error)).await
}

async fn try_again(
    app: &App,
    leased: &Leased,
    failures: u32,
    pause: Duration,
    last_error: &str,
) -> Result<(), WorkError> {
    let pause = SignedDuration::try_from(jittered(pause)).unwrap_or(SignedDuration::ZERO);
    leased
        .write(app, Change::new(), |job| {
            job.state = JobState::Waiting;
            job.lease = None;
            job.failures = failures;
            job.progress = 0.0;
            job.not_before = Timestamp::now() + pause;
            job.last_error = Some(last_error.to_owned());
        })
        .await
}

/// A random part of up to a half shorter, so that jobs that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    // A version 4 UUID is a random number that is at hand.
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    pause.saturating_sub(pause / 2 * random / 255)
}

/// Ends a job of the extra set without what it would have made: manifests list no rendition that lacks a part.
async fn do_without(app: &App, leased: &Leased, last_error: &str) -> Result<(), WorkError> {
    tracing::error!(last_error, "the video will have no renditions in AV1");
    leased
        .write(app, Change::new(), |job| {
            job.state = JobState::Done;
            job.lease = None;
            job.failures += 1;
            job.last_error = Some(last_error.to_owned());
        })
        .await
}

/// Fails the video, drops the other jobs and what they have made.
async fn give_up(app: &App, leased: &Leased, reason: &str) -> Result<(), WorkError> {
    let (id, generation) = (leased.job.video_id, leased.job.generation);
    let video = app.store.video(id).await?.ok_or(WorkError::Gone)?;
    let mut change = Change::new();
    if video.value.generation == generation {
        // What had begun to play goes with the rest of it.
        let published = video.value.published_of_another(generation).cloned();
        let record =
            VideoRecord { state: VideoState::Failed, reason: Some(reason.to_owned()), published, ..video.value };
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

/// Makes the video once more with every rendition encoded; what was made of this generation goes.
///
/// The next generation's plan and jobs are written first; one change then makes it the video's and drops this one. Whatever comes
/// in between, this job is still there, and is tried again.
async fn encode_all(app: &App, leased: &Leased) -> Result<(), WorkError> {
    let (id, generation) = (leased.job.video_id, leased.job.generation);
    let plan = app.store.get::<Plan>(&RecordKey::plan(id, generation)).await?.ok_or(WorkError::Gone)?.value;
    let trash = TrashRecord::of_plan(id, generation, &plan, Timestamp::now() + TRASH_GRACE);
    let plan = Plan { extra: plan.extra, preset: plan.preset, ..Plan::new(plan.info) };
    let next = generation.next();
    stage(app, id, next, &plan).await?;
    let video = app.store.video(id).await?;
    let is_in_work = |of: &VideoRecord| {
        of.generation == generation && matches!(of.state, VideoState::Queued | VideoState::Processing)
    };
    let Some(video) = video.as_ref().filter(|video| is_in_work(&video.value)) else {
        // Deleted, or failed; or another job of it came first.
        let came_first = video.is_some_and(|video| video.value.generation == next);
        return if came_first { Ok(()) } else { Ok(unstage(app, id, next).await?) };
    };
    let published = video.value.published_of_another(generation).cloned();
    let record = VideoRecord { generation: next, state: VideoState::Queued, published, ..video.value.clone() };
    let change = Change::new().put(RecordKey::video(id), Expect::At(video.revision), &record)?.put(
        RecordKey::trash(id, generation),
        Expect::Anything,
        &trash,
    )?;
    leased
        .write(app, change, |job| {
            job.state = JobState::Failed;
            job.lease = None;
        })
        .await?;
    tracing::info!("the source's own pictures are damaged: all renditions are encoded");
    Ok(app.delete_jobs(id, generation).await?)
}

async fn trash_of(app: &App, job: &JobRecord) -> Result<Option<TrashRecord>, WorkError> {
    let plan = app.store.get::<Plan>(&RecordKey::plan(job.video_id, job.generation)).await?;
    Ok(plan.map(|plan| TrashRecord::of_plan(job.video_id, job.generation, &plan.value, Timestamp::now() + TRASH_GRACE)))
}

/// What happened, for whoever uploaded the video: the source's own fault in its own words. Anything else is the
/// operator's business, who finds it in the log and in the list of jobs.
fn reason(error: &WorkError) -> String {
    match error {
        WorkError::Pipeline(PipelineError::Source(_)) | WorkError::Empty => error.to_string(),
        _ => "The video could not be processed on this server, several times. Try again; if that fails, its operator finds \
              the cause in the log."
            .to_owned(),
    }
}

/// An error with its sources, joined by colons.
fn chain(error: &WorkError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !text.ends_with(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
        source = cause.source();
    }
    text
}
