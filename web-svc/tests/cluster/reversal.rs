//! A migration that is taken back.

use bytes::Bytes;
use triton_api::rebalance::ApplyRequest;
use triton_api::{BlobHash, BlobKey, cluster::NewNode, layout::NodeState, rebalance::RebalancePhase};
use web_svc::cluster::ClusterError;

use crate::farm::{Content, Web, quick, slow, start_nodes, urls};

#[tokio::test(flavor = "multi_thread")]
async fn aborting_restores_the_table_and_keeps_what_was_written_meanwhile() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, slow(30_000), &urls(&nodes[..3])).await;
    let mut content = web.fill(60, 4000).await;
    let before = web.cluster.layout().borrow().current.clone();
    web.cluster.add_node(NewNode { url: nodes[3].url(), zone: None, weight: None }).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 0).await;
    for n in 0..40 {
        let key: BlobKey = format!("meanwhile/{n}").parse().unwrap();
        let bytes = Bytes::from(key.to_string());
        web.ring.put(&key, bytes.clone()).await.unwrap();
        content.blobs.insert(key, BlobHash::of(&bytes));
    }
    web.cluster.abort().await.unwrap();
    content.read_all(&web.ring).await;
    web.until(|status| status.phase == RebalancePhase::Stable).await;
    let after = web.cluster.layout().borrow().current.clone();
    // The migration had epoch 2, the way back 3, and 4 is without the node that never came.
    assert_eq!((after.epoch.get(), &after.table, &after.nodes), (4, &before.table, &before.nodes));
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert_eq!(Content::strays(&web, &nodes).await, []);
    assert_eq!(nodes[3].blobs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_can_be_aborted() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, slow(80_000), &urls(&nodes)).await;
    let content = web.fill(60, 4000).await;
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 0).await;
    web.cluster.abort().await.unwrap();
    web.cluster.abort().await.unwrap_or_else(|error| assert!(matches!(error, ClusterError::Refused(_)), "{error}"));
    web.until(|status| status.phase == RebalancePhase::Stable).await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert_eq!(Content::strays(&web, &nodes).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_migration_cannot_be_aborted() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let mut patient = quick();
    patient.reclaim_grace = std::time::Duration::from_secs(60);
    let web = Web::start(&dir, patient, &urls(&nodes)).await;
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    let mut layout = web.cluster.layout();
    let committed = layout.wait_for(|record| record.current.epoch.get() == 2).await.unwrap().clone();
    assert!(matches!(web.cluster.abort().await, Err(ClusterError::Refused(_))));
    assert_eq!(*layout.borrow(), committed);
    assert_eq!(committed.current.node(nodes[0].id).unwrap().state, NodeState::Draining);
}
