//! What a node does on its own while it runs, and what it leaves behind when it stops.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use crate::{
    blocking,
    cache::Cache,
    node::Node,
    reconcile,
    scrub::Scrubber,
    second_look,
    store::{Store, StoreError},
};

/// How often the gauges of the store are brought up to date.
const GAUGES_EVERY: Duration = Duration::from_secs(10);
/// How often the ledger is written: after a crash, what changed since is counted again.
const REMEMBER_EVERY: Duration = Duration::from_secs(300);
/// How long one turn of counting takes: so much later a stop is heard.
const COUNT_TURN: Duration = Duration::from_secs(1);
/// The pause after a count that the disk did not let through.
const COUNT_PAUSE: Duration = Duration::from_secs(60);

/// What there is to do.
pub(crate) struct Duties {
    pub(crate) node: Node,
    pub(crate) scrub_bytes_per_second: Option<u64>,
}

impl Duties {
    /// Works until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (store, foreground) = (self.node.store.clone(), Arc::clone(&self.node.foreground));
        let cache = self.node.cache.clone();
        let bytes_per_second = self.scrub_bytes_per_second;
        let scrubber = Scrubber { store: store.clone(), foreground, bytes_per_second, stop: stop.clone() };
        let second_look = second_look::run(self.node.clone(), stop.clone());
        let reconcile = reconcile::run(self.node, stop.clone());
        tokio::join!(
            prepare(&store),
            count(&store, &stop),
            tend(&store, cache.as_deref(), &stop),
            scrubber.run(),
            second_look,
            reconcile
        );
    }
}

/// Makes the directories of all partitions, so that the first blobs of a new node do not pay for one each.
async fn prepare(store: &Store) {
    let store = store.clone();
    if let Err(error) = blocking::run(move || store.prepare()).await {
        tracing::warn!(%error, "the directories of the partitions are made one by one, when they are needed");
    }
}

/// Counts what was not counted at the start; the node works meanwhile.
async fn count(store: &Store, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let counting = store.clone();
        match blocking::run(move || counting.count_for(COUNT_TURN)).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the blobs cannot be counted for now");
                // Cancel safe: a token and a sleep.
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(COUNT_PAUSE) => {}
                }
            }
        }
    }
}

async fn tend(store: &Store, cache: Option<&Cache>, stop: &CancellationToken) {
    let mut gauges = interval_at(Instant::now(), GAUGES_EVERY);
    let mut ledger = interval_at(Instant::now() + REMEMBER_EVERY, REMEMBER_EVERY);
    let (mut written_at, mut swept_at) = (None, None);
    loop {
        // Cancel safe: `cancelled` and `tick` lose nothing; the work itself is not part of the select.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = gauges.tick() => {
                set_gauges(store.clone(), cache.map(Cache::size)).await;
                // With the hour, at which tombstones become outdated on all nodes at once.
                let hour = Some(Timestamp::now().as_second().div_euclid(3600));
                if swept_at != hour {
                    // Not right after the start, when no time has passed yet.
                    if swept_at.is_some() {
                        remember_uptime(store.clone()).await;
                    }
                    sweep_tombstones(store.clone()).await;
                    sweep_orphans(store.clone()).await;
                    swept_at = hour;
                }
            }
            _ = ledger.tick() => written_at = remember(store.clone(), written_at).await,
        }
    }
}

/// Writes the ledger down, so that the next start need not count. For the end, when nothing changes any more.
pub(crate) async fn remember(store: Store, written_at: Option<u64>) -> Option<u64> {
    let outcome: Result<u64, StoreError> = blocking::run(move || store.remember(written_at)).await;
    outcome.inspect_err(|error| tracing::warn!(%error, "the ledger is not written: the next start counts anew")).ok()
}

/// Writes down how much time the node has seen passing. Also for the end.
pub(crate) async fn remember_uptime(store: Store) {
    if let Err(error) = blocking::run(move || store.remember_uptime()).await {
        tracing::warn!(%error, "the uptime is not written down: what is deleted is kept for longer");
    }
}

async fn sweep_tombstones(store: Store) {
    match blocking::run(move || store.sweep_tombstones(Timestamp::now())).await {
        Ok(dropped) => tracing::debug!(dropped, "outdated tombstones are removed"),
        Err(error) => note_left(&error, "outdated tombstones stay until the next sweep"),
    }
}

async fn sweep_orphans(store: Store) {
    match blocking::run(move || store.sweep_orphans(Timestamp::now())).await {
        Ok(0) => {}
        Ok(dropped) => tracing::info!(dropped, "blobs that nobody referred to for a week are unlinked"),
        Err(error) => note_left(&error, "orphans stay until the next sweep"),
    }
}

/// A disk that takes no writes was an alarm once, and is not one each hour.
fn note_left(error: &StoreError, what: &'static str) {
    match error {
        StoreError::ReadOnly => tracing::debug!(%error, what),
        error => tracing::warn!(%error, what),
    }
}

async fn set_gauges(store: Store, cached: Option<(u64, u64)>) {
    match blocking::run(move || store.info()).await {
        Ok(info) => {
            let gauge = |name: &'static str, value: u64| {
                #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
                metrics::gauge!(name, "node" => info.id.to_string()).set(value as f64);
            };
            gauge("triton_store_blobs", info.blobs);
            gauge("triton_store_used_bytes", info.used_bytes);
            gauge("triton_store_orphans", info.orphans);
            gauge("triton_store_quarantined", info.quarantined);
            gauge("triton_scrub_position", u64::from(info.scrub.position.get()));
            gauge("triton_store_counting", u64::from(info.counting));
            gauge("triton_disk_free_bytes", info.free_bytes);
            gauge("triton_disk_capacity_bytes", info.capacity_bytes);
            let (pieces, bytes) = cached.unwrap_or_default();
            gauge("triton_cache_pieces", pieces);
            gauge("triton_cache_bytes", bytes);
        }
        Err(error) => tracing::warn!(%error, "the store cannot be measured"),
    }
}
