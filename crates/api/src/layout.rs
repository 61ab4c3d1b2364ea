//! The layout: which nodes hold which partitions, in numbered epochs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Epoch, NodeId, NodeUrl};

/// Fields of a record that this version does not know: who rewrites it keeps what a newer version wrote.
pub type Rest = serde_json::Map<String, serde_json::Value>;

/// Part of a partition's holders lie on this many partitions in every layout: `P` of the design.
pub const PARTITIONS: u16 = 1024;

/// What the layout says of a node; whether it answers right now is its health, which is not part of the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Holds partitions according to its weight.
    Active,
    /// Stays in the cluster, but holds nothing once the epoch that says so has committed.
    Draining,
    /// Given up: nothing is read from it and nothing is written to it.
    Down,
}

/// A storage node as the layout knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayoutNode {
    /// The node.
    pub id: NodeId,
    /// Where it answers.
    pub url: NodeUrl,
    /// Its failure zone; replicas spread over as many zones as there are.
    pub zone: String,
    /// Its capacity relative to the others; 100 is one unit by convention.
    pub weight: u32,
    /// What it is meant to do.
    pub state: NodeState,
    /// Fields of newer versions.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// One epoch's placement: a table from partition to nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Layout {
    /// The version.
    pub epoch: Epoch,
    /// How many replicas are wanted; the effective number is `min(replicas, active nodes)`.
    pub replicas: u8,
    /// Every node that is part of the cluster.
    pub nodes: Vec<LayoutNode>,
    /// For each partition the positions in `nodes` of its holders, which are distinct.
    pub table: Vec<Vec<u16>>,
    /// BLAKE3 over epoch, replicas, nodes and table, as hexadecimal digits: two layouts with one digest are the same.
    pub digest: String,
    /// Fields of newer versions; no part of the digest.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

impl LayoutNode {
    /// A node that holds partitions according to its weight.
    pub fn active(id: NodeId, url: NodeUrl, zone: impl Into<String>, weight: u32) -> Self {
        Self { id, url, zone: zone.into(), weight, state: NodeState::Active, rest: Rest::new() }
    }
}

impl Layout {
    /// The holders of `partition`, in the table's order; empty for a partition that does not exist.
    pub fn holders(&self, partition: crate::PartitionId) -> impl Iterator<Item = &LayoutNode> {
        self.table
            .get(usize::from(partition.get()))
            .into_iter()
            .flatten()
            .filter_map(|position| self.nodes.get(usize::from(*position)))
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Option<&LayoutNode> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// How many partitions have a copy on the node.
    pub fn partitions_of(&self, id: NodeId) -> usize {
        let Some(position) = self.nodes.iter().position(|node| node.id == id) else { return 0 };
        self.table.iter().filter(|holders| holders.iter().any(|h| usize::from(*h) == position)).count()
    }
}

/// The layout record: the one committed epoch and, while a migration runs, the next.
///
/// Writes go to `next` where there is one; reads try `next`, then `current`. It changes only by compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayoutRecord {
    /// The committed epoch.
    pub current: Layout,
    /// The epoch that a migration is moving to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Layout>,
    /// Fields of newer versions.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

impl LayoutRecord {
    /// A record without a migration.
    pub fn settled(current: Layout) -> Self {
        Self { current, next: None, rest: Rest::new() }
    }

    /// A record with a migration from one epoch to the next.
    pub fn migrating(current: Layout, next: Layout) -> Self {
        Self { current, next: Some(next), rest: Rest::new() }
    }

    /// The layout that writes go to.
    pub fn write_layout(&self) -> &Layout {
        self.next.as_ref().unwrap_or(&self.current)
    }

    /// The epoch that writers must know: that of [`Self::write_layout`].
    pub fn write_epoch(&self) -> Epoch {
        self.write_layout().epoch
    }

    /// The node with this id in either epoch, the newer first.
    pub fn node(&self, id: NodeId) -> Option<&LayoutNode> {
        self.write_layout().node(id).or_else(|| self.current.node(id))
    }

    /// Every node of either epoch once, as the newer epoch describes it.
    pub fn nodes(&self) -> Vec<&LayoutNode> {
        let newer = &self.write_layout().nodes;
        let leaving = self.current.nodes.iter().filter(|old| newer.iter().all(|new| new.id != old.id));
        newer.iter().chain(leaving).collect()
    }
}
