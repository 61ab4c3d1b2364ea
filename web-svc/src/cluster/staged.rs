//! Changes of the node list that wait to be applied. Pure.

use serde::{Deserialize, Serialize};
use triton_api::{
    NodeId,
    layout::{Layout, LayoutNode, NodeState, Rest},
};

/// The zone of a node that names none.
pub const ZONE_DEFAULT: &str = "default";
/// The weight of a node that names none.
pub const WEIGHT_DEFAULT: u32 = 100;
/// The largest weight.
pub const WEIGHT_MAX: u32 = 1_000_000;
/// The longest name of a zone, in bytes.
pub const ZONE_BYTES_MAX: usize = 64;

/// What one node is to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedNode {
    /// The node as it is wanted.
    pub node: LayoutNode,
    /// It leaves the cluster as soon as it holds nothing, or as soon as the layout has given it up.
    #[serde(default)]
    pub remove: bool,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

impl StagedNode {
    /// A node as it is wanted.
    pub fn new(node: LayoutNode, remove: bool) -> Self {
        Self { node, remove, rest: Rest::new() }
    }
}

/// The record of staged changes: at most one entry for each node, in the order in which they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedLayout {
    /// The entries.
    pub nodes: Vec<StagedNode>,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

impl StagedLayout {
    /// The entry of a node.
    pub fn entry(&self, id: NodeId) -> Option<&StagedNode> {
        self.nodes.iter().find(|staged| staged.node.id == id)
    }

    /// The node as it is wanted: as staged, or else as it is.
    pub fn wanted(&self, layout: &Layout, id: NodeId) -> Option<LayoutNode> {
        self.entry(id).map(|staged| staged.node.clone()).or_else(|| layout.node(id).cloned())
    }

    /// The same with another entry for the node; an entry that would change nothing is dropped.
    #[must_use]
    pub fn with(mut self, layout: &Layout, entry: StagedNode) -> Self {
        self.nodes.retain(|staged| staged.node.id != entry.node.id);
        if entry.remove || layout.node(entry.node.id) != Some(&entry.node) {
            self.nodes.push(entry);
        }
        self
    }

    /// The same without the node's entry.
    #[must_use]
    pub fn without(mut self, id: NodeId) -> Self {
        self.nodes.retain(|staged| staged.node.id != id);
        self
    }

    /// The node list that is wanted: the layout's with every staged change.
    pub fn node_list(&self, layout: &Layout) -> Vec<LayoutNode> {
        let present = layout.nodes.iter().map(|node| match self.entry(node.id) {
            // The address is not staged: it may have been corrected since.
            Some(staged) => LayoutNode { url: node.url.clone(), ..staged.node.clone() },
            None => node.clone(),
        });
        // The entry of a node that has left meanwhile must not bring it back as a draining one.
        let is_new = |staged: &&StagedNode| layout.node(staged.node.id).is_none() && is_active(&staged.node);
        let added = self.nodes.iter().filter(is_new).map(|staged| staged.node.clone());
        present.chain(added).collect()
    }

    /// The nodes that leave after the change.
    pub fn removals(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|staged| staged.remove).map(|staged| staged.node.id).collect()
    }

    /// Every change in words.
    pub fn in_words(&self, layout: &Layout) -> Vec<String> {
        self.nodes.iter().flat_map(|staged| words(layout, staged)).collect()
    }
}

fn is_active(node: &LayoutNode) -> bool {
    node.state == NodeState::Active
}

fn words(layout: &Layout, StagedNode { node, remove, .. }: &StagedNode) -> Vec<String> {
    let name = format!("node {} ({})", node.id, node.url);
    let Some(present) = layout.node(node.id) else {
        let words = format!("add {name} with weight {} in zone {}", node.weight, node.zone);
        return if is_active(node) { vec![words] } else { Vec::new() };
    };
    let mut words = Vec::new();
    match (node.state, remove) {
        (NodeState::Down, false) => words.push(format!("give up {name}")),
        (NodeState::Down, true) => words.push(format!("give up and remove {name}")),
        (_, true) => words.push(format!("empty and remove {name}")),
        (NodeState::Draining, false) if present.state != NodeState::Draining => words.push(format!("drain {name}")),
        (NodeState::Active, false) if !is_active(present) => words.push(format!("use {name} again")),
        _ => {}
    }
    if node.weight != present.weight {
        words.push(format!("change the weight of {name} from {} to {}", present.weight, node.weight));
    }
    if node.zone != present.zone {
        words.push(format!("move {name} from zone {} to {}", present.zone, node.zone));
    }
    words
}

/// Whether the weight may be given to a node.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn check_weight(weight: u32) -> Result<(), String> {
    if (1..=WEIGHT_MAX).contains(&weight) {
        return Ok(());
    }
    Err(format!("A weight is a number from 1 to {WEIGHT_MAX}, not {weight}."))
}

/// Whether a zone may have this name.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn check_zone(zone: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=ZONE_BYTES_MAX).contains(&zone.len()) && zone.chars().all(is_good) {
        return Ok(());
    }
    Err(format!("The name of a zone has 1 to {ZONE_BYTES_MAX} characters of A-Z, a-z, 0-9, '.', '_' and '-'."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::sample::{layout_of, node};

    fn staged(node: LayoutNode, remove: bool) -> StagedNode {
        StagedNode::new(node, remove)
    }

    #[test]
    fn changes_of_one_node_replace_each_other_and_cancel_out() {
        let layout = layout_of(3, 3);
        let draining = LayoutNode { state: NodeState::Draining, ..node(1) };
        let one = StagedLayout::default().with(&layout, staged(draining.clone(), false));
        assert_eq!(one.in_words(&layout).len(), 1);
        let removing = one.clone().with(&layout, staged(draining, true));
        assert_eq!((removing.nodes.len(), removing.removals()), (1, vec![node(1).id]));
        assert_eq!(removing.with(&layout, staged(node(1), false)), StagedLayout::default());
    }

    #[test]
    fn the_node_list_has_additions_last_and_keeps_corrected_addresses() {
        let layout = layout_of(3, 3);
        let heavy = LayoutNode { weight: 300, url: "http://old:1".parse().unwrap(), ..node(2) };
        let wanted = StagedLayout::default().with(&layout, staged(node(9), false)).with(&layout, staged(heavy, false));
        let list = wanted.node_list(&layout);
        assert_eq!(list.iter().map(|n| n.id).collect::<Vec<_>>(), [1, 2, 3, 9].map(|n| node(n).id));
        assert_eq!((list[1].weight, &list[1].url), (300, &node(2).url));
    }

    #[test]
    fn a_node_that_has_left_does_not_come_back_to_be_drained() {
        let layout = layout_of(3, 3);
        let gone = LayoutNode { state: NodeState::Draining, ..node(7) };
        let wanted = StagedLayout::default().with(&layout, staged(gone, true));
        assert_eq!(wanted.node_list(&layout), layout.nodes);
        assert!(wanted.in_words(&layout).is_empty());
    }

    #[test]
    fn weights_and_zones_are_checked() {
        assert!(check_weight(0).is_err() && check_weight(WEIGHT_MAX + 1).is_err() && check_weight(1).is_ok());
        assert!(check_zone("").is_err() && check_zone("a b").is_err() && check_zone("rack-1.a").is_ok());
    }
}
