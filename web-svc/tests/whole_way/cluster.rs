//! Four storage nodes, three replicas: nodes die, come and go while somebody watches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use triton_api::{
    NodeUrl,
    cluster::NewNode,
    rebalance::{ApplyRequest, RebalancePhase},
};
use triton_testkit::{StorageNode, WebService, eventually, media};

use crate::{
    READY_DEADLINE, SETTLE_DEADLINE,
    viewer::{Segments, Viewer},
};

pub(crate) struct Fixture {
    pub(crate) nodes: Vec<StorageNode>,
    pub(crate) web: WebService,
    pub(crate) paths: Vec<String>,
    pub(crate) before: Segments,
}

/// A ready video on four nodes.
pub(crate) async fn four_nodes(args: &[&str]) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "clip.mp4", 14, "640x360");
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(StorageNode::start(None).await);
    }
    let urls: Vec<NodeUrl> = nodes.iter().map(|node| node.url.clone()).collect();
    let args: Vec<&str> = ["--reclaim-grace-seconds", "1"].into_iter().chain(args.iter().copied()).collect();
    let web = WebService::start_on(&urls, &args).await;
    let video = web.upload(&clip).await;
    let video = web.ready(video.id, READY_DEADLINE).await;
    let viewer = Viewer::new(&web.origin);
    let paths = viewer.paths(video.id).await;
    let before = viewer.watch(&paths).await.unwrap();
    assert!(paths.len() > 12, "{paths:?}");
    Fixture { nodes, web, paths, before }
}

/// Somebody who watches everything again and again, and counts.
pub(crate) struct Audience {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    watching: JoinHandle<Vec<String>>,
}

impl Audience {
    pub(crate) fn start(fixture: &Fixture) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (viewer, paths, before) = (Viewer::new(&fixture.web.origin), fixture.paths.clone(), fixture.before.clone());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&rounds));
        let watching = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match viewer.watch(&paths).await {
                    Ok(now) if now == before => {}
                    Ok(_) => failures.push("other bytes than before".to_owned()),
                    Err(error) => failures.push(error),
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
            failures
        });
        Self { stop, rounds, watching }
    }

    /// Waits until everything was watched so many times more, from beginning to end.
    pub(crate) async fn rounds(&self, more: u64) {
        let goal = self.rounds.load(Ordering::Relaxed) + more + 1;
        eventually(SETTLE_DEADLINE, || async { self.rounds.load(Ordering::Relaxed) >= goal }).await;
    }

    pub(crate) async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_while_any_one_node_is_killed() {
    let mut fixture = four_nodes(&[]).await;
    let audience = Audience::start(&fixture);
    for node in &mut fixture.nodes {
        node.process.kill();
        audience.rounds(2).await;
        node.restart().await;
        audience.rounds(1).await;
    }
    assert_eq!(audience.end().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_added_and_another_drained_with_no_failed_read_and_no_needless_byte() {
    let fixture = four_nodes(&[]).await;
    let audience = Audience::start(&fixture);
    audience.rounds(1).await;
    let client = fixture.web.client();

    let fifth = StorageNode::start(None).await;
    client.add_node(&NewNode { url: fifth.url.clone(), zone: None, weight: None }).await.unwrap();
    migrate(&fixture.web).await;
    assert!(fifth.client().info().await.unwrap().blobs > 0, "nothing moved to the fifth node");

    let leaving = &fixture.nodes[1];
    client.drain_node(leaving.id).await.unwrap();
    migrate(&fixture.web).await;
    let left = leaving.client().info().await.unwrap();
    assert_eq!((left.blobs, left.used_bytes), (0, 0), "the drained node is not empty");
    audience.rounds(1).await;
    assert_eq!(audience.end().await, Vec::<String>::new());

    client.remove_node(leaving.id, false).await.unwrap();
    assert!(client.nodes().await.unwrap().items.iter().all(|node| node.id != leaving.id));
    let after = Viewer::new(&fixture.web.origin).watch(&fixture.paths).await.unwrap();
    assert_eq!(after, fixture.before);
}

/// Plans, applies, waits for the end, and checks that no more was moved than planned.
async fn migrate(web: &WebService) {
    let client = web.client();
    let plan = client.rebalance_plan().await.unwrap();
    assert_eq!(plan.replicas_to_move, plan.replicas_to_move_min, "{plan:?}");
    assert!(plan.bytes_to_move > 0, "{plan:?}");
    let stale = client
        .rebalance_apply(ApplyRequest { epoch: Some(triton_api::Epoch::new(99)), ..ApplyRequest::default() })
        .await;
    assert!(stale.is_err(), "a plan for another epoch was applied");
    let begun =
        client.rebalance_apply(ApplyRequest { epoch: Some(plan.epoch), ..ApplyRequest::default() }).await.unwrap();
    assert!(begun.phase == RebalancePhase::Migrating, "{begun:?}");
    let mut bytes_done = 0;
    let start = std::time::Instant::now();
    loop {
        let now = client.rebalance().await.unwrap();
        bytes_done = bytes_done.max(now.bytes_done);
        if now.phase == RebalancePhase::Stable {
            assert_eq!(now.epoch, plan.epoch.next());
            break;
        }
        assert!(start.elapsed() < SETTLE_DEADLINE, "{now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let ratio = bytes_done as f64 / plan.bytes_to_move as f64;
    assert!(ratio <= 1.02, "moved {bytes_done} of {} planned bytes", plan.bytes_to_move);
}
