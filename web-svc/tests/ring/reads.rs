use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::time::Instant;
use triton_api::BlobHash;
use triton_testkit::Fault;
use web_svc::ring::{BlobHead, Circuit, RingError, RingLimits};

use crate::{
    PROMPT,
    cluster::{Cluster, MIB, content, eventually, key, limits},
};

/// Makes a good node slower than the faulty ones: the ring prefers the fastest, and might never ask them otherwise.
const LAST_CHOICE: Duration = Duration::from_millis(10);

#[tokio::test]
async fn parts_are_read_exactly() {
    let cluster = Cluster::start(3, 3).await;
    let (key, content) = (key("a/b"), content(1, 300_000));
    cluster.ring.put(&key, content.clone()).await.unwrap();
    for part in [0..1, 65_535..65_537, 100_000..300_000, 299_999..900_000] {
        let read = cluster.ring.open(&key, Some(part.clone())).await.unwrap();
        let expected = part.start..part.end.min(300_000);
        assert_eq!((read.total_bytes, read.range, read.hash), (300_000, expected.clone(), BlobHash::of(&content)));
        let chunks: Vec<_> = read.stream.try_collect().await.unwrap();
        let (start, end) = (usize::try_from(expected.start).unwrap(), usize::try_from(expected.end).unwrap());
        assert_eq!(chunks.concat(), content[start..end]);
    }
    for part in [300_000..300_001, 5..5] {
        assert_eq!(cluster.ring.open(&key, Some(part)).await.unwrap_err(), RingError::Range { key: key.clone() });
    }
    let head = cluster.ring.head(&key).await.unwrap();
    assert_eq!(head, BlobHead { hash: BlobHash::of(&content), total_bytes: 300_000 });
    let error = cluster.ring.read_all(&key, 299_999).await.unwrap_err();
    assert!(matches!(error, RingError::TooLarge { len_bytes: 300_000, bytes_max: 299_999, .. }), "{error}");
}

