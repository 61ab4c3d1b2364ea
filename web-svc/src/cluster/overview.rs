//! The cluster as the API shows it, made of the records and of what the nodes said.

use jiff::Timestamp;
use triton_api::{
    cluster::{self, Node, NodeHealth},
    layout::{LayoutNode, LayoutRecord},
    rebalance::{FinishedRebalance, Rebalance, RebalancePhase},
};

use super::{
    Cluster,
    error::ClusterError,
    health::HealthBoard,
    migration::{FinishedMigration, MigrationPhase},
    plan::{count, effective_replicas},
    rate::eta_seconds,
    records::State,
};
use crate::membership::Membership;

impl Cluster {
    /// How the migration stands.
    pub async fn rebalance(&self) -> Result<Rebalance, ClusterError> {
        let last = self.records.last().await?;
        Ok(Rebalance { last: last.as_ref().map(finished), ..rebalance(&self.records.state().await?) })
    }

    /// Every node of the layout, then those that are staged to be added.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClusterError> {
        Ok(nodes(&self.records.state().await?, &self.inner.health))
    }

    /// The cluster at a glance.
    pub async fn overview(&self) -> Result<cluster::Cluster, ClusterError> {
        let state = self.records.state().await?;
        let replacements = self.records.replacements().await?.map(|stored| stored.value).unwrap_or_default();
        let replacements = replacements.in_words(&state.layout.value.current, Timestamp::now());
        Ok(cluster::Cluster { replacements, ..overview(&state, &self.inner.health, &self.inner.membership) })
    }
}

fn rebalance(state: &State) -> Rebalance {
    let record = &state.layout.value;
    let staged = state.staged().in_words(record.write_layout());
    let Some(migration) = state.migration() else {
        return Rebalance {
            phase: RebalancePhase::Stable,
            epoch: record.current.epoch,
            partitions_done: 0,
            partitions_total: 0,
            bytes_done: 0,
            bytes_total: 0,
            bytes_per_second: 0,
            eta_seconds: None,
            errors: Vec::new(),
            staged,
            reason: None,
            last: None,
        };
    };
    let left = migration.bytes_total.saturating_sub(migration.bytes_done);
    let copies = migration.phase == MigrationPhase::Copying && !migration.paused;
    Rebalance {
        phase: phase(state),
        epoch: record.current.epoch,
        partitions_done: migration.done.len(),
        partitions_total: migration.partitions_total,
        bytes_done: migration.bytes_done,
        bytes_total: migration.bytes_total,
        bytes_per_second: migration.bytes_per_second,
        eta_seconds: eta_seconds(left, migration.bytes_per_second).filter(|_| copies),
        errors: migration.errors.clone(),
        staged,
        reason: migration.reason.clone(),
        last: None,
    }
}

fn finished(last: &FinishedMigration) -> FinishedRebalance {
    let migration = &last.migration;
    FinishedRebalance {
        from: migration.from,
        to: migration.to,
        aborting: migration.aborting,
        partitions_done: migration.done.len(),
        partitions_total: migration.partitions_total,
        bytes_done: migration.bytes_done,
        bytes_total: migration.bytes_total,
        bytes_per_second: last.bytes_per_second(),
        started_at: migration.started_at,
        ended_at: last.ended_at,
        errors: migration.errors.clone(),
        reason: migration.reason.clone(),
    }
}

fn phase(state: &State) -> RebalancePhase {
    match state.migration() {
        None => RebalancePhase::Stable,
        Some(migration) if migration.paused => RebalancePhase::Paused,
        Some(_) => RebalancePhase::Migrating,
    }
}

fn nodes(state: &State, health: &HealthBoard) -> Vec<Node> {
    let record = &state.layout.value;
    let staged = state.staged();
    let present = record.nodes().into_iter().map(|node| (staged.wanted(record.write_layout(), node.id), node));
    let mut nodes: Vec<Node> = present
        .map(|(wanted, node)| Node {
            staged: staged.entry(node.id).is_some(),
            ..node_of(record, &LayoutNode { url: node.url.clone(), ..wanted.unwrap_or_else(|| node.clone()) }, health)
        })
        .collect();
    let added = staged.nodes.iter().filter(|staged| record.node(staged.node.id).is_none());
    nodes.extend(added.map(|added| Node { staged: true, ..node_of(record, &added.node, health) }));
    nodes
}

fn node_of(record: &LayoutRecord, node: &LayoutNode, board: &HealthBoard) -> Node {
    let health = board.health(node);
    let status = board.of(node);
    let health_since = status.since.filter(|_| health != NodeHealth::Up && status.health() != NodeHealth::Up);
    let info = status.info.filter(|_| health != NodeHealth::Down);
    Node {
        id: node.id,
        url: node.url.clone(),
        zone: node.zone.clone(),
        weight: node.weight,
        state: node.state,
        health,
        health_since,
        used_bytes: info.as_ref().map_or(0, |info| info.used_bytes),
        capacity_bytes: info.as_ref().map_or(0, |info| info.capacity_bytes),
        blobs: info.as_ref().map_or(0, |info| info.blobs),
        partitions: count(record.current.partitions_of(node.id)),
        staged: false,
        quarantined: info.as_ref().map_or(0, |info| info.quarantined),
        orphans: info.as_ref().map_or(0, |info| info.orphans),
        reconciling: info.as_ref().is_some_and(|info| info.reconciling),
        scrub: info.map(|info| info.scrub),
    }
}

fn overview(state: &State, health: &HealthBoard, membership: &Membership) -> cluster::Cluster {
    let record = &state.layout.value;
    let nodes = nodes(state, health);
    cluster::Cluster {
        epoch: record.current.epoch,
        phase: phase(state),
        replicas_wanted: record.write_layout().replicas,
        replicas_effective: effective_replicas(&record.current),
        partitions: count(record.current.table.len()),
        balance: triton_placement::balance(&record.current),
        partitions_degraded: partitions_degraded(record, health),
        used_bytes: nodes.iter().map(|node| node.used_bytes).sum(),
        capacity_bytes: nodes.iter().map(|node| node.capacity_bytes).sum(),
        leader: membership.leader(),
        replacements: Vec::new(),
        nodes,
        workers: membership.processes().into_iter().filter(|process| process.slots > 0).collect(),
    }
}

/// Partitions with fewer replicas on nodes that answer than there should be.
fn partitions_degraded(record: &LayoutRecord, health: &HealthBoard) -> u32 {
    let wanted = usize::from(effective_replicas(&record.current));
    let nodes = &record.current.nodes;
    let up: Vec<bool> = nodes.iter().map(|node| health.health(node) == NodeHealth::Up).collect();
    let answering = |holders: &&Vec<u16>| holders.iter().filter(|at| up.get(usize::from(**at)) == Some(&true)).count();
    count(record.current.table.iter().filter(|holders| answering(holders) < wanted).count())
}

pub(super) fn count_degraded(record: &LayoutRecord, health: &HealthBoard) {
    metrics::gauge!("triton_cluster_partitions_degraded").set(f64::from(partitions_degraded(record, health)));
}
