//! The ring: how the web service writes to, reads from and deletes on the replicated storage nodes.
//!
//! Blobs are immutable, so any copy with the right hash is correct and reads need no quorum. What this module decides:
//!
//! - **Write.** All holders at once; acknowledged at `floor(R / 2) + 1` durable copies, at least one of them on a holder,
//!   so that "every holder says 404" does mean absent. What failed by then, or lies on a stand-in, makes the partition
//!   *degraded*, durably before the acknowledgement; see [`Ring::degraded`]. The rest goes on in a tracked task under
//!   a deadline, with the same end. Where this process's own disk fails or hangs, the write is acknowledged all the same after
//!   a moment: the copies are durable on their nodes, whose digests show that one is missing.
//! - **Read.** Replicas ordered by circuit, epoch, zone and recent latency; failover, hedging, resume in mid-stream. A node with
//!   a tombstone ends the search: a former holder, which is not asked to delete any more, may still have a copy.
//! - **Delete.** A tombstone on the holders of both epochs; tombstones that did not land are spread by repair.
//!
//! Nothing here retries without a bound, and a node that could not be asked is never taken for a node without the blob.

mod breaker;
mod budget;
mod degraded;
mod degraded_file;
mod delete;
mod error;
mod latency;
mod limits;
mod order;
mod peer;
mod race;
mod rate;
mod read;
mod stream;
mod tally;
mod targets;
mod verdict;
mod write;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::{Epoch, PartitionId, client::Caller, layout::LayoutRecord};

pub use self::{
    breaker::Circuit,
    degraded::{Degraded, DegradedMark, DegradedPartition},
    error::RingError,
    limits::{BreakerLimits, RingLimits},
    peer::PeerHealth,
    read::{BlobHead, RingRead},
    stream::RingStream,
};
use self::{
    budget::HedgeBudget,
    degraded::DegradedSet,
    latency::Latency,
    peer::{Peers, View},
};

/// The client of the whole ring. Cloning it is cheap; all clones share circuits, latencies, budgets and limits.
#[derive(Debug, Clone)]
pub struct Ring {
    shared: Arc<Shared>,
}

/// What happened on the ring since this process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// Questions (opens, heads, resumes and hedges in mid-stream) put to the ring.
    pub questions: u64,
    /// Requests beyond the first of a question, because a replica failed, had nothing or kept silent.
    pub failovers: u64,
    /// Requests beyond the first of a question or a stream, because that one took longer than usual.
    pub hedges: u64,
    /// Streams that went on from another replica.
    pub resumes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    questions: AtomicU64,
    failovers: AtomicU64,
    hedges: AtomicU64,
    resumes: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    layout: watch::Receiver<Arc<LayoutRecord>>,
    peers: Peers,
    limits: RingLimits,
    write_bytes: Arc<Semaphore>,
    /// Races that were lost, but are still measured.
    measured: Arc<Semaphore>,
    degraded: DegradedSet,
    budget: std::sync::Mutex<HedgeBudget>,
    /// Times to the head of an answer, over all nodes: what "longer than usual" means.
    usual: std::sync::Mutex<Latency>,
    counters: Counters,
    tasks: TaskTracker,
}

impl Ring {
    /// A client of the ring that `layout` describes. Background work is spawned on `tasks` only: wait for it before the
    /// process ends. `shutdown` ends the probes of nodes whose circuit is open; unfinished copies get their deadline.
    pub fn new(
        caller: Caller,
        layout: watch::Receiver<Arc<LayoutRecord>>,
        limits: RingLimits,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let shared = Shared {
            peers: Peers::new(caller, layout.clone(), limits.breaker, tasks.clone(), shutdown),
            layout,
            write_bytes: Arc::new(Semaphore::new(limits.write_bytes_in_flight_max)),
            measured: Arc::new(Semaphore::new(limits.lost_races_max)),
            degraded: DegradedSet::open(limits.degraded_file.clone(), limits.degraded_keep_timeout, tasks.clone()),
            budget: std::sync::Mutex::new(HedgeBudget::new(limits.hedge_percent, limits.hedge_burst)),
            usual: std::sync::Mutex::new(Latency::default()),
            counters: Counters::default(),
            limits,
            tasks,
        };
        Self { shared: Arc::new(shared) }
    }

    /// How each node of the layout looks from here.
    pub fn health(&self) -> Vec<PeerHealth> {
        self.view().health()
    }

    /// What happened since the start.
    pub fn counters(&self) -> RingCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        RingCounters {
            questions: read(&counters.questions),
            failovers: read(&counters.failovers),
            hedges: read(&counters.hedges),
            resumes: read(&counters.resumes),
        }
    }

    /// Bytes of blobs that are being written now; at most [`RingLimits::write_bytes_in_flight_max`].
    pub fn write_bytes_in_flight(&self) -> usize {
        self.shared.limits.write_bytes_in_flight_max - self.shared.write_bytes.available_permits()
    }

    /// The partitions that lack a copy, or have one on a stand-in, as far as this process knows.
    ///
    /// They are remembered until [`Self::settle_degraded`], in [`RingLimits::degraded_file`] also over a crash. What was on its
    /// way just then is found by comparing the nodes' digests.
    pub fn degraded(&self) -> Degraded {
        self.shared.degraded.look()
    }

    /// Forgets the partitions that somebody found whole who looked at the nodes after [`Self::degraded`] gave `seen`; what was
    /// reported again meanwhile is remembered.
    pub async fn settle_degraded(&self, whole: &BTreeSet<PartitionId>, seen: DegradedMark) {
        self.shared.degraded.settle(whole, seen);
        self.shared.degraded.keep().await;
    }

    /// Waits until a degraded partition is reported after `seen`.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is taken.
    pub async fn wait_degraded(&self, seen: DegradedMark) {
        self.shared.degraded.wait(seen).await;
    }

    /// Queues a partition for repair; it is in the file when this returns, unless the disk fails or hangs.
    fn report(&self, degraded: DegradedPartition) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            shared.degraded.mark(degraded);
            shared.degraded.keep().await;
        }
    }

    fn view(&self) -> Arc<View> {
        self.shared.peers.view()
    }

    /// Waits until the layout's write epoch is another than `used`; says so if that takes too long.
    async fn wait_for_other_epoch(&self, used: Epoch, until: Instant) -> Result<(), RingError> {
        let mut layout = self.shared.layout.clone();
        let until = until.min(Instant::now() + self.shared.limits.stale_layout_wait);
        let newer = timeout_at(until, layout.wait_for(|record| record.write_epoch() != used)).await;
        match newer {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(RingError::StaleLayout { epoch: used }),
        }
    }
}

/// The moment after `wait`.
fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait
}
