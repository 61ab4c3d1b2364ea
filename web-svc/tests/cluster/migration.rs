//! Content moves while it is read and written, and nothing is lost.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use triton_api::rebalance::ApplyRequest;
use triton_api::{
    BlobHash, BlobKey, ProblemType,
    cluster::{NewNode, NodeHealth},
    rebalance::RebalancePhase,
};
use triton_placement::partition_of;
use triton_testkit::eventually;
use web_svc::cluster::wish::Removal;

use crate::farm::{Content, DEADLINE, Node, Web, quick, slow, start_nodes, urls};

fn new(node: &Node) -> NewNode {
    NewNode { url: node.url(), zone: None, weight: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_node_receives_exactly_what_was_planned() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, quick(), &urls(&nodes[..4])).await;
    let content = web.fill(120, 4000).await;
    web.cluster.add_node(new(&nodes[4])).await.unwrap();
    let plan = web.cluster.plan().await.unwrap();
    assert_eq!(plan.replicas_to_move, plan.replicas_to_move_min);
    let copied = AtomicU64::new(0);
    web.cluster.apply(ApplyRequest { epoch: Some(plan.epoch), ..ApplyRequest::default() }).await.unwrap();
    eventually(DEADLINE, || async {
        let status = web.status().await;
        copied.fetch_max(status.bytes_done, Ordering::Relaxed);
        status.phase == RebalancePhase::Stable
    })
    .await;
    let held = nodes[4].client().info().await.unwrap().used_bytes;
    assert_eq!((held, copied.into_inner()), (plan.bytes_to_move, plan.bytes_to_move));
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert_eq!(Content::strays(&web, &nodes).await, []);
    assert_eq!(web.cluster.layout().borrow().current.epoch, plan.epoch.next());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_ends_empty_and_leaves() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    let content = web.fill(60, 2000).await;
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until_stable().await;
    assert_eq!(nodes[0].blobs().await, 0);
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    assert_eq!(web.cluster.remove_node(nodes[0].id, false).await.unwrap(), Removal::Done);
    assert_eq!(web.cluster.layout().borrow().current.node(nodes[0].id), None);

    // In one go, with content.
    assert_eq!(web.cluster.remove_node(nodes[1].id, false).await.unwrap(), Removal::Staged);
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until_stable().await;
    assert_eq!(nodes[1].blobs().await, 0);
    assert_eq!(web.cluster.nodes().await.unwrap().len(), 3);
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_writers_notice_nothing_of_an_addition_and_a_drain() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(5).await);
    let web = Web::start(&dir, slow(400_000), &urls(&nodes[..4])).await;
    let content = web.fill(60, 4000).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (ring, content, stop) = (web.ring.clone(), content.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                content.read_all(&ring).await;
                rounds += 1;
            }
            rounds
        })
    };
    let writer = {
        let (ring, stop) = (web.ring.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut written = Content { blobs: std::collections::BTreeMap::new() };
            while !stop.load(Ordering::Relaxed) {
                let key: BlobKey = format!("v/late/1/{}", written.blobs.len()).parse().unwrap();
                let bytes = Bytes::from(key.to_string());
                ring.put(&key, bytes.clone()).await.unwrap();
                written.blobs.insert(key, BlobHash::of(&bytes));
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            written
        })
    };
    web.cluster.add_node(new(&nodes[4])).await.unwrap();
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until_stable().await;
    stop.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 0);
    let written = writer.await.unwrap();
    written.read_all(&web.ring).await;
    eventually(DEADLINE, || async { written.misplaced(&web).await.is_empty() }).await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    eventually(DEADLINE, || async { nodes[0].blobs().await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_of_the_former_epoch_is_refused_once_a_migration_runs() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, slow(20_000), &urls(&nodes[..3])).await;
    web.fill(40, 4000).await;
    let before = web.cluster.layout().borrow().write_epoch();
    web.cluster.add_node(new(&nodes[3])).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 0).await;
    let (key, bytes): (BlobKey, _) = ("late".parse().unwrap(), Bytes::from_static(b"late"));
    for node in &nodes {
        let refused = node.client().put(&key, BlobHash::of(&bytes), bytes.clone(), before).await.unwrap_err();
        assert_eq!(refused.problem_type(), Some(ProblemType::StaleEpoch), "{refused}");
    }
    // One who follows the layout writes on.
    web.ring.put(&key, bytes.clone()).await.unwrap();
    web.until_stable().await;
    assert_eq!(web.ring.read_all(&key, 100).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_migration_stands_still_and_goes_on() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, slow(60_000), &urls(&nodes[..3])).await;
    let content = web.fill(60, 4000).await;
    web.cluster.add_node(new(&nodes[3])).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 0).await;
    web.cluster.hold(true).await.unwrap();
    web.until(|status| status.phase == RebalancePhase::Paused && status.bytes_per_second == 0).await;
    web.crash().await;

    // It stays paused over a restart.
    let web = Web::start(&dir, quick(), &[]).await;
    let paused = web.status().await;
    assert_eq!((paused.phase, paused.bytes_done < paused.bytes_total), (RebalancePhase::Paused, true));
    content.read_all(&web.ring).await;
    web.cluster.hold(false).await.unwrap();
    web.until_stable().await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    let health = |node: &triton_api::cluster::Node| node.health == NodeHealth::Up;
    assert!(web.cluster.nodes().await.unwrap().iter().all(health));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_it_moves_stays_deleted() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let web = Web::start(&dir, slow(60_000), &urls(&nodes[..3])).await;
    let mut content = web.fill(60, 4000).await;
    web.cluster.add_node(new(&nodes[3])).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.bytes_done > 0).await;
    let gone: Vec<BlobKey> = content.blobs.keys().step_by(2).cloned().collect();
    for key in &gone {
        web.ring.delete(key).await.unwrap();
        content.blobs.remove(key);
    }
    web.until_stable().await;
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
    for key in &gone {
        let partition = partition_of(key);
        for node in &nodes {
            let page = node.client().inventory(partition, None).await.unwrap();
            assert!(page.items.iter().all(|entry| entry.key != *key || entry.deleted), "{key} on {}", node.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_before_former_holders_release_it_does_not_keep_them_from_being_empty() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(4).await);
    let mut patient = quick();
    patient.reclaim_grace = std::time::Duration::from_secs(2);
    let web = Web::start(&dir, patient, &urls(&nodes)).await;
    let mut content = web.fill(40, 2000).await;
    web.cluster.drain_node(nodes[0].id).await.unwrap();
    web.cluster.apply(ApplyRequest::default()).await.unwrap();
    web.until(|status| status.epoch.get() == 2).await;
    assert!(nodes[0].blobs().await > 0);
    let gone: Vec<BlobKey> = content.blobs.keys().step_by(2).cloned().collect();
    for key in &gone {
        web.ring.delete(key).await.unwrap();
        content.blobs.remove(key);
    }
    web.until_stable().await;
    assert_eq!(nodes[0].blobs().await, 0);
    assert_eq!(content.misplaced(&web).await, Vec::<String>::new());
}
