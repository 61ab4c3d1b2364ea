//! Who moves content and dies goes on where it was.

use triton_api::{BlobHash, BlobKey, PartitionId, cluster::NewNode, rebalance::ApplyRequest};
use triton_placement::partition_of;
use triton_testkit::{StorageNode, content};

use crate::farm::{Content, Web, quick, slow};

const BLOBS: usize = 120;
const BLOB_BYTES: usize = 20_000;
/// Blobs of one step, which may be on their way when somebody dies.
const IN_FLIGHT: u64 = 4;

/// Keys of one partition.
fn keys_of(partition: PartitionId) -> impl Iterator<Item = BlobKey> {
    (0..).map(|n| format!("v/many/1/{n}").parse().unwrap()).filter(move |key| partition_of(key) == partition)
}

/// What the node has counted since it was started.
async fn count(node: &StorageNode, name: &str) -> u64 {
    let text = reqwest::get(node.url.join("/metrics")).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |value| value.parse().unwrap())
}

/// One partition with many blobs is moved to a second node: a place to be in the middle of.
async fn begin(dir: &tempfile::TempDir) -> (Web, StorageNode, StorageNode, Content) {
    let (old, new) = (StorageNode::start(None).await, StorageNode::start(None).await);
    let web = Web::start(dir, slow(250_000), std::slice::from_ref(&old.url)).await;
    let mut content_written = Content { blobs: std::collections::BTreeMap::new() };
    for (seed, key) in (1..).zip(keys_of(PartitionId::new(7)).take(BLOBS)) {
        let bytes = content(seed, BLOB_BYTES);
        content_written.blobs.insert(key.clone(), BlobHash::of(&bytes));
        web.ring.put(&key, bytes).await.unwrap();
    }
    web.cluster.add_node(NewNode { url: new.url.clone(), zone: None, weight: None }).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 500_000).await;
    (web, old, new, content_written)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_killed_in_the_middle_of_a_partition_goes_on_in_its_middle() {
    let dir = tempfile::tempdir().unwrap();
    let (web, _old, new, content) = begin(&dir).await;
    // Until the record says how far the pull has come.
    let before = web.status().await.bytes_done;
    web.until(|status| status.bytes_done > before).await;
    web.crash().await;
    let looked_at = count(&new, "triton_pull_entries_total").await;
    assert!(looked_at > 10, "{looked_at}");

    let web = Web::start(&dir, quick(), &[]).await;
    web.until_stable().await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    let total = (BLOBS * BLOB_BYTES) as u64;
    let pulled = count(&new, "triton_pulled_bytes_total").await;
    assert!((total..=total + IN_FLIGHT * BLOB_BYTES as u64).contains(&pulled), "{pulled} of {total} bytes");
    // The record is half a second old at most, which is 13 blobs at this speed; the last look finds equal digests.
    let all = count(&new, "triton_pull_entries_total").await;
    assert!(all < (BLOBS as u64) + looked_at / 2 + 2 * IN_FLIGHT, "{all} entries, {looked_at} before the crash");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puller_that_is_killed_in_the_middle_of_a_partition_pulls_next_to_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (web, _old, mut new, content) = begin(&dir).await;
    new.process.kill();
    web.until(|status| !status.errors.is_empty()).await;
    let done = web.status().await.bytes_done;
    new.restart().await;
    web.until_stable().await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    // What was pulled and not reported lies on its disk: it counts from its restart on.
    let total = (BLOBS * BLOB_BYTES) as u64;
    let after = count(&new, "triton_pulled_bytes_total").await;
    assert!(after <= total - done, "{after} bytes after the restart, {done} of {total} before");
    let looked_at = count(&new, "triton_pull_entries_total").await;
    assert!(looked_at <= (total - done) / BLOB_BYTES as u64, "{looked_at} entries for {} bytes", total - done);
}
