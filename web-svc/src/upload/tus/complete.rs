//! The end of an upload that has all its bytes: a queued video. May be tried by anybody, any number of times.

use jiff::{SignedDuration, Timestamp};
use triton_api::{Generation, VideoId, video::VideoState};

use super::{
    CONFLICTS_MAX, TusError,
    claim::{delete_tails, find, is_conflict},
    detached,
    end::end,
    touch::touching,
};
use crate::{
    app::App,
    catalog::{UploadKind, UploadRecord, UploadState, VideoRecord},
    journal::{Change, Expect, JournalError, RecordKey},
    pipeline::SourceFault,
    store::Stored,
    upload::{UploadError, finish::queue},
};

/// How long a finished upload still tells that it has everything.
const FINISHED_STAYS: SignedDuration = SignedDuration::from_hours(1);

/// Examines an upload that has all its bytes and queues its video; does nothing with others. Goes on where the caller is
/// dropped.
///
/// # Errors
/// [`TusError::Refused`] where it is no video: then nothing is left of it.
pub async fn complete(app: &App, id: VideoId) -> Result<(), TusError> {
    detached(app, complete_now(app.clone(), id)).await
}

async fn complete_now(app: App, id: VideoId) -> Result<(), TusError> {
    touching(&app, id, try_complete(&app, id)).await
}

async fn try_complete(app: &App, id: VideoId) -> Result<(), TusError> {
    for _ in 0..CONFLICTS_MAX {
        let Stored { value: upload, .. } = find(app, id).await?;
        if upload.kind == UploadKind::Partial || upload.state != UploadState::Open || !upload.is_complete() {
            return Ok(());
        }
        let video = app.store.video(id).await?.ok_or(TusError::Gone)?;
        if video.value.state != VideoState::Uploading {
            return finished(app, id, &video.value).await;
        }
        match examine(app, &upload, video).await {
            Ok(record) => return finished(app, id, &record).await,
            // Another web service was faster: see what it made of it.
            Err(TusError::Superseded) => {}
            Err(error) => return Err(refused(app, id, error).await?),
        }
    }
    Err(TusError::Superseded)
}

async fn examine(app: &App, upload: &UploadRecord, video: Stored<VideoRecord>) -> Result<VideoRecord, TusError> {
    if upload.len_bytes == 0 {
        return Err(SourceFault::Empty.into());
    }
    let queued = queue(app, video.value, video.revision, upload.len_bytes).await;
    queued.map_err(|error| match error {
        // A probe that the stop of this process ended.
        UploadError::Probe(_) if app.shutdown.is_cancelled() => TusError::Stopping,
        other => other.into(),
    })
}

/// Removes what is no video.
async fn refused(app: &App, id: VideoId, error: TusError) -> Result<TusError, TusError> {
    let Some(reason) = error.refusal() else { return Ok(error) };
    end(app, id, Some(reason.clone())).await?;
    Ok(TusError::Refused(reason))
}

/// Notes that the video is queued, and removes what the upload left.
async fn finished(app: &App, id: VideoId, video: &VideoRecord) -> Result<(), TusError> {
    drop_former_attempts(app, video).await?;
    for _ in 0..CONFLICTS_MAX {
        let Some(Stored { value: mut record, revision }) =
            app.store.get::<UploadRecord>(&RecordKey::upload(id)).await?
        else {
            return Ok(());
        };
        if record.state != UploadState::Open {
            return Ok(());
        }
        let deleted = delete_tails(app, id, &record.tails).await;
        record.tails.retain(|token| !deleted.contains(token));
        record.state = UploadState::Finished;
        record.expires_at = Timestamp::now() + FINISHED_STAYS;
        let change = Change::new().put(RecordKey::upload(id), Expect::At(revision), &record)?;
        match app.journal.commit(change).await {
            Ok(_) => return Ok(()),
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(TusError::Superseded)
}

/// Plans and jobs of generations that a crash cut short before the video was queued; nothing ever leased them.
async fn drop_former_attempts(app: &App, video: &VideoRecord) -> Result<(), JournalError> {
    if video.published.is_some() {
        return Ok(());
    }
    for generation in 1..video.generation.get() {
        let generation = Generation::new(generation);
        app.journal.commit(Change::new().delete(RecordKey::plan(video.id, generation), Expect::Anything)).await?;
        app.delete_jobs(video.id, generation).await?;
    }
    Ok(())
}
