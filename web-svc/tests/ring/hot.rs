//! The hot cache over real nodes.

use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::task::TaskTracker;
use triton_api::BlobHash;
use triton_testkit::Fault;
use web_svc::{
    hot::{HotBlob, HotCache},
    ring::{RingError, RingLimits},
};

use crate::cluster::{Cluster, MIB, content, eventually, key, limits};

const CACHE_BYTES: u64 = 64 * MIB as u64;

fn cache(cluster: &Cluster) -> HotCache {
    HotCache::new(cluster.ring.clone(), CACHE_BYTES, TaskTracker::new())
}

fn reads(cluster: &Cluster) -> u64 {
    cluster.nodes.iter().map(|node| node.proxy.reads()).sum()
}

#[tokio::test]
async fn viewers_that_miss_at_once_make_one_read() {
    let cluster = Cluster::start(1, 1).await;
    let (key, content) = (key("v/a/1/720p/seg"), content(1, MIB));
    cluster.put_everywhere(&key, &content).await;
    cluster.nodes[0].proxy.fault(Fault::Delay(Duration::from_millis(5)));
    let cache = cache(&cluster);
    let before = reads(&cluster);
    for blob in join_all((0..100).map(|_| cache.get(&key))).await {
        let HotBlob { etag, content: got } = blob.unwrap().unwrap();
        assert_eq!(etag, format!("\"{}\"", BlobHash::of(&content)));
        assert!(got == content);
    }
    cache.get(&key).await.unwrap().unwrap();
    assert_eq!(reads(&cluster) - before, 1);
}

#[tokio::test]
async fn first_viewer_that_leaves_takes_nothing_from_the_others() {
    let cluster = Cluster::start(1, 1).await;
    let (key, content) = (key("v/a/1/720p/seg"), content(1, MIB));
    cluster.put_everywhere(&key, &content).await;
    cluster.nodes[0].proxy.fault(Fault::Stall);
    let cache = cache(&cluster);
    let before = reads(&cluster);
    let get = |cache: HotCache| {
        let key = key.clone();
        tokio::spawn(async move { cache.get(&key).await })
    };
    let first = get(cache.clone());
    eventually("the first has asked", || reads(&cluster) > before).await;
    let second = get(cache.clone());
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    cluster.nodes[0].proxy.fault(Fault::None);
    assert!(second.await.unwrap().unwrap().unwrap().content == content);
    assert_eq!(reads(&cluster) - before, 1, "the load of the first went on");
}

#[tokio::test]
async fn errors_are_not_remembered() {
    let mut cluster = Cluster::start(1, 1).await;
    let (blob, bytes) = (key("v/a/1/720p/seg"), content(1, 1000));
    let cache = cache(&cluster);
    assert_eq!(cache.get(&blob).await.unwrap_err(), RingError::NotFound { key: blob.clone() });
    cluster.put_everywhere(&blob, &bytes).await;
    cluster.nodes[0].proxy.kill().await;
    let error = cache.get(&blob).await.unwrap_err();
    assert!(matches!(error, RingError::Unavailable { .. }), "{error}");
    cluster.nodes[0].proxy.revive().await;
    assert!(cache.get(&blob).await.unwrap().unwrap().content == bytes);
    cluster.nodes[0].proxy.kill().await;
    assert!(cache.get(&blob).await.unwrap().unwrap().content == bytes, "what is in memory needs no node");
}

#[tokio::test]
async fn only_what_has_its_hash_comes_in() {
    let cluster = Cluster::start(1, 1).await;
    let (blob, bytes) = (key("v/a/1/720p/seg"), content(1, 2 * MIB));
    cluster.put_everywhere(&blob, &bytes).await;
    let cache = cache(&cluster);
    cluster.nodes[0].proxy.fault(Fault::FlipAt(1_000_000));
    assert_eq!(cache.get(&blob).await.unwrap_err(), RingError::Corrupt { key: blob.clone() });
    cluster.nodes[0].proxy.fault(Fault::None);
    assert!(cache.get(&blob).await.unwrap().unwrap().content == bytes);
}

