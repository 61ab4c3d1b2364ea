//! The three records of the cluster: layout, staged changes, migration.

use std::sync::Arc;

use tokio::sync::broadcast;
use triton_api::{Generation, VideoId, layout::LayoutRecord};

use super::{
    error::ClusterError,
    migration::{FinishedMigration, MigrationRecord},
    replacement::Replacements,
    staged::StagedLayout,
};
use crate::{
    catalog::{TrackRecord, VideoRecord},
    journal::{Change, Expect, Journal, RecordKey},
    store::{Changed, Snapshot, Store, StoreError, Stored},
};

/// Attempts at a change that others keep overtaking.
const ATTEMPTS_MAX: usize = 8;

/// Reads and changes the records of the cluster.
#[derive(Clone)]
pub(super) struct Records {
    journal: Arc<dyn Journal>,
    store: Store,
}

/// The records at one moment. A change names the revisions of those that it depends on, so that a torn look does no harm.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) layout: Stored<LayoutRecord>,
    pub(super) staged: Option<Stored<StagedLayout>>,
    pub(super) migration: Option<Stored<MigrationRecord>>,
}

impl State {
    /// What is staged; nothing where there is no record.
    pub(super) fn staged(&self) -> StagedLayout {
        self.staged.as_ref().map(|stored| stored.value.clone()).unwrap_or_default()
    }

    /// The running migration.
    pub(super) fn migration(&self) -> Option<&MigrationRecord> {
        self.migration.as_ref().map(|stored| &stored.value)
    }

    /// The condition that the migration is as it was read.
    pub(super) fn expect_migration(&self) -> Expect {
        unchanged(self.migration.as_ref())
    }

    /// The condition that nothing else was staged since.
    pub(super) fn expect_staged(&self) -> Expect {
        unchanged(self.staged.as_ref())
    }

    /// The condition that the layout is as it was read.
    pub(super) fn expect_layout(&self) -> Expect {
        Expect::At(self.layout.revision)
    }
}

/// The condition that a record is as it was read.
fn unchanged<T>(stored: Option<&Stored<T>>) -> Expect {
    stored.map_or(Expect::Absent, |stored| Expect::At(stored.revision))
}

impl Records {
    pub(super) fn new(journal: Arc<dyn Journal>, store: Store) -> Self {
        Self { journal, store }
    }

    /// The same records, changed through another journal.
    pub(super) fn through(&self, journal: Arc<dyn Journal>) -> Self {
        Self { journal, store: self.store.clone() }
    }

    pub(super) async fn layout(&self) -> Result<Option<Stored<LayoutRecord>>, StoreError> {
        self.store.get(&RecordKey::layout()).await
    }

    pub(super) async fn migration(&self) -> Result<Option<Stored<MigrationRecord>>, StoreError> {
        self.store.get(&RecordKey::migration()).await
    }

    pub(super) async fn replacements(&self) -> Result<Option<Stored<Replacements>>, StoreError> {
        self.store.get(&RecordKey::replacements()).await
    }

    pub(super) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.store.snapshot().await
    }

    /// Videos by their ids, from one on.
    pub(super) async fn videos_from(&self, id: &str, limit: u32) -> Result<Vec<VideoRecord>, StoreError> {
        let videos = self.store.list_from::<VideoRecord>("video/", id, limit).await?;
        Ok(videos.into_iter().map(|(_, stored)| stored.value).collect())
    }

    /// The renditions of a generation.
    pub(super) async fn tracks(
        &self,
        id: VideoId,
        generation: Generation,
        limit: u32,
    ) -> Result<Vec<TrackRecord>, StoreError> {
        let tracks = self.store.list::<TrackRecord>(&RecordKey::tracks_prefix(id, generation), limit).await?;
        Ok(tracks.into_iter().map(|(_, stored)| stored.value).collect())
    }

    /// The migration that ended last.
    pub(super) async fn last(&self) -> Result<Option<FinishedMigration>, StoreError> {
        Ok(self.store.get(&RecordKey::last_migration()).await?.map(|stored| stored.value))
    }

    pub(super) async fn state(&self) -> Result<State, ClusterError> {
        let staged = self.store.get(&RecordKey::staged_layout()).await?;
        let migration = self.migration().await?;
        let layout = self.layout().await?.ok_or(ClusterError::NoLayout)?;
        Ok(State { layout, staged, migration })
    }

    pub(super) async fn commit(&self, change: Change) -> Result<(), ClusterError> {
        self.journal.commit(change).await?;
        Ok(())
    }

    /// Decides on the present state and commits what was decided; decides again where somebody else was faster.
    ///
    /// `decide` returns the answer, and the change where there is something to change.
    pub(super) async fn decide<T>(
        &self,
        decide: impl Fn(&State) -> Result<(T, Option<Change>), ClusterError>,
    ) -> Result<T, ClusterError> {
        let mut attempt = 1;
        loop {
            let (answer, change) = decide(&self.state().await?)?;
            let Some(change) = change else { return Ok(answer) };
            match self.commit(change).await {
                Ok(()) => return Ok(answer),
                Err(error) if error.is_conflict() && attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn journal(&self) -> &dyn Journal {
        &*self.journal
    }

    pub(super) fn changes(&self) -> Changes {
        Changes { receiver: self.store.subscribe() }
    }
}

/// Changes of any record of the cluster.
pub(super) struct Changes {
    receiver: broadcast::Receiver<Changed>,
}

impl Changes {
    /// Waits for the next change; for ever where the store is closed.
    ///
    /// # Cancel safety
    /// Cancel safe: what is dropped while waiting is seen by the next call.
    pub(super) async fn next(&mut self) {
        loop {
            match self.receiver.recv().await {
                Ok(changed) if changed.keys.iter().all(|key| key.kind() != RecordKey::layout().kind()) => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
