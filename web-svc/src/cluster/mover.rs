//! Lets nodes pull and release partitions, in bounded steps.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use triton_api::{
    BlobKey, Epoch, NodeId, PartitionId,
    client::{Caller, ClientError, NodeClient},
    cluster::NodeHealth,
    layout::LayoutRecord,
    storage::{PullRequest, ReleaseReport, ReleaseRequest},
};
use triton_kit::MigrationStep;

use super::{cursor::Route, health::HealthBoard, ledger::Ledger, moves::Pull, pace::Throttle};

/// Payload bytes of one step: what is at most repeated when a node dies, and done within a step's deadline even on a disk
/// of a few hundred kilobytes per second.
const STEP_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is told about a pull as it goes on, and asked when it begins.
pub(super) enum PullLog<'a> {
    /// A migration: it is told, and remembered over a restart.
    Migration(&'a Ledger),
    /// A repair: its bytes are counted.
    Repair(&'a AtomicU64),
}

impl PullLog<'_> {
    fn cursor(&self, route: Route) -> Option<String> {
        match self {
            Self::Migration(ledger) => ledger.cursor(route),
            Self::Repair(_) => None,
        }
    }

    fn moved(&self, route: Route, cursor: Option<String>) {
        match self {
            Self::Migration(ledger) => ledger.moved(route, cursor),
            Self::Repair(_) => {}
        }
    }

    fn copied(&self, bytes: u64) {
        match self {
            Self::Migration(ledger) => ledger.copied(bytes),
            Self::Repair(copied) => {
                copied.fetch_add(bytes, Ordering::Relaxed);
                metrics::counter!("triton_repair_bytes_total").increment(bytes);
            }
        }
    }
}

/// Why content did not move.
#[derive(Debug, Error)]
pub(super) enum MoveError {
    /// The work is to stop here.
    #[error("held")]
    Held,
    /// A node is not in the layout that this move follows.
    #[error("node {0} is not in the layout")]
    UnknownNode(NodeId),
    /// A node does not answer any more.
    #[error("node {0} is down")]
    Down(NodeId),
    /// A pull failed.
    #[error("node {to} cannot pull partition {partition} from node {from}: {source}")]
    Pull {
        to: NodeId,
        from: NodeId,
        partition: PartitionId,
        #[source]
        source: Box<ClientError>,
    },
    /// Some blobs could be had from nobody.
    #[error("node {to} could not get {keys} blobs of partition {partition}, among them {first}")]
    Undelivered { to: NodeId, partition: PartitionId, keys: usize, first: BlobKey },
    /// A release failed.
    #[error("node {node} cannot release partition {partition}: {source}")]
    Release {
        node: NodeId,
        partition: PartitionId,
        #[source]
        source: Box<ClientError>,
    },
}

/// Moves content on behalf of one layout record.
#[derive(Clone)]
pub(super) struct Mover<'a> {
    pub(super) caller: &'a Caller,
    pub(super) throttle: &'a Throttle,
    pub(super) health: &'a HealthBoard,
    pub(super) record: &'a LayoutRecord,
    /// Ends the work between two steps.
    pub(super) hold: &'a CancellationToken,
}

