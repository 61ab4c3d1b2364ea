//! How fast content moves between two nodes while viewers read, and what the viewers notice of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures_util::TryStreamExt as _;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use triton_api::{
    BlobKey,
    client::{NodeClient, WebClient},
    cluster::NewNode,
    rebalance::{ApplyRequest, FinishedRebalance, RebalancePhase},
};
use triton_testkit::{StorageNode, WebService};

use crate::{
    corpus::Corpus,
    harness::Bench,
    report::{Finding, Outcome},
    spread::Spread,
};

/// What moves, in blobs as long as segments: enough for a move about as long as the quiet time before it. The 99th percentile of
/// the hundred reads of a short one would be their longest.
const CORPUS: Corpus = Corpus { count: 2560, bytes_each: 1024 * 1024 };
/// Viewers, each of whom reads a blob at this interval: 8 MB/s in all.
const READERS: u32 = 8;
const READ_EVERY: Duration = Duration::from_millis(125);
const READ_BYTES: u64 = 128 * 1024;
/// How long viewers read while nothing moves.
const IDLE: Duration = Duration::from_secs(12);
/// Each viewer reads blobs of his own, from this one on while something moves: one that is asked for again is loaded into the
/// node's memory as a whole, which would be all that the move is blamed for. The others last for a move of 27 seconds.
const FIRST_MOVING: usize = 100;
const MOVE_DEADLINE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A second node comes, and gets a copy of everything while eight viewers read from the first one.
pub(super) fn second_node(bench: &Bench) -> anyhow::Result<Outcome> {
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..bench.rounds.min(3) {
        let (last, idle, moving) = bench.runtime.block_on(one_move())?;
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let rate = last.bytes_per_second as f64 / 1e6;
        let ratio = moving.as_secs_f64() / idle.as_secs_f64();
        println!(
            "round {round}: {rate:.0} MB/s; p99 of viewers {:.2} ms idle, {:.2} ms in the rebalance: {ratio:.2} x",
            idle.as_secs_f64() * 1e3,
            moving.as_secs_f64() * 1e3
        );
        rates.push(rate);
        ratios.push(ratio);
    }
    let finding = |goal, values: Vec<f64>| Finding { goal, value: Spread::of(values) };
    let findings = vec![finding("rebalance-rate", rates), finding("rebalance-p99", ratios)];
    Ok(Outcome { findings, ..Outcome::default() })
}

/// The figures of the move, and the viewers' p99 before and while it copies.
async fn one_move() -> anyhow::Result<(FinishedRebalance, Duration, Duration)> {
    let (old, new) = (StorageNode::start(None).await, StorageNode::start(None).await);
    let args = ["--replicas", "2", "--transcode-slots", "0", "--reclaim-grace-seconds", "0"];
    let web = WebService::start_on(std::slice::from_ref(&old.url), &args).await;
    CORPUS.put(&old.client()).await?;
    let client = web.client();
    let idle = while_reading(&old, 0, async {
        sleep(IDLE).await;
        Ok(())
    })
    .await?;
    client.add_node(&NewNode { url: new.url.clone(), zone: None, weight: None }).await?;
    let epoch = client.rebalance_plan().await?.epoch;
    let moving = while_reading(&old, FIRST_MOVING, async {
        client.rebalance_apply(ApplyRequest::default()).await?;
        until(&client, |state| state.epoch > epoch).await
    })
    .await?;
    until(&client, |state| state.phase == RebalancePhase::Stable).await?;
    let last = client.rebalance().await?.last.context("the figures of the move")?;
    ensure!(last.bytes_done == u64::from(CORPUS.count) * CORPUS.bytes_each, "{last:?}");
    Ok((last, idle, moving))
}

async fn until(
    client: &WebClient,
    is_reached: impl Fn(&triton_api::rebalance::Rebalance) -> bool,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while !is_reached(&client.rebalance().await?) {
        ensure!(began.elapsed() < MOVE_DEADLINE, "the move takes too long: {:?}", client.rebalance().await?);
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Lets the viewers read until `work` has ended; answers the time that 99 of 100 reads took at most.
async fn while_reading(
    node: &StorageNode,
    first: usize,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Duration> {
    let stop = CancellationToken::new();
    let mut readers = JoinSet::new();
    let keys: Arc<Vec<BlobKey>> =
        Arc::new((0..CORPUS.count).map(|number| CORPUS.key(number)).collect::<Result<_, _>>()?);
    for reader in 0..READERS {
        let (client, keys, stop) = (node.client(), Arc::clone(&keys), stop.clone());
        readers.spawn(async move { read(client, &keys, reader, first, stop).await });
    }
    work.await?;
    stop.cancel();
    let mut times = Vec::new();
    while let Some(read) = readers.join_next().await {
        times.extend(read??);
    }
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().context("nobody has read anything")
}

async fn read(
    client: NodeClient,
    keys: &[BlobKey],
    reader: u32,
    first: usize,
    stop: CancellationToken,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    // Not all at once: viewers do not know of each other.
    sleep(READ_EVERY * reader / READERS).await;
    let mut turns = interval(READ_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = first + reader as usize * keys.len() / READERS as usize;
    while !stop.is_cancelled() {
        turns.tick().await;
        number += 1;
        let began = Instant::now();
        let answer = client.get(&keys[number % keys.len()], Some(0..READ_BYTES)).await?;
        let bytes: usize =
            answer.into_stream().map_ok(|frame| frame.len()).try_fold(0, async |sum, more| Ok(sum + more)).await?;
        ensure!(bytes as u64 == READ_BYTES, "{bytes} bytes of a blob");
        times.push(began.elapsed());
    }
    Ok(times)
}
