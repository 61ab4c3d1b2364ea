//! What an admin does to the cluster: stage, apply, pause, resume, abort.

use jiff::Timestamp;
use triton_api::{
    Epoch, NodeId, NodeUrl,
    client::NodeClient,
    cluster::{NewNode, NodeChange},
    layout::{Layout, LayoutNode, LayoutRecord, NodeState},
    rebalance::RebalancePlan,
};
use triton_kit::MigrationStep;

use super::{
    Cluster,
    error::ClusterError,
    migration::{self, MigrationPhase, MigrationRecord},
    plan::{self, Proposal},
    records::State,
    staged::{StagedLayout, StagedNode, WEIGHT_DEFAULT, ZONE_DEFAULT, check_weight, check_zone},
};
use crate::journal::{Change, RecordKey};

/// What became of a wish to remove a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The node held nothing and has left.
    Done,
    /// The node leaves when what is staged has been applied.
    Staged,
}

/// What became of a wish to apply what is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// A migration has begun.
    Begun,
    /// Nothing was staged.
    NothingToDo,
}

impl Cluster {
    /// Stages a node that answers at a URL; one that was drained before is used again.
    pub async fn add_node(&self, new: NewNode) -> Result<NodeId, ClusterError> {
        let zone = new.zone.unwrap_or_else(|| ZONE_DEFAULT.to_owned());
        let weight = new.weight.unwrap_or(WEIGHT_DEFAULT);
        check_weight(weight).and_then(|()| check_zone(&zone)).map_err(ClusterError::Invalid)?;
        let client = NodeClient::new(self.inner.caller.clone(), new.url.clone());
        let info = client.info().await;
        let info = info.map_err(|source| ClusterError::NoAnswer { url: new.url.clone(), source: Box::new(source) })?;
        let node = LayoutNode::active(info.id, new.url, zone, weight);
        let state = self.records.state().await?;
        check_is_new(&state, &node, info.epoch)?;
        let layout = state.layout.value.write_layout();
        let staged = state.staged().with(layout, StagedNode::new(node, false));
        self.stage(&state, staged).await?;
        Ok(info.id)
    }

    /// Stages that a node gives up everything it holds and stays.
    pub async fn drain_node(&self, id: NodeId) -> Result<(), ClusterError> {
        let state = self.records.state().await?;
        let layout = state.layout.value.write_layout();
        let wanted = state.staged().wanted(layout, id).ok_or(ClusterError::UnknownNode(id))?;
        if layout.node(id).is_none() {
            return Err(ClusterError::Refused(format!("Node {id} is only staged: remove it instead.")));
        }
        if wanted.state == NodeState::Down {
            return Err(ClusterError::Refused(format!("Node {id} is given up: nothing can be read from it.")));
        }
        let node = LayoutNode { state: NodeState::Draining, ..wanted };
        let staged = state.staged().with(layout, StagedNode::new(node, false));
        self.stage(&state, staged).await
    }

    /// Stages another weight or zone of a node.
    pub async fn change_node(&self, id: NodeId, change: NodeChange) -> Result<(), ClusterError> {
        change.weight.map_or(Ok(()), check_weight).map_err(ClusterError::Invalid)?;
        change.zone.as_deref().map_or(Ok(()), check_zone).map_err(ClusterError::Invalid)?;
        let state = self.records.state().await?;
        let layout = state.layout.value.write_layout();
        let wanted = state.staged().wanted(layout, id).ok_or(ClusterError::UnknownNode(id))?;
        let remove = state.staged().entry(id).is_some_and(|staged| staged.remove);
        let node = LayoutNode {
            zone: change.zone.unwrap_or_else(|| wanted.zone.clone()),
            weight: change.weight.unwrap_or(wanted.weight),
            ..wanted
        };
        let staged = state.staged().with(layout, StagedNode::new(node, remove));
        self.stage(&state, staged).await
    }

