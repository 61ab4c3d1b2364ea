//! Writing a blob to its holders.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout_at},
};
use triton_api::{
    BlobHash, BlobKey, Epoch, NodeId, PartitionId,
    client::{ClientError, NodeClient},
    storage::{BLOB_BYTES_MAX, BlobReceipt},
};
use triton_placement::partition_of;

use super::{
    Ring, deadline, degraded::DegradedPartition, error::RingError, peer::Peer, peer::View, targets::WriteTargets,
    verdict::Refusal,
};

/// From this size on the hash is computed off the async threads: it takes about 0.2 ms.
const HASH_INLINE_BYTES_MAX: usize = 512 * 1024;

/// Why a round of a write ended without a quorum.
pub(super) enum Setback {
    /// A node knows a newer layout: write again when it is here.
    Stale,
    /// It makes no sense to go on.
    Final(RingError),
}

/// What all copies of a write share. The permit is freed with the last copy that is still on its way.
struct Blob {
    key: BlobKey,
    hash: BlobHash,
    content: Bytes,
    epoch: Epoch,
    _permit: Arc<OwnedSemaphorePermit>,
}

struct Landing {
    node: NodeId,
    result: Result<BlobReceipt, ClientError>,
}

/// One round of a write.
struct Fanout {
    ring: Ring,
    blob: Arc<Blob>,
    partition: PartitionId,
    copies: usize,
    quorum: usize,
    pending: FuturesUnordered<BoxFuture<'static, Landing>>,
    /// Who has not answered yet; whether it is a holder, and since when.
    waiting: BTreeMap<NodeId, (Arc<Peer>, bool, Instant)>,
    /// Nodes that may stand in.
    spares: VecDeque<Arc<Peer>>,
    /// Nodes with an open circuit, tried only where there is no other way to a quorum.
    resorts: VecDeque<(Arc<Peer>, bool)>,
    durable: usize,
    durable_home: usize,
    missing: BTreeSet<NodeId>,
    stand_ins: BTreeSet<NodeId>,
    words: Vec<String>,
}

impl Ring {
    /// Writes a blob; returns when `floor(R / 2) + 1` copies are durable, at least one of them on a holder.
    ///
    /// Waits for room under [`RingLimits::write_bytes_in_flight_max`](super::RingLimits) first. Writing the same content
    /// again is no error.
    ///
    /// # Errors
    /// [`RingError::Exists`] for another content under this key, [`RingError::Deleted`] for a key that was deleted,
    /// [`RingError::TooLarge`] for more than [`BLOB_BYTES_MAX`]. Later it may go better with [`RingError::Unavailable`], where
    /// the quorum was not reached, and with [`RingError::StaleLayout`], where the nodes know a layout that is not here yet.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the blob may be written to some nodes, to all or to none; writing it again is safe.
    #[tracing::instrument(level = "debug", skip_all, fields(blob.key = %key, blob.bytes = content.len()))]
    pub async fn put(&self, key: &BlobKey, content: Bytes) -> Result<BlobReceipt, RingError> {
        let (started, len_bytes) = (Instant::now(), content.len() as u64);
        let written = self.write(key, content).await;
        let outcome = written.as_ref().map_or_else(RingError::outcome, |_| "ok");
        metrics::counter!("triton_ring_writes_total", "outcome" => outcome).increment(1);
        metrics::histogram!("triton_ring_write_seconds").record(started.elapsed().as_secs_f64());
        if written.is_ok() {
            metrics::counter!("triton_ring_bytes_total", "direction" => "written").increment(len_bytes);
        }
        written
    }

    async fn write(&self, key: &BlobKey, content: Bytes) -> Result<BlobReceipt, RingError> {
        let len_bytes = content.len() as u64;
        if len_bytes > BLOB_BYTES_MAX {
            return Err(RingError::TooLarge { key: key.clone(), len_bytes, bytes_max: BLOB_BYTES_MAX });
        }
        let permit = Arc::new(self.room(key, content.len()).await?);
        let hash = hash_of(key, content.clone()).await?;
        let until = deadline(self.shared.limits.put_timeout);
        loop {
            let view = self.view();
            let epoch = view.record.write_epoch();
            let permit = Arc::clone(&permit);
            let blob = Blob { key: key.clone(), hash, content: content.clone(), epoch, _permit: permit };
            match Fanout::new(self.clone(), &view, blob).run(until).await {
                Ok(receipt) => return Ok(receipt),
                Err(Setback::Final(error)) => return Err(error),
                Err(Setback::Stale) => self.wait_for_other_epoch(epoch, until).await?,
            }
        }
    }

