//! The table as a minimum-cost flow: from each partition, by zones, to the nodes that hold it.

use std::collections::BTreeMap;

use triton_api::{
    NodeId,
    layout::{LayoutNode, NodeState},
};

use crate::{
    flow::{ArcIndex, Network, Vertex},
    partition::first_number,
    quota::{self, Capacity, Share, Spread},
    verify::effective_replicas,
};

/// What a table is to be made of. Members are the active nodes in the order of their ids, so that the order in which
/// nodes are listed has no say in the result.
#[derive(Debug)]
pub(crate) struct Assignment {
    partitions: usize,
    replicas: usize,
    members: Vec<Member>,
    capacities: Vec<Capacity>,
    spread: Vec<Spread>,
    /// The members that hold each partition already, in the order of the old table.
    kept: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Member {
    id: NodeId,
    /// Where the node stands in the list of all nodes.
    position: usize,
    /// Mixed with a partition, it orders the members differently for each partition.
    salt: u64,
}

impl Assignment {
    /// To place `partitions` partitions on the active ones of `nodes`, of which `holders` says who holds them now.
    pub(crate) fn new(partitions: usize, nodes: &[LayoutNode], replicas: u8, holders: &[Vec<NodeId>]) -> Self {
        let mut active: Vec<_> = nodes.iter().enumerate().filter(|(_, n)| n.state == NodeState::Active).collect();
        active.sort_by_key(|(_, node)| node.id);
        let mut zone_sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, node) in &active {
            *zone_sizes.entry(&node.zone).or_default() += 1;
        }
        let zones: BTreeMap<&str, usize> = zone_sizes.keys().enumerate().map(|(zone, name)| (*name, zone)).collect();
        let replicas = effective_replicas(nodes, replicas);
        let sizes: Vec<usize> = zone_sizes.into_values().collect();
        let indices: BTreeMap<NodeId, usize> = active.iter().enumerate().map(|(i, (_, node))| (node.id, i)).collect();
        let kept = |row: &Vec<NodeId>| row.iter().filter_map(|id| indices.get(id).copied()).collect();
        Self {
            partitions,
            replicas,
            capacities: active
                .iter()
                .map(|(_, n)| Capacity { zone: zones[n.zone.as_str()], weight: n.weight })
                .collect(),
            members: active.iter().map(|&(position, node)| Member::new(position, node.id)).collect(),
            spread: quota::spread(&sizes, replicas),
            kept: (0..partitions).map(|p| holders.get(p).map(kept).unwrap_or_default()).collect(),
        }
    }

    /// What each active node is due, exactly.
    pub(crate) fn shares(&self) -> BTreeMap<NodeId, Share> {
        self.members.iter().map(|member| member.id).zip(self.exact_shares()).collect()
    }

    fn exact_shares(&self) -> Vec<Share> {
        quota::shares(&self.capacities, &self.spread, self.partitions, self.replicas)
    }

    /// The table: for each partition the positions of its holders in the list of nodes, those that stay first.
    pub(crate) fn table(&self) -> Vec<Vec<usize>> {
        let rows = self.solve(&self.spread).into_iter().zip(&self.kept).map(|(chosen, kept)| {
            let staying = kept.iter().filter(|member| chosen.contains(member));
            let arriving = chosen.iter().filter(|member| !kept.contains(member));
            staying.chain(arriving).map(|member| self.members[*member].position).collect()
        });
        rows.collect()
    }

    /// The fewest copies that any table with the same quotas has to make, wherever zones would have them.
    pub(crate) fn fewest_moves(&self) -> usize {
        let anywhere = vec![Spread { low: 0, high: self.members.len() }; self.spread.len()];
        let rows = self.solve(&anywhere);
        let arriving = |(row, kept): (&Vec<usize>, &Vec<usize>)| row.iter().filter(|m| !kept.contains(m)).count();
        rows.iter().zip(&self.kept).map(arriving).sum()
    }

