//! The partitions that lack a copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::TaskTracker;
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

/// A moment in the order in which partitions are reported; the default is the one before all reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DegradedMark(u64);

/// What was known to lack a copy at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Degraded {
    /// The partitions, each once.
    pub partitions: Vec<DegradedPartition>,
    /// The last report that is in [`Self::partitions`].
    pub mark: DegradedMark,
}

/// Bounded by the number of partitions times the number of nodes.
///
/// A partition stays in the set until somebody has looked at its nodes after the last report of it and found it whole. With a
/// file, what is known is durable when [`Self::keep`] returns, and known again after a crash.
#[derive(Debug)]
pub(super) struct DegradedSet {
    known: Mutex<Known>,
    marks: watch::Sender<DegradedMark>,
    file: Option<DegradedFile>,
    /// The version that is in the file; held while it is written, by who writes.
    kept: Arc<tokio::sync::Mutex<u64>>,
    keep_timeout: Duration,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Known {
    /// Each with the last report of it.
    partitions: BTreeMap<PartitionId, (DegradedPartition, DegradedMark)>,
    /// Grows with every report, also with one that says nothing new.
    mark: DegradedMark,
    /// Grows with every change that belongs into the file.
    version: u64,
}

impl Known {
    /// Adds to what is known of the partition.
    fn add(&mut self, degraded: DegradedPartition) {
        let DegradedPartition { partition, missing, stand_ins } = degraded;
        self.mark = DegradedMark(self.mark.0 + 1);
        let empty = || (DegradedPartition::missing(partition, BTreeSet::new()), self.mark);
        let (known, mark) = self.partitions.entry(partition).or_insert_with(empty);
        let before = known.missing.len() + known.stand_ins.len();
        known.missing.extend(missing);
        known.stand_ins.extend(stand_ins);
        *mark = self.mark;
        if known.missing.len() + known.stand_ins.len() > before {
            self.version += 1;
        }
    }

    fn all(&self) -> Vec<DegradedPartition> {
        self.partitions.values().map(|(degraded, _)| degraded.clone()).collect()
    }
}

impl DegradedSet {
    /// The set that the file has, which need not exist. A file that cannot be read costs time and no copy: comparing the
    /// nodes' digests finds the same partitions later.
    pub(super) fn open(path: Option<PathBuf>, keep_timeout: Duration, tasks: TaskTracker) -> Self {
        let file = path.map(DegradedFile::new);
        let mut known = Known::default();
        match file.as_ref().map_or_else(|| Ok(Vec::new()), DegradedFile::read) {
            Ok(kept) => {
                for degraded in kept {
                    known.add(degraded);
                }
            }
            Err(error) => tracing::warn!(%error, "the list of partitions that lack a copy cannot be read"),
        }
        known.version = 0;
        gauge(known.partitions.len());
        let marks = watch::Sender::new(known.mark);
        Self { known: Mutex::new(known), marks, file, kept: Arc::default(), keep_timeout, tasks }
    }

    /// Adds to what is known of the partition.
    pub(super) fn mark(&self, degraded: DegradedPartition) {
        if degraded.missing.is_empty() && degraded.stand_ins.is_empty() {
            return;
        }
        let mut known = self.lock();
        known.add(degraded);
        gauge(known.partitions.len());
        let mark = known.mark;
        drop(known);
        // Of two at once the later one may come first.
        self.marks.send_modify(|last| *last = mark.max(*last));
    }

    /// Returns when all marks so far are in the file; those who come together share the writing of it. A file that cannot
    /// be written, or takes too long, is logged and fails nobody: the copies that make a write safe are durable without it, and
    /// the nodes' digests show what is missing, only later.
    pub(super) async fn keep(&self) {
        let Some(file) = &self.file else { return };
        // Cancel safe: what is being written is a task of its own.
        if timeout(self.keep_timeout, self.write(file)).await.is_err() {
            metrics::counter!("triton_ring_degraded_keep_timeouts_total").increment(1);
            tracing::warn!(waited = ?self.keep_timeout, "the list of partitions that lack a copy is not kept yet");
        }
    }

    /// Writes the file, once whoever writes it now has ended: a disk that hangs holds up one thread.
    async fn write(&self, file: &DegradedFile) {
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        let (version, all) = {
            let known = self.lock();
            if known.version <= *kept {
                return;
            }
            (known.version, known.all())
        };
        let file = file.clone();
        let writing = self.tasks.spawn_blocking(move || match file.write(&all) {
            Ok(()) => *kept = version,
            Err(error) => tracing::warn!(%error, "the list of partitions that lack a copy is not kept"),
        });
        if let Err(error) = writing.await {
            tracing::error!(%error, "the list of partitions that lack a copy is not kept");
        }
    }

    /// What is known now.
    pub(super) fn look(&self) -> Degraded {
        let known = self.lock();
        Degraded { partitions: known.all(), mark: known.mark }
    }

    /// Drops the partitions that were found whole by somebody who looked at the nodes after `seen`. What was reported since
    /// stays, for he may have looked before.
    pub(super) fn settle(&self, whole: &BTreeSet<PartitionId>, seen: DegradedMark) {
        let mut known = self.lock();
        let before = known.partitions.len();
        known.partitions.retain(|partition, (_, mark)| *mark > seen || !whole.contains(partition));
        if known.partitions.len() < before {
            known.version += 1;
        }
        gauge(known.partitions.len());
    }

