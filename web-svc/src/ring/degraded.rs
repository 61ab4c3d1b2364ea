//! The partitions that lack a copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use triton_api::{NodeId, PartitionId};

/// A partition that needs repair: the missing holders must pull it from the other holders and from the stand-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Default)]
pub(super) struct DegradedSet {
    partitions: Mutex<BTreeMap<PartitionId, DegradedPartition>>,
    filled: Notify,
}

impl DegradedSet {
    /// Adds to what is known of the partition.
    pub(super) fn mark(&self, degraded: DegradedPartition) {
        if degraded.missing.is_empty() && degraded.stand_ins.is_empty() {
            return;
        }
        let mut partitions = self.lock();
        match partitions.get_mut(&degraded.partition) {
            Some(known) => {
                known.missing.extend(degraded.missing);
                known.stand_ins.extend(degraded.stand_ins);
            }
            None => drop(partitions.insert(degraded.partition, degraded)),
        }
        gauge(partitions.len());
        drop(partitions);
        self.filled.notify_one();
    }

    pub(super) fn take(&self) -> Vec<DegradedPartition> {
        let taken = std::mem::take(&mut *self.lock());
        gauge(0);
        taken.into_values().collect()
    }

    /// Nodes that may have a blob of the partition although they are no holders.
    pub(super) fn stand_ins(&self, partition: PartitionId) -> BTreeSet<NodeId> {
        self.lock().get(&partition).map(|known| known.stand_ins.clone()).unwrap_or_default()
    }

    /// Returns when the set is not empty; for one waiter.
    pub(super) async fn wait(&self) {
        loop {
            let filled = self.filled.notified();
            if !self.lock().is_empty() {
                return;
            }
            filled.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartitionId, DegradedPartition>> {
        // Every change is one insertion or one take: a panic in between leaves nothing half done.
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
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
}
