//! Metadata, opened: the store, the journal, and who else there is.

use std::sync::Arc;

use triton_api::cluster::Worker;
use uuid::Uuid;

use super::StartError;
use crate::{
    config::{self, Config, Role},
    journal::{Etcd, Journal, SqliteJournal},
    membership::Membership,
    store::{Durability, Store},
};

/// What of this process lives as long as its metadata is open.
pub(super) struct Metadata {
    pub(super) store: Store,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) membership: Membership,
    etcd: Option<Etcd>,
}

impl Metadata {
    /// Opens what `--metadata` names.
    pub(super) async fn open(config: &Config, process: Uuid, own: Worker) -> Result<Self, StartError> {
        let is_worker = config.role == Some(Role::Worker);
        match config.metadata() {
            config::Metadata::Sqlite(_) if is_worker => Err(StartError::LonelyWorker),
            config::Metadata::Sqlite(path) => {
                let store = Store::open(&path, Durability::Full).await?;
                let journal = Arc::new(SqliteJournal::new(store.clone()));
                Ok(Self { store, journal, membership: Membership::alone(own), etcd: None })
            }
            config::Metadata::Etcd(address) => {
                let store = Store::open(&config.replica(), Durability::Replica).await?;
                let etcd = Etcd::join(&address, store.clone(), process, own, !is_worker).await?;
                Ok(Self { store, journal: etcd.journal(), membership: etcd.membership(), etcd: Some(etcd) })
            }
        }
    }

    /// Leaves the others and closes the store.
    pub(super) async fn close(self) {
        if let Some(etcd) = self.etcd {
            etcd.leave().await;
        }
        self.store.close().await;
    }
}
