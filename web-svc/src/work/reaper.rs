//! The leader frees jobs whose worker is gone.
//!
//! A lease has run out when its record has not changed for as long as a lease lasts, by the leader's own clock: what the
//! clocks of two machines say is never compared. Where the worker is known to be gone it is freed at once.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep};
use triton_api::job::JobState;

use super::{WorkError, lease::LEASE};
use crate::{
    app::App,
    catalog::JobRecord,
    journal::{Change, Expect, JournalError, RecordKey, Revision},
    store::JobRow,
};

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Leases that are looked at.
const LEASES_MAX: u32 = 10_000;

/// Since when each lease is as it is.
type Seen = HashMap<RecordKey, (Revision, Instant)>;

/// Frees jobs until `app.shutdown`.
pub async fn run(app: App) {
    let mut seen = Seen::new();
    while !app.shutdown.is_cancelled() {
        if let Err(error) = round(&app, &mut seen).await {
            tracing::warn!(%error, "jobs of workers that are gone could not be freed yet");
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

async fn round(app: &App, seen: &mut Seen) -> Result<(), WorkError> {
    let leased = app.store.leased_jobs(LEASES_MAX).await?;
    let now = Instant::now();
    let mut still = Seen::with_capacity(leased.len());
    for row in leased {
        let (key, stored) = &row;
        let since = match seen.get(key) {
            Some((revision, since)) if *revision == stored.revision => *since,
            _ => now,
        };
        let is_gone = stored.value.lease.as_ref().is_none_or(|lease| !app.membership.is_live(&lease.worker));
        if is_gone || now.duration_since(since) > LEASE {
            free(app, row).await?;
        } else {
            still.insert(key.clone(), (stored.revision, since));
        }
    }
    *seen = still;
    Ok(())
}

async fn free(app: &App, (key, stored): JobRow) -> Result<(), WorkError> {
    let worker = stored.value.lease.as_ref().map(|lease| lease.worker.clone());
    let lost_leases = stored.value.lost_leases + 1;
    let job = JobRecord { state: JobState::Waiting, lease: None, progress: 0.0, lost_leases, ..stored.value };
    match app.journal.commit(Change::new().put(key.clone(), Expect::At(stored.revision), &job)?).await {
        Ok(_) => {
            tracing::info!(job = %key, worker, "a job is free again: its worker is gone");
            metrics::counter!("triton_leases_lost_total").increment(1);
            Ok(())
        }
        // It was renewed, or it ended.
        Err(JournalError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
