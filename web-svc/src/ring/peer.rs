//! What this process knows of each node: its client, circuit, latency and last error.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::{
    NodeId, NodeUrl,
    client::{Caller, NodeClient},
    layout::LayoutRecord,
};

use super::{
    breaker::{Breaker, Circuit},
    latency::Latency,
    limits::BreakerLimits,
};

/// How a node looks from here.
#[derive(Debug, Clone)]
pub struct PeerHealth {
    /// The node.
    pub node: NodeId,
    /// Whether requests go there.
    pub circuit: Circuit,
    /// The 95th percentile of the recent times to the head of an answer.
    pub p95: Option<Duration>,
    /// Requests on their way.
    pub in_flight: u32,
    /// The last failure, which may be long ago.
    pub last_error: Option<(Timestamp, String)>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) zone: String,
    pub(super) client: NodeClient,
    url: NodeUrl,
    state: Mutex<PeerState>,
    in_flight: AtomicU32,
    /// A task probes this node: one is enough, however often the circuit closes and opens meanwhile.
    probed: AtomicBool,
    limits: BreakerLimits,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct PeerState {
    breaker: Breaker,
    latency: Latency,
    last_error: Option<(Timestamp, String)>,
}

/// A request on its way; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Flight(Arc<Peer>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Peer {
    pub(super) fn fly(self: &Arc<Self>) -> Flight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Flight(Arc::clone(self))
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().breaker.circuit() != Circuit::Closed
    }

    /// The recent latency in microseconds, and the requests on their way.
    pub(super) fn load(&self, now: Instant) -> (f64, u32) {
        (self.lock().latency.average_us(now), self.in_flight.load(Ordering::Relaxed))
    }

    /// The node answered after `took`; what it said does not matter here.
    pub(super) fn answered(&self, took: Option<Duration>) {
        let mut state = self.lock();
        state.breaker.succeed();
        if let Some(took) = took {
            state.latency.record(took, Instant::now());
        }
    }

    /// Another node was faster after this one had been waited for.
    pub(super) fn was_slower_than(&self, waited: Duration) {
        self.lock().latency.record(waited, Instant::now());
    }

    /// The node did not answer, gave its answer too slowly, or answered that it is broken. It is asked after others for a while;
    /// where this opens its circuit, it begins to be probed.
    pub(super) fn failed(self: &Arc<Self>, why: &str, took: Duration) {
        let now = Instant::now();
        let mut state = self.lock();
        state.last_error = Some((Timestamp::now(), why.to_owned()));
        // A refused connection is quick; it must not make the node look fast.
        state.latency.record(took.max(Duration::from_millis(100)), now);
        let opened = state.breaker.fail(now);
        let begin = opened && !self.probed.swap(true, Ordering::AcqRel);
        drop(state);
        if opened {
            tracing::warn!(node.id = %self.node, error = why, "node fails: its circuit opens");
            metrics::counter!("triton_ring_circuit_openings_total", "node" => self.node.to_string()).increment(1);
            if begin {
                self.tasks.spawn(probe_until_closed(Arc::downgrade(self), self.shutdown.clone()));
            }
        }
    }

    /// When to probe next; `None` ends the probing.
    fn next_probe(&self) -> Option<Instant> {
        let state = self.lock();
        let due = state.breaker.probe_at();
        if due.is_none() {
            // Under the lock: an opening after this sees the flag and begins anew.
            self.probed.store(false, Ordering::Release);
        }
        due
    }

    fn health(&self) -> PeerHealth {
        let state = self.lock();
        PeerHealth {
            node: self.node,
            circuit: state.breaker.circuit(),
            p95: state.latency.p95(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            last_error: state.last_error.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PeerState> {
        // Statistics: whatever a panic left behind is good enough.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks a node about itself until it answers, so that no reader pays for finding out. Ends with the node's removal.
async fn probe_until_closed(peer: Weak<Peer>, shutdown: CancellationToken) {
    while let Some(due) = peer.upgrade().and_then(|peer| peer.next_probe()) {
        tokio::select! {
            () = sleep_until(due) => {}
            () = shutdown.cancelled() => return,
        }
        let Some(peer) = peer.upgrade() else { return };
        if !peer.lock().breaker.begin_probe(Instant::now()) {
            continue;
        }
        let answer = timeout(peer.limits.probe_timeout, peer.client.info()).await;
        let succeeded = matches!(&answer, Ok(Ok(info)) if info.id == peer.node);
        peer.lock().breaker.end_probe(succeeded, Instant::now());
        if succeeded {
            tracing::info!(node.id = %peer.node, "node answers again: its circuit closes");
        }
    }
}

/// The nodes of one layout record.
#[derive(Debug)]
pub(super) struct View {
    pub(super) record: Arc<LayoutRecord>,
    peers: HashMap<NodeId, Arc<Peer>>,
}

impl View {
    pub(super) fn peer(&self, node: NodeId) -> Option<&Arc<Peer>> {
        self.peers.get(&node)
    }

    pub(super) fn health(&self) -> Vec<PeerHealth> {
        let mut health: Vec<_> = self.peers.values().map(|peer| peer.health()).collect();
        health.sort_by_key(|peer| peer.node);
        health
    }
}

/// All nodes of the layout, as it changes.
#[derive(Debug)]
pub(super) struct Peers {
    caller: Caller,
    layout: watch::Receiver<Arc<LayoutRecord>>,
    limits: BreakerLimits,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    view: Mutex<Arc<View>>,
    chance: AtomicU64,
}

impl Peers {
    pub(super) fn new(
        caller: Caller,
        layout: watch::Receiver<Arc<LayoutRecord>>,
        limits: BreakerLimits,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let empty = View { record: layout.borrow().clone(), peers: HashMap::new() };
        let chance = AtomicU64::new(uuid::Uuid::new_v4().as_u64_pair().0);
        let peers = Self { caller, layout, limits, tasks, shutdown, view: Mutex::new(Arc::new(empty)), chance };
        let first = Arc::new(peers.view_of(peers.layout.borrow().clone(), &HashMap::new()));
        *peers.lock() = first;
        peers
    }

    /// The nodes of the newest layout. What is known of a node survives as long as its address does.
    pub(super) fn view(&self) -> Arc<View> {
        let record = self.layout.borrow().clone();
        let mut view = self.lock();
        if !Arc::ptr_eq(&view.record, &record) {
            *view = Arc::new(self.view_of(record, &view.peers));
        }
        Arc::clone(&view)
    }

    /// A number from 0 to 1 (splitmix64): good enough to spread load.
    pub(super) fn chance(&self) -> f64 {
        let mut bits = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    fn view_of(&self, record: Arc<LayoutRecord>, known: &HashMap<NodeId, Arc<Peer>>) -> View {
        let peer = |node: &triton_api::layout::LayoutNode| match known.get(&node.id) {
            Some(peer) if peer.url == node.url && peer.zone == node.zone => (node.id, Arc::clone(peer)),
            _ => (node.id, Arc::new(self.peer_of(node))),
        };
        let peers = record.nodes().into_iter().map(peer).collect();
        View { record, peers }
    }

    fn peer_of(&self, node: &triton_api::layout::LayoutNode) -> Peer {
        Peer {
            node: node.id,
            zone: node.zone.clone(),
            client: NodeClient::new(self.caller.clone(), node.url.clone()),
            url: node.url.clone(),
            state: Mutex::new(PeerState {
                breaker: Breaker::new(self.limits),
                latency: Latency::default(),
                last_error: None,
            }),
            in_flight: AtomicU32::new(0),
            probed: AtomicBool::new(false),
            limits: self.limits,
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
