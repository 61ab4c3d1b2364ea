//! The worker: fills its slots with jobs until the service stops.

use std::time::Duration;

use tokio::{sync::broadcast, task::JoinSet};

use super::{lease::lease_next, run::run};
use crate::{app::App, journal::RecordKey, store::Changed};

/// Looks for work at least this often: jobs become due by the passing of time, too.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A process's transcode slots.
pub struct Worker {
    app: App,
    slots: usize,
}

impl Worker {
    /// A worker with so many slots.
    pub fn new(app: App, slots: usize) -> Self {
        Self { app, slots }
    }

    /// Works until the service stops; what runs then is cancelled and given back.
    pub async fn run(self) {
        let mut changes = self.app.store.subscribe();
        let mut jobs = JoinSet::new();
        while !self.app.shutdown.is_cancelled() {
            self.fill(&mut jobs).await;
            self.app.membership.runs(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
            // Cancel safe: a join set, a broadcast receiver, a token and a sleep.
            tokio::select! {
                Some(joined) = jobs.join_next() => report(joined),
                () = new_work(&mut changes), if jobs.len() < self.slots => {}
                () = self.app.shutdown.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        while let Some(joined) = jobs.join_next().await {
            report(joined);
        }
    }

    async fn fill(&self, jobs: &mut JoinSet<()>) {
        while jobs.len() < self.slots {
            match lease_next(&self.app, &self.app.process_id).await {
                Ok(Some(leased)) => {
                    jobs.spawn(run(self.app.clone(), leased));
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot lease a job");
                    return;
                }
            }
        }
    }
}

fn report(joined: Result<(), tokio::task::JoinError>) {
    if let Err(error) = joined {
        tracing::error!(%error, "a job panicked; its lease runs out and it is tried again");
    }
}

/// Waits until a record changes that may make a job due.
async fn new_work(changes: &mut broadcast::Receiver<Changed>) {
    loop {
        match changes.recv().await {
            Ok(change) if !change.keys.iter().any(may_bring_work) => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The store lives as long as the worker: nothing will come, the sleep beside goes on.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Jobs are written before their video is queued, and nobody leases them until it is.
fn may_bring_work(key: &RecordKey) -> bool {
    matches!(key.kind(), "job" | "video")
}

#[cfg(test)]
mod tests {
    use triton_api::{Generation, VideoId};

    use super::*;

    #[test]
    fn the_write_that_queues_a_video_wakes_the_worker() {
        let id = VideoId::generate();
        assert!(may_bring_work(&RecordKey::video(id)));
        assert!(may_bring_work(&RecordKey::job(id, Generation::new(1), "chunk-00000")));
        assert!(!may_bring_work(&RecordKey::plan(id, Generation::new(1))));
    }
}
