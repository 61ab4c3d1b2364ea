//! Layouts through the public interface, at the real number of partitions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, test_runner::RngSeed};
use triton_api::{
    BlobKey, Epoch, NodeId,
    layout::{Layout, LayoutNode, NodeState, PARTITIONS},
};
use triton_placement::{PlacementError, balance, layout, movement, movement_lower_bound, partition_of, verify};

fn node(number: u16, zone: u16, weight: u32) -> LayoutNode {
    LayoutNode::active(
        NodeId::from_u128(u128::from(number) + 1),
        format!("http://127.0.0.1:{}", 10_000 + number).parse().expect("an address"),
        format!("zone-{zone}"),
        weight,
    )
}

fn equal_nodes(count: u16) -> Vec<LayoutNode> {
    (0..count).map(|number| node(number, 0, 100)).collect()
}

fn holders(layout: &Layout) -> Vec<BTreeSet<NodeId>> {
    let row = |row: &Vec<u16>| row.iter().map(|position| layout.nodes[usize::from(*position)].id).collect();
    layout.table.iter().map(row).collect()
}

fn held(layout: &Layout) -> BTreeMap<NodeId, u32> {
    let mut held = BTreeMap::new();
    for id in holders(layout).into_iter().flatten() {
        *held.entry(id).or_default() += 1;
    }
    held
}

#[test]
fn equal_nodes_hold_equally_much() {
    for count in 3..=10 {
        let layout = layout::first(equal_nodes(count), 3).unwrap();
        assert!(balance(&layout) <= 1.005, "{count} nodes: {}", balance(&layout));
    }
    let layout = layout::first(equal_nodes(50), 3).unwrap();
    assert!(balance(&layout) <= 1.02, "{}", balance(&layout));
}

#[test]
fn keys_are_spread_as_evenly_as_partitions() {
    for count in 4..=10 {
        let layout = layout::first(equal_nodes(count), 3).unwrap();
        let mut keys: BTreeMap<u16, f64> = BTreeMap::new();
        for number in 0..100_000 {
            let key: BlobKey = format!("v/AZqxJ2QkcYuS5T3mVb0aXw/1/720p/seg-{number:05}.m4s").parse().unwrap();
            for position in &layout.table[usize::from(partition_of(&key).get())] {
                *keys.entry(*position).or_default() += 1.0;
            }
        }
        let mean = 300_000.0 / f64::from(count);
        let largest = keys.into_values().fold(0.0, f64::max);
        assert!(largest / mean <= 1.02, "{count} nodes: {}", largest / mean);
    }
}

#[test]
fn nodes_hold_by_weight() {
    let layout = layout::first(vec![node(0, 0, 100), node(1, 0, 200), node(2, 0, 300), node(3, 0, 424)], 1).unwrap();
    assert_eq!(held(&layout).into_values().collect::<Vec<_>>(), [100, 200, 300, 424]);
    assert!((balance(&layout) - 1.0).abs() < 1e-12);
}

#[test]
fn one_node_works_and_copies_grow_with_the_nodes() {
    let mut layout = layout::first(equal_nodes(1), 3).unwrap();
    assert_eq!(layout.epoch, Epoch::new(1));
    for (count, copies) in [(2, 2), (3, 3), (4, 3)] {
        let next = layout::change(&layout, equal_nodes(count), 3).unwrap();
        assert_eq!(next.epoch, layout.epoch.next());
        assert!(next.table.iter().all(|row| row.len() == copies));
        // Each partition gains the copies it lacked, and beyond that only what the fourth node is due moves.
        let lacked = u32::from(PARTITIONS) * u32::from(count < 4);
        assert_eq!(movement(&layout, &next).replicas, lacked.max(768 * u32::from(count == 4)));
        layout = next;
    }
}

#[test]
fn no_partition_moves_two_copies_while_others_move_none() {
    let first = layout::first(equal_nodes(6), 3).unwrap();
    let moved = movement(&first, &layout::change(&first, equal_nodes(8), 3).unwrap());
    assert_eq!(moved.replicas, 768);
    assert!(moved.partitions.iter().all(|partition| partition.arriving.len() == 1));
}

#[test]
fn a_drained_node_holds_nothing_and_stays_listed() {
    let first = layout::first(equal_nodes(4), 3).unwrap();
    let mut nodes = equal_nodes(4);
    nodes[1].state = NodeState::Draining;
    let drained = layout::change(&first, nodes.clone(), 3).unwrap();
    assert_eq!(drained.partitions_of(nodes[1].id), 0);
    assert!(drained.node(nodes[1].id).is_some());
    let moved = movement(&first, &drained);
    assert_eq!(moved.leaving, BTreeMap::from([(nodes[1].id, 768)]));
    assert_eq!((moved.replicas, moved.partitions.len()), (768, 768));
    // Removing what holds nothing moves nothing, whatever the order of those that remain.
    nodes.remove(1);
    nodes.reverse();
    let removed = layout::change(&drained, nodes, 3).unwrap();
    assert_eq!(movement(&drained, &removed).replicas, 0);
    assert_eq!(holders(&drained), holders(&removed));
}

#[test]
fn a_dead_node_is_replaced_at_its_own_address_in_one_change() {
    let first = layout::first(equal_nodes(4), 3).unwrap();
    let mut nodes = equal_nodes(4);
    nodes[2].state = NodeState::Down;
    nodes.push(LayoutNode { url: nodes[2].url.clone(), ..node(9, 0, 100) });
    let replaced = layout::change(&first, nodes.clone(), 3).unwrap();
    assert_eq!(movement(&first, &replaced).arriving, BTreeMap::from([(nodes[4].id, 768)]));
}

