use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, timeout};
use triton_placement::partition_of;
use triton_testkit::Fault;
use web_svc::ring::{Circuit, DegradedMark, RingError, RingLimits};

use crate::{
    PROMPT,
    cluster::{Cluster, MIB, content, eventually, key, limits},
};

#[tokio::test]
async fn write_is_safe_and_read_back_with_one_of_three_nodes_dead() {
    let mut cluster = Cluster::start(3, 3).await;
    cluster.nodes[1].proxy.kill().await;
    for n in 0..8 {
        let (key, content) = (key(&format!("a/{n}")), content(n, 100_000));
        let receipt = cluster.ring.put(&key, content.clone()).await.unwrap();
        assert_eq!(receipt.len_bytes, 100_000);
        assert_eq!(cluster.ring.read_all(&key, 100_000).await.unwrap(), content);
        assert_eq!(cluster.copies(&key).await, [cluster.nodes[0].id, cluster.nodes[2].id]);
    }
    timeout(Duration::from_secs(5), cluster.ring.wait_degraded(DegradedMark::default())).await.unwrap();
    let health = cluster.ring.health();
    let dead = health.iter().find(|peer| peer.node == cluster.nodes[1].id).unwrap();
    assert_eq!(dead.circuit, Circuit::Open);
    assert!(dead.last_error.is_some());
    // All eight writes are known to lack a copy there.
    let partitions: BTreeSet<_> = (0..8).map(|n| partition_of(&key(&format!("a/{n}")))).collect();
    let mut seen = BTreeSet::new();
    eventually("all partitions are degraded", || {
        seen.extend(
            cluster
                .ring
                .degraded()
                .partitions
                .into_iter()
                .filter(|d| d.missing.contains(&dead.node))
                .map(|d| d.partition),
        );
        seen == partitions
    })
    .await;
}

#[tokio::test]
async fn copy_that_is_missing_is_known_after_a_crash_once_the_write_is_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let limits = RingLimits { degraded_file: Some(home.path().join("degraded.json")), ..limits() };
    let mut cluster = Cluster::start_with(3, 3, limits).await;
    let (dead, key) = (cluster.nodes[1].id, key("z/last"));
    cluster.nodes[1].proxy.kill().await;
    // The first writes find out that the node is dead, perhaps after they were acknowledged; then its circuit is open.
    for n in 0..20 {
        cluster.ring.put(&self::key(&format!("first/{n}")), content(n, 1000)).await.unwrap();
    }
    let health = cluster.ring.health();
    assert!(health.iter().any(|peer| peer.node == dead && peer.circuit == Circuit::Open), "{health:?}");
    cluster.ring.put(&key, content(1, 1000)).await.unwrap();
    // The process ends here: another one begins with the file as it is now.
    let successor = cluster.another_ring(&home.path().join("degraded.json"));
    let lacking = successor.degraded().partitions;
    assert!(lacking.iter().any(|d| d.partition == partition_of(&key) && d.missing.contains(&dead)), "{lacking:?}");
}

/// A file whose opening takes until this is dropped, as on a disk that hangs.
struct Hanging(std::path::PathBuf);

impl Hanging {
    fn new(path: std::path::PathBuf) -> Self {
        // Who opens a pipe for writing waits for a reader.
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        Self(path)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let reader = std::fs::OpenOptions::new().read(true).write(true).open(&self.0).unwrap();
        std::fs::remove_file(&self.0).unwrap();
        // Who is waiting goes on now, and finds out that this is no file of a disk.
        drop(reader);
    }
}

#[tokio::test]
async fn disk_of_this_process_that_hangs_holds_up_no_write_for_long() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("degraded.json");
    let (degraded_file, degraded_keep_timeout) = (Some(file.clone()), Duration::from_millis(100));
    let limits = RingLimits { degraded_file, degraded_keep_timeout, ..limits() };
    let mut cluster = Cluster::start_with(3, 3, limits).await;
    cluster.nodes[1].proxy.kill().await;
    let hanging = Hanging::new(home.path().join("degraded.new"));
    let keys: Vec<_> = (0..8).map(|n| key(&format!("a/{n}"))).collect();
    for (n, key) in (0..).zip(&keys) {
        timeout(Duration::from_secs(5), cluster.ring.put(key, content(n, 1000))).await.unwrap().unwrap();
    }
    timeout(Duration::from_secs(5), cluster.ring.delete(&keys[0])).await.unwrap().unwrap();
    assert!(!file.exists());
    drop(hanging);
    // With the disk the file is back, and has what was reported in the meantime.
    let partitions: BTreeSet<_> = keys.iter().map(partition_of).collect();
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        cluster.ring.settle_degraded(&BTreeSet::new(), DegradedMark::default()).await;
        let known = cluster.another_ring(&file).degraded().partitions;
        if known.iter().map(|degraded| degraded.partition).collect::<BTreeSet<_>>() == partitions {
            break;
        }
        assert!(Instant::now() < until, "{known:?}");
    }
}

#[tokio::test]
async fn write_fails_clearly_with_two_of_three_nodes_dead() {
    let mut cluster = Cluster::start(3, 3).await;
    cluster.nodes[0].proxy.kill().await;
    cluster.nodes[2].proxy.kill().await;
    let started = Instant::now();
    let error = cluster.ring.put(&key("a/b"), content(1, 1_000)).await.unwrap_err();
    assert!(matches!(&error, RingError::Unavailable { operation: "write", .. }), "{error}");
    assert!(error.to_string().contains("2 needed") && error.to_string().contains("refused"), "{error}");
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    assert_eq!(cluster.ring.write_bytes_in_flight(), 0);
}

