//! The blob store on one disk. All functions block: call them on a blocking thread.

mod dir;
mod disk;
mod error;
mod format;
mod get;
mod inventory;
mod layout_book;
mod ledger;
mod name;
mod offline;
mod put;
mod quarantine;
mod remove;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use triton_api::{
    NodeId, PartitionId,
    layout::{LayoutRecord, PARTITIONS},
    storage::{DiskState, NodeInfo},
};

pub use error::{OpenError, StoreError};
pub(crate) use get::OpenBlob;
pub(crate) use inventory::PAGE_ENTRIES_MAX;
pub(crate) use layout_book::LearnError;
pub use offline::blob_file;
pub(crate) use put::{Claim, Staged, Stored};

use dir::DataDir;
use layout_book::LayoutBook;
use ledger::Ledger;

/// How many threads count the blobs at the start.
const STOCK_THREADS: u16 = 8;

/// A blob store; clones are the same store. Its directory stays locked until the last clone is gone.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    dir: DataDir,
    disk: Arc<disk::Disk>,
    layout: LayoutBook,
    ledger: Ledger,
    quarantined: AtomicU64,
    temporaries: AtomicU64,
}

impl std::ops::Deref for Store {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Store {
    /// Opens the data directory at `root`, or makes it; counts what is there. Keeps `reserve_bytes` of the disk free, by
    /// default 1% of it, at most 1 GiB.
    pub(crate) fn open(root: &Path, reserve_bytes: Option<u64>) -> Result<Self, OpenError> {
        let dir = DataDir::open(root, reserve_bytes)?;
        let layout = LayoutBook::open(&dir.disk)?;
        let quarantined = dir.disk.list(Path::new(dir::QUARANTINE))?.len() as u64;
        let store = Self(Arc::new(Inner {
            disk: Arc::clone(&dir.disk),
            dir,
            layout,
            ledger: Ledger::new(),
            quarantined: AtomicU64::new(quarantined),
            temporaries: AtomicU64::new(0),
        }));
        store.take_all_stock()?;
        Ok(store)
    }

    fn take_all_stock(&self) -> Result<(), OpenError> {
        let stock = |thread: u16| {
            (thread..PARTITIONS)
                .step_by(usize::from(STOCK_THREADS))
                .try_for_each(|partition| self.take_stock(PartitionId::new(partition)))
        };
        let taken: Result<Vec<()>, StoreError> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..STOCK_THREADS).map(|thread| scope.spawn(move || stock(thread))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        taken.map(drop).map_err(OpenError::Stock)
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

    /// The node about itself.
    pub(crate) fn info(&self) -> Result<NodeInfo, StoreError> {
        let (space, total) = (self.disk.space()?, self.ledger.total());
        Ok(NodeInfo {
            id: self.id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.layout().map(|record| record.write_epoch()),
            capacity_bytes: space.capacity_bytes,
            free_bytes: space.free_bytes,
            used_bytes: total.bytes,
            blobs: total.blobs,
            quarantined: self.quarantined.load(Ordering::Relaxed),
            disk: self.disk.state()?,
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
