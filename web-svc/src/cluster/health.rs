//! Whether the nodes answer, and what they say of themselves.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;
use triton_api::{
    NodeId,
    cluster::NodeHealth,
    layout::{LayoutNode, LayoutRecord, NodeState},
    storage::NodeInfo,
};

/// The longest wait for the answer to one probe.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Missed probes in a row after which a node counts as down.
const MISSES_DOWN: u32 = 3;

/// What is known of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NodeStatus {
    /// Probes missed in a row; `None` before the first answer.
    misses: Option<u32>,
    /// What it said last.
    pub(super) info: Option<NodeInfo>,
}

impl NodeStatus {
    pub(super) fn health(&self) -> NodeHealth {
        match self.misses {
            Some(0) => NodeHealth::Up,
            Some(misses) if misses >= MISSES_DOWN => NodeHealth::Down,
            None | Some(_) => NodeHealth::Suspect,
        }
    }

    fn after(self, answer: Option<NodeInfo>) -> Self {
        match answer {
            Some(info) => Self { misses: Some(0), info: Some(info) },
            None => Self { misses: Some(self.misses.unwrap_or(0).saturating_add(1)), ..self },
        }
    }
}

/// The status of every node of the layout.
#[derive(Debug)]
pub(super) struct HealthBoard {
    nodes: watch::Sender<BTreeMap<NodeId, NodeStatus>>,
}

impl HealthBoard {
    pub(super) fn new() -> Self {
        Self { nodes: watch::Sender::new(BTreeMap::new()) }
    }

    /// Notes the answers of one round of probes, and forgets nodes that have left.
    pub(super) fn note(&self, record: &LayoutRecord, answers: Vec<(NodeId, Option<NodeInfo>)>) {
        self.nodes.send_modify(|nodes| {
            nodes.retain(|id, _| record.node(*id).is_some());
            for (id, answer) in answers {
                let before = nodes.remove(&id).unwrap_or_default();
                let health = before.health();
                let after = before.after(answer);
                if health != after.health() {
                    tracing::info!(node.id = %id, before = ?health, after = ?after.health(), "a node's health changed");
                }
                nodes.insert(id, after);
            }
        });
        self.count(record);
    }

    pub(super) fn of(&self, node: &LayoutNode) -> NodeStatus {
        self.nodes.borrow().get(&node.id).cloned().unwrap_or_default()
    }

    /// Whether the node answers; one that the layout has given up is never asked.
    pub(super) fn health(&self, node: &LayoutNode) -> NodeHealth {
        if node.state == NodeState::Down { NodeHealth::Down } else { self.of(node).health() }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<BTreeMap<NodeId, NodeStatus>> {
        self.nodes.subscribe()
    }

    fn count(&self, record: &LayoutRecord) {
        for (health, name) in [(NodeHealth::Up, "up"), (NodeHealth::Suspect, "suspect"), (NodeHealth::Down, "down")] {
            let nodes = record.nodes().into_iter().filter(|node| self.health(node) == health).count();
            metrics::gauge!("triton_cluster_nodes", "health" => name).set(f64::from(super::plan::count(nodes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_suspect_at_first_and_down_after_some_misses() {
        let mut status = NodeStatus::default();
        assert_eq!(status.health(), NodeHealth::Suspect);
        for expected in [NodeHealth::Suspect, NodeHealth::Suspect, NodeHealth::Down, NodeHealth::Down] {
            status = status.after(None);
            assert_eq!(status.health(), expected);
        }
    }
}
