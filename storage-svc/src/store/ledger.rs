//! Exact counts per partition, kept in memory, and the lock that orders the changes of a partition.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use triton_api::{BlobHash, PartitionId, layout::PARTITIONS};

/// How much there is of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Number of blobs.
    pub(crate) blobs: u64,
    /// Their payload bytes.
    pub(crate) bytes: u64,
    /// Number of tombstones.
    pub(crate) tombstones: u64,
}

/// What is known of one partition.
#[derive(Debug, Default)]
pub(crate) struct PartitionLedger {
    tally: Tally,
    /// Grows with every change, so that a digest computed meanwhile is not kept.
    changes: u64,
    digest: Option<BlobHash>,
    /// Renames whose directory has not been synced yet.
    unsynced: u32,
    /// Blobs whose name went. Also read without the lock.
    removals: Arc<AtomicU64>,
}

impl PartitionLedger {
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn digest(&self) -> Option<BlobHash> {
        self.digest
    }

    /// Keeps a digest that was computed when the partition had seen `changes` changes.
    pub(crate) fn keep_digest(&mut self, digest: BlobHash, changes: u64) {
        if self.changes == changes {
            self.digest = Some(digest);
        }
    }

    pub(crate) fn has_unsynced(&self) -> bool {
        self.unsynced > 0
    }

    /// A blob has its name, but the directory is not synced yet: [`Self::synced`] must follow.
    pub(crate) fn blob_published(&mut self, len_bytes: u64) {
        self.blob_found(len_bytes);
        self.unsynced += 1;
    }

    pub(crate) fn synced(&mut self) {
        self.unsynced = self.unsynced.saturating_sub(1);
    }

    pub(crate) fn blob_found(&mut self, len_bytes: u64) {
        self.tally.blobs += 1;
        self.tally.bytes += len_bytes;
        self.changed();
    }

    /// A blob's name is gone: what is kept of it elsewhere counts no more.
    pub(crate) fn blob_gone(&mut self, len_bytes: u64) {
        self.tally.blobs = self.tally.blobs.saturating_sub(1);
        self.tally.bytes = self.tally.bytes.saturating_sub(len_bytes);
        self.removals.fetch_add(1, Ordering::AcqRel);
        self.changed();
    }

    pub(crate) fn tombstone_found(&mut self) {
        self.tally.tombstones += 1;
        self.changed();
    }

    pub(crate) fn tombstone_gone(&mut self) {
        self.tally.tombstones = self.tally.tombstones.saturating_sub(1);
        self.changed();
    }

    fn changed(&mut self) {
        self.changes += 1;
        self.digest = None;
    }
}

/// The ledgers of all partitions.
#[derive(Debug)]
pub(crate) struct Ledger {
    partitions: Vec<Mutex<PartitionLedger>>,
    /// Those of the partitions, in the same order.
    removals: Vec<Arc<AtomicU64>>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let removals: Vec<Arc<AtomicU64>> = (0..PARTITIONS).map(|_| Arc::default()).collect();
        let ledger = |removals| Mutex::new(PartitionLedger { removals: Arc::clone(removals), ..Default::default() });
        Self { partitions: removals.iter().map(ledger).collect(), removals }
    }

    /// Locks a partition: whoever publishes or removes one of its names holds this meanwhile.
    ///
    /// # Panics
    /// Where the partition is not below `PARTITIONS`, which `check_partition` makes sure of.
    pub(crate) fn lock(&self, partition: PartitionId) -> MutexGuard<'_, PartitionLedger> {
        self.partitions[usize::from(partition.get())].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many blobs of a partition have lost their name since the start.
    pub(crate) fn removals(&self, partition: PartitionId) -> u64 {
        self.removals.get(usize::from(partition.get())).map_or(0, |removals| removals.load(Ordering::Acquire))
    }

    /// The sum over all partitions.
    pub(crate) fn total(&self) -> Tally {
        (0..PARTITIONS).fold(Tally::default(), |sum, partition| {
            let tally = self.lock(PartitionId::new(partition)).tally();
            Tally {
                blobs: sum.blobs + tally.blobs,
                bytes: sum.bytes + tally.bytes,
                tombstones: sum.tombstones + tally.tombstones,
            }
        })
    }
}
