//! The end of an upload: the probe, and the jobs of the first generation. Or its undoing.

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use triton_api::{
    Generation, VideoId,
    job::JobState,
    video::{VideoState, Visibility},
};

use super::UploadError;
use crate::{
    app::App,
    catalog::{JobKind, JobRecord, Rest, Title, TrashRecord, VideoRecord},
    journal::{CHANGE_OPS_MAX, Change, Expect, JournalError, RecordKey, Revision},
    pipeline::Plan,
};

/// Tries to remove the traces of a failed upload at once; the janitor tries later.
const DISCARD_TRIES: u32 = 3;

/// What the sender said about the video.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) title: Option<Title>,
    pub(super) description: Option<String>,
    pub(super) visibility: Option<Visibility>,
}

impl Details {
    /// Puts them into the video's record.
    pub(super) fn apply(self, record: &mut VideoRecord) {
        if let Some(title) = self.title {
            record.title = title.into_string();
        }
        record.description = self.description.unwrap_or_default();
        record.visibility = self.visibility.unwrap_or_default();
    }
}

/// Sets what the sender said, probes a received original and queues its transcode.
pub(super) async fn finish(
    app: &App,
    mut record: VideoRecord,
    revision: Revision,
    len_bytes: u64,
    details: Details,
) -> Result<VideoRecord, UploadError> {
    details.apply(&mut record);
    queue(app, record, revision, len_bytes).await
}

/// Probes a received original and queues its transcode.
pub(super) async fn queue(
    app: &App,
    mut record: VideoRecord,
    revision: Revision,
    len_bytes: u64,
) -> Result<VideoRecord, UploadError> {
    record.original.len_bytes = len_bytes;
    let source = app.sources.open(record.id, len_bytes);
    let cancel = CancellationToken::new();
    let _cancel_on_drop = cancel.clone().drop_guard();
    // Boxed: its state is large, and part of every request that may end an upload.
    let info = Box::pin(app.pipeline.probe(source.source(), &cancel)).await?;
    let plan = Box::pin(app.pipeline.plan(info, source.source(), &cancel)).await?;
    Box::pin(create_generation(app, record, revision, &plan)).await.map_err(UploadError::Journal)
}

/// Creates the next generation of a video: its plan, its jobs, and the video's state `queued`.
///
/// A long video has more jobs than one change takes. So the generation is reserved first, which only one caller can; then
/// come plan and jobs, which nobody leases while the video is in another state; and last the state. Where the video was
/// deleted meanwhile, plan and jobs go again.
pub async fn create_generation(
    app: &App,
    mut record: VideoRecord,
    revision: Revision,
    plan: &Plan,
) -> Result<VideoRecord, JournalError> {
    record.generation = record.generation.next();
    let id = record.id;
    let reserve = Change::new().put(RecordKey::video(id), Expect::At(revision), &record)?;
    let reserved = app.journal.commit(reserve).await?;
    record.state = VideoState::Queued;
    record.reason = None;
    record.uploader = None;
    let created = create_jobs(app, &record, reserved, plan).await;
    // Only a conflict is sure not to have been committed: the video was deleted or changed.
    if let Err(JournalError::Conflict { .. }) = created {
        unstage(app, id, record.generation).await?;
    }
    created.map(|()| record)
}

async fn create_jobs(app: &App, record: &VideoRecord, reserved: Revision, plan: &Plan) -> Result<(), JournalError> {
    write_jobs(app, record.id, record.generation, plan, Expect::Anything).await?;
    app.journal.commit(Change::new().put(RecordKey::video(record.id), Expect::At(reserved), record)?).await.map(drop)
}

/// Writes plan and jobs of a generation that the video does not have yet, so that nobody leases them. What is there is left: who
/// does this at the same time, or did it before a crash, writes the same.
pub(crate) async fn stage(app: &App, id: VideoId, generation: Generation, plan: &Plan) -> Result<(), JournalError> {
    write_jobs(app, id, generation, plan, Expect::Absent).await
}

/// Takes back what was staged and never queued.
pub(crate) async fn unstage(app: &App, id: VideoId, generation: Generation) -> Result<(), JournalError> {
    app.journal.commit(Change::new().delete(RecordKey::plan(id, generation), Expect::Anything)).await?;
    app.delete_jobs(id, generation).await
}

