//! Leases: the claim of one worker on one job, renewed by progress and guarded by the record's revision.
//!
//! Every write of a leased job is conditional on the revision of the worker's own last write. So a worker that was away
//! longer than its lease cannot commit anything once somebody else has leased the job: the revision is the fencing token
//! that the journal checks, and `Lease::token` its readable form.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use triton_api::{job::JobState, video::VideoState};

use super::WorkError;
use crate::{
    app::App,
    catalog::{JobRecord, Lease, Rest},
    journal::{Change, Expect, JournalError, RecordKey, Revision},
    store::Abilities,
};

/// How long a lease lasts without renewal.
pub(super) const LEASE: Duration = Duration::from_secs(20);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// Candidates looked at when a slot is free; others may take some of them first.
const CANDIDATES: u32 = 8;

/// A job with this process's lease on it.
pub(super) struct Leased {
    pub(super) key: RecordKey,
    /// The record as last written by this process, with its revision. Held over the commit of a renewal: the writes of
    /// one lease come one after the other.
    current: Mutex<(JobRecord, Revision)>,
    pub(super) job: JobRecord,
    pub(super) progress: watch::Sender<f32>,
    /// Cancelled when the lease is lost or the service stops.
    pub(super) cancel: CancellationToken,
}

/// Leases the most urgent job that is due, if there is one.
pub(super) async fn lease_next(app: &App, worker: &str) -> Result<Option<Arc<Leased>>, WorkError> {
    let now = Timestamp::now();
    let abilities = Abilities { av1: app.pipeline.toolchain().has_av1() };
    for (key, stored) in app.store.runnable_jobs(now, abilities, CANDIDATES).await? {
        let mut job = stored.value;
        job.leases += 1;
        job.state = JobState::Running;
        job.progress = 0.0;
        let rest = Rest::new();
        job.lease = Some(Lease { worker: worker.to_owned(), token: job.leases, expires_at: expiry(now), rest });
        let mut change = Change::new().put(key.clone(), Expect::At(stored.revision), &job)?;
        let Some(video) = app.store.video(job.video_id).await? else { continue };
        if video.value.state == VideoState::Queued {
            let mut record = video.value;
            record.state = VideoState::Processing;
            change = change.put(RecordKey::video(job.video_id), Expect::At(video.revision), &record)?;
        }
        match app.journal.commit(change).await {
            Ok(revision) => return Ok(Some(Arc::new(Leased::new(app, key, job, revision)))),
            Err(JournalError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

impl Leased {
    fn new(app: &App, key: RecordKey, job: JobRecord, revision: Revision) -> Self {
        Self {
            key,
            current: Mutex::new((job.clone(), revision)),
            job,
            progress: watch::Sender::new(0.0),
            cancel: app.shutdown.child_token(),
        }
    }

    /// Renews the lease until dropped; cancels the work when the lease is lost.
    pub(super) async fn keep(&self, app: &App) {
        let mut pause = tokio::time::interval(RENEW_EVERY);
        pause.tick().await;
        loop {
            pause.tick().await;
            let progress = *self.progress.borrow();
            let renewed = self
                .write(app, Change::new(), |job| {
                    job.progress = progress;
                    if let Some(lease) = &mut job.lease {
                        lease.expires_at = expiry(Timestamp::now());
                    }
                })
                .await;
            match renewed {
                Ok(()) => {}
                Err(WorkError::Journal(JournalError::Conflict { .. })) => {
                    tracing::info!(job = %self.key, "the lease is lost: the job was deleted or leased by another worker");
                    self.cancel.cancel();
                    return;
                }
                // The lease lasts for several more tries.
                Err(error) => tracing::warn!(job = %self.key, %error, "cannot renew a lease"),
            }
        }
    }

    /// Changes the job's record together with `change`, if the lease still holds.
    pub(super) async fn write(
        &self,
        app: &App,
        change: Change,
        edit: impl FnOnce(&mut JobRecord),
    ) -> Result<(), WorkError> {
        let mut current = self.current.lock().await;
        self.catch_up(app, &mut current).await?;
        let mut job = current.0.clone();
        edit(&mut job);
        let change = change.put(self.key.clone(), Expect::At(current.1), &job)?;
        let revision = app.journal.commit(change).await?;
        *current = (job, revision);
        Ok(())
    }

    /// Ends the job, done, with what it has made, together with `change`.
    pub(super) async fn finish(
        &self,
        app: &App,
        change: Change,
        result: Option<serde_json::Value>,
    ) -> Result<(), WorkError> {
        self.write(app, change, |job| {
            job.state = JobState::Done;
            job.lease = None;
            job.progress = 1.0;
            job.last_error = None;
            job.result = result;
        })
        .await
    }

    /// Takes over the record's revision where this very lease wrote it: a renewal may have been committed and its answer
    /// dropped, when the work ended at that moment.
    async fn catch_up(&self, app: &App, current: &mut (JobRecord, Revision)) -> Result<(), WorkError> {
        if let Some(stored) = app.store.get::<JobRecord>(&self.key).await?
            && stored.revision > current.1
            && stored.value.lease.as_ref().is_some_and(|lease| Some(lease.token) == self.token())
        {
            *current = (stored.value, stored.revision);
        }
        Ok(())
    }

    fn token(&self) -> Option<u64> {
        self.job.lease.as_ref().map(|lease| lease.token)
    }

    /// Gives the job back unharmed, for somebody else or for after the restart.
    pub(super) async fn give_back(&self, app: &App) -> Result<(), WorkError> {
        self.write(app, Change::new(), |job| {
            job.state = JobState::Waiting;
            job.lease = None;
            job.progress = 0.0;
        })
        .await
    }
}

/// When a lease that is taken or renewed now will have run out: for people, as clocks differ.
fn expiry(now: Timestamp) -> Timestamp {
    now + SignedDuration::try_from(LEASE).unwrap_or(SignedDuration::MAX)
}
