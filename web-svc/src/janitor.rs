//! The janitor: deletes blobs that nothing refers to any more, and uploads that nobody finishes.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::broadcast, time::Instant};
use triton_api::{Generation, VideoId, video::VideoState};

use crate::{
    app::App,
    catalog::{TrashRecord, VideoRecord},
    journal::{Change, Expect, JournalError, RecordKey},
    store::{Changed, Store, StoreError, Stored},
    upload,
};

/// The janitor looks at least this often: trash becomes due by the passing of time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Trash records of one round.
const ROUND_MAX: u32 = 32;
/// Uploads that are looked at in one round.
const UPLOADS_MAX: u32 = 10_000;
/// How long the finished jobs of a ready video can be looked at.
const FINISHED_JOBS_STAY: SignedDuration = SignedDuration::from_hours(24);
/// Jobs dropped in one round: as many as one change takes.
const IDLE_JOBS_ROUND_MAX: u32 = 100;
/// Deletes at once.
const DELETES_IN_FLIGHT: usize = 8;

/// An upload whose process is gone is given up after this long: a process that is only slow to say that it lives is not
/// robbed of what it receives.
const UPLOADER_GONE: Duration = Duration::from_secs(30);

/// Cleans up after the uploads that this process received, until the service stops. Every process does that.
pub async fn tidy_own_uploads(app: App) {
    while !app.shutdown.is_cancelled() {
        if let Err(error) = abandon_own_uploads(&app).await {
            tracing::warn!(%error, "the uploads that broke off cannot be looked at");
        }
        // Cancel safe: a notification, a token and a sleep.
        tokio::select! {
            () = app.uploads.ended() => {}
            () = app.shutdown.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    app.uploads.settle().await;
}

async fn abandon_own_uploads(app: &App) -> Result<(), StoreError> {
    for video in app.store.videos_in_state(VideoState::Uploading, UPLOADS_MAX).await? {
        let is_own = video.value.uploader.as_deref() == Some(&*app.process_id);
        if is_own && !app.uploads.is_active(video.value.id) {
            abandon(app, video.value.id, video.value.original.parts()).await;
        }
    }
    Ok(())
}

/// Cleans up after everybody until `app.shutdown`. The leader does that.
pub async fn run(app: App) {
    let mut changes = app.store.subscribe();
    let (mut orphans, mut sightings) = (Orphans::new(), upload::tus::Sightings::default());
    while !app.shutdown.is_cancelled() {
        if let Err(error) = round(&app, &mut orphans, &mut sightings).await {
            tracing::warn!(%error, "the janitor could not finish its round");
        }
        // Cancel safe: a broadcast receiver, a token and a sleep.
        tokio::select! {
            () = new_trash(&mut changes) => {}
            () = app.shutdown.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Waits until some trash record changes.
async fn new_trash(changes: &mut broadcast::Receiver<Changed>) {
    loop {
        match changes.recv().await {
            Ok(change) if !change.keys.iter().any(|key| key.kind() == "trash") => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Since when the process of an upload has not been seen.
type Orphans = HashMap<VideoId, Instant>;

async fn round(app: &App, orphans: &mut Orphans, sightings: &mut upload::tus::Sightings) -> Result<(), StoreError> {
    upload::tus::sweep(app, sightings).await?;
    abandon_orphans(app, orphans).await?;
    let now = Timestamp::now();
    for (key, trash) in app.store.list::<TrashRecord>("trash/", ROUND_MAX).await? {
        if trash.value.not_before <= now && !app.shutdown.is_cancelled() {
            empty(app, key, trash).await;
        }
    }
    forget_idle_jobs(app, now).await?;
    count_jobs(&app.store).await
}

/// Gives up the uploads whose process is gone: nobody will send the rest.
async fn abandon_orphans(app: &App, orphans: &mut Orphans) -> Result<(), StoreError> {
    let now = Instant::now();
    let mut still = Orphans::new();
    for video in app.store.videos_in_state(VideoState::Uploading, UPLOADS_MAX).await? {
        let Some(uploader) = &video.value.uploader else { continue };
        if app.membership.is_live(uploader) {
            continue;
        }
        let since = orphans.get(&video.value.id).copied().unwrap_or(now);
        // A process that is alone need not wait: nobody but its former self can have received it.
        if app.membership.is_alone() || now.duration_since(since) > UPLOADER_GONE {
            abandon(app, video.value.id, video.value.original.parts()).await;
        } else {
            still.insert(video.value.id, since);
        }
    }
    *orphans = still;
    Ok(())
}

/// Drops the jobs of videos that have been ready for a while and have nothing else to be done, for an hour of video has hundreds,
/// and of deleted ones.
async fn forget_idle_jobs(app: &App, now: Timestamp) -> Result<(), StoreError> {
    let jobs = app.store.idle_jobs(now - FINISHED_JOBS_STAY, IDLE_JOBS_ROUND_MAX).await?;
    if jobs.is_empty() {
        return Ok(());
    }
    let change = jobs.into_iter().fold(Change::new(), |change, key| change.delete(key, Expect::Anything));
    if let Err(error) = app.journal.commit(change).await {
        tracing::warn!(%error, "cannot drop finished jobs yet");
    }
    Ok(())
}

async fn count_jobs(store: &Store) -> Result<(), StoreError> {
    for (state, jobs) in store.job_counts().await? {
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
        metrics::gauge!("triton_jobs", "state" => state).set(jobs as f64);
    }
    Ok(())
}

/// Removes an upload whose request is gone. How many parts it wrote is not recorded: they are found on the ring.
async fn abandon(app: &App, id: VideoId, parts_at_least: u64) {
    let mut parts = parts_at_least;
    // Parts are written two at a time and may land in either order, so one gap is no end.
    loop {
        match (exists(app, id, parts).await, exists(app, id, parts + 1).await) {
            (Some(false), Some(false)) => break,
            (Some(_), Some(_)) => parts += 1,
            // What cannot be asked about now is asked about in a later round: nothing may be forgotten.
            (None, _) | (_, None) => return,
        }
    }
    tracing::info!(video.id = %id, parts, "removing an upload that was broken off");
    upload::discard(app, id, parts + 2).await;
}

/// Whether a part is there; `None` where too few nodes can tell.
async fn exists(app: &App, id: VideoId, part: u64) -> Option<bool> {
    match app.ring.head(&VideoRecord::original_part(id, part)).await {
        Ok(_) => Some(true),
        Err(error) if error.is_absent() => Some(false),
        Err(_) => None,
    }
}

/// Deletes the blobs of a trash record, then the record.
async fn empty(app: &App, key: RecordKey, trash: Stored<TrashRecord>) {
    let deletes = stream::iter(trash.value.keys()).map(|blob| async move {
        let deleted = app.ring.delete(&blob).await;
        deleted.inspect_err(|error| tracing::warn!(%blob, %error, "cannot delete a blob yet")).is_ok()
    });
    let all = deletes.buffer_unordered(DELETES_IN_FLIGHT).all(std::future::ready).await;
    if !all {
        return;
    }
    match forget(app, key, &trash).await {
        Ok(()) | Err(JournalError::Conflict { .. }) => {}
        Err(error) => tracing::warn!(%error, "cannot forget emptied trash yet"),
    }
}

/// Drops the record and the metadata of the generation that it stood for.
async fn forget(app: &App, key: RecordKey, trash: &Stored<TrashRecord>) -> Result<(), JournalError> {
    let (id, generation) = (trash.value.video_id, trash.value.generation);
    let mut change = Change::new().delete(key, Expect::At(trash.revision));
    if generation != Generation::new(0) {
        app.delete_jobs(id, generation).await?;
        change = change.delete(RecordKey::plan(id, generation), Expect::Anything);
        for track in track_keys(&app.store, id, generation).await.map_err(JournalError::Unavailable)? {
            change = change.delete(track, Expect::Anything);
        }
    }
    app.journal.commit(change).await.map(drop)
}

async fn track_keys(store: &Store, id: VideoId, generation: Generation) -> Result<Vec<RecordKey>, StoreError> {
    let tracks = store.list::<serde_json::Value>(&RecordKey::tracks_prefix(id, generation), 100).await?;
    Ok(tracks.into_iter().map(|(key, _)| key).collect())
}
