//! One process's side of a cluster: a store that follows a real etcd.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use tempfile::TempDir;
use triton_api::cluster::Worker;
use triton_testkit::eventually;
use uuid::Uuid;
use web_svc::{
    journal::{Etcd, Journal, Term},
    membership::Membership,
    store::{Durability, Store},
};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    pub(crate) id: String,
    pub(crate) store: Store,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) membership: Membership,
    etcd: Etcd,
    pub(crate) dir: Arc<TempDir>,
}

impl Process {
    /// Joins with an empty store.
    pub(crate) async fn join(url: &str) -> Self {
        Self::join_in(url, Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// Joins with the store that is in the directory.
    pub(crate) async fn join_in(url: &str, dir: Arc<TempDir>) -> Self {
        let store = open(dir.path()).await;
        let process = Uuid::now_v7();
        let own = Worker { id: process.to_string(), slots: 1, running: 0, started_at: Timestamp::now() };
        let etcd = Etcd::join(&url.parse().unwrap(), store.clone(), process, own, true).await.unwrap();
        let (journal, membership) = (etcd.journal(), etcd.membership());
        Self { id: process.to_string(), store, journal, membership, etcd, dir }
    }

    /// Leaves as a process does that is asked to stop; the store stays in its directory.
    pub(crate) async fn leave(self) -> Arc<TempDir> {
        self.etcd.leave().await;
        self.store.close().await;
        self.dir
    }

    /// Waits until this process leads.
    pub(crate) async fn leads(&self) -> Term {
        let mut term = self.membership.term();
        let term = tokio::time::timeout(DEADLINE, term.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
        term.unwrap()
    }

    /// Waits until the store has reached what another one has.
    pub(crate) async fn reaches(&self, other: &Self) {
        let goal = other.store.revision().await.unwrap();
        eventually(DEADLINE, || async { self.store.revision().await.unwrap() >= goal }).await;
    }
}

pub(crate) async fn open(dir: &Path) -> Store {
    Store::open(&dir.join("replica.db"), Durability::Replica).await.unwrap()
}
