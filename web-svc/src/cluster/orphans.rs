//! Blobs that no metadata refers to: looked for by the leader, moved aside by the nodes, unlinked a week later.
//!
//! Nothing is lost to a mistake in here: a blob has to be on all its holders, older than a day on every node, by that node's
//! own clock, and without a reference in two runs, each with every node's whole inventory and a snapshot of the metadata that
//! shows a change which this run itself has committed, so that no process can have written down a reference that the snapshot
//! lacks and that is older than the inventory. A run moves at most a hundredth of all blobs, and brings back what metadata
//! refers to again.
//!
//! Blobs are moved a batch at a time. Meanwhile nothing is repaired, for a repair would bring back what one node has moved
//! already and another has not; and the metadata are read anew, for the last batch of a long run may come long after the first,
//! or from a process that hung and does not lead any more.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use triton_api::{
    BlobKey, Epoch, NodeId,
    client::{ClientError, NodeClient},
    layout::LayoutRecord,
    storage::{ORPHANS_MAX, OrphanRequest},
};

use super::{Cluster, holdings::Holdings, named::Named};
use crate::{
    journal::{Change, Expect, JournalError, RecordKey},
    store::StoreError,
};

/// A run moves one blob of so many.
const SHARE: usize = 100;
/// Blobs without a reference that are remembered from one run to the next.
pub(super) const SIGHTINGS_MAX: usize = 100_000;
/// Blobs that are moved at once: no repair begins until all their nodes have done so.
const BATCH: usize = 200;
const _: () = assert!(BATCH <= ORPHANS_MAX);
/// The longest wait for a node that moves a batch; each blob costs it some syncs. One that hangs is left behind, and repair
/// brings back what the others have moved.
const ERRAND_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a run came to nothing.
#[derive(Debug, Error)]
pub(super) enum OrphanError {
    #[error("the metadata cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("the metadata here may lack what others have written: {0}")]
    Journal(#[from] JournalError),
    #[error("the metadata here lags behind its own last change")]
    Lagging,
    #[error(
        "an import of metadata is going on, or was broken off: until the same file has been imported to its end, blobs that it \
         names would be taken for orphans"
    )]
    Import,
    #[error("content is being moved between nodes")]
    Migration,
    #[error("node {0} does not tell what it has: {1}")]
    Silent(NodeId, ClientError),
    #[error("node {0} takes too long to move blobs")]
    Slow(NodeId),
    #[error("the disk of node {0} takes no writes")]
    ReadOnly(NodeId),
    #[error("there is no layout")]
    NoLayout,
    #[error("this process stops or does not lead any more")]
    Stopped,
}

/// What the run itself writes, to see it in its snapshot.
#[derive(Debug, Serialize, Deserialize)]
struct RunRecord {
    v: u32,
    began_at: Timestamp,
}

/// A blob of some nodes that no metadata refers to.
pub(super) type Copies = BTreeMap<BlobKey, Vec<NodeId>>;

/// What a run did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrphanRun {
    /// Blobs of all nodes.
    pub blobs: usize,
    /// Old blobs that no metadata refers to.
    pub sighted: usize,
    /// Those of them that were moved aside.
    pub collected: usize,
    /// Blobs that were moved aside before and are back.
    pub restored: usize,
}

/// Orphans as the last run saw them.
#[derive(Debug, Default)]
pub(super) struct Sightings(HashMap<BlobKey, Instant>);

impl Sightings {
    /// Takes what this run saw; answers what an earlier run, at least `apart` ago, saw as well. Pure.
    fn again(&mut self, seen: &Copies, now: Instant, apart: Duration) -> Vec<BlobKey> {
        let before = std::mem::take(&mut self.0);
        let first = |key: &BlobKey| before.get(key).copied().unwrap_or(now);
        self.0 = seen.keys().take(SIGHTINGS_MAX).map(|key| (key.clone(), first(key))).collect();
        let is_old = |key: &&BlobKey| before.get(*key).is_some_and(|first| now.duration_since(*first) >= apart);
        seen.keys().filter(is_old).cloned().collect()
    }
}

