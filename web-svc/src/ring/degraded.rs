//! The partitions that lack a copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use triton_api::{NodeId, PartitionId};

use super::degraded_file::DegradedFile;

/// A partition that needs repair: the missing holders must pull it from the other holders and from the stand-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DegradedPartition {
    /// The partition.
    pub partition: PartitionId,
    /// Holders that lack a blob or a tombstone.
    pub missing: BTreeSet<NodeId>,
    /// Nodes that are no holders and have a blob in a holder's place.
    pub stand_ins: BTreeSet<NodeId>,
}

impl DegradedPartition {
    pub(super) fn missing(partition: PartitionId, missing: BTreeSet<NodeId>) -> Self {
        Self { partition, missing, stand_ins: BTreeSet::new() }
    }
}

/// Bounded by the number of partitions times the number of nodes.
///
/// With a file, what is known is durable when [`Self::keep`] returns, and known again after a crash. A partition stays in the
/// file while it is being repaired.
#[derive(Debug, Default)]
pub(super) struct DegradedSet {
    known: Mutex<Known>,
    filled: Notify,
    file: Option<DegradedFile>,
    /// The version that is in the file; held while it is written.
    kept: tokio::sync::Mutex<u64>,
}

#[derive(Debug, Default)]
struct Known {
    waiting: BTreeMap<PartitionId, DegradedPartition>,
    /// Taken, and not said to be done yet.
    in_repair: BTreeMap<PartitionId, DegradedPartition>,
    /// Grows with every change that belongs into the file.
    version: u64,
}

impl Known {
    /// Adds to what is known of the partition; whether that was anything new.
    fn add(&mut self, degraded: DegradedPartition) -> bool {
        let DegradedPartition { partition, missing, stand_ins } = degraded;
        let known =
            self.waiting.entry(partition).or_insert_with(|| DegradedPartition::missing(partition, BTreeSet::new()));
        let before = known.missing.len() + known.stand_ins.len();
        known.missing.extend(missing);
        known.stand_ins.extend(stand_ins);
        known.missing.len() + known.stand_ins.len() > before
    }

    fn all(&self) -> Vec<DegradedPartition> {
        let mut all = Self { waiting: self.in_repair.clone(), ..Self::default() };
        for degraded in self.waiting.values() {
            all.add(degraded.clone());
        }
        all.waiting.into_values().collect()
    }
}

impl DegradedSet {
    /// The set that the file has, which need not exist. A file that cannot be read costs time and no copy: comparing the
    /// nodes' digests finds the same partitions later.
    pub(super) fn open(path: Option<PathBuf>) -> Self {
        let Some(file) = path.map(DegradedFile::new) else { return Self::default() };
        let mut known = Known::default();
        match file.read() {
            Ok(kept) => {
                for degraded in kept {
                    known.add(degraded);
                }
            }
            Err(error) => tracing::warn!(%error, "the list of partitions that lack a copy cannot be read"),
        }
        gauge(known.waiting.len());
        Self { known: Mutex::new(known), file: Some(file), ..Self::default() }
    }

    /// Adds to what is known of the partition.
    pub(super) fn mark(&self, degraded: DegradedPartition) {
        if degraded.missing.is_empty() && degraded.stand_ins.is_empty() {
            return;
        }
        let mut known = self.lock();
        if known.add(degraded) {
            known.version += 1;
        }
        gauge(known.waiting.len());
        drop(known);
        self.filled.notify_one();
    }

    /// Returns when all marks so far are in the file; those who come together share the writing of it. A file that cannot
    /// be written is logged, and fails nobody: the copies that make a write safe are durable without it.
    pub(super) async fn keep(&self) {
        let Some(file) = &self.file else { return };
        let mut kept = self.kept.lock().await;
        let (version, all) = {
            let known = self.lock();
            if known.version <= *kept {
                return;
            }
            (known.version, known.all())
        };
        let file = file.clone();
        match tokio::task::spawn_blocking(move || file.write(&all)).await {
            Ok(Ok(())) => *kept = version,
            Ok(Err(error)) => tracing::warn!(%error, "the list of partitions that lack a copy is not kept"),
            Err(error) => tracing::error!(%error, "the list of partitions that lack a copy is not kept"),
        }
    }

