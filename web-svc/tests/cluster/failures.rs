//! Nodes and the web side die at bad moments.

use triton_api::rebalance::ApplyRequest;
use triton_api::{
    cluster::{NewNode, NodeHealth},
    rebalance::RebalancePhase,
};
use triton_testkit::eventually;
use web_svc::cluster::wish::Removal;

use crate::farm::{Content, DEADLINE, Node, Web, quick, slow, start_nodes, urls};

fn new(node: &Node) -> NewNode {
    NewNode { url: node.url(), zone: None, weight: None }
}

async fn health_of(web: &Web, node: &Node) -> NodeHealth {
    web.cluster.nodes().await.unwrap().into_iter().find(|shown| shown.id == node.id).unwrap().health
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_holder_that_dies_only_delays() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, slow(60_000), &urls(&nodes[..4])).await;
    let content = web.fill(60, 4000).await;
    web.cluster.add_node(new(&nodes[4])).await.unwrap();
    let plan = web.cluster.plan().await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 0).await;
    nodes[4].kill();
    web.until(|status| !status.errors.is_empty()).await;
    content.read_all(&web.ring).await;
    nodes[4].restart().await;
    web.until_stable().await;
    assert_eq!(nodes[4].client().info().await.unwrap().used_bytes, plan.bytes_to_move);
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert_eq!(Content::strays(&web, &nodes).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_holder_that_is_away_does_not_block_and_is_emptied_when_it_returns() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..4])).await;
    let content = web.fill(60, 2000).await;
    nodes[0].kill();
    eventually(DEADLINE, || async { health_of(&web, &nodes[0]).await == NodeHealth::Down }).await;
    web.cluster.add_node(new(&nodes[4])).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until_stable().await;
    assert_eq!(web.cluster.layout().borrow().current.epoch.get(), 2);
    nodes[0].restart().await;
    eventually(DEADLINE, || async { Content::strays(&web, &nodes).await.is_empty() }).await;
    eventually(DEADLINE, || async { content.misplaced(&web).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_side_that_dies_goes_on_where_it_stopped() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, slow(60_000), &urls(&nodes[..4])).await;
    let content = web.fill(60, 4000).await;
    web.cluster.add_node(new(&nodes[4])).await.unwrap();
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    let plan = web.cluster.plan().await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 0).await;
    web.crash().await;

    let web = Web::start(&dir, slow(200_000), &[]).await;
    let resumed = web.status().await;
    assert_eq!((resumed.phase, resumed.bytes_total), (RebalancePhase::Migrating, plan.bytes_to_move));
    assert!(resumed.bytes_done > 0);
    web.until_stable().await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert_eq!(nodes[0].blobs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_side_that_dies_before_it_reclaims_reclaims_later() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let mut patient = quick();
    patient.reclaim_grace = DEADLINE;
    let web = Web::start(&dir, patient, &urls(&nodes)).await;
    let content = web.fill(40, 2000).await;
    assert_eq!(web.cluster.remove_node(nodes[0].id, false).await.unwrap(), Removal::Staged);
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.epoch.get() == 2).await;
    web.crash().await;
    assert!(nodes[0].blobs().await > 0);

    let web = Web::start(&dir, quick(), &[]).await;
    web.until_stable().await;
    assert_eq!(nodes[0].blobs().await, 0);
    assert_eq!(web.cluster.layout().borrow().current.node(nodes[0].id), None);
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_given_up_and_its_replicas_are_made_anew() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    let content = web.fill(60, 2000).await;
    nodes[3].kill();
    eventually(DEADLINE, || async { health_of(&web, &nodes[3]).await == NodeHealth::Down }).await;
    assert!(web.cluster.overview().await.unwrap().partitions_degraded > 0);
    assert_eq!(web.cluster.remove_node(nodes[3].id, true).await.unwrap(), Removal::Staged);
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until_stable().await;
    let overview = web.cluster.overview().await.unwrap();
    assert_eq!((overview.nodes.len(), overview.partitions_degraded), (3, 0));
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_is_refilled() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    let content = web.fill(40, 2000).await;
    nodes[1].wipe().await;
    assert_eq!(nodes[1].blobs().await, 0);
    eventually(DEADLINE, || async { nodes[1].blobs().await == 40 }).await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_catches_up_and_its_stand_ins_are_relieved() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    nodes[2].kill();
    let mut content = Content { blobs: std::collections::BTreeMap::new() };
    for n in 0..30 {
        let key: triton_api::BlobKey = format!("away/{n}").parse().unwrap();
        let bytes = triton_testkit::content(n, 1500);
        web.ring.put(&key, bytes.clone()).await.unwrap();
        content.blobs.insert(key, triton_api::BlobHash::of(&bytes));
    }
    nodes[2].restart().await;
    eventually(DEADLINE, || async { content.misplaced(&web).await.is_empty() }).await;
    eventually(DEADLINE, || async { Content::strays(&web, &nodes).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_write_the_layout_down_does_not_keep_the_others_from_moving() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..4])).await;
    let content = web.fill(60, 2000).await;
    // No file can take the place of a directory, whoever asks, root included.
    let file = nodes[0].data().join("layout.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    web.cluster.add_node(new(&nodes[4])).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    eventually(DEADLINE, || async { web.cluster.layout().borrow().current.epoch.get() == 2 }).await;
    content.read_all(&web.ring).await;
    std::fs::remove_dir(&file).unwrap();
    web.until_stable().await;
    eventually(DEADLINE, || async { content.misplaced(&web).await.is_empty() }).await;
    eventually(DEADLINE, || async { Content::strays(&web, &nodes).await.is_empty() }).await;
}