    /// The members that are to hold each partition.
    ///
    /// One unit of flow is one copy. A partition sends `replicas` units, through one vertex per zone where the zone's
    /// bounds could be passed, over an arc of capacity 1 per node, so that copies are distinct; a node passes on what it
    /// is due, rounded down or up. A unit costs 1 where the node does not hold the partition yet. The units between a
    /// lower and an upper bound cost more than all moves together: a table within all bounds exists (each partition
    /// divided like the shares is a flow, and where there is one there is one in whole numbers), so the cheapest flow
    /// is within all bounds, and of those tables it is one that moves least.
    fn solve(&self, spread: &[Spread]) -> Vec<Vec<usize>> {
        let mut network = Network::default();
        let (source, sink) = (network.add_vertex(), network.add_vertex());
        let partitions: Vec<Vertex> = (0..self.partitions).map(|_| network.add_vertex()).collect();
        // One copy of every partition before the second of any: so the copies that go are spread over the partitions.
        for _ in 0..self.replicas {
            for partition in &partitions {
                network.add_arc(source, *partition, 1, 0);
            }
        }
        let nodes: Vec<Vertex> = self.members.iter().map(|_| network.add_vertex()).collect();
        let choices: Vec<_> = (0..self.partitions)
            .map(|partition| self.add_choices(&mut network, spread, partition, partitions[partition], &nodes))
            .collect();
        for (node, share) in nodes.iter().zip(self.exact_shares()) {
            network.add_arc(*node, sink, share.floor(), 0);
            network.add_arc(*node, sink, share.ceil() - share.floor(), self.optional_cost());
        }
        network.send(source, sink);
        let chosen = |row: Vec<(usize, ArcIndex)>| {
            row.into_iter().filter(|(_, arc)| network.flow(*arc) > 0).map(|(member, _)| member).collect()
        };
        choices.into_iter().map(chosen).collect()
    }

    /// Adds the arcs of one partition; answers the one to each member.
    fn add_choices(
        &self,
        network: &mut Network,
        spread: &[Spread],
        partition: usize,
        from: Vertex,
        nodes: &[Vertex],
    ) -> Vec<(usize, ArcIndex)> {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_by_key(|member| (mix(self.members[*member].salt ^ mix(partition as u64)), *member));
        let mut zones: BTreeMap<usize, Vertex> = BTreeMap::new();
        let mut choices = Vec::with_capacity(order.len());
        for member in order {
            let zone = self.capacities[member].zone;
            let tail = *zones.entry(zone).or_insert_with(|| self.add_zone(network, spread, zone, from));
            let cost = u32::from(!self.kept[partition].contains(&member));
            choices.push((member, network.add_arc(tail, nodes[member], 1, cost)));
        }
        choices
    }

    /// The vertex of one partition's copies in one zone: the partition's own where no bound of the zone can be passed.
    fn add_zone(&self, network: &mut Network, spread: &[Spread], zone: usize, from: Vertex) -> Vertex {
        let Spread { low, high } = spread[zone];
        let size = self.capacities.iter().filter(|capacity| capacity.zone == zone).count();
        if spread.len() == 1 || (low == 0 && high >= size) {
            return from;
        }
        let vertex = network.add_vertex();
        network.add_arc(from, vertex, low, 0);
        // The lower bounds of all zones are 0 or those of none are, so every unit has the same choice of costs here.
        network.add_arc(from, vertex, high - low, if low == 0 { 0 } else { self.optional_cost() });
        vertex
    }

    /// More than all moves together.
    fn optional_cost(&self) -> u32 {
        u32::try_from(self.partitions * self.replicas + 1).expect("a u16 of partitions by a u8 of replicas fits")
    }
}

impl Member {
    fn new(position: usize, id: NodeId) -> Self {
        Self { id, position, salt: first_number(&blake3::hash(id.to_string().as_bytes())) }
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