impl Mover<'_> {
    /// A node that went down since the work was planned is not waited for, once for each partition: the next round will do.
    fn client(&self, id: NodeId) -> Result<NodeClient, MoveError> {
        let node = self.record.node(id).ok_or(MoveError::UnknownNode(id))?;
        if self.health.health(node) == NodeHealth::Down {
            return Err(MoveError::Down(id));
        }
        Ok(NodeClient::new(self.caller.clone(), node.url.clone()))
    }

    /// Fetches everything that the sources have and the node lacks, step by step, each told to `log`.
    ///
    /// One node of each group is asked; the others of the group stand by for what it cannot deliver.
    pub(super) async fn pull(
        &self,
        partition: PartitionId,
        Pull { to, sources }: &Pull,
        log: &PullLog<'_>,
    ) -> Result<(), MoveError> {
        let mut undelivered = BTreeSet::new();
        for group in sources {
            let mut outcome = Ok(BTreeSet::new());
            for from in group {
                outcome = self.pull_from(Route { partition, to: *to, from: *from }, log).await;
                match &outcome {
                    Ok(failed) if failed.is_empty() => break,
                    Err(MoveError::Held) => return Err(MoveError::Held),
                    _ => {}
                }
            }
            undelivered.extend(outcome?);
        }
        self.check_delivered(partition, *to, undelivered).await
    }

    /// One source through to the end of its inventory; returns the keys that it listed and could not deliver.
    async fn pull_from(&self, route: Route, log: &PullLog<'_>) -> Result<BTreeSet<BlobKey>, MoveError> {
        let Route { partition, to, from } = route;
        self.client(from)?;
        let client = self.client(to)?;
        let bytes_max = self.throttle.step_bytes(STEP_BYTES_MAX);
        let mut step = PullRequest { from, epoch: self.record.write_epoch(), cursor: log.cursor(route), bytes_max };
        let mut failed = BTreeSet::new();
        MigrationStep::PullBegun.reached();
        loop {
            if self.hold.is_cancelled() {
                return Err(MoveError::Held);
            }
            let report = client.pull(partition, &step).await;
            let report = report.map_err(|source| MoveError::Pull { to, from, partition, source: Box::new(source) })?;
            MigrationStep::PullPageDone.reached();
            log.copied(report.bytes_copied);
            failed.extend(report.failed);
            // Behind a cursor lies nothing that is still to be had: who goes on later does not look there again.
            if failed.is_empty() {
                log.moved(route, report.next_cursor.clone());
            }
            // The bytes are accounted for whether or not the wait is cut short.
            tokio::select! {
                () = self.throttle.spend(report.bytes_copied) => {}
                () = self.hold.cancelled() => {}
            }
            // Pages are sorted by key, so a cursor that does not grow would be a loop.
            match report.next_cursor {
                Some(next) if step.cursor.as_ref() < Some(&next) => step.cursor = Some(next),
                _ => return Ok(failed),
            }
        }
    }

    /// What one source could not deliver may have come from another.
    async fn check_delivered(
        &self,
        partition: PartitionId,
        to: NodeId,
        undelivered: BTreeSet<BlobKey>,
    ) -> Result<(), MoveError> {
        let client = self.client(to)?;
        let mut missing = Vec::new();
        for key in undelivered {
            let is_settled = match client.head(&key).await {
                Ok(found) => found.is_some(),
                Err(error) => error.is_deleted(),
            };
            if !is_settled {
                missing.push(key);
            }
        }
        match missing.first() {
            None => Ok(()),
            Some(first) => Err(MoveError::Undelivered { to, partition, keys: missing.len(), first: first.clone() }),
        }
    }

    /// Lets a node that is no holder give up what all holders have.
    pub(super) async fn release(
        &self,
        partition: PartitionId,
        node: NodeId,
        epoch: Epoch,
    ) -> Result<ReleaseReport, MoveError> {
        let client = self.client(node)?;
        let failed = |source| MoveError::Release { node, partition, source: Box::new(source) };
        let report = client.release(partition, &ReleaseRequest { epoch }).await.map_err(failed)?;
        MigrationStep::ReleasePageDone.reached();
        metrics::counter!("triton_reclaimed_bytes_total").increment(report.bytes_released);
        if report.blobs_kept > 0 {
            self.bury(partition, node, epoch).await?;
        }
        Ok(report)
    }

    /// Deletes from a node that is no holder what its holders remember as deleted: a deletion just before the release
    /// reaches the holders only, and nobody would confirm such a blob ever after.
    async fn bury(&self, partition: PartitionId, node: NodeId, epoch: Epoch) -> Result<(), MoveError> {
        let failed = |source| MoveError::Release { node, partition, source: Box::new(source) };
        let kept = self.inventory(partition, node).await.map_err(failed)?;
        let mut deleted = BTreeSet::new();
        for holder in self.record.current.holders(partition) {
            deleted.extend(self.inventory(partition, holder.id).await.map_err(failed)?.1);
        }
        let client = self.client(node)?;
        for key in kept.0.intersection(&deleted) {
            client.delete(key, epoch).await.map_err(failed)?;
        }
        Ok(())
    }

    /// The blobs and the deleted keys of a partition on a node.
    async fn inventory(
        &self,
        partition: PartitionId,
        node: NodeId,
    ) -> Result<(BTreeSet<BlobKey>, BTreeSet<BlobKey>), ClientError> {
        let (mut blobs, mut deleted) = (BTreeSet::new(), BTreeSet::new());
        let Some(node) = self.record.node(node) else { return Ok((blobs, deleted)) };
        let client = NodeClient::new(self.caller.clone(), node.url.clone());
        let mut cursor: Option<String> = None;
        loop {
            let page = client.inventory(partition, cursor.as_deref()).await?;
            for entry in page.items {
                let set = if entry.deleted { &mut deleted } else { &mut blobs };
                set.insert(entry.key);
            }
            match page.next_cursor {
                Some(next) if cursor.as_ref() < Some(&next) => cursor = Some(next),
                _ => return Ok((blobs, deleted)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::sample::{layout_of, node};

    #[tokio::test]
    async fn nobody_waits_for_a_node_that_went_down_since_the_work_was_planned() {
        let record = LayoutRecord::settled(layout_of(4, 3));
        let (caller, throttle, hold) = (Caller::untraced(None).unwrap(), Throttle::new(None), CancellationToken::new());
        let (to, from, partition) = (node(1).id, node(2).id, PartitionId::new(0));
        for down in [to, from] {
            let health = HealthBoard::new();
            let mover = Mover { caller: &caller, throttle: &throttle, health: &health, record: &record, hold: &hold };
            for _ in 0..3 {
                health.note(&record, vec![(down, None)]);
            }
            let copied = AtomicU64::new(0);
            let pull = Pull { to, sources: vec![vec![from]] };
            let outcome = mover.pull(partition, &pull, &PullLog::Repair(&copied)).await;
            assert!(matches!(outcome, Err(MoveError::Down(id)) if id == down), "{outcome:?}");
            let outcome = mover.release(partition, down, record.current.epoch).await;
            assert!(matches!(outcome, Err(MoveError::Down(id)) if id == down));
        }
    }
}
