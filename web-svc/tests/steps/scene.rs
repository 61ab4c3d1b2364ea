//! A cluster of real processes with people at work, and the file that arms a step.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use triton_api::{
    NodeUrl,
    client::{Caller, ClientError, NodeClient, WebClient},
    layout::LayoutRecord,
    rebalance::RebalancePhase,
};
use triton_kit::{
    MigrationStep,
    step::{FAIL_FILE, Side},
};
use triton_testkit::{StorageNode, WebService, eventually};

use crate::deeds::Deeds;

/// Enough for a machine that does many other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// The pause between two looks.
const EVERY: Duration = Duration::from_millis(20);
/// What is there before the first migration.
const BLOBS: u64 = 160;
/// So slow that a migration takes a few seconds, within which processes die.
const PULL_BYTES_PER_SECOND: &str = "400000";

pub(crate) fn caller() -> Caller {
    Caller::untraced(None).unwrap()
}

/// Four nodes in the layout, one beside it, and one web service.
pub(crate) struct Scene {
    pub(crate) nodes: Vec<StorageNode>,
    pub(crate) deeds: Deeds,
    web: WebService,
    fail_file: PathBuf,
    armed: Option<MigrationStep>,
    follower: JoinHandle<()>,
    _dir: TempDir,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fail_file = dir.path().join("fail");
        let mut nodes = Vec::new();
        for _ in 0..5 {
            nodes.push(StorageNode::start_with(None, |program| program.env(FAIL_FILE, &fail_file)).await);
        }
        let urls: Vec<&str> = nodes[..4].iter().map(|node| node.url.as_str()).collect();
        let storage = urls.join(",");
        let arguments = [
            ["--storage", &storage],
            ["--transcode-slots", "0"],
            ["--reclaim-grace-seconds", "1"],
            ["--replace-after-seconds", "0"],
            ["--rebalance-bytes-per-second", PULL_BYTES_PER_SECOND],
        ];
        let web = WebService::start_with(arguments.as_flattened(), |program| program.env(FAIL_FILE, &fail_file)).await;
        let known = nodes[0].client().layout().await.unwrap().unwrap();
        let (sender, layout) = watch::channel(Arc::new(known));
        let follower = tokio::spawn(follow(nodes.iter().map(|node| node.url.clone()).collect(), sender));
        let deeds = Deeds::start(layout, BLOBS).await;
        Self { nodes, deeds, web, fail_file, armed: None, follower, _dir: dir }
    }

    /// A client of the web service.
    pub(crate) fn web(&self) -> WebClient {
        self.web.client()
    }

    /// The first process that comes to the step from now on dies there.
    pub(crate) fn arm(&mut self, step: MigrationStep) {
        assert!(!self.fail_file.exists(), "{:?} was never reached", self.armed);
        let draft = self.fail_file.with_extension("draft");
        std::fs::write(&draft, step.name()).unwrap();
        std::fs::rename(draft, &self.fail_file).unwrap();
        self.armed = Some(step);
    }

    /// Asks for something that the web service does not live to answer; see [`Self::mourn`].
    pub(crate) async fn die<T>(
        &mut self,
        next: Option<MigrationStep>,
        ask: impl AsyncFnOnce(WebClient) -> Result<T, ClientError>,
    ) {
        assert!(ask(self.web()).await.is_err(), "{:?} has been answered", self.armed);
        self.mourn(next).await;
    }

    /// Waits until a process has died at the armed step, and brings it back.
    ///
    /// The `next` step is armed before a web service is back, which may come to it before it answers anybody.
    pub(crate) async fn mourn(&mut self, next: Option<MigrationStep>) {
        let step = self.armed.take().expect("a step is armed");
        let began = Instant::now();
        while self.fail_file.exists() {
            assert!(began.elapsed() < DEADLINE, "nobody comes to {step}");
            tokio::time::sleep(EVERY).await;
        }
        loop {
            if self.web.process.has_ended() {
                assert_eq!(step.side(), Side::Coordinator, "{step}");
                if let Some(next) = next {
                    self.arm(next);
                    self.web.process.restart();
                } else {
                    self.web.restart().await;
                }
                return;
            }
            if let Some(node) = self.nodes.iter_mut().find_map(|node| node.process.has_ended().then_some(node)) {
                assert_eq!(step.side(), Side::Node, "{step}");
                node.restart().await;
                return next.into_iter().for_each(|next| self.arm(next));
            }
            assert!(began.elapsed() < DEADLINE, "{step} was taken, and nobody died");
            tokio::time::sleep(EVERY).await;
        }
    }

    pub(crate) async fn until_moving(&self) {
        let web = self.web();
        eventually(DEADLINE, || async { web.rebalance().await.is_ok_and(|state| state.bytes_done > 0) }).await;
    }

    pub(crate) async fn until_stable(&self) {
        let web = self.web();
        let is_stable = || async { web.rebalance().await.is_ok_and(|state| state.phase == RebalancePhase::Stable) };
        eventually(DEADLINE, is_stable).await;
    }

    /// Ends the people's work, after which nothing may have failed.
    pub(crate) async fn end(self) {
        self.deeds.end().await;
        self.follower.abort();
    }
}

/// Reads the layout from the nodes, as the web service may be dead, and tells the people at work.
async fn follow(nodes: Vec<NodeUrl>, known: watch::Sender<Arc<LayoutRecord>>) {
    let rank = |record: &LayoutRecord| (record.write_epoch(), record.current.epoch);
    let clients: Vec<_> = nodes.into_iter().map(|url| NodeClient::new(caller(), url)).collect();
    loop {
        for client in &clients {
            if let Ok(Some(record)) = client.layout().await {
                known.send_if_modified(|known| {
                    let is_newer = rank(&record) > rank(known);
                    if is_newer {
                        *known = Arc::new(record);
                    }
                    is_newer
                });
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