/// Where they are expected to be absent, those that are not are left.
async fn write_jobs(
    app: &App,
    id: VideoId,
    generation: Generation,
    plan: &Plan,
    expect: Expect,
) -> Result<(), JournalError> {
    let commit = async |change| match app.journal.commit(change).await {
        Err(JournalError::Conflict { .. }) if expect == Expect::Absent => Ok(()),
        ended => ended.map(drop),
    };
    commit(Change::new().put(RecordKey::plan(id, generation), expect, plan)?).await?;
    for batch in jobs(id, generation, plan).chunks(CHANGE_OPS_MAX) {
        let mut change = Change::new();
        for job in batch {
            change = change.put(key(job), expect, job)?;
        }
        commit(change).await?;
    }
    Ok(())
}

fn key(job: &JobRecord) -> RecordKey {
    RecordKey::job(job.video_id, job.generation, &job.kind.to_string())
}

/// The jobs of a plan, as they are before anybody has leased one.
pub fn jobs(video_id: VideoId, generation: Generation, plan: &Plan) -> Vec<JobRecord> {
    let now = Timestamp::now();
    let job = |kind, priority, cost_frames| JobRecord {
        v: 1,
        video_id,
        generation,
        kind,
        priority,
        cost_frames,
        state: JobState::Waiting,
        failures: 0,
        lost_leases: 0,
        leases: 0,
        lease: None,
        not_before: now,
        progress: 0.0,
        last_error: None,
        result: None,
        created_at: now,
        rest: Rest::new(),
    };
    // The smaller the number, the sooner: of all videos the first chunks, then the second ones, and so on, so that a long
    // video does not starve a short one.
    let chunks = plan
        .grid
        .chunks
        .iter()
        .map(|chunk| job(JobKind::Chunk { index: chunk.index }, 2 * i64::from(chunk.index), chunk.frames()));
    let extra = plan.grid.chunks.iter().filter(|_| !plan.extra.is_empty());
    let extra = extra.map(|chunk| {
        let priority = JobRecord::EXTRA_PRIORITY + i64::from(chunk.index);
        // About twice the work of the whole ladder.
        job(JobKind::Extra { index: chunk.index }, priority, 2 * chunk.frames())
    });
    let last = extra.clone().next_back();
    let extra = extra.chain(last.map(|last| job(JobKind::FinalizeExtra, last.priority + 1, 0)));
    // Sound comes after the first chunk, the poster after the second. They cost little beside the pictures; what exactly
    // matters only to the progress bar.
    let frames = plan.info.video.frames;
    let audio = (0..).zip(&plan.audio).map(|(index, _)| job(JobKind::Audio { index }, 1, frames / 20 + 1));
    let stills = [job(JobKind::Poster, 3, frames / 20 + 1), job(JobKind::Finalize, 0, 0)];
    chunks.chain(audio).chain(stills).chain(extra).collect()
}

/// Removes a video whose upload failed, with everything that it left; what cannot be done now is left to the janitor.
pub async fn discard(app: &App, id: VideoId, parts: u64) {
    for _ in 0..DISCARD_TRIES {
        match try_discard(app, id, parts).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(video.id = %id, %error, "cannot remove a failed upload yet"),
        }
    }
}

async fn try_discard(app: &App, id: VideoId, parts: u64) -> Result<(), UploadError> {
    let Some(video) = app.store.video(id).await? else { return Ok(()) };
    if video.value.state != VideoState::Uploading {
        return Ok(());
    }
    let parts = parts.max(video.value.original.parts());
    let trash = TrashRecord::of_original(id, parts, Timestamp::now());
    let mut change = Change::new()
        .delete(RecordKey::video(id), Expect::At(video.revision))
        .delete(RecordKey::plan(id, Generation::new(1)), Expect::Anything);
    if trash.parts > 0 {
        change = change.put(RecordKey::trash(id, trash.generation), Expect::Anything, &trash)?;
    }
    app.journal.commit(change).await?;
    Ok(app.delete_jobs(id, Generation::new(1)).await?)
}

/// How long the blobs of something deleted stay, so that who is reading them can finish.
pub(crate) const TRASH_GRACE: SignedDuration = SignedDuration::from_secs(10);