    /// Waits for room for a blob of this length. One that is larger than all the room takes all of it.
    async fn room(&self, key: &BlobKey, len_bytes: usize) -> Result<OwnedSemaphorePermit, RingError> {
        let limits = &self.shared.limits;
        let counted = len_bytes.max(limits.write_bytes_min).min(limits.write_bytes_in_flight_max);
        let counted = u32::try_from(counted).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.shared.write_bytes).acquire_many_owned(counted).await;
        permit.map_err(|_| unavailable(key, "the ring is closed".to_owned()))
    }
}

fn unavailable(key: &BlobKey, detail: String) -> RingError {
    RingError::Unavailable { operation: "write", key: key.clone(), detail }
}

async fn hash_of(key: &BlobKey, content: Bytes) -> Result<BlobHash, RingError> {
    if content.len() <= HASH_INLINE_BYTES_MAX {
        return Ok(BlobHash::of(&content));
    }
    let hashed = tokio::task::spawn_blocking(move || BlobHash::of(&content)).await;
    hashed.map_err(|error| unavailable(key, format!("hashing failed: {error}")))
}

/// Stores a copy on one node. A request that could not be delivered is repeated once, for a pooled connection may have
/// been closed by a node that restarted; a copy with the same hash that is there already will do.
async fn send(client: NodeClient, blob: Arc<Blob>) -> Result<BlobReceipt, ClientError> {
    let put = || client.put(&blob.key, blob.hash, blob.content.clone(), blob.epoch);
    let mut result = put().await;
    if matches!(result, Err(ClientError::Unreachable { .. })) {
        result = put().await;
    }
    match result {
        Err(error) if Refusal::of(&error) == Refusal::Exists => match client.head(&blob.key).await {
            Ok(Some((hash, len_bytes))) if hash == blob.hash => {
                Ok(BlobReceipt { key: blob.key.clone(), hash, len_bytes })
            }
            Ok(_) => Err(error),
            Err(unknown) => Err(unknown),
        },
        Ok(receipt) if receipt.hash != blob.hash => {
            Err(ClientError::Unexpected { url: receipt.key.to_string(), status: http::StatusCode::CREATED })
        }
        other => other,
    }
}

impl Fanout {
    fn new(ring: Ring, view: &View, blob: Blob) -> Self {
        let partition = partition_of(&blob.key);
        let targets = WriteTargets::of(&view.record, partition);
        let peers = |nodes: &[NodeId]| nodes.iter().filter_map(|id| view.peer(*id).cloned()).collect::<Vec<_>>();
        let (open_holders, holders): (Vec<_>, Vec<_>) = peers(&targets.holders).into_iter().partition(|p| p.is_open());
        let (open_spares, spares): (Vec<_>, Vec<_>) = peers(&targets.spares).into_iter().partition(|p| p.is_open());
        // A holder that was given up is the business of the next layout, not of repair.
        let missing = open_holders.iter().map(|peer| peer.node).collect();
        let resorts = open_holders.into_iter().map(|p| (p, true)).chain(open_spares.into_iter().map(|p| (p, false)));
        let mut fanout = Self {
            ring,
            blob: Arc::new(blob),
            partition,
            copies: targets.copies,
            quorum: targets.quorum(),
            pending: FuturesUnordered::new(),
            waiting: BTreeMap::new(),
            spares: spares.into(),
            resorts: resorts.collect(),
            durable: 0,
            durable_home: 0,
            missing,
            stand_ins: BTreeSet::new(),
            words: Vec::new(),
        };
        for holder in holders {
            fanout.launch(holder, true);
        }
        fanout.stand_in();
        fanout
    }

    /// Runs until the write is safe, and leaves the rest to the background.
    async fn run(mut self, until: Instant) -> Result<BlobReceipt, Setback> {
        let mut stand_in_at = Some(deadline(self.ring.shared.limits.stand_in_after));
        while !self.is_safe() {
            while !self.can_be_safe() {
                if !self.launch_resort() {
                    return Err(Setback::Final(self.failure("too few nodes took it")));
                }
            }
            // Cancel safe: `FuturesUnordered::next` loses nothing and the others are sleeps.
            tokio::select! {
                Some(landing) = self.pending.next() => self.land(landing)?,
                () = sleep_until(stand_in_at.unwrap_or(until)), if stand_in_at.is_some() => {
                    stand_in_at = None;
                    for _ in 0..self.waiting.len() {
                        if let Some(spare) = self.spares.pop_front() {
                            self.launch(spare, false);
                        }
                    }
                }
                () = sleep_until(until) => return Err(Setback::Final(self.failure("no quorum in time"))),
            }
        }
        let Blob { key, hash, content, .. } = &*self.blob;
        let receipt = BlobReceipt { key: key.clone(), hash: *hash, len_bytes: content.len() as u64 };
        // What is known to be missing is queued for repair, durably, before anybody relies on the write.
        self.report().await;
        if !self.pending.is_empty() {
            let tasks = self.ring.shared.tasks.clone();
            tasks.spawn(self.finish());
        }
        Ok(receipt)
    }

