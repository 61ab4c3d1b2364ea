//! Storage nodes that can be killed, restarted and wiped, and a web side that can be restarted.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use triton_api::{
    BlobHash, BlobKey, NodeId, NodeUrl, PartitionId,
    client::{Caller, NodeClient},
    cluster::Worker,
    rebalance::{Rebalance, RebalancePhase},
};
use triton_placement::partition_of;
use triton_testkit::{content, eventually, free_port};
use web_svc::{
    cluster::{Cluster, ClusterSettings},
    journal::{Journal, SqliteJournal},
    membership::Membership,
    ring::{Ring, RingLimits},
    store::{Durability, Store},
};

/// Enough for a machine that does many other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

pub(crate) fn caller() -> Caller {
    Caller::untraced(None).unwrap()
}

/// A storage node.
pub(crate) struct Node {
    address: SocketAddr,
    dir: TempDir,
    running: Option<storage_svc::Running>,
    pub(crate) id: NodeId,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let dir = tempfile::tempdir().unwrap();
        let mut node = Self { address, dir, running: None, id: NodeId::from_u128(0) };
        node.restart().await;
        node
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) async fn restart(&mut self) {
        self.kill();
        let config = storage_svc::Config::new(self.data(), self.address);
        // The socket of the former life may take a moment to close.
        let mut running = None;
        for _ in 0..200 {
            match storage_svc::serve(config.clone(), CancellationToken::new()).await {
                Ok(started) => {
                    running = Some(started);
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "not yet");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        self.running = running;
        self.id = self.running.as_ref().expect("the node starts").id();
    }

    /// Cuts every request short and closes the port.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Takes all its blobs, as a new disk would, but leaves it its identity.
    pub(crate) async fn wipe(&mut self) {
        self.kill();
        let id = std::fs::read_dir(self.data()).unwrap().map(|entry| entry.unwrap().path());
        for path in id.filter(|path| path.is_dir()) {
            std::fs::remove_dir_all(path).ok();
        }
        let before = self.id;
        self.restart().await;
        assert_eq!(self.id, before);
    }

    pub(crate) fn move_to_another_port(&mut self) {
        self.address.set_port(free_port());
    }

    pub(crate) fn url(&self) -> NodeUrl {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub(crate) fn client(&self) -> NodeClient {
        NodeClient::new(caller(), self.url())
    }

    pub(crate) async fn blobs(&self) -> u64 {
        self.client().info().await.unwrap().blobs
    }
}

pub(crate) async fn start_nodes(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Node::start().await);
    }
    nodes
}

pub(crate) fn urls(nodes: &[Node]) -> Vec<NodeUrl> {
    nodes.iter().map(Node::url).collect()
}

pub(crate) fn quick() -> ClusterSettings {
    ClusterSettings {
        reclaim_grace: Duration::from_millis(200),
        probe_interval: Duration::from_millis(100),
        repair_interval: Duration::from_millis(300),
        bootstrap_timeout: Duration::from_secs(5),
        ..ClusterSettings::default()
    }
}

/// Slow enough that a test can do something while content moves.
pub(crate) fn slow(bytes_per_second: u64) -> ClusterSettings {
    ClusterSettings { pull_bytes_per_second: Some(bytes_per_second), ..quick() }
}

/// The membership of a process that is alone.
pub(crate) fn alone() -> Membership {
    Membership::alone(Worker { id: "test".into(), slots: 0, running: 0, started_at: jiff::Timestamp::now() })
}

/// What a process of the web side is.
pub(crate) enum Role {
    Leader,
    Follower { degraded_file: PathBuf },
}

/// The web side: database, cluster control, ring.
pub(crate) struct Web {
    pub(crate) cluster: Cluster,
    pub(crate) ring: Ring,
    pub(crate) store: Store,
    stop: CancellationToken,
    task: JoinHandle<()>,
    tasks: TaskTracker,
}

impl Web {
    pub(crate) async fn start(dir: &TempDir, settings: ClusterSettings, nodes: &[NodeUrl]) -> Self {
        let store = Store::open(&dir.path().join("catalog.db"), Durability::Full).await.unwrap();
        let journal = Arc::new(SqliteJournal::new(store.clone()));
        Self::start_on(store, settings, nodes, journal, Role::Leader).await
    }

    /// Another process over the same metadata, which does not lead.
    pub(crate) async fn follow(&self, settings: ClusterSettings, nodes: &[NodeUrl], degraded_file: PathBuf) -> Self {
        let journal = Arc::new(SqliteJournal::new(self.store.clone()));
        Self::start_on(self.store.clone(), settings, nodes, journal, Role::Follower { degraded_file }).await
    }

