//! When a silent node cannot hide anything from a migration. Pure.

use std::collections::BTreeSet;

use triton_api::{
    NodeId, PartitionId,
    layout::{LayoutNode, LayoutRecord, NodeState},
};

/// Whether the nodes that `answer` are enough for the partition: everything ever acknowledged in the older epoch is on one
/// of them, and a writer that still follows the older epoch cannot get a write acknowledged by the silent ones alone.
///
/// A write is acknowledged by `floor(R / 2) + 1` nodes, at least one of them a holder. So there is nothing to fear while
/// fewer nodes than that are silent, or no holder is. A node that answers and cannot keep the newer epoch is as good as
/// silent: what it goes on to take of the older one, the others refuse. A node that the newer epoch gives up is not counted: whoever declared
/// it dead has decided to go on without it.
pub(super) fn is_safe(record: &LayoutRecord, partition: PartitionId, answer: &BTreeSet<NodeId>) -> bool {
    let silent: Vec<NodeId> = silent(record, answer).map(|node| node.id).collect();
    let holders: Vec<NodeId> = record.current.holders(partition).map(|node| node.id).collect();
    let quorum = holders.len() / 2 + 1;
    silent.len() < quorum || holders.iter().all(|holder| !silent.contains(holder))
}

/// The nodes of the older epoch that do not answer and are not given up.
pub(super) fn silent<'a>(
    record: &'a LayoutRecord,
    answer: &'a BTreeSet<NodeId>,
) -> impl Iterator<Item = &'a LayoutNode> + 'a {
    record.current.nodes.iter().filter(|node| !answer.contains(&node.id) && !is_given_up(record, node.id))
}

/// Whether the node is one that nobody speaks to any more.
pub(super) fn is_given_up(record: &LayoutRecord, id: NodeId) -> bool {
    record.node(id).is_none_or(|node| node.state == NodeState::Down)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::sample::{layout_of, node};

    fn answering(nodes: &[u16]) -> BTreeSet<NodeId> {
        nodes.iter().map(|n| node(*n).id).collect()
    }

    fn safe_everywhere(record: &LayoutRecord, nodes: &[u16]) -> bool {
        (0..1024).map(PartitionId::new).all(|partition| is_safe(record, partition, &answering(nodes)))
    }

    #[test]
    fn a_minority_may_be_silent_and_a_majority_may_not() {
        let three = LayoutRecord::settled(layout_of(5, 3));
        assert!(safe_everywhere(&three, &[1, 2, 3, 4]));
        assert!(!safe_everywhere(&three, &[1, 2, 3]));
        let alone = LayoutRecord::settled(layout_of(1, 3));
        assert!(safe_everywhere(&alone, &[1]) && !safe_everywhere(&alone, &[]));
        let two = LayoutRecord::settled(layout_of(2, 2));
        assert!(safe_everywhere(&two, &[1]) && !safe_everywhere(&two, &[]));
    }

    #[test]
    fn who_declares_a_node_dead_goes_on_without_it() {
        let current = layout_of(5, 3);
        let mut nodes = current.nodes.clone();
        nodes[4].state = NodeState::Down;
        let next = triton_placement::layout::change(&current, nodes, 3).unwrap();
        let record = LayoutRecord::migrating(current, next);
        assert!(safe_everywhere(&record, &[1, 2, 3]) && !safe_everywhere(&record, &[1, 2]));
    }
}
