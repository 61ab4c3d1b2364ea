//! Replicas that are slow, but not silent.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::Instant;
use triton_api::BlobKey;
use triton_testkit::Fault;
use web_svc::ring::RingLimits;

use crate::cluster::{Cluster, MIB, TestNode, content, key, limits};

const KIB: usize = 1024;
/// Makes the good nodes slower to answer than the one that trickles: the ring prefers the quickest.
const LAST_CHOICE: Duration = Duration::from_millis(10);

/// Limits under which a node that is slow is left sooner.
fn hasty() -> RingLimits {
    RingLimits { silence_max: Duration::from_millis(300), ..limits() }
}

/// Reads a blob, of which no more than a little may come from `slow`.
async fn read_past(slow: &TestNode, cluster: &Cluster, key: &BlobKey) -> Bytes {
    let mut read = cluster.ring.open(key, None).await.unwrap();
    let mut content = Vec::new();
    while let Some(chunk) = read.stream.try_next().await.unwrap() {
        content.extend_from_slice(&chunk);
        assert!(slow.proxy.answer_bytes() < 32 * KIB as u64, "the node that trickles is not left");
    }
    content.into()
}

#[tokio::test]
async fn trickle_is_resumed_elsewhere_and_asked_after_others_from_then_on() {
    let cluster = Cluster::start(4, 3).await;
    let (key, content) = (key("a/b"), content(1, MIB));
    cluster.put_everywhere(&key, &content).await;
    let holders = cluster.holders(&key);
    let slow = cluster.node(holders[0]);
    holders[1..].iter().for_each(|id| cluster.node(*id).proxy.fault(Fault::Delay(LAST_CHOICE)));
    slow.proxy.fault(Fault::Trickle(2 * KIB as u64));
    let until = Instant::now() + Duration::from_secs(60);
    while cluster.ring.counters().resumes == 0 {
        assert!(Instant::now() < until, "the node that trickles was never asked first");
        assert!(read_past(slow, &cluster, &key).await == content);
    }
    assert!(slow.proxy.answer_bytes() > 0);
    let health = cluster.ring.health();
    let (_, error) = health.iter().find(|peer| peer.node == slow.id).unwrap().last_error.as_ref().unwrap();
    assert!(error.starts_with("too slow in mid-stream: "), "{error}");

    let reads = slow.proxy.reads();
    for _ in 0..4 {
        assert!(read_past(slow, &cluster, &key).await == content);
    }
    assert_eq!(slow.proxy.reads(), reads, "its quick heads do not make up for it");
}

/// Limits under which streams hedge, and heads do not.
fn brisk() -> RingLimits {
    RingLimits { bytes_per_second_brisk: MIB as u64, hedge_delay_min: Duration::from_secs(20), ..limits() }
}

/// Reads a blob whose node gives 250 KiB/s from the first bytes on while the others do as told; answers the hedges and resumes.
async fn read_from_sluggish(limits: RingLimits, others: Fault) -> [u64; 2] {
    let cluster = Cluster::start_with(4, 3, limits).await;
    let (key, content) = (key("a/b"), content(1, 4 * MIB));
    cluster.put_everywhere(&key, &content).await;
    let mut read = cluster.ring.open(&key, None).await.unwrap();
    let mut found = read.stream.try_next().await.unwrap().unwrap().to_vec();
    for node in &cluster.nodes {
        let gives = node.proxy.reads() > 0;
        node.proxy.fault(if gives { Fault::Delay(Duration::from_millis(64)) } else { others });
    }
    let heal = async {
        // Whoever hedges has done so by then; the rest need not take its time.
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.nodes.iter().for_each(|node| node.proxy.fault(Fault::None));
    };
    let rest = async {
        while let Some(chunk) = read.stream.try_next().await.unwrap() {
            found.extend_from_slice(&chunk);
        }
    };
    tokio::join!(heal, rest);
    assert!(content == found);
    let counters = cluster.ring.counters();
    [counters.hedges, counters.resumes]
}

#[tokio::test]
async fn what_plays_but_could_come_quicker_is_left_within_the_hedge_budget() {
    let patient =
        RingLimits { patience_min: Duration::from_secs(20), patience_max: Duration::from_secs(20), ..brisk() };
    assert_eq!(read_from_sluggish(patient.clone(), Fault::None).await, [1, 1]);
    let poor = RingLimits { hedge_percent: 0, hedge_burst: 0, ..patient };
    assert_eq!(read_from_sluggish(poor, Fault::None).await, [0, 0]);
}

#[tokio::test]
async fn what_plays_goes_on_where_nobody_else_answers_soon() {
    assert_eq!(read_from_sluggish(brisk(), Fault::Stall).await, [1, 0]);
}

#[tokio::test]
async fn stream_hedges_twice_at_most() {
    let sluggish = Fault::Delay(Duration::from_millis(64));
    let patient =
        RingLimits { patience_min: Duration::from_secs(20), patience_max: Duration::from_secs(20), ..brisk() };
    assert_eq!(read_from_sluggish(patient, sluggish).await, [2, 2]);
}

#[tokio::test]
async fn cluster_that_is_slow_as_a_whole_gives_everything() {
    let cluster = Cluster::start_with(3, 3, hasty()).await;
    let (key, content) = (key("a/b"), content(1, 200 * KIB));
    cluster.put_everywhere(&key, &content).await;
    cluster.nodes.iter().for_each(|node| node.proxy.fault(Fault::Trickle(40 * KIB as u64)));
    assert!(cluster.ring.read_all(&key, MIB as u64).await.unwrap() == content);
    // What is too slow for the first source is good enough for the next ones.
    let counters = cluster.ring.counters();
    assert!((1..=3).contains(&counters.resumes), "{counters:?}");
}

#[tokio::test]
async fn replica_that_trickles_is_better_than_none() {
    let cluster = Cluster::start_with(1, 1, hasty()).await;
    let (key, content) = (key("a/b"), content(1, 48 * KIB));
    cluster.put_everywhere(&key, &content).await;
    let node = &cluster.nodes[0];
    node.proxy.fault(Fault::Trickle(16 * KIB as u64));
    let read = cluster.ring.open(&key, None).await.unwrap();
    // From now on nobody gives it to whoever asks anew.
    node.direct.delete(&key, cluster.record().write_epoch()).await.unwrap();
    let chunks: Vec<_> = read.stream.try_collect().await.unwrap();
    assert!(chunks.concat() == content);
    assert!(cluster.ring.counters().resumes > 0);
}
