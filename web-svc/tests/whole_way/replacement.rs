//! Four storage nodes, three replicas, no person: one stays away and is replaced; one hangs and hurts nobody.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use triton_api::{
    BlobKey, NodeId,
    cluster::{Cluster, Node, NodeHealth},
    layout::NodeState,
    rebalance::RebalancePhase,
};
use triton_testkit::{WebService, eventually, media};

use crate::{
    READY_DEADLINE, SETTLE_DEADLINE,
    cluster::{Audience, four_nodes},
    viewer::Viewer,
};

/// The longest that a viewer waits for a segment while a node hangs.
const SEGMENT_TIME_MAX: Duration = Duration::from_secs(1);

fn node(cluster: &Cluster, id: NodeId) -> &Node {
    cluster.nodes.iter().find(|node| node.id == id).unwrap()
}

/// Waits until the layout says this of a node, no migration runs, and every partition has all its replicas.
async fn settled(web: &WebService, id: NodeId, state: NodeState) -> Cluster {
    let client = web.client();
    let is_settled = |cluster: &Cluster| {
        let stable = cluster.phase == RebalancePhase::Stable && cluster.partitions_degraded == 0;
        stable && node(cluster, id).state == state
    };
    // What was seen then: a moment later the next change may have begun.
    let seen = Mutex::new(None);
    eventually(SETTLE_DEADLINE, || async {
        let cluster = client.cluster().await.unwrap();
        let settled = is_settled(&cluster);
        *seen.lock().unwrap() = settled.then_some(cluster);
        settled
    })
    .await;
    seen.into_inner().unwrap().unwrap()
}

/// The blob behind the path of a segment.
fn key_of(path: &str) -> BlobKey {
    path.replacen("/media/", "v/", 1).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_is_replaced_and_taken_back_without_a_person_a_failed_read_or_a_deleted_blob() {
    let mut fixture = four_nodes(&["--replace-after-seconds", "3"]).await;
    let dir = tempfile::tempdir().unwrap();
    let doomed = fixture.web.upload(&media::clip(dir.path(), "doomed.mp4", 6, "320x180")).await;
    fixture.web.ready(doomed.id, READY_DEADLINE).await;
    let doomed_paths = Viewer::new(&fixture.web.origin).paths(doomed.id).await;
    let audience = Audience::start(&fixture);
    let away = fixture.nodes[1].id;
    let held = fixture.nodes[1].client().info().await.unwrap().blobs;
    assert!(held > 0);

    fixture.nodes[1].process.kill();
    let without = settled(&fixture.web, away, NodeState::Down).await;
    assert_eq!((node(&without, away).partitions, node(&without, away).health), (0, NodeHealth::Down));
    assert!(node(&without, away).health_since.is_some());
    assert!(without.replacements[0].contains(&away.to_string()), "{:?}", without.replacements);
    fixture.web.client().delete(doomed.id).await.unwrap();

    fixture.nodes[1].restart().await;
    let back = settled(&fixture.web, away, NodeState::Active).await;
    assert!(node(&back, away).partitions > 700, "{back:?}");
    assert!(back.replacements[0].contains("taken back"), "{:?}", back.replacements);
    audience.rounds(1).await;
    assert_eq!(audience.end().await, Vec::<String>::new());
    for key in doomed_paths.iter().map(|path| key_of(path)) {
        for node in &fixture.nodes {
            eventually(SETTLE_DEADLINE, || async { !matches!(node.client().head(&key).await, Ok(Some(_))) }).await;
        }
    }
    for path in &fixture.paths {
        let answers = fixture.nodes.iter().map(|node| async { node.client().head(&key_of(path)).await });
        let copies = futures_util::future::join_all(answers).await;
        assert_eq!(copies.iter().filter(|copy| matches!(copy, Ok(Some(_)))).count(), 3, "{path}: {copies:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_makes_no_viewer_wait_and_is_seen() {
    let fixture = four_nodes(&[]).await;
    let client = fixture.web.client();
    let hung = &fixture.nodes[2];
    let http = Viewer::new(&fixture.web.origin);
    hung.process.suspend();
    let mut slowest = Duration::ZERO;
    let mut rounds = 0;
    loop {
        for path in &fixture.paths {
            let began = Instant::now();
            let segment = http.watch(std::slice::from_ref(path)).await.unwrap();
            slowest = slowest.max(began.elapsed());
            assert_eq!(segment[path], fixture.before[path]);
        }
        rounds += 1;
        let cluster = client.cluster().await.unwrap();
        let seen = node(&cluster, hung.id);
        if seen.health == NodeHealth::Down {
            assert!(seen.health_since.is_some() && seen.state == NodeState::Active, "{seen:?}");
            break;
        }
        assert!(rounds < 10_000, "the node that hangs is never seen as down");
    }
    assert!(slowest < SEGMENT_TIME_MAX, "a segment took {slowest:?}");
    hung.process.resume();
    let is_up = || async { node(&client.cluster().await.unwrap(), hung.id).health == NodeHealth::Up };
    eventually(SETTLE_DEADLINE, is_up).await;
    assert_eq!(node(&client.cluster().await.unwrap(), hung.id).health_since, None);
}
