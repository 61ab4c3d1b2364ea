//! What a change of layout costs and what it gains.

use std::collections::BTreeMap;

use triton_api::{
    NodeId, PartitionId,
    layout::{Layout, LayoutNode, PARTITIONS},
};

use crate::{assign::Assignment, layout::holders, verify::active_count};

/// What has to move between two layouts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Movement {
    /// The partitions whose holders differ, in ascending order.
    pub partitions: Vec<PartitionMove>,
    /// The copies of partitions to be made in all.
    pub replicas: u32,
    /// Of those, how many each node receives; nodes that receive none are absent.
    pub arriving: BTreeMap<NodeId, u32>,
    /// The copies that each node no longer has to hold; nodes that lose none are absent.
    pub leaving: BTreeMap<NodeId, u32>,
}

/// What has to move of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMove {
    /// The partition.
    pub partition: PartitionId,
    /// The holders in the later layout that are none in the earlier.
    pub arriving: Vec<NodeId>,
    /// The holders in the earlier layout that are none in the later.
    pub leaving: Vec<NodeId>,
}

/// What has to move from one layout to a later one. Nodes are compared by their ids.
pub fn movement(from: &Layout, to: &Layout) -> Movement {
    let mut movement = Movement::default();
    let rows = holders(from).into_iter().zip(holders(to));
    for (partition, (before, after)) in (0..PARTITIONS).map(PartitionId::new).zip(rows) {
        let arriving: Vec<NodeId> = after.iter().copied().filter(|id| !before.contains(id)).collect();
        let leaving: Vec<NodeId> = before.iter().copied().filter(|id| !after.contains(id)).collect();
        for id in &arriving {
            movement.replicas += 1;
            *movement.arriving.entry(*id).or_default() += 1;
        }
        for id in &leaving {
            *movement.leaving.entry(*id).or_default() += 1;
        }
        if !arriving.is_empty() || !leaving.is_empty() {
            movement.partitions.push(PartitionMove { partition, arriving, leaving });
        }
    }
    movement
}

/// The fewest copies that any table for these nodes has to make if each node holds its quota and copies are distinct,
/// wherever zones would have them. A change moves as much, and more only where zones require it.
///
/// The quotas are those of [`crate::layout`], rounded down or up as suits best.
pub fn movement_lower_bound(from: &Layout, to_nodes: &[LayoutNode], replicas: u8) -> u32 {
    let moves = Assignment::new(usize::from(PARTITIONS), to_nodes, replicas, &holders(from)).fewest_moves();
    u32::try_from(moves).expect("a u16 of partitions by a u8 of replicas fits")
}

/// How even the layout is: over the active nodes the largest quotient of partitions held and partitions due; 1.0 is
/// perfect, and more than 1.0 comes from rounding in every layout that this crate has made.
pub fn balance(layout: &Layout) -> f64 {
    if active_count(&layout.nodes) == 0 {
        return 1.0;
    }
    let shares = Assignment::new(usize::from(PARTITIONS), &layout.nodes, layout.replicas, &[]).shares();
    let mut held: BTreeMap<NodeId, u32> = BTreeMap::new();
    for id in holders(layout).into_iter().flatten() {
        *held.entry(id).or_default() += 1;
    }
    let quotient =
        |(id, share): (&NodeId, &crate::quota::Share)| f64::from(held.get(id).copied().unwrap_or(0)) / share.as_f64();
    shares.iter().map(quotient).fold(0.0, f64::max)
}
