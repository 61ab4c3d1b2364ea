//! Which nodes a request may go to, as the layout says. Pure.

use std::cmp::Reverse;

use triton_api::{
    NodeId, PartitionId,
    layout::{LayoutNode, LayoutRecord, NodeState},
};

/// Where a copy of a partition may be, from a reader's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Home {
    /// A holder in every epoch that there is: it should have all blobs, old and new.
    Settled,
    /// A holder in the next epoch only: it has what was written since, and what it pulled.
    Next,
    /// A holder in the current epoch only: it has what was written before.
    Current,
    /// No holder; it may have stood in for one.
    Stranger,
}

/// Where to write a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WriteTargets {
    /// Copies that there should be.
    pub(super) copies: usize,
    /// The holders that may be used.
    pub(super) holders: Vec<NodeId>,
    /// Nodes that may stand in, in an order that is the same for every process.
    pub(super) spares: Vec<NodeId>,
}

impl WriteTargets {
    pub(super) fn of(record: &LayoutRecord, partition: PartitionId) -> Self {
        let layout = record.write_layout();
        let row: Vec<&LayoutNode> = layout.holders(partition).collect();
        let holders = row.iter().copied().filter(|node| node.state != NodeState::Down).collect();
        let mut spares: Vec<&LayoutNode> = layout
            .nodes
            .iter()
            .filter(|node| node.state == NodeState::Active && row.iter().all(|holder| holder.id != node.id))
            .collect();
        spares.sort_by_key(|node| Reverse(affinity(node.id, partition)));
        let ids = |nodes: Vec<&LayoutNode>| nodes.into_iter().map(|node| node.id).collect();
        Self { copies: row.len(), holders: ids(holders), spares: ids(spares) }
    }

    /// Durable copies that make a write safe.
    pub(super) fn quorum(&self) -> usize {
        self.copies / 2 + 1
    }
}

/// Where to look for a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadTargets {
    /// Every node that may be asked, holders of either epoch before strangers.
    pub(super) nodes: Vec<(NodeId, Home)>,
    /// Holders that the layout has given up: what only they had is lost, or lies on a stand-in.
    pub(super) given_up: Vec<NodeId>,
}

impl ReadTargets {
    pub(super) fn of(record: &LayoutRecord, partition: PartitionId, strangers_max: usize) -> Self {
        let ids = |layout: &triton_api::layout::Layout| layout.holders(partition).map(|n| n.id).collect::<Vec<_>>();
        let current = ids(&record.current);
        let next = record.next.as_ref().map_or_else(|| current.clone(), ids);
        let (mut nodes, mut given_up, mut strangers, mut leaving) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for node in record.nodes() {
            let home = match (next.contains(&node.id), current.contains(&node.id)) {
                (true, true) => Home::Settled,
                (true, false) => Home::Next,
                (false, true) => Home::Current,
                (false, false) => Home::Stranger,
            };
            match (node.state, home) {
                (NodeState::Down, Home::Stranger) => {}
                (NodeState::Down, _) => given_up.push(node.id),
                // It takes nothing new, and is here because of what it may have: it came with another installation's content,
                // say. However many they are, each may have the only copy.
                (NodeState::Draining, Home::Stranger) => leaving.push((node.id, Home::Stranger)),
                (NodeState::Active, Home::Stranger) => strangers.push(node.id),
                (_, home) => nodes.push((node.id, home)),
            }
        }
        nodes.sort_by_key(|(_, home)| *home);
        strangers.sort_by_key(|id| Reverse(affinity(*id, partition)));
        nodes.extend(leaving);
        nodes.extend(strangers.into_iter().take(strangers_max).map(|id| (id, Home::Stranger)));
        Self { nodes, given_up }
    }
}

