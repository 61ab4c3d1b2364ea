//! From a list of nodes to a layout, and from one layout to the next.
//!
//! A table keeps these promises, each within what the ones before it allow:
//!
//! 1. **Distinct copies.** Each partition lies on `min(replicas, active nodes)` different active nodes.
//! 2. **Zones.** Each partition lies in as many zones as there can be, and no zone has more of its copies than it must:
//!    with R copies in Z zones of enough nodes, R/Z rounded down or up.
//! 3. **Quotas.** Each node holds its share by weight, rounded down or up. Where a node would be due more than every
//!    partition, or a zone more or less than (2) allows, it gets just that, and the others share the rest by weight.
//! 4. **Least movement.** Of all tables that keep (1) to (3), one that adds the fewest copies. That includes which nodes
//!    are rounded up: those that hold more already.
//!
//! What is still open after that is decided by a hash of partition and node, so that the copies of one node's partitions
//! are spread over all the others, which share the work when it fails.
//!
//! Zones come before weights: where there are only as many zones as replicas, each zone holds a copy of everything, and a
//! small node alone in its zone fills up first. So give zones like capacities, or have more zones than replicas.
//! [`crate::balance`] compares with what a node is due under all of this, not with its weight alone.

use triton_api::{
    Epoch, NodeId, PartitionId,
    layout::{Layout, LayoutNode, PARTITIONS, Rest},
};

use crate::{
    PlacementError,
    assign::Assignment,
    verify::{active_count, check_nodes, digest, verify},
};

/// The epoch of the first layout.
const FIRST_EPOCH: Epoch = Epoch::new(1);

/// The layout of a new cluster, at epoch 1.
///
/// # Errors
/// What is wrong with the list of nodes. Fewer nodes than replicas is not an error: a cluster of one node works, and
/// gains copies as nodes are added.
pub fn first(nodes: Vec<LayoutNode>, replicas: u8) -> Result<Layout, PlacementError> {
    check_nodes(&nodes, replicas)?;
    build(FIRST_EPOCH, nodes, replicas, &[])
}

/// The layout of the epoch after `current`, for the nodes that are wanted then.
///
/// Active nodes hold their share; draining nodes and those that are down hold nothing but stay listed; a node that is not
/// listed is gone. Any mixture of changes is one change. Nodes are recognised by their id: they may be listed in another
/// order than before, and the result does not depend on the order.
///
/// # Errors
/// - What is wrong with the list of nodes, or with `current`.
/// - [`PlacementError::TooFewNodes`] if nodes go and fewer than `replicas` remain. It never comes from adding.
pub fn change(current: &Layout, nodes: Vec<LayoutNode>, replicas: u8) -> Result<Layout, PlacementError> {
    verify(current)?;
    check_nodes(&nodes, replicas)?;
    let remaining = active_count(&nodes);
    if remaining < usize::from(replicas) && remaining < active_count(&current.nodes) {
        let kept = active_count(&current.nodes).min(usize::from(current.replicas));
        return Err(PlacementError::TooFewNodes { wanted: replicas, kept, remaining });
    }
    if current.epoch == Epoch::new(u64::MAX) {
        return Err(PlacementError::LastEpoch { epoch: current.epoch });
    }
    let next = build(current.epoch.next(), nodes, replicas, &holders(current))?;
    Ok(Layout { rest: current.rest.clone(), ..next })
}

fn build(
    epoch: Epoch,
    nodes: Vec<LayoutNode>,
    replicas: u8,
    holders: &[Vec<NodeId>],
) -> Result<Layout, PlacementError> {
    let to_position = |position| u16::try_from(position).expect("there are fewer nodes than a u16 counts");
    let table = Assignment::new(usize::from(PARTITIONS), &nodes, replicas, holders)
        .table()
        .into_iter()
        .map(|row| row.into_iter().map(to_position).collect())
        .collect();
    let mut layout = Layout { epoch, replicas, nodes, table, digest: String::new(), rest: Rest::new() };
    layout.digest = digest(&layout);
    // A wrong table loses data: a mistake of ours becomes a refused change.
    verify(&layout)?;
    Ok(layout)
}

/// Who holds each partition, by id.
pub(crate) fn holders(layout: &Layout) -> Vec<Vec<NodeId>> {
    let row = |partition| layout.holders(PartitionId::new(partition)).map(|node| node.id).collect();
    (0..PARTITIONS).map(row).collect()
}
