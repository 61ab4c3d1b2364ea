//! The leader's duty of replacing nodes that stay away, and of taking them back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use triton_api::{
    NodeId,
    layout::{Layout, LayoutNode, NodeState},
};

use super::{
    Cluster,
    error::ClusterError,
    pace::Backoff,
    plan,
    records::State,
    replacement::{Decision, Patience, Replacements, Sight, decide},
    staged::{StagedLayout, StagedNode},
};
use crate::{
    journal::{Change, Expect, RecordKey},
    store::Stored,
};

impl Cluster {
    /// Looks at the nodes' health for as long as this process leads, and acts on what [`decide`] says. Does nothing where
    /// the settings turn it off.
    pub(super) async fn replace(&self, shutdown: &CancellationToken) {
        let Some(replace_after) = self.inner.settings.replace_after else { return };
        let patience = Patience { replace_after, change_interval_min: self.inner.settings.replace_interval_min };
        let mut backoff = Backoff::default();
        let mut pause = self.inner.settings.probe_interval;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.replace_once(patience).await {
                Ok(()) => {
                    backoff.reset();
                    self.inner.settings.probe_interval
                }
                // Somebody else changed the cluster at the same moment: then there is something new to look at.
                Err(error) if error.is_conflict() => self.inner.settings.probe_interval,
                Err(error) => {
                    tracing::error!(%error, "a node cannot be replaced or taken back for now");
                    backoff.next().max(self.inner.settings.probe_interval)
                }
            };
        }
    }

    async fn replace_once(&self, patience: Patience) -> Result<(), ClusterError> {
        let state = self.records.state().await?;
        let layout = &state.layout.value.current;
        // An admin's work comes first, and two migrations at once do not exist.
        if state.layout.value.next.is_some() || state.migration.is_some() || !state.staged().nodes.is_empty() {
            return Ok(());
        }
        let past = self.records.replacements().await?;
        let known = past.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        let now = Timestamp::now();
        match decide(layout, &self.sights(layout), &known, patience, now) {
            Some(decision) => self.carry_out(decision, &state, past, now).await,
            None => Ok(()),
        }
    }

    fn sights(&self, layout: &Layout) -> BTreeMap<NodeId, Sight> {
        layout.nodes.iter().map(|node| (node.id, self.inner.health.of(node).sight())).collect()
    }

    async fn carry_out(
        &self,
        decision: Decision,
        state: &State,
        past: Option<Stored<Replacements>>,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        let (id, wanted) = match decision {
            Decision::Replace(id) => (id, NodeState::Down),
            Decision::TakeBack(id) => (id, NodeState::Active),
        };
        let layout = state.layout.value.current.clone();
        let node = layout.node(id).ok_or(ClusterError::UnknownNode(id))?.clone();
        let status = self.inner.health.of(&node);
        let since = status.since.unwrap_or(now);
        let expect = past.as_ref().map_or(Expect::Absent, |stored| Expect::At(stored.revision));
        let known = past.map(|stored| stored.value).unwrap_or_default().after(decision, &layout, since, now);
        let staged =
            StagedLayout::default().with(&layout, StagedNode::new(LayoutNode { state: wanted, ..node }, false));
        // With the replicas that there are: how many are wanted is an admin's to apply.
        let proposed = tokio::task::spawn_blocking(move || plan::propose(&layout, &staged, layout.replicas)).await??;
        let Some(proposal) = proposed else { return Ok(()) };
        let reason = reason(decision, since);
        tracing::warn!(node.id = %id, reason, "the layout is changed without a person");
        metrics::counter!("triton_cluster_replacements_total", "what" => what(decision)).increment(1);
        let change = Change::new().put(RecordKey::replacements(), expect, &known)?;
        self.begin(state, proposal, Some(reason), change).await
    }
}

fn reason(decision: Decision, since: Timestamp) -> String {
    match decision {
        Decision::Replace(id) => {
            let since = since.strftime("%F %T UTC");
            format!("node {id} has not answered since {since}: its replicas are made anew on other nodes")
        }
        Decision::TakeBack(id) => format!("node {id} answers again: it fetches what it lacks and holds its share"),
    }
}

const fn what(decision: Decision) -> &'static str {
    match decision {
        Decision::Replace(_) => "replace",
        Decision::TakeBack(_) => "take_back",
    }
}
