//! Whether the nodes answer, and what they say of themselves.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};
use triton_api::{
    NodeId,
    cluster::NodeHealth,
    layout::{LayoutNode, LayoutRecord, NodeState},
    storage::{DiskState, NodeInfo},
};

use super::replacement::Sight;

/// The longest wait for the answer to one probe.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Missed probes in a row after which a node counts as down.
const MISSES_DOWN: u32 = 3;

/// What is known of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NodeStatus {
    /// Probes missed in a row; `None` before the first answer.
    misses: Option<u32>,
    /// Probes answered in a row.
    answers: u32,
    /// When it was first missed, or first answered, without an interruption since.
    pub(super) since: Option<Timestamp>,
    /// The same on a clock that nobody sets.
    began: Option<Instant>,
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

    /// What a decision about replacing it needs to know.
    pub(super) fn sight(&self) -> Sight {
        let silent_for = self.began.filter(|_| self.misses != Some(0)).map(|began| began.elapsed());
        Sight {
            health: self.health(),
            silent_for: silent_for.unwrap_or_default(),
            answers: self.answers,
            writable: self.info.as_ref().is_some_and(|info| info.disk == DiskState::Ok),
            epoch: self.info.as_ref().and_then(|info| info.epoch),
        }
    }

    fn after(self, answer: Option<NodeInfo>) -> Self {
        let answered = answer.is_some();
        let turned = self.began.is_none() || answered != (self.misses == Some(0));
        let (since, began) =
            if turned { (Some(Timestamp::now()), Some(Instant::now())) } else { (self.since, self.began) };
        if answered {
            return Self { misses: Some(0), answers: self.answers.saturating_add(1), since, began, info: answer };
        }
        let misses = Some(self.misses.unwrap_or(0).saturating_add(1));
        Self { misses, answers: 0, since, began, info: self.info }
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

    /// Whether the node may be counted on: one that the layout has given up may not, even if it answers again.
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

    #[test]
    fn since_is_the_first_probe_that_was_missed_and_answers_count_anew_after_each_miss() {
        let info: NodeInfo = serde_json::from_value(serde_json::json!({
            "id": "01990000-0000-7000-8000-000000000002", "version": "1", "epoch": null, "capacity_bytes": 1,
            "free_bytes": 1, "used_bytes": 0, "blobs": 0, "quarantined": 0, "disk": "ok",
        }))
        .unwrap();
        let up = NodeStatus::default().after(Some(info.clone())).after(Some(info.clone()));
        assert_eq!((up.sight().answers, up.sight().silent_for), (2, Duration::ZERO));
        let missed = up.clone().after(None);
        assert!(missed.since > up.since);
        let down = missed.clone().after(None).after(None);
        assert_eq!((down.since, down.health(), down.sight().answers), (missed.since, NodeHealth::Down, 0));
        let back = down.clone().after(Some(info));
        assert!(back.since > down.since);
        assert_eq!((back.sight().answers, back.sight().writable), (1, true));
    }
}