    fn is_safe(&self) -> bool {
        self.durable >= self.quorum && self.durable_home > 0
    }

    fn can_be_safe(&self) -> bool {
        let home_pending = self.waiting.values().any(|(_, home, _)| *home);
        self.durable + self.pending.len() >= self.quorum && (self.durable_home > 0 || home_pending)
    }

    /// Sends a copy to a node that is tried only where nothing else helps.
    fn launch_resort(&mut self) -> bool {
        let too_few = self.durable + self.pending.len() < self.quorum;
        if let Some(spare) = self.spares.pop_front_if(|_| too_few) {
            self.launch(spare, false);
            return true;
        }
        let resort = self.resorts.pop_front_if(|(_, home)| *home || too_few);
        let found = resort.is_some();
        if let Some((peer, home)) = resort {
            self.launch(peer, home);
        }
        found
    }

    /// Sends copies to stand-ins until as many copies are durable or on their way as there should be.
    fn stand_in(&mut self) {
        while self.durable + self.pending.len() < self.copies {
            let Some(spare) = self.spares.pop_front() else { return };
            self.launch(spare, false);
        }
    }

    fn launch(&mut self, peer: Arc<Peer>, home: bool) {
        let (node, client, flight, blob) = (peer.node, peer.client.clone(), peer.fly(), Arc::clone(&self.blob));
        self.waiting.insert(node, (peer, home, Instant::now()));
        self.pending.push(Box::pin(async move {
            let result = send(client, blob).await;
            drop(flight);
            Landing { node, result }
        }));
    }

    fn land(&mut self, landing: Landing) -> Result<(), Setback> {
        let node = landing.node;
        let Some((peer, home, since)) = self.waiting.remove(&node) else { return Ok(()) };
        let Err(error) = landing.result else {
            peer.answered(None);
            self.durable += 1;
            self.durable_home += usize::from(home);
            if home {
                self.missing.remove(&node)
            } else {
                self.stand_ins.insert(node)
            };
            return Ok(());
        };
        if home {
            self.missing.insert(node);
        }
        let refusal = Refusal::of(&error);
        if refusal == Refusal::Failed {
            peer.failed(&error.to_string(), since.elapsed());
        } else {
            peer.answered(None);
        }
        match refusal {
            Refusal::Deleted => Err(Setback::Final(RingError::Deleted { key: self.blob.key.clone() })),
            Refusal::Exists => Err(Setback::Final(RingError::Exists { key: self.blob.key.clone() })),
            Refusal::Stale => Err(Setback::Stale),
            Refusal::Absent | Refusal::Range | Refusal::Declined | Refusal::Failed => {
                self.words.push(format!("node {node}: {error}"));
                self.stand_in();
                Ok(())
            }
        }
    }

    /// Waits for the copies beyond the quorum, for a while.
    async fn finish(mut self) {
        let limit = self.ring.shared.limits.laggard_timeout;
        let until = deadline(limit);
        while let Ok(Some(landing)) = timeout_at(until, self.pending.next()).await {
            let node = landing.node;
            match self.land(landing) {
                // A newer layout makes this copy the business of its migration; a tombstone has won over it.
                Ok(()) | Err(Setback::Stale) => {}
                Err(Setback::Final(RingError::Deleted { .. })) => return,
                Err(Setback::Final(error)) => {
                    tracing::error!(node.id = %node, blob.key = %self.blob.key, %error, "replica contradicts the others");
                }
            }
        }
        for (node, (peer, home, _)) in std::mem::take(&mut self.waiting) {
            peer.failed("a copy was not durable in time", limit);
            if home {
                self.missing.insert(node);
            }
        }
        self.report().await;
    }

    /// Tells repair what is not where it should be.
    fn report(&self) -> impl Future<Output = ()> + Send + use<> {
        let (partition, missing, stand_ins) = (self.partition, self.missing.clone(), self.stand_ins.clone());
        self.ring.report(DegradedPartition { partition, missing, stand_ins })
    }

    fn failure(&self, what: &str) -> RingError {
        let (durable, quorum, said) = (self.durable, self.quorum, self.words.join("; "));
        unavailable(&self.blob.key, format!("{what} ({durable} durable copies, {quorum} needed) {said}"))
    }
}
