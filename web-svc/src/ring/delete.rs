//! Deleting a blob on its holders.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until, timeout_at};
use triton_api::{BlobKey, NodeId, PartitionId, client::ClientError};
use triton_placement::partition_of;

use super::{
    Ring, deadline,
    degraded::DegradedPartition,
    error::RingError,
    peer::{Peer, View},
    targets::{Home, ReadTargets, WriteTargets},
    verdict::Refusal,
    write::Setback,
};

struct Answer {
    node: NodeId,
    result: Result<(), ClientError>,
}

/// One round of a delete.
struct Erasure {
    ring: Ring,
    key: BlobKey,
    partition: PartitionId,
    quorum: usize,
    /// The holders whose tombstones count.
    counted: BTreeSet<NodeId>,
    pending: FuturesUnordered<BoxFuture<'static, Answer>>,
    waiting: BTreeMap<NodeId, Arc<Peer>>,
    /// Nodes that are not waited for: their circuit is open, or they only stood in.
    hopeless: BTreeSet<NodeId>,
    tombstones: usize,
    missing: BTreeSet<NodeId>,
    words: Vec<String>,
}

impl Ring {
    /// Deletes a blob for good: its key is never used again. Deleting what is not there is no error.
    ///
    /// Returns when every holder that answers has a tombstone, a majority at least; the others get theirs from repair.
    ///
    /// # Errors
    /// [`RingError::Unavailable`] where too few holders could be asked, [`RingError::StaleLayout`] where the nodes know a
    /// layout that is not here yet: delete again later.
    ///
    /// # Cancel safety
    /// Dropped before it returns, some holders may have a tombstone; deleting again is safe.
    #[tracing::instrument(level = "debug", skip_all, fields(blob.key = %key))]
    pub async fn delete(&self, key: &BlobKey) -> Result<(), RingError> {
        let deleted = self.erase(key).await;
        let outcome = deleted.as_ref().map_or_else(RingError::outcome, |()| "ok");
        metrics::counter!("triton_ring_deletes_total", "outcome" => outcome).increment(1);
        deleted
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), RingError> {
        let until = deadline(self.shared.limits.delete_timeout);
        loop {
            let view = self.view();
            match Erasure::new(self.clone(), &view, key).run(until).await {
                Ok(()) => return Ok(()),
                Err(Setback::Final(error)) => return Err(error),
                Err(Setback::Stale) => self.wait_for_other_epoch(view.record.write_epoch(), until).await?,
            }
        }
    }
}

impl Erasure {
    fn new(ring: Ring, view: &View, key: &BlobKey) -> Self {
        let (partition, epoch) = (partition_of(key), view.record.write_epoch());
        let write = WriteTargets::of(&view.record, partition);
        let read = ReadTargets::of(&view.record, partition, 0);
        // A stand-in's copy would be found again once all holders have forgotten their tombstones.
        let stand_ins = ring.shared.degraded.stand_ins(partition).into_iter().map(|node| (node, Home::Stranger));
        let mut erasure = Self {
            key: key.clone(),
            partition,
            quorum: write.quorum(),
            counted: write.holders.iter().copied().collect(),
            pending: FuturesUnordered::new(),
            waiting: BTreeMap::new(),
            hopeless: BTreeSet::new(),
            tombstones: 0,
            missing: BTreeSet::new(),
            words: Vec::new(),
            ring,
        };
        for (node, home) in read.nodes.into_iter().chain(stand_ins) {
            let Some(peer) = view.peer(node) else { continue };
            if home == Home::Stranger || peer.is_open() {
                erasure.hopeless.insert(node);
            }
            erasure.waiting.insert(node, Arc::clone(peer));
            let (client, key) = (peer.client.clone(), key.clone());
            erasure.pending.push(Box::pin(async move { Answer { node, result: client.delete(&key, epoch).await } }));
        }
        erasure
    }

    async fn run(mut self, until: Instant) -> Result<(), Setback> {
        let mut grace = None;
        while self.waiting.keys().any(|node| !self.hopeless.contains(node)) || !self.is_safe() {
            if self.is_safe() && grace.is_none() {
                grace = Some(deadline(self.ring.shared.limits.delete_grace));
            }
            if !self.can_be_safe() {
                return Err(Setback::Final(self.failure("too few holders answered")));
            }
            // Cancel safe: `FuturesUnordered::next` loses nothing and the others are sleeps.
            tokio::select! {
                Some(answer) = self.pending.next() => self.take(answer)?,
                () = sleep_until(grace.unwrap_or(until)), if grace.is_some() => break,
                () = sleep_until(until) => return Err(Setback::Final(self.failure("no majority in time"))),
            }
        }
        self.report().await;
        if !self.pending.is_empty() {
            let tasks = self.ring.shared.tasks.clone();
            tasks.spawn(self.finish());
        }
        Ok(())
    }

    fn is_safe(&self) -> bool {
        self.tombstones >= self.quorum
    }

    fn can_be_safe(&self) -> bool {
        self.tombstones + self.waiting.keys().filter(|node| self.counted.contains(node)).count() >= self.quorum
    }

    fn take(&mut self, answer: Answer) -> Result<(), Setback> {
        let Some(peer) = self.waiting.remove(&answer.node) else { return Ok(()) };
        let Err(error) = answer.result else {
            peer.answered(None);
            self.tombstones += usize::from(self.counted.contains(&answer.node));
            return Ok(());
        };
        match Refusal::of(&error) {
            Refusal::Absent | Refusal::Deleted => {
                peer.answered(None);
                self.tombstones += usize::from(self.counted.contains(&answer.node));
                return Ok(());
            }
            Refusal::Failed => peer.failed(&error.to_string(), self.ring.shared.limits.delete_grace),
            Refusal::Stale | Refusal::Exists | Refusal::Range | Refusal::Declined => peer.answered(None),
        }
        self.missing.insert(answer.node);
        if Refusal::of(&error) == Refusal::Stale {
            return Err(Setback::Stale);
        }
        self.words.push(format!("node {}: {error}", answer.node));
        Ok(())
    }

    async fn finish(mut self) {
        let limit = self.ring.shared.limits.laggard_timeout;
        let until = deadline(limit);
        while let Ok(Some(answer)) = timeout_at(until, self.pending.next()).await {
            // A newer layout: the node is in `missing` already, and repair works on the newest layout.
            drop(self.take(answer));
        }
        for (node, peer) in std::mem::take(&mut self.waiting) {
            peer.failed("a delete was not answered in time", limit);
            self.missing.insert(node);
        }
        self.report().await;
    }

    fn report(&self) -> impl Future<Output = ()> + Send + use<> {
        self.ring.report(DegradedPartition::missing(self.partition, self.missing.clone()))
    }

    fn failure(&self, what: &str) -> RingError {
        let (tombstones, quorum, said) = (self.tombstones, self.quorum, self.words.join("; "));
        let detail = format!("{what} ({tombstones} tombstones, {quorum} needed) {said}");
        RingError::Unavailable { operation: "delete", key: self.key.clone(), detail }
    }
}
