//! Deleting this node's copies of a partition that it no longer holds: never before all new holders have them.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, future, stream};
use thiserror::Error;
use triton_api::{
    BlobKey, Epoch, NodeId, PartitionId,
    client::{ClientError, NodeClient},
    layout::LayoutRecord,
    storage::{InventoryEntry, ReleaseReport, ReleaseRequest},
};
use triton_kit::MigrationStep;

use crate::{
    blocking,
    node::Node,
    store::{PAGE_ENTRIES_MAX, StoreError, check_partition},
};

/// Blobs whose holders are asked at once.
const IN_FLIGHT: usize = 8;
/// After this time a step ends; what is left counts as kept, and the caller asks again.
const STEP_TIME: Duration = Duration::from_secs(60);

/// Why nothing was released.
#[derive(Debug, Error)]
pub(crate) enum ReleaseError {
    #[error("epoch {0} is not the one that this node knows as committed, or a migration is going on")]
    Epoch(Epoch),
    #[error("this node is a holder of partition {0}, or nobody is")]
    Holder(PartitionId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Unlinks every blob of `partition` that all of its holders confirm, and keeps the others.
pub(crate) async fn release(
    node: &Node,
    partition: PartitionId,
    request: ReleaseRequest,
) -> Result<ReleaseReport, ReleaseError> {
    let here = node.clone();
    node.background.run(async move { step(&here, partition, request).await }).await
}

async fn step(node: &Node, partition: PartitionId, request: ReleaseRequest) -> Result<ReleaseReport, ReleaseError> {
    check_partition(partition)?;
    let record = node.store.layout().filter(|record| is_committed(record, request.epoch));
    let record = record.ok_or(ReleaseError::Epoch(request.epoch))?;
    if !is_former_holder(&record, partition, node.store.id()) {
        return Err(ReleaseError::Holder(partition));
    }
    let holders: Vec<_> = record.current.holders(partition).map(|holder| node.client(&holder.url)).collect();
    let store = node.store.clone();
    // The holders have taken these over. What comes later they may lack.
    let remembered = blocking::run(move || store.tombstone_files(partition)).await?;
    let mut report = release_blobs(node, partition, request.epoch, &holders).await?;
    let (store, id) = (node.store.clone(), node.store.id());
    report.blobs_kept = blocking::run(move || {
        let kept = store.settle_release(partition)?;
        // With the last blob gone, nothing here needs the memory of deletes, unless this node becomes a holder again.
        if kept == 0 {
            match store
                .release_tombstones(partition, &remembered, |known| may_release(known, request.epoch, partition, id))
            {
                Ok(()) | Err(StoreError::ReadOnly) => {}
                Err(error) => return Err(error),
            }
        }
        Ok::<_, StoreError>(kept)
    })
    .await?;
    MigrationStep::PageReleased.reached();
    Ok(report)
}

async fn release_blobs(
    node: &Node,
    partition: PartitionId,
    epoch: Epoch,
    holders: &[NodeClient],
) -> Result<ReleaseReport, ReleaseError> {
    let began = Instant::now();
    let mut report = ReleaseReport::default();
    let mut after: Option<BlobKey> = None;
    while began.elapsed() < STEP_TIME {
        let (store, from) = (node.store.clone(), after);
        let page = blocking::run(move || store.inventory(partition, from.as_ref(), PAGE_ENTRIES_MAX)).await?;
        // A page may be empty and not the last one.
        after = page.next_cursor.and_then(|cursor| cursor.parse().ok());
        let blobs = page.items.into_iter().filter(|entry| !entry.deleted);
        let steps = blobs.map(|entry| release_blob(node, partition, epoch, holders, entry));
        let mut steps = std::pin::pin!(
            stream::iter(steps).buffer_unordered(IN_FLIGHT).take_while(|_| future::ready(began.elapsed() < STEP_TIME))
        );
        while let Some(bytes) = steps.try_next().await? {
            report.blobs_released += u64::from(bytes.is_some());
            report.bytes_released += bytes.unwrap_or(0);
        }
        if after.is_none() {
            break;
        }
    }
    Ok(report)
}

async fn release_blob(
    node: &Node,
    partition: PartitionId,
    epoch: Epoch,
    holders: &[NodeClient],
    entry: InventoryEntry,
) -> Result<Option<u64>, StoreError> {
    let InventoryEntry { key, hash, len_bytes, .. } = entry;
    let answers = future::join_all(holders.iter().map(|holder| holder.head(&key))).await;
    let confirms = |answer| matches!(answer, &Ok(Some(found)) if found == (hash, len_bytes));
    // A delete is for good, and this node was not asked any more.
    let is_deleted = answers.iter().any(|answer| answer.as_ref().is_err_and(ClientError::is_deleted));
    if !is_deleted && !answers.iter().all(confirms) {
        tracing::warn!(%key, ?answers, "a copy is kept: not every holder confirms that it has the blob");
        return Ok(None);
    }
    MigrationStep::BlobConfirmed.reached();
    let (store, id) = (node.store.clone(), node.store.id());
    let released = blocking::run(move || {
        // Once more, under the lock that a newer layout waits for: this node may have become a holder again.
        store.release(&key, |known| may_release(known, epoch, partition, id))
    })
    .await?;
    if released.is_some() {
        MigrationStep::BlobReleased.reached();
    }
    Ok(released)
}

fn may_release(known: Option<&LayoutRecord>, epoch: Epoch, partition: PartitionId, id: NodeId) -> bool {
    known.is_some_and(|record| is_committed(record, epoch) && is_former_holder(record, partition, id))
}

fn is_committed(record: &LayoutRecord, epoch: Epoch) -> bool {
    record.next.is_none() && record.current.epoch == epoch
}

/// Whether others hold the partition, and this node does not.
fn is_former_holder(record: &LayoutRecord, partition: PartitionId, id: NodeId) -> bool {
    let mut holders = record.current.holders(partition).peekable();
    holders.peek().is_some() && holders.all(|holder| holder.id != id)
}
