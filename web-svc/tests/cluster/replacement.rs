//! Nodes that stay away are replaced, and taken back when they return, without a person.

use std::time::Duration;

use triton_api::{NodeId, layout::NodeState, rebalance::RebalancePhase};
use triton_testkit::eventually;
use web_svc::cluster::ClusterSettings;

use crate::farm::{Content, DEADLINE, Node, Web, quick, start_nodes, urls};

fn impatient() -> ClusterSettings {
    let (replace_after, replace_interval_min) = (Some(Duration::from_millis(600)), Duration::from_millis(600));
    ClusterSettings { replace_after, replace_interval_min, ..quick() }
}

async fn until(web: &Web, id: NodeId, state: NodeState) {
    eventually(DEADLINE, || async {
        let is = web.cluster.layout().borrow().current.node(id).is_some_and(|node| node.state == state);
        is && web.status().await.phase == RebalancePhase::Stable
    })
    .await;
}

async fn has(node: &Node, key: &triton_api::BlobKey) -> bool {
    matches!(node.client().head(key).await, Ok(Some(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stays_away_is_replaced_and_returns_without_what_was_deleted_meanwhile() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, impatient(), &urls(&nodes)).await;
    let mut content = web.fill(60, 2000).await;
    let gone = nodes[3].id;
    nodes[3].kill();
    until(&web, gone, NodeState::Down).await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert_eq!(web.cluster.overview().await.unwrap().partitions_degraded, 0);

    let deleted: Vec<_> = content.blobs.keys().take(30).cloned().collect();
    for key in &deleted {
        web.ring.delete(key).await.unwrap();
        content.blobs.remove(key);
    }
    nodes[3].restart().await;
    assert!(nodes[3].blobs().await > 0, "it still has what it had");
    until(&web, gone, NodeState::Active).await;
    assert!(web.cluster.layout().borrow().current.partitions_of(gone) > 700);
    eventually(DEADLINE, || async { content.misplaced(&web).await.is_empty() }).await;
    eventually(DEADLINE, || async { Content::strays(&web, &nodes).await.is_empty() }).await;
    for key in &deleted {
        for node in &nodes {
            assert!(!has(node, key).await, "{key} is back on {}", node.id);
        }
    }
    content.read_all(&web.ring).await;
}

/// Deletes do not reach it while it is given up, though it can be reached.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_given_up_learns_so_when_it_answers_again() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(
        &dir,
        ClusterSettings { replace_interval_min: Duration::from_hours(1), ..impatient() },
        &urls(&nodes),
    )
    .await;
    let content = web.fill(20, 2000).await;
    let gone = nodes[3].id;
    nodes[3].kill();
    until(&web, gone, NodeState::Down).await;
    nodes[3].restart().await;
    let serves = async |key| nodes[3].client().head(key).await.is_ok();
    eventually(DEADLINE, || async { !serves(content.blobs.keys().next().unwrap()).await }).await;
    for key in content.blobs.keys() {
        assert!(!serves(key).await, "{key}");
    }
    content.read_all(&web.ring).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_web_side_takes_back_what_the_one_before_replaced() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, impatient(), &urls(&nodes)).await;
    let content = web.fill(20, 2000).await;
    let gone = nodes[0].id;
    nodes[0].kill();
    until(&web, gone, NodeState::Down).await;
    web.crash().await;
    let web = Web::start(&dir, impatient(), &[]).await;
    let told = web.cluster.overview().await.unwrap().replacements;
    assert!(told.len() == 1 && told[0].contains("taken back when it answers"), "{told:?}");
    nodes[0].restart().await;
    until(&web, gone, NodeState::Active).await;
    eventually(DEADLINE, || async { content.misplaced(&web).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_a_person_removed_stays_removed() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, impatient(), &urls(&nodes)).await;
    let content = web.fill(20, 2000).await;
    let removed = nodes[1].id;
    nodes[1].kill();
    until(&web, removed, NodeState::Down).await;
    web.cluster.remove_node(removed, true).await.unwrap();
    nodes[1].restart().await;
    // Another node goes and comes back meanwhile: by then the first would have, too.
    let other = nodes[2].id;
    nodes[2].kill();
    until(&web, other, NodeState::Down).await;
    nodes[2].restart().await;
    until(&web, other, NodeState::Active).await;
    assert_eq!(web.cluster.layout().borrow().node(removed), None);
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
}
