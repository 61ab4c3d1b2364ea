//! What makes a layout sound, for layouts that come from elsewhere as much as for our own.

use std::collections::{HashMap, HashSet};

use triton_api::{
    PartitionId,
    layout::{Layout, LayoutNode, NodeState, PARTITIONS},
};

use crate::PlacementError;

/// The most nodes that a layout takes; a table position is a `u16`, and the time of a change grows with the nodes.
pub(crate) const NODES_MAX: usize = 1000;

/// Checks that a layout can be followed: one row per partition, each with as many distinct active nodes as are due, and a
/// digest that is true. For input that is not trusted: it reads every position before it follows it.
///
/// It does not check that quotas and zones are the best there could be: an older version may have built the table.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(layout: &Layout) -> Result<(), PlacementError> {
    check_nodes(&layout.nodes, layout.replicas)?;
    let expected = usize::from(PARTITIONS);
    if layout.table.len() != expected {
        return Err(PlacementError::WrongTableLength { found: layout.table.len(), expected });
    }
    for (partition, row) in (0..PARTITIONS).map(PartitionId::new).zip(&layout.table) {
        check_row(layout, partition, row)?;
    }
    let expected = digest(layout);
    if layout.digest != expected {
        // A digest is 64 characters; more would be somebody's attempt to fill a log.
        let found = layout.digest.chars().take(expected.len()).collect();
        return Err(PlacementError::WrongDigest { found, expected });
    }
    Ok(())
}

/// How many copies there are of each partition: the wanted replicas, or one per active node where there are fewer nodes.
pub(crate) fn effective_replicas(nodes: &[LayoutNode], replicas: u8) -> usize {
    active_count(nodes).min(usize::from(replicas))
}

pub(crate) fn active_count(nodes: &[LayoutNode]) -> usize {
    nodes.iter().filter(|node| node.state == NodeState::Active).count()
}

pub(crate) fn check_nodes(nodes: &[LayoutNode], replicas: u8) -> Result<(), PlacementError> {
    if replicas == 0 {
        return Err(PlacementError::NoReplicas);
    }
    if nodes.len() > NODES_MAX {
        return Err(PlacementError::TooManyNodes { nodes: nodes.len(), limit: NODES_MAX });
    }
    let mut ids = HashSet::new();
    let mut urls = HashMap::new();
    for node in nodes {
        if !ids.insert(node.id) {
            return Err(PlacementError::DuplicateId { id: node.id });
        }
        if node.state == NodeState::Active && node.weight == 0 {
            return Err(PlacementError::ZeroWeight { id: node.id });
        }
        // A node that is down is never spoken to, and the one that replaces it may well answer at its address.
        if node.state != NodeState::Down
            && let Some(first) = urls.insert(&node.url, node.id)
        {
            return Err(PlacementError::DuplicateUrl { url: node.url.clone(), first, second: node.id });
        }
    }
    if active_count(nodes) == 0 {
        return Err(PlacementError::NoActiveNodes);
    }
    Ok(())
}

fn check_row(layout: &Layout, partition: PartitionId, row: &[u16]) -> Result<(), PlacementError> {
    let expected = effective_replicas(&layout.nodes, layout.replicas);
    if row.len() != expected {
        return Err(PlacementError::WrongHolderCount { partition, found: row.len(), expected });
    }
    for (earlier, &position) in row.iter().enumerate() {
        let Some(node) = layout.nodes.get(usize::from(position)) else {
            return Err(PlacementError::UnknownHolder { partition, position, nodes: layout.nodes.len() });
        };
        if node.state != NodeState::Active {
            return Err(PlacementError::InactiveHolder { partition, id: node.id });
        }
        if row.iter().take(earlier).any(|other| *other == position) {
            return Err(PlacementError::RepeatedHolder { partition, id: node.id });
        }
    }
    Ok(())
}

