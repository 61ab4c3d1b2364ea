//! etcd, storage nodes, and web services that share them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use triton_api::{NodeUrl, VideoId};
use triton_testkit::{Etcd, EtcdOptions, StorageNode, WebService, eventually, media};

use crate::SETTLE_DEADLINE;

pub(crate) struct Installation {
    pub(crate) etcd: Etcd,
    pub(crate) nodes: Vec<StorageNode>,
    pub(crate) webs: Vec<WebService>,
    dir: TempDir,
}

impl Installation {
    /// Three storage nodes and two web services, started at the same moment.
    pub(crate) async fn start(etcd_members: usize, web_args: &[&str]) -> Self {
        let options = EtcdOptions { members: etcd_members, fsync: etcd_members > 1, ..EtcdOptions::default() };
        let etcd = Etcd::start_with(options).await;
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(StorageNode::start(None).await);
        }
        let urls: Vec<NodeUrl> = nodes.iter().map(|node| node.url.clone()).collect();
        let metadata = etcd.url();
        let mut args = vec!["--metadata", metadata.as_str()];
        args.extend(web_args);
        let (one, other) = tokio::join!(WebService::start_on(&urls, &args), WebService::start_on(&urls, &args));
        Self { etcd, nodes, webs: vec![one, other], dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn clip(&self, seconds: u32) -> PathBuf {
        media::clip(self.dir.path(), &format!("clip-{seconds}.mp4"), seconds, "320x180")
    }

    /// Where files for upload may be made.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until a web service shows the video, as it does a moment after another one has it.
    pub(crate) async fn shows(&self, web: usize, id: VideoId) {
        let client = self.webs[web].client();
        eventually(SETTLE_DEADLINE, || async { client.video(id).await.is_ok() }).await;
    }

    /// The web service that leads, and the other one.
    pub(crate) async fn leader(&self) -> (usize, usize) {
        let mut leader = None;
        let began = std::time::Instant::now();
        while leader.is_none() {
            assert!(began.elapsed() < SETTLE_DEADLINE, "nobody leads");
            for (number, web) in self.webs.iter().enumerate() {
                let metrics = web.text("/metrics").await;
                if metrics.lines().any(|line| line == "triton_leads 1") {
                    leader = Some(number);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let leader = leader.unwrap();
        (leader, 1 - leader)
    }
}