#[tokio::test]
async fn dead_holder_gets_a_stand_in_whose_copy_is_found_when_the_holders_are_gone() {
    let mut cluster = Cluster::start(4, 3).await;
    let (key, content) = (key("v/x/1/seg"), content(1, 300_000));
    let holders = cluster.holders(&key);
    cluster.node_mut(holders[0]).proxy.kill().await;
    cluster.ring.put(&key, content.clone()).await.unwrap();
    let stranger = cluster.nodes.iter().map(|n| n.id).find(|id| !holders.contains(id)).unwrap();
    // The dead holder is known before the write is acknowledged, the stand-in when its copy has landed.
    let (mut missing, mut stand_ins) = (BTreeSet::new(), BTreeSet::new());
    eventually("repair knows the dead holder and the stand-in", || {
        for degraded in cluster.ring.degraded().partitions {
            assert_eq!(degraded.partition, partition_of(&key));
            missing.extend(degraded.missing);
            stand_ins.extend(degraded.stand_ins);
        }
        missing == BTreeSet::from([holders[0]]) && stand_ins == BTreeSet::from([stranger])
    })
    .await;
    assert_eq!(cluster.copies(&key).await.len(), 3);

    cluster.node_mut(holders[0]).proxy.revive().await;
    cluster.node_mut(holders[1]).proxy.kill().await;
    cluster.node_mut(holders[2]).proxy.kill().await;
    assert_eq!(cluster.ring.read_all(&key, 300_000).await.unwrap(), content);
}

#[tokio::test]
async fn full_quorum_of_stand_ins_is_no_write() {
    // Otherwise 404 from every holder, back again, would not mean that the blob does not exist.
    let limits = RingLimits { put_timeout: Duration::from_secs(2), ..limits() };
    let mut cluster = Cluster::start_with(6, 3, limits).await;
    let key = key("v/x/1/seg");
    let holders = cluster.holders(&key);
    for holder in &holders {
        cluster.node(*holder).proxy.fault(Fault::Stall);
    }
    let error = cluster.ring.put(&key, content(1, 1_000)).await.unwrap_err();
    assert!(
        error.to_string().contains("2 durable copies") || error.to_string().contains("3 durable copies"),
        "{error}"
    );
    for holder in holders {
        cluster.node_mut(holder).proxy.kill().await;
    }
    let error = cluster.ring.put(&key, content(1, 1_000)).await.unwrap_err();
    assert!(matches!(error, RingError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn stopped_holder_delays_no_write_and_is_left_behind() {
    let cluster = Cluster::start(3, 3).await;
    cluster.nodes[0].proxy.fault(Fault::Stall);
    for n in 0..3 {
        let started = Instant::now();
        cluster.ring.put(&key(&format!("a/{n}")), content(n, 500_000)).await.unwrap();
        assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    }
    timeout(Duration::from_secs(5), cluster.ring.wait_degraded(DegradedMark::default())).await.unwrap();
    eventually("its circuit opens", || cluster.ring.health().iter().any(|peer| peer.circuit == Circuit::Open)).await;
    eventually("laggards give their room back", || cluster.ring.write_bytes_in_flight() == 0).await;
}

#[tokio::test]
async fn two_stopped_holders_are_replaced_by_stand_ins() {
    let cluster = Cluster::start(5, 3).await;
    let key = key("v/x/1/seg");
    let holders = cluster.holders(&key);
    cluster.node(holders[0]).proxy.fault(Fault::Stall);
    cluster.node(holders[1]).proxy.fault(Fault::Stall);
    let started = Instant::now();
    cluster.ring.put(&key, content(1, 1_000)).await.unwrap();
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    assert!(cluster.copies(&key).await.len() >= 2);
}

#[tokio::test]
async fn keys_are_used_once() {
    let cluster = Cluster::start(3, 3).await;
    let key = key("a/b");
    cluster.ring.put(&key, content(1, 1_000)).await.unwrap();
    cluster.ring.put(&key, content(1, 1_000)).await.unwrap();
    let error = cluster.ring.put(&key, content(2, 1_000)).await.unwrap_err();
    assert_eq!(error, RingError::Exists { key: key.clone() });
    cluster.ring.delete(&key).await.unwrap();
    let error = cluster.ring.put(&key, content(1, 1_000)).await.unwrap_err();
    assert_eq!(error, RingError::Deleted { key });
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_and_writers_wait() {
    let room = 4 * MIB;
    let limits = RingLimits { write_bytes_in_flight_max: room, put_timeout: Duration::from_secs(60), ..limits() };
    let cluster = Cluster::start_with(3, 3, limits).await;
    cluster.nodes.iter().for_each(|node| node.proxy.fault(Fault::Stall));
    let keys: Vec<_> = (0..12).map(|n| key(&format!("a/{n}"))).collect();
    let mut writes: FuturesUnordered<_> = keys.iter().map(|key| cluster.ring.put(key, content(1, MIB))).collect();
    // Nothing can finish: poll all of them for a while.
    assert!(timeout(Duration::from_millis(300), writes.next()).await.is_err());
    assert_eq!(cluster.ring.write_bytes_in_flight(), room);
    cluster.nodes.iter().for_each(|node| node.proxy.fault(Fault::None));
    while let Some(written) = timeout(Duration::from_secs(20), writes.next()).await.unwrap() {
        written.unwrap();
        assert!(cluster.ring.write_bytes_in_flight() <= room);
    }
}

#[tokio::test]
async fn blob_larger_than_all_the_room_is_written_alone() {
    let limits = RingLimits { write_bytes_in_flight_max: MIB, ..limits() };
    let cluster = Cluster::start_with(1, 3, limits).await;
    let content = content(1, 3 * MIB);
    cluster.ring.put(&key("a/b"), content.clone()).await.unwrap();
    assert_eq!(cluster.ring.read_all(&key("a/b"), 4 * MIB as u64).await.unwrap(), content);
}
