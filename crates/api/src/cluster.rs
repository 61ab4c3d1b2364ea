//! The REST types of the cluster: nodes, workers, the leader.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Epoch, NodeId, NodeUrl, layout::NodeState, rebalance::RebalancePhase, storage::Scrub};

/// Paths of the cluster API.
pub mod route {
    /// Everything about the cluster at a glance.
    pub const CLUSTER: &str = "/api/v1/admin/cluster";
    /// List nodes; stage a new one.
    pub const NODES: &str = "/api/v1/admin/nodes";
    /// Stage the removal of a node, or another weight or zone.
    pub const NODE: &str = "/api/v1/admin/nodes/{node_id}";
    /// Stage the draining of a node.
    pub const DRAIN: &str = "/api/v1/admin/nodes/{node_id}/drain";
    /// How the migration stands.
    pub const REBALANCE: &str = "/api/v1/admin/rebalance";
    /// What applying the staged changes would move.
    pub const REBALANCE_PLAN: &str = "/api/v1/admin/rebalance/plan";
    /// Begin the migration.
    pub const REBALANCE_APPLY: &str = "/api/v1/admin/rebalance/apply";
    /// What would be lost with the nodes that are to be given up.
    pub const REBALANCE_LOSSES: &str = "/api/v1/admin/rebalance/losses";
    /// Hold the migration.
    pub const REBALANCE_PAUSE: &str = "/api/v1/admin/rebalance/pause";
    /// Go on with the migration.
    pub const REBALANCE_RESUME: &str = "/api/v1/admin/rebalance/resume";
    /// Go back to the committed epoch, or drop what is staged.
    pub const REBALANCE_ABORT: &str = "/api/v1/admin/rebalance/abort";
    /// Every job.
    pub const JOBS: &str = "/api/v1/admin/jobs";
}

/// Whether a node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeHealth {
    /// Answers.
    Up,
    /// Missed some probes.
    Suspect,
    /// Does not answer.
    Down,
}

/// A storage node as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// The node.
    pub id: NodeId,
    /// Where it answers.
    pub url: NodeUrl,
    /// Its failure zone.
    pub zone: String,
    /// Its capacity relative to the others.
    pub weight: u32,
    /// What the layout, with what is staged, says of it.
    pub state: NodeState,
    /// Whether it answers.
    pub health: NodeHealth,
    /// Since when it is suspect or down, as far as the process that answers has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_since: Option<Timestamp>,
    /// Payload bytes of its blobs; 0 while it does not answer.
    pub used_bytes: u64,
    /// Size of its file system; 0 while it does not answer.
    pub capacity_bytes: u64,
    /// Number of its blobs; 0 while it does not answer.
    pub blobs: u64,
    /// Partitions that it holds in the committed epoch.
    pub partitions: u32,
    /// A change of this node is staged and not applied yet.
    pub staged: bool,
    /// Number of damaged copies that it has put aside.
    #[serde(default)]
    pub quarantined: u64,
    /// Number of blobs that it has moved aside, because no metadata refers to them.
    #[serde(default)]
    pub orphans: u64,
    /// It was away and learns the deletes that it missed: its copies do not count until then.
    #[serde(default)]
    pub reconciling: bool,
    /// How far it has come with verifying everything; absent while it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<Scrub>,
}

/// A node to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNode {
    /// Where it answers. Its id is asked there.
    pub url: NodeUrl,
    /// Its failure zone; `default` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its capacity relative to the others, 1 to 1,000,000; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// What is to change about a node; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeChange {
    /// Its failure zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its capacity relative to the others, 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// How to remove a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RemoveNode {
    /// Remove a node that does not answer: its replicas are made anew from the other holders.
    #[serde(default)]
    pub force: bool,
    /// Change nothing; the answer is 200 with the plan.
    #[serde(default)]
    pub dry_run: bool,
}

/// A process that transcodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Unique in the installation, for the life of the process.
    pub id: String,
    /// Jobs that it runs at once.
    pub slots: u32,
    /// Jobs that it runs now.
    pub running: u32,
    /// When it started.
    pub started_at: Timestamp,
}

/// The cluster at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// The committed epoch.
    pub epoch: Epoch,
    /// Whether a migration runs.
    pub phase: RebalancePhase,
    /// Replicas wanted.
    pub replicas_wanted: u8,
    /// Replicas that the present nodes allow.
    pub replicas_effective: u8,
    /// Partitions.
    pub partitions: u32,
    /// Largest number of partitions on a node, divided by what its weight entitles it to; 1 is perfect.
    pub balance: f64,
    /// Partitions with fewer than the effective number of replicas on nodes that answer.
    pub partitions_degraded: u32,
    /// Payload bytes on all nodes.
    pub used_bytes: u64,
    /// Capacity of all nodes.
    pub capacity_bytes: u64,
    /// The process that leads.
    pub leader: Option<String>,
    /// What was done without a person about nodes that stayed away, in words: one sentence for each node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replacements: Vec<String>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The processes that transcode.
    pub workers: Vec<Worker>,
}