#[test]
fn a_change_that_leaves_fewer_nodes_than_replicas_is_refused() {
    let first = layout::first(equal_nodes(3), 3).unwrap();
    let too_few = |remaining| Err(PlacementError::TooFewNodes { wanted: 3, kept: 3, remaining });
    assert_eq!(layout::change(&first, equal_nodes(2), 3), too_few(2));
    for state in [NodeState::Draining, NodeState::Down] {
        let mut nodes = equal_nodes(3);
        nodes[0].state = state;
        assert_eq!(layout::change(&first, nodes, 3), too_few(2));
    }
    // Who asks for fewer replicas gets them; a replacement leaves as many nodes; adding never fails for it.
    assert!(layout::change(&first, equal_nodes(2), 2).is_ok());
    assert!(layout::change(&first, vec![node(0, 0, 100), node(1, 0, 100), node(7, 0, 100)], 3).is_ok());
    let single = layout::first(equal_nodes(1), 5).unwrap();
    assert!(layout::change(&single, equal_nodes(2), 5).is_ok());
    assert!(layout::change(&single, equal_nodes(1), 5).is_ok());
}

#[test]
fn reasons_are_sentences() {
    let refused = layout::change(&layout::first(equal_nodes(3), 3).unwrap(), equal_nodes(2), 3).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "3 replicas are wanted, 3 are kept now, and only 2 active nodes would remain: add a node first (in the same \
         change, if you like), or lower the number of replicas"
    );
    let empty = layout::first(vec![], 3).unwrap_err();
    assert_eq!(empty.to_string(), "no node is active: at least one must hold the content");
}

#[test]
fn a_damaged_layout_is_not_built_upon() {
    let mut first = layout::first(equal_nodes(3), 3).unwrap();
    first.table[0].pop();
    assert!(matches!(layout::change(&first, equal_nodes(4), 3), Err(PlacementError::WrongHolderCount { .. })));
}

#[test]
fn three_zones_have_one_copy_each_through_adds_and_drains() {
    let nodes = |count: u16| (0..count).map(|number| node(number, number % 3, 100)).collect::<Vec<_>>();
    let mut layout = layout::first(nodes(6), 3).unwrap();
    for wanted in [nodes(7), nodes(9), nodes(9)[3..].to_vec()] {
        layout = layout::change(&layout, wanted, 3).unwrap();
        for row in &layout.table {
            let zones: BTreeSet<_> = row.iter().map(|position| &layout.nodes[usize::from(*position)].zone).collect();
            assert_eq!(zones.len(), 3);
        }
    }
}

/// What is due to a node where neither zones nor its own size bind, rounded down and up.
fn quota(nodes: &[LayoutNode], weight: u32, replicas: u64) -> (u64, u64) {
    let active = nodes.iter().filter(|node| node.state == NodeState::Active);
    let total: u64 = active.map(|node| u64::from(node.weight)).sum();
    let due = u64::from(PARTITIONS) * replicas * u64::from(weight);
    (due / total, due.div_ceil(total))
}

/// One of the changes an operator makes, chosen by three numbers; between 5 and 30 active nodes in one zone.
fn random_change(nodes: &mut Vec<LayoutNode>, number: u16, kind: u8, which: usize, weight: u32) {
    let active: Vec<usize> = (0..nodes.len()).filter(|i| nodes[*i].state == NodeState::Active).collect();
    let chosen = active[which % active.len()];
    match kind {
        _ if active.len() <= 5 => nodes.push(node(number, 0, weight)),
        0 if active.len() < 30 => nodes.push(node(number, 0, weight)),
        1 => drop(nodes.remove(chosen)),
        2 => nodes[chosen].state = NodeState::Draining,
        3 => nodes[chosen].state = NodeState::Down,
        4 => {
            nodes.remove(chosen);
            nodes.push(node(number, 0, weight));
        }
        _ => nodes[chosen].weight = weight,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, max_shrink_iters: 50, rng_seed: RngSeed::Fixed(20_261_123), ..ProptestConfig::default() })]

    /// The lower bound is worked out from the quotas alone: every node has to receive what it lacks, and nobody can keep
    /// more than its quota.
    #[test]
    fn two_hundred_random_changes_move_no_more_than_they_must(
        changes in prop::collection::vec((0..6_u8, any::<usize>(), 90..110_u32), 200),
    ) {
        let mut nodes = equal_nodes(10);
        let mut layout = layout::first(nodes.clone(), 3).unwrap();
        let (mut moved, mut least) = (0, 0);
        for (number, (kind, which, weight)) in (100..).zip(changes) {
            random_change(&mut nodes, number, kind, which, weight);
            let next = layout::change(&layout, nodes.clone(), 3).unwrap();
            prop_assert_eq!(verify(&next), Ok(()));
            let (before, after) = (held(&layout), held(&next));
            let (mut lacking, mut keeping) = (0, 0);
            for node in nodes.iter().filter(|node| node.state == NodeState::Active) {
                let (low, high) = quota(&nodes, node.weight, 3);
                let holds = u64::from(before.get(&node.id).copied().unwrap_or(0));
                lacking += low.saturating_sub(holds);
                keeping += holds.min(high);
                prop_assert!((low..=high).contains(&u64::from(after[&node.id])));
            }
            let bound = lacking.max(3 * u64::from(PARTITIONS) - keeping);
            let replicas = movement(&layout, &next).replicas;
            prop_assert_eq!(u64::from(replicas), bound);
            prop_assert_eq!(replicas, movement_lower_bound(&layout, &nodes, 3));
            moved += u64::from(replicas);
            least += bound;
            layout = next;
        }
        prop_assert!(least > 0);
        prop_assert_eq!(moved, least);
    }
}
