//! One question to several replicas: failover, hedging, and what is learned about the nodes on the way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until, timeout_at};
use triton_api::{
    BlobKey, NodeId, PartitionId, ProblemType,
    client::{ClientError, NodeClient},
};
use triton_placement::partition_of;

use super::{
    Ring, deadline,
    degraded::DegradedPartition,
    error::RingError,
    order::{self, Replica},
    peer::{Flight, Peer, View},
    tally::Tally,
    targets::{Home, ReadTargets},
    verdict::Refusal,
};

/// What a node is asked.
pub(super) type Ask<T> = Arc<dyn Fn(NodeClient) -> BoxFuture<'static, Result<T, ClientError>> + Send + Sync>;

/// The first good answer.
pub(super) struct Found<T> {
    pub(super) answer: T,
    pub(super) peer: Arc<Peer>,
    /// Keep it for as long as the answer's body is read.
    pub(super) flight: Flight,
}

/// The replica that a reader comes from, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    Nobody,
    /// It has just failed: it comes last.
    Failed(NodeId),
    /// It goes on giving, but slowly: a hedge asks the other holders that are well.
    Giving(NodeId),
}

/// Why another replica is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    First,
    Failover,
    Hedge,
}

/// Who has not answered yet, and since when.
type Waiting = BTreeMap<NodeId, (Arc<Peer>, Home, Instant)>;

struct Attempt<T> {
    node: NodeId,
    took: Duration,
    flight: Flight,
    result: Result<T, ClientError>,
}

struct Race<'a, T> {
    ring: &'a Ring,
    key: &'a BlobKey,
    partition: PartitionId,
    ask: Ask<T>,
    given_up: usize,
    queue: VecDeque<(Arc<Peer>, Home)>,
    pending: FuturesUnordered<BoxFuture<'static, Attempt<T>>>,
    waiting: Waiting,
    tally: Tally,
    hedged: bool,
    last_launch: Instant,
    hedge_delay: Duration,
    patience: Duration,
}

impl Ring {
    /// Asks the replicas of `key` until one gives a good answer.
    ///
    /// # Cancel safety
    /// Dropping it drops the requests; nothing was changed anywhere.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        key: &BlobKey,
        earlier: Earlier,
        ask: Ask<T>,
    ) -> Result<Found<T>, RingError> {
        let partition = partition_of(key);
        let view = self.view();
        let targets = ReadTargets::of(&view.record, partition, self.shared.limits.strangers_max);
        let (hedge_delay, patience) = self.delays();
        let queue = self.queue(&view, &targets, earlier);
        if matches!(earlier, Earlier::Giving(_)) && (queue.is_empty() || !self.spend_hedge()) {
            let detail = "no other replica may be asked".to_owned();
            return Err(RingError::Unavailable { operation: "hedge", key: key.clone(), detail });
        }
        self.shared.counters.questions.fetch_add(1, Ordering::Relaxed);
        self.shared.budget.lock().unwrap_or_else(PoisonError::into_inner).earn();
        let race = Race {
            ring: self,
            key,
            partition,
            ask,
            given_up: targets.given_up.len(),
            queue,
            pending: FuturesUnordered::new(),
            waiting: BTreeMap::new(),
            tally: Tally::default(),
            hedged: false,
            last_launch: Instant::now(),
            hedge_delay,
            patience,
        };
        race.run(deadline(self.shared.limits.open_timeout)).await
    }

    /// Takes a hedge out of the budget, if there is one.
    fn spend_hedge(&self) -> bool {
        let spent = self.shared.budget.lock().unwrap_or_else(PoisonError::into_inner).spend();
        if spent {
            self.shared.counters.hedges.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("triton_ring_hedges_total").increment(1);
        }
        spent
    }

    /// When to hedge, and when to pass over a silent replica.
    fn delays(&self) -> (Duration, Duration) {
        let limits = &self.shared.limits;
        let p95 = self.shared.usual.lock().unwrap_or_else(PoisonError::into_inner).p95().unwrap_or_default();
        let hedge_delay = p95.max(limits.hedge_delay_min).min(limits.patience_max);
        (hedge_delay, (p95 * 4).max(limits.patience_min).min(limits.patience_max))
    }

    fn queue(&self, view: &View, targets: &ReadTargets, earlier: Earlier) -> VecDeque<(Arc<Peer>, Home)> {
        let now = Instant::now();
        let zone = self.shared.limits.zone.as_deref();
        let replica = |(node, home): &(NodeId, Home)| {
            let peer = view.peer(*node)?;
            let (latency_us, in_flight) = peer.load(now);
            Some(Replica {
                node: *node,
                home: *home,
                open: peer.is_open(),
                remote: zone.is_some_and(|zone| zone != peer.zone),
                avoid: earlier == Earlier::Failed(*node),
                latency_us,
                in_flight,
                chance: self.shared.peers.chance(),
            })
        };
        let may_help = |r: &Replica| match earlier {
            Earlier::Nobody | Earlier::Failed(_) => true,
            Earlier::Giving(node) => r.node != node && !r.open && r.home != Home::Stranger,
        };
        let mut replicas: Vec<Replica> = targets.nodes.iter().filter_map(replica).filter(may_help).collect();
        order::sort(&mut replicas);
        replicas.into_iter().filter_map(|r| view.peer(r.node).map(|peer| (Arc::clone(peer), r.home))).collect()
    }
}