impl Cluster {
    /// Looks for orphans at intervals.
    pub(super) async fn collect_orphans(&self, shutdown: &CancellationToken) {
        let mut sightings = Sightings::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.inner.settings.orphan_interval) => {}
            }
            match self.orphan_run(&mut sightings, shutdown).await {
                Ok(run) => note(run),
                Err(error) => {
                    metrics::counter!("triton_orphan_runs_total", "outcome" => "skipped").increment(1);
                    // Nothing but a person ends an import that was broken off.
                    if matches!(error, OrphanError::Import) {
                        tracing::warn!(reason = %error, "orphans are not looked for now");
                    } else {
                        tracing::info!(reason = %error, "orphans are not looked for now");
                    }
                }
            }
        }
    }

    async fn orphan_run(&self, before: &mut Sightings, stop: &CancellationToken) -> Result<OrphanRun, OrphanError> {
        let record = self.records.layout().await?.ok_or(OrphanError::NoLayout)?.value;
        if record.next.is_some() || self.records.migration().await?.is_some() {
            return Err(OrphanError::Migration);
        }
        let earlier = Named::read(&mut self.records.snapshot().await?).await?;
        // First what is on the nodes, then what is referred to: an upload between the two is seen to be referred to.
        let Holdings { blobs, old, aside } = self.holdings(&record, &earlier, stop).await?;
        let named = self.named().await?;
        let orphans: Copies = old.into_iter().filter(|(key, _)| named.is_orphan(key)).collect();
        let back: Copies = aside.into_iter().filter(|(key, _)| !named.is_orphan(key)).collect();
        let mut run = OrphanRun { blobs, sighted: orphans.len(), ..OrphanRun::default() };
        run.restored = self.in_batches(&record, back, Errand::Restore, stop).await?;
        // Half of the interval: the first sighting and the second must be different looks at different times.
        let mut due = before.again(&orphans, Instant::now(), self.inner.settings.orphan_interval / 2);
        due.truncate(blobs / SHARE);
        let due: Copies =
            due.into_iter().filter_map(|key| orphans.get(&key).map(|on| (key.clone(), on.clone()))).collect();
        run.collected = self.in_batches(&record, due, Errand::Collect, stop).await?;
        Ok(run)
    }

    /// What metadata refers to, complete up to a change that is committed here and now, in this term.
    async fn named(&self) -> Result<Named, OrphanError> {
        let run = RunRecord { v: 1, began_at: Timestamp::now() };
        let change = Change::new().put(RecordKey::orphan_run(), Expect::Anything, &run)?;
        let committed = self.records.journal().commit(change).await?;
        let mut snapshot = self.records.snapshot().await?;
        if snapshot.revision() < committed {
            return Err(OrphanError::Lagging);
        }
        if snapshot.get::<serde_json::Value>(&RecordKey::metadata_import()).await?.is_some() {
            return Err(OrphanError::Import);
        }
        Ok(Named::read(&mut snapshot).await?)
    }

    /// Does an errand about blobs, a batch at a time; answers of how many some copy was moved.
    async fn in_batches(
        &self,
        record: &LayoutRecord,
        copies: Copies,
        errand: Errand,
        stop: &CancellationToken,
    ) -> Result<usize, OrphanError> {
        let (all, mut moved) = (Vec::from_iter(copies), 0);
        for batch in all.chunks(BATCH) {
            let _turn = self.inner.turn.take().await;
            if stop.is_cancelled() {
                return Err(OrphanError::Stopped);
            }
            let named = self.named().await?;
            let still = batch.iter().filter(|(key, _)| named.is_orphan(key) == (errand == Errand::Collect));
            let done = self.on_nodes(record, still, errand).await?;
            errand.count(done);
            moved += done;
        }
        Ok(moved)
    }

    /// Sends each node on an errand about its copies; answers of how many blobs some copy was moved.
    async fn on_nodes<'a>(
        &self,
        record: &LayoutRecord,
        batch: impl Iterator<Item = &'a (BlobKey, Vec<NodeId>)>,
        errand: Errand,
    ) -> Result<usize, OrphanError> {
        let mut by_node: BTreeMap<NodeId, Vec<BlobKey>> = BTreeMap::new();
        for (key, nodes) in batch {
            for node in nodes {
                by_node.entry(*node).or_default().push(key.clone());
            }
        }
        let mut most = 0;
        for (id, keys) in by_node {
            let Some(node) = record.node(id) else { continue };
            let client = NodeClient::new(self.inner.caller.clone(), node.url.clone());
            let request = self.request(&keys, record.current.epoch);
            let done = async {
                match errand {
                    Errand::Collect => client.collect_orphans(&request).await,
                    Errand::Restore => client.restore_orphans(&request).await,
                }
            };
            let report = timeout(ERRAND_TIMEOUT, done).await.map_err(|_| OrphanError::Slow(id))?;
            let moved = report.map_err(|error| OrphanError::Silent(id, error))?.moved;
            tracing::info!(node.id = %id, keys = keys.len(), moved, ?errand, "orphans are moved");
            most = most.max(usize::try_from(moved).unwrap_or(usize::MAX));
        }
        Ok(most)
    }

    fn request(&self, keys: &[BlobKey], epoch: Epoch) -> OrphanRequest {
        OrphanRequest { keys: keys.to_vec(), epoch, age_ms_min: millis(self.inner.settings.orphan_age) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    Collect,
    Restore,
}

impl Errand {
    /// At once: a run may fail at its next batch.
    fn count(self, blobs: usize) {
        let counter = match self {
            Self::Collect => metrics::counter!("triton_orphans_collected_total"),
            Self::Restore => metrics::counter!("triton_orphans_restored_total"),
        };
        counter.increment(blobs as u64);
    }
}

pub(super) fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn note(run: OrphanRun) {
    let OrphanRun { blobs, sighted, collected, restored } = run;
    metrics::counter!("triton_orphan_runs_total", "outcome" => "complete").increment(1);
    metrics::gauge!("triton_orphans_sighted").set(f64::from(super::plan::count(sighted)));
    tracing::info!(blobs, sighted, collected, restored, "orphans were looked for");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orphan_is_due_when_it_was_seen_twice_with_time_in_between_and_not_in_between_referred_to() {
        const APART: Duration = Duration::from_secs(60);
        let seen = |names: &[&str]| names.iter().map(|name| (name.parse().unwrap(), Vec::new())).collect::<Copies>();
        let texts = |keys: Vec<BlobKey>| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (mut sightings, began) = (Sightings::default(), Instant::now());
        let mut look =
            |names: &[&str], seconds| texts(sightings.again(&seen(names), began + Duration::from_secs(seconds), APART));
        assert!(look(&["a", "b"], 0).is_empty(), "seen once");
        assert!(look(&["a", "b"], 30).is_empty(), "seen twice in a row is no second look");
        assert_eq!(look(&["a", "c"], 61), ["a"]);
        assert_eq!(look(&["a", "b", "c"], 130), ["a", "c"], "b was referred to in between");
    }
}
