//! Pulling what this node lacks of a partition from another holder, in one bounded step.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use thiserror::Error;
use tokio::time::timeout;
use triton_api::{
    BlobKey, Epoch, NodeId, Page, PartitionId,
    client::{ClientError, NodeClient},
    storage::{InventoryEntry, PullReport, PullRequest, Tombstone},
};
use triton_kit::MigrationStep;

use crate::{
    blocking,
    node::Node,
    receive::{ReceiveError, receive},
    store::{Claim, Store, StoreError, check_partition, is_forgotten},
};

/// Bytes after which a pull rests, where viewers suffer from it.
const PORTION_BYTES: usize = 128 * 1024;
/// Blobs in flight in one step.
const IN_FLIGHT: usize = 4;

/// Why a step did not happen, or ended before its end.
#[derive(Debug, Error)]
pub(crate) enum PullError {
    #[error("the pull is of layout epoch {given}, this node writes in epoch {}", epoch_text(*known))]
    Epoch { given: Epoch, known: Option<Epoch> },
    #[error("node {0} is no other node of the layout that this node knows")]
    From(NodeId),
    #[error("the source does not tell what it holds: {0}")]
    Source(ClientError),
    #[error("the source does not tell what it holds within {} s", PAGE_TIMEOUT.as_secs())]
    Silent,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn epoch_text(epoch: Option<Epoch>) -> String {
    epoch.map_or_else(|| "unknown".to_owned(), |epoch| epoch.to_string())
}

/// What is to be done about the entries of one page.
#[derive(Debug, Default)]
struct Plan {
    lacking: Vec<InventoryEntry>,
    deleted: Vec<InventoryEntry>,
    report: PullReport,
}

/// Names of one page: the source looks up each, so that a page should be about what a step copies.
const PAGE_ENTRIES: u16 = 128;
/// The longest wait for such a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Copies at most one page of blobs of `partition`, and about `bytes_max` bytes, from another node.
///
/// Keys that the source could not deliver are listed in the report. A disk that takes no writes, or an epoch that has
/// grown old meanwhile, ends the step with an error; what was copied stays and is skipped the next time.
pub(crate) async fn pull(node: &Node, partition: PartitionId, request: PullRequest) -> Result<PullReport, PullError> {
    let here = node.clone();
    node.background.run(async move { step(&here, partition, request).await }).await
}

async fn step(node: &Node, partition: PartitionId, request: PullRequest) -> Result<PullReport, PullError> {
    check_partition(partition)?;
    let source = source(node, &request)?;
    let page = timeout(PAGE_TIMEOUT, source.inventory_page(partition, request.cursor.as_deref(), PAGE_ENTRIES)).await;
    let page = page.map_err(|_| PullError::Silent)?.map_err(PullError::Source)?;
    MigrationStep::PageListed.reached();
    let (store, bytes_max) = (node.store.clone(), request.bytes_max);
    let Plan { lacking, deleted, mut report } = blocking::run(move || plan(&store, page, bytes_max)).await?;
    for entry in deleted {
        let (store, epoch) = (node.store.clone(), request.epoch);
        let deleted = Tombstone { key: entry.key, hash: entry.hash, age_ms: entry.age_ms };
        blocking::run(move || store.take_over(&deleted, Some(epoch))).await?;
        report.tombstones += 1;
    }
    let fetches = lacking.into_iter().map(|entry| fetch(node, &source, entry, request.epoch));
    let mut fetches = stream::iter(fetches).buffer_unordered(IN_FLIGHT);
    while let Some(fetched) = fetches.next().await {
        match fetched? {
            Fetched::Copied(bytes) => {
                MigrationStep::BlobPulled.reached();
                report.blobs_copied += 1;
                report.bytes_copied += bytes;
                // Here and not at the end, which a step may not come to.
                metrics::counter!("triton_pulled_bytes_total").increment(bytes);
                metrics::counter!("triton_pulled_blobs_total").increment(1);
            }
            Fetched::Failed(key) => report.failed.push(key),
        }
    }
    report.failed.sort();
    // Present blobs count as held from here on: their names must be durable, too.
    let store = node.store.clone();
    blocking::run(move || store.settle(partition)).await?;
    MigrationStep::PagePulled.reached();
    Ok(report)
}

fn source(node: &Node, request: &PullRequest) -> Result<NodeClient, PullError> {
    let record = node.store.layout();
    let known = record.as_ref().map(|record| record.write_epoch());
    if known != Some(request.epoch) {
        return Err(PullError::Epoch { given: request.epoch, known });
    }
    let from = record.as_ref().and_then(|record| record.node(request.from));
    match from {
        Some(from) if from.id != node.store.id() => Ok(node.client(&from.url)),
        _ => Err(PullError::From(request.from)),
    }
}

/// Compares a page with what is here, up to `bytes_max` bytes that are lacking.
fn plan(store: &Store, page: Page<InventoryEntry>, bytes_max: u64) -> Result<Plan, StoreError> {
    let mut plan = Plan::default();
    let mut bytes = 0;
    plan.report.next_cursor = page.next_cursor;
    let last = page.items.len();
    let mut looked_at = 0;
    for (position, entry) in page.items.into_iter().enumerate() {
        let key = entry.key.clone();
        looked_at += 1;
        match store.stance(&entry)? {
            Stance::Settled => plan.report.blobs_present += u64::from(!entry.deleted),
            Stance::Contradicts => {
                tracing::error!(%key, "two nodes have different contents under one key");
                plan.report.failed.push(entry.key);
            }
            Stance::Lacking if entry.deleted => plan.deleted.push(entry),
            Stance::Lacking => {
                bytes += entry.len_bytes;
                plan.lacking.push(entry);
            }
        }
        if bytes >= bytes_max && position + 1 < last {
            plan.report.next_cursor = Some(key.to_string());
            break;
        }
    }
    metrics::counter!("triton_pull_entries_total").increment(looked_at);
    Ok(plan)
}

/// How this node stands to an entry of another node's inventory.
enum Stance {
    /// The blob is here, or was deleted here.
    Settled,
    /// It is not here, or its deletion is not known here.
    Lacking,
    /// Another content is here.
    Contradicts,
}

impl Store {
    fn stance(&self, entry: &InventoryEntry) -> Result<Stance, StoreError> {
        if self.is_deleted(&entry.key)? {
            return Ok(Stance::Settled);
        }
        let here = self.describe(&entry.key);
        if entry.deleted {
            // One that is about to be forgotten there matters only where its blob is still here.
            let is_over = is_forgotten(entry.age_ms) && matches!(here, Err(StoreError::NotFound(_)));
            return Ok(if is_over { Stance::Settled } else { Stance::Lacking });
        }
        match here {
            Ok(here) if here.hash == entry.hash => Ok(Stance::Settled),
            Ok(_) => Ok(Stance::Contradicts),
            Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => Ok(Stance::Lacking),
            Err(error) => Err(error),
        }
    }
}

/// The same frames, no faster than this node may pull, and with a rest for its viewers after each portion.
fn paced<E>(
    node: &Node,
    frames: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> {
    let state = (Box::pin(frames), node.clone(), Instant::now(), 0);
    stream::unfold(state, |(mut frames, node, began, portion)| async move {
        let Some(frame) = frames.next().await else {
            if portion > 0 {
                tokio::time::sleep(node.courtesy.rest_after(began.elapsed(), portion)).await;
            }
            return None;
        };
        let bytes = frame.as_ref().map_or(0, Bytes::len);
        node.pull_pace.pass(bytes).await;
        if portion + bytes < PORTION_BYTES {
            return Some((frame, (frames, node, began, portion + bytes)));
        }
        tokio::time::sleep(node.courtesy.rest_after(began.elapsed(), portion + bytes)).await;
        Some((frame, (frames, node, Instant::now(), 0)))
    })
}

enum Fetched {
    Copied(u64),
    Failed(BlobKey),
}

async fn fetch(node: &Node, source: &NodeClient, entry: InventoryEntry, epoch: Epoch) -> Result<Fetched, StoreError> {
    let InventoryEntry { key, hash, len_bytes, .. } = entry;
    let read = match source.get(&key, None).await {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!(%key, %error, "the source does not deliver a blob that it lists");
            return Ok(Fetched::Failed(key));
        }
    };
    let content = paced(node, read.into_stream());
    let claim = Claim { hash: Some(hash), len_bytes: Some(len_bytes), epoch: Some(epoch) };
    match receive(&node.store, &key, claim, content).await {
        Ok(_) => Ok(Fetched::Copied(len_bytes)),
        // Deleted while it was on its way: nothing is lacking any more.
        Err(ReceiveError::Store(StoreError::Gone(_))) => Ok(Fetched::Copied(0)),
        Err(ReceiveError::Store(error @ (StoreError::Mismatch { .. } | StoreError::Length { .. }))) => {
            tracing::error!(%key, %error, "the source delivers another content than it lists");
            Ok(Fetched::Failed(key))
        }
        Err(ReceiveError::Store(error)) => Err(error),
        Err(error @ (ReceiveError::Broken(_) | ReceiveError::Silent)) => {
            tracing::warn!(%key, %error, "the source did not deliver a blob to its end");
            Ok(Fetched::Failed(key))
        }
    }
}