impl<T: Send + 'static> Race<'_, T> {
    async fn run(mut self, until: Instant) -> Result<Found<T>, RingError> {
        self.launch(Why::First);
        while !self.pending.is_empty() {
            let wake = self.next_launch();
            // Cancel safe: `FuturesUnordered::next` loses nothing and the others are sleeps.
            tokio::select! {
                Some(attempt) = self.pending.next() => {
                    if let Some(found) = self.take(attempt)? {
                        self.conclude_won();
                        return Ok(found);
                    }
                    if self.pending.is_empty() || self.next_is_holder() {
                        self.launch(Why::Failover);
                    }
                }
                () = sleep_until(wake.unwrap_or(until)), if wake.is_some() => self.overdue(),
                () = sleep_until(until) => break,
            }
        }
        for (node, (peer, home, _)) in std::mem::take(&mut self.waiting) {
            peer.failed("no answer in time", self.ring.shared.limits.open_timeout);
            self.tally.unknown(node, home, "no answer in time");
        }
        Err(self.tally.conclude(self.key, self.given_up))
    }

    fn next_is_holder(&self) -> bool {
        self.queue.front().is_some_and(|(_, home)| *home != Home::Stranger)
    }

    /// When a further replica is asked although none has failed.
    fn next_launch(&self) -> Option<Instant> {
        self.queue.front()?;
        let may_hedge = !self.hedged && self.next_is_holder();
        Some(self.last_launch + if may_hedge { self.hedge_delay } else { self.patience })
    }

    fn overdue(&mut self) {
        if self.hedged || !self.next_is_holder() {
            // Beyond patience: no hedge against bad luck, but a node that hangs.
            self.launch(Why::Failover);
            return;
        }
        self.hedged = true;
        if self.ring.spend_hedge() {
            self.launch(Why::Hedge);
        }
    }

    fn launch(&mut self, why: Why) {
        let Some((peer, home)) = self.queue.pop_front() else { return };
        if why == Why::Failover {
            self.ring.shared.counters.failovers.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("triton_ring_failovers_total").increment(1);
        }
        tracing::trace!(node.id = %peer.node, blob.key = %self.key, ?why, "ask");
        let (node, flight, started) = (peer.node, peer.fly(), Instant::now());
        let answer = (self.ask)(peer.client.clone());
        self.waiting.insert(node, (peer, home, started));
        self.last_launch = started;
        self.pending.push(Box::pin(async move {
            let result = answer.await;
            Attempt { node, took: started.elapsed(), flight, result }
        }));
    }

    /// Takes an answer in: `Ok(None)` where another replica must be asked.
    fn take(&mut self, attempt: Attempt<T>) -> Result<Option<Found<T>>, RingError> {
        let Attempt { node, took, flight, result } = attempt;
        let Some((peer, home, _)) = self.waiting.remove(&node) else { return Ok(None) };
        let error = match result {
            Ok(answer) => {
                peer.answered(Some(took));
                let mut usual = self.ring.shared.usual.lock().unwrap_or_else(PoisonError::into_inner);
                usual.record(took, Instant::now());
                return Ok(Some(Found { answer, peer, flight }));
            }
            Err(error) => error,
        };
        learn(&peer, &error, took);
        match Refusal::of(&error) {
            Refusal::Absent => self.tally.absent(node, home),
            Refusal::Deleted => return Err(RingError::Deleted { key: self.key.clone() }),
            Refusal::Range => return Err(RingError::Range { key: self.key.clone() }),
            Refusal::Declined if error.problem_type() == Some(ProblemType::Corrupt) => {
                self.tally.damaged(node, home, &error.to_string());
            }
            Refusal::Failed | Refusal::Declined | Refusal::Exists | Refusal::Stale => {
                self.tally.unknown(node, home, &error.to_string());
            }
        }
        Ok(None)
    }

    /// Reports holders without the blob to repair, and goes on to measure the replicas that were slower.
    fn conclude_won(self) {
        let Self { ring, partition, tally, pending, waiting, .. } = self;
        let missing: BTreeSet<NodeId> = tally.lacking.into_iter().collect();
        ring.shared.degraded.mark(DegradedPartition::missing(partition, missing));
        if waiting.is_empty() {
            return;
        }
        // At once, so that the next reader asks another node first; how slow it really is will show.
        for (peer, _, since) in waiting.values() {
            peer.was_slower_than(since.elapsed());
        }
        // A node that hangs must be found out although hedges hide it: otherwise each reader would pay for it again.
        if let Ok(permit) = Arc::clone(&ring.shared.measured).try_acquire_owned() {
            let patience = ring.shared.limits.patience_max;
            ring.shared.tasks.spawn(async move {
                measure(pending, waiting, patience).await;
                drop(permit);
            });
        }
    }
}

async fn measure<T>(
    mut pending: FuturesUnordered<BoxFuture<'static, Attempt<T>>>,
    mut waiting: Waiting,
    patience: Duration,
) {
    let until = deadline(patience);
    while let Ok(Some(attempt)) = timeout_at(until, pending.next()).await {
        let Some((peer, ..)) = waiting.remove(&attempt.node) else { continue };
        match &attempt.result {
            Ok(_) => peer.answered(Some(attempt.took)),
            Err(error) => learn(&peer, error, attempt.took),
        }
    }
    for (peer, ..) in waiting.into_values() {
        peer.failed("no answer in time", patience);
    }
}

/// What an error says about the node itself.
fn learn(peer: &Arc<Peer>, error: &ClientError, took: Duration) {
    match Refusal::of(error) {
        Refusal::Failed => peer.failed(&error.to_string(), took),
        Refusal::Absent | Refusal::Deleted | Refusal::Range => peer.answered(Some(took)),
        Refusal::Declined | Refusal::Exists | Refusal::Stale => peer.answered(None),
    }
}
