//! The first layout, later starts, and changes that are refused.

use std::sync::Arc;

use triton_api::rebalance::ApplyRequest;
use triton_api::{
    NodeId,
    cluster::{NewNode, NodeChange},
    layout::NodeState,
};
use triton_testkit::eventually;
use web_svc::{
    cluster::{Cluster, ClusterError, StartError, wish::Removal},
    journal::{Journal, SqliteJournal},
    store::{Durability, Store},
};

use crate::farm::{DEADLINE, Node, Web, alone, caller, quick, start_nodes, urls};

fn new(node: &Node) -> NewNode {
    NewNode { url: node.url(), zone: None, weight: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_a_layout_and_every_later_one_keeps_it() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..2])).await;
    let first = web.cluster.layout().borrow().clone();
    assert_eq!((first.current.epoch.get(), first.current.nodes.len(), first.current.table[0].len()), (1, 2, 2));
    for node in &nodes[..2] {
        assert_eq!(node.client().layout().await.unwrap().as_ref(), Some(&*first));
    }
    web.crash().await;

    // Another list of nodes is no change of the cluster.
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    assert_eq!(*web.cluster.layout().borrow(), first);
    web.crash().await;

    // A known node at another address is the same node.
    nodes[0].move_to_another_port();
    nodes[0].restart().await;
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    let moved = web.cluster.layout().borrow().clone();
    assert_eq!(moved.current.node(nodes[0].id).unwrap().url, nodes[0].url());
    assert_eq!((moved.current.epoch.get(), &moved.current.table), (2, &first.current.table));
    eventually(DEADLINE, || async { nodes[1].client().layout().await.unwrap().as_ref() == Some(&*moved) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_names_the_node_that_does_not_answer_or_belongs_to_others() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(2).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..1])).await;
    let other = tempfile::tempdir().unwrap();
    let store = Store::open(&other.path().join("catalog.db"), Durability::Full).await.unwrap();
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::new(store.clone()));
    let mut settings = quick();
    settings.bootstrap_timeout = std::time::Duration::from_millis(300);
    let start = async |nodes: &[Node]| {
        Cluster::start(Arc::clone(&journal), store.clone(), caller(), settings.clone(), alone(), &urls(nodes))
            .await
            .err()
            .unwrap()
    };
    let refused = start(&nodes).await;
    assert!(matches!(&refused, StartError::Taken { url, .. } if *url == nodes[0].url()), "{refused}");
    nodes[1].kill();
    let refused = start(&nodes[1..]).await;
    assert!(matches!(&refused, StartError::NoAnswer { url, .. } if *url == nodes[1].url()), "{refused}");
    assert!(matches!(start(&[]).await, StartError::NoNodes));
    web.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_the_reason() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..3])).await;
    let cluster = &web.cluster;
    for outcome in [cluster.drain_node(nodes[0].id).await, cluster.remove_node(nodes[0].id, true).await.map(drop)] {
        assert!(matches!(&outcome, Err(ClusterError::Infeasible(_))), "{outcome:?}");
    }
    assert!(matches!(cluster.add_node(new(&nodes[1])).await, Err(ClusterError::Refused(_))));
    let nobody = NewNode { url: "http://127.0.0.1:1".parse().unwrap(), zone: None, weight: None };
    assert!(matches!(cluster.add_node(nobody).await, Err(ClusterError::NoAnswer { .. })));
    let weightless = NewNode { weight: Some(0), ..new(&nodes[3]) };
    assert!(matches!(cluster.add_node(weightless).await, Err(ClusterError::Invalid(_))));
    let stranger = NodeId::from_u128(7);
    assert!(matches!(cluster.drain_node(stranger).await, Err(ClusterError::UnknownNode(_))));
    assert!(matches!(cluster.remove_node(stranger, false).await, Err(ClusterError::UnknownNode(_))));
    assert!(matches!(
        cluster.apply(ApplyRequest { epoch: Some(triton_api::Epoch::new(9)), ..ApplyRequest::default() }).await,
        Err(ClusterError::EpochMoved { .. })
    ));
    assert!(matches!(cluster.hold(true).await, Err(ClusterError::Refused(_))));
    assert!(web.status().await.staged.is_empty());
    assert_eq!(cluster.plan().await.unwrap().changes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_survives_a_restart_and_can_be_dropped() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..3])).await;
    let added = web.cluster.add_node(NewNode { weight: Some(50), ..new(&nodes[3]) }).await.unwrap();
    web.cluster.change_node(nodes[0].id, NodeChange { zone: Some("east".to_owned()), weight: None }).await.unwrap();
    let plan = web.cluster.plan().await.unwrap();
    assert_eq!((plan.changes.len(), plan.replicas_to_move > 0), (2, true));
    web.crash().await;

    let web = Web::start(&dir, quick(), &[]).await;
    assert_eq!(web.cluster.plan().await.unwrap(), plan);
    let staged = web.cluster.nodes().await.unwrap();
    let described = staged.iter().map(|node| (node.id, node.staged, node.partitions > 0)).collect::<Vec<_>>();
    let expected = [(0, true, true), (1, false, true), (2, false, true), (3, true, false)];
    assert_eq!(described, expected.map(|(n, staged, holds)| (nodes[n].id, staged, holds)));
    assert_eq!(web.cluster.remove_node(added, false).await.unwrap(), Removal::Done);
    assert_eq!(web.status().await.staged.len(), 1);
    web.cluster.abort().await.unwrap();
    assert!(web.status().await.staged.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_grows_to_three_replicas() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..1])).await;
    let content = web.fill(40, 3000).await;
    for node in &nodes[1..] {
        web.cluster.add_node(new(node)).await.unwrap();
    }
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until_stable().await;
    let record = web.cluster.layout().borrow().clone();
    assert!(record.current.table.iter().all(|holders| holders.len() == 3));
    assert!(record.current.nodes.iter().all(|node| node.state == NodeState::Active));
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    for node in &nodes {
        assert_eq!(node.blobs().await, 40);
    }
}
