//! The leader's repair: every holder of a partition ends with the same content, and nobody else keeps any.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use triton_api::{PartitionId, layout::LayoutRecord};

use super::{
    Cluster,
    error::ClusterError,
    fence::is_given_up,
    migration::MigrationPhase,
    mover::{MoveError, PullLog},
    moves::{self, Task},
    plan::count,
};
use crate::ring::{DegradedMark, DegradedPartition, Ring};

/// Partitions that are repaired at once.
const PARTITIONS_IN_FLIGHT: usize = 2;
/// The shortest time between two sweeps, however often the ring reports something.
const SWEEP_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// A process looks whether the leader has repaired something after so many sweeps: it waits for it, and each look asks all
/// nodes for all their digests.
const SETTLE_SWEEPS: u32 = 3;
/// Errors that a report keeps.
const ERRORS_MAX: usize = 5;

/// What repairing some partitions came to.
#[derive(Debug, Default)]
pub(super) struct RepairReport {
    pub(super) bytes_copied: u64,
    pub(super) blobs_released: u64,
    pub(super) failed: BTreeSet<PartitionId>,
    pub(super) errors: Vec<String>,
}

/// What a sweep found.
#[derive(Debug, Default)]
struct Swept {
    /// Partitions whose nodes did not have what they should.
    unequal: BTreeSet<PartitionId>,
    /// Those of them that were repaired, provided that every node answered.
    repaired: BTreeSet<PartitionId>,
    /// Of the reported ones, those that had nothing to repair.
    whole: BTreeSet<PartitionId>,
}

impl Cluster {
    /// Sweeps at intervals, and as soon as the ring reports partitions that lack a copy.
    pub(super) async fn upkeep(&self, ring: &Ring, shutdown: &CancellationToken) {
        let mut unequal = BTreeSet::new();
        let mut unrepaired = false;
        let mut seen = DegradedMark::default();
        loop {
            let earliest = Instant::now() + SWEEP_INTERVAL_MIN;
            // All branches are cancel safe: `wait_degraded` takes nothing. What could not be repaired just now is not
            // worth a hurry, as it mostly waits for a node.
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.inner.settings.repair_interval) => {}
                () = ring.wait_degraded(seen), if !unrepaired => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep_until(earliest) => {}
            }
            let reported = ring.degraded();
            seen = reported.mark;
            let swept = self.sweep(&unequal, &reported.partitions, shutdown).await;
            let swept = swept.unwrap_or_else(|error| {
                tracing::error!(%error, "the nodes cannot be compared for now");
                Swept::default()
            });
            ring.settle_degraded(&swept.whole, seen).await;
            unrepaired = reported
                .partitions
                .iter()
                .any(|known| !swept.whole.contains(&known.partition) && !swept.repaired.contains(&known.partition));
            unequal = swept.unequal;
        }
    }

    /// Forgets what the ring reported once it is whole, whoever has repaired it: only the leader repairs, and every process
    /// writes. The leader finds what there is to repair by itself, within two sweeps.
    pub(super) async fn settle(&self, ring: &Ring, shutdown: &CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(SETTLE_SWEEPS * self.inner.settings.repair_interval) => {}
            }
            let reported = ring.degraded();
            if !reported.partitions.is_empty() {
                let record = self.present();
                let census = self.census(&record).await;
                ring.settle_degraded(&moves::whole(&record, &census, &reported.partitions), reported.mark).await;
            }
        }
    }

    /// Compares the nodes and repairs what was unequal the last time, too, or was reported: a difference that is seen once
    /// may be a write that is on its way.
    async fn sweep(
        &self,
        before: &BTreeSet<PartitionId>,
        reported: &[DegradedPartition],
        shutdown: &CancellationToken,
    ) -> Result<Swept, ClusterError> {
        let state = self.records.state().await?;
        if state.migration().is_some_and(|migration| migration.phase == MigrationPhase::Reclaiming) {
            return Ok(Swept::default());
        }
        let record = &state.layout.value;
        let _turn = self.inner.turn.take().await;
        let census = self.census(record).await;
        let moving = moves::in_motion(record);
        let mut tasks = moves::sweep(&record.current, &census);
        tasks.retain(|task| !moving.contains(&task.partition));
        let unequal: BTreeSet<PartitionId> = tasks.iter().map(|task| task.partition).collect();
        metrics::gauge!("triton_cluster_partitions_unequal").set(f64::from(count(unequal.len())));
        let hurry: BTreeSet<PartitionId> = reported.iter().map(|degraded| degraded.partition).collect();
        tasks.retain(|task| before.contains(&task.partition) || hurry.contains(&task.partition));
        let whole = moves::whole(record, &census, reported);
        let mut repaired: BTreeSet<PartitionId> = tasks.iter().map(|task| task.partition).collect();
        let report = self.repair(record, tasks, shutdown).await;
        for error in &report.errors {
            tracing::warn!(reason = error, "a repair failed and is tried again");
        }
        let nodes: Vec<_> = record.nodes().into_iter().filter(|node| !is_given_up(record, node.id)).collect();
        let complete = |partition| nodes.iter().all(|node| census.tells(node.id, partition));
        repaired.retain(|partition| complete(*partition) && !report.failed.contains(partition));
        Ok(Swept { unequal, repaired, whole })
    }

    /// Works on the tasks, a few at once, until they are done, failed or held.
    pub(super) async fn repair(
        &self,
        record: &LayoutRecord,
        tasks: Vec<Task>,
        hold: &CancellationToken,
    ) -> RepairReport {
        let record = Arc::new(record.clone());
        let mut report = RepairReport::default();
        let mut queue = tasks.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < PARTITIONS_IN_FLIGHT && !hold.is_cancelled() {
                let Some(task) = queue.next() else { break };
                let (cluster, record, hold) = (self.clone(), Arc::clone(&record), hold.clone());
                running.spawn(async move { (task.partition, cluster.repair_partition(&record, &task, &hold).await) });
            }
            match running.join_next().await {
                None => break,
                Some(Ok((partition, outcome))) => report.add(partition, outcome),
                Some(Err(error)) => report.error(error.to_string()),
            }
        }
        // What a hold left undone is as much to do as what failed.
        report.failed.extend(queue.map(|task| task.partition));
        report
    }

    async fn repair_partition(
        &self,
        record: &LayoutRecord,
        task: &Task,
        hold: &CancellationToken,
    ) -> Result<(u64, u64), MoveError> {
        let mover = self.mover(record, hold);
        let copied = AtomicU64::new(0);
        for pull in &task.pulls {
            mover.pull(task.partition, pull, &PullLog::Repair(&copied)).await?;
        }
        let mut blobs_released = 0;
        for node in &task.releases {
            let report = mover.release(task.partition, *node, record.current.epoch).await?;
            blobs_released += report.blobs_released;
        }
        metrics::counter!("triton_repair_partitions_total").increment(1);
        Ok((copied.into_inner(), blobs_released))
    }
}

impl RepairReport {
    fn add(&mut self, partition: PartitionId, outcome: Result<(u64, u64), MoveError>) {
        match outcome {
            Ok((bytes_copied, blobs_released)) => {
                self.bytes_copied += bytes_copied;
                self.blobs_released += blobs_released;
            }
            Err(error) => {
                self.failed.insert(partition);
                if !matches!(error, MoveError::Held) {
                    self.error(error.to_string());
                }
            }
        }
    }

    fn error(&mut self, text: String) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(text);
        }
    }
}
