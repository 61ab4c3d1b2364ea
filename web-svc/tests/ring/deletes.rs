use std::time::Duration;

use tokio::time::{Instant, timeout};
use triton_testkit::Fault;
use web_svc::ring::{DegradedMark, RingError};

use crate::{
    PROMPT,
    cluster::{Cluster, content, eventually, key},
};

#[tokio::test]
async fn deleted_blob_is_gone_from_every_holder() {
    let cluster = Cluster::start(4, 3).await;
    let key = key("a/b");
    cluster.ring.put(&key, content(1, 1_000)).await.unwrap();
    eventually("all copies are there", || cluster.ring.write_bytes_in_flight() == 0).await;
    cluster.ring.delete(&key).await.unwrap();
    assert!(cluster.copies(&key).await.is_empty());
    assert!(cluster.ring.head(&key).await.unwrap_err().is_absent());
    assert!(cluster.ring.open(&key, None).await.unwrap_err().is_absent());
    cluster.ring.delete(&key).await.unwrap();
}

#[tokio::test]
async fn delete_with_one_of_three_holders_dead_is_safe_and_reported() {
    let mut cluster = Cluster::start(3, 3).await;
    let key = key("a/b");
    cluster.ring.put(&key, content(1, 1_000)).await.unwrap();
    eventually("all copies are there", || cluster.ring.write_bytes_in_flight() == 0).await;
    cluster.nodes[0].proxy.kill().await;
    cluster.ring.delete(&key).await.unwrap();
    timeout(Duration::from_secs(5), cluster.ring.wait_degraded(DegradedMark::default())).await.unwrap();
    let degraded = cluster.ring.degraded().partitions;
    assert!(degraded[0].missing.contains(&cluster.nodes[0].id));
    assert_eq!(cluster.copies(&key).await, [cluster.nodes[0].id]);
}

#[tokio::test]
async fn delete_needs_a_majority() {
    let mut cluster = Cluster::start(3, 3).await;
    let key = key("a/b");
    cluster.ring.put(&key, content(1, 1_000)).await.unwrap();
    cluster.nodes[0].proxy.kill().await;
    cluster.nodes[1].proxy.kill().await;
    let error = cluster.ring.delete(&key).await.unwrap_err();
    assert!(matches!(error, RingError::Unavailable { operation: "delete", .. }), "{error}");
}

#[tokio::test]
async fn stopped_holder_delays_a_delete_for_the_grace_only() {
    let cluster = Cluster::start(3, 3).await;
    cluster.nodes[0].proxy.fault(Fault::Stall);
    let started = Instant::now();
    cluster.ring.delete(&key("a/b")).await.unwrap();
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    timeout(Duration::from_secs(5), cluster.ring.wait_degraded(DegradedMark::default())).await.unwrap();
}