/// A rendezvous hash, so that a reader looks for a stand-in first where a writer puts it first.
fn affinity(node: NodeId, partition: PartitionId) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(node.to_string().as_bytes()).update(&partition.get().to_le_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use triton_api::{
        Epoch,
        layout::{Layout, Rest},
    };

    use super::*;

    fn layout(epoch: u64, states: &[NodeState], row: &[u16]) -> Layout {
        let node = |(at, state): (usize, &NodeState)| LayoutNode {
            id: NodeId::from_u128(at as u128),
            url: format!("http://127.0.0.1:{}", 9000 + at).parse().unwrap(),
            zone: "z".to_owned(),
            weight: 100,
            state: *state,
            rest: Rest::new(),
        };
        let nodes = states.iter().enumerate().map(node).collect();
        Layout {
            epoch: Epoch::new(epoch),
            replicas: 3,
            nodes,
            table: vec![row.to_vec()],
            digest: String::new(),
            rest: Rest::new(),
        }
    }

    fn id(at: u16) -> NodeId {
        NodeId::from_u128(u128::from(at))
    }

    #[test]
    fn a_node_that_was_given_up_is_never_used() {
        use NodeState::{Active, Down, Draining};
        let record = LayoutRecord::settled(layout(1, &[Active, Down, Active, Draining, Down, Active], &[0, 1, 2]));
        let write = WriteTargets::of(&record, PartitionId::new(0));
        assert_eq!((write.copies, write.quorum()), (3, 2));
        assert_eq!(write.holders, [id(0), id(2)]);
        assert_eq!(write.spares, [id(5)], "a draining node takes no new copies");
        let read = ReadTargets::of(&record, PartitionId::new(0), 9);
        assert_eq!(read.given_up, [id(1)]);
        let mut asked: Vec<_> = read.nodes.iter().map(|(id, _)| *id).collect();
        asked.sort();
        assert_eq!(asked, [id(0), id(2), id(3), id(5)]);
    }

    #[test]
    fn a_migration_is_read_from_both_epochs_each_node_once() {
        use NodeState::Active;
        let states = [Active; 5];
        let record = LayoutRecord::migrating(layout(1, &states, &[0, 1, 2]), layout(2, &states, &[1, 2, 3]));
        let read = ReadTargets::of(&record, PartitionId::new(0), 9);
        assert_eq!(
            read.nodes,
            [
                (id(1), Home::Settled),
                (id(2), Home::Settled),
                (id(3), Home::Next),
                (id(0), Home::Current),
                (id(4), Home::Stranger)
            ]
        );
        assert_eq!(WriteTargets::of(&record, PartitionId::new(0)).holders, [id(1), id(2), id(3)]);
    }

    #[test]
    fn strangers_are_bounded_and_in_the_writers_order() {
        let record = LayoutRecord::settled(layout(1, &[NodeState::Active; 40], &[0, 1, 2]));
        let spares = WriteTargets::of(&record, PartitionId::new(0)).spares;
        let read = ReadTargets::of(&record, PartitionId::new(0), 4);
        let strangers: Vec<_> = read.nodes.iter().filter(|(_, h)| *h == Home::Stranger).map(|(id, _)| *id).collect();
        assert_eq!(strangers, spares[..4]);
    }

    #[test]
    fn every_node_that_leaves_is_asked_however_many_strangers_there_are() {
        let mut states = [NodeState::Active; 40];
        states[20..].fill(NodeState::Draining);
        let record = LayoutRecord::settled(layout(1, &states, &[0, 1, 2]));
        let read = ReadTargets::of(&record, PartitionId::new(0), 4);
        let asked: Vec<_> = read.nodes.iter().map(|(id, _)| *id).collect();
        assert!((20..40).all(|at| asked.contains(&id(at))), "{asked:?}");
        assert_eq!(asked.len(), 3 + 20 + 4);
    }

    #[test]
    fn partition_beyond_the_table_has_no_holders() {
        let record = LayoutRecord::settled(layout(1, &[NodeState::Active], &[0]));
        assert_eq!(WriteTargets::of(&record, PartitionId::new(5)).copies, 0);
    }
}