    /// The same with a journal that may write elsewhere.
    pub(crate) async fn start_through(
        dir: &TempDir,
        settings: ClusterSettings,
        nodes: &[NodeUrl],
        journal: Arc<dyn Journal>,
    ) -> Self {
        let store = Store::open(&dir.path().join("catalog.db"), Durability::Full).await.unwrap();
        Self::start_on(store, settings, nodes, journal, Role::Leader).await
    }

    /// With any journal, which may write elsewhere.
    pub(crate) async fn start_on(
        store: Store,
        settings: ClusterSettings,
        nodes: &[NodeUrl],
        journal: Arc<dyn Journal>,
        role: Role,
    ) -> Self {
        let (leads, degraded_file) = match role {
            Role::Leader => (true, None),
            Role::Follower { degraded_file } => (false, Some(degraded_file)),
        };
        let cluster = Cluster::start(journal, store.clone(), caller(), settings, alone(), nodes).await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let limits = RingLimits { degraded_file, ..RingLimits::default() };
        let ring = Ring::new(caller(), cluster.layout(), limits, tasks.clone(), stop.clone());
        let task = {
            let (cluster, ring, stop) = (cluster.clone(), ring.clone(), stop.clone());
            tokio::spawn(async move {
                let lead = async {
                    if leads {
                        cluster.lead(ring.clone(), stop.clone()).await;
                    }
                };
                tokio::join!(cluster.follow(ring.clone(), stop.clone()), lead);
            })
        };
        Self { cluster, ring, store, stop, task, tasks }
    }

    /// Ends at once, in the middle of whatever it does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
        self.stop.cancel();
        self.tasks.close();
        self.store.close().await;
    }

    pub(crate) async fn status(&self) -> Rebalance {
        self.cluster.rebalance().await.unwrap()
    }

    pub(crate) async fn until(&self, condition: impl Fn(&Rebalance) -> bool) {
        let mut last = None;
        let reached = tokio::time::timeout(DEADLINE, async {
            while !condition(last.insert(self.status().await)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(reached.await.is_ok(), "not in time; last seen: {last:#?}");
    }

    pub(crate) async fn until_stable(&self) {
        self.until(|status| status.phase == RebalancePhase::Stable).await;
    }

    /// Writes blobs through the ring and waits until each lies on all its holders.
    pub(crate) async fn fill(&self, count: u64, blob_bytes: usize) -> Content {
        let mut blobs = BTreeMap::new();
        for n in 0..count {
            let key: BlobKey = format!("v/test/1/{n}").parse().unwrap();
            let bytes = content(n + 1, blob_bytes);
            blobs.insert(key.clone(), BlobHash::of(&bytes));
            self.ring.put(&key, bytes).await.unwrap();
        }
        let content = Content { blobs };
        eventually(DEADLINE, || async { content.misplaced(self).await.is_empty() }).await;
        content
    }
}

/// What was written.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) blobs: BTreeMap<BlobKey, BlobHash>,
}

impl Content {
    /// What is wrong: a holder without a blob, or with another one.
    pub(crate) async fn misplaced(&self, web: &Web) -> Vec<String> {
        let record = web.cluster.layout().borrow().clone();
        let mut wrong = Vec::new();
        for (key, hash) in &self.blobs {
            for holder in record.current.holders(partition_of(key)) {
                let found = NodeClient::new(caller(), holder.url.clone()).head(key).await;
                match found {
                    Ok(Some((found, _))) if found == *hash => {}
                    other => wrong.push(format!("{key} on {}: {other:?}", holder.id)),
                }
            }
        }
        wrong
    }

    /// Partitions that a node has blobs of and does not hold.
    pub(crate) async fn strays(web: &Web, nodes: &[Node]) -> Vec<(NodeId, PartitionId)> {
        let record = web.cluster.layout().borrow().clone();
        let mut strays = Vec::new();
        for node in nodes {
            for digest in node.client().partitions().await.unwrap().into_iter().filter(|digest| digest.blobs > 0) {
                let holders: BTreeSet<NodeId> = record.current.holders(digest.partition).map(|node| node.id).collect();
                if !holders.contains(&node.id) {
                    strays.push((node.id, digest.partition));
                }
            }
        }
        strays
    }

    /// Reads everything through the ring and compares it.
    pub(crate) async fn read_all(&self, ring: &Ring) {
        for (key, hash) in &self.blobs {
            let bytes = ring.read_all(key, 1 << 20).await.unwrap();
            assert_eq!(BlobHash::of(&bytes), *hash, "{key}");
        }
    }
}