    /// Nodes that may have a blob of the partition although they are no holders.
    pub(super) fn stand_ins(&self, partition: PartitionId) -> BTreeSet<NodeId> {
        self.lock().partitions.get(&partition).map(|(known, _)| known.stand_ins.clone()).unwrap_or_default()
    }

    /// Returns when something was reported after `seen`.
    pub(super) async fn wait(&self, seen: DegradedMark) {
        // The sender lives as long as this set.
        drop(self.marks.subscribe().wait_for(|mark| *mark > seen).await);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change is complete when it ends: a panic in between leaves a mark more than needed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauge(partitions: usize) {
    metrics::gauge!("triton_ring_degraded_partitions").set(u32::try_from(partitions).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: Option<PathBuf>) -> DegradedSet {
        DegradedSet::open(path, Duration::from_secs(60), TaskTracker::new())
    }

    fn node(number: u128) -> NodeId {
        NodeId::from_u128(number)
    }

    fn lacking(partition: u16, missing: u128) -> DegradedPartition {
        DegradedPartition::missing(PartitionId::new(partition), BTreeSet::from([node(missing)]))
    }

    fn standing_in(partition: u16, stand_in: u128) -> DegradedPartition {
        let stand_ins = BTreeSet::from([node(stand_in)]);
        DegradedPartition { partition: PartitionId::new(partition), missing: BTreeSet::new(), stand_ins }
    }

    fn whole(partitions: &[u16]) -> BTreeSet<PartitionId> {
        partitions.iter().map(|partition| PartitionId::new(*partition)).collect()
    }

    #[tokio::test]
    async fn marks_of_one_partition_add_up_and_stay_until_it_is_whole() {
        let set = open(None);
        set.mark(lacking(7, 1));
        set.mark(DegradedPartition { missing: BTreeSet::from([node(2)]), ..standing_in(7, 9) });
        set.mark(DegradedPartition::missing(PartitionId::new(8), BTreeSet::new()));
        set.wait(DegradedMark::default()).await;
        let seen = set.look();
        assert_eq!(seen.partitions.len(), 1);
        assert_eq!(seen.partitions[0].missing, BTreeSet::from([node(1), node(2)]));
        set.settle(&whole(&[8]), seen.mark);
        assert_eq!(set.look(), seen, "it was not found whole");
        assert_eq!(set.stand_ins(PartitionId::new(7)), BTreeSet::from([node(9)]), "it is looked at by a repair");
        set.settle(&whole(&[7]), seen.mark);
        assert!(set.look().partitions.is_empty() && set.stand_ins(PartitionId::new(7)).is_empty());
    }

    #[tokio::test]
    async fn what_is_reported_while_somebody_looks_at_the_nodes_is_not_settled_by_what_he_saw() {
        let set = open(None);
        for degraded in [lacking(7, 1), standing_in(7, 9), lacking(8, 1)] {
            set.mark(degraded);
        }
        let (first, second) = (set.look(), set.look());
        // Nothing new, but perhaps of another blob.
        set.mark(lacking(7, 1));
        set.settle(&whole(&[7, 8]), first.mark);
        set.settle(&whole(&[7, 8]), second.mark);
        let left = set.look();
        assert_eq!(left.partitions, [DegradedPartition { missing: BTreeSet::from([node(1)]), ..standing_in(7, 9) }]);
        assert!(left.mark > second.mark);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_next_report_for_everybody() {
        let set = open(None);
        set.mark(lacking(7, 1));
        let seen = set.look().mark;
        let report = async {
            tokio::task::yield_now().await;
            set.mark(lacking(7, 1));
        };
        let limit = std::time::Duration::from_secs(30);
        let all = async { tokio::join!(set.wait(seen), set.wait(seen), report) };
        assert!(tokio::time::timeout(limit, all).await.is_ok());
        let next = set.wait(set.look().mark);
        assert!(futures_util::FutureExt::now_or_never(next).is_none(), "there is nothing new");
    }

    #[tokio::test]
    async fn what_is_kept_is_known_again_after_a_crash_until_it_is_repaired() {
        let dir = tempfile::tempdir().unwrap();
        let open = || open(Some(dir.path().join("degraded.json")));
        let set = open();
        set.mark(lacking(7, 1));
        set.keep().await;
        set.mark(lacking(8, 2));
        tokio::join!(set.keep(), set.keep(), set.keep());
        assert_eq!(open().look().partitions, [lacking(7, 1), lacking(8, 2)]);
        // Who has looked at them may be gone before they are repaired.
        let seen = set.look();
        set.mark(lacking(9, 3));
        set.keep().await;
        let successor = open();
        assert_eq!(successor.look().partitions, [lacking(7, 1), lacking(8, 2), lacking(9, 3)]);
        successor.wait(DegradedMark::default()).await;
        set.settle(&whole(&[7, 8, 9]), seen.mark);
        set.keep().await;
        assert_eq!(open().look().partitions, [lacking(9, 3)]);
        successor.settle(&whole(&[7, 8, 9]), successor.look().mark);
        successor.keep().await;
        assert!(open().look().partitions.is_empty());
    }

    #[tokio::test]
    async fn mark_that_says_nothing_new_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("degraded.json");
        let set = open(Some(path.clone()));
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
        let set = open(Some(path.clone()));
        assert!(set.look().partitions.is_empty());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        set.mark(lacking(7, 1));
        set.keep().await;
        assert_eq!(set.look().partitions, [lacking(7, 1)]);
    }
}