#[tokio::test]
async fn empty_blob_is_a_blob() {
    let cluster = Cluster::start(1, 1).await;
    cluster.ring.put(&key("a/b"), content(1, 0)).await.unwrap();
    assert!(cluster.ring.read_all(&key("a/b"), 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn any_dead_node_fails_no_read() {
    let mut cluster = Cluster::start(3, 3).await;
    let (key, content) = (key("a/b"), content(1, 200_000));
    cluster.ring.put(&key, content.clone()).await.unwrap();
    for dead in 0..3 {
        eventually("all copies are there", || cluster.ring.write_bytes_in_flight() == 0).await;
        cluster.nodes[dead].proxy.kill().await;
        for _ in 0..10 {
            let started = Instant::now();
            assert_eq!(cluster.ring.read_all(&key, 200_000).await.unwrap(), content);
            assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
        }
        cluster.nodes[dead].proxy.revive().await;
    }
    assert!(cluster.ring.counters().failovers > 0);
}

#[tokio::test]
async fn stopped_node_delays_few_reads_and_comes_back_by_itself() {
    let cluster = Cluster::start(3, 3).await;
    let (blob, bytes) = (key("a/b"), content(1, 200_000));
    cluster.put_everywhere(&blob, &bytes).await;
    let stopped = &cluster.nodes[2];
    // The others are slow enough for the stopped node's good past to count.
    cluster.nodes[..2].iter().for_each(|node| node.proxy.fault(Fault::Delay(Duration::from_millis(1))));
    stopped.proxy.fault(Fault::Stall);
    let before = stopped.proxy.reads();
    for _ in 0..100 {
        let started = Instant::now();
        assert_eq!(cluster.ring.read_all(&blob, 200_000).await.unwrap(), bytes);
        assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    }
    // Its silence is noticed although hedges hide it: not every third reader pays for it.
    let asked = stopped.proxy.reads() - before;
    assert!((1..=4).contains(&asked), "{asked} {:?}", cluster.ring.counters());

    let circuit = || cluster.ring.health().iter().find(|peer| peer.node == stopped.id).unwrap().circuit;
    for n in 0..3 {
        cluster.ring.put(&key(&format!("b/{n}")), content(n, 10)).await.unwrap();
    }
    eventually("the circuit opens", || circuit() != Circuit::Closed).await;
    stopped.proxy.fault(Fault::None);
    eventually("the circuit closes", || circuit() == Circuit::Closed).await;
}

#[tokio::test]
async fn cut_in_mid_stream_is_resumed_elsewhere_with_the_right_bytes() {
    let cluster = Cluster::start(3, 3).await;
    let (key, content) = (key("a/b"), content(1, 4 * MIB));
    cluster.put_everywhere(&key, &content).await;
    cluster.nodes[2].proxy.fault(Fault::Delay(LAST_CHOICE));
    cluster.nodes[0].proxy.fault(Fault::CutAfter(700_000));
    cluster.nodes[1].proxy.fault(Fault::CutAfter(1_500_000));
    let until = Instant::now() + Duration::from_secs(60);
    while cluster.ring.counters().resumes < 2 {
        assert!(Instant::now() < until, "{:?}", cluster.ring.counters());
        assert!(cluster.ring.read_all(&key, 4 * MIB as u64).await.unwrap() == content);
        cluster.nodes[0].proxy.fault(Fault::CutAfter(700_000));
        cluster.nodes[1].proxy.fault(Fault::CutAfter(1_500_000));
    }
}

#[tokio::test]
async fn silence_in_mid_stream_is_resumed_elsewhere_within_a_second() {
    let cluster = Cluster::start(2, 2).await;
    let (key, content) = (key("a/b"), content(1, 4 * MIB));
    cluster.put_everywhere(&key, &content).await;
    cluster.nodes[1].proxy.fault(Fault::Delay(LAST_CHOICE));
    cluster.nodes[0].proxy.fault(Fault::StallAfter(900_000));
    let until = Instant::now() + Duration::from_secs(60);
    while cluster.ring.counters().resumes == 0 {
        assert!(Instant::now() < until, "node 0 was never asked first");
        let started = Instant::now();
        assert!(cluster.ring.read_all(&key, 4 * MIB as u64).await.unwrap() == content);
        assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn stream_never_goes_on_with_another_content() {
    let cluster = Cluster::start(2, 2).await;
    let (key, contents) = (key("a/b"), [content(1, 2 * MIB), content(2, 2 * MIB)]);
    let epoch = cluster.record().write_epoch();
    for (node, content) in cluster.nodes.iter().zip(&contents) {
        node.direct.put(&key, BlobHash::of(content), content.clone(), epoch).await.unwrap();
    }
    for node in &cluster.nodes {
        node.proxy.fault(Fault::CutAfter(700_000));
    }
    let error = cluster.ring.read_all(&key, 2 * MIB as u64).await.unwrap_err();
    assert!(matches!(error, RingError::Unavailable { operation: "read", .. }), "{error}");
    assert_eq!(cluster.ring.counters().resumes, 1);
}

#[tokio::test]
async fn bytes_that_change_on_the_way_end_in_an_error_and_are_held_back() {
    let cluster = Cluster::start(1, 1).await;
    let (key, content) = (key("a/b"), content(1, 2 * MIB));
    cluster.put_everywhere(&key, &content).await;
    cluster.nodes[0].proxy.fault(Fault::FlipAt(1_000_000));
    let mut read = cluster.ring.open(&key, None).await.unwrap();
    let mut received = 0;
    let error = loop {
        match read.stream.try_next().await {
            Ok(chunk) => received += chunk.unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error, RingError::Corrupt { key: key.clone() });
    assert!(received < content.len(), "a client would take the answer for complete");
    cluster.nodes[0].proxy.fault(Fault::None);
    assert!(cluster.ring.read_all(&key, 2 * MIB as u64).await.unwrap() == content);
}

#[tokio::test]
async fn damaged_copies_are_never_served() {
    for offset in [10, 2_500_000] {
        let cluster = Cluster::start(3, 3).await;
        let (key, content) = (key("a/b"), content(1, 3 * MIB));
        cluster.put_everywhere(&key, &content).await;
        cluster.nodes[2].proxy.fault(Fault::Delay(LAST_CHOICE));
        cluster.nodes[0].flip_bit(offset);
        cluster.nodes[1].flip_bit(offset);
        let until = Instant::now() + Duration::from_secs(60);
        let mut degraded = cluster.ring.degraded().partitions;
        while degraded.is_empty() {
            assert!(Instant::now() < until, "no damaged copy was reported for repair");
            assert!(cluster.ring.read_all(&key, 3 * MIB as u64).await.unwrap() == content);
            degraded = cluster.ring.degraded().partitions;
        }
        assert!(!degraded[0].missing.contains(&cluster.nodes[2].id));
    }
}

#[tokio::test]
async fn only_the_word_of_every_holder_makes_a_blob_absent() {
    let mut cluster = Cluster::start(4, 3).await;
    let key = key("a/b");
    assert_eq!(cluster.ring.head(&key).await.unwrap_err(), RingError::NotFound { key: key.clone() });
    let holders = cluster.holders(&key);
    cluster.node_mut(holders[1]).proxy.kill().await;
    let error = cluster.ring.open(&key, None).await.unwrap_err();
    assert!(matches!(error, RingError::Unavailable { operation: "read", .. }), "{error}");
    // A node that is no holder needs not be asked.
    cluster.node_mut(holders[1]).proxy.revive().await;
    let stranger = cluster.nodes.iter().map(|n| n.id).find(|id| !holders.contains(id)).unwrap();
    cluster.node_mut(stranger).proxy.kill().await;
    assert_eq!(cluster.ring.open(&key, None).await.unwrap_err(), RingError::NotFound { key });
}

#[tokio::test]
async fn holder_that_lost_its_copy_is_passed_over_and_reported() {
    let cluster = Cluster::start(3, 3).await;
    let (key, content) = (key("a/b"), content(1, 10_000));
    cluster.put_everywhere(&key, &content).await;
    cluster.nodes[2].proxy.fault(Fault::Delay(LAST_CHOICE));
    cluster.nodes[0].lose_blob();
    cluster.nodes[1].lose_blob();
    let mut missing = std::collections::BTreeSet::new();
    let until = Instant::now() + Duration::from_secs(10);
    while missing.len() < 2 {
        assert!(Instant::now() < until, "{missing:?}");
        assert_eq!(cluster.ring.read_all(&key, 10_000).await.unwrap(), content);
        missing.extend(cluster.ring.degraded().partitions.into_iter().flat_map(|d| d.missing));
    }
    assert!(!missing.contains(&cluster.nodes[2].id));
}

#[tokio::test]
async fn hedges_stay_within_their_budget_when_all_nodes_are_slow() {
    let limits = RingLimits { hedge_burst: 3, ..limits() };
    let cluster = Cluster::start_with(3, 3, limits).await;
    let key = key("a/b");
    cluster.put_everywhere(&key, &content(1, 1_000)).await;
    let before: u64 = cluster.nodes.iter().map(|node| node.proxy.reads()).sum();
    // Each answer takes longer than the last: every read is slower than usual.
    for n in 0..40 {
        let delay = Duration::from_millis(35 + n);
        cluster.nodes.iter().for_each(|node| node.proxy.fault(Fault::Delay(delay)));
        cluster.ring.head(&key).await.unwrap();
        cluster.ring.open(&key, Some(0..10)).await.unwrap();
    }
    let reads: u64 = cluster.nodes.iter().map(|node| node.proxy.reads()).sum::<u64>() - before;
    let counters = cluster.ring.counters();
    assert_eq!(counters.questions, 80);
    assert!((1..=3 + 80 * 5 / 100).contains(&counters.hedges), "{counters:?}");
    assert!(reads <= 40 + counters.hedges + counters.failovers, "{reads} {counters:?}");
}

#[tokio::test]
async fn hedge_hides_a_slow_node() {
    let cluster = Cluster::start(3, 3).await;
    let key = key("a/b");
    cluster.put_everywhere(&key, &content(1, 1_000)).await;
    for node in &cluster.nodes[..2] {
        node.proxy.fault(Fault::Delay(2 * PROMPT));
    }
    for _ in 0..20 {
        let started = Instant::now();
        cluster.ring.read_all(&key, 1_000).await.unwrap();
        assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn nodes_of_the_own_zone_are_read_first() {
    let limits = RingLimits { zone: Some("b".to_owned()), ..limits() };
    let cluster = Cluster::start_with(3, 3, limits).await;
    let mut record = cluster.record();
    for (node, zone) in record.current.nodes.iter_mut().zip(["a", "b", "c"]) {
        zone.clone_into(&mut node.zone);
    }
    let own = cluster.node(record.current.nodes[1].id);
    cluster.tell_ring(record);
    let key = key("a/b");
    cluster.put_everywhere(&key, &content(1, 1_000)).await;
    // The near one is a little slower: the fastest of them would be read first anyway. All are slower than chance makes them.
    for node in &cluster.nodes {
        let delay_ms = if std::ptr::eq(node, own) { 20 } else { 14 };
        node.proxy.fault(Fault::Delay(Duration::from_millis(delay_ms)));
    }
    let reads = || cluster.nodes.iter().map(|node| node.proxy.reads()).sum::<u64>();
    let (all_before, own_before) = (reads(), own.proxy.reads());
    for _ in 0..40 {
        cluster.ring.read_all(&key, 1_000).await.unwrap();
    }
    // Not all, as a busy machine makes a near node slow at times; a third is what chance would give it.
    assert!((own.proxy.reads() - own_before) * 4 > (reads() - all_before) * 3);
}
