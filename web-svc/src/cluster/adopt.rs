//! Storage nodes of another installation join this one with everything they have.
//!
//! They come as nodes without any partition: what they have is found there by readers, who ask nodes that are no holders
//! when no holder has it, and moved to the holders by repair, which then empties them.

use triton_api::{
    Epoch, NodeUrl,
    client::NodeClient,
    layout::{Layout, LayoutNode, LayoutRecord, NodeState},
    storage::NodeInfo,
};

use super::{Cluster, error::ClusterError, migration, records::State};
use crate::journal::{Change, RecordKey};

/// A node that was asked who it is.
#[derive(Debug, Clone)]
struct Found {
    node: LayoutNode,
    /// The newest epoch that it knows.
    epoch: Option<Epoch>,
}

impl Cluster {
    /// Takes in the nodes of another installation's layout that are not known here, and returns how many they are.
    ///
    /// Each is asked who it is: at the addresses of `answering_at`, or where the other layout says.
    ///
    /// # Errors
    /// Where one of them does not answer, where another one answers in its place, or while a migration runs.
    pub async fn adopt_nodes(&self, other: &LayoutRecord, answering_at: &[NodeUrl]) -> Result<u64, ClusterError> {
        let state = self.records.state().await?;
        let wanted = strangers(&state.layout.value, other);
        let found = self.find(other, wanted, answering_at).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let added = self
            .records
            .decide(|state| {
                let Some(record) = adopted(&state.layout.value, other.write_epoch(), &found) else {
                    return Ok((0, None));
                };
                check(state, &record.current)?;
                let change = Change::new()
                    .put(RecordKey::layout(), state.expect_layout(), &record)?
                    .require(RecordKey::migration(), state.expect_migration());
                Ok((record.current.nodes.len() - state.layout.value.current.nodes.len(), Some(change)))
            })
            .await?;
        self.refresh().await?;
        let record = self.present();
        // The leader does this, too, when it sees the record; whoever imports expects that all is readable at once.
        self.inner.announcer.announce(&record).await;
        self.probe().await;
        tracing::info!(added, epoch = %record.write_epoch(), "nodes of another installation have joined");
        Ok(u64::try_from(added).unwrap_or(u64::MAX))
    }

    async fn find(
        &self,
        other: &LayoutRecord,
        wanted: Vec<LayoutNode>,
        answering_at: &[NodeUrl],
    ) -> Result<Vec<Found>, ClusterError> {
        let mut named: Vec<(NodeUrl, NodeInfo)> = Vec::with_capacity(answering_at.len());
        for url in answering_at {
            let info = self.who_is_at(url).await?;
            if other.node(info.id).is_none() {
                return Err(ClusterError::Invalid(format!(
                    "Node {} answers at {url}, but it is none of the nodes of the exported installation.",
                    info.id
                )));
            }
            named.push((url.clone(), info));
        }
        let mut found = Vec::with_capacity(wanted.len());
        for node in wanted {
            let (url, info) = match named.iter().find(|(_, info)| info.id == node.id) {
                Some((url, info)) => (url.clone(), info.clone()),
                None => (node.url.clone(), self.expect_at(&node).await?),
            };
            let node = LayoutNode { url, state: NodeState::Draining, ..node };
            found.push(Found { node, epoch: info.epoch });
        }
        Ok(found)
    }

    async fn who_is_at(&self, url: &NodeUrl) -> Result<NodeInfo, ClusterError> {
        let answer = NodeClient::new(self.inner.caller.clone(), url.clone()).info().await;
        answer.map_err(|source| ClusterError::NoAnswer { url: url.clone(), source: Box::new(source) })
    }

