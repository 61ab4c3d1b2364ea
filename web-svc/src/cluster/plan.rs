//! What the staged changes amount to. Pure.

use std::collections::BTreeMap;

use triton_api::{
    NodeId, PartitionId,
    layout::{Layout, NodeState},
    rebalance::{PlannedNode, RebalancePlan},
};
use triton_placement::{PlacementError, balance, movement, movement_lower_bound};

use super::{census::Census, loss, staged::StagedLayout};

/// A layout that could come next.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The committed layout.
    pub current: Layout,
    /// The layout of the epoch after it.
    pub next: Layout,
    /// The nodes that leave once they hold nothing.
    pub removals: Vec<NodeId>,
    /// The changes, in words.
    pub changes: Vec<String>,
}

/// The layout that the staged changes, or another number of replicas, lead to; `None` where there is nothing to do.
///
/// # Errors
/// Why the change cannot be done.
pub fn propose(current: &Layout, staged: &StagedLayout, replicas: u8) -> Result<Option<Proposal>, PlacementError> {
    let mut changes = staged.in_words(current);
    if replicas != current.replicas {
        changes.push(format!("keep {replicas} replicas instead of {}", current.replicas));
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let next = triton_placement::layout::change(current, staged.node_list(current), replicas)?;
    Ok(Some(Proposal { current: current.clone(), next, removals: staged.removals(), changes }))
}

/// The payload bytes that each node has to receive, by what the nodes have now.
///
/// A partition is as large as the largest copy of it on a node that answers, less what its new holder has already.
pub fn bytes_in(from: &Layout, to: &Layout, census: &Census) -> BTreeMap<NodeId, u64> {
    let mut bytes = BTreeMap::new();
    for change in movement(from, to).partitions {
        let size = partition_bytes(census, change.partition);
        for id in change.arriving {
            *bytes.entry(id).or_default() += size.saturating_sub(census.bytes(id, change.partition));
        }
    }
    bytes
}

fn partition_bytes(census: &Census, partition: PartitionId) -> u64 {
    census.nodes().map(|id| census.bytes(id, partition)).max().unwrap_or(0)
}

/// The plan that a person sees before applying.
pub fn plan(proposal: &Proposal, census: &Census) -> RebalancePlan {
    let Proposal { current, next, changes, .. } = proposal;
    let moves = movement(current, next);
    let bytes = bytes_in(current, next, census);
    let added = next.nodes.iter().filter(|node| current.node(node.id).is_none());
    let nodes = current.nodes.iter().chain(added).map(|node| PlannedNode {
        id: node.id,
        partitions_before: count(current.partitions_of(node.id)),
        partitions_after: count(next.partitions_of(node.id)),
        bytes_in: bytes.get(&node.id).copied().unwrap_or(0),
    });
    RebalancePlan {
        epoch: current.epoch,
        changes: changes.clone(),
        replicas_to_move: moves.replicas,
        replicas_to_move_min: movement_lower_bound(current, &next.nodes, next.replicas),
        bytes_to_move: bytes.values().sum(),
        balance_before: balance(current),
        balance_after: balance(next),
        replicas_wanted: next.replicas,
        replicas_before: effective_replicas(current),
        replicas_after: effective_replicas(next),
        partitions_lost: count(loss::partitions(current, next, census).len()),
        nodes: nodes.collect(),
    }
}

/// The plan where there is nothing to do.
pub fn no_plan(current: &Layout) -> RebalancePlan {
    let unchanged =
        Proposal { current: current.clone(), next: current.clone(), removals: Vec::new(), changes: Vec::new() };
    plan(&unchanged, &Census::default())
}

/// The replicas that a layout has of everything: no more than active nodes.
pub(super) fn effective_replicas(layout: &Layout) -> u8 {
    let active = layout.nodes.iter().filter(|node| node.state == NodeState::Active).count();
    u8::try_from(active).unwrap_or(u8::MAX).min(layout.replicas)
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
