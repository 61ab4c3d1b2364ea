//! What an admin wishes for the nodes: to add, drain, change or remove one. A wish is staged, or only looked at.

use triton_api::{
    Epoch, NodeId, NodeUrl,
    client::NodeClient,
    cluster::{NewNode, NodeChange},
    layout::{LayoutNode, NodeState},
    rebalance::RebalancePlan,
};

use super::{
    Cluster,
    control::removal,
    error::ClusterError,
    records::State,
    staged::{StagedLayout, StagedNode, WEIGHT_DEFAULT, ZONE_DEFAULT, check_weight, check_zone},
};
use crate::journal::{Change, RecordKey};

/// A change of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Use a node that answers at a URL; one that was drained before is used again.
    Add(NewNode),
    /// The node gives up everything it holds, and stays.
    Drain(NodeId),
    /// Another weight or zone.
    Change(NodeId, NodeChange),
    /// The node leaves; with `force` nothing is read from it.
    Remove {
        /// The node.
        id: NodeId,
        /// It is given up.
        force: bool,
    },
}

/// What became of a wish to remove a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The node held nothing and has left.
    Done,
    /// The node leaves when what is staged has been applied.
    Staged,
}

/// What a wish comes to in the present state.
#[derive(Debug)]
enum Outcome {
    /// This is staged, with the wish among it.
    Staged(NodeId, StagedLayout),
    /// The node was only staged, and is not any more.
    Unstaged(NodeId, StagedLayout),
    /// The node holds nothing, so that it leaves at once.
    Leaves(LayoutNode),
}

impl Cluster {
    /// Stages a node that answers at a URL; one that was drained before is used again.
    pub async fn add_node(&self, new: NewNode) -> Result<NodeId, ClusterError> {
        self.fulfil(Wish::Add(new)).await.map(|(id, _)| id)
    }

    /// Stages that a node gives up everything it holds and stays.
    pub async fn drain_node(&self, id: NodeId) -> Result<(), ClusterError> {
        self.fulfil(Wish::Drain(id)).await.map(drop)
    }

    /// Stages another weight or zone of a node.
    pub async fn change_node(&self, id: NodeId, change: NodeChange) -> Result<(), ClusterError> {
        self.fulfil(Wish::Change(id, change)).await.map(drop)
    }

    /// Removes a node that holds nothing; stages the removal of one that does. With `force` nothing is read from it.
    pub async fn remove_node(&self, id: NodeId, force: bool) -> Result<Removal, ClusterError> {
        self.fulfil(Wish::Remove { id, force }).await.map(|(_, removal)| removal)
    }

    /// What a wish would move, together with what is staged. Changes nothing.
    ///
    /// # Errors
    /// Why the wish would be refused.
    pub async fn plan_wish(&self, wish: Wish) -> Result<RebalancePlan, ClusterError> {
        let state = self.records.state().await?;
        match self.consider(&state, wish).await? {
            Outcome::Staged(_, staged) | Outcome::Unstaged(_, staged) => self.plan_of(&state, &staged).await,
            Outcome::Leaves(node) => {
                let mut plan = self.plan_of(&state, &StagedLayout::default()).await?;
                plan.changes = vec![format!("remove node {} ({}), which holds nothing, at once", node.id, node.url)];
                Ok(plan)
            }
        }
    }

    async fn fulfil(&self, wish: Wish) -> Result<(NodeId, Removal), ClusterError> {
        let state = self.records.state().await?;
        match self.consider(&state, wish).await? {
            Outcome::Staged(id, staged) => {
                self.stage(&state, staged).await?;
                Ok((id, Removal::Staged))
            }
            Outcome::Unstaged(id, staged) => {
                self.stage(&state, staged).await?;
                Ok((id, Removal::Done))
            }
            Outcome::Leaves(node) => {
                let change = Change::new().require(RecordKey::migration(), state.expect_migration());
                self.records.commit(removal(&state, &[], &[node.id], change)?).await?;
                self.refresh().await?;
                Ok((node.id, Removal::Done))
            }
        }
    }

    async fn consider(&self, state: &State, wish: Wish) -> Result<Outcome, ClusterError> {
        let layout = state.layout.value.write_layout();
        let outcome = match wish {
            Wish::Remove { id, force } => self.consider_removal(state, id, force).await?,
            Wish::Add(new) => {
                let node = self.meet(state, new).await?;
                Outcome::Staged(node.id, state.staged().with(layout, StagedNode::new(node, false)))
            }
            Wish::Drain(id) => Outcome::Staged(id, drained(state, id)?),
            Wish::Change(id, change) => Outcome::Staged(id, changed(state, id, change)?),
        };
        if let Outcome::Staged(_, staged) | Outcome::Unstaged(_, staged) = &outcome {
            self.propose(layout, staged).await?;
        }
        Ok(outcome)
    }

