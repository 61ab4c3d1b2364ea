//! When a node that does not answer is replaced, and when one that answers again is taken back. Pure.
//!
//! Replacing gives a node up: its partitions get other holders, which copy from the ones that are left. Nothing is lost by
//! that, but much is copied, so it happens late, one node at a time, and only while the others can carry it. Taking back
//! makes it a holder again through a migration like any other: it pulls what it lacks, deletes included, before it counts.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use triton_api::{
    Epoch, NodeId,
    cluster::NodeHealth,
    layout::{Layout, LayoutNode, NodeState, Rest},
};

/// Answers in a row after which a node is back.
pub const ANSWERS_BACK: u32 = 5;
/// A node that was away for longer is not taken back: nodes remember deletes for seven days, so that it might bring back
/// what was deleted first.
pub const AWAY_MAX: SignedDuration = SignedDuration::from_hours(6 * 24);

/// What was done with a node, the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The node.
    pub id: NodeId,
    /// Since when it had not answered.
    pub down_since: Timestamp,
    /// When it was given up.
    pub replaced_at: Timestamp,
    /// When it was made a holder again.
    #[serde(default)]
    pub taken_back_at: Option<Timestamp>,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The record of what was done without a person: at most one entry for each node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacements {
    /// The entries, in the order in which the nodes were replaced last.
    pub nodes: Vec<Replacement>,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What is known of a node's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Whether it answers.
    pub health: NodeHealth,
    /// For how long it has not answered.
    pub silent_for: Duration,
    /// Its last answers in a row.
    pub answers: u32,
    /// Its disk takes writes.
    pub writable: bool,
    /// The newest epoch that it has learned.
    pub epoch: Option<Epoch>,
}

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long a node may be down before it is replaced.
    pub replace_after: Duration,
    /// The least time between two changes of one node, so that one that comes and goes moves nothing each time.
    pub change_interval_min: Duration,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Give the node up.
    Replace(NodeId),
    /// Make it a holder again.
    TakeBack(NodeId),
}

impl Replacements {
    /// The last entry of a node.
    pub fn entry(&self, id: NodeId) -> Option<&Replacement> {
        self.nodes.iter().find(|entry| entry.id == id)
    }

    /// Whether the node was given up without a person, and not been taken back since.
    pub fn is_away(&self, id: NodeId) -> bool {
        self.entry(id).is_some_and(|entry| entry.taken_back_at.is_none())
    }

    /// The same after a decision was carried out, without nodes that have left.
    #[must_use]
    pub fn after(mut self, decision: Decision, layout: &Layout, down_since: Timestamp, now: Timestamp) -> Self {
        self.nodes.retain(|entry| layout.node(entry.id).is_some());
        match decision {
            Decision::Replace(id) => {
                self.nodes.retain(|entry| entry.id != id);
                self.nodes.push(Replacement {
                    id,
                    down_since,
                    replaced_at: now,
                    taken_back_at: None,
                    rest: Rest::new(),
                });
            }
            Decision::TakeBack(id) => {
                for entry in self.nodes.iter_mut().filter(|entry| entry.id == id) {
                    entry.taken_back_at = Some(now);
                }
            }
        }
        self
    }

    /// Everything in words, for the person who looks at the cluster.
    pub fn in_words(&self, layout: &Layout, now: Timestamp) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|entry| layout.node(entry.id).is_some())
            .map(|entry| words(entry, layout, now))
            .collect()
    }
}

fn words(entry: &Replacement, layout: &Layout, now: Timestamp) -> String {
    let Replacement { id, down_since, replaced_at, taken_back_at, .. } = entry;
    let time = |time: &Timestamp| time.strftime("%F %T UTC").to_string();
    let replaced =
        format!("Node {id} was replaced at {}, as it had not answered since {}", time(replaced_at), time(down_since));
    match taken_back_at {
        Some(back) => format!("{replaced}; it answered again and was taken back at {}.", time(back)),
        None if layout.node(*id).is_some_and(|node| node.state != NodeState::Down) => {
            format!("{replaced}; it is used again.")
        }
        None if is_too_old(entry, now) => format!(
            "{replaced}. That is too long ago for it to come back, as deletes may be forgotten by now: \
             remove it, empty its disk, and add it as a new node."
        ),
        None => format!("{replaced}. It is taken back when it answers."),
    }
}