    pub(super) fn take(&self) -> Vec<DegradedPartition> {
        let mut known = self.lock();
        let taken = std::mem::take(&mut known.waiting);
        known.in_repair.clone_from(&taken);
        gauge(0);
        taken.into_values().collect()
    }

    /// What was taken is repaired, or was marked again.
    pub(super) fn done(&self) {
        let mut known = self.lock();
        if !known.in_repair.is_empty() {
            known.in_repair.clear();
            known.version += 1;
        }
    }

    /// Nodes that may have a blob of the partition although they are no holders.
    pub(super) fn stand_ins(&self, partition: PartitionId) -> BTreeSet<NodeId> {
        self.lock().waiting.get(&partition).map(|known| known.stand_ins.clone()).unwrap_or_default()
    }

    /// Returns when the set is not empty; for one waiter.
    pub(super) async fn wait(&self) {
        loop {
            let filled = self.filled.notified();
            if !self.lock().waiting.is_empty() {
                return;
            }
            filled.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change is one insertion or one take: a panic in between leaves nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauge(partitions: usize) {
    metrics::gauge!("triton_ring_degraded_partitions").set(u32::try_from(partitions).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn marks_of_one_partition_add_up_and_are_taken_once() {
        let set = DegradedSet::default();
        let node = NodeId::from_u128;
        set.mark(DegradedPartition::missing(PartitionId::new(7), BTreeSet::from([node(1)])));
        set.mark(DegradedPartition {
            partition: PartitionId::new(7),
            missing: BTreeSet::from([node(2)]),
            stand_ins: BTreeSet::from([node(9)]),
        });
        set.mark(DegradedPartition::missing(PartitionId::new(8), BTreeSet::new()));
        set.wait().await;
        assert_eq!(set.stand_ins(PartitionId::new(7)), BTreeSet::from([node(9)]));
        let taken = set.take();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].missing, BTreeSet::from([node(1), node(2)]));
        assert!(set.take().is_empty());
    }

    fn lacking(partition: u16, node: u128) -> DegradedPartition {
        DegradedPartition::missing(PartitionId::new(partition), BTreeSet::from([NodeId::from_u128(node)]))
    }

    #[tokio::test]
    async fn what_is_kept_is_known_again_after_a_crash_until_it_is_repaired() {
        let dir = tempfile::tempdir().unwrap();
        let open = || DegradedSet::open(Some(dir.path().join("degraded.json")));
        let set = open();
        set.mark(lacking(7, 1));
        set.keep().await;
        set.mark(lacking(8, 2));
        tokio::join!(set.keep(), set.keep(), set.keep());
        assert_eq!(open().take(), [lacking(7, 1), lacking(8, 2)]);
        // Who has taken them may be gone before they are repaired.
        assert_eq!(set.take().len(), 2);
        set.mark(lacking(9, 3));
        set.keep().await;
        assert_eq!(open().take(), [lacking(7, 1), lacking(8, 2), lacking(9, 3)]);
        set.done();
        set.keep().await;
        assert_eq!(open().take(), [lacking(9, 3)]);
    }

    #[tokio::test]
    async fn mark_that_says_nothing_new_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("degraded.json");
        let set = DegradedSet::open(Some(path.clone()));
        set.mark(lacking(7, 1));
        set.keep().await;
        std::fs::remove_file(&path).unwrap();
        set.mark(lacking(7, 1));
        set.keep().await;
        assert!(!path.exists());
        set.mark(lacking(7, 2));
        set.keep().await;
        assert!(path.exists());
    }

    #[tokio::test]
    async fn damaged_file_and_one_that_cannot_be_written_stop_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("degraded.json");
        std::fs::write(&path, "{").unwrap();
        let set = DegradedSet::open(Some(path.clone()));
        assert!(set.take().is_empty());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        set.mark(lacking(7, 1));
        set.keep().await;
        assert_eq!(set.take(), [lacking(7, 1)]);
    }
}
