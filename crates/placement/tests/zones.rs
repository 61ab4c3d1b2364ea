//! Movement among zones against an optimum that is worked out here, from the promises alone.
//!
//! A table is a flow: from each partition, by zones, to nodes, where a copy that is new costs 1. A flow costs as little as any
//! exactly where its residual network has no cycle of negative cost (Ahuja, Magnanti and Orlin, "Network Flows", 1993, theorem
//! 9.1). So a table moves as little as possible if there is none in the network of quotas and zones, which this file makes on
//! its own.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use triton_api::{
    NodeId,
    layout::{Layout, LayoutNode, NodeState, PARTITIONS},
};
use triton_placement::{layout, movement, verify};

const REPLICAS: u8 = 3;
const ZONES: u16 = 5;

fn node(number: u16, zone: u16, weight: u32) -> LayoutNode {
    LayoutNode::active(
        NodeId::from_u128(u128::from(number) + 1),
        format!("http://127.0.0.1:{}", 10_000 + number).parse().expect("an address"),
        format!("zone-{zone}"),
        weight,
    )
}

fn is_active(node: &LayoutNode) -> bool {
    node.state == NodeState::Active
}

fn rows(layout: &Layout) -> Vec<BTreeSet<NodeId>> {
    let row = |row: &Vec<u16>| row.iter().map(|position| layout.nodes[usize::from(*position)].id).collect();
    layout.table.iter().map(row).collect()
}

/// Numbers that look random, the same for the same seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// The residual network of a table.
struct Residual {
    arcs: Vec<(usize, usize, i32)>,
    vertices: usize,
    nodes: usize,
}