fn is_too_old(entry: &Replacement, now: Timestamp) -> bool {
    now.duration_since(entry.down_since) > AWAY_MAX
}

/// What is to be done about the nodes of a layout that nobody changes right now; nothing, mostly.
pub fn decide(
    layout: &Layout,
    sights: &BTreeMap<NodeId, Sight>,
    past: &Replacements,
    patience: Patience,
    now: Timestamp,
) -> Option<Decision> {
    let is_rested = |node: &&LayoutNode| past.entry(node.id).is_none_or(|entry| rested(entry, patience, now));
    let sight = |node: &LayoutNode| sights.get(&node.id);
    let replaceable = layout.nodes.iter().filter(is_rested).filter(|node| {
        let is_gone = |sight: &Sight| sight.health == NodeHealth::Down && sight.silent_for >= patience.replace_after;
        node.state == NodeState::Active && sight(node).is_some_and(is_gone) && others_suffice(layout, sights, node.id)
    });
    // The one that is away for longest, should there be several: it is the least likely to return.
    if let Some(node) = replaceable.max_by_key(|node| sight(node).map(|sight| sight.silent_for)) {
        return Some(Decision::Replace(node.id));
    }
    // One that does not know that it was given up would answer readers with what it has missed the deletes of.
    let is_back = |sight: &Sight| sight.answers >= ANSWERS_BACK && sight.writable && sight.epoch >= Some(layout.epoch);
    let back = layout.nodes.iter().filter(is_rested).find(|node| {
        node.state == NodeState::Down
            && past.entry(node.id).is_some_and(|entry| entry.taken_back_at.is_none() && !is_too_old(entry, now))
            && sight(node).is_some_and(is_back)
            && quorum_answers(layout, sights, node.id)
    });
    back.map(|node| Decision::TakeBack(node.id))
}

fn rested(entry: &Replacement, patience: Patience, now: Timestamp) -> bool {
    let last = entry.taken_back_at.unwrap_or(entry.replaced_at).max(entry.replaced_at);
    let rest = SignedDuration::try_from(patience.change_interval_min).unwrap_or(SignedDuration::MAX);
    now.duration_since(last) >= rest
}

/// Whether the other nodes can hold all replicas, and so many of them answer that the migration does not get stuck.
fn others_suffice(layout: &Layout, sights: &BTreeMap<NodeId, Sight>, gone: NodeId) -> bool {
    let others = layout.nodes.iter().filter(|node| node.id != gone && node.state == NodeState::Active);
    let up = others.filter(|node| sights.get(&node.id).is_some_and(|sight| sight.health == NodeHealth::Up)).count();
    up >= usize::from(layout.replicas) && quorum_answers(layout, sights, gone) && nothing_is_lost(layout, sights, gone)
}

/// Whether of everything that the node holds another node that answers has a copy. Losing content is for a person to decide.
fn nothing_is_lost(layout: &Layout, sights: &BTreeMap<NodeId, Sight>, gone: NodeId) -> bool {
    let is_up: Vec<bool> = layout
        .nodes
        .iter()
        .map(|node| node.id != gone && sights.get(&node.id).is_some_and(|sight| sight.health == NodeHealth::Up))
        .collect();
    let holds = |at: &u16| layout.nodes.get(usize::from(*at)).is_some_and(|node| node.id == gone);
    let mut held = layout.table.iter().filter(|holders| holders.iter().any(holds));
    held.all(|holders| holders.iter().any(|at| is_up.get(usize::from(*at)) == Some(&true)))
}

/// Whether fewer nodes are silent than could have acknowledged a write among themselves, `except` aside: a migration waits
/// for the others (see `fence`).
fn quorum_answers(layout: &Layout, sights: &BTreeMap<NodeId, Sight>, except: NodeId) -> bool {
    let counts = |node: &&LayoutNode| node.id != except && node.state != NodeState::Down;
    let silent = layout.nodes.iter().filter(counts);
    let silent = silent.filter(|node| sights.get(&node.id).is_none_or(|sight| sight.health != NodeHealth::Up)).count();
    silent < usize::from(layout.replicas) / 2 + 1
}

#[cfg(test)]
mod tests;
