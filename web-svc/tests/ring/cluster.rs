//! Real storage nodes in this process, each behind a proxy, and a ring client over them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use storage_svc::{Config, Running};
use tempfile::TempDir;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::{
    BlobKey, NodeId,
    client::{Caller, NodeClient},
    layout::{Layout, LayoutNode, LayoutRecord, NodeState},
};
use triton_placement::{layout, partition_of};
use triton_testkit::Proxy;
use web_svc::ring::{Ring, RingLimits};

pub struct TestNode {
    pub id: NodeId,
    pub proxy: Proxy,
    /// A way around the proxy.
    pub direct: NodeClient,
    dir: TempDir,
    _running: Running,
}

pub struct Cluster {
    pub nodes: Vec<TestNode>,
    pub ring: Ring,
    layout: watch::Sender<Arc<LayoutRecord>>,
    _stop: tokio_util::sync::DropGuard,
}

pub const MIB: usize = 1024 * 1024;

/// Limits for tests: what takes seconds for good reasons in production takes less here, and no stream hedges because this
/// machine has much to do.
pub fn limits() -> RingLimits {
    RingLimits { laggard_timeout: Duration::from_millis(300), bytes_per_second_brisk: 0, ..RingLimits::default() }
}

impl Cluster {
    pub async fn start(nodes: usize, replicas: u8) -> Self {
        Self::start_with(nodes, replicas, limits()).await
    }

    pub async fn start_with(count: usize, replicas: u8, limits: RingLimits) -> Self {
        let caller = Caller::untraced(None).unwrap();
        let shutdown = CancellationToken::new();
        let nodes = join_all((0..count).map(|_| TestNode::start(&caller, shutdown.clone()))).await;
        let members = nodes.iter().map(TestNode::member).collect();
        let record = LayoutRecord::settled(layout::first(members, replicas).unwrap());
        let (sender, receiver) = watch::channel(Arc::new(record));
        let ring = Ring::new(caller, receiver, limits, TaskTracker::new(), shutdown.clone());
        let cluster = Self { nodes, ring, layout: sender, _stop: shutdown.drop_guard() };
        cluster.tell_nodes(&cluster.record()).await;
        cluster
    }

    /// A ring client of another process, which remembers what lacks a copy in `degraded_file`.
    pub fn another_ring(&self, degraded_file: &std::path::Path) -> Ring {
        let limits = RingLimits { degraded_file: Some(degraded_file.to_owned()), ..limits() };
        let caller = Caller::untraced(None).unwrap();
        Ring::new(caller, self.layout.subscribe(), limits, TaskTracker::new(), CancellationToken::new())
    }

    pub fn record(&self) -> LayoutRecord {
        (**self.layout.borrow()).clone()
    }

    /// Tells the nodes a layout, not the ring.
    pub async fn tell_nodes(&self, record: &LayoutRecord) {
        for told in join_all(self.nodes.iter().map(|node| node.direct.put_layout(record))).await {
            told.unwrap();
        }
    }

    /// Tells the ring a layout, not the nodes.
    pub fn tell_ring(&self, record: LayoutRecord) {
        self.layout.send_replace(Arc::new(record));
    }

    /// The layout after the current one, with other states of nodes.
    pub fn next_layout(&self, state: impl Fn(NodeId) -> NodeState) -> Layout {
        let current = self.record().current;
        let nodes = current.nodes.iter().map(|n| LayoutNode { state: state(n.id), ..n.clone() }).collect();
        layout::change(&current, nodes, current.replicas).unwrap()
    }

    pub fn node(&self, id: NodeId) -> &TestNode {
        self.nodes.iter().find(|node| node.id == id).unwrap()
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut TestNode {
        self.nodes.iter_mut().find(|node| node.id == id).unwrap()
    }

    pub fn holders(&self, key: &BlobKey) -> Vec<NodeId> {
        self.record().current.holders(partition_of(key)).map(|node| node.id).collect()
    }

    /// Nodes that have a copy.
    pub async fn copies(&self, key: &BlobKey) -> Vec<NodeId> {
        let mut copies = Vec::new();
        for node in &self.nodes {
            match node.direct.head(key).await {
                Ok(Some(_)) => copies.push(node.id),
                Ok(None) => {}
                Err(error) => assert!(error.is_deleted(), "{error}"),
            }
        }
        copies
    }
}

impl TestNode {
    async fn start(caller: &Caller, stop: CancellationToken) -> Self {
        // In memory where there is such a directory: what a crash leaves on a disk is tested elsewhere.
        let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let config = Config::new(dir.path(), "127.0.0.1:0".parse().unwrap());
        let running = storage_svc::serve(config, stop).await.unwrap();
        let (id, address) = (running.id(), running.address());
        let direct = NodeClient::new(caller.clone(), format!("http://{address}").parse().unwrap());
        Self { id, proxy: Proxy::start(address).await, direct, dir, _running: running }
    }

    fn member(&self) -> LayoutNode {
        let url = format!("http://{}", self.proxy.addr).parse().unwrap();
        LayoutNode::active(self.id, url, "default".to_owned(), 100)
    }

    /// Flips one bit of the payload of the only blob on this node.
    pub fn flip_bit(&self, offset: usize) {
        let blobs = files(self.dir.path().join("blobs"));
        assert_eq!(blobs.len(), 1, "{blobs:?}");
        let mut content = std::fs::read(&blobs[0]).unwrap();
        content[offset] ^= 1;
        std::fs::write(&blobs[0], content).unwrap();
    }

    /// Removes the only blob on this node behind its back.
    pub fn lose_blob(&self) {
        for blob in files(self.dir.path().join("blobs")) {
            std::fs::remove_file(blob).unwrap();
        }
    }
}

fn files(dir: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(path)) } else { found.push(path) }
    }
    found
}

impl Cluster {
    /// Writes a blob and waits until all copies are there.
    pub async fn put_everywhere(&self, key: &BlobKey, content: &Bytes) {
        self.ring.put(key, content.clone()).await.unwrap();
        eventually("all copies are there", || self.ring.write_bytes_in_flight() == 0).await;
    }
}

pub fn key(text: &str) -> BlobKey {
    text.parse().unwrap()
}

/// Content in which no two places look alike, so that a wrong offset shows.
pub fn content(seed: u8, len_bytes: usize) -> Bytes {
    let mut content = vec![0; len_bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut content);
    content.into()
}

/// Waits until `condition` holds; panics after 10 s.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