#[tokio::test]
async fn node_that_dies_during_a_load_costs_no_viewer_anything() {
    let cluster = Cluster::start(3, 3).await;
    let bytes = content(1, 4 * MIB);
    for n in 0..10 {
        let blob = key(&format!("v/a/1/720p/seg-{n}"));
        cluster.put_everywhere(&blob, &bytes).await;
        let cache = cache(&cluster);
        for node in &cluster.nodes[..2] {
            node.proxy.fault(Fault::CutAfter(700_000));
        }
        for got in join_all((0..8).map(|_| cache.get(&blob))).await {
            assert!(got.unwrap().unwrap().content == bytes);
        }
        cluster.nodes.iter().for_each(|node| node.proxy.fault(Fault::None));
        if cluster.ring.counters().resumes > 0 {
            return;
        }
    }
    panic!("no node died during a load: {:?}", cluster.ring.counters());
}

#[tokio::test]
async fn load_that_trickles_is_given_up_and_a_slow_one_is_waited_for() {
    let hasty = RingLimits { silence_max: Duration::from_millis(300), ..limits() };
    let cluster = Cluster::start_with(1, 1, hasty).await;
    let (blob, bytes) = (key("v/a/1/720p/seg"), content(1, MIB));
    cluster.put_everywhere(&blob, &bytes).await;
    let cache = cache(&cluster);
    // Nobody else can give it: it would take a minute.
    cluster.nodes[0].proxy.fault(Fault::Trickle(16 * 1024));
    let viewers = join_all((0..8).map(|_| cache.get(&blob))).await;
    assert!(viewers.into_iter().all(|got| got.unwrap().is_none()), "to be read past the cache");
    assert!(cache.get_at_once(&blob).is_none());
    // Six seconds, in which one read serves all.
    cluster.nodes[0].proxy.fault(Fault::Trickle(180 * 1024));
    let before = reads(&cluster);
    for got in join_all((0..8).map(|_| cache.get(&blob))).await {
        assert!(got.unwrap().unwrap().content == bytes);
    }
    assert_eq!(reads(&cluster) - before, 1);
}

#[tokio::test]
async fn quick_beginning_is_no_credit_for_a_trickle() {
    let cluster = Cluster::start(1, 1).await;
    let (blob, bytes) = (key("v/a/1/720p/seg"), content(1, 4 * MIB));
    cluster.put_everywhere(&blob, &bytes).await;
    let (cache, proxy) = (cache(&cluster), &cluster.nodes[0].proxy);
    proxy.fault(Fault::Trickle(2 * MIB as u64));
    let trickle = async {
        eventually("half of it is here", || proxy.answer_bytes() > 2 * MIB as u64).await;
        proxy.fault(Fault::Trickle(4 * 1024));
    };
    // At the least rate on the whole it would have half a minute more.
    let viewer = tokio::time::timeout(Duration::from_secs(20), cache.get(&blob));
    let (got, ()) = tokio::join!(viewer, trickle);
    assert!(got.expect("it is given up before").unwrap().is_none());
}

#[tokio::test]
async fn long_blobs_pass_by() {
    let cluster = Cluster::start(1, 1).await;
    let (short, long) = (key("v/a/1/720p/short"), key("v/a/1/720p/long"));
    cluster.put_everywhere(&short, &content(1, MIB / 8)).await;
    cluster.put_everywhere(&long, &content(2, MIB / 8 + 1)).await;
    let cache = HotCache::new(cluster.ring.clone(), MIB as u64, TaskTracker::new());
    assert!(cache.get(&short).await.unwrap().is_some());
    assert!(cache.get(&long).await.unwrap().is_none());
    let none = HotCache::new(cluster.ring.clone(), 0, TaskTracker::new());
    assert!(none.get(&short).await.unwrap().is_none());
}

#[tokio::test]
async fn viewers_who_hold_what_the_cache_dropped_count_against_its_memory() {
    let cluster = Cluster::start(1, 1).await;
    let cache = HotCache::new(cluster.ring.clone(), MIB as u64, TaskTracker::new());
    let mut held = Vec::new();
    for n in 0..20 {
        let blob = key(&format!("v/a/1/720p/seg-{n}"));
        cluster.put_everywhere(&blob, &content(n, MIB / 8)).await;
        held.extend(cache.get(&blob).await.unwrap());
    }
    // A quarter more than the cache, less what each costs beside its content.
    assert!((8..=9).contains(&held.len()), "{} contents in memory", held.len());
    drop(held);
    let blob = key("v/a/1/720p/seg-19");
    assert!(cache.get(&blob).await.unwrap().is_some(), "there is room again");
}
