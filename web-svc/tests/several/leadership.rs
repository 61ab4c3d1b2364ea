//! The process that leads dies, hangs, or is cut off.

use triton_api::{
    cluster::NewNode,
    rebalance::{ApplyRequest, RebalancePhase},
};
use triton_testkit::{StorageNode, eventually};

use crate::{READY_DEADLINE, SETTLE_DEADLINE, installation::Installation};

/// Slow enough that a leader can be killed in the middle.
const SLOW: &[&str] =
    &["--transcode-slots", "1", "--rebalance-bytes-per-second", "150000", "--reclaim-grace-seconds", "1"];

async fn begin_migration(installation: &Installation, through: usize) -> StorageNode {
    let fourth = StorageNode::start(None).await;
    let client = installation.webs[through].client();
    client.add_node(&NewNode { url: fourth.url.clone(), zone: None, weight: None }).await.unwrap();
    client.rebalance_apply(ApplyRequest::default()).await.unwrap();
    eventually(SETTLE_DEADLINE, || async { client.rebalance().await.unwrap().bytes_done > 0 }).await;
    fourth
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_whose_leader_is_killed_is_finished_by_the_next_one() {
    let mut installation = Installation::start(1, SLOW).await;
    let video = installation.webs[0].upload(&installation.clip(8)).await;
    installation.webs[1].ready(video.id, READY_DEADLINE).await;
    let (leader, other) = installation.leader().await;
    let fourth = begin_migration(&installation, other).await;
    installation.webs[leader].process.kill();
    let client = installation.webs[other].client();
    eventually(SETTLE_DEADLINE, || async { client.rebalance().await.unwrap().phase == RebalancePhase::Stable }).await;
    assert!(fourth.client().info().await.unwrap().blobs > 0);
    assert_eq!(client.rebalance().await.unwrap().epoch.get(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hangs_is_followed_and_changes_nothing_when_it_wakes() {
    let installation = Installation::start(1, SLOW).await;
    let video = installation.webs[0].upload(&installation.clip(8)).await;
    installation.webs[1].ready(video.id, READY_DEADLINE).await;
    let (leader, other) = installation.leader().await;
    let fourth = begin_migration(&installation, other).await;
    installation.webs[leader].process.suspend();
    let client = installation.webs[other].client();
    eventually(SETTLE_DEADLINE, || async { client.rebalance().await.unwrap().phase == RebalancePhase::Stable }).await;
    let epoch = client.rebalance().await.unwrap().epoch;
    installation.webs[leader].process.resume();
    let woken = installation.webs[leader].client();
    eventually(SETTLE_DEADLINE, || async { woken.rebalance().await.is_ok_and(|now| now.epoch == epoch) }).await;
    assert_eq!(client.rebalance().await.unwrap().epoch, epoch);
    assert_eq!(client.rebalance().await.unwrap().phase, RebalancePhase::Stable);
    assert!(fourth.client().info().await.unwrap().blobs > 0);
    let leader_now = client.cluster().await.unwrap().leader;
    eventually(SETTLE_DEADLINE, || async { woken.cluster().await.unwrap().leader == leader_now }).await;

    // Nor does it try when there is something to do for a leader.
    let quiet = installation.webs[leader].process.log().len();
    let fifth = begin_migration(&installation, other).await;
    eventually(SETTLE_DEADLINE, || async { client.rebalance().await.unwrap().phase == RebalancePhase::Stable }).await;
    let log = installation.webs[leader].process.log();
    let tried: Vec<_> = log[quiet..].lines().filter(|line| line.contains("does not lead any more")).collect();
    assert_eq!(tried, Vec::<&str>::new());
    drop(fifth);
}
