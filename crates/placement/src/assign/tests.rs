//! The tables against brute force at small numbers of partitions, and against a proof of optimality at the real one.

use std::collections::{BTreeSet, HashMap};

use proptest::{prelude::*, test_runner::RngSeed};

use super::*;
use crate::fixture::{Cluster, node, step};

/// How many of these members lie in each zone, the fullest zone first. Smaller is spread further.
fn crowding(assignment: &Assignment, members: &[usize]) -> Vec<usize> {
    let mut zones: BTreeMap<usize, usize> = BTreeMap::new();
    for member in members {
        *zones.entry(assignment.capacities[*member].zone).or_default() += 1;
    }
    let mut crowding: Vec<usize> = zones.into_values().collect();
    crowding.sort_unstable_by(|a, b| b.cmp(a));
    crowding
}

/// Every set of so many members.
fn sets(members: usize, size: usize) -> Vec<Vec<usize>> {
    (0..1_u32 << members)
        .map(|bits| (0..members).filter(|member| bits >> member & 1 == 1).collect::<Vec<_>>())
        .filter(|set| set.len() == size)
        .collect()
}

/// The fewest moves of any table whose rows are among `rows` and whose quotas are exact, by trying all of them.
fn fewest_moves_by_force(assignment: &Assignment, rows: &[Vec<usize>]) -> Option<usize> {
    let shares = assignment.exact_shares();
    let mut reached: HashMap<Vec<usize>, usize> = HashMap::from([(vec![0; assignment.members.len()], 0)]);
    for kept in &assignment.kept {
        let mut next: HashMap<Vec<usize>, usize> = HashMap::new();
        for (loads, moves) in &reached {
            for row in rows {
                let mut loads = loads.clone();
                for member in row {
                    loads[*member] += 1;
                }
                if row.iter().any(|member| loads[*member] > shares[*member].ceil()) {
                    continue;
                }
                let moves = moves + row.iter().filter(|member| !kept.contains(member)).count();
                next.entry(loads).and_modify(|least| *least = moves.min(*least)).or_insert(moves);
            }
        }
        reached = next;
    }
    let exact = |loads: &Vec<usize>| loads.iter().zip(&shares).all(|(load, share)| *load >= share.floor());
    reached.iter().filter(|(loads, _)| exact(loads)).map(|(_, moves)| *moves).min()
}

/// The members of each row of a table that lists positions.
fn members(assignment: &Assignment, table: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let member = |position: &usize| assignment.members.iter().position(|m| m.position == *position).unwrap();
    table.iter().map(|row| row.iter().map(member).collect()).collect()
}

fn moves(assignment: &Assignment, rows: &[Vec<usize>]) -> usize {
    rows.iter().zip(&assignment.kept).flat_map(|(row, kept)| row.iter().filter(|m| !kept.contains(m))).count()
}

/// Distinct copies, and every node's load its share rounded down or up.
fn check_rows(assignment: &Assignment, rows: &[Vec<usize>]) {
    let mut loads = vec![0; assignment.members.len()];
    for row in rows {
        assert_eq!(row.iter().collect::<BTreeSet<_>>().len(), assignment.replicas, "{row:?} is not distinct");
        for member in row {
            loads[*member] += 1;
        }
    }
    for (load, share) in loads.iter().zip(assignment.exact_shares()) {
        assert!((share.floor()..=share.ceil()).contains(load), "{loads:?} are not the quotas: {share:?}");
    }
}

fn check_against_force(assignment: &Assignment) {
    let rows = members(assignment, &assignment.table());
    check_rows(assignment, &rows);
    let all = sets(assignment.members.len(), assignment.replicas);
    let least = all.iter().map(|set| crowding(assignment, set)).min().unwrap();
    for row in &rows {
        assert_eq!(crowding(assignment, row), least, "{row:?} could be spread further");
    }
    let widest: Vec<_> = all.iter().filter(|set| crowding(assignment, set) == least).cloned().collect();
    assert_eq!(Some(moves(assignment, &rows)), fewest_moves_by_force(assignment, &widest), "not the least movement");
    assert_eq!(Some(assignment.fewest_moves()), fewest_moves_by_force(assignment, &all), "not the lower bound");
}

