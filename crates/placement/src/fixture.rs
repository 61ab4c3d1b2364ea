//! What the tests of this crate share.

use proptest::prelude::*;
use triton_api::{
    NodeId,
    layout::{LayoutNode, NodeState},
};

/// An active node; the same number gives the same id and address.
pub(crate) fn node(number: u16, zone: &str, weight: u32) -> LayoutNode {
    LayoutNode::active(
        NodeId::from_u128(u128::from(number) + 1),
        format!("http://127.0.0.1:{}", 10_000 + number).parse().unwrap(),
        zone.to_owned(),
        weight,
    )
}

/// A change that an operator may ask for; `which` is taken modulo the nodes there are.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Add { zone: u8, weight: u32 },
    SetState { which: usize, state: NodeState },
    Remove { which: usize },
    Reweight { which: usize, weight: u32 },
    Rezone { which: usize, zone: u8 },
    Replicas { replicas: u8 },
}

/// A step among few zones, so that they bind as often as not, with weights from equal to far apart.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let weight = || prop_oneof![Just(100), 1..4u32, 50..200u32];
    let state = prop_oneof![Just(NodeState::Active), Just(NodeState::Draining), Just(NodeState::Down)];
    prop_oneof![
        6 => (0..3u8, weight()).prop_map(|(zone, weight)| Step::Add { zone, weight }),
        2 => (any::<usize>(), state).prop_map(|(which, state)| Step::SetState { which, state }),
        1 => any::<usize>().prop_map(|which| Step::Remove { which }),
        2 => (any::<usize>(), weight()).prop_map(|(which, weight)| Step::Reweight { which, weight }),
        1 => (any::<usize>(), 0..3u8).prop_map(|(which, zone)| Step::Rezone { which, zone }),
        1 => (1..6u8).prop_map(|replicas| Step::Replicas { replicas }),
    ]
}

/// A cluster as its operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<LayoutNode>,
    pub(crate) replicas: u8,
    added: u16,
    nodes_max: usize,
}

impl Cluster {
    /// One node, which never has more than `nodes_max` beside and including it.
    pub(crate) fn new(replicas: u8, nodes_max: usize) -> Self {
        Self { nodes: vec![node(0, "zone-0", 100)], replicas, added: 1, nodes_max }
    }

    /// Does the step, or nothing where it would leave no active node or too many.
    pub(crate) fn apply(&mut self, step: &Step) {
        let mut next = self.clone();
        next.force(step);
        let active = next.nodes.iter().any(|node| node.state == NodeState::Active);
        if active && next.nodes.len() <= self.nodes_max {
            *self = next;
        }
    }

    fn force(&mut self, step: &Step) {
        let count = self.nodes.len();
        match *step {
            Step::Add { zone, weight } => {
                // Somewhere in the middle: positions mean nothing.
                let number = self.added;
                self.nodes.insert(usize::from(number) * 7 % (count + 1), node(number, &format!("zone-{zone}"), weight));
                self.added += 1;
            }
            Step::SetState { which, state } => self.nodes[which % count].state = state,
            Step::Remove { which } => drop(self.nodes.remove(which % count)),
            Step::Reweight { which, weight } => self.nodes[which % count].weight = weight,
            Step::Rezone { which, zone } => self.nodes[which % count].zone = format!("zone-{zone}"),
            Step::Replicas { replicas } => self.replicas = replicas,
        }
    }
}
