//! Counts and digests per partition, kept in memory, and the lock that orders the changes of a partition.
//!
//! A partition is *counted* or not yet: at the start those are which no earlier process has left a count of that still
//! holds. Its changes are noted in either case, so that a count which a change overtook is not taken.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use triton_api::{BlobHash, BlobKey, PartitionId, layout::PARTITIONS};

use super::sum::SetSum;

/// How long it is remembered that a digest could not be found out, as a read that fails may take a disk many seconds: each time
/// for twice as long, for what is wrong for a moment must not hold up the repair for minutes.
pub(super) const UNREADABLE_MIN: Duration = Duration::from_secs(10);
pub(super) const UNREADABLE_MAX: Duration = Duration::from_secs(300);

/// That a digest could not be found out.
#[derive(Debug, Clone, Copy)]
struct Unreadable {
    tried_at: Instant,
    /// How many changes the partition had seen.
    changes: u64,
    remembered_for: Duration,
}

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
    tally: Option<Tally>,
    /// Grows with every change, so that what was found out before is not kept.
    changes: u64,
    sum: Option<SetSum>,
    /// The sum of the tombstones alone.
    graves: Option<SetSum>,
    /// Its digest could not be found out the last time.
    unreadable: Option<Unreadable>,
    /// Renames whose directory has not been synced yet.
    unsynced: u32,
    /// Blobs whose name went. Also read without the lock.
    removals: Arc<AtomicU64>,
}

impl PartitionLedger {
    /// How much there is; `None` where it has not been counted yet.
    pub(crate) fn tally(&self) -> Option<Tally> {
        self.tally
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// The sum of the blobs; `None` where they must be read first.
    pub(crate) fn sum(&self) -> Option<SetSum> {
        self.sum
    }

    /// Takes a count made when the partition had seen `changes` changes; false where it has seen more since.
    pub(crate) fn keep_tally(&mut self, tally: Tally, changes: u64) -> bool {
        let holds = self.changes == changes;
        if holds {
            self.tally = Some(tally);
        }
        holds
    }

    /// The sum of the tombstones; `None` where they must be read first.
    pub(crate) fn graves(&self) -> Option<SetSum> {
        self.graves
    }

    /// Takes a sum of blobs made when the partition had seen `changes` changes; false where it has seen more since.
    pub(crate) fn keep_sum(&mut self, sum: SetSum, changes: u64) -> bool {
        let holds = self.changes == changes;
        if holds {
            self.sum = Some(sum);
        }
        holds
    }

    /// Takes a sum of tombstones made when the partition had seen `changes` changes; false where it has seen more since.
    pub(crate) fn keep_graves(&mut self, graves: SetSum, changes: u64) -> bool {
        let holds = self.changes == changes;
        if holds {
            self.graves = Some(graves);
        }
        holds
    }

    /// Notes whether the digest could be found out, as from `now` on, at `changes` changes; true where it could the last time, and
    /// cannot now.
    pub(crate) fn turns_unreadable(&mut self, is_unreadable: bool, now: Instant, changes: u64) -> bool {
        let before = self.unreadable.take();
        let remembered_for = before.map_or(UNREADABLE_MIN, |before| (before.remembered_for * 2).min(UNREADABLE_MAX));
        self.unreadable = is_unreadable.then_some(Unreadable { tried_at: now, changes, remembered_for });
        before.is_none() && is_unreadable
    }

    /// Whether the digest could not be found out a short time ago, and nothing has changed since.
    pub(crate) fn is_unreadable(&self, now: Instant) -> bool {
        self.unreadable.is_some_and(|Unreadable { tried_at, changes, remembered_for }| {
            changes == self.changes && now.saturating_duration_since(tried_at) < remembered_for
        })
    }

    /// What could not be read can be now.
    pub(crate) fn turns_readable(&mut self) {
        self.unreadable = None;
    }

    pub(crate) fn has_unsynced(&self) -> bool {
        self.unsynced > 0
    }

    /// A blob has its name, but the directory is not synced yet: [`Self::synced`] must follow.
    pub(crate) fn blob_published(&mut self, key: &BlobKey, hash: BlobHash, len_bytes: u64) {
        self.count(|tally| {
            tally.blobs += 1;
            tally.bytes += len_bytes;
        });
        self.sum = self.sum.map(|sum| sum.plus(SetSum::of_blob(key, hash)));
        self.unsynced += 1;
    }

    pub(crate) fn synced(&mut self) {
        self.unsynced = self.unsynced.saturating_sub(1);
    }

    /// What is kept of the partition's blobs elsewhere is to be looked at again.
    pub(crate) fn distrust_caches(&mut self) {
        self.removals.fetch_add(1, Ordering::AcqRel);
    }

    /// A blob's name is gone: what is kept of it elsewhere counts no more. `known` is its key and hash, where its file could still tell.
    pub(crate) fn blob_gone(&mut self, known: Option<(&BlobKey, BlobHash)>, len_bytes: u64) {
        self.count(|tally| {
            tally.blobs = tally.blobs.saturating_sub(1);
            tally.bytes = tally.bytes.saturating_sub(len_bytes);
        });
        self.distrust_caches();
        self.sum = self.sum.zip(known).map(|(sum, (key, hash))| sum.minus(SetSum::of_blob(key, hash)));
    }

    pub(crate) fn tombstone_found(&mut self, key: &BlobKey) {
        self.count(|tally| tally.tombstones += 1);
        self.graves = self.graves.map(|graves| graves.plus(SetSum::of_tombstone(key)));
    }

    pub(crate) fn tombstone_gone(&mut self, key: &BlobKey) {
        self.count(|tally| tally.tombstones = tally.tombstones.saturating_sub(1));
        self.graves = self.graves.map(|graves| graves.minus(SetSum::of_tombstone(key)));
    }

    fn count(&mut self, change: impl FnOnce(&mut Tally)) {
        self.changes += 1;
        self.tally.as_mut().map(change);
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

    /// The sum over all partitions that are counted, and how many are not.
    pub(crate) fn total(&self) -> (Tally, u16) {
        (0..PARTITIONS).fold((Tally::default(), 0), |(sum, uncounted), partition| {
            let Some(tally) = self.lock(PartitionId::new(partition)).tally() else { return (sum, uncounted + 1) };
            let blobs = sum.blobs + tally.blobs;
            let bytes = sum.bytes + tally.bytes;
            (Tally { blobs, bytes, tombstones: sum.tombstones + tally.tombstones }, uncounted)
        })
    }

    /// The changes of all partitions since the start.
    pub(crate) fn changes(&self) -> u64 {
        (0..PARTITIONS).map(|partition| self.lock(PartitionId::new(partition)).changes()).sum()
    }
}