/// The ids of each row's holders.
fn ids(nodes: &[LayoutNode], table: &[Vec<usize>]) -> Vec<Vec<NodeId>> {
    table.iter().map(|row| row.iter().map(|position| nodes[*position].id).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_change_of_a_small_cluster_is_the_best_there_is(
        partitions in 1..7_usize,
        replicas in 1..6_u8,
        steps in prop::collection::vec(step(), 1..16),
    ) {
        let mut cluster = Cluster::new(replicas, 6);
        let mut holders = vec![];
        for step in &steps {
            cluster.apply(step);
            let assignment = Assignment::new(partitions, &cluster.nodes, cluster.replicas, &holders);
            check_against_force(&assignment);
            holders = ids(&cluster.nodes, &assignment.table());
        }
    }

    #[test]
    fn a_table_that_we_would_never_have_made_is_left_at_the_least_cost(
        partitions in 1..7_usize,
        replicas in 1..6_u8,
        steps in prop::collection::vec(step(), 1..16),
        before in prop::collection::vec(prop::collection::btree_set(0..12_u128, 0..4), 7),
    ) {
        let mut cluster = Cluster::new(replicas, 6);
        for step in &steps {
            cluster.apply(step);
        }
        let row = |row: &BTreeSet<u128>| row.iter().map(|bits| NodeId::from_u128(*bits)).collect();
        let holders: Vec<_> = before.iter().map(row).collect();
        check_against_force(&Assignment::new(partitions, &cluster.nodes, cluster.replicas, &holders));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, max_shrink_iters: 50, rng_seed: RngSeed::Fixed(20_261_123), ..ProptestConfig::default() })]

    #[test]
    fn two_hundred_random_changes_among_zones_are_each_proven_to_be_the_cheapest(
        steps in prop::collection::vec(step(), 200),
    ) {
        let mut cluster = Cluster::new(3, 16);
        let mut holders = vec![];
        let mut moved = 0;
        for step in &steps {
            cluster.apply(step);
            let assignment = Assignment::new(256, &cluster.nodes, cluster.replicas, &holders);
            let table = assignment.table();
            let rows = members(&assignment, &table);
            check_rows(&assignment, &rows);
            prop_assert!(is_cheapest(&assignment, &rows), "{step:?} of {cluster:?}");
            prop_assert!(moves(&assignment, &rows) >= assignment.fewest_moves());
            moved += moves(&assignment, &rows);
            holders = ids(&cluster.nodes, &table);
        }
        prop_assert!(moved > 1000, "hardly anything moved: {moved}");
    }
}

/// The arcs along which a table may be changed, with what each costs: over them no cycle may cost less than nothing.
/// Vertices are the partitions, their zones, the members and one that stands for all quotas.
fn changes(assignment: &Assignment, rows: &[Vec<usize>]) -> (usize, Vec<(usize, usize, i64)>) {
    let (zones, count) = (assignment.spread.len(), assignment.members.len());
    let zone_vertex = |partition: usize, zone: usize| rows.len() + partition * zones + zone;
    let node_vertex = |member: usize| rows.len() * (1 + zones) + member;
    let quotas = node_vertex(count);
    let mut arcs = Vec::new();
    for (partition, row) in rows.iter().enumerate() {
        for member in 0..count {
            let zone = zone_vertex(partition, assignment.capacities[member].zone);
            let cost = i64::from(!assignment.kept[partition].contains(&member));
            arcs.push(if row.contains(&member) {
                (node_vertex(member), zone, -cost)
            } else {
                (zone, node_vertex(member), cost)
            });
        }
        for (zone, spread) in assignment.spread.iter().enumerate() {
            let copies = row.iter().filter(|member| assignment.capacities[**member].zone == zone).count();
            if copies < spread.high {
                arcs.push((partition, zone_vertex(partition, zone), 0));
            }
            if copies > spread.low {
                arcs.push((zone_vertex(partition, zone), partition, 0));
            }
        }
    }
    for (member, share) in assignment.exact_shares().into_iter().enumerate() {
        let load = rows.iter().filter(|row| row.contains(&member)).count();
        if load < share.ceil() {
            arcs.push((node_vertex(member), quotas, 0));
        }
        if load > share.floor() {
            arcs.push((quotas, node_vertex(member), 0));
        }
    }
    (quotas + 1, arcs)
}

