//! What an admin does to a migration: plan, apply, pause, resume, abort.

use jiff::Timestamp;
use triton_api::{
    NodeId,
    layout::{Layout, LayoutRecord},
    rebalance::{ApplyRequest, RebalancePlan},
};
use triton_kit::MigrationStep;

use super::{
    Cluster,
    error::ClusterError,
    loss,
    migration::{self, MigrationPhase, MigrationRecord},
    plan::{self, Proposal},
    records::State,
    staged::{StagedLayout, StagedNode},
};
use crate::journal::{Change, RecordKey};

/// What became of a wish to apply what is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// A migration has begun.
    Begun,
    /// Nothing was staged.
    NothingToDo,
}

impl Cluster {
    /// Writes what is staged, if a layout can be made of it.
    pub(super) async fn stage(&self, state: &State, staged: StagedLayout) -> Result<(), ClusterError> {
        self.propose(state.layout.value.write_layout(), &staged).await?;
        let change = Change::new().require(RecordKey::layout(), state.expect_layout());
        self.records.commit(put_staged(change, state, &staged)?).await?;
        MigrationStep::ChangeStaged.reached();
        Ok(())
    }

    /// Computes the layout that comes next, off the threads that serve requests.
    pub(super) async fn propose(
        &self,
        layout: &Layout,
        staged: &StagedLayout,
    ) -> Result<Option<Proposal>, ClusterError> {
        let (layout, staged, replicas) = (layout.clone(), staged.clone(), self.inner.settings.replicas);
        let proposed = tokio::task::spawn_blocking(move || plan::propose(&layout, &staged, replicas)).await?;
        Ok(proposed?)
    }

    /// What applying the staged changes would move.
    pub async fn plan(&self) -> Result<RebalancePlan, ClusterError> {
        let state = self.records.state().await?;
        self.plan_of(&state, &state.staged()).await
    }

    /// What applying these changes would move.
    pub(super) async fn plan_of(&self, state: &State, staged: &StagedLayout) -> Result<RebalancePlan, ClusterError> {
        let record = state.layout.value.clone();
        let Some(proposal) = self.propose(record.write_layout(), staged).await? else {
            return Ok(tokio::task::spawn_blocking(move || plan::no_plan(record.write_layout())).await?);
        };
        let census = self.census(&record).await;
        Ok(tokio::task::spawn_blocking(move || plan::plan(&proposal, &census)).await?)
    }

    /// What [`Self::apply`] would begin, or why it would not.
    pub async fn plan_apply(&self, request: ApplyRequest) -> Result<RebalancePlan, ClusterError> {
        let state = self.records.state().await?;
        match self.applicable(&state, request).await? {
            Some(_) => self.plan_of(&state, &state.staged()).await,
            None => self.plan_of(&state, &StagedLayout::default()).await,
        }
    }

    /// Begins the migration to what is staged.
    pub async fn apply(&self, request: ApplyRequest) -> Result<Application, ClusterError> {
        let state = self.records.state().await?;
        let Some(proposal) = self.applicable(&state, request).await? else { return Ok(Application::NothingToDo) };
        self.begin(&state, proposal, None, Change::new()).await?;
        Ok(Application::Begun)
    }

    /// What is staged as a layout that may come next; `None` where nothing is staged.
    async fn applicable(&self, state: &State, request: ApplyRequest) -> Result<Option<Proposal>, ClusterError> {
        let record = &state.layout.value;
        let found = record.current.epoch;
        if let Some(expected) = request.epoch.filter(|expected| *expected != found) {
            return Err(ClusterError::EpochMoved { expected, found });
        }
        let Some(proposal) = self.propose(record.write_layout(), &state.staged()).await? else { return Ok(None) };
        if state.migration.is_some() {
            return Err(ClusterError::Refused("A migration runs: wait for its end, or abort it.".to_owned()));
        }
        let partitions = loss::partitions(&proposal.current, &proposal.next, &self.census(record).await).len();
        if partitions > 0 && !request.accept_loss {
            let nodes = loss::given_up(&proposal.current, &proposal.next);
            return Err(ClusterError::Loss { partitions, nodes: nodes.into_iter().collect() });
        }
        Ok(Some(proposal))
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