    /// Removes a node that holds nothing; stages the removal of one that does. With `force` nothing is read from it.
    pub async fn remove_node(&self, id: NodeId, force: bool) -> Result<Removal, ClusterError> {
        let state = self.records.state().await?;
        let record = &state.layout.value;
        let layout = record.write_layout();
        let Some(node) = layout.node(id) else {
            if state.staged().entry(id).is_none() {
                return Err(ClusterError::UnknownNode(id));
            }
            let staged = state.staged().without(id);
            self.stage(&state, staged).await?;
            return Ok(Removal::Done);
        };
        let is_unused = record.next.is_none() && state.migration.is_none() && layout.partitions_of(id) == 0;
        if is_unused && (force || node.state == NodeState::Down || self.is_empty(node).await?) {
            let change = Change::new().require(RecordKey::migration(), state.expect_migration());
            self.records.commit(removal(&state, &[], &[id], change)?).await?;
            self.refresh().await?;
            return Ok(Removal::Done);
        }
        let wanted = if force { NodeState::Down } else { NodeState::Draining };
        let node = LayoutNode { state: wanted, ..node.clone() };
        let staged = state.staged().with(layout, StagedNode::new(node, true));
        self.stage(&state, staged).await?;
        Ok(Removal::Staged)
    }

    async fn is_empty(&self, node: &LayoutNode) -> Result<bool, ClusterError> {
        match self.inner.announcer.probe(node).await {
            Some(info) => Ok(info.blobs == 0),
            None => Err(ClusterError::Refused(format!(
                "Node {} does not answer, so that nobody knows whether it is empty: start it, or remove it with force.",
                node.id
            ))),
        }
    }

    /// Writes what is staged, if a layout can be made of it.
    async fn stage(&self, state: &State, staged: StagedLayout) -> Result<(), ClusterError> {
        self.propose(state.layout.value.write_layout(), &staged).await?;
        let change = Change::new().require(RecordKey::layout(), state.expect_layout());
        self.records.commit(put_staged(change, state, &staged)?).await?;
        MigrationStep::ChangeStaged.reached();
        Ok(())
    }

    /// Computes the layout that comes next, off the threads that serve requests.
    async fn propose(&self, layout: &Layout, staged: &StagedLayout) -> Result<Option<Proposal>, ClusterError> {
        let (layout, staged, replicas) = (layout.clone(), staged.clone(), self.inner.settings.replicas);
        let proposed = tokio::task::spawn_blocking(move || plan::propose(&layout, &staged, replicas)).await?;
        Ok(proposed?)
    }

    /// What applying the staged changes would move.
    pub async fn plan(&self) -> Result<RebalancePlan, ClusterError> {
        let state = self.records.state().await?;
        let record = state.layout.value.clone();
        let Some(proposal) = self.propose(record.write_layout(), &state.staged()).await? else {
            return Ok(tokio::task::spawn_blocking(move || plan::no_plan(record.write_layout())).await?);
        };
        let census = self.census(&record).await;
        Ok(tokio::task::spawn_blocking(move || plan::plan(&proposal, &census)).await?)
    }

    /// Begins the migration to what is staged.
    pub async fn apply(&self, expected: Option<Epoch>) -> Result<Application, ClusterError> {
        let state = self.records.state().await?;
        let LayoutRecord { current, .. } = &state.layout.value;
        if let Some(expected) = expected.filter(|expected| *expected != current.epoch) {
            return Err(ClusterError::EpochMoved { expected, found: current.epoch });
        }
        let proposal = self.propose(state.layout.value.write_layout(), &state.staged()).await?;
        let Some(proposal) = proposal else { return Ok(Application::NothingToDo) };
        if state.migration.is_some() {
            return Err(ClusterError::Refused("A migration runs: wait for its end, or abort it.".to_owned()));
        }
        self.begin(&state, proposal, None, Change::new()).await?;
        Ok(Application::Begun)
    }