/// Whether no exchange makes the table cheaper: Bellman and Ford find no cycle of negative cost.
fn is_cheapest(assignment: &Assignment, rows: &[Vec<usize>]) -> bool {
    let (vertices, arcs) = changes(assignment, rows);
    let mut distances = vec![0_i64; vertices];
    // Without a negative cycle no path is cheaper than all moves undone.
    let lowest = -i64::try_from(moves(assignment, rows)).unwrap();
    loop {
        let mut changed = false;
        for &(tail, head, cost) in &arcs {
            if distances[tail] + cost < distances[head] {
                distances[head] = distances[tail] + cost;
                changed = true;
            }
        }
        if !changed {
            return true;
        }
        if distances.iter().any(|distance| *distance < lowest) {
            return false;
        }
    }
}

fn cluster_of(nodes: u16, zones: u16) -> Vec<LayoutNode> {
    (0..nodes).map(|number| node(number, &format!("zone-{}", number % zones), 100)).collect()
}

#[test]
fn changes_of_a_large_cluster_are_proven_to_be_the_cheapest() {
    for zones in [1, 2, 3, 7] {
        let mut nodes = cluster_of(20, zones);
        let first = Assignment::new(1024, &nodes, 3, &[]).table();
        let holders = ids(&nodes, &first);
        nodes[3].state = NodeState::Draining;
        nodes[4].weight = 250;
        nodes.remove(9);
        nodes.push(node(50, "zone-0", 70));
        nodes.push(node(51, "zone-new", 100));
        let assignment = Assignment::new(1024, &nodes, 3, &holders);
        let rows = members(&assignment, &assignment.table());
        check_rows(&assignment, &rows);
        assert!(is_cheapest(&assignment, &rows), "{zones} zones");
    }
}

#[test]
fn a_table_with_one_needless_move_is_not_proven_to_be_the_cheapest() {
    let nodes = cluster_of(6, 1);
    let before = Assignment::new(64, &nodes, 3, &[]).table();
    let assignment = Assignment::new(64, &nodes, 3, &ids(&nodes, &before));
    let mut rows = members(&assignment, &assignment.table());
    assert!(is_cheapest(&assignment, &rows));
    // Two partitions exchange one holder each: quotas stay, two copies move for nothing.
    let given = rows[0][0];
    let other = rows.iter().position(|row| !row.contains(&given)).unwrap();
    let taken = *rows[other].iter().find(|member| !rows[0].contains(member)).unwrap();
    rows[0].iter_mut().filter(|member| **member == given).for_each(|member| *member = taken);
    rows[other].iter_mut().filter(|member| **member == taken).for_each(|member| *member = given);
    check_rows(&assignment, &rows);
    assert!(!is_cheapest(&assignment, &rows));
}

#[test]
fn the_order_in_which_nodes_are_listed_has_no_say() {
    let mut nodes = cluster_of(9, 3);
    let table = |nodes: &[LayoutNode], holders: &[Vec<NodeId>]| {
        let table = ids(nodes, &Assignment::new(256, nodes, 3, holders).table());
        table.into_iter().map(BTreeSet::from_iter).collect::<Vec<BTreeSet<NodeId>>>()
    };
    let holders = ids(&nodes, &Assignment::new(256, &nodes, 3, &[]).table());
    nodes.push(node(20, "zone-1", 150));
    let expected = table(&nodes, &holders);
    nodes.reverse();
    nodes.swap(1, 5);
    assert_eq!(table(&nodes, &holders), expected);
}

#[test]
fn copies_of_one_node_are_spread_over_all_others() {
    let mut nodes = cluster_of(10, 1);
    let mut holders = ids(&nodes, &Assignment::new(1024, &nodes, 3, &[]).table());
    for round in 0..5 {
        let mut together: BTreeMap<(NodeId, NodeId), usize> = BTreeMap::new();
        for row in &holders {
            for pair in row.iter().flat_map(|a| row.iter().map(move |b| (*a, *b))).filter(|(a, b)| a < b) {
                *together.entry(pair).or_default() += 1;
            }
        }
        // 3 pairs of each of 1024 partitions over 45 pairs of nodes: 68 on average.
        assert_eq!(together.len(), 45, "some nodes share nothing");
        assert!(together.values().all(|pair| (34..137).contains(pair)), "round {round}: {together:?}");
        nodes.remove(4);
        nodes.push(node(60 + round, "zone-0", 100));
        holders = ids(&nodes, &Assignment::new(1024, &nodes, 3, &holders).table());
    }
}
