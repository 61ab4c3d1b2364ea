//! Ending an upload before it became a video: cancelled, refused or expired.

use jiff::{SignedDuration, Timestamp};
use triton_api::{Generation, VideoId, video::VideoState};

use super::{CONFLICTS_MAX, TusError, claim::is_conflict, sweep::forget};
use crate::{
    app::App,
    catalog::{PART_BYTES, TrashRecord, UploadKind, UploadRecord, UploadState},
    journal::{Change, Expect, RecordKey},
    store::Stored,
    upload::receive::PARTS_IN_FLIGHT,
};

/// How long the reason of a refusal can be asked for.
const REASON_STAYS: SignedDuration = SignedDuration::from_mins(10);

/// Ends an upload with everything that belongs to it; what is gone already is fine. `reason` is what its sender is told.
///
/// # Errors
/// [`TusError::Finished`] where it has become a video that exists.
pub async fn end(app: &App, id: VideoId, reason: Option<String>) -> Result<(), TusError> {
    for _ in 0..CONFLICTS_MAX {
        let Some(upload) = app.store.get::<UploadRecord>(&RecordKey::upload(id)).await? else { return Ok(()) };
        if upload.value.state == UploadState::Ended {
            return Ok(());
        }
        let (change, generation) = ending(app, upload, reason.clone()).await?;
        match app.journal.commit(change).await {
            Ok(_) => {
                // Jobs of an attempt to queue it that a crash cut short.
                for generation in 1..=generation.get() {
                    app.delete_jobs(id, Generation::new(generation)).await?;
                }
                return forget(app, id).await;
            }
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(TusError::Superseded)
}

/// The change that ends an upload, and the last generation that its video may have jobs of.
async fn ending(
    app: &App,
    upload: Stored<UploadRecord>,
    reason: Option<String>,
) -> Result<(Change, Generation), TusError> {
    let Stored { value: mut record, revision } = upload;
    let (id, now) = (record.id, Timestamp::now());
    let mut change = Change::new();
    let mut generation = Generation::new(0);
    if record.kind != UploadKind::Partial
        && let Some(video) = app.store.video(id).await?
    {
        if video.value.state != VideoState::Uploading {
            return Err(TusError::Finished);
        }
        generation = video.value.generation;
        change = change.delete(RecordKey::video(id), Expect::At(video.revision));
        for former in 1..=generation.get() {
            change = change.delete(RecordKey::plan(id, Generation::new(former)), Expect::Anything);
        }
    }
    let parts = parts_at_most(&record);
    if record.state == UploadState::Open && parts > 0 {
        let trash = TrashRecord::of_original(id, parts, now);
        change = change.put(RecordKey::trash(id, trash.generation), Expect::Anything, &trash)?;
    }
    record.expires_at = if reason.is_some() { now + REASON_STAYS } else { now };
    record.state = UploadState::Ended;
    record.reason = reason;
    record.tail = None;
    Ok((change.put(RecordKey::upload(id), Expect::At(revision), &record)?, generation))
}

/// Parts that may have been written, or may still be by a request that does not know of the end yet: it writes so many
/// ahead of what it has committed, and it can commit nothing any more.
fn parts_at_most(record: &UploadRecord) -> u64 {
    if record.token == 0 {
        return 0;
    }
    let ahead = PARTS_IN_FLIGHT as u64 + 1;
    (record.offset_bytes.div_ceil(PART_BYTES) + ahead).min(record.parts())
}