    /// Begins the migration of a proposal that was made from the given state, together with `change`.
    pub(super) async fn begin(
        &self,
        state: &State,
        proposal: Proposal,
        reason: Option<String>,
        change: Change,
    ) -> Result<(), ClusterError> {
        let census = self.census(&state.layout.value).await;
        let bytes = plan::bytes_in(&proposal.current, &proposal.next, &census).values().sum();
        let (layout, mut migration) = migration::begin(proposal, bytes, Timestamp::now());
        migration.reason = reason;
        let layout = LayoutRecord { rest: state.layout.value.rest.clone(), ..layout };
        let change = change
            .put(RecordKey::layout(), state.expect_layout(), &layout)?
            .put(RecordKey::migration(), state.expect_migration(), &migration)?
            .delete(RecordKey::staged_layout(), state.expect_staged());
        MigrationStep::PlanMade.reached();
        self.records.commit(change).await?;
        MigrationStep::EpochsOpened.reached();
        tracing::info!(from = %migration.from, to = %migration.to, bytes, "a migration begins");
        self.refresh().await
    }

    /// Holds the migration, or lets it go on.
    pub async fn hold(&self, paused: bool) -> Result<(), ClusterError> {
        let decide = |state: &State| {
            let Some(running) = state.migration() else {
                return Err(ClusterError::Refused("No migration runs.".to_owned()));
            };
            let held = MigrationRecord { paused, bytes_per_second: 0, ..running.clone() };
            let change = Change::new().put(RecordKey::migration(), state.expect_migration(), &held)?;
            Ok(((), (running.paused != paused).then_some(change)))
        };
        self.records.decide(decide).await
    }

    /// Turns a migration back, or drops what is staged where none runs.
    pub async fn abort(&self) -> Result<(), ClusterError> {
        let decide = |state: &State| {
            let Some(running) = state.migration() else {
                let change = Change::new().delete(RecordKey::staged_layout(), state.expect_staged());
                return Ok((false, state.staged.is_some().then_some(change)));
            };
            let too_late = "The new epoch is committed already: stage the opposite change instead.";
            let reversed = migration::reverse(&state.layout.value, running, Timestamp::now());
            let (layout, reversal) = reversed
                .filter(|_| running.phase == MigrationPhase::Copying)
                .ok_or_else(|| ClusterError::Refused(too_late.to_owned()))?;
            let change = Change::new().put(RecordKey::layout(), state.expect_layout(), &layout)?;
            let change = change.put(RecordKey::migration(), state.expect_migration(), &reversal)?;
            Ok((true, Some(change)))
        };
        if self.records.decide(decide).await? {
            MigrationStep::WayBackOpened.reached();
        }
        self.refresh().await
    }
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

/// Completes a change by which the `gone` nodes leave the layout; `wanted` nodes that could not leave stay staged for it.
pub(super) fn removal(
    state: &State,
    wanted: &[NodeId],
    gone: &[NodeId],
    change: Change,
) -> Result<Change, ClusterError> {
    let record = &state.layout.value;
    let smaller = migration::without(&record.current, gone).filter(|_| record.next.is_none());
    let layout = smaller.clone().unwrap_or_else(|| record.current.clone());
    let mut staged = gone.iter().fold(state.staged(), |staged, id| staged.without(*id));
    for node in wanted.iter().filter_map(|id| layout.node(*id)) {
        staged = staged.with(&layout, StagedNode::new(node.clone(), true));
    }
    let change = match smaller {
        Some(layout) => {
            let record = LayoutRecord { current: layout, next: None, rest: record.rest.clone() };
            change.put(RecordKey::layout(), state.expect_layout(), &record)?
        }
        None => change.require(RecordKey::layout(), state.expect_layout()),
    };
    put_staged(change, state, &staged)
}

/// Adds what is staged to a change; where that is nothing there is no record.
fn put_staged(change: Change, state: &State, staged: &StagedLayout) -> Result<Change, ClusterError> {
    let key = RecordKey::staged_layout();
    if staged.nodes.is_empty() {
        return Ok(change.delete(key, state.expect_staged()));
    }
    Ok(change.put(key, state.expect_staged(), staged)?)
}