impl Residual {
    /// What could still be changed about `after`, given what was held before.
    fn of(after: &[BTreeSet<NodeId>], before: &[BTreeSet<NodeId>], nodes: &[LayoutNode]) -> Self {
        let active: Vec<&LayoutNode> = nodes.iter().filter(|node| is_active(node)).collect();
        let zones: Vec<&str> = active.iter().map(|n| n.zone.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
        let zone_of = |node: &LayoutNode| zones.binary_search(&node.zone.as_str()).unwrap();
        let (sink, first_node) = (0, 1);
        let first_partition = first_node + active.len();
        let width = 1 + zones.len();
        let mut residual =
            Self { arcs: Vec::new(), vertices: first_partition + after.len() * width, nodes: active.len() };
        for (partition, (row, old)) in after.iter().zip(before).enumerate() {
            let root = first_partition + partition * width;
            for zone in 0..zones.len() {
                let copies = active.iter().filter(|node| zone_of(node) == zone && row.contains(&node.id)).count();
                // With R copies in at least R zones, no zone has more than one.
                residual.arc(root, root + 1 + zone, copies, (0, 1), 0);
            }
            for (number, node) in active.iter().enumerate() {
                let copies = usize::from(row.contains(&node.id));
                let cost = i32::from(!old.contains(&node.id));
                residual.arc(root + 1 + zone_of(node), first_node + number, copies, (0, 1), cost);
            }
        }
        let weights: usize = active.iter().map(|node| node.weight as usize).sum();
        for (number, node) in active.iter().enumerate() {
            let due = usize::from(PARTITIONS) * usize::from(REPLICAS) * node.weight as usize;
            let held = after.iter().filter(|row| row.contains(&node.id)).count();
            residual.arc(first_node + number, sink, held, (due / weights, due.div_ceil(weights)), 0);
        }
        residual
    }

    fn arc(&mut self, tail: usize, head: usize, flow: usize, (low, high): (usize, usize), cost: i32) {
        assert!((low..=high).contains(&flow), "{flow} of {low} to {high}");
        if flow < high {
            self.arcs.push((tail, head, cost));
        }
        if flow > low {
            self.arcs.push((head, tail, -cost));
        }
    }

    /// Whether something could be moved less (Bellman, Ford): along a path without a cycle, each node saves one copy at most.
    fn has_negative_cycle(&self) -> bool {
        let least = -i32::try_from(self.nodes).unwrap();
        let mut costs = vec![0; self.vertices];
        loop {
            let mut changed = false;
            for &(tail, head, cost) in &self.arcs {
                if costs[tail] + cost < costs[head] {
                    costs[head] = costs[tail] + cost;
                    changed = true;
                    if costs[head] < least {
                        return true;
                    }
                }
            }
            if !changed {
                return false;
            }
        }
    }
}

/// One of the changes that an operator makes, in zones that stay alike.
fn change(nodes: &mut Vec<LayoutNode>, number: u16, dice: &mut Dice) {
    let mut sizes: BTreeMap<String, usize> = (0..ZONES).map(|zone| (format!("zone-{zone}"), 0)).collect();
    for node in nodes.iter().filter(|node| is_active(node)) {
        *sizes.get_mut(&node.zone).unwrap() += 1;
    }
    let smallest = sizes.iter().min_by_key(|(_, size)| **size).unwrap().0.clone();
    let largest = sizes.iter().max_by_key(|(_, size)| **size).unwrap().0.clone();
    let newcomer = LayoutNode { zone: smallest.clone(), ..node(number, 0, 100) };
    let of_largest: Vec<usize> =
        (0..nodes.len()).filter(|at| is_active(&nodes[*at]) && nodes[*at].zone == largest).collect();
    let chosen = of_largest[dice.below(of_largest.len())];
    match dice.below(7) {
        0 | 1 => nodes.push(newcomer),
        2 if sizes[&largest] > 2 => drop(nodes.remove(chosen)),
        3 if sizes[&largest] > 2 => nodes[chosen].state = NodeState::Draining,
        4 => {
            let zone = nodes[chosen].zone.clone();
            nodes[chosen].state = NodeState::Down;
            nodes.push(LayoutNode { zone, ..newcomer });
        }
        5 if sizes[&largest] > 2 => nodes[chosen].zone = smallest,
        _ => nodes[chosen].weight = u32::try_from(90 + dice.below(20)).unwrap(),
    }
}

#[test]
fn two_hundred_random_changes_among_zones_move_as_little_as_any_table_could() {
    let mut dice = Dice(20_261_125);
    let mut nodes: Vec<LayoutNode> = (0..10).map(|number| node(number, number % ZONES, 100)).collect();
    let mut layout = layout::first(nodes.clone(), REPLICAS).unwrap();
    let mut moved = 0;
    for number in 100..300 {
        change(&mut nodes, number, &mut dice);
        // Nodes that are gone for long are taken off the list, as an operator would.
        nodes.retain(|node| is_active(node) || layout.partitions_of(node.id) > 0);
        let next = layout::change(&layout, nodes.clone(), REPLICAS).unwrap();
        assert_eq!(verify(&next), Ok(()));
        let residual = Residual::of(&rows(&next), &rows(&layout), &nodes);
        assert!(!residual.has_negative_cycle(), "change {number} moves more than it must");
        moved += movement(&layout, &next).replicas;
        layout = next;
    }
    assert!(moved > 20_000, "{moved}");
}

#[test]
fn a_table_that_moves_one_copy_too_many_is_told_from_the_best() {
    let mut nodes: Vec<LayoutNode> = (0..10).map(|number| node(number, number % ZONES, 100)).collect();
    let first = layout::first(nodes.clone(), REPLICAS).unwrap();
    nodes.push(node(10, 0, 100));
    let before = rows(&first);
    let mut after = rows(&layout::change(&first, nodes.clone(), REPLICAS).unwrap());
    assert!(!Residual::of(&after, &before, &nodes).has_negative_cycle());
    // Two nodes of a zone exchange a copy: all quotas hold, and two copies more are made.
    let pair = [nodes[1].id, nodes[6].id];
    let holds = |rows: &[BTreeSet<NodeId>], id: usize| {
        (0..rows.len()).find(|p| rows[*p].contains(&pair[id]) && before[*p].contains(&pair[id])).unwrap()
    };
    let (one, other) = (holds(&after, 0), holds(&after, 1));
    for (partition, goes, comes) in [(one, pair[0], pair[1]), (other, pair[1], pair[0])] {
        after[partition].remove(&goes);
        after[partition].insert(comes);
    }
    assert!(Residual::of(&after, &before, &nodes).has_negative_cycle());
}
