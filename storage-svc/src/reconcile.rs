//! Learning the deletes that this node missed while it was away, from every other node of the layout.
//!
//! The tombstones' digests are compared, partition by partition, and those of unequal ones fetched: no clock of another
//! machine is trusted. What availability it may cost is bounded: when a node that is asked does not answer for
//! [`PATIENCE`], this node goes on without it, though not with deletes that it was told and could not carry out, for whoever cannot be reached by a node may well be down, and then nobody
//! else has the blobs either. It is asked on, and its tombstones are taken over when it answers. Nodes that reconcile tell
//! their tombstones, so that a cluster that starts as a whole does not wait for itself.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use triton_api::{
    BlobHash, PartitionId,
    client::{ClientError, NodeClient},
    layout::{LayoutNode, NodeState},
    storage::{Tombstone, TombstoneDigest},
};

use crate::{
    blocking,
    node::Node,
    presence::BEAT,
    store::{Store, StoreError, is_forgotten},
};

/// How long a node that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before nodes that did not answer are asked again, before and after patience has run out.
const ASK_AGAIN: Duration = Duration::from_millis(200);
const ASK_LATER: Duration = Duration::from_secs(5);
/// How long a node is asked at all: later the leader's repair brings what it knows.
const ASK_FOR: Duration = Duration::from_secs(600);
/// Nodes that are asked, partitions that are fetched, and deletes that are carried out at once.
const IN_FLIGHT: usize = 8;

#[derive(Debug, Error)]
enum ReconcileError {
    #[error("it does not answer")]
    Silent,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Notices absences and makes up for them, until `stop`.
pub(crate) async fn run(node: Node, stop: CancellationToken) {
    let beat = async {
        loop {
            node.presence.beat();
            tokio::time::sleep(BEAT).await;
        }
    };
    let reconcile = async {
        loop {
            let absence = node.presence.absence().await;
            reconcile(&node, absence).await;
        }
    };
    // Cancel safe: what was learned is on the disk, and nobody asks a node that stops.
    tokio::select! {
        () = stop.cancelled() => {}
        () = beat => {}
        () = reconcile => {}
    }
}

/// Compares with all others until each has answered, or is not worth waiting for; a new absence ends it early.
async fn reconcile(node: &Node, absence: u64) {
    let began = Instant::now();
    let mut pending = others(node);
    let (mut learned, mut own_trouble);
    learned = 0;
    loop {
        let asked = stream::iter(pending).map(|peer| async move { (learn(node, &peer).await, peer) });
        let answers: Vec<_> = asked.buffer_unordered(IN_FLIGHT).collect().await;
        (pending, own_trouble) = (Vec::new(), false);
        for (answer, peer) in answers {
            match answer {
                Ok(deletes) => learned += deletes,
                Err(error) => {
                    tracing::debug!(%error, "a node does not tell its tombstones yet");
                    own_trouble |= matches!(error, ReconcileError::Store(_));
                    pending.push(peer);
                }
            }
        }
        let is_over = began.elapsed() >= PATIENCE;
        // Who knows of deletes, and cannot carry them out, does not serve what was deleted.
        if pending.is_empty() || is_over && !own_trouble {
            node.presence.settle(absence);
        }
        if pending.is_empty() || began.elapsed() >= ASK_FOR || node.presence.is_unsettled() && is_over {
            break;
        }
        tokio::time::sleep(if is_over { ASK_LATER } else { ASK_AGAIN }).await;
    }
    metrics::counter!("triton_reconciled_deletes_total").increment(learned);
    let (silent, took_ms) = (pending.len(), began.elapsed().as_millis());
    tracing::info!(learned, silent, took_ms, "deletes that were missed are carried out");
}

fn others(node: &Node) -> Vec<NodeClient> {
    let Some(record) = node.store.layout() else { return Vec::new() };
    // Nobody speaks to a node that the layout has given up.
    let is_asked = |other: &&LayoutNode| other.id != node.store.id() && other.state != NodeState::Down;
    record.nodes().into_iter().filter(is_asked).map(|other| node.client(&other.url)).collect()
}

/// Takes over what a node knows of deletes; answers how many were new.
async fn learn(node: &Node, peer: &NodeClient) -> Result<u64, ReconcileError> {
    let theirs = timeout(ANSWER_TIMEOUT, peer.tombstone_digests()).await.map_err(|_| ReconcileError::Silent)??;
    let store = node.store.clone();
    let ours = blocking::run(move || store.tombstone_digests()).await?;
    let ours: BTreeSet<(PartitionId, BlobHash)> = ours.iter().map(name).collect();
    let unequal: Vec<PartitionId> =
        theirs.iter().map(name).filter(|digest| !ours.contains(digest)).map(|d| d.0).collect();
    tracing::debug!(partitions = unequal.len(), "a node tells its tombstones");
    let learned = stream::iter(unequal).map(|partition| learn_partition(node, peer, partition));
    learned.buffer_unordered(IN_FLIGHT).try_fold(0, |sum, more| std::future::ready(Ok(sum + more))).await
}

fn name(digest: &TombstoneDigest) -> (PartitionId, BlobHash) {
    (digest.partition, digest.digest)
}

async fn learn_partition(node: &Node, peer: &NodeClient, partition: PartitionId) -> Result<u64, ReconcileError> {
    let (mut cursor, mut learned) = (None::<String>, 0);
    loop {
        let page = timeout(PATIENCE, peer.tombstones(partition, cursor.as_deref())).await;
        let page = page.map_err(|_| ReconcileError::Silent)??;
        let deletes = stream::iter(page.items).map(|deleted| {
            let store = node.store.clone();
            blocking::run(
                move || if store.is_news(&deleted)? { store.take_over(&deleted, None).map(|()| 1) } else { Ok(0) },
            )
        });
        learned +=
            deletes.buffer_unordered(IN_FLIGHT).try_fold(0, |sum, more| std::future::ready(Ok(sum + more))).await?;
        match page.next_cursor {
            // Pages are sorted by key, so a cursor that does not grow would be a loop.
            Some(next) if cursor.as_ref() < Some(&next) => cursor = Some(next),
            _ => return Ok(learned),
        }
    }
}

impl Store {
    /// Whether a delete is not known here, and worth knowing: one that is about to be forgotten there is so only for its
    /// blob.
    pub(crate) fn is_news(&self, deleted: &Tombstone) -> Result<bool, StoreError> {
        if self.is_deleted(&deleted.key)? {
            return Ok(false);
        }
        match self.describe(&deleted.key) {
            Err(StoreError::NotFound(_)) => Ok(!is_forgotten(deleted.age_ms)),
            // What cannot be read can be deleted as well.
            Ok(_) | Err(StoreError::Corrupt { .. } | StoreError::Disk(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
