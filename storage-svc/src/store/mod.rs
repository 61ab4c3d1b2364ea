//! The blob store on one disk. All functions block: call them on a blocking thread.

mod dir;
mod disk;
mod error;
mod files;
mod format;
mod get;
mod inventory;
mod layout_book;
mod ledger;
mod name;
mod offline;
mod orphan;
mod put;
mod quarantine;
mod remove;
mod scrub;
mod shared_sync;
mod stock;
mod sum;
mod suspect;
#[cfg(test)]
mod tests;
mod uptime;
mod withheld;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use triton_api::{
    NodeId, PartitionId,
    layout::{LayoutRecord, PARTITIONS},
    storage::{DiskState, NodeInfo},
};

pub use error::{OpenError, StoreError};
pub(crate) use get::{BlobFile, OpenBlob};
pub(crate) use inventory::PAGE_ENTRIES_MAX;
pub(crate) use layout_book::LearnError;
pub use offline::blob_file;
pub(crate) use put::{Claim, Staged, Stored};
pub(crate) use remove::is_forgotten;
pub(crate) use scrub::Checked;
pub(crate) use suspect::Unreadable;

use dir::DataDir;
use files::{Files, Plain};
use layout_book::LayoutBook;
use ledger::Ledger;

/// A blob store; clones are the same store. Its directory stays locked until the last clone is gone.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    dir: DataDir,
    disk: Arc<disk::Disk>,
    layout: LayoutBook,
    ledger: Ledger,
    /// Taken by who reads a partition to sum it up.
    summing: Mutex<()>,
    scrub: Mutex<scrub::ScrubState>,
    quarantined: AtomicU64,
    orphans: AtomicU64,
    suspects: suspect::Suspects,
    temporaries: AtomicU64,
    withheld: withheld::Withheld,
    uptime: uptime::Uptime,
}

impl std::ops::Deref for Store {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Store {
    /// Opens the data directory at `root`, or makes it, in a time that does not grow with the blobs there: see
    /// [`Self::count_for`]. Keeps `reserve_bytes` of the disk free, by default 1% of it, at most 1 GiB.
    pub(crate) fn open(root: &Path, reserve_bytes: Option<u64>) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(Plain), root, reserve_bytes)
    }

    /// The same on a file system of the caller's choice: the seam for faults and records.
    pub(crate) fn open_on(files: Arc<dyn Files>, root: &Path, reserve_bytes: Option<u64>) -> Result<Self, OpenError> {
        let dir = DataDir::open(root, files, reserve_bytes)?;
        let (layout, uptime) = (LayoutBook::open(&dir.disk)?, uptime::Uptime::open(&dir.disk)?);
        let orphans = dir.disk.list(Path::new(dir::ORPHANS))?.len() as u64;
        let quarantined = dir.disk.list(Path::new(dir::QUARANTINE))?.len() as u64;
        let store = Self(Arc::new(Inner {
            disk: Arc::clone(&dir.disk),
            dir,
            layout,
            ledger: Ledger::new(),
            summing: Mutex::default(),
            scrub: Mutex::default(),
            quarantined: AtomicU64::new(quarantined),
            orphans: AtomicU64::new(orphans),
            suspects: suspect::Suspects::default(),
            temporaries: AtomicU64::new(0),
            withheld: withheld::Withheld::default(),
            uptime,
        }));
        store.recall().and_then(|()| store.recall_scrub()).map_err(OpenError::Stock)?;
        Ok(store)
    }

    /// Makes what writes will need, so that they need not: the directories of all partitions.
    pub(crate) fn prepare(&self) -> Result<(), StoreError> {
        if self.disk.is_read_only() {
            return Ok(());
        }
        Ok(self.dir.partitions.make_all(&self.disk)?)
    }

    /// The node's identity.
    pub(crate) fn id(&self) -> NodeId {
        self.dir.id
    }

    /// The layout that this node knows.
    pub(crate) fn layout(&self) -> Option<Arc<LayoutRecord>> {
        self.layout.record()
    }

    /// Takes a newer layout; see [`LearnError`] for what is refused.
    pub(crate) fn learn_layout(&self, record: LayoutRecord) -> Result<(), LearnError> {
        self.layout.learn(&self.disk, record)
    }

    /// Whether the disk takes writes.
    pub(crate) fn disk_state(&self) -> Result<DiskState, StoreError> {
        Ok(self.disk.state()?)
    }

    /// Payload bytes of the blobs that are counted.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.ledger.total().0.bytes
    }

    /// The node about itself.
    pub(crate) fn info(&self) -> Result<NodeInfo, StoreError> {
        let (space, (total, uncounted)) = (self.disk.space()?, self.ledger.total());
        Ok(NodeInfo {
            id: self.id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.layout().map(|record| record.write_epoch()),
            capacity_bytes: space.capacity_bytes,
            free_bytes: space.free_bytes,
            used_bytes: total.bytes,
            blobs: total.blobs,
            quarantined: self.quarantined.load(Ordering::Relaxed),
            orphans: self.orphans.load(Ordering::Relaxed),
            disk: self.disk.state()?,
            counting: uncounted > 0,
            reconciling: false,
            scrub: self.with_scrub(|state| state.progress),
        })
    }

    fn temporary_path(&self) -> PathBuf {
        // The directory is swept at the start and locked since: a counter is enough.
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        Path::new(dir::TMP).join(format!("{number:016x}"))
    }
}

/// Refuses what is no partition.
pub(crate) fn check_partition(partition: PartitionId) -> Result<(), StoreError> {
    if partition.get() < PARTITIONS { Ok(()) } else { Err(StoreError::NoPartition(partition)) }
}
