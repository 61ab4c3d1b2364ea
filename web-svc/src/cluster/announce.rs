//! Tells the nodes the layout, and learns which nodes are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use triton_api::{
    NodeId, ProblemType,
    client::{Caller, ClientError, NodeClient},
    cluster::NodeHealth,
    layout::{LayoutNode, LayoutRecord},
    storage::{NodeInfo, PartitionDigest},
};
use triton_kit::MigrationStep;

use super::{
    census::Census,
    fence::is_given_up,
    health::{HealthBoard, PROBE_TIMEOUT},
};

/// Nodes that are asked at once.
const NODES_IN_FLIGHT: usize = 16;
/// The longest wait for a node's digests: it may have to read every name it holds after a restart.
const CENSUS_TIMEOUT: Duration = Duration::from_secs(60);

/// What a node made of the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reaction {
    Learned,
    Silent,
    /// It answers, but cannot write it down; the text says why. Until it can, it is as good as silent.
    Unable(String),
    /// It answers, but does not take it; the text says why.
    Refused(String),
}

/// Which nodes know the layout.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// The nodes that know it.
    pub(super) by: BTreeSet<NodeId>,
    /// Why others that answer do not.
    pub(super) refused: Vec<String>,
    /// Why others that answer cannot.
    pub(super) unable: Vec<String>,
}

/// Speaks to all nodes at once.
#[derive(Debug)]
pub(super) struct Announcer {
    caller: Caller,
    /// The digests of the record that each node has taken from this process.
    told: Mutex<BTreeMap<NodeId, String>>,
    /// The nodes of which it was said that they do not tell what they have.
    complained: Mutex<BTreeSet<NodeId>>,
}

impl Announcer {
    pub(super) fn new(caller: Caller) -> Self {
        Self { caller, told: Mutex::default(), complained: Mutex::default() }
    }

    fn client(&self, node: &LayoutNode) -> NodeClient {
        NodeClient::new(self.caller.clone(), node.url.clone())
    }

    /// What the node says of itself, or `None` where it does not answer, or another one does.
    pub(super) async fn probe(&self, node: &LayoutNode) -> Option<NodeInfo> {
        match timeout(PROBE_TIMEOUT, self.client(node).info()).await {
            Ok(Ok(info)) if info.id == node.id => Some(info),
            Ok(Ok(info)) => {
                tracing::warn!(node.id = %node.id, url = %node.url, found = %info.id, "another node answers there");
                None
            }
            Ok(Err(error)) => {
                tracing::debug!(node.id = %node.id, %error, "a node does not answer");
                None
            }
            Err(_) => None,
        }
    }

    /// Probes every node, those that are given up as well: one may be taken back when it answers.
    pub(super) async fn probe_all(&self, record: &LayoutRecord) -> Vec<(NodeId, Option<NodeInfo>)> {
        each_of(record.nodes(), |node| async move { (node.id, self.probe(node).await) }).await
    }

    /// Tells the layout to every node that does not know it yet.
    pub(super) async fn announce(&self, record: &LayoutRecord) -> Learned {
        let mut learned = Learned::default();
        for (node, reaction) in each(record, |node| async move { (node, self.tell(node, record).await) }).await {
            match reaction {
                Reaction::Learned => drop(learned.by.insert(node.id)),
                Reaction::Silent => {}
                Reaction::Unable(reason) => learned.unable.push(format!("node {}: {reason}", node.id)),
                Reaction::Refused(reason) => {
                    learned.refused.push(format!("node {} does not take the layout: {reason}", node.id));
                }
            }
        }
        learned
    }

    /// Tells nodes that they are given up, so that they answer no readers with what they have: deletes do not reach them.
    pub(super) async fn dismiss(&self, nodes: Vec<&LayoutNode>, record: &LayoutRecord) {
        each_of(nodes, |node| async move { drop(self.tell(node, record).await) }).await;
    }

    async fn tell(&self, node: &LayoutNode, record: &LayoutRecord) -> Reaction {
        // First who answers there: a layout must not reach a node of another cluster that took over the address.
        let Some(info) = self.probe(node).await else { return Reaction::Silent };
        let digest = format!("{} {}", record.current.digest, record.next.as_ref().map_or("", |next| &next.digest));
        if info.epoch == Some(record.write_epoch()) && self.told().get(&node.id) == Some(&digest) {
            return Reaction::Learned;
        }
        match self.client(node).put_layout(record).await {
            Ok(()) => {
                self.told().insert(node.id, digest);
                if record.next.is_some() {
                    MigrationStep::NodeAcknowledged.reached();
                }
                Reaction::Learned
            }
            Err(ClientError::Unreachable { .. } | ClientError::Timeout { .. }) => Reaction::Silent,
            Err(error) => {
                tracing::warn!(node.id = %node.id, %error, "a node does not take the layout");
                match error.problem_type() {
                    Some(ProblemType::InsufficientStorage | ProblemType::Unavailable) => {
                        Reaction::Unable(error.to_string())
                    }
                    _ => Reaction::Refused(error.to_string()),
                }
            }
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, String>> {
        // Each entry is one insertion: a panic leaves nothing half done.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each node that is up has of every partition.
    pub(super) async fn census(&self, record: &LayoutRecord, health: &HealthBoard) -> Census {
        let answers = each(record, |node| async move {
            if health.health(node) != NodeHealth::Up {
                return (node.id, None);
            }
            (node.id, self.digests(node).await)
        });
        let mut census = Census::default();
        for (id, digests) in answers.await {
            if let Some(digests) = digests {
                census.add(id, digests);
            }
        }
        census
    }

    /// What the node has of every partition; why it does not tell is logged once, until it tells again.
    async fn digests(&self, node: &LayoutNode) -> Option<Vec<PartitionDigest>> {
        let reason = match timeout(CENSUS_TIMEOUT, self.client(node).partitions()).await {
            Ok(Ok(digests)) => {
                let unreadable = digests.iter().filter(|digest| digest.unreadable).count();
                let reason = format!("its disk fails to tell what is in {unreadable} partitions");
                self.complain(node.id, (unreadable > 0).then_some(reason));
                return Some(digests);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", CENSUS_TIMEOUT.as_secs()),
        };
        self.complain(node.id, Some(reason));
        None
    }

    fn complain(&self, id: NodeId, reason: Option<String>) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) if complained.insert(id) => {
                tracing::warn!(node.id = %id, reason, "a node does not tell all that it has: it takes no part in repairs of the rest");
            }
            Some(_) => {}
            None => drop(complained.remove(&id)),
        }
    }
}

/// Does something with every node of the record that is not given up, several at once.
async fn each<'a, T, F: Future<Output = T>>(record: &'a LayoutRecord, task: impl Fn(&'a LayoutNode) -> F) -> Vec<T> {
    let nodes = record.nodes().into_iter().filter(|node| !is_given_up(record, node.id));
    each_of(nodes.collect(), task).await
}

async fn each_of<'a, T, F: Future<Output = T>>(
    nodes: Vec<&'a LayoutNode>,
    task: impl Fn(&'a LayoutNode) -> F,
) -> Vec<T> {
    let tasks: Vec<F> = nodes.into_iter().map(task).collect();
    stream::iter(tasks).buffer_unordered(NODES_IN_FLIGHT).collect().await
}