    /// Asks a node that is to be added who it is.
    async fn meet(&self, state: &State, new: NewNode) -> Result<LayoutNode, ClusterError> {
        let zone = new.zone.unwrap_or_else(|| ZONE_DEFAULT.to_owned());
        let weight = new.weight.unwrap_or(WEIGHT_DEFAULT);
        check_weight(weight).and_then(|()| check_zone(&zone)).map_err(ClusterError::Invalid)?;
        let client = NodeClient::new(self.inner.caller.clone(), new.url.clone());
        let info = client.info().await;
        let info = info.map_err(|source| ClusterError::NoAnswer { url: new.url.clone(), source: Box::new(source) })?;
        let node = LayoutNode::active(info.id, new.url, zone, weight);
        check_is_new(state, &node, info.epoch)?;
        Ok(node)
    }

    async fn consider_removal(&self, state: &State, id: NodeId, force: bool) -> Result<Outcome, ClusterError> {
        let record = &state.layout.value;
        let layout = record.write_layout();
        let Some(node) = layout.node(id) else {
            if state.staged().entry(id).is_none() {
                return Err(ClusterError::UnknownNode(id));
            }
            return Ok(Outcome::Unstaged(id, state.staged().without(id)));
        };
        let is_unused = record.next.is_none() && state.migration.is_none() && layout.partitions_of(id) == 0;
        if is_unused && (force || node.state == NodeState::Down || self.is_empty(node).await?) {
            return Ok(Outcome::Leaves(node.clone()));
        }
        let wanted = if force { NodeState::Down } else { NodeState::Draining };
        let node = LayoutNode { state: wanted, ..node.clone() };
        Ok(Outcome::Staged(id, state.staged().with(layout, StagedNode::new(node, true))))
    }

    async fn is_empty(&self, node: &LayoutNode) -> Result<bool, ClusterError> {
        match self.inner.announcer.probe(node).await {
            Some(info) if info.counting || info.reconciling => Err(ClusterError::Refused(format!(
                "Node {} has started a moment ago and still counts what it holds: try again in a minute.",
                node.id
            ))),
            Some(info) => Ok(info.is_empty()),
            None => Err(ClusterError::Refused(format!(
                "Node {} does not answer, so that nobody knows whether it is empty: start it, or remove it with force.",
                node.id
            ))),
        }
    }
}

fn drained(state: &State, id: NodeId) -> Result<StagedLayout, ClusterError> {
    let layout = state.layout.value.write_layout();
    let wanted = state.staged().wanted(layout, id).ok_or(ClusterError::UnknownNode(id))?;
    if layout.node(id).is_none() {
        return Err(ClusterError::Refused(format!("Node {id} is only staged: remove it instead.")));
    }
    if wanted.state == NodeState::Down {
        return Err(ClusterError::Refused(format!("Node {id} is given up: nothing can be read from it.")));
    }
    let node = LayoutNode { state: NodeState::Draining, ..wanted };
    Ok(state.staged().with(layout, StagedNode::new(node, false)))
}

fn changed(state: &State, id: NodeId, change: NodeChange) -> Result<StagedLayout, ClusterError> {
    change.weight.map_or(Ok(()), check_weight).map_err(ClusterError::Invalid)?;
    change.zone.as_deref().map_or(Ok(()), check_zone).map_err(ClusterError::Invalid)?;
    let layout = state.layout.value.write_layout();
    let wanted = state.staged().wanted(layout, id).ok_or(ClusterError::UnknownNode(id))?;
    let remove = state.staged().entry(id).is_some_and(|staged| staged.remove);
    let node = LayoutNode {
        zone: change.zone.unwrap_or_else(|| wanted.zone.clone()),
        weight: change.weight.unwrap_or(wanted.weight),
        ..wanted
    };
    Ok(state.staged().with(layout, StagedNode::new(node, remove)))
}

fn check_is_new(state: &State, node: &LayoutNode, epoch: Option<Epoch>) -> Result<(), ClusterError> {
    let record = &state.layout.value;
    let refused = |text: String| Err(ClusterError::Refused(text));
    let present = record.nodes();
    if present.iter().any(|other| other.id == node.id && other.state == NodeState::Active) {
        return refused(format!("The node at {} is part of the cluster already: it is {}.", node.url, node.id));
    }
    let staged = state.staged();
    let others = present.into_iter().chain(staged.nodes.iter().map(|staged| &staged.node));
    if let Some(other) = others.into_iter().find(|other| shares_address(other, &node.url) && other.id != node.id) {
        return refused(format!(
            "{} is the address of node {}, but node {} answers there.",
            node.url, other.id, node.id
        ));
    }
    match epoch {
        Some(epoch) if epoch > record.write_epoch() => refused(format!(
            "The node at {} knows layout epoch {epoch}, which is newer than any here: it belongs to another cluster.",
            node.url
        )),
        _ => Ok(()),
    }
}

fn shares_address(node: &LayoutNode, url: &NodeUrl) -> bool {
    node.state != NodeState::Down && node.url == *url
}