/// The digest of a layout's epoch, replicas, nodes and table: BLAKE3 in hexadecimal digits. It does not read `digest`.
///
/// The encoding that is hashed begins with its own name and version. Numbers are little-endian, texts and lists are
/// preceded by their length as a `u64`, so that no two layouts share an encoding.
pub fn digest(layout: &Layout) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("TritonTube layout digest, version 1");
    hasher.update(&layout.epoch.get().to_le_bytes());
    hasher.update(&[layout.replicas]);
    hash_length(&mut hasher, layout.nodes.len());
    for node in &layout.nodes {
        hash_text(&mut hasher, &node.id.to_string());
        hash_text(&mut hasher, node.url.as_str());
        hash_text(&mut hasher, &node.zone);
        hasher.update(&node.weight.to_le_bytes());
        hasher.update(&[match node.state {
            NodeState::Active => 0,
            NodeState::Draining => 1,
            NodeState::Down => 2,
        }]);
    }
    hash_length(&mut hasher, layout.table.len());
    for row in &layout.table {
        hash_length(&mut hasher, row.len());
        for position in row {
            hasher.update(&position.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

fn hash_length(hasher: &mut blake3::Hasher, length: usize) {
    hasher.update(&(length as u64).to_le_bytes());
}

fn hash_text(hasher: &mut blake3::Hasher, text: &str) {
    hash_length(hasher, text.len());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use triton_api::{Epoch, NodeId};

    use triton_api::layout::Rest;

    use super::*;
    use crate::{fixture::node, layout};

    fn sound() -> Layout {
        let mut nodes: Vec<_> = (0..4).map(|number| node(number, "zone", 100)).collect();
        nodes[0].state = NodeState::Draining;
        layout::first(nodes, 2).unwrap()
    }

    /// What is said of a layout that was damaged, and then given the digest it should have.
    fn refusal(damage: impl FnOnce(&mut Layout)) -> PlacementError {
        let mut layout = sound();
        damage(&mut layout);
        layout.digest = digest(&layout);
        verify(&layout).unwrap_err()
    }

    #[test]
    fn a_layout_is_taken_as_it_was_made() {
        assert_eq!(verify(&sound()), Ok(()));
    }

    #[test]
    fn every_damage_to_the_table_is_named() {
        let (partition, last) = (PartitionId::new(7), PartitionId::new(1023));
        let id = |number: u128| NodeId::from_u128(number + 1);
        let length = |found| PlacementError::WrongTableLength { found, expected: 1024 };
        let count = |found| PlacementError::WrongHolderCount { partition, found, expected: 2 };
        assert_eq!(refusal(|l| drop(l.table.pop())), length(1023));
        assert_eq!(refusal(|l| l.table.push(vec![1, 2])), length(1025));
        assert_eq!(refusal(|l| l.table.clear()), length(0));
        assert_eq!(refusal(|l| l.table[7].clear()), count(0));
        assert_eq!(refusal(|l| l.table[7] = vec![1]), count(1));
        assert_eq!(refusal(|l| l.table[7] = vec![1, 2, 3]), count(3));
        assert_eq!(refusal(|l| l.table[7] = vec![3, 3]), PlacementError::RepeatedHolder { partition, id: id(3) });
        assert_eq!(refusal(|l| l.table[7] = vec![1, 0]), PlacementError::InactiveHolder { partition, id: id(0) });
        let unknown = PlacementError::UnknownHolder { partition: last, position: 4, nodes: 4 };
        assert_eq!(refusal(|l| l.table[1023] = vec![4, 1]), unknown);
    }

    #[test]
    fn every_damage_to_the_nodes_is_named() {
        let (first, second) = (node(1, "zone", 100), node(2, "zone", 100));
        assert_eq!(refusal(|l| l.replicas = 0), PlacementError::NoReplicas);
        assert_eq!(refusal(|l| l.nodes.clear()), PlacementError::NoActiveNodes);
        assert_eq!(refusal(|l| l.nodes[1].weight = 0), PlacementError::ZeroWeight { id: first.id });
        assert_eq!(refusal(|l| l.nodes[2].id = first.id), PlacementError::DuplicateId { id: first.id });
        let shared = PlacementError::DuplicateUrl { url: first.url.clone(), first: first.id, second: second.id };
        assert_eq!(refusal(|l| l.nodes[2].url = first.url.clone()), shared);
        let crowd = PlacementError::TooManyNodes { nodes: 1001, limit: NODES_MAX };
        assert_eq!(refusal(|l| l.nodes = (0..1001).map(|number| node(number, "zone", 100)).collect()), crowd);
    }

    #[test]
    fn every_field_is_in_the_digest() {
        let damages: [fn(&mut Layout); 9] = [
            |l| l.epoch = l.epoch.next(),
            |l| l.replicas = 200,
            |l| l.nodes[1].zone = "other".to_owned(),
            |l| l.nodes[1].weight = 101,
            |l| l.nodes[0].state = NodeState::Down,
            |l| l.nodes[1].url = "http://elsewhere:1".parse().unwrap(),
            |l| l.nodes[1].id = NodeId::from_u128(99),
            |l| l.table[5].reverse(),
            |l| l.table.swap(0, 1),
        ];
        let whole = sound();
        for (number, damage) in damages.into_iter().enumerate() {
            let mut layout = whole.clone();
            damage(&mut layout);
            // Swapped rows can be equal: look for two that are not.
            if layout == whole {
                layout.table[0].reverse();
            }
            assert_ne!(digest(&layout), whole.digest, "damage {number} goes unseen");
        }
    }

    #[test]
    fn a_false_digest_is_refused_and_shown_in_part() {
        let mut layout = sound();
        layout.digest = "f".repeat(1 << 20);
        let expected = digest(&layout);
        assert_eq!(verify(&layout), Err(PlacementError::WrongDigest { found: "f".repeat(64), expected }));
    }

    /// Computed by another program (Python, `blake3` 1.0, the encoding written from the documentation).
    #[test]
    fn the_digest_never_changes() {
        let mut nodes = vec![node(0, "zone", 100), node(1, "zürich", 70_000)];
        nodes[0].state = NodeState::Draining;
        let (epoch, table) = (Epoch::new(7), vec![vec![1, 258], vec![0]]);
        let layout = Layout { epoch, replicas: 2, nodes, table, digest: String::new(), rest: Rest::new() };
        assert_eq!(digest(&layout), "12a6a1992536459321b037f89d7084b15028dab6702cce7500da58460dfaf5a3");
    }
}
