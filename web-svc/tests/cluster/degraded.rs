//! What a process that does not lead knows of partitions that lack a copy.

use triton_api::BlobKey;
use triton_testkit::{content, eventually};

use crate::farm::{DEADLINE, Web, quick, start_nodes, urls};

fn keys() -> Vec<BlobKey> {
    (0..12).map(|n| format!("v/test/1/{n}").parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn process_that_does_not_lead_forgets_a_degraded_partition_once_the_leader_has_repaired_it() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let file = dir.path().join("degraded.json");
    let leader = Web::start(&dir, quick(), &urls(&nodes)).await;
    let other = leader.follow(quick(), &urls(&nodes), file.clone()).await;
    nodes[1].kill();
    for (seed, key) in keys().iter().enumerate() {
        other.ring.put(key, content(seed as u64, 1000)).await.unwrap();
    }
    let known = || other.ring.degraded().partitions;
    eventually(DEADLINE, || async { known().iter().any(|degraded| !degraded.stand_ins.is_empty()) }).await;
    // Several looks later it is still known, for the node is away.
    let before = known();
    tokio::time::sleep(10 * quick().repair_interval).await;
    let lacks = |partition| known().iter().any(|degraded| degraded.partition == partition);
    assert!(before.iter().all(|degraded| !degraded.missing.contains(&nodes[1].id) || lacks(degraded.partition)));
    assert!(std::fs::read_to_string(&file).unwrap().contains(&nodes[1].id.to_string()));
    nodes[1].restart().await;
    eventually(DEADLINE, || async { known().is_empty() }).await;
    eventually(DEADLINE, || async { std::fs::read_to_string(&file).unwrap() == "[]" }).await;
    for key in keys() {
        for holder in leader.cluster.layout().borrow().current.holders(triton_placement::partition_of(&key)) {
            let node = nodes.iter().find(|node| node.id == holder.id).unwrap();
            assert!(node.client().head(&key).await.unwrap().is_some(), "{key} is forgotten before it was repaired");
        }
    }
    drop((leader, other));
}