    async fn expect_at(&self, node: &LayoutNode) -> Result<NodeInfo, ClusterError> {
        let advice = "Start it (`storage-svc --listen ADDR DIR`), and name where it answers now, with `--node URL`; or leave \
                      the content of the exported installation out, with `--without-nodes`.";
        match self.who_is_at(&node.url).await {
            Ok(info) if info.id == node.id => Ok(info),
            Ok(info) => Err(ClusterError::Invalid(format!(
                "Node {} of the exported installation is not at {} any more: {} answers there. {advice}",
                node.id, node.url, info.id
            ))),
            Err(ClusterError::NoAnswer { source, .. }) => Err(ClusterError::Invalid(format!(
                "Node {} of the exported installation does not answer at {} ({source}). {advice}",
                node.id, node.url
            ))),
            Err(error) => Err(error),
        }
    }
}

/// The nodes of another installation that are not part of this one, but for those that it has given up itself.
fn strangers(record: &LayoutRecord, other: &LayoutRecord) -> Vec<LayoutNode> {
    let alive = other.nodes().into_iter().filter(|node| node.state != NodeState::Down);
    alive.filter(|node| record.node(node.id).is_none()).cloned().collect()
}

/// The layout with the found nodes, at an epoch that everybody accepts: newer than what this installation, the other one and
/// its nodes know. `None` where all are part of it.
fn adopted(record: &LayoutRecord, other: Epoch, found: &[Found]) -> Option<LayoutRecord> {
    let mut layout = record.current.clone();
    layout.nodes.extend(found.iter().map(|found| &found.node).filter(|node| record.node(node.id).is_none()).cloned());
    if layout.nodes.len() == record.current.nodes.len() {
        return None;
    }
    let known = found.iter().filter_map(|found| found.epoch);
    let newest = known.fold(other.max(record.write_epoch()), Epoch::max);
    Some(LayoutRecord::settled(migration::sealed(layout, newest.next())))
}

fn check(state: &State, layout: &Layout) -> Result<(), ClusterError> {
    if state.migration.is_some() || state.layout.value.next.is_some() {
        return Err(ClusterError::Refused("A migration runs: wait for its end, or abort it.".to_owned()));
    }
    let living = || layout.nodes.iter().filter(|node| node.state != NodeState::Down);
    let near = living().find(|node| node.url.is_loopback());
    let far = living().find(|node| !node.url.is_loopback());
    if let (Some(near), Some(far)) = (near, far) {
        return Err(ClusterError::Invalid(format!(
            "The nodes could not reach each other: {} is an address of its own machine only, and {} is another machine's. \
             Let each node listen where the others reach it; the embedded one does with `web-svc --node-listen ADDR`.",
            near.url, far.url
        )));
    }
    Ok(triton_placement::verify(layout)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::sample::{layout_of, node};

    fn record(nodes: u16) -> LayoutRecord {
        LayoutRecord::settled(layout_of(nodes, 3))
    }

    fn found(n: u16, epoch: u64) -> Found {
        let node = LayoutNode { state: NodeState::Draining, ..node(n) };
        Found { node, epoch: Some(Epoch::new(epoch)) }
    }

    #[test]
    fn strangers_join_without_a_partition_at_an_epoch_that_nobody_knows_yet() {
        let present = record(3);
        for (others_epoch, nodes_epoch, expected) in [(1, 1, 2), (7, 1, 8), (1, 9, 10)] {
            let joined = adopted(&present, Epoch::new(others_epoch), &[found(8, nodes_epoch), found(9, 1)]).unwrap();
            assert_eq!((joined.current.epoch.get(), joined.current.nodes.len()), (expected, 5));
            assert_eq!((joined.current.partitions_of(node(8).id), &joined.current.table), (0, &present.current.table));
            triton_placement::verify(&joined.current).unwrap();
            assert_eq!(adopted(&joined, Epoch::new(1), &[found(8, 1), found(9, 1)]), None);
        }
    }

    #[test]
    fn only_nodes_that_are_alive_and_unknown_are_looked_for() {
        let mut other = record(5);
        other.current.nodes[4].state = NodeState::Down;
        let wanted: Vec<_> = strangers(&record(3), &other).into_iter().map(|node| node.id).collect();
        assert_eq!(wanted, [node(4).id]);
    }
}
